"""The local executor keeps warm processes, gives them jobs, and replaces the dead."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any

import pytest

from service.jobs.attempts import JobRef
from service.worker import local
from service.worker.executor import Assignment, Exit, ExitKind
from service.worker.local import LocalExecutor
from service.worker.messages import Run
from service.worker.nursery import Nursery
from tests.worker import runners

DEADLINE = 60.0


class Running:
    """An executor that is polled as the dispatcher does."""

    def __init__(self, executor: LocalExecutor) -> None:
        self.executor = executor
        self.exits: list[Exit] = []
        self.closed = False

    def until(self, condition: Callable[[], bool]) -> None:
        """Poll until a condition holds."""
        give_up = time.monotonic() + DEADLINE
        while not condition():
            assert time.monotonic() < give_up, "it never happened"
            wait(self.executor.waitables(), timeout=0.05)
            self.exits += self.executor.poll()

    def until_free(self, slots: int) -> None:
        self.until(lambda: self.executor.free().slots == slots)

    def ended(self, job_id: str) -> ExitKind:
        """Wait for a job's end."""
        self.until(lambda: any(one.ref.id == job_id for one in self.exits))
        (found,) = [one for one in self.exits if one.ref.id == job_id]
        return found.kind

    def close(self, seconds: float = 0.0) -> list[Exit]:
        self.closed = True
        return self.executor.close(seconds)


@pytest.fixture
def start() -> Iterator[Callable[..., Running]]:
    """Starts executors, and stops them at the end of the test."""
    started: list[Running] = []

    def begin(target: Callable[..., None], *arguments: object, slots: int = 1) -> Running:
        executor = LocalExecutor(slots=slots, target=target, arguments=arguments, preload=runners.__name__)
        started.append(Running(executor))
        return started[-1]

    yield begin
    for running in started:
        if not running.closed:
            running.close()


Start = Callable[..., Running]


def test_a_slot_is_free_only_when_its_process_is_warm(start: Start) -> None:
    running = start(runners.obedient)
    assert running.executor.free().slots == 0
    with pytest.raises(RuntimeError):
        running.executor.start(Assignment((JobRef("too soon", 1),)))
    running.until_free(1)
    assert running.executor.warm() == 1
    assert running.executor.about().keys() == {"pid"}


def test_a_job_that_is_done_frees_its_slot_and_the_process_stays(start: Start) -> None:
    running = start(runners.obedient)
    running.until_free(1)
    pid = running.executor.about()["pid"]
    for attempt in (1, 2):
        ref = JobRef(f"job {attempt}", attempt)
        running.executor.start(Assignment((ref,)))
        assert running.executor.running() == {ref}
        assert running.executor.free().slots == 0
        assert running.ended(ref.id) == ExitKind.RETURNED
        assert running.executor.running() == set()
    assert running.executor.about()["pid"] == pid


def test_every_slot_gets_a_process_and_a_job_of_its_own(start: Start) -> None:
    running = start(runners.obedient, slots=2)
    running.until_free(2)
    refs = {JobRef("long", 1), JobRef("long", 2)}
    for ref in refs:
        running.executor.start(Assignment((ref,)))
    assert running.executor.running() == refs
    with pytest.raises(RuntimeError):
        running.executor.start(Assignment((JobRef("one too many", 1),)))


def test_a_process_that_dies_is_told_as_a_crash_and_replaced(start: Start) -> None:
    running = start(runners.obedient)
    running.until_free(1)
    pid = running.executor.about()["pid"]
    running.executor.start(Assignment((JobRef("crash", 1),)))
    assert running.ended("crash") == ExitKind.CRASHED
    running.until_free(1)
    assert running.executor.about()["pid"] != pid
    running.executor.start(Assignment((JobRef("next", 1),)))
    assert running.ended("next") == ExitKind.RETURNED


def test_what_a_process_said_before_its_death_counts(start: Start) -> None:
    running = start(runners.obedient)
    running.until_free(1)
    running.executor.start(Assignment((JobRef("done, then crash", 1),)))
    assert running.ended("done, then crash") == ExitKind.RETURNED
    running.until_free(1)


def test_all_jobs_of_an_assignment_end_with_it(start: Start) -> None:
    running = start(runners.obedient)
    running.until_free(1)
    refs = (JobRef("a", 1), JobRef("b", 1))
    running.executor.start(Assignment(refs))
    assert running.executor.running() == set(refs)
    assert running.ended("b") == ExitKind.RETURNED
    assert [one.ref for one in running.exits] == list(refs)
    together = (JobRef("crash", 1), JobRef("beside", 1))
    running.executor.start(Assignment(together))
    assert running.ended("beside") == ExitKind.CRASHED
    assert [(one.ref, one.alone) for one in running.exits[2:]] == [(ref, False) for ref in together]


def test_a_kill_ends_all_who_share_the_slot(start: Start) -> None:
    running = start(runners.stubborn)
    running.until_free(1)
    running.executor.start(Assignment((JobRef("a", 1), JobRef("b", 1))))
    running.executor.kill(JobRef("b", 1))
    assert running.ended("a") == ExitKind.CRASHED
    assert running.executor.running() == set()


def test_an_idle_process_that_dies_is_replaced_without_a_word(start: Start) -> None:
    running = start(runners.obedient)
    running.until_free(1)
    pid = running.executor.about()["pid"]
    os.kill(pid, signal.SIGKILL)
    running.until(lambda: running.executor.about()["pid"] != pid)
    assert running.exits == []


def test_a_job_handed_to_a_process_that_has_just_died_is_told_as_a_crash(start: Start) -> None:
    running = start(runners.obedient)
    running.until_free(1)
    (slot,) = running.executor._slots
    slot.process.kill()
    slot.process.join()
    running.executor.start(Assignment((JobRef("unlucky", 1),)))
    assert running.ended("unlucky") == ExitKind.CRASHED


def test_a_kill_ends_the_job_that_is_meant_and_no_other(start: Start) -> None:
    running = start(runners.stubborn, slots=2)
    running.until_free(2)
    doomed, spared = JobRef("doomed", 1), JobRef("spared", 1)
    running.executor.start(Assignment((doomed,)))
    running.executor.start(Assignment((spared,)))
    running.executor.kill(JobRef("doomed", 2))
    running.executor.kill(doomed)
    assert running.ended("doomed") == ExitKind.CRASHED
    assert running.executor.running() == {spared}
    running.until_free(1)
    assert running.executor.warm() == 2


def births_in(path: Path) -> int:
    return len(path.read_text().splitlines()) if path.exists() else 0


def test_a_process_that_dies_before_it_is_warm_is_tried_again_and_again(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local, "RESTART_SECONDS", 0.01)
    running = start(runners.stillborn, tmp_path / "births")
    running.until(lambda: births_in(tmp_path / "births") >= 3)
    assert running.exits == []
    assert running.executor.warm() == 0


def test_a_process_that_dies_before_it_is_warm_is_not_tried_again_at_once(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local, "RESTART_SECONDS", 3600.0)
    running = start(runners.stillborn, tmp_path / "births")
    running.until(lambda: births_in(tmp_path / "births") == 1 and running.executor._slots == [])
    for _ in range(10):
        running.executor.poll()
    assert running.executor._slots == []
    assert running.executor._nursery.expected == 0
    assert births_in(tmp_path / "births") == 1


def test_a_process_that_gets_warm_at_the_second_try_works(start: Start, tmp_path: Path) -> None:
    running = start(runners.sickly, tmp_path / "births")
    running.until_free(1)
    running.executor.start(Assignment((JobRef("job", 1),)))
    assert running.ended("job") == ExitKind.RETURNED


def test_closing_lets_jobs_be_given_back_and_leaves_no_process(start: Start) -> None:
    running = start(runners.obedient, slots=2)
    running.until_free(2)
    processes = [slot.process for slot in running.executor._slots]
    running.executor.start(Assignment((JobRef("long", 1),)))
    assert running.close(DEADLINE) == [Exit(JobRef("long", 1), ExitKind.RETURNED)]
    assert not any(process.is_alive() for process in processes)


def test_closing_kills_the_stubborn_and_tells_their_jobs_as_crashed(start: Start) -> None:
    running = start(runners.stubborn)
    running.until_free(1)
    (process,) = [slot.process for slot in running.executor._slots]
    running.executor.start(Assignment((JobRef("stuck", 1),)))
    (one,) = running.close(0.2)
    assert (one.ref, one.kind) == (JobRef("stuck", 1), ExitKind.CRASHED)
    assert "SIGKILL" in one.detail
    assert not process.is_alive()


def test_closing_before_anything_is_warm_leaves_no_process(start: Start) -> None:
    running = start(runners.late)
    running.until(lambda: bool(running.executor._slots))
    (process,) = [slot.process for slot in running.executor._slots]
    assert running.close(DEADLINE) == []
    assert not process.is_alive()


def test_a_process_that_is_born_after_closing_is_ended(start: Start) -> None:
    nursery = Nursery(target=runners.late, arguments=(), preload=runners.__name__)
    nursery.order()
    nursery.close()
    wait([nursery.news], timeout=DEADLINE)
    (newborn,) = nursery.born()
    newborn.process.join(DEADLINE)
    assert newborn.process.exitcode == -signal.SIGKILL


def test_the_death_of_the_process_that_forks_is_survived(start: Start) -> None:
    running = start(runners.obedient)
    running.until_free(1)
    (slot,) = running.executor._slots
    os.kill(_forked_by(slot.process.pid), signal.SIGKILL)
    # Its children can no longer be told from dead ones: each is replaced.
    running.until(lambda: slot not in running.executor._slots)
    running.until_free(1)
    running.executor.start(Assignment((JobRef("next", 1),)))
    assert running.ended("next") == ExitKind.RETURNED


def _forked_by(pid: int) -> int:
    """The process that a runner was forked from."""
    parent = int(Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[1])
    assert parent != os.getpid()
    return parent


def test_a_signal_to_all_processes_leaves_it_to_the_worker_to_drain(start: Start) -> None:
    running = start(runners.obedient)
    running.until_free(1)
    ref, (slot,) = JobRef("long", 1), running.executor._slots
    running.executor.start(Assignment((ref,)))
    assert slot.process.pid is not None
    for pid in (_forked_by(slot.process.pid), slot.process.pid):
        os.kill(pid, signal.SIGTERM)
    assert running.close(DEADLINE) == [Exit(ref, ExitKind.RETURNED)]
    assert not slot.process.is_alive()


def test_runners_end_with_the_pipe_whatever_they_ignore(start: Start) -> None:
    running = start(runners.obedient)
    running.until_free(1)
    (slot,) = running.executor._slots
    slot.process.terminate()
    slot.pipe.send(Run(Assignment((JobRef("heard", 1),))))
    assert slot.pipe.poll(DEADLINE), "the signal ended it"
    slot.pipe.close()
    slot.process.join(DEADLINE)
    assert slot.process.exitcode == 1, "it has found the end of its pipe"


def test_nothing_outlives_the_block_whatever_ends_it(start: Start) -> None:
    running = start(runners.stubborn)
    running.until_free(1)
    running.executor.start(Assignment((JobRef("stuck", 1),)))
    (slot,) = running.executor._slots
    with pytest.raises(KeyError), running.executor:
        raise KeyError
    assert slot.process.exitcode == -signal.SIGKILL


def test_a_drain_waits_although_a_process_was_born(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    running = start(runners.stubborn)
    running.until_free(1)
    running.executor.start(Assignment((JobRef("stuck", 1),)))
    running.executor._nursery.order()
    assert wait([running.executor._nursery.news], timeout=DEADLINE)
    waits: list[object] = []

    def counted(things: list[Any], timeout: float) -> list[Any]:
        waits.append(timeout)
        return wait(things, timeout)

    monkeypatch.setattr(local, "wait", counted)
    running.close(0.2)
    assert len(waits) == 1


def test_a_process_that_leaves_after_a_job_is_replaced_and_nothing_is_counted_as_crashed(
    start: Start,
) -> None:
    running = start(runners.leaves_after_each_job)
    running.until_free(1)
    first = running.executor.about()["pid"]
    running.executor.start(Assignment((JobRef("a", 1),)))
    assert running.ended("a") is ExitKind.RETURNED
    running.until_free(1)
    assert running.executor.about()["pid"] != first
    running.executor.start(Assignment((JobRef("b", 1),)))
    assert running.ended("b") is ExitKind.RETURNED
    assert [one.kind for one in running.exits] == [ExitKind.RETURNED] * 2


def test_how_a_process_died_is_told_in_words() -> None:
    assert "SIGSEGV" in local._how_it_died(-signal.SIGSEGV)
    assert "memory" in local._how_it_died(-signal.SIGKILL)
    assert "exit code 3" in local._how_it_died(3)
