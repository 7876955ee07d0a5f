"""MLflow's scoring protocol: its own client, and the requests that it describes."""

import json
import math
import warnings
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.conftest import TUTORIAL, Service
from tests.service.test_models import name_of_its_own, register
from tests.serving.models import CLASSES_JOB

X = [0.0, 0.5, 1.0]


@pytest.fixture(scope="module")
def line(service: Service) -> str:
    """A registered model of one feature."""
    name = name_of_its_own()
    register(service, name, service.submit({**TUTORIAL, "training": {"epochs": 30, "seed": 0}})["id"])
    return name


@pytest.fixture(scope="module")
def classes(service: Service) -> str:
    """A job with a category and a number."""
    return service.submit(CLASSES_JOB)["id"]


@pytest.fixture(scope="module")
def expected(service: Service, line: str) -> list[float]:
    answer = service.client.post(f"/v1/models/{line}/predict", json={"columns": {"x": X}})
    found: list[float] = answer.json()["columns"]["y"]
    return found


@pytest.fixture(scope="module")
def client_class() -> Any:  # noqa: ANN401 - MLflow is imported late
    """MLflow's client. Its import warns of MLflow's own types."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from mlflow.pyfunc.scoring_server.client import ScoringServerClient
    return ScoringServerClient


def test_mlflows_own_client_is_served(
    client_class: Any,  # noqa: ANN401
    service: Service,
    line: str,
    expected: list[float],
) -> None:
    host, port = service.url.removeprefix("http://").split(":")
    client = client_class(host, f"{port}/v1/models/{line}")
    client.wait_server_ready(timeout=10)
    frame = pd.DataFrame({"x": X})
    for data in (frame, np.array(X)[:, np.newaxis], json.dumps({"instances": X})):
        assert client.invoke(data).get_predictions()[0].tolist() == expected
    root = client_class(host, port)
    root.ping()
    assert root.get_version() == service.client.get("/openapi.json").json()["info"]["version"]


@pytest.mark.parametrize(
    "body",
    [
        {"dataframe_split": {"columns": ["x"], "data": [[x] for x in X], "index": [7, 8, 9]}},
        {"dataframe_records": [{"x": x} for x in X]},
        {"instances": [{"x": x} for x in X]},
        {"instances": [[x] for x in X]},
        {"instances": X},
        {"inputs": {"x": X}},
        {"inputs": [[x] for x in X], "params": {"temperature": 1}},
    ],
    ids=lambda body: str(body)[:30],
)
def test_every_form_gives_what_predict_gives(
    service: Service, line: str, expected: list[float], body: dict[str, Any]
) -> None:
    answer = service.client.post("/invocations", params={"model": line}, json=body)
    assert answer.json() == {"predictions": expected}
    assert answer.headers["fitd-model-version"] == "1"
    assert service.client.post(f"/v1/models/{line}/invocations", json=body).json() == answer.json()


def test_csv_is_read_as_the_model_was_trained(service: Service, line: str, classes: str) -> None:
    csv = {"Content-Type": "text/csv; charset=utf-8"}
    text = pd.DataFrame({"x": X}).to_csv(index=False)
    answer = service.client.post("/invocations", params={"model": line}, content=text, headers=csv)
    assert len(answer.json()["predictions"]) == 3
    text = 'color,x\r\n"red",0.0\r\nblue,0.9\r\n'
    answer = service.client.post("/invocations", params={"model": classes}, content=text, headers=csv)
    rows = [{"x": 0.0, "color": "red"}, {"x": 0.9, "color": "blue"}]
    same = service.client.post("/invocations", params={"model": classes}, json={"dataframe_records": rows})
    assert answer.json() == same.json()
    assert set(answer.json()["predictions"]) <= {0, 1}


@pytest.mark.parametrize(
    ("body", "pointer", "code"),
    [
        ({}, "", "missing"),
        ({"instances": X, "inputs": X}, "", "missing"),
        ({"instances": [[1.0, 2.0]]}, "/instances/0", "wrong_shape"),
        ({"instances": [{"x": 1.0}, {"z": 1.0}]}, "/instances/1", "ragged_rows"),
        ({"instances": [1.0, "a"]}, "/instances/1", "wrong_type"),
        ({"instances": [[1.0], ["a"]]}, "/instances/1/0", "wrong_type"),
        ({"dataframe_records": [{"x": 1.0}, {"x": "a"}]}, "/dataframe_records/1/x", "wrong_type"),
        ({"inputs": {"x": [1.0, None]}}, "/inputs/x/1", "missing_values"),
        (
            {"dataframe_split": {"columns": ["x"], "data": [[1.0], [None]]}},
            "/dataframe_split/data/1/0",
            "missing_values",
        ),
        (
            {"dataframe_split": {"columns": ["x", "x"], "data": [[1.0, 1.0]]}},
            "/dataframe_split/data",
            "duplicate_column",
        ),
        ({"dataframe_split": {"columns": ["z"], "data": [[1.0]]}}, "", "unknown_column"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_what_is_wrong_is_told_where_it_is(
    service: Service, line: str, body: dict[str, Any], pointer: str, code: str
) -> None:
    answer = service.client.post("/invocations", params={"model": line}, json=body)
    assert answer.status_code == 422
    problem = answer.json()["errors"][0]
    assert (problem["pointer"], problem["code"]) == (pointer, code)


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", "unreadable_table"),
        (b"x\n1,2\n", "wrong_field_count"),
        (b"x,x\n1,2\n", "duplicate_column"),
        (b"x\nabc\n", "wrong_type"),
        (b"x\n\xff\n", "unreadable_table"),
        (b"x\n1\nnan\n", "missing_values"),
    ],
)
def test_broken_csv_is_told(service: Service, line: str, content: bytes, code: str) -> None:
    headers = {"Content-Type": "text/csv"}
    answer = service.client.post("/invocations", params={"model": line}, content=content, headers=headers)
    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (422, code)


def test_without_a_model_the_caller_is_told_how_to_name_one(service: Service) -> None:
    answer = service.client.post("/invocations", json={"instances": [[1.0]]})
    assert answer.status_code == 404
    assert "FITD_SCORING_MODEL" in answer.json()["hint"]
    assert service.client.get("/ping").status_code == service.client.get("/health").status_code == 200
    assert service.client.get("/v1/models/nobody/ping").status_code == 404


def test_several_targets_are_objects_and_nan_is_null(service: Service) -> None:
    rows = {"x": [0.0, 1.0, 2.0, 3.0], "y": [0.0, 1.0, 2.0, 3.0], "z": [1.0, 2.0, 1.0, 2.0]}
    job = service.submit(
        {
            "data": {"type": "inline", "columns": rows, "target": ["y", "z"]},
            "model": {"type": "linear"},
            "loss": {"type": "MSELoss"},
            "optimizer": {"type": "SGD", "lr": 0.01},
            "training": {"epochs": 3, "seed": 0},
        }
    )
    answer = service.client.post("/invocations", params={"model": job["id"]}, json={"inputs": {"x": [1.0]}})
    (row,) = answer.json()["predictions"]
    assert row.keys() == {"y", "z"}
    assert all(math.isfinite(value) for value in row.values())
    answer = service.client.post("/invocations", params={"model": job["id"]}, json={"inputs": {"x": []}})
    assert answer.json() == {"predictions": []}
