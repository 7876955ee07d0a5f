"""Batch predictions over HTTP, made by the live service."""

import csv
import io
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from tests.conftest import Service
from tests.predictions.asked import (
    ARROW,
    LINE,
    PARQUET,
    TOWNS,
    numbers,
    order,
    predicted,
    table,
    uploaded,
    wait_for,
)


@pytest.fixture(scope="module")
def line(service: Service) -> str:
    """A job that has ended."""
    return str(service.submit(LINE)["id"])


@pytest.fixture(scope="module")
def done(service: Service, line: str) -> dict[str, Any]:
    """A prediction that has ended."""
    return predicted(service, order(line, uploaded(service, numbers(20_000)), keep=["id"]))


def test_a_dataset_is_predicted(service: Service, line: str, done: dict[str, Any]) -> None:
    assert (done["object"], done["status"], done["terminal"]) == ("batch_prediction", "succeeded", True)
    assert done["progress"] == {"rows": 20_000, "total": 20_000, "fraction": 1.0}
    assert done["source"]["job_id"] == line
    result = done["result"]
    assert (result["rows"], result["columns"]) == (20_000, ["id", "y"])
    assert (result["unpredicted_rows"], result["warnings"]) == (0, [])
    assert service.client.get(done["links"]["self"]).json() == done
    assert service.client.get("/v1/predictions", params={"status": "succeeded"}).json()["data"][0] == done


def test_it_is_what_an_online_prediction_gives_to_the_last_bit(
    service: Service, line: str, done: dict[str, Any]
) -> None:
    found = table(service, done)
    assert found["id"].to_pylist() == list(range(20_000))
    x = np.arange(20_000) % 97 / 7
    body = {"columns": {"x": x.tolist()}}
    online = service.client.post(f"/v1/jobs/{line}/predict", json=body).json()["columns"]["y"]
    assert found["y"].to_pylist() == online


def test_the_result_is_the_same_in_every_form(service: Service, done: dict[str, Any]) -> None:
    get, path = service.client.get, done["links"]["result"]
    whole = table(service, done)
    text = get(path)
    assert text.headers["content-type"].startswith("text/csv")
    assert done["id"] in text.headers["content-disposition"]
    rows = list(csv.DictReader(io.StringIO(text.text)))
    assert [float(row["y"]) for row in rows] == whole["y"].to_pylist()
    stream = get(path, headers={"Accept": ARROW})
    assert pa.ipc.open_stream(stream.content).read_all().to_pydict() == whole.to_pydict()
    assert get(path, headers={"Accept": "image/png"}).status_code == 406
    tags = {get(path, headers={"Accept": kind}).headers["etag"] for kind in ("text/csv", ARROW, PARQUET)}
    assert len(tags) == 3
    assert f'"{done["result"]["digest"]}"' in tags
    for tag in tags:
        kept = [
            get(path, headers={"Accept": kind, "If-None-Match": tag}) for kind in ("text/csv", ARROW, PARQUET)
        ]
        assert sorted(one.status_code for one in kept) == [200, 200, 304]


def test_the_parquet_file_can_be_fetched_in_parts(service: Service, done: dict[str, Any]) -> None:
    def part(span: str) -> Any:  # noqa: ANN401
        return service.client.get(done["links"]["result"], headers={"Accept": PARQUET, "Range": span})

    size = done["result"]["bytes"]
    first, rest = part("bytes=0-99"), part("bytes=100-")
    assert (first.status_code, rest.status_code) == (206, 206)
    whole = service.client.get(done["links"]["result"], headers={"Accept": PARQUET}).content
    assert first.content + rest.content == whole
    assert len(whole) == size
    assert part("bytes=-7").content == whole[-7:]
    beyond = part(f"bytes={size}-")
    assert (beyond.status_code, beyond.json()["code"]) == (416, "range_not_satisfiable")
    for ignored in ("bytes=5-1", "bytes=-", "rows=1-2", "bytes=0-1,4-5"):
        assert part(ignored).content == whole


def test_names_and_classes_in_any_script(service: Service) -> None:
    job = service.submit(TOWNS)
    rows = "größe,Stadt,Straße\n55,Zürich,Ä\n66,Łódź,\n77,Kraków,Ö\n88,,Ü\n"
    found = predicted(service, order(job["id"], uploaded(service, rows), keep=["Straße"]))
    assert found["result"]["columns"] == [
        "Straße", "класс", "probabilities.não", "probabilities.sí",
    ]  # fmt: skip
    assert found["result"]["unpredicted_rows"] == 2
    told = {one["code"]: one for one in found["result"]["warnings"]}
    assert told["unknown_category"] == {
        "code": "unknown_category", "column": "Stadt", "rows": 1, "first_row": 2,
        "message": "`Stadt` was never `Kraków` in the training.",
    }  # fmt: skip
    assert (told["missing_values"]["rows"], told["missing_values"]["first_row"]) == (1, 3)
    read = table(service, found).to_pydict()
    assert read["Straße"] == ["Ä", None, "Ö", "Ü"]
    assert set(read["класс"][:2]) <= {"sí", "não"}
    assert read["класс"][2:] == [None, None]
    assert read["probabilities.sí"][2:] == [None, None]
    rows_of_csv = list(csv.DictReader(io.StringIO(service.client.get(found["links"]["result"]).text)))
    assert [row["Straße"] for row in rows_of_csv] == ["Ä", "", "Ö", "Ü"]


def test_a_lone_column_keeps_its_empty_rows(service: Service, line: str) -> None:
    found = predicted(service, order(line, uploaded(service, "id,x\n1,1\n2,\n3,3\n")))
    rows = list(csv.reader(io.StringIO(service.client.get(found["links"]["result"]).text)))
    assert [len(row) for row in rows] == [1, 1, 1, 1]
    assert rows[2] == [""]


def test_if_no_row_can_be_predicted_it_has_failed_and_says_why(service: Service, line: str) -> None:
    found = predicted(service, order(line, uploaded(service, "id,x\n1,\n2,\n")))
    assert (found["status"], found["error"]["code"]) == ("failed", "no_row_predicted")
    assert "`x`" in found["error"]["message"]
    refused = service.client.get(found["links"]["result"])
    assert (refused.status_code, refused.json()["code"]) == (409, "no_result")


@pytest.mark.parametrize(
    ("text", "more", "pointer", "code"),
    [
        ("id,z\n1,2\n", {}, "/data/id", "missing"),
        ("id,x\n1,red\n2,blue\n", {}, "/data/id", "wrong_type"),
        ("id,x\n1,2\n", {"keep": ["ID"]}, "/keep/0", "unknown_column"),
        ("id,x\n1,2\n", {"keep": ["id", "id"]}, "/keep/1", "duplicate_column"),
        ("id,x\n1,2\n", {"version": 1}, "/version", "incompatible_fields"),
        ("id,x\n1,2\n", {"keeps": ["id"]}, "/keeps", "unknown_field"),
        ("id,x\n1,2\n", {"job": "job_none"}, "/job", "unknown_job"),
        ("id,x\n1,2\n", {"job": None}, "", "missing"),
        ("id,x\n1,2\n", {"model": "m"}, "", "incompatible_fields"),
        ("id,x\n1,2\n", {"data": {"type": "dataset", "id": "ds_none"}}, "/data/id", "unknown_dataset"),
    ],
)
def test_what_cannot_be_predicted_is_refused_at_once(
    service: Service, line: str, text: str, more: dict[str, Any], pointer: str, code: str
) -> None:
    body = order(line, uploaded(service, text)) | more
    answer = service.client.post("/v1/predictions", json=body)
    assert answer.status_code == 422, answer.text
    (problem,) = answer.json()["errors"]
    assert (problem["pointer"], problem["code"]) == (pointer, code)
    assert problem["hint"]


def test_the_same_key_gives_the_same_prediction(service: Service, line: str) -> None:
    body = order(line, uploaded(service, numbers(10)))
    first, again = (predicted(service, body, **{"Idempotency-Key": "batch"}) for _ in range(2))
    assert first["id"] == again["id"]
    other = service.client.post(
        "/v1/predictions", json=body | {"keep": ["id"]}, headers={"Idempotency-Key": "batch"}
    )
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_conflict")


def test_the_job_may_go_and_a_deleted_prediction_is_gone_with_its_file(service: Service) -> None:
    job = service.submit(LINE)
    found = predicted(service, order(job["id"], uploaded(service, numbers(11))))
    assert service.client.delete(f"/v1/jobs/{job['id']}").status_code == 204
    assert table(service, found).num_rows == 11
    folder = service.data_dir / "predictions" / found["id"]
    assert [path.name for path in folder.iterdir()] == ["1.parquet"]
    assert service.client.post(found["links"]["cancel"]).status_code == 409
    assert service.client.delete(found["links"]["self"]).status_code == 204
    assert not folder.exists()
    for path in (found["links"]["self"], found["links"]["result"]):
        assert service.client.get(path).json()["code"] == "prediction_not_found"


def test_groups_are_predicted_each_by_its_model(service: Service) -> None:
    columns = {"shop": ["a"] * 4 + ["b"] * 4, "x": [0, 1, 2, 3] * 2, "y": [0, 1, 2, 3, 9, 8, 7, 6]}
    data = {"type": "inline", "columns": columns, "target": "y", "group_by": "shop"}
    job = service.submit({**LINE, "data": data, "model": {"type": "linear"}})
    assert job["status"] == "succeeded", job
    shops = ["a", "b", "c", "a"]
    text = "shop,x\n" + "".join(f"{shop},{row % 5}\n" for row, shop in enumerate(shops * 50))
    found = predicted(service, order(job["id"], uploaded(service, text), keep=["shop"]))
    assert found["result"]["unpredicted_rows"] == 50
    (told,) = found["result"]["warnings"]
    assert (told["code"], told["column"], told["first_row"]) == ("unknown_group", "shop", 2)
    read = table(service, found).to_pydict()
    rows = [row for row in range(200) if shops[row % 4] != "c"]
    body = {"columns": {"shop": [shops[row % 4] for row in rows], "x": [row % 5 for row in rows]}}
    online = service.client.post(f"/v1/jobs/{job['id']}/predict", json=body).json()["columns"]["y"]
    # The rows of a group come in other blocks, and a product of matrices may round otherwise in a larger one.
    assert [read["y"][row] for row in rows] == pytest.approx(online, rel=1e-6)
    assert all(read["y"][row] is None for row in range(2, 200, 4))


@pytest.fixture(scope="module")
def armed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Service, Path]]:
    """A service of its own, to be killed, and the folder that says when."""
    root = tmp_path_factory.mktemp("armed")
    (root / "failpoints").mkdir()
    running = Service(
        root / "data",
        FITD_FAILPOINTS_DIR=str(root / "failpoints"),
        FITD_SLOTS="1",
        FITD_CANCEL_SECONDS="1",
        FITD_MAX_CRASHES="2",
    )
    yield running, root / "failpoints"
    running.close()


def frozen(service: Service, failpoints: Path, body: dict[str, Any]) -> tuple[dict[str, Any], int]:
    """Submit a prediction whose process freezes after its first rows; gives it with the process."""
    for path in failpoints.iterdir():
        path.unlink()
    (failpoints / "prediction_half_written").write_text("stop")
    found = predicted(service, body, wait=0)
    deadline = time.monotonic() + 60
    while not (taken := list(failpoints.glob("*.taken-by-*"))):
        assert time.monotonic() < deadline, service.log
        time.sleep(0.02)
    return found, int(taken[0].name.rpartition("-")[2])


def files_of(service: Service, found: dict[str, Any]) -> list[str]:
    folder = service.data_dir / "predictions" / found["id"]
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


def is_alive(pid: int) -> bool:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except FileNotFoundError:
        return False
    return fields[0] != "Z"


def has_ended(found: dict[str, Any]) -> bool:
    return bool(found["terminal"])


def test_it_survives_a_kill_at_any_moment_and_a_poison_ends(armed: tuple[Service, Path]) -> None:
    service, failpoints = armed
    job = service.submit(LINE)
    body = order(job["id"], uploaded(service, numbers(1000)), keep=["id"])
    whole = table(service, predicted(service, body))
    for moment, attempts in (
        ("prediction_claimed", 2),
        ("prediction_half_written", 2),
        ("prediction_written", 2),
        ("prediction_finished", 1),
    ):
        (failpoints / moment).write_text("kill")
        found = predicted(service, body)
        assert (found["status"], found["attempt"]) == ("succeeded", attempts), (moment, found)
        assert table(service, found) == whole
        assert files_of(service, found) == [f"{attempts}.parquet"]
    (failpoints / "prediction_half_written").write_text("kill")
    poisoned = predicted(service, body, wait=0)
    wait_for(service, poisoned, lambda now: now["attempt"] > 1)
    (failpoints / "prediction_half_written").write_text("kill")
    ended = wait_for(service, poisoned, has_ended)
    assert (ended["status"], ended["error"]["code"]) == ("failed", "worker_crashed")
    assert "2 times" in ended["error"]["message"]


def test_it_survives_its_worker_and_its_service(armed: tuple[Service, Path]) -> None:
    service, failpoints = armed
    job = service.submit(LINE)
    body = order(job["id"], uploaded(service, numbers(1000)), keep=["id"])
    found, zombie = frozen(service, failpoints, body)
    held = service.client.delete(f"/v1/datasets/{found['dataset_id']}")
    assert (held.status_code, held.json()["code"]) == (409, "dataset_in_use")
    assert found["id"] in held.json()["detail"]
    os.kill(service.pid_of("worker"), signal.SIGKILL)  # The supervisor starts another.
    ended = wait_for(service, found, has_ended)
    assert (ended["status"], ended["attempt"]) == ("succeeded", 2)
    os.kill(zombie, signal.SIGCONT)
    deadline = time.monotonic() + 30
    while is_alive(zombie):  # Its worker is gone, and so it goes.
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert files_of(service, found) == ["2.parquet"]
    stopped, _ = frozen(service, failpoints, body)
    service.stop()  # A drain gives it back.
    service.restart()
    again = wait_for(service, stopped, has_ended)
    assert (again["status"], again["attempt"]) == ("succeeded", 2)
    assert table(service, again) == table(service, ended)


def test_two_workers_predict_two_at_once(armed: tuple[Service, Path]) -> None:
    service, failpoints = armed
    job = service.submit(LINE)
    body = order(job["id"], uploaded(service, numbers(1000)), keep=["id"])
    waits, process = frozen(service, failpoints, body)
    other = service.second_worker()
    try:
        beside = predicted(service, body)
        assert beside["status"] == "succeeded", beside
        assert service.client.get(waits["links"]["self"]).json()["status"] == "running"
        os.kill(process, signal.SIGCONT)
        assert wait_for(service, waits, has_ended)["attempt"] == 1
    finally:
        other.send_signal(signal.SIGINT)
        other.wait(20)
    assert table(service, waits) == table(service, beside)


def test_a_cancel_works_in_each_state(armed: tuple[Service, Path]) -> None:
    service, failpoints = armed
    job = service.submit(LINE)
    body = order(job["id"], uploaded(service, numbers(1000)))
    running, _ = frozen(service, failpoints, body)
    queued = predicted(service, body, wait=0)
    assert service.client.post(queued["links"]["cancel"]).json()["status"] == "cancelled"
    asked = service.client.post(running["links"]["cancel"])
    assert (asked.status_code, asked.json()["status"]) == (202, "cancelling")
    ended = wait_for(service, running, has_ended)  # It does not hear of it, and is killed.
    assert (ended["status"], ended["result"]) == ("cancelled", None)
    assert files_of(service, running) == []
    figures = service.client.get("/metrics").text
    assert 'fitd_predictions{status="cancelled"} 2.0' in figures
