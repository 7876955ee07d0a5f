"""What processes have in common that are started for one piece of work, and may die of it."""

import os
import resource
import sys
import threading
from pathlib import Path

__all__ = ["hold_to", "ordered"]


def ordered(*, abandoned: int) -> bytes:
    """Read the order, which comes as one line on standard input; that then stays open while the answer is wanted.

    Args:
        abandoned: The exit code of this process where nobody waits for the answer any more.
    """
    # Not further than to the line's end: `sys.stdin` would hold a lock that nobody may wait for at the end.
    line = bytearray()
    while not line.endswith(b"\n"):
        line += os.read(0, 1) or b"\n"
    threading.Thread(target=_end_with_parent, args=(abandoned,), name="lifeline", daemon=True).start()
    return bytes(line)


def _end_with_parent(code: int) -> None:
    """End when nobody waits for the answer any more: then standard input comes to its end."""
    while os.read(0, 1024):
        pass
    os._exit(code)


def hold_to(*, seconds: float, memory_bytes: int) -> None:
    """Hold this process to a budget from now on.

    Args:
        seconds: Of CPU, with what it has had already.
        memory_bytes: Of address space beyond what it has now. Linux only.
    """
    whole = int(seconds) + 1
    resource.setrlimit(resource.RLIMIT_CPU, (whole, whole + 1))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        pages = int(Path("/proc/self/statm").read_text("ascii").split()[0])
        limit = pages * resource.getpagesize() + memory_bytes
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
