"""Keys as callers meet them: at the live service, with keys made and revoked while it runs."""

import json
import sqlite3
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.access.keyed import Caller, bearer, fitd, keys, new_key
from tests.conftest import Service


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    running = Service(
        tmp_path_factory.mktemp("keyed") / "data", FITD_SLOTS="1", FITD_API_KEY="the operator's"
    )
    yield running
    running.close()


def short(tutorial: dict[str, Any], epochs: int = 5) -> dict[str, Any]:
    return {**tutorial, "training": {**tutorial["training"], "epochs": epochs, "engine": "eager"}}


def refused(answer: httpx2.Response, status: int, code: str) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    assert answer.headers["Content-Type"] == "application/problem+json"
    told: dict[str, Any] = answer.json()
    assert told["code"] == code
    return told


def within_a_second(condition: Callable[[], bool]) -> None:
    """Half a second of memory, and as much again for a busy machine."""
    deadline = time.monotonic() + 1.0
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_the_first_key_closes_the_service_and_revoking_it_does_not_open_it(
    own_service: Callable[..., Service], tutorial: dict[str, Any]
) -> None:
    service = own_service(FITD_SLOTS="1")
    open_job = service.submit(short(tutorial))
    made = new_key(service.data_dir, "ann")
    within_a_second(lambda: service.client.get("/v1/jobs").status_code == 401)
    ann = Caller(service, made["secret"])
    assert ann.get("/v1/jobs").json()["data"] == []
    assert ann.get(f"/v1/jobs/{open_job['id']}").status_code == 404

    keys(service.data_dir, "revoke", made["id"])
    within_a_second(lambda: ann.get("/v1/jobs").status_code == 401)
    assert "revoked" in refused(ann.get("/v1/jobs"), 401, "unauthorized")["detail"]
    service.stop()
    service.restart()
    refused(service.client.get("/v1/jobs"), 401, "unauthorized")

    # A key of the owner of the first hour sees what was done without keys.
    local = Caller(service, new_key(service.data_dir, "local")["secret"])
    assert [job["id"] for job in local.get("/v1/jobs").json()["data"]] == [open_job["id"]]


def test_what_needs_no_key_needs_none(shared: Service) -> None:
    for path in ("/healthz", "/readyz", "/metrics", "/docs", "/redoc", "/openapi.json"):
        assert shared.client.get(path).status_code == 200, path
    document = shared.client.get("/openapi.json").json()
    for path, operations in document["paths"].items():
        for method in operations:
            answer = shared.client.request(method, path.replace("{", "").replace("}", ""))
            keyed = path.startswith(("/v1", "/v2", "/invocations")) and not path.startswith("/v2/health")
            assert (answer.status_code == 401) == keyed, (method, path)


def test_the_operators_key_is_an_admin_of_the_owner_local(shared: Service, tutorial: dict[str, Any]) -> None:
    operator = Caller(shared, "the operator's")
    job_id = operator.post("/v1/jobs", json=short(tutorial)).json()["id"]
    local = Caller(shared, new_key(shared.data_dir, "local", "read")["secret"])
    assert local.get(f"/v1/jobs/{job_id}").status_code == 200


@pytest.mark.parametrize("sent", ["Bearer", "Bearer x", "Bearer fitd_", "Basic eDp5", "x", "Bearer \xff"])
def test_what_is_no_key_is_told_so(shared: Service, sent: str) -> None:
    answer = shared.client.get("/v1/jobs", headers={"Authorization": sent.encode("latin-1")})
    refused(answer, 401, "unauthorized")
    assert answer.headers["WWW-Authenticate"] == "Bearer"


def test_a_key_that_has_expired_is_told_so(shared: Service) -> None:
    made = new_key(shared.data_dir, "ann", "read", "--expires-in-days", "0.00001")
    time.sleep(0.9)
    told = refused(Caller(shared, made["secret"]).get("/v1/jobs"), 401, "unauthorized")
    assert "expired" in told["detail"]


def test_a_key_that_may_only_look_only_looks(shared: Service, tutorial: dict[str, Any]) -> None:
    writer = Caller(shared, new_key(shared.data_dir, "rita")["secret"])
    reader = Caller(shared, new_key(shared.data_dir, "rita", "read")["secret"])
    job_id = writer.post("/v1/jobs", json=short(tutorial)).json()["id"]
    assert reader.get(f"/v1/jobs/{job_id}").status_code == 200
    document = shared.client.get("/openapi.json").json()
    for path, operations in document["paths"].items():
        for method in operations:
            if path.startswith("/v1") and method != "get":
                answer = reader.request(
                    method,
                    path.format_map(_Any(job_id=job_id, dataset_id="ds_x", sweep_id="sweep_x")),
                )
                told = refused(answer, 403, "forbidden")
                assert "`write`" in told["detail"]
                assert "--scopes write" in told["hint"]
    assert writer.get(f"/v1/jobs/{job_id}").status_code == 200


class _Any(dict[str, str]):
    def __missing__(self, key: str) -> str:
        return "1"


def test_admin_is_no_way_into_what_others_have(shared: Service, tutorial: dict[str, Any]) -> None:
    ann = Caller(shared, new_key(shared.data_dir, "ann")["secret"])
    admin = Caller(shared, new_key(shared.data_dir, "boss", "admin")["secret"])
    job_id = ann.post("/v1/jobs", json=short(tutorial)).json()["id"]
    refused(admin.get(f"/v1/jobs/{job_id}"), 404, "job_not_found")
    own = admin.post("/v1/jobs", json=short(tutorial)).json()["id"]
    assert [job["id"] for job in admin.get("/v1/jobs").json()["data"]] == [own]


def test_two_owners_may_use_the_same_idempotency_key(shared: Service, tutorial: dict[str, Any]) -> None:
    found = set()
    for owner in ("ida", "ivo"):
        caller = Caller(shared, new_key(shared.data_dir, owner)["secret"])
        answer = caller.post("/v1/jobs", json=short(tutorial), headers={"Idempotency-Key": "same"})
        found.add(answer.json()["id"])
    assert len(found) == 2


def test_a_quota_is_told_with_when_to_come_again(shared: Service, tutorial: dict[str, Any]) -> None:
    made = new_key(shared.data_dir, "quinn", "write", "--max-unfinished-jobs", "2")
    quinn = Caller(shared, made["secret"])
    long = short(tutorial, 900_000)
    jobs = [quinn.post("/v1/jobs", json=long).json()["id"] for _ in range(2)]
    answer = quinn.post("/v1/jobs", json=long)
    refused(answer, 429, "quota_exceeded")
    assert int(answer.headers["Retry-After"]) > 0
    for job_id in jobs:
        quinn.post(f"/v1/jobs/{job_id}/cancel")
        assert quinn.get(f"/v1/jobs/{job_id}?wait=20").json()["terminal"]
    assert quinn.post("/v1/jobs", json=short(tutorial)).status_code == 202


def test_a_key_with_a_rate_is_held_to_it_and_others_are_not(shared: Service) -> None:
    ray = Caller(shared, new_key(shared.data_dir, "ray", "read", "--requests-per-minute", "5")["secret"])
    answers = [ray.get("/v1/jobs") for _ in range(6)]
    assert [answer.status_code for answer in answers] == [200] * 5 + [429]
    told = refused(answers[-1], 429, "rate_limited")
    assert 10 <= int(answers[-1].headers["Retry-After"]) <= 12
    assert "limit=5, remaining=0" in told["hint"]
    assert Caller(shared, "the operator's").get("/v1/jobs").status_code == 200


def test_the_service_can_be_held_to_a_rate_and_to_a_queue(
    own_service: Callable[..., Service], tutorial: dict[str, Any]
) -> None:
    service = own_service(FITD_SLOTS="1", FITD_REQUESTS_PER_MINUTE="12", FITD_LIMITS__MAX_QUEUED_JOBS="2")
    # One runs sooner or later, two wait, and the queue is full.
    answers = [service.client.post("/v1/jobs", json=short(tutorial, 900_000)) for _ in range(8)]
    full = [answer for answer in answers if answer.status_code == 429]
    assert 8 - len(full) in {2, 3}
    assert all(
        refused(answer, 429, "queue_full") and answer.headers["Retry-After"] == "10" for answer in full
    )
    statuses = [service.client.get("/v1/jobs").status_code for _ in range(6)]
    assert statuses == [200] * 4 + [429] * 2
    assert service.client.get("/healthz").status_code == 200


def test_a_stream_ends_when_its_key_is_revoked(shared: Service, tutorial: dict[str, Any]) -> None:
    made = new_key(shared.data_dir, "sue")
    sue = Caller(shared, made["secret"])
    job_id = sue.post("/v1/jobs", json=short(tutorial, 900_000)).json()["id"]
    with sue.stream(f"/v1/jobs/{job_id}/events") as stream:
        lines = stream.iter_lines()
        assert next(lines)
        keys(shared.data_dir, "revoke", made["id"])
        revoked = time.monotonic()
        for _ in lines:
            assert time.monotonic() - revoked < 5
    Caller(shared, new_key(shared.data_dir, "sue")["secret"]).post(f"/v1/jobs/{job_id}/cancel")


def test_the_list_tells_everything_but_the_secret(shared: Service) -> None:
    made = new_key(shared.data_dir, "lea", "read,admin", "--requests-per-minute", "7")
    assert Caller(shared, made["secret"]).get("/v1/jobs").status_code == 200
    deadline = time.monotonic() + 5
    while (mine := _listed(shared.data_dir, made["id"]))["last_used_at"] is None:
        assert time.monotonic() < deadline
    assert (mine["owner"], mine["scopes"], mine["state"]) == ("lea", ["read", "admin"], "active")
    assert mine["requests_per_minute"] == 7
    table = keys(shared.data_dir, "list").stdout
    assert made["id"] in table
    assert "read,admin" in table
    for text in (table, json.dumps(mine), shared.log):
        assert made["secret"] not in text
        assert made["secret"].removeprefix("fitd_") not in text
    files = b"".join(path.read_bytes() for path in shared.data_dir.glob("fitd.db*"))
    assert made["secret"].encode() not in files


def _listed(data_dir: Path, key_id: str) -> dict[str, Any]:
    return next(key for key in json.loads(keys(data_dir, "list", "--json").stdout) if key["id"] == key_id)


def test_a_use_that_cannot_be_noted_fails_no_request(shared: Service) -> None:
    made = new_key(shared.data_dir, "uma")
    with sqlite3.connect(shared.data_dir / "fitd.db", isolation_level=None) as other:
        other.execute("BEGIN IMMEDIATE")  # Another program holds the database: nobody can write.
        started = time.monotonic()
        assert Caller(shared, made["secret"]).get("/v1/jobs").status_code == 200
        assert time.monotonic() - started < 2
        other.execute("ROLLBACK")
    other.close()


def test_the_command_says_what_is_wrong(tmp_path: Path) -> None:
    done = fitd("keys", "create", "--name", "x", "--data-dir", str(tmp_path))
    assert (done.returncode, "fitd migrate" in done.stderr) == (1, True)
    assert fitd("migrate", "--data-dir", str(tmp_path)).returncode == 0
    assert "no keys" in keys(tmp_path, "list").stdout
    for wrong, words in {
        ("create", "--name", "x", "--scopes", "rule"): "read, write, admin",
        ("create", "--name", "x", "--owner", "a b"): "letters, digits",
        ("create", "--name", "x", "--max-unfinished-jobs", "0"): "whole number",
        ("create",): "--name",
        ("revoke", "key_x"): "no key `key_x`",
    }.items():
        done = fitd("keys", *wrong, "--data-dir", str(tmp_path))
        assert done.returncode in {1, 2}
        assert words in done.stderr
        assert "Traceback" not in done.stderr
    made = keys(tmp_path, "create", "--name", "x")
    assert made.stdout.startswith("fitd_")
    assert "fitd_" not in made.stderr


def test_a_service_for_other_machines_starts_with_a_key_of_the_table(
    own_service: Callable[..., Service], tmp_path: Path
) -> None:
    data_dir = tmp_path / "data0"
    assert fitd("migrate", "--data-dir", str(data_dir)).returncode == 0
    made = new_key(data_dir, "ann")
    service = own_service(FITD_SLOTS="1", FITD_HOST="0.0.0.0")  # noqa: S104 - with a key
    service.client.base_url = service.url.replace("0.0.0.0", "127.0.0.1")  # noqa: S104
    assert service.client.get("/v1/jobs").status_code == 401
    assert service.client.get("/v1/jobs", headers=bearer(made["secret"])).status_code == 200
    keys(data_dir, "revoke", made["id"])
    service.stop()
    for command in ("serve", "api"):
        done = fitd(command, "--host", "0.0.0.0", "--port", "0", "--data-dir", str(data_dir))  # noqa: S104
        assert done.returncode == 1
        assert "fitd keys create" in done.stderr
