"""What a runner does with an assignment of several jobs: each lives, ends and fails by itself."""

import dataclasses
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from service.db import Database
from service.doorbell import JOB_CHANGED, PipeDoorbell, PipeListener
from service.exceptions import DatabaseBusy
from service.jobs.attempts import Ended, JobRef
from service.spec.plan import Plan
from service.storage.checkpoints import CheckpointStore
from service.training import callbacks
from service.training.trainer import Fit, Trainer
from service.worker import recorder as recording
from service.worker import work as working
from service.worker.executor import Assignment
from service.worker.messages import Drain, GiveWay, RunnerConfig
from service.worker.orders import Orders
from service.worker.work import Work
from tests.jobs.desk import Desk

JOB = {"model": {"type": "mlp", "hidden": [4]}, "training": {"epochs": 40, "seed": 0}}
"""One that tells of each epoch by itself."""
DIVERGING = {**JOB, "optimizer": {"type": "SGD", "lr": 1e30}}
"""Of the same shape: only its rate is another."""
LINE = {"training": {"epochs": 40, "seed": 0}}
"""One whose engine gives the same bits to each, however many share its steps."""
GROUPED = {
    "data": {
        "type": "inline",
        "columns": {
            "x": [float(row % 7) for row in range(40)],
            "y": [float(row % 7 * (row % 3) + row % 2) for row in range(40)],
            "sensor": [("a", "b", "c")[row % 3] for row in range(39)] + ["d"],
        },
        "target": "y",
        "group_by": "sensor",
    },
    "training": {"epochs": 40, "seed": 0},
}
"""One with a model for each of three groups, and a fourth that fails alone."""
EPOCHS = list(range(1, 41))


@pytest.fixture
def desk(database: Database) -> Desk:
    return Desk(database)


@pytest.fixture
def work(desk: Desk, tmp_path: Path, pipes: tuple[Connection, Connection]) -> Work:
    config = RunnerConfig(
        database_url="",
        doorbell_dir=tmp_path / "doorbells",
        datasets_dir=tmp_path,
        checkpoints_dir=tmp_path / "checkpoints",
        failpoints_dir=None,
        checkpoint_seconds=1000.0,
        min_free_bytes=0,
        memory_bytes=0,
        recycle_jobs=1000,
        recycle_bytes=2**40,
        threads=1,
        log_format="json",
        log_level="info",
    )
    return Work(
        database=desk.database,
        doorbell=PipeDoorbell(config.doorbell_dir),
        orders=Orders(pipes[1]),
        store=CheckpointStore(config.checkpoints_dir, min_free_bytes=0),
        config=config,
    )


def claimed(desk: Desk, *specs: dict[str, object]) -> tuple[JobRef, ...]:
    """Jobs that one slot has got together."""
    for spec in specs:
        desk.submit(**spec)
    (bundle,) = desk.claim_together()
    assert len(bundle) == len(specs)
    return tuple(bundle)


def alone(desk: Desk, work: Work, **spec: object) -> JobRef:
    """A job, trained by itself."""
    desk.submit(**spec)
    (ref,) = desk.claim()
    work.do(Assignment((ref,)))
    return ref


def test_jobs_of_one_assignment_come_to_the_same_as_each_alone(desk: Desk, work: Work) -> None:
    single = alone(desk, work, **LINE)
    refs = claimed(desk, LINE, LINE, LINE)
    work.do(Assignment(refs))
    for ref in refs:
        assert (desk.status(ref.id), desk.epochs(ref.id)) == ("succeeded", EPOCHS)
        assert desk.parameters(ref.id) == desk.parameters(single.id)
        assert desk.job(ref.id).result == desk.job(single.id).result
        assert desk.told_statuses(ref.id) == ["queued", "running", "succeeded"]


def test_their_ends_are_one_transaction_and_all_are_rung(
    desk: Desk, work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    refs = claimed(desk, JOB, JOB, JOB)
    sessions = []
    end = recording.Recorder.end
    monkeypatch.setattr(
        recording.Recorder,
        "end",
        lambda self, session, ended: sessions.append(session) or end(self, session, ended),
    )
    with PipeListener(work.config.doorbell_dir, JOB_CHANGED) as changed:
        work.do(Assignment(refs))
        assert changed.messages() >= {ref.id for ref in refs}
    assert len(sessions) == 3
    assert len(set(sessions)) == 1


def test_one_that_fails_one_that_diverges_and_one_that_is_lost_harm_no_other(
    desk: Desk, work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    good, bad, broken, lost = refs = claimed(desk, JOB, DIVERGING, JOB, JOB)
    desk.let_go(lost)
    desk.claim()
    read = Work._case

    def breaks(self: Work, recorder: recording.Recorder, start: object) -> object:
        if recorder.about["job_id"] == broken.id:
            raise ArithmeticError("of its own making")
        return read(self, recorder, start)  # type: ignore[arg-type]

    monkeypatch.setattr(Work, "_case", breaks)
    work.do(Assignment(refs))
    assert [desk.status(ref.id) for ref in refs] == ["succeeded", "failed", "failed", "running"]
    assert (desk.job(bad.id).stop_reason, desk.job(broken.id).stop_reason) == ("diverged", "error")
    assert "of its own making" in str(desk.job(broken.id).error)
    assert (desk.epochs(good.id), desk.epochs(lost.id)) == (EPOCHS, [])


def test_an_end_that_the_database_does_not_take_is_only_its_own_jobs_failure(
    desk: Desk, work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    good, bad = refs = claimed(desk, JOB, JOB)
    ends = iter([{}, {"no JSON": object()}])
    outcome = working.outcome

    def unwritable(plan: Plan, fit: Fit) -> Ended:
        ended = outcome(plan, fit)
        return dataclasses.replace(ended, result={**(ended.result or {}), **next(ends)})

    monkeypatch.setattr(working, "outcome", unwritable)
    work.do(Assignment(refs))
    assert [desk.status(ref.id) for ref in refs] == ["succeeded", "failed"]
    assert desk.epochs(good.id) == EPOCHS
    assert desk.job(bad.id).error["code"] == "internal_error"  # type: ignore[index]


def at_first_fit(action: Callable[[], object]) -> Callable[[Sequence[Trainer]], list[Fit | Exception]]:
    """Do something when the jobs are ready and none has begun."""

    def fit(trainers: Sequence[Trainer]) -> list[Fit | Exception]:
        action()
        return fit_together(trainers)

    fit_together = working.fit_together
    return fit


def test_one_is_cancelled_and_the_others_end(desk: Desk, work: Work, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(callbacks, "PULSE_SECONDS", 0.0)
    monkeypatch.setattr(recording, "REPORT_SECONDS", 0.0)
    monkeypatch.setattr(recording, "BESIDE_SECONDS", 0.0)
    refs = claimed(desk, JOB, JOB, JOB)
    monkeypatch.setattr(working, "fit_together", at_first_fit(lambda: desk.cancel(refs[1].id)))
    work.do(Assignment(refs))
    assert [desk.status(ref.id) for ref in refs] == ["succeeded", "cancelled", "succeeded"]
    assert desk.epochs(refs[1].id) == [1]


def test_a_drain_gives_all_back_uncounted(
    desk: Desk, work: Work, pipes: tuple[Connection, Connection], monkeypatch: pytest.MonkeyPatch
) -> None:
    refs = claimed(desk, JOB, JOB, JOB)
    monkeypatch.setattr(working, "fit_together", at_first_fit(lambda: pipes[0].send(Drain())))
    work.do(Assignment(refs))
    assert [(desk.status(ref.id), desk.job(ref.id).crashes) for ref in refs] == [("queued", 0)] * 3
    assert work.orders.next() is None


def test_a_job_that_gives_way_leaves_a_checkpoint_goes_behind_and_ends_the_same(
    desk: Desk, work: Work, pipes: tuple[Connection, Connection], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(callbacks, "PULSE_SECONDS", 0.0)
    single = alone(desk, work, **JOB)
    (ref,) = claimed(desk, JOB)
    other = desk.submit(**JOB)
    with monkeypatch.context() as patch:
        patch.setattr(working, "fit_together", at_first_fit(lambda: pipes[0].send(GiveWay((ref,)))))
        work.do(Assignment((ref,)))
    (left,) = desk.checkpoints(ref.id)
    assert (left.reason, left.epoch) == ("yield", 1)
    assert [(one, desk.status(one)) for one in (ref.id, other)] == [(ref.id, "queued"), (other, "queued")]
    before, again = desk.claim(2)
    assert (before.id, again) == (other, JobRef(ref.id, 2))
    work.do(Assignment((again,)))
    assert desk.epochs(ref.id) == EPOCHS
    assert desk.parameters(ref.id) == desk.parameters(single.id)
    assert desk.job(ref.id).result == desk.job(single.id).result
    told = [event.data["cause"] for event, _ in desk.events(ref.id) if event.type == "status"]
    assert told[2]["code"] == "gave_way"


@pytest.mark.parametrize("optimizer", ["SGD", "Adam"])
def test_a_job_with_groups_goes_on_where_it_was_put_down(
    desk: Desk,
    work: Work,
    pipes: tuple[Connection, Connection],
    monkeypatch: pytest.MonkeyPatch,
    optimizer: str,
) -> None:
    monkeypatch.setattr(callbacks, "PULSE_SECONDS", 0.0)
    spec = {**GROUPED, "optimizer": {"type": optimizer, "lr": 0.01}}
    single = alone(desk, work, **spec)
    (ref,) = claimed(desk, spec)
    other = desk.submit(**spec)
    with monkeypatch.context() as patch:
        patch.setattr(working, "fit_together", at_first_fit(lambda: pipes[0].send(GiveWay((ref,)))))
        work.do(Assignment((ref,)))
    (left,) = desk.checkpoints(ref.id)
    assert (left.reason, left.epoch, desk.status(ref.id)) == ("yield", 0, "queued")
    assert left.fraction > 0
    assert [one.id for one in desk.claim()] == [other]
    (again,) = desk.claim()
    work.do(Assignment((again,)))
    assert (desk.status(ref.id), desk.epochs(ref.id)) == ("succeeded", EPOCHS)
    assert desk.parameters(ref.id) == desk.parameters(single.id)
    assert desk.job(ref.id).result == desk.job(single.id).result


def test_who_has_no_room_for_a_checkpoint_stays(
    desk: Desk, work: Work, pipes: tuple[Connection, Connection], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(callbacks, "PULSE_SECONDS", 0.0)
    (ref,) = claimed(desk, JOB)
    monkeypatch.setattr(work.store, "_min_free_bytes", 2**62)
    monkeypatch.setattr(working, "fit_together", at_first_fit(lambda: pipes[0].send(GiveWay((ref,)))))
    work.do(Assignment((ref,)))
    assert (desk.status(ref.id), desk.epochs(ref.id)) == ("succeeded", EPOCHS)


def test_a_request_to_give_way_that_comes_too_late_means_nothing(
    desk: Desk, work: Work, pipes: tuple[Connection, Connection]
) -> None:
    (ref,) = claimed(desk, JOB)
    pipes[0].send(GiveWay((JobRef("job_before", 1),)))
    work.do(Assignment((ref,)))
    assert desk.status(ref.id) == "succeeded"


def test_while_the_database_is_busy_all_ends_wait_together(
    desk: Desk, work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recording, "RETRY_SECONDS", 0.01)
    refs = claimed(desk, JOB, JOB)
    write, refusals = Database.write, iter([True, True, False])

    def busy(self: Database, **options: bool) -> object:
        if next(refusals, False):
            raise DatabaseBusy
        return write(self, **options)

    monkeypatch.setattr(Database, "write", busy)
    work.do(Assignment(refs))
    assert [desk.status(ref.id) for ref in refs] == ["succeeded"] * 2


def test_the_death_of_the_worker_ends_all_and_records_nothing(
    desk: Desk, work: Work, pipes: tuple[Connection, Connection]
) -> None:
    refs = claimed(desk, JOB, JOB)
    pipes[0].close()
    with pytest.raises(EOFError):
        work.do(Assignment(refs))
    assert [desk.status(ref.id) for ref in refs] == ["running"] * 2
