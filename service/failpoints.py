"""Named moments at which a process can be made to die, so that tests can show that every gap is safe.

Off by default: then a hit is one comparison. Where the operator names a folder, a file in it with the name of a
moment makes the next process that gets there do what the file says, once: `kill` or `stop` the process, or `full`
for a disk without room.
"""

import errno
import os
import signal
from collections.abc import Callable, Mapping
from pathlib import Path

__all__ = ["NAMES", "arm", "hit"]

NAMES = frozenset(
    {
        "submitted",  # The job is committed, its caller has no answer yet.
        "claimed",  # The claim is committed, no runner has the job yet.
        "begun",  # The runner has read the job, nothing is trained.
        "checkpoint_half_written",  # Half of the bytes are in the temporary file.
        "checkpoint_written",  # The file has its name, no row names it.
        "checkpoint_recorded",  # The row is committed.
        "finishing",  # The training is over, nothing of it is recorded.
        "finished",  # The result is committed, the worker does not know it.
        "letting_go",  # The runner is about to give the job back.
        "let_go",  # It is given back, the worker does not know it.
        "sweep_advancing",  # The next trials of a sweep are chosen, none is recorded.
        "sweep_advanced",  # They are committed, nobody is told.
        "tracker_told",  # A tracker was told what is new, no cursor is moved.
        "sweep_asked",  # A sweep is to stop or to pause, none of its jobs is asked yet.
    }
)

_folder: Path | None = None


def arm(folder: Path | None) -> None:
    """Look for the files of this folder from now on; None switches all off."""
    global _folder  # noqa: PLW0603 - one process, one answer to whether it is under test
    _folder = folder


def hit(name: str) -> None:
    """Be at a moment: do what its file says, if there is one."""
    if _folder is None:
        return
    if name not in NAMES:
        raise ValueError(f"there is no failpoint {name!r}")
    path = _folder / name
    taken = path.with_name(f"{name}.taken-by-{os.getpid()}")
    try:
        # Whoever can rename the file has it: it goes off once, in one process.
        path.rename(taken)
    except FileNotFoundError:
        return
    _ACTIONS[taken.read_text("ascii").strip()]()


def _full() -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


_ACTIONS: Mapping[str, Callable[[], None]] = {
    "kill": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "stop": lambda: os.kill(os.getpid(), signal.SIGSTOP),
    "full": _full,
}
