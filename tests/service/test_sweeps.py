"""Sweeps over HTTP, trained by the live service."""

import csv
import io
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from tests.conftest import Service
from tests.sweeps.bodies import GRID, HALVING, OPTIMIZERS, SPEC, TPE, sweep_body

PARAMETERS = {
    "/optimizer": OPTIMIZERS,
    "/training/batch_size": {"type": "choice", "values": [64, "full"]},
}
LONG = {**SPEC, "training": {"epochs": 1_000_000, "batch_size": 1}}


def submitted(service: Service, body: dict[str, Any], *, wait: int = 60, **headers: str) -> dict[str, Any]:
    prefer = {"Prefer": f"wait={wait}"} if wait else {}
    answer = service.client.post("/v1/sweeps", json=body, headers={**prefer, **headers}, timeout=90)
    assert answer.status_code in {200, 202}, answer.text
    assert answer.headers["Location"] == f"/v1/sweeps/{answer.json()['id']}"
    sweep: dict[str, Any] = answer.json()
    return sweep


def trials(service: Service, sweep: dict[str, Any], **parameters: str) -> list[dict[str, Any]]:
    answer = service.client.get(sweep["links"]["trials"], params=parameters)
    found: list[dict[str, Any]] = answer.json()["data"]
    return found


@pytest.fixture(scope="module")
def swept(service: Service) -> dict[str, Any]:
    """A grid that has ended."""
    return submitted(service, sweep_body(GRID, name="lines", parameters=PARAMETERS, metadata={"a": "b"}))


def test_a_sweep_tells_how_it_went_and_what_is_best(service: Service, swept: dict[str, Any]) -> None:
    assert (swept["status"], swept["terminal"], swept["name"]) == ("succeeded", True, "lines")
    assert swept["progress"] | {"seconds": 0} == {
        "trials": 4, "added": 4, "ended": 4, "fraction": 1.0, "seconds": 0, "eta_seconds": None,
    }  # fmt: skip
    assert swept["jobs"] == {"succeeded": 4}
    assert swept["metadata"] == {"a": "b"}
    best = min(trials(service, swept), key=lambda one: one["dev_loss"])
    assert swept["best"] == {name: best[name] for name in swept["best"]}
    assert best["values"]["/optimizer"] in OPTIMIZERS["values"]
    job = service.job(best["job_id"])
    assert job["result"]["dev_loss"] == best["objective"]
    assert job["sweep"] == {"id": swept["id"], "trial": best["trial"]}
    assert service.client.get(swept["links"]["self"]).json() == swept


def test_the_table_of_trials_is_the_same_in_every_form(service: Service, swept: dict[str, Any]) -> None:
    rows = trials(service, swept, sort="objective")
    losses = [one["objective"] for one in rows]
    assert losses == sorted(losses)
    get, path = service.client.get, swept["links"]["trials"]
    text = get(path, params={"sort": "objective"}, headers={"Accept": "text/csv"})
    (read, *_) = found = list(csv.DictReader(io.StringIO(text.text)))
    assert [float(one["objective"]) for one in found] == losses
    assert read["/training/batch_size"] == str(rows[0]["values"]["/training/batch_size"])
    arrow = get(path, params={"sort": "objective"}, headers={"Accept": "application/vnd.apache.arrow.stream"})
    table = pa.ipc.open_stream(arrow.content).read_all().to_pydict()
    assert table["objective"] == losses
    assert table["job_id"] == [one["job_id"] for one in rows]


def test_the_jobs_of_a_sweep_can_be_listed(service: Service, swept: dict[str, Any]) -> None:
    listed = service.client.get(swept["links"]["jobs"]).json()["data"]
    assert {job["name"] for job in listed} == {f"lines #{number}" for number in range(4)}


@pytest.mark.parametrize("plot", ["parallel", "loss", "search"])
def test_a_sweep_has_pictures(service: Service, swept: dict[str, Any], plot: str) -> None:
    path = swept["links"][f"plot_{plot}"]
    svg = service.client.get(path)
    assert svg.headers["content-type"].startswith("image/svg+xml")
    assert "lines" in svg.text
    png = service.client.get(path, headers={"Accept": "image/png"})
    assert png.content.startswith(b"\x89PNG")


def test_the_same_key_gives_the_same_sweep(service: Service, swept: dict[str, Any]) -> None:
    body = sweep_body({**GRID}, parameters={"/optimizer/lr": {"type": "choice", "values": [0.1]}})
    first, again = (submitted(service, body, **{"Idempotency-Key": "sweep"}) for _ in range(2))
    assert first["id"] == again["id"] != swept["id"]


def test_successive_halving_trains_the_best_for_longer(service: Service) -> None:
    sweep = submitted(service, sweep_body(HALVING))
    rows = trials(service, sweep)
    assert [one["epochs"] for one in rows] == [2] * 9 + [6] * 3 + [18]
    # A longer training begins as the shorter one: the same epochs, to the last bit.
    last = rows[-1]
    histories = [
        service.client.get(f"/v1/jobs/{rows[number]['job_id']}/history").json()["columns"]["train_loss"]
        for number in (last["trial"], last["repeats"])
    ]
    assert histories[0][:6] == histories[1]


def test_a_sweep_is_paused_resumed_cancelled_and_deleted_as_one(service: Service) -> None:
    ask = service.client.post
    sweep = submitted(service, sweep_body({**TPE, "parallel": 3}, spec=LONG), wait=0)
    base = sweep["links"]["self"]
    wait_until(service, sweep, lambda now: now["jobs"].get("running", 0) > 0)
    assert service.client.delete(base).status_code == 409
    assert ask(f"{base}/pause").status_code == 202
    paused = wait_until(service, sweep, lambda now: now["status"] == "paused")
    assert paused["jobs"] == {"paused": 3}
    assert ask(f"{base}/resume").json()["status"] == "running"
    wait_until(service, sweep, lambda now: now["jobs"].get("running", 0) > 0)
    assert ask(f"{base}/cancel").status_code == 202
    ended = service.client.get(base, params={"wait": 30}, timeout=40).json()
    assert (ended["status"], ended["jobs"]) == ("cancelled", {"cancelled": 3})
    assert service.client.delete(base).status_code == 204
    assert service.client.get(base).json()["code"] == "sweep_not_found"


def wait_until(
    service: Service, sweep: dict[str, Any], condition: Callable[[dict[str, Any]], bool], seconds: float = 40
) -> dict[str, Any]:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found: dict[str, Any] = service.client.get(sweep["links"]["self"]).json()
        if condition(found):
            return found
        time.sleep(0.05)
    raise AssertionError(f"never happened: {found}\n{service.log}")


@pytest.mark.timeout(240)  # A worker starts twice.
def test_a_sweep_survives_the_death_of_the_worker_that_brings_it_on(
    own_service: Callable[..., Service], tmp_path: Path
) -> None:
    failpoints = tmp_path / "failpoints"
    failpoints.mkdir()
    service = own_service(FITD_SLOTS="2", FITD_FAILPOINTS_DIR=str(failpoints))
    body = sweep_body({**TPE, "trials": 4, "parallel": 2}, spec={**SPEC, "training": {"epochs": 400}})
    sweep = submitted(service, body, wait=0)
    (failpoints / "sweep_advancing").write_text("kill")
    ended = wait_until(service, sweep, lambda now: now["terminal"], 60)
    assert list(failpoints.glob("sweep_advancing.taken-by-*"))
    assert (ended["status"], ended["jobs"]) == ("succeeded", {"succeeded": 4})
    undisturbed = submitted(service, body)
    first, second = (trials(service, one) for one in (sweep, undisturbed))
    assert [one["values"] for one in first] == [one["values"] for one in second]
    assert [one["objective"] for one in first] == [one["objective"] for one in second]
