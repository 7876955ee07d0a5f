"""A worker of this machine that dies is noticed at once, whatever killed it."""

import multiprocessing
from pathlib import Path
from typing import Any

from service.worker.presence import Presence
from tests.worker.runners import holds_presence

SPAWN = multiprocessing.get_context("spawn")


def other_worker(folder: Path, worker_id: str) -> tuple[Any, Any]:
    """Start a process that is present, and wait until it is."""
    ours, theirs = SPAWN.Pipe()
    process = SPAWN.Process(target=holds_presence, args=(theirs, folder, worker_id))
    process.start()
    theirs.close()
    assert f"{worker_id}.lock" in ours.recv()
    return process, ours


def test_a_killed_worker_is_found_once_and_a_living_one_never(tmp_path: Path) -> None:
    observer = Presence(tmp_path, "observer")
    doomed, doomed_pipe = other_worker(tmp_path, "doomed")
    alive, alive_pipe = other_worker(tmp_path, "alive")
    assert observer.abandoned() == set()

    doomed.kill()
    doomed.join()
    assert observer.abandoned() == {"doomed"}
    assert observer.abandoned() == set()

    alive_pipe.send("leave")
    alive.join()
    assert observer.abandoned() == set()
    assert [path.name for path in tmp_path.iterdir()] == ["observer.lock"]
    observer.close()
    doomed_pipe.close()
    alive_pipe.close()


def test_of_two_observers_one_finds_the_dead(tmp_path: Path) -> None:
    first, second = Presence(tmp_path, "first"), Presence(tmp_path, "second")
    process, pipe = other_worker(tmp_path, "doomed")
    process.kill()
    process.join()
    assert first.abandoned() | second.abandoned() == {"doomed"}
    assert second.abandoned() == set()
    pipe.close()
    first.close()
    second.close()


def test_leaving_takes_the_file_away(tmp_path: Path) -> None:
    presence = Presence(tmp_path / "new", "worker")
    assert (tmp_path / "new" / "worker.lock").exists()
    presence.close()
    assert list((tmp_path / "new").iterdir()) == []


def test_a_worker_does_not_take_itself_for_dead(tmp_path: Path) -> None:
    presence = Presence(tmp_path, "worker")
    assert presence.abandoned() == set()
    presence.close()
