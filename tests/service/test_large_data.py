"""Rows that come as files: beside a spec, to a prediction, and back."""

import io
import json
import secrets
import threading
import time
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.ipc
import pytest

from service.spec.job import JobSpec
from service.spec.packed import validated
from tests.conftest import TUTORIAL, Service
from tests.service.test_bad_requests import problem

ARROW, NPY = "application/vnd.apache.arrow.stream", "application/x-npy"
ROWS = {"x": np.linspace(0, 1, 50), "z": np.linspace(1, 0, 50) ** 2}
TABLE = {**ROWS, "y": 5 * ROWS["x"] + 7}


def arrow(columns: dict[str, Any]) -> bytes:
    table = pa.table(columns)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write(table)
    return bytes(sink.getvalue())


def npy(array: Any) -> bytes:  # noqa: ANN401 - whatever numpy makes an array of
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def spec_of(**data: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON
    return {**TUTORIAL, "data": {"target": "y", **data}, "training": {"epochs": 5, "seed": 0}}


def send(
    service: Service, spec: object, data: bytes, *, name: str = "rows", kind: str = "", **headers: str
) -> Any:  # noqa: ANN401
    text = spec if isinstance(spec, bytes) else json.dumps(spec).encode()
    typed = (name, data, kind) if kind else (name, data)
    files = [("spec", ("spec.json", text, "application/json")), ("data", typed)]
    return service.client.post("/v1/jobs", files=files, headers={"Prefer": "wait=30", **headers})


def test_rows_beside_the_spec_are_trained_on_as_a_dataset(service: Service) -> None:
    key = {"Idempotency-Key": secrets.token_hex(8)}
    first = send(service, spec_of(), arrow(TABLE), **key)
    assert first.status_code == 200, first.text
    job = first.json()
    data = job["spec"]["data"]
    assert (data["type"], data["features"]) == ("dataset", ["x", "z"])
    assert service.client.get(f"/v1/datasets/{data['id']}").json()["digest"] == data["digest"]
    # The boundary of the form is another one each time.
    assert send(service, spec_of(), arrow(TABLE), **key).json()["id"] == job["id"]
    for spec, table in ((spec_of(weight="z"), TABLE), (spec_of(), {**TABLE, "z": TABLE["y"]})):
        problem(send(service, spec, arrow(table), **key), 422, "idempotency_conflict")
    inline = {name: values.tolist() for name, values in TABLE.items()}
    sent_as_json = service.submit({**spec_of(), "data": {"type": "inline", "columns": inline, "target": "y"}})
    assert sent_as_json["result"] == job["result"]
    rerun = service.client.post(f"/v1/jobs/{job['id']}/rerun", headers={"Prefer": "wait=30"}).json()
    assert (rerun["spec"], rerun["result"]) == (job["spec"], job["result"])


@pytest.mark.parametrize("structured", [False, True])
def test_a_matrix_has_the_columns_that_the_spec_names(service: Service, *, structured: bool) -> None:
    names = ["z", "x", "y"]
    array = np.column_stack([TABLE[name] for name in names])
    if structured:
        array = np.rec.fromarrays([TABLE[name] for name in reversed(names)], names=list(reversed(names)))
    job = send(service, spec_of(features=["z", "x"]), npy(array)).json()
    assert job["status"] == "succeeded"
    dataset = service.client.get(f"/v1/datasets/{job['spec']['data']['id']}").json()
    means = {column["name"]: column["mean"] for column in dataset["columns"]}
    assert means == pytest.approx({name: values.mean() for name, values in TABLE.items()})


def test_any_format_of_a_dataset_can_come_beside_the_spec(service: Service) -> None:
    text = "x,y\n" + "\n".join(f"{x},{y}" for x, y in zip(TABLE["x"], TABLE["y"], strict=True))
    assert send(service, spec_of(), text.encode(), name="rows.CSV").json()["status"] == "succeeded"
    assert send(service, spec_of(), text.encode(), kind="text/csv").json()["status"] == "succeeded"
    problem(send(service, spec_of(), text.encode()), 415, "unsupported_media_type")


@pytest.mark.parametrize(
    ("spec", "data", "code", "field", "pointer"),
    [
        (b"{", arrow(TABLE), "invalid_spec", "invalid_json", ""),
        (b"[]", arrow(TABLE), "invalid_spec", "wrong_type", ""),
        ({**spec_of(), "data": 3}, b"", "invalid_spec", "wrong_type", "/data"),
        ({**spec_of(), "loss": {"type": "MSE"}}, b"", "invalid_spec", "unknown_name", "/loss/type"),
        (spec_of(columns={"x": [1]}), b"", "invalid_spec", "incompatible_fields", "/data/columns"),
        (spec_of(type="synthetic"), b"", "invalid_spec", "incompatible_fields", "/data/type"),
        (spec_of(target="q"), arrow(TABLE), "invalid_spec", "unknown_column", "/data/target"),
        (spec_of(), arrow(TABLE)[:-300], "invalid_dataset", "unreadable_file", None),
        (spec_of(), npy(np.zeros((5, 3))), "invalid_dataset", "wrong_shape", None),
        (spec_of(), npy(np.zeros(5))[:20], "invalid_dataset", "unreadable_file", None),
        (spec_of(), npy(np.array([{}], dtype=object)), "invalid_dataset", "unreadable_file", None),
    ],
)  # fmt: skip
def test_what_is_wrong_with_the_two_parts_is_told(
    service: Service,
    spec: object,
    data: bytes,
    code: str,
    field: str,
    pointer: str | None,
) -> None:
    told = problem(send(service, spec, data), 422, code)
    assert [(one["code"], one.get("pointer")) for one in told["errors"]] == [(field, pointer)]


@pytest.mark.parametrize("names", [["data", "spec"], ["spec"], ["spec", "data", "more"], []])
def test_a_form_has_the_spec_and_then_the_data(service: Service, names: list[str]) -> None:
    contents = {"spec": json.dumps(spec_of()).encode(), "data": arrow(TABLE), "more": b""}
    files = [(name, (name, contents[name])) for name in names] or [("other", ("other", b""))]
    told = problem(service.client.post("/v1/jobs", files=files), 422, "invalid_request")
    assert told["errors"][0]["code"] == "invalid_form"


def test_rows_to_predict_and_predictions_come_in_every_form(service: Service) -> None:
    columns = {name: values.tolist() for name, values in TABLE.items()}
    job = service.submit({**spec_of(), "data": {"type": "inline", "columns": columns, "target": "y"}})
    path = f"/v1/jobs/{job['id']}/predict"
    as_json = json.dumps({"columns": {name: values.tolist() for name, values in ROWS.items()}}).encode()
    bodies = {
        "application/json": as_json,
        ARROW: arrow({"z": ROWS["z"], "x": ROWS["x"]}),
        NPY: npy(np.column_stack([*ROWS.values()])),
    }
    expected = None
    for sent, body in bodies.items():
        for wanted in bodies:
            headers = {"Content-Type": sent, "Accept": wanted}
            answer = service.client.post(path, content=body, headers=headers)
            assert (answer.status_code, answer.headers["Content-Type"]) == (200, wanted), answer.text
            found = {
                "application/json": lambda content: json.loads(content)["columns"]["y"],
                ARROW: lambda content: pa.ipc.open_stream(content).read_all()["y"].to_pylist(),
                NPY: lambda content: np.load(io.BytesIO(content))[:, 0].tolist(),
            }[wanted](answer.content)
            expected = expected or found
            assert found == expected
    wrong = {"Content-Type": ARROW}
    told = problem(service.client.post(path, content=b"", headers=wrong), 422, "invalid_request")
    assert told["errors"][0]["code"] == "unreadable_table"
    table = arrow({"x": [1.0, None], "z": [1.0, 1.0]})
    told = problem(service.client.post(path, content=table, headers=wrong), 422, "column_mismatch")
    assert (told["errors"][0]["code"], told["errors"][0]["pointer"]) == ("missing_values", "/columns/x/1")
    told = {"Content-Type": "application/json", "Accept": "image/png"}
    problem(service.client.post(path, content=as_json, headers=told), 406, "not_acceptable")


def test_many_rows_to_predict_are_answered_by_row(service: Service) -> None:
    columns = {name: values.tolist() for name, values in TABLE.items()}
    job = service.submit({**spec_of(), "data": {"type": "inline", "columns": columns, "target": "y"}})
    path = f"/v1/jobs/{job['id']}/predict"
    numbers = np.random.default_rng(0).standard_normal((5000, 2)).tolist()
    rows = [{"x": x, "z": z} for x, z in numbers]
    by_row = service.client.post(path, json={"rows": rows}).json()["rows"]
    x, z = map(list, zip(*numbers, strict=True))
    by_column = service.client.post(path, json={"columns": {"x": x, "z": z}}).json()["columns"]
    assert [row["y"] for row in by_row] == by_column["y"]
    rows[4321] = {"x": 1.0, "z": None}
    told = problem(service.client.post(path, json={"rows": rows}), 422, "column_mismatch")
    assert told["errors"][0]["pointer"] == "/rows/4321/z"


def test_a_million_numbers_do_not_hold_up_other_requests() -> None:
    numbers = np.random.default_rng(0).standard_normal(500_000)
    columns = {"x": numbers.tolist(), "y": (5 * numbers).tolist()}
    spec = {**spec_of(), "data": {"type": "inline", "columns": columns, "target": "y"}}
    body = json.dumps(spec).encode()

    def longest_wait(read: Any) -> float:  # noqa: ANN401 - a call
        """The longest time for which this thread, as the event loop's would, got no turn."""
        thread = threading.Thread(target=read)
        thread.start()
        waits, last = [0.0], time.perf_counter()
        while thread.is_alive():
            time.sleep(0.0005)
            waits.append(-last + (last := time.perf_counter()))
        return max(waits)

    plain = min(longest_wait(lambda: JobSpec.model_validate_json(body)) for _ in range(3))
    pieces = min(longest_wait(lambda: validated(JobSpec, body)) for _ in range(3))
    assert pieces < plain / 2, f"{pieces * 1e3:.0f} ms instead of {plain * 1e3:.0f} ms"
