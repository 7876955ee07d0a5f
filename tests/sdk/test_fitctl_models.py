"""The commands of `fitctl` about what a job has left: registered models and exports."""

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import TUTORIAL, Service
from tests.sdk.fitctl import Fitctl


@pytest.fixture(scope="module")
def fitctl(service: Service) -> Fitctl:
    return Fitctl(service.url)


@pytest.fixture(scope="module")
def job(fitctl: Fitctl) -> Any:  # noqa: ANN401 - a job
    return fitctl("submit", "-", "--wait", "--json", stdin=json.dumps(TUTORIAL)).json


@pytest.fixture(scope="module")
def model(fitctl: Fitctl, job: Any) -> str:  # noqa: ANN401
    asked = ("models", "register", job["id"], "fitctl-line", "--alias", "champion", "--metadata", "rig=north")
    version = fitctl(*asked, "--json").json
    assert (version["version"], version["aliases"], version["metadata"]) == (
        1,
        ["champion"],
        {"rig": "north"},
    )
    return str(version["name"])


def test_models_are_listed_and_shown(fitctl: Fitctl, job: Any, model: str) -> None:  # noqa: ANN401
    assert f"{model}\t1\t1\tchampion=1" in fitctl("models").out.splitlines()
    assert model in fitctl("models", "ls", "-q").out.splitlines()
    assert f"1\tchampion\t{job['id']}" in fitctl("models", "show", model).out
    assert f"job\t{job['id']}" in fitctl("models", "show", model, "latest").out
    assert fitctl("--json", "models", "show", model).json["version_list"][0]["version"] == 1


def test_a_model_predicts_by_name_alias_and_version(fitctl: Fitctl, model: str) -> None:
    found = {fitctl("predict", f"{model}{end}", "-", stdin="x\n0.5\n").out for end in ("", "@champion", "@1")}
    found.add(fitctl("predict", model, "-", "--version", "latest", stdin="x\n0.5\n").out)
    assert len(found) == 1
    assert float(found.pop().split()[1]) == pytest.approx(9.5, abs=0.2)
    fitctl("predict", f"{model}@none", "-", stdin="x\n0.5\n", code=3)


def test_a_dataset_on_the_service_is_predicted(fitctl: Fitctl, model: str, tmp_path: Path) -> None:
    rows = tmp_path / "rows.csv"
    rows.write_text("x,id\n0.5,7\n0.25,8\n")
    dataset = fitctl("datasets", "upload", str(rows), "-q").out.strip()
    lines = list(csv.reader(fitctl("predict", model, dataset, "--keep", "id").out.splitlines()))
    assert [line[0] for line in lines] == ["id", "7", "8"]
    assert float(lines[1][1]) == pytest.approx(9.5, abs=0.2)
    into = tmp_path / "predicted.parquet"
    told = fitctl("predict", model, dataset, "--output", str(into), "--json").json
    assert (told["status"], told["progress"]["rows"]) == ("succeeded", 2)
    assert into.read_bytes()[:4] == b"PAR1"
    assert fitctl("rm", told["id"]).out == f"{told['id']} removed\n"
    fitctl("predict", model, "ds_none", code=2)


def test_an_alias_moves_and_goes_and_a_version_is_removed(fitctl: Fitctl, model: str) -> None:
    other = fitctl(
        "submit", "-", "--set", "training.epochs=5", "--wait", "--json", stdin=json.dumps(TUTORIAL)
    ).json
    assert fitctl("models", "register", other["id"], model, "-q").out == f"{model}@2\n"
    assert fitctl("models", "promote", model, "2", "challenger").out == f"{model} challenger=2, champion=1\n"
    assert "model_in_use" in fitctl("models", "rm", model, 2, code=2).err
    assert fitctl("models", "unalias", model, "challenger", "--json").json["aliases"] == {"champion": 1}
    assert fitctl("models", "rm", model, 2).out == f"{model}@2 removed\n"
    fitctl("models", "show", model, "2", code=3)


def test_a_model_is_taken_away_with_a_report(fitctl: Fitctl, job: Any, model: str, tmp_path: Path) -> None:  # noqa: ANN401
    script = tmp_path / "line.py"
    ran = fitctl("export", job["id"], "script", "-o", script)
    assert ran.out == f"{script}\n"
    assert "import torch" in script.read_text()
    told = fitctl("export", f"{model}@1", "coefficients", "-o", tmp_path / "line.json", "--json").json
    assert told["report"]["format"] == "coefficients"
    assert json.loads(fitctl("export", model, "coefficients", "-o", "-").out)


def test_the_formats_of_a_model_are_listed(fitctl: Fitctl, job: Any, model: str) -> None:  # noqa: ANN401
    assert fitctl("export", model).out.splitlines()[0].startswith("format\tavailable")
    assert "safetensors" in {one["format"] for one in fitctl("export", job["id"], "--json").json}
    assert "cake" in fitctl("export", job["id"], "cake", code=2).err
