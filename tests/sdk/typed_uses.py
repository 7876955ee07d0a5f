"""What type checkers know of the client: checked by `make types`, never run."""

from collections.abc import AsyncIterator, Iterator
from typing import assert_type

from fitd_client import AsyncClient, AsyncJob, Client, Job, Model, Picture, Sweep, answers


def at_once(client: Client) -> None:
    job = client.fit({"x": [1.0, 2.0]}, target="x", wait=True)
    assert_type(job, Job)
    assert_type(job.wait(timeout=3), Job)
    assert_type(job.rerun(optimizer={"lr": 0.1}).cancel(), Job)
    assert_type(job.status, str)
    assert_type(job.result, answers.Result | None)
    assert_type(job.plot("loss"), Picture)
    assert_type(job.delete(), None)
    assert_type(job.stream(), Iterator[answers.Event])
    assert_type(client.jobs(limit=3), Iterator[Job])
    assert_type(client.sweep({}), Sweep)
    assert_type(client.sweep({}).best_job(), Job)
    assert_type(client.model("calibration").promote(), Model)
    client.submit({}, wate=True)  # type: ignore[call-arg]


async def awaited(client: AsyncClient) -> None:
    job = await client.submit({})
    assert_type(job, AsyncJob)
    assert_type(await job.wait(), AsyncJob)
    assert_type(await (await client.sweep({})).best_job(), AsyncJob)
    assert_type(await job.checkpoints(), list[answers.Checkpoint])
    assert_type(job.stream(), AsyncIterator[answers.Event])
    assert_type([one async for one in client.jobs()], list[AsyncJob])
