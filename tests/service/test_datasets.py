"""Datasets over HTTP: uploaded in every format, described, looked into, joined, deleted."""

import concurrent.futures
import gzip
import http.client
import io
import json
import os
import signal
import struct
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import sqlalchemy as sa

from service.db import Database
from service.jobs.orm import Job
from service.tables.files import damaged_files, open_dataset
from tests.conftest import Service
from tests.service.test_bad_requests import problem

CSV = b"x,color,y\n1,red,5\n2,blue,7\n,red,9\n"
MEGABYTE = 2**20


def send(service: Service, data: bytes, kind: str = "text/csv", *, query: str = "", **headers: str) -> Any:  # noqa: ANN401
    headers = {"Content-Type": kind, **{name.replace("_", "-"): value for name, value in headers.items()}}
    return service.client.post(f"/v1/datasets{query}", content=data, headers=headers)


def uploaded(service: Service, data: bytes, kind: str = "text/csv", *, query: str = "") -> dict[str, Any]:
    answer = send(service, data, kind, query=query)
    assert answer.status_code in {200, 201}, answer.text
    dataset: dict[str, Any] = answer.json()
    assert answer.headers["Location"] == f"/v1/datasets/{dataset['id']}"
    return dataset


def preview(service: Service, dataset: dict[str, Any], rows: int = 10) -> list[dict[str, Any]]:
    answer = service.client.get(f"/v1/datasets/{dataset['id']}/preview", params={"rows": rows})
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["rows"]
    return found


def folders(service: Service) -> set[str]:
    root = service.data_dir / "datasets"
    kept = {path.name for path in root.iterdir() if not path.name.startswith(".")}
    return kept | {path.name for path in (root / ".incoming").iterdir()}


def idx(array: np.ndarray) -> bytes:
    return struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.tobytes()


def as_file(write: Callable[[io.BytesIO], object]) -> bytes:
    buffer = io.BytesIO()
    write(buffer)
    return buffer.getvalue()


def arrow(table: Any, new: Callable[..., Any]) -> bytes:  # noqa: ANN401
    def write(buffer: io.BytesIO) -> None:
        with new(buffer, table.schema) as writer:
            writer.write_table(table)

    return as_file(write)


TABLE = pa.table({"x": [1.0, 2.0], "color": ["red", "blue"]})
ROWS = [{"x": 1.0, "color": "red"}, {"x": 2.0, "color": "blue"}]
FORMATS = [
    ("text/csv", b"x,color\n1,red\n2,blue\n", ROWS),
    ("text/csv; charset=utf-8", b"x;color\r\n1,0;red\r\n2,0;blue\r\n", ROWS),
    ("text/tab-separated-values", b"x\tcolor\n1\tred\n2\tblue\n", ROWS),
    ("application/x-ndjson", b'{"x": 1, "color": "red"}\n{"x": 2, "color": "blue"}\n', ROWS),
    ("application/jsonl", b'{"x": 1.0, "color": "red"}\n{"x": 2, "color": "blue"}', ROWS),
    ("application/vnd.apache.parquet", as_file(lambda file: pq.write_table(TABLE, file)), ROWS),
    ("application/vnd.apache.arrow.stream", arrow(TABLE, pa.ipc.new_stream), ROWS),
    ("application/vnd.apache.arrow.file", arrow(TABLE, pa.ipc.new_file), ROWS),
    ("application/x-npz", as_file(lambda file: np.savez(file, x=[1.0, 2.0], color=["red", "blue"])), ROWS),
    ("application/x-npy", as_file(lambda file: np.save(file, [[1, 2]])), [{"values": [1, 2]}]),
    ("application/x-idx", idx(np.array([7, 3], np.uint8)), [{"label": 7}, {"label": 3}]),
]


@pytest.mark.parametrize(("kind", "data", "rows"), FORMATS)
def test_every_format_can_be_uploaded(service: Service, kind: str, data: bytes, rows: list[Any]) -> None:
    dataset = uploaded(service, data, kind)
    assert dataset["rows"] == len(rows)
    assert dataset["uploaded_bytes"] == len(data)
    assert preview(service, dataset) == rows
    assert service.client.get(dataset["links"]["self"]).json() == dataset
    assert list(damaged_files(service.data_dir / "datasets" / dataset["digest"])) == []


def test_a_dataset_is_described_with_its_figures(service: Service) -> None:
    answer = send(service, CSV, query="?name=first")
    assert answer.status_code == 201
    dataset = answer.json()
    assert dataset["object"] == "dataset"
    assert (dataset["name"], dataset["format"], dataset["column_count"]) == ("first", "csv", 3)
    x, color, y = dataset["columns"]
    assert x | {"name": "x", "kind": "number", "missing": 1, "minimum": 1.0, "maximum": 2.0, "mean": 1.5} == x
    assert (color["kind"], color["distinct"], color["values"]) == ("category", 2, ["blue", "red"])
    assert (y["std"], y["missing"]) == (pytest.approx(1.632993161855452), 0)
    assert preview(service, dataset)[2] == {"x": None, "color": "red", "y": 9.0}
    assert len(preview(service, dataset, rows=1)) == 1


def test_dates_are_told_as_such_and_shown_as_text(service: Service) -> None:
    dataset = uploaded(service, b"day,x\n2025-01-07,1\n2025-01-07T12:30:00.25+01:00,2\n,3\n")
    day, x = dataset["columns"]
    assert (day["kind"], day["unit"], x["unit"]) == ("number", "seconds since 1970", None)
    assert (day["minimum"], day["values"]) == (1736208000.0, [1736208000.0, 1736249400.25])
    shown = ["2025-01-07T00:00:00Z", "2025-01-07T11:30:00.250000Z", None]
    assert [row["day"] for row in preview(service, dataset)] == shown


def test_dates_in_arrays_and_beyond_the_calendar_are_shown(service: Service) -> None:
    days = np.array([["1970-01-01", "0001-01-01"], ["9999-12-31", "12345-01-01"]], "M8[D]")
    dataset = uploaded(service, as_file(lambda file: np.savez(file, days=days)), "application/x-npz")
    seconds = float(days[1, 1].astype("M8[s]").astype(np.int64))
    assert [row["days"] for row in preview(service, dataset)] == [
        ["1970-01-01T00:00:00Z", "0001-01-01T00:00:00Z"],
        ["9999-12-31T00:00:00Z", seconds],
    ]


def test_numbers_are_listed_where_they_may_be_classes(service: Service) -> None:
    data = "few,many\n" + "".join(f"{number % 20},{number % 21}\n" for number in range(100))
    few, many = uploaded(service, data.encode())["columns"]
    assert (few["distinct"], few["values"]) == (20, list(range(20)))
    assert (many["distinct"], many["values"]) == (21, None)


def test_a_whole_number_that_cannot_be_kept_is_refused_with_the_way_out(service: Service) -> None:
    data = b"id,y\n9007199254740992,1\n9007199254740993,2\n"
    told = problem(send(service, data), 422, "invalid_dataset")
    assert told["errors"][0]["code"] == "inexact_integer"
    assert "?category=" in told["errors"][0]["hint"]
    kept = uploaded(service, data, query="?category=id")
    assert [row["id"] for row in preview(service, kept)] == ["9007199254740992", "9007199254740993"]


def test_at_most_a_hundred_values_are_shown(service: Service) -> None:
    data = "c,n\n" + "".join(f"v{number:03},{number % 500}\n" for number in range(900))
    category, number = uploaded(service, data.encode())["columns"]
    assert (category["distinct"], len(category["values"])) == (900, 100)
    assert (number["distinct"], number["values"]) == (500, None)
    assert category["values"][-1] == "v099"


def test_the_same_upload_twice_is_one_dataset(service: Service) -> None:
    data = b"same\n1\n2\n"
    first = send(service, data, query="?name=one")
    again = send(service, data, query="?name=two")
    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json() == again.json()
    other = send(service, data, query="?header=false")
    assert (other.status_code, other.json()["rows"]) == (201, 3)
    assert other.json()["id"] != first.json()["id"]
    assert send(service, data, query="?delimiter=comma").json()["digest"] != first.json()["digest"]


def test_many_at_once_make_one_dataset(service: Service) -> None:
    data = b"at,once\n1,2\n3,4\n"
    with concurrent.futures.ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda _: send(service, data), range(6)))
    assert sorted(answer.status_code for answer in answers) == [200] * 5 + [201]
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert not list((service.data_dir / "datasets" / ".incoming").iterdir())


def test_two_idx_files_become_one_dataset(service: Service) -> None:
    images = np.arange(3 * 28 * 28).astype(np.uint8).reshape(3, 28, 28)
    first = uploaded(service, gzip.compress(idx(images)), "application/x-idx")
    labels = idx(np.array([5, 0, 4], np.uint8))
    both = uploaded(service, labels, "application/x-idx", query=f"?join={first['id']}&name=digits")
    assert [column["name"] for column in both["columns"]] == ["image", "label"]
    assert both["columns"][0]["shape"] == [28, 28]
    assert both["columns"][1]["values"] == [0.0, 4.0, 5.0]
    row = preview(service, both, rows=1)[0]
    assert row == {"image": {"shape": [28, 28], "minimum": 0, "maximum": 255}, "label": 5}
    again = send(service, labels, "application/x-idx", query=f"?join={first['id']}")
    assert (again.status_code, again.json()["id"]) == (200, both["id"])
    assert service.client.delete(f"/v1/datasets/{first['id']}").status_code == 204
    frame = open_dataset(service.data_dir / "datasets" / both["digest"])
    assert np.array_equal(frame.arrays["image"], images)


def test_what_cannot_be_joined(service: Service) -> None:
    base = uploaded(service, b"a\n1\n2\n3\n")
    told = problem(send(service, b"b\n1\n", query=f"?join={base['id']}"), 422, "invalid_dataset")
    assert told["errors"][0]["code"] == "ragged_columns"
    told = problem(send(service, b"a\n1\n2\n4\n", query=f"?join={base['id']}"), 422, "invalid_dataset")
    assert told["errors"][0]["code"] == "duplicate_column"
    problem(send(service, b"b\n1\n", query="?join=ds_none"), 404, "dataset_not_found")


def test_a_compressed_body_is_unpacked(service: Service) -> None:
    told = uploaded(service, gzip.compress(CSV + b"1,red,1\n"))
    assert told["rows"] == 4
    answer = send(service, gzip.compress(CSV + b"2,red,2\n"), Content_Encoding="gzip")
    assert (answer.status_code, answer.json()["rows"]) == (201, 4)
    problem(send(service, CSV, Content_Encoding="gzip"), 422, "invalid_dataset")
    problem(send(service, CSV, Content_Encoding="br"), 415, "unsupported_media_type")


@pytest.mark.parametrize(
    ("kind", "hint"),
    [
        ("application/x-www-form-urlencoded", "curl sends this type unless told another"),
        ("multipart/form-data; boundary=x", "not as a form"),
        ("application/json", "application/x-ndjson"),
        ("", "text/csv"),
        ("application/zip", "application/x-npz"),
    ],
)
def test_other_types_are_refused_with_the_list(service: Service, kind: str, hint: str) -> None:
    told = problem(send(service, CSV, kind), 415, "unsupported_media_type")
    assert hint in told["hint"]


def test_a_dirty_file_is_told_line_by_line(service: Service) -> None:
    told = problem(send(service, b"a,b\n1,2\n3\n4,5\n6,7,8\n"), 422, "invalid_dataset")
    assert told["detail"] == "The file has 2 problems."
    assert [one["code"] for one in told["errors"]] == ["wrong_field_count"] * 2
    assert [one["message"].split(" has")[0] for one in told["errors"]] == ["Line 3", "Line 5"]


@pytest.mark.parametrize(
    ("query", "kind", "parameter"),
    [
        ("?delimiter=tab", "application/x-npz", "delimiter"),
        ("?header=true", "application/x-ndjson", "header"),
        ("?category=a", "application/x-npy", "category"),
        ("?column=a", "text/csv", "column"),
        ("?delimeter=tab", "text/csv", "delimeter"),
        ("?delimiter=%23", "text/csv", "delimiter"),
        ("?header=yes", "text/csv", "header"),
        ("?name=", "text/csv", "name"),
        ("?category=zap", "text/csv", "category"),
        ("?name=a%00b", "text/csv", "name"),
        ("?category=x%00", "text/csv", "category"),
        ("?column=a%00", "application/x-npy", "column"),
    ],
)
def test_bad_parameters(service: Service, query: str, kind: str, parameter: str) -> None:
    answer = send(service, CSV, kind, query=query)
    assert answer.status_code == 422
    assert [one["parameter"] for one in answer.json()["errors"]] == [parameter]
    assert answer.json()["errors"][0]["hint"]


def test_the_list_goes_on_after_a_cursor(service: Service) -> None:
    ids = [uploaded(service, f"n\n{number}\n{number}\n".encode())["id"] for number in range(3)][::-1]
    page = service.client.get("/v1/datasets", params={"limit": 2}).json()
    assert [one["id"] for one in page["data"]] == ids[:2]
    assert page["has_more"]
    assert "columns" not in page["data"][0]
    rest = service.client.get("/v1/datasets", params={"limit": 1, "after": page["next_after"]}).json()
    assert [one["id"] for one in rest["data"]] == ids[2:]
    told = service.client.get("/v1/datasets", params={"after": "ds_none"})
    assert problem(told, 422, "invalid_request")["errors"][0]["code"] == "unknown_cursor"


def test_a_deleted_dataset_is_gone_with_its_files(service: Service) -> None:
    dataset = uploaded(service, b"gone\n1\n")
    assert dataset["digest"] in folders(service)
    path = f"/v1/datasets/{dataset['id']}"
    assert service.client.delete(path).status_code == 204
    assert dataset["digest"] not in folders(service)
    for answer in (
        service.client.get(path),
        service.client.delete(path),
        service.client.get(f"{path}/preview"),
    ):
        problem(answer, 404, "dataset_not_found")
    assert send(service, b"gone\n1\n").status_code == 201


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service with a key and small limits."""
    running = Service(
        tmp_path_factory.mktemp("small") / "data",
        FITD_SLOTS="1",
        FITD_API_KEY="secret",
        FITD_LIMITS__MAX_UPLOAD_BYTES=str(MEGABYTE),
        FITD_LIMITS__MAX_ROWS="1000",
        FITD_LIMITS__MAX_FEATURES="10",
        FITD_PARSE_SECONDS="20",
        FITD_PARSE_MEMORY_BYTES=str(128 * MEGABYTE),
    )
    running.client.headers["Authorization"] = "Bearer secret"
    yield running
    running.close()


def test_a_key_is_needed(small: Service) -> None:
    for method, path in (
        ("POST", ""),
        ("GET", ""),
        ("GET", "/ds_x"),
        ("GET", "/ds_x/preview"),
        ("DELETE", "/ds_x"),
    ):
        answer = small.client.request(method, f"/v1/datasets{path}", headers={"Authorization": "Bearer no"})
        problem(answer, 401, "unauthorized")
    assert send(small, CSV).status_code == 201


def test_too_large_is_413_and_leaves_nothing(small: Service) -> None:
    before = folders(small)
    rows = "\n".join(["x", *["1"] * 2000]).encode()
    for data, code in (
        (b"x" * (MEGABYTE + 1), "body_too_large"),
        (gzip.compress(b"1\n" * MEGABYTE), "dataset_too_large"),
        (rows, "dataset_too_large"),
        (b",".join([b"1"] * 12), "dataset_too_large"),
    ):
        told = problem(send(small, data), 413, code)
        assert told["hint"]
        # What is packed counts unpacked too: packing it is no way out.
        assert "gzip" not in told["hint"]
    assert folders(small) == before


def test_a_body_of_unknown_length_is_cut_off_at_the_limit(small: Service) -> None:
    def endless() -> Iterator[bytes]:
        for _ in range(64):
            yield b"1\n" * 2**15

    answer = small.client.post("/v1/datasets", content=endless(), headers={"Content-Type": "text/csv"})
    problem(answer, 413, "body_too_large")


def test_a_file_that_takes_too_much_memory(small: Service) -> None:
    texts = pa.DictionaryArray.from_arrays(np.zeros(900, np.int32), pa.array(["x" * 64 * MEGABYTE]))
    data = as_file(lambda file: pq.write_table(pa.table({"s": texts}), file, compression="zstd"))
    assert len(data) < MEGABYTE
    told = problem(send(small, data, "application/vnd.apache.parquet"), 413, "dataset_too_large")
    assert "memory" in told["detail"]
    assert small.client.get("/healthz").status_code == 200


def test_a_full_disk_is_told_and_leaves_nothing(own_service: Callable[..., Service]) -> None:
    service = own_service(FITD_SLOTS="1", FITD_MIN_FREE_BYTES=str(2**60))
    told = problem(send(service, CSV), 507, "disk_full")
    assert told["hint"]
    assert folders(service) == set()


def test_a_caller_who_leaves_stops_the_reading(service: Service) -> None:
    data = b"a,b\n" + b"1.25,abc\n" * 3_000_000
    before = folders(service)
    connection = http.client.HTTPConnection(service.url.removeprefix("http://"), timeout=30)
    connection.request("POST", "/v1/datasets", data, {"Content-Type": "text/csv"})
    api = service.pid_of("api")
    deadline = time.monotonic() + 20
    while not _readers(service, api) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert _readers(service, api)
    connection.close()
    while (_readers(service, api) or folders(service) != before) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not _readers(service, api)
    assert folders(service) == before


def _readers(service: Service, api: int) -> list[int]:
    return [pid for pid, command in service.children(api).items() if "service.tables.child" in command]


def test_a_killed_api_leaves_nothing_behind(own_service: Callable[..., Service]) -> None:
    service = own_service(FITD_SLOTS="1")
    kept = uploaded(service, CSV)
    api = service.pid_of("api")
    connection = http.client.HTTPConnection(service.url.removeprefix("http://"), timeout=30)
    connection.putrequest("POST", "/v1/datasets")
    connection.putheader("Content-Type", "text/csv")
    connection.putheader("Content-Length", "1000000")
    connection.endheaders(b"a,b\n1,2\n")
    deadline = time.monotonic() + 10
    while len(folders(service)) < 2 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert len(folders(service)) == 2
    orphan = service.data_dir / "datasets" / ("f" * 64)
    orphan.mkdir()
    os.kill(api, signal.SIGKILL)
    while folders(service) != {kept["digest"]} and time.monotonic() < deadline + 20:
        time.sleep(0.05)
    connection.close()
    service.wait_until_ready()
    assert folders(service) == {kept["digest"]}
    assert preview(service, kept)[0] == {"x": 1.0, "color": "red", "y": 5.0}


def test_nothing_of_this_was_a_fault_of_the_service(service: Service) -> None:
    log = Path(str(service._log.name)).read_text("utf-8")
    assert "a file could not be read" not in log
    assert not [line for line in log.splitlines() if "Traceback" in line]


def test_damaged_files_are_told(service: Service) -> None:
    dataset = uploaded(service, b"soon,damaged\n1,2\n")
    path = f"/v1/datasets/{dataset['id']}"
    next((service.data_dir / "datasets" / dataset["digest"]).glob("*.npy")).unlink()
    problem(service.client.get(f"{path}/preview"), 500, "dataset_damaged")
    assert service.client.delete(path).status_code == 204


def test_a_dataset_that_a_job_needs_stays(service: Service, tutorial: dict[str, Any]) -> None:
    dataset = uploaded(service, b"needed\n1\n2\n")
    tutorial["training"] |= {"epochs": 1_000_000, "engine": "eager"}
    job = service.submit(tutorial, wait=0)
    database = Database(f"sqlite:///{service.data_dir / 'fitd.db'}")
    with database.write() as session:
        session.execute(sa.update(Job).where(Job.id == job["id"]).values(dataset_id=dataset["id"]))
    database.close()
    path = f"/v1/datasets/{dataset['id']}"
    told = problem(service.client.delete(path), 409, "dataset_in_use")
    assert job["id"] in told["hint"]
    assert preview(service, dataset) == [{"needed": 1.0}, {"needed": 2.0}]
    service.client.post(f"/v1/jobs/{job['id']}/cancel")
    assert service.job(job["id"], wait=20)["terminal"]
    assert service.client.delete(path).status_code == 204


def test_the_list_of_types_is_in_the_openapi_document(service: Service) -> None:
    document = json.loads(service.client.get("/openapi.json").content)
    content = document["paths"]["/v1/datasets"]["post"]["requestBody"]["content"]
    assert {kind.split(";", maxsplit=1)[0] for kind, _, _ in FORMATS} == set(content)
