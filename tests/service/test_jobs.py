"""Submitting, watching and ending jobs over HTTP."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.conftest import Service


def with_epochs(spec: dict[str, Any], epochs: int) -> dict[str, Any]:
    return {**spec, "training": {**spec["training"], "epochs": epochs, "engine": "eager"}}


def test_submit_answers_at_once_with_the_place_of_the_job(service: Service, tutorial: dict[str, Any]) -> None:
    answer = service.client.post("/v1/jobs", json=tutorial)
    assert answer.status_code == 202
    job = answer.json()
    assert answer.headers["Location"] == f"/v1/jobs/{job['id']}" == job["links"]["self"]
    assert job["object"] == "job"
    assert job["status"] in {"queued", "running"}
    assert job["terminal"] is False
    assert job["spec"]["optimizer"] == {
        "type": "SGD",
        "lr": 0.01,
        "momentum": 0.0,
        "dampening": 0.0,
        "weight_decay": 0.0,
        "nesterov": False,
    }


def test_prefer_wait_answers_with_the_finished_job(service: Service, tutorial: dict[str, Any]) -> None:
    answer = service.client.post("/v1/jobs", json=tutorial, headers={"Prefer": "respond-async, wait=30"})
    assert answer.status_code == 200
    assert answer.headers["Preference-Applied"] == "wait=30"
    job = answer.json()
    assert (job["status"], job["terminal"], job["stop_reason"]) == ("succeeded", True, "completed")
    assert job["progress"] == {
        "epoch": 3000,
        "epochs": 3000,
        "fraction": 1.0,
        "seconds": job["progress"]["seconds"],
        "eta_seconds": None,
        "train_loss": job["progress"]["train_loss"],
        "dev_loss": None,
    }
    assert job["created_at"] <= job["started_at"] <= job["finished_at"]
    assert job["progress"]["seconds"] > 0
    assert [one["status"] for one in job["transitions"]] == ["queued", "running", "succeeded"]
    dates = [one["at"] for one in job["transitions"]]
    assert dates == sorted(dates)


def test_prefer_wait_gives_up_after_its_time(service: Service, tutorial: dict[str, Any]) -> None:
    answer = service.client.post(
        "/v1/jobs", json=with_epochs(tutorial, 500_000), headers={"Prefer": "wait=0.3"}
    )
    assert answer.status_code == 202
    assert answer.json()["terminal"] is False
    service.client.post(f"/v1/jobs/{answer.json()['id']}/cancel")


def test_a_seed_is_drawn_and_told_and_repeats_the_fit(service: Service, tutorial: dict[str, Any]) -> None:
    del tutorial["training"]["seed"]
    first = service.submit(with_epochs(tutorial, 20))
    assert first["seed"] == first["spec"]["training"]["seed"]
    again = service.submit(first["spec"])
    assert again["result"] == first["result"]
    other = service.submit(with_epochs(tutorial, 20))
    assert other["seed"] != first["seed"]


def test_inline_columns_and_rows_give_the_same_fit(service: Service, tutorial: dict[str, Any]) -> None:
    x, y = [0.0, 0.5, 1.0, 1.5], [7.1, 9.4, 12.2, 14.4]
    columns = {**tutorial, "data": {"type": "inline", "columns": {"x": x, "y": y}, "target": "y"}}
    rows = [{"x": a, "y": b} for a, b in zip(x, y, strict=True)]
    by_rows = {**tutorial, "data": {"type": "inline", "rows": rows, "target": "y"}}
    first, second = service.submit(columns), service.submit(by_rows)
    assert first["status"] == second["status"] == "succeeded"
    assert first["result"] == second["result"]
    assert first["spec"]["data"]["features"] == ["x"]


def test_the_same_idempotency_key_gives_the_same_job(service: Service, tutorial: dict[str, Any]) -> None:
    headers = {"Idempotency-Key": "nightly-2026-11-22"}
    spec = with_epochs(tutorial, 5)
    with ThreadPoolExecutor(8) as pool:
        answers = list(
            pool.map(lambda _: service.client.post("/v1/jobs", json=spec, headers=headers), range(24))
        )
    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.json()["id"] for answer in answers}) == 1
    conflict = service.client.post("/v1/jobs", json=with_epochs(tutorial, 6), headers=headers)
    assert conflict.status_code == 422
    assert conflict.json()["code"] == "idempotency_conflict"


def test_validate_tells_what_a_job_would_be(service: Service, tutorial: dict[str, Any]) -> None:
    tutorial["training"] |= {"batch_size": "auto"}
    answer = service.client.post("/v1/jobs/validate", json=tutorial)
    assert answer.status_code == 200
    told = answer.json()
    assert told["valid"] is True
    assert told["parameters"] == 2
    assert told["spec"]["training"]["batch_size"] == 256
    assert told["peak_bytes"] > 256 * 2 * 8
    assert 0 < told["estimated_seconds"] < 60
    tutorial["training"]["batch_size"] = 100
    warnings = service.client.post("/v1/jobs/validate", json=tutorial).json()["warnings"]
    assert [one["code"] for one in warnings] == ["not_a_power_of_two"]


def test_list_pages_by_cursor_and_filters(service: Service, tutorial: dict[str, Any]) -> None:
    batch = f"batch {time.monotonic_ns()} / ü"
    made = [
        service.submit(
            {**with_epochs(tutorial, 2), "name": f"n{i % 2}", "metadata": {"batch": batch, "i": str(i)}}
        )["id"]
        for i in range(5)
    ]
    asked = {"metadata[batch]": batch, "limit": 2}
    seen, after = [], None
    while True:
        page = service.client.get("/v1/jobs", params={**asked, **({"after": after} if after else {})}).json()
        seen += [job["id"] for job in page["data"]]
        after = page["next_after"]
        assert page["has_more"] == (after is not None)
        if after is None:
            break
    assert seen == made[::-1]
    one = service.client.get("/v1/jobs", params={"metadata[batch]": batch, "metadata[i]": "3"}).json()["data"]
    assert [job["id"] for job in one] == [made[3]]
    assert one[0]["metadata"] == {"batch": batch, "i": "3"}
    named = service.client.get("/v1/jobs", params={"metadata[batch]": batch, "name": "n1"}).json()["data"]
    assert [job["id"] for job in named] == [made[3], made[1]]
    none = service.client.get("/v1/jobs", params={"metadata[batch]": batch, "status": "failed"}).json()
    assert none == {"object": "list", "data": [], "has_more": False, "next_after": None}


@pytest.mark.parametrize(
    "query",
    ["limit=0", "limit=101", "limit=x", "status=done", "after=job_none", "metadata=x", "metadata[]=x"],
)
def test_list_refuses_what_it_does_not_understand(service: Service, query: str) -> None:
    answer = service.client.get(f"/v1/jobs?{query}")
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["parameter"]


def test_get_waits_for_the_end(service: Service, tutorial: dict[str, Any]) -> None:
    job = service.submit(tutorial, wait=0)
    assert service.job(job["id"], wait=30)["status"] == "succeeded"


def test_etag_saves_a_body_until_the_job_changes(service: Service, tutorial: dict[str, Any]) -> None:
    job = service.submit(with_epochs(tutorial, 3))
    first = service.client.get(f"/v1/jobs/{job['id']}")
    again = service.client.get(f"/v1/jobs/{job['id']}", headers={"If-None-Match": first.headers["ETag"]})
    assert (again.status_code, again.content) == (304, b"")
    other = service.client.get(f"/v1/jobs/{job['id']}", headers={"If-None-Match": 'W/"0-0", "x"'})
    assert other.status_code == 200


def test_cancel_a_running_job_keeps_what_it_has_learnt(service: Service, tutorial: dict[str, Any]) -> None:
    job = service.submit(with_epochs(tutorial, 1_000_000), wait=0)
    service.wait_for(job["id"], lambda one: one["progress"]["epoch"] > 0)
    asked = service.client.post(f"/v1/jobs/{job['id']}/cancel")
    assert asked.status_code == 202
    assert asked.json()["status"] == "cancelling"
    ended = service.job(job["id"], wait=10)
    assert (ended["status"], ended["stop_reason"], ended["terminal"]) == ("cancelled", "cancelled", True)
    assert 0 < ended["progress"]["epoch"] < 1_000_000
    history = service.client.get(f"/v1/jobs/{job['id']}/history").json()["columns"]["epoch"]
    assert history == list(range(1, ended["progress"]["epoch"] + 1))
    assert service.client.get(f"/v1/jobs/{job['id']}/parameters").status_code == 200
    refused = service.client.post(f"/v1/jobs/{job['id']}/cancel")
    assert refused.status_code == 409
    assert "cancelled" in refused.json()["detail"]


def test_cancel_a_queued_job_ends_it_at_once(service: Service, tutorial: dict[str, Any]) -> None:
    busy = [service.submit(with_epochs(tutorial, 1_000_000), wait=0)["id"] for _ in range(2)]
    queued = [service.submit(tutorial, wait=0)["id"] for _ in range(2)]
    service.wait_for(busy[1], lambda one: one["status"] == "running")
    assert [service.job(one)["queue"] for one in queued] == [{"jobs_ahead": 0}, {"jobs_ahead": 1}]
    assert service.client.post(f"/v1/jobs/{queued[0]}/cancel").json()["status"] == "cancelled"
    assert service.job(queued[1])["queue"] == {"jobs_ahead": 0}
    assert service.client.get(f"/v1/jobs/{queued[0]}/parameters").json()["code"] == "no_parameters"
    for one in [queued[1], *busy]:
        service.client.post(f"/v1/jobs/{one}/cancel")
        assert service.job(one, wait=10)["status"] == "cancelled"


def test_delete_only_what_has_ended(service: Service, tutorial: dict[str, Any]) -> None:
    job = service.submit(with_epochs(tutorial, 1_000_000), wait=0)
    refused = service.client.delete(f"/v1/jobs/{job['id']}")
    assert refused.status_code == 409
    assert "cancel" in refused.json()["hint"]
    service.client.post(f"/v1/jobs/{job['id']}/cancel")
    service.job(job["id"], wait=10)
    gone = service.client.delete(f"/v1/jobs/{job['id']}")
    assert (gone.status_code, gone.content) == (204, b"")
    for path in ("", "/history", "/events", "/parameters", "/plots/loss"):
        answer = service.client.get(f"/v1/jobs/{job['id']}{path}")
        assert (answer.status_code, answer.json()["code"]) == (404, "job_not_found")


def test_a_job_that_another_starts_from_stays_until_that_has_ended(
    service: Service, tutorial: dict[str, Any]
) -> None:
    source = service.submit(with_epochs(tutorial, 5))["id"]
    tutorial["model"]["init_from"] = source
    user = service.submit(with_epochs(tutorial, 1_000_000), wait=0)["id"]
    refused = service.client.delete(f"/v1/jobs/{source}")
    assert (refused.status_code, refused.json()["code"]) == (409, "state_conflict")
    assert user in refused.json()["hint"]
    assert service.client.get(f"/v1/jobs/{source}/parameters").status_code == 200
    service.client.post(f"/v1/jobs/{user}/cancel")
    service.job(user, wait=10)
    assert service.client.delete(f"/v1/jobs/{source}").status_code == 204


def test_a_name_that_no_database_can_keep_is_refused(service: Service, tutorial: dict[str, Any]) -> None:
    tutorial |= {"name": "a\0", "metadata": {"k": "v\0"}}
    answer = service.client.post("/v1/jobs", json=tutorial)
    assert answer.status_code == 422
    assert [one["pointer"] for one in answer.json()["errors"]] == ["/name", "/metadata/k"]


def test_divergence_is_a_result_with_a_cure(service: Service, tutorial: dict[str, Any]) -> None:
    tutorial["optimizer"]["lr"] = 10
    job = service.submit(tutorial)
    assert (job["status"], job["stop_reason"]) == ("failed", "diverged")
    assert job["error"]["code"] == "diverged"
    bound = float(job["error"]["hint"].split(" is ")[1].split(";")[0])
    history = service.client.get(f"/v1/jobs/{job['id']}/history").json()["columns"]["train_loss"]
    assert all(loss is not None for loss in history)
    assert len(history) == job["progress"]["epoch"] > 0
    kept = service.client.get(f"/v1/jobs/{job['id']}/parameters").json()
    assert kept["coefficients"]["x"] is not None
    tutorial["optimizer"]["lr"] = bound / 2
    assert service.submit(tutorial)["status"] == "succeeded"


def test_data_that_is_not_finite_in_the_end_fails_with_its_cause(
    service: Service, tutorial: dict[str, Any]
) -> None:
    # Within the range at which expressions are tried, the square root is a number; in the far tail it is not.
    tutorial["data"]["features"] = {"x": {"distribution": "normal", "mean": 4.05, "std": 1}}
    tutorial["data"] |= {"rows": 200_000, "target": {"name": "y", "expression": "sqrt(x)"}}
    job = service.submit(tutorial)
    assert (job["status"], job["stop_reason"], job["error"]["code"]) == ("failed", "error", "data_not_finite")
    assert job["error"]["hint"]


def test_a_device_that_is_not_there_fails_with_its_cause(service: Service, tutorial: dict[str, Any]) -> None:
    tutorial["training"]["device"] = "mps"
    job = service.submit(tutorial)
    assert (job["status"], job["error"]["code"]) == ("failed", "device_unavailable")
    assert "cpu" in job["error"]["message"]


def test_the_api_answers_while_training_runs(service: Service, tutorial: dict[str, Any]) -> None:
    jobs = [service.submit(with_epochs(tutorial, 1_000_000), wait=0)["id"] for _ in range(2)]
    service.wait_for(jobs[1], lambda one: one["progress"]["epoch"] > 0)
    stop = threading.Event()
    counts = [0]

    def ask() -> None:
        while not stop.is_set():
            assert service.client.get("/healthz").status_code == 200
            counts[0] += 1

    thread = threading.Thread(target=ask)
    thread.start()
    time.sleep(0.5)
    stop.set()
    thread.join()
    for one in jobs:
        service.client.post(f"/v1/jobs/{one}/cancel")
        service.job(one, wait=10)
    assert counts[0] > 10


def test_progress_reaches_the_database_four_to_five_times_a_second(
    service: Service, tutorial: dict[str, Any]
) -> None:
    job = service.submit(with_epochs(tutorial, 1_000_000), wait=3)
    service.client.post(f"/v1/jobs/{job['id']}/cancel")
    service.job(job["id"], wait=10)
    times = [event["at"] for event in events_of(service, job["id"]) if event["type"] == "history"]
    seconds = [float(at[17:].rstrip("Z")) + 60 * int(at[14:16]) for at in times]
    rate = (len(seconds) - 1) / (seconds[-1] - seconds[0])
    assert 3 < rate <= 5.05, rate


def events_of(service: Service, job_id: str) -> list[dict[str, Any]]:
    """All events of a job that has ended."""
    import json

    text = service.client.get(f"/v1/jobs/{job_id}/events").text
    return [json.loads(line[6:]) for line in text.splitlines() if line.startswith("data: ")]


def test_a_fit_that_got_worse_is_doubted(service: Service, tutorial: dict[str, Any]) -> None:
    tutorial["optimizer"]["lr"] = 0.8  # A little above the border: too slow to overflow within the epochs.
    job = service.submit(with_epochs(tutorial, 500))
    assert job["status"] == "succeeded"
    (warning,) = job["result"]["warnings"]
    assert warning["code"] == "loss_grew"
    assert "largest stable learning rate of SGD on this data is 0.795" in warning["hint"]
    tutorial["optimizer"]["lr"] = 0.01
    assert service.submit(tutorial)["result"]["warnings"] == []


def test_a_page_of_large_jobs_ends_early(service: Service, tutorial: dict[str, Any]) -> None:
    batch = f"large {time.monotonic_ns()}"
    numbers = [i / 7 for i in range(150_000)]  # Some 3 MB of text for each column.
    data = {"type": "inline", "columns": {"x": numbers, "y": numbers}, "target": "y"}
    spec = {**with_epochs(tutorial, 1), "data": data, "metadata": {"batch": batch}}
    made = [service.submit(spec)["id"] for _ in range(3)]
    first = service.client.get("/v1/jobs", params={"metadata[batch]": batch}).json()
    assert [job["id"] for job in first["data"]] == [made[2]]
    assert first["has_more"] is True
    query = {"metadata[batch]": batch, "after": first["next_after"]}
    assert service.client.get("/v1/jobs", params=query).json()["data"][0]["id"] == made[1]
