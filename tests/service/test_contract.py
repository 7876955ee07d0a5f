"""The HTTP contract, held against the live server by clients and validators that others wrote."""

import json
import subprocess
import sys
from collections.abc import Callable

import pytest
from openapi_spec_validator import validate

from service.app import create_app
from service.settings import Settings
from tests.conftest import ROOT, Service

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
    "all but specs": [f"--exclude-operation-id={name}" for name in SPECS] + ["--max-examples=30"],
    "specs": [f"--include-operation-id={name}" for name in SPECS]
    + ["--phases=examples,fuzzing", "--max-examples=100"],
}


@pytest.mark.timeout(300)
@pytest.mark.parametrize("operations", RUNS.values(), ids=RUNS)
def test_schemathesis_finds_no_fault(own_service: Callable[..., Service], operations: list[str]) -> None:
    # Small limits keep the jobs that it makes up short, and so the event streams that it reads to their end.
    service = own_service(
        FITD_LIMITS__MAX_EPOCHS="50", FITD_LIMITS__MAX_ROWS="1000", FITD_LIMITS__MAX_STEPS="2000"
    )
    command = [sys.executable, "-m", "schemathesis.cli", "run", f"{service.url}/openapi.json"]
    options = ["--checks", ",".join(CHECKS), "--seed=7", "--generation-database=none"]
    done = subprocess.run(
        [*command, *options, *operations, "--no-color", "--request-timeout=20"],
        capture_output=True,
        text=True,
        check=False,
        cwd=service.data_dir,
        timeout=280,
    )
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
    assert "Traceback" not in service.log
