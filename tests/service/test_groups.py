"""A job with groups over HTTP: its table of models, and what it predicts."""

import csv
import io
from typing import Any

import pyarrow as pa
import pytest
import safetensors.torch

from tests.conftest import Service

SENSORS = {"Küche": (5.0, 7.0), "Keller 🌡": (-2.0, 1.0)}
ARROW = "application/vnd.apache.arrow.stream"
X = [row / 10 for row in range(11)]


def body() -> dict[str, Any]:
    columns: dict[str, list[Any]] = {"x": [], "y": [], "sensor": []}
    for sensor, (slope, start) in SENSORS.items():
        columns["x"] += X
        columns["y"] += [slope * x + start for x in X]
        columns["sensor"] += [sensor] * len(X)
    columns["x"].append(1.0)
    columns["y"].append(1.0)
    columns["sensor"].append("alone")
    return {
        "data": {"type": "inline", "columns": columns, "target": "y", "group_by": "sensor"},
        "model": {"type": "linear"},
        "loss": {"type": "MSELoss"},
        "optimizer": {"type": "SGD", "lr": 0.5},
        "training": {"epochs": 900, "seed": 0},
    }


@pytest.fixture(scope="module")
def job(service: Service) -> dict[str, Any]:
    return service.submit(body())


def test_the_job_succeeds_although_a_group_has_failed(service: Service, job: dict[str, Any]) -> None:
    assert (job["status"], job["engine"]["name"]) == ("succeeded", "quadratic")
    groups = job["result"]["groups"]
    assert (groups["count"], groups["succeeded"], groups["failed"], groups["skipped"]) == (3, 2, 1, 0)
    assert groups["losses"]["train"]["max"] < 1e-6
    (warning,) = job["result"]["warnings"]
    assert warning["code"] == "groups_failed"
    assert "1 of 3" in warning["message"]
    history = service.client.get(job["links"]["history"]).json()["columns"]
    assert (len(history["epoch"]), job["progress"]["fraction"]) == (900, 1.0)
    assert history["train_loss"][-1] < 1e-6 < history["train_loss"][0]


def test_the_table_comes_as_json_csv_and_arrow(service: Service, job: dict[str, Any]) -> None:
    table = job["links"]["groups"]
    first = service.client.get(table, params={"limit": 2}).json()
    rest = service.client.get(table, params={"after": first["next_after"]}).json()
    found = {one["group"]: one for one in first["data"] + rest["data"]}
    assert list(found) == sorted([*SENSORS, "alone"])
    assert (first["has_more"], rest["has_more"]) == (True, False)
    for sensor, (slope, start) in SENSORS.items():
        assert found[sensor]["coefficients"]["x"] == pytest.approx(slope, abs=0.01)
        assert found[sensor]["intercept"] == pytest.approx(start, abs=0.01)
    assert (found["alone"]["status"], found["alone"]["error"]["code"]) == ("failed", "too_few_rows")
    answer = service.client.get(table, headers={"Accept": "text/csv"})
    rows = {row["group"]: row for row in csv.DictReader(io.StringIO(answer.text))}
    assert float(rows["Küche"]["coefficients.x"]) == found["Küche"]["coefficients"]["x"]
    assert rows["alone"]["intercept"] == ""
    answer = service.client.get(table, headers={"Accept": ARROW}, params={"status": "succeeded"})
    read = pa.ipc.open_stream(answer.content).read_all().to_pydict()
    assert read["group"] == sorted(SENSORS)
    assert read["intercept"] == [found[sensor]["intercept"] for sensor in read["group"]]
    only = service.client.get(table, params={"group": "Küche"}).json()["data"]
    assert [one["group"] for one in only] == ["Küche"]


def test_each_row_is_predicted_by_the_model_of_its_group(service: Service, job: dict[str, Any]) -> None:
    rows = [{"sensor": sensor, "x": x} for x in (0.0, 1.0) for sensor in SENSORS]
    answer = service.client.post(job["links"]["predict"], json={"rows": rows}).json()
    expected = [slope * x + start for x in (0.0, 1.0) for slope, start in SENSORS.values()]
    assert [row["y"] for row in answer["rows"]] == pytest.approx(expected, abs=0.01)


@pytest.mark.parametrize(
    ("columns", "pointer", "code"),
    [
        ({"x": [1, 2], "sensor": ["Küche", "Kuche"]}, "/columns/sensor/1", "unknown_group"),
        ({"x": [1], "sensor": ["alone"]}, "/columns/sensor/0", "group_without_model"),
        ({"x": [1]}, "/columns", "missing"),
        ({"sensor": ["Küche"]}, "/columns", "missing"),
        ({"x": [1, 2], "sensor": ["Küche"]}, "/columns", "ragged_columns"),
    ],
)
def test_rows_without_a_model_are_refused(
    service: Service, job: dict[str, Any], columns: dict[str, Any], pointer: str, code: str
) -> None:
    answer = service.client.post(job["links"]["predict"], json={"columns": columns})
    assert answer.status_code == 422, answer.text
    assert [(one["pointer"], one["code"]) for one in answer.json()["errors"]] == [(pointer, code)]


def test_parameters_are_stacked(service: Service, job: dict[str, Any]) -> None:
    found = service.client.get(job["links"]["parameters"]).json()
    assert found["groups"] == sorted(SENSORS)
    assert found["tensors"]["weight"]["shape"] == [2, 1, 1]
    answer = service.client.get(job["links"]["parameters"], headers={"Accept": "application/vnd.safetensors"})
    assert safetensors.torch.load(answer.content)["weight"].shape == (3, 1, 1)


def test_pictures_of_one_model_are_refused_and_the_losses_drawn(
    service: Service, job: dict[str, Any]
) -> None:
    refused = service.client.get(job["links"]["plot_fit"])
    assert (refused.status_code, refused.json()["code"]) == (404, "picture_not_available")
    assert service.client.get(job["links"]["plot_loss"]).status_code == 200


def test_a_job_whose_groups_all_fail_has_failed(service: Service) -> None:
    spec = body()
    spec["data"]["columns"] = {"x": [1, 2, 3], "y": [1, 3, 2], "sensor": ["a", "b", "c"]}
    job = service.submit(spec)
    assert (job["status"], job["error"]["code"]) == ("failed", "all_groups_failed")
    table = service.client.get(job["links"]["groups"]).json()["data"]
    assert [one["error"]["code"] for one in table] == ["too_few_rows"] * 3
    answer = service.client.post(job["links"]["predict"], json={"columns": {"x": [1], "sensor": ["a"]}})
    assert answer.json()["errors"][0]["code"] == "group_without_model"


def test_other_jobs_have_no_groups(service: Service, tutorial: dict[str, Any]) -> None:
    answer = service.client.get(service.submit(tutorial)["links"]["groups"])
    assert (answer.status_code, answer.json()["code"]) == (404, "no_groups")
