"""What all examples have in common, and what the scripts do when something is wrong."""

import json
import os
import socket
import sys
from pathlib import Path

import pytest

from service.spec.job import JobSpec
from service.spec.library import EmptyLibrary
from service.spec.limits import Limits
from service.sweeps.intake import check, read
from tests.conftest import ROOT, Service
from tests.examples.walks import EXAMPLES, run_script

FOLDERS = sorted(script.parent for script in EXAMPLES.glob("*/run.sh"))
SPECS = sorted(path for folder in FOLDERS for path in folder.glob("*.json"))
SOURCED = f'. "{EXAMPLES / "fitd.sh"}"\n'


def _script(folder: Path, text: str) -> Path:
    path = folder / "script.sh"
    path.write_text(SOURCED + text, "utf-8")
    return path


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_every_example_can_be_run_and_says_what_is_learnt(folder: Path) -> None:
    assert os.access(folder / "run.sh", os.X_OK)
    assert f"examples/{folder.name}/run.sh" in (folder / "README.md").read_text("utf-8")
    page = (ROOT / "docs" / "how-to" / "run-the-examples.md").read_text("utf-8")
    assert f"(../../examples/{folder.name}/README.md)" in page


@pytest.mark.parametrize("path", SPECS, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_every_spec_is_a_whole_job_or_sweep(path: Path) -> None:
    content = json.loads(path.read_bytes())
    assert content["name"]
    if "search" in content:
        check(read(path.read_bytes()), Limits(), EmptyLibrary())
        content = content["spec"]
    spec = JobSpec.model_validate_json(json.dumps(content))
    assert spec.training.seed is not None  # Without a seed, an example would print other numbers each time.


def test_a_refused_job_ends_the_script_with_the_service_s_own_words(service: Service, tmp_path: Path) -> None:
    script = _script(tmp_path, "train wrong <<< '{}'\necho not reached\n")
    done = run_script(script, check=False, FITD_URL=service.url)
    assert done.returncode != 0
    assert "not reached" not in done.stdout
    assert json.loads(done.stderr.splitlines()[-1])["code"] == "invalid_spec"


def test_a_failed_job_ends_the_script_with_its_error(service: Service, tmp_path: Path) -> None:
    spec = (EXAMPLES / "optimizers" / "sgd.json").read_text("utf-8").replace("0.01", "10")
    script = _script(tmp_path, f"train wild <<< '{spec}'\necho not reached\n")
    done = run_script(script, check=False, FITD_URL=service.url)
    assert done.returncode != 0
    assert "not reached" not in done.stdout
    assert "sgd has failed" in done.stderr
    assert "largest stable learning rate" in done.stderr


def test_an_old_answer_is_not_taken_for_a_new_one(tmp_path: Path) -> None:
    (tmp_path / "output").mkdir()
    (tmp_path / "output" / "old.json").write_text("an old answer", "utf-8")
    done = run_script(
        _script(tmp_path, "train old <<< '{}'\n"), check=False, FITD_URL=f"http://127.0.0.1:{_free_port()}"
    )
    assert done.returncode != 0
    assert "onnect to 127.0.0.1" in done.stderr
    assert "an old answer" not in done.stdout + done.stderr


def test_run_all_starts_a_service_where_there_is_none_and_ends_it(tmp_path: Path) -> None:
    port = _free_port()
    example = tmp_path / "tiny"
    example.mkdir()
    (example / "run.sh").write_text(
        f'{SOURCED}ask "$OUT/list.json" /v1/jobs\nvalue list "{{data}}"\n', "utf-8"
    )
    fitd = Path(sys.executable).parent / "fitd"
    done = run_script(EXAMPLES / "run-all.sh", str(example), PORT=str(port), FITD=str(fitd))
    assert f"starting a service on port {port}" in done.stdout
    assert done.stdout.splitlines()[-2:] == ["== tiny ==", "[]"]
    with pytest.raises(ConnectionRefusedError), socket.create_connection(("127.0.0.1", port), timeout=1):
        pass


def test_run_all_tells_why_its_service_does_not_start(tmp_path: Path) -> None:
    fitd = tmp_path / "fitd"
    fitd.write_text("#!/bin/sh\necho the reason >&2\nexit 1\n", "utf-8")
    fitd.chmod(0o755)
    done = run_script(
        EXAMPLES / "run-all.sh", "examples/saddle", check=False, PORT=str(_free_port()), FITD=str(fitd)
    )
    assert done.returncode != 0
    assert "the reason" in done.stderr
    assert "== saddle ==" not in done.stdout


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port
