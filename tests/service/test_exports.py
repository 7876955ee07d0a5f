"""Exports over HTTP, from the service as it runs."""

import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

from tests.conftest import Service
from tests.spec.specs import changed

CSV = "size,colour,price\n" + "".join(
    f"{place / 7!r},{('red', 'green', '')[place % 3]},{3 + place / 5!r}\n" for place in range(50)
)


@pytest.fixture(scope="module")
def line(service: Service) -> str:
    return str(service.submit(changed("/training/epochs", 200))["id"])


@pytest.fixture(scope="module")
def dataset(service: Service) -> str:
    answer = service.client.post("/v1/datasets", content=CSV, headers={"Content-Type": "text/csv"})
    return str(answer.json()["id"])


def run(path: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(path), *arguments],
        check=False,
        capture_output=True,
        text=True,
        cwd=path.parent,
        env={**os.environ, **environment},
    )


def test_all_formats_are_listed_with_reasons(service: Service, line: str) -> None:
    data = service.client.get(f"/v1/jobs/{line}/exports").json()["data"]
    assert [(one["format"], one["available"], one["reason"]) for one in data] == [
        (name, True, None) for name in ("safetensors", "coefficients", "onnx", "pt2", "script")
    ]
    assert service.client.get(data[0]["links"]["report"]).json()["verified"] is True


def test_an_onnx_file_predicts_without_the_service(service: Service, line: str) -> None:
    answer = service.client.get(f"/v1/jobs/{line}/exports/onnx", timeout=200)
    assert answer.status_code == 200, answer.text
    assert answer.headers["Content-Disposition"] == f'attachment; filename="{line}.onnx"'
    assert answer.headers["Fitd-Verified-Rows"] == "256"
    assert float(answer.headers["Fitd-Largest-Difference"]) < 1e-4
    session = onnxruntime.InferenceSession(answer.content, providers=["CPUExecutionProvider"])
    (given,) = session.run(None, {"x": np.array([0.25, 0.5])})
    body = {"columns": {"x": [0.25, 0.5]}}
    own = service.client.post(f"/v1/jobs/{line}/predict", json=body).json()["columns"]["y"]
    assert given.tolist() == pytest.approx(own, rel=1e-6)
    report = service.client.get(f"/v1/jobs/{line}/exports/onnx/report").json()
    assert (report["object"], report["rows"]) == ("export_report", 256)
    assert f'"{report["digest"]}"' == answer.headers["ETag"]


def test_the_script_of_a_running_service_repeats_the_fit(service: Service, tmp_path: Path) -> None:
    spec = changed("/training/engine", "eager", spec=changed("/training/epochs", 100))
    job = service.submit(spec)
    answer = service.client.get(f"/v1/jobs/{job['id']}/exports/script")
    assert answer.headers["Content-Type"].startswith("text/x-python")
    (tmp_path / "fit.py").write_bytes(answer.content)
    ended = run(tmp_path / "fit.py")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert repr(job["result"]["intercept"]) in ended.stdout


def test_the_script_of_a_dataset_fetches_its_rows_and_its_fit(
    service: Service, dataset: str, tmp_path: Path
) -> None:
    job = service.submit(
        {
            "data": {"type": "dataset", "id": dataset, "target": "price"},
            "preprocessing": {"missing": "most_frequent", "scaling": "standardize"},
            "model": {"type": "mlp", "hidden": [40, 30]},
            "loss": {"type": "MSELoss"},
            "optimizer": {"type": "Adam"},
            "training": {"epochs": 3, "batch_size": 16, "seed": 1, "engine": "eager"},
        }
    )
    assert job["status"] == "succeeded", job
    script = tmp_path / "fit.py"
    script.write_bytes(service.client.get(f"/v1/jobs/{job['id']}/exports/script").content)
    ended = run(script)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    (tmp_path / "table.csv").write_text(CSV)
    fit = tmp_path / "fit.safetensors"
    fit.write_bytes(service.client.get(f"/v1/jobs/{job['id']}/exports/safetensors").content)
    alone = run(script, "--data", "table.csv", "--fit", "fit.safetensors", FITD_URL="http://127.0.0.1:1")
    assert alone.returncode == 0, alone.stdout + alone.stderr


def test_a_registered_model_is_exported_as_its_job(service: Service, line: str, tmp_path: Path) -> None:
    registered = service.client.post("/v1/models", json={"name": "exported", "job": line})
    assert registered.status_code in {200, 201}, registered.text
    data = service.client.get("/v1/models/exported/exports?version=1").json()["data"]
    assert all(one["available"] for one in data)
    assert data[0]["links"]["file"] == "/v1/models/exported/exports/safetensors?version=1"
    for name in ("coefficients", "safetensors"):
        answer = service.client.get(f"/v1/models/exported/exports/{name}")
        assert answer.status_code == 200, answer.text
        assert answer.headers["Content-Disposition"].startswith('attachment; filename="exported-1.')
    script = service.client.get("/v1/models/exported/exports/script").text
    assert script.startswith('"""The fit of exported-1 as plain PyTorch.')
    assert service.client.get("/v1/models/nobody/exports").status_code == 404


def test_a_format_that_cannot_carry_a_model_says_why(service: Service) -> None:
    spec = changed("/model", {"type": "mlp", "hidden": [3]}, spec=changed("/training/epochs", 2))
    spec["evaluation"] = {"folds": {"k": 2}}
    job = service.submit(spec)["id"]
    told = {
        one["format"]: one["reason"] for one in service.client.get(f"/v1/jobs/{job}/exports").json()["data"]
    }
    assert told["coefficients"] == "A `mlp` is not linear in its features: it has no coefficients."
    assert "/evaluation/folds" in told["script"]
    for name in ("coefficients", "script"):
        answer = service.client.get(f"/v1/jobs/{job}/exports/{name}")
        assert (answer.status_code, answer.json()["code"]) == (409, "export_not_available")
        assert answer.json()["detail"] == told[name]
        assert answer.json()["hint"]


def test_a_script_whose_rows_went_with_their_job_is_not_available(service: Service) -> None:
    rows = [place / 1500 for place in range(1500)]
    spec = changed("/training/epochs", 2)
    spec["data"] = {"type": "inline", "columns": {"x": rows, "y": rows}, "target": "y"}
    job = service.submit(spec)["id"]
    assert service.client.post("/v1/models", json={"name": "left", "job": job}).status_code in {200, 201}
    assert service.client.get("/v1/models/left/exports/script").status_code == 200
    assert service.client.delete(f"/v1/jobs/{job}").status_code == 204
    answer = service.client.get("/v1/models/left/exports/script")
    assert (answer.status_code, answer.json()["code"]) == (409, "export_not_available")
    assert "the job, which has been deleted" in answer.json()["detail"]
    told = service.client.get("/v1/models/left/exports").json()["data"]
    assert [one["format"] for one in told if not one["available"]] == ["script"]


def test_unknown_formats_and_jobs_are_refused(service: Service, line: str) -> None:
    assert service.client.get(f"/v1/jobs/{line}/exports/pmml").status_code == 422
    assert service.client.get("/v1/jobs/job_none/exports/onnx").status_code == 404
    assert service.client.get("/v1/jobs/job_none/exports").status_code == 404


def test_a_deleted_job_leaves_no_exports(service: Service) -> None:
    job = service.submit(changed("/training/epochs", 2))["id"]
    folder = service.data_dir / "exports" / job
    folder.mkdir(parents=True)
    (folder / "onnx-1").write_bytes(b"made before")
    assert service.client.delete(f"/v1/jobs/{job}").status_code == 204
    assert not folder.exists()


def test_a_job_without_parameters_has_no_exports(service: Service, tutorial: dict[str, Any]) -> None:
    tutorial["training"] |= {"epochs": 1_000_000, "engine": "eager"}
    job = service.submit(tutorial, wait=0)["id"]
    data = service.client.get(f"/v1/jobs/{job}/exports").json()["data"]
    answer = service.client.get(f"/v1/jobs/{job}/exports/script")
    service.client.post(f"/v1/jobs/{job}/cancel")
    assert {one["available"] for one in data} == {False}
    assert "it has no parameters yet" in data[0]["reason"]
    assert (answer.status_code, answer.json()["code"]) == (409, "state_conflict")


# The rows of a dataset.


def test_a_dataset_comes_back_as_npz_and_csv(service: Service, dataset: str) -> None:
    answer = service.client.get(f"/v1/datasets/{dataset}/content")
    assert answer.headers["Content-Type"] == "application/x-npz"
    with np.load(io.BytesIO(answer.content)) as archive:
        assert archive.files == ["size", "colour", "price"]
        assert archive["size"].tolist() == [place / 7 for place in range(50)]
        assert archive["colour"].tolist()[:4] == ["red", "green", "", "red"]
    text = service.client.get(f"/v1/datasets/{dataset}/content", headers={"Accept": "text/csv"}).text
    assert text.replace("\r\n", "\n").splitlines()[:2] == ["size,colour,price", "0.0,red,3.0"]
    again = service.client.post("/v1/datasets", content=text, headers={"Content-Type": "text/csv"}).json()
    assert [one["name"] for one in again["columns"]] == ["size", "colour", "price"]


def test_columns_of_a_dataset_can_be_chosen(service: Service, dataset: str) -> None:
    query = "column=price&column=size"
    answer = service.client.get(f"/v1/datasets/{dataset}/content?{query}", headers={"Accept": "text/csv"})
    assert answer.text.splitlines()[0] == "price,size"
    wrong = service.client.get(f"/v1/datasets/{dataset}/content?column=prize")
    assert (wrong.status_code, wrong.json()["errors"][0]["parameter"]) == (422, "column")
    assert json.dumps(wrong.json()).count("price")


def test_arrays_do_not_fit_into_csv(service: Service) -> None:
    file = io.BytesIO()
    np.savez(file, image=np.arange(24, dtype=np.uint8).reshape(6, 2, 2), y=np.arange(6.0))
    sent = service.client.post(
        "/v1/datasets", content=file.getvalue(), headers={"Content-Type": "application/x-npz"}
    )
    path = f"/v1/datasets/{sent.json()['id']}/content"
    assert service.client.get(path, headers={"Accept": "text/csv"}).status_code == 406
    with np.load(io.BytesIO(service.client.get(path).content)) as archive:
        assert archive["image"].tolist() == np.arange(24).reshape(6, 2, 2).tolist()
        assert archive["image"].dtype == np.uint8
