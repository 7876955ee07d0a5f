"""No request holds up the others: what is much work is done in a thread, and what is wrong is told within bounds."""

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from service.api import lane
from service.api.predicting import Source
from service.api.served import Served
from service.inference.predictor import Predictor
from service.spec.problems import MAX_PROBLEMS
from tests.conftest import TUTORIAL
from tests.inline import Inline
from tests.serving.models import predictor

SHORT: dict[str, Any] = {**TUTORIAL, "training": {"epochs": 2, "seed": 0}}
VECTORS: dict[str, Any] = {
    "data": {"type": "inline", "columns": {"v": [[0.5, 1.0]] * 8, "y": [1.0, 2.0] * 4}, "target": "y"},
    "model": {"type": "linear"},
    "loss": {"type": "MSELoss"},
    "optimizer": {"type": "SGD", "lr": 0.01},
    "training": {"epochs": 1, "seed": 0},
}


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, sqlite_template: Path) -> Iterator[Inline]:
    with Inline(tmp_path_factory.mktemp("costly") / "data", sqlite_template) as service:
        yield service


@pytest.fixture(scope="module")
def job(service: Inline) -> str:
    return service.submit(SHORT)["id"]


@pytest.fixture(scope="module")
def vectors(service: Inline) -> str:
    return service.submit(VECTORS)["id"]


@pytest.fixture
def threads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the threads in which predictions are made from here on."""
    found: list[str] = []
    predict = Predictor.predict

    def noted(self: Predictor, columns: Any) -> Any:  # noqa: ANN401 - whatever is sent
        found.append(threading.current_thread().name)
        return predict(self, columns)

    monkeypatch.setattr(Predictor, "predict", noted)
    return found


def test_a_large_body_of_one_row_is_predicted_in_a_thread(
    service: Inline, job: str, vectors: str, threads: list[str]
) -> None:
    wide = {"columns": {f"column-{number}": [1] for number in range(5000)}}
    deep = {"columns": {"v": [[[1] * 50_000, [2] * 50_000]]}}
    for one, body in ((job, wide), (vectors, deep)):
        assert len(json.dumps(body)) > 64 * 2**10
        assert service.client.post(f"/v1/jobs/{one}/predict", json=body).status_code == 422
    assert len(threads) == 2
    assert all(name.startswith("AnyIO worker") for name in threads)


@pytest.mark.parametrize("by_row", [False, True])
def test_of_many_unknown_columns_some_are_told(service: Inline, job: str, *, by_row: bool) -> None:
    names = [f"xx{number}" for number in range(1500)]
    body = {"rows": [dict.fromkeys(names, 1)]} if by_row else {"columns": {name: [1] for name in names}}
    answer = service.client.post(f"/v1/jobs/{job}/predict", json=body)
    assert answer.status_code == 422
    errors = answer.json()["errors"]
    assert len(errors) == MAX_PROBLEMS
    assert all(one["hint"] for one in errors)


def test_the_short_way_leaves_other_columns_at_once(threads: list[str]) -> None:
    one = predictor("linear")
    served = Served("job", "1", Source({}), one)
    for columns in ({"a": [1], "b": [2], "c": [3]}, {"a": [1]}):
        for sent in ({"columns": columns}, {"rows": [dict.fromkeys(columns, 1)]}):
            assert lane._answer(served, json.dumps(sent).encode()) is None
    assert not threads
    assert lane._answer(served, b'{"columns": {"a": [1], "b": [2]}}') is not None
    assert len(threads) == 1


@pytest.mark.parametrize("outputs", [[{"name": "y"}] * 300, [{"name": "y"}] * 2])
def test_an_answer_is_no_longer_than_the_model_makes_it(
    service: Inline, job: str, outputs: list[dict[str, str]]
) -> None:
    one = {"name": "x", "datatype": "FP64", "shape": [2], "data": [1, 2]}
    answer = service.client.post(f"/v2/models/{job}/infer", json={"inputs": [one], "outputs": outputs})
    assert answer.status_code == 422
    assert len(answer.json()["errors"]) == min(len(outputs) - 1, MAX_PROBLEMS)


@pytest.mark.parametrize(
    ("shape", "data"),
    [("1" + "0" * 400, "[]"), ("0,1" + "0" * 30, "[]"), ("0,1099511627776,1099511627776", "[]"), ("1,1", "[[1" + "0" * 400 + "]]")],
)  # fmt: skip
def test_no_number_in_a_tensor_is_too_large_to_be_refused(
    service: Inline, job: str, shape: str, data: str
) -> None:
    body = f'{{"inputs": [{{"name": "x", "datatype": "FP64", "shape": [{shape}], "data": {data}}}]}}'
    answer = service.client.post(f"/v2/models/{job}/infer", content=body)
    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (422, "out_of_range")


def test_many_rows_without_a_column_are_refused(service: Inline, job: str) -> None:
    answer = service.client.post(f"/v1/jobs/{job}/predict", json={"rows": [{}] * 40_000})
    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (422, "missing")
