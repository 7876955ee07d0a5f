"""A ring wakes every listener of its topic, and never harms the one who rings."""

import multiprocessing
import os
import threading
from multiprocessing.connection import wait
from pathlib import Path

import pytest

from service.doorbell import JOB_CHANGED, JOB_QUEUED, PipeDoorbell, PipeListener

SPAWN = multiprocessing.get_context("spawn")


def ring_once(folder: Path) -> None:
    """In another process: ring."""
    PipeDoorbell(folder).ring(JOB_CHANGED, "from_afar")


def listens_and_dies(folder: Path) -> None:
    """In another process: listen, and end without closing."""
    PipeListener(folder, JOB_CHANGED)
    os._exit(0)


def is_rung(listener: PipeListener) -> bool:
    return bool(wait([listener], timeout=0))


def test_a_ring_wakes_the_listener_with_its_message(tmp_path: Path) -> None:
    with PipeListener(tmp_path, JOB_CHANGED) as listener:
        assert not is_rung(listener)
        PipeDoorbell(tmp_path).ring(JOB_CHANGED, "job_1")
        assert is_rung(listener)
        assert listener.messages() == {"job_1"}
        assert not is_rung(listener)
        assert listener.messages() == set()


def test_a_ring_wakes_one_who_waits(tmp_path: Path) -> None:
    with PipeListener(tmp_path, JOB_CHANGED) as listener:
        ringer = threading.Timer(0.05, PipeDoorbell(tmp_path).ring, args=(JOB_CHANGED, "job_1"))
        ringer.start()
        assert wait([listener], timeout=30) == [listener]
        ringer.join()


def test_a_ring_reaches_another_process(tmp_path: Path) -> None:
    with PipeListener(tmp_path, JOB_CHANGED) as listener:
        process = SPAWN.Process(target=ring_once, args=(tmp_path,))
        process.start()
        assert wait([listener], timeout=30) == [listener]
        process.join()
        assert listener.messages() == {"from_afar"}


def test_messages_gather_until_they_are_taken(tmp_path: Path) -> None:
    with PipeListener(tmp_path, JOB_CHANGED) as listener:
        for message in ("a", "b", "a"):
            PipeDoorbell(tmp_path).ring(JOB_CHANGED, message)
        assert listener.messages() == {"a", "b"}


def test_a_ring_without_a_message_still_wakes(tmp_path: Path) -> None:
    with PipeListener(tmp_path, JOB_QUEUED) as listener:
        PipeDoorbell(tmp_path).ring(JOB_QUEUED)
        assert is_rung(listener)


def test_two_listeners_both_hear(tmp_path: Path) -> None:
    with PipeListener(tmp_path, JOB_CHANGED) as first, PipeListener(tmp_path, JOB_CHANGED) as second:
        PipeDoorbell(tmp_path).ring(JOB_CHANGED, "job_1")
        assert first.messages() == second.messages() == {"job_1"}


def test_a_listener_hears_its_own_topic_only(tmp_path: Path) -> None:
    with PipeListener(tmp_path, JOB_QUEUED) as listener:
        PipeDoorbell(tmp_path).ring(JOB_CHANGED, "job_1")
        assert listener.messages() == set()


def test_ringing_where_nobody_listens_is_no_error(tmp_path: Path) -> None:
    PipeDoorbell(tmp_path / "missing").ring(JOB_QUEUED)
    PipeDoorbell(tmp_path).ring(JOB_QUEUED)


def test_a_closed_listener_leaves_no_pipe(tmp_path: Path) -> None:
    with PipeListener(tmp_path, JOB_CHANGED):
        assert len(list(tmp_path.iterdir())) == 1
    assert list(tmp_path.iterdir()) == []


def test_the_pipe_of_a_dead_listener_is_taken_away_and_the_living_hear(tmp_path: Path) -> None:
    process = SPAWN.Process(target=listens_and_dies, args=(tmp_path,))
    process.start()
    process.join()
    assert len(list(tmp_path.iterdir())) == 1
    with PipeListener(tmp_path, JOB_CHANGED) as listener:
        PipeDoorbell(tmp_path).ring(JOB_CHANGED, "job_1")
        assert listener.messages() == {"job_1"}
        assert len(list(tmp_path.iterdir())) == 1


def test_a_full_pipe_blocks_nobody_and_is_read_to_the_end(tmp_path: Path) -> None:
    doorbell = PipeDoorbell(tmp_path)
    with PipeListener(tmp_path, JOB_CHANGED) as deaf, PipeListener(tmp_path, JOB_CHANGED) as other:
        words = [f"job_{i}_{'x' * 200}" for i in range(1000)]
        for word in words:
            doorbell.ring(JOB_CHANGED, word)
            other.messages()
        heard = deaf.messages()
        assert heard <= set(words)
        assert words[0] in heard
        doorbell.ring(JOB_CHANGED, "after")
        assert deaf.messages() == other.messages() == {"after"}


@pytest.mark.parametrize("topic", [JOB_CHANGED, JOB_QUEUED])
def test_only_the_owner_may_use_the_pipe(tmp_path: Path, topic: str) -> None:
    with PipeListener(tmp_path, topic):
        (pipe,) = tmp_path.iterdir()
        assert pipe.stat().st_mode & 0o777 == 0o600
