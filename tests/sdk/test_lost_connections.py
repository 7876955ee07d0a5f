"""A network that cuts connections, and a client that does not mind."""

import asyncio
import socket
import uuid
from typing import Any

import pytest
from fitd_client import AsyncClient, Client, Retries, TransportError, answers

from tests.conftest import Service
from tests.sdk.cutting import CuttingRelay

QUICK = Retries(base=0.01)


def _jobs_named(service: Service, name: str) -> list[str]:
    found = service.client.get("/v1/jobs", params={"name": name}).json()["data"]
    return [job["id"] for job in found]


def test_a_submission_whose_answer_was_lost_gives_the_job_that_it_made(
    service: Service, relay: CuttingRelay, tutorial: dict[str, Any]
) -> None:
    name = f"lost answer {uuid.uuid4()}"
    relay.lose_answer_to(b"POST /v1/jobs ")
    with Client(relay.url, retries=QUICK) as client:
        job = client.submit({**tutorial, "name": name})
    assert relay.cuts == 1
    assert _jobs_named(service, name) == [job.id]


def test_an_awaited_submission_does_the_same(
    service: Service, relay: CuttingRelay, tutorial: dict[str, Any]
) -> None:
    name = f"lost answer, awaited {uuid.uuid4()}"

    async def submit() -> str:
        async with AsyncClient(relay.url, retries=QUICK) as client:
            return (await client.submit({**tutorial, "name": name})).id

    relay.lose_answer_to(b"POST /v1/jobs ")
    job_id = asyncio.run(submit())
    assert _jobs_named(service, name) == [job_id]
    assert relay.cuts == 1


def test_a_rerun_and_a_prediction_are_repeated_too(
    service: Service, relay: CuttingRelay, tutorial: dict[str, Any]
) -> None:
    name = f"once more {uuid.uuid4()}"
    with Client(relay.url, retries=QUICK) as client:
        job = client.submit({**tutorial, "name": name}, wait=True)
        relay.lose_answer_to(f"POST /v1/jobs/{job.id}/rerun ".encode())
        again = job.rerun(wait=10)
        relay.lose_answer_to(f"POST /v1/jobs/{job.id}/predict ".encode())
        assert job.predict({"x": [0.5]}) == again.predict({"x": [0.5]})
    assert relay.cuts == 2
    assert sorted(_jobs_named(service, name)) == sorted([job.id, again.id])


def test_a_cancel_whose_answer_was_lost_is_told_and_not_repeated(
    client: Client, relay: CuttingRelay, tutorial: dict[str, Any]
) -> None:
    job = client.submit({**tutorial, "training": {"epochs": 1_000_000, "engine": "eager"}})
    with Client(relay.url, retries=QUICK) as cut:
        handle = cut.job(job.id)
        relay.lose_answer_to(f"POST /v1/jobs/{job.id}/cancel ".encode())
        with pytest.raises(TransportError, match="broke at POST"):
            handle.cancel()
    assert job.wait(60).status == "cancelled"


def _epochs(events: list[answers.Event]) -> list[float | None]:
    histories = [event for event in events if isinstance(event, answers.HistoryEvent)]
    return [epoch for event in histories for epoch in event.columns["epoch"]]


def test_a_stream_goes_on_after_each_cut_without_gap_or_repeat(
    client: Client, relay: CuttingRelay, tutorial: dict[str, Any]
) -> None:
    job = client.submit({**tutorial, "training": {"epochs": 3000, "engine": "eager"}})
    relay.cut_streams_after(700, 20_000, 100, 60_000)
    with Client(relay.url, retries=QUICK) as cut:
        events = list(cut.job(job.id).stream())
    assert relay.cuts >= 3  # The last one may hold less than that.
    assert _epochs(events) == list(range(1, 3001))
    ids = [int(event.id) for event in events]
    assert ids == sorted(set(ids))
    assert ids == [int(event.id) for event in client.job(job.id).stream()]
    assert isinstance(events[-1], answers.StatusEvent)
    assert events[-1].terminal


def test_an_awaited_stream_does_the_same(
    client: Client, relay: CuttingRelay, tutorial: dict[str, Any]
) -> None:
    job = client.submit({**tutorial, "training": {"epochs": 6000}}, wait=True)

    async def follow() -> list[answers.Event]:
        async with AsyncClient(relay.url, retries=QUICK) as cut:
            return [event async for event in (await cut.job(job.id)).stream()]

    # A head and the first events pass; the history comes by the second try.
    relay.cut_streams_after(1000)
    events = asyncio.run(follow())
    assert relay.cuts == 1
    assert _epochs(events) == list(range(1, 6001))


def test_a_stream_can_begin_after_an_event(client: Client, tutorial: dict[str, Any]) -> None:
    job = client.submit(tutorial, wait=True)
    events = list(job.stream())
    assert list(job.stream(after=events[1].id)) == events[2:]
    assert list(job.stream(after=events[-1].id)) == []


def test_nobody_there_is_told_with_the_address() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with (
        Client(f"http://127.0.0.1:{port}", retries=Retries(count=1, base=0.01)) as client,
        pytest.raises(TransportError, match=rf"no connection to fitd at http://127.0.0.1:{port}.*running"),
    ):
        list(client.jobs())
