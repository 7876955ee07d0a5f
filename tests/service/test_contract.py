"""The HTTP contract, held against the live server by clients and validators that others wrote."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from openapi_spec_validator import validate

from service.app import create_app
from service.settings import Settings
from tests.conftest import ROOT, Service
from tests.contract.completeness import operations
from tests.contract.world import CALIBRATION, World

CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "negative_data_rejection",
    "missing_required_header",
    "unsupported_method",
    "use_after_free",
    "ensure_resource_availability",
)
"""All that schemathesis knows but one: that each body of the right shape is accepted. A schema cannot say that
a column must not be constant or that a formula must be finite, so such bodies are refused with a reason."""


def test_openapi_document_is_valid() -> None:
    validate(create_app(Settings()).openapi())


def test_committed_openapi_document_is_the_codes_own() -> None:
    assert json.loads((ROOT / "openapi.json").read_text("utf-8")) == create_app(Settings()).openapi()


# The spec has so many names that walking every keyword of its schema takes hours: specs are drawn at random.
SPECS = ("submit_job", "validate_job")
RUNS = {
    "all but specs": [f"--exclude-operation-id={name}" for name in SPECS] + ["--max-examples=8"],
    "specs": [f"--include-operation-id={name}" for name in SPECS]
    + ["--phases=examples,fuzzing", "--max-examples=60"],
}


# Small limits keep the jobs that it makes up short, and so the event streams that it reads to their end.
LIMITS = {
    "FITD_LIMITS__MAX_EPOCHS": "50",
    "FITD_LIMITS__MAX_ROWS": "1000",
    "FITD_LIMITS__MAX_STEPS": "2000",
    "FITD_EXPORT_SECONDS": "0.1",
}
PREDICTING = (
    "predict",
    "predict_with_model",
    "v2_infer",
    "v2_infer_version",
    "score",
    "score_with_model",
)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("options", RUNS.values(), ids=RUNS)
def test_schemathesis_finds_no_fault(own_service: Callable[..., Service], options: list[str]) -> None:
    check(own_service(**LIMITS), options)


@pytest.mark.timeout(300)
def test_schemathesis_finds_no_fault_in_what_is_there(
    own_service: Callable[..., Service], tmp_path: Path
) -> None:
    """Names that it makes up lead to nothing: what reads and predicts is asked about things that are there."""
    world = World(own_service(**LIMITS, FITD_SCORING_MODEL=CALIBRATION))
    config = tmp_path / "schemathesis.toml"
    config.write_text(
        f"""
        [parameters]
        "path.name" = "{world.model}"
        "path.version" = "1"
        "path.job_id" = "{world.finished}"
        "path.dataset_id" = "{world.dataset}"
        "path.prediction_id" = "{world.prediction}"
        """
    )
    named = [f"--include-operation-id={name}" for name in reading()]
    options = ["--phases=examples,fuzzing", "--max-examples=3"]
    check(world.service, [*named, *options], config=config)


def reading() -> list[str]:
    """The operations about one thing that leave it as it is and answer at once.

    Files of exports are left out, which take a process and seconds each, and sweeps, which take a training for each
    trial: tests/service/test_exports.py and test_sweeps.py ask for them.
    """
    found = [
        operation["operationId"]
        for call, operation in operations(create_app(Settings()).openapi())
        if call.startswith("GET ")
        and "{" in call
        and not any(word in call for word in ("/exports/", "/sweeps/"))
    ]
    return [*found, *PREDICTING]


def check(service: Service, options: list[str], *, config: Path | None = None) -> None:
    command = [sys.executable, "-m", "schemathesis.cli"]
    if config is not None:
        command += ["--config-file", str(config)]
    checks = ["--checks", ",".join(CHECKS), "--seed=7", "--generation-database=none"]
    done = subprocess.run(
        [
            *command,
            "run",
            f"{service.url}/openapi.json",
            *checks,
            *options,
            "--no-color",
            "--request-timeout=20",
        ],
        capture_output=True,
        text=True,
        check=False,
        cwd=service.data_dir,
        timeout=280,
    )
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
    assert "Traceback" not in service.log
