"""A prediction is in one state at a time, belongs to one attempt, and has one end; on both databases."""

import itertools
import threading
from collections.abc import Callable

import pytest
import sqlalchemy as sa

from service.exceptions import (
    IdempotencyConflict,
    InvalidRequest,
    NoResult,
    PredictionNotFound,
    QueueFull,
    QuotaExceeded,
    StateConflict,
)
from service.predictions import expiry, repository, service
from service.predictions.attempts import PredictionRef
from service.predictions.lifecycle import (
    ACTIVE,
    CANCEL,
    LET_GO,
    TERMINAL,
    TRANSITIONS,
    PredictionStatus,
    sources_of,
)
from service.predictions.orm import Prediction
from service.predictions.service import Bounds
from tests.predictions.prediction_desk import RESULT, PredictionDesk


def test_the_table_of_transitions_holds_all_others() -> None:
    assert set(TRANSITIONS) == set(PredictionStatus)
    assert {status for status, targets in TRANSITIONS.items() if not targets} == TERMINAL
    for ways in (LET_GO, CANCEL):
        assert all(source is target or target in TRANSITIONS[source] for source, target in ways.items())
    assert set(LET_GO) == ACTIVE
    assert sources_of(PredictionStatus.RUNNING) == {PredictionStatus.QUEUED}


def test_no_statement_leaves_the_table(desk: PredictionDesk) -> None:
    ref = desk.taken()
    for source, target in itertools.product(PredictionStatus, PredictionStatus):
        with desk.database.write() as session:
            session.execute(sa.update(Prediction).values(status=source, worker_id="worker_a"))
            moved = repository.move(session, ref.id, target)
            assert (moved is not None) == (target in TRANSITIONS[source])


def test_claims_go_in_order_one_worker_each(desk: PredictionDesk) -> None:
    job, dataset = desk.trained(), desk.upload().id
    first, second = desk.predict(job, dataset), desk.predict(job, dataset)
    desk.live("worker_b")
    assert desk.take() == PredictionRef(first, 1)
    assert desk.take("worker_b") == PredictionRef(second, 1)
    assert desk.take() is None
    with desk.database.read() as session:
        assert repository.held_by(session, "worker_b") == [(second, 1, "running")]


def test_a_worker_that_is_in_no_list_takes_nothing(desk: PredictionDesk) -> None:
    desk.predict(desk.trained(), desk.upload().id)
    assert desk.take("worker_gone") is None
    assert desk.take() is not None


def test_two_who_claim_at_once_get_two(desk: PredictionDesk) -> None:
    job, dataset = desk.trained(), desk.upload().id
    wanted = {desk.predict(job, dataset) for _ in range(6)}
    desk.live("worker_b")
    found: list[PredictionRef | None] = []

    def claim(worker_id: str) -> None:
        found.extend(desk.take(worker_id) for _ in range(4))

    threads = [threading.Thread(target=claim, args=(name,)) for name in ("worker_a", "worker_b")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    taken = [ref.id for ref in found if ref is not None]
    assert (len(taken), set(taken)) == (6, wanted)


def test_it_has_one_end_and_its_model_goes_with_it(desk: PredictionDesk) -> None:
    ref = desk.taken(keep=["id"])
    assert desk.models() == 1
    assert desk.tell(ref, 1) is PredictionStatus.RUNNING
    assert desk.prediction(ref.id).done == 1
    assert desk.end(ref)
    ended = desk.prediction(ref.id)
    assert (ended.status, ended.result, ended.worker_id) == ("succeeded", RESULT, None)
    assert ended.finished_at is not None
    assert desk.models() == 0
    assert desk.end(ref)  # Asked again, because the answer to the commit was lost.
    assert desk.tell(ref, 2) is None
    assert desk.give_back(ref) is None


STALE: list[Callable[[PredictionDesk, PredictionRef], object]] = [
    lambda desk, ref: desk.tell(ref, 1),
    lambda desk, ref: desk.end(ref) or None,
    lambda desk, ref: desk.give_back(ref),
    lambda desk, ref: desk.die(ref),
]


@pytest.mark.parametrize("write", STALE)
def test_an_attempt_that_lost_its_lease_writes_nothing(
    desk: PredictionDesk, write: Callable[[PredictionDesk, PredictionRef], object]
) -> None:
    zombie = desk.taken()
    assert desk.give_back(zombie) is PredictionStatus.QUEUED
    assert write(desk, zombie) is None  # Nobody holds it.
    again = desk.take()
    before = desk.everything()
    assert again == PredictionRef(zombie.id, 2)
    assert write(desk, zombie) is None  # Another attempt holds it.
    assert desk.everything() == before


def test_what_kills_its_process_again_and_again_has_failed(desk: PredictionDesk) -> None:
    ref = desk.taken()
    states = [desk.die(ref)]
    while (again := desk.take()) is not None:
        states.append(desk.die(again))
    assert states == ["queued", "queued", "failed"]
    error = desk.prediction(ref.id).error
    assert error is not None
    assert (error["code"], "3 times" in error["message"]) == ("worker_crashed", True)
    assert desk.models() == 0


def test_a_stop_of_the_worker_is_not_counted(desk: PredictionDesk) -> None:
    ref = desk.taken()
    for attempt in range(2, 8):
        assert desk.give_back(ref) is PredictionStatus.QUEUED
        again = desk.take()
        assert again == PredictionRef(ref.id, attempt)
        ref = again
    assert desk.prediction(ref.id).crashes == 0


def test_a_cancel_in_each_state(desk: PredictionDesk) -> None:
    job, dataset = desk.trained(), desk.upload().id
    queued = desk.predict(job, dataset)
    assert desk.stop(queued) == "cancelled"
    ref = desk.taken()
    assert desk.stop(ref.id) == desk.stop(ref.id) == "cancelling"
    assert desk.tell(ref, 1) is PredictionStatus.CANCELLING
    assert desk.die(ref) is PredictionStatus.CANCELLED
    with pytest.raises(StateConflict, match="cancelled"):
        desk.stop(ref.id)
    late = desk.taken()
    desk.stop(late.id)
    assert desk.end(late)  # It had finished before it heard of it.
    assert desk.state(late.id) == "succeeded"
    assert desk.models() == 0


def test_orphans_are_found_when_their_worker_is_forgotten(desk: PredictionDesk) -> None:
    ref = desk.taken()
    with desk.database.read() as session:
        assert repository.orphans(session) == []
    with desk.database.write() as session:
        session.execute(sa.text("DELETE FROM workers"))
    with desk.database.read() as session:
        assert repository.orphans(session) == [(ref.id, 1)]


def test_only_what_has_ended_can_be_deleted(desk: PredictionDesk) -> None:
    ref = desk.taken()
    with pytest.raises(StateConflict, match="running"):
        desk.drop(ref.id)
    desk.end(ref)
    desk.drop(ref.id)
    with pytest.raises(PredictionNotFound):
        desk.prediction(ref.id)


def test_only_what_succeeded_has_a_result(desk: PredictionDesk) -> None:
    ref = desk.taken()
    with pytest.raises(StateConflict, match="no result yet"):
        service.result_of(desk.prediction(ref.id))
    desk.stop(ref.id)
    desk.give_back(ref)
    with pytest.raises(NoResult, match="cancelled"):
        service.result_of(desk.prediction(ref.id))


def test_one_key_makes_one_prediction(desk: PredictionDesk) -> None:
    job, dataset = desk.trained(), desk.upload().id
    first = desk.predict(job, dataset, key="one")
    assert desk.predict(job, dataset, key="one") == first
    assert desk.predict(job, dataset, key="two") != first
    with pytest.raises(IdempotencyConflict):
        desk.predict(job, dataset, key="one", keep=["x"])


def test_there_are_bounds(desk: PredictionDesk) -> None:
    job, dataset = desk.trained(), desk.upload().id
    desk.predict(job, dataset, bounds=Bounds(1, 1))
    with pytest.raises(QueueFull, match="1 predictions"):
        desk.predict(job, dataset, bounds=Bounds(1, None))
    with pytest.raises(QuotaExceeded, match="this key"):
        desk.predict(job, dataset, bounds=Bounds(None, 1))
    ref = desk.take()
    assert ref is not None
    desk.end(ref)
    desk.predict(job, dataset, bounds=Bounds(1, 1))


def test_what_is_anothers_is_not_there(desk: PredictionDesk) -> None:
    job = desk.trained()
    theirs = desk.upload(owner="another").id
    with pytest.raises(InvalidRequest, match="no dataset"):
        desk.predict(job, theirs)
    with pytest.raises(InvalidRequest, match="no job"):
        desk.predict(job, theirs, owner="another")


def test_a_dataset_is_needed_until_the_end(desk: PredictionDesk) -> None:
    ref = desk.taken()
    dataset = desk.prediction(ref.id).dataset_id
    with desk.database.read() as session:
        assert expiry.prediction_that_needs(session, dataset) == ref.id
        assert expiry.dataset_uses(session) == {dataset: None}
    desk.end(ref)
    with desk.database.read() as session:
        assert expiry.prediction_that_needs(session, dataset) is None
        assert expiry.dataset_uses(session) == {dataset: desk.prediction(ref.id).finished_at}
