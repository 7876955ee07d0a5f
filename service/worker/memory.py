"""What one training may take of the memory, and giving it back."""

import contextlib
import gc
import resource
import sys
from collections.abc import Iterator
from pathlib import Path

import torch

__all__ = ["give_back", "limited", "resident_bytes"]


@contextlib.contextmanager
def limited(extra_bytes: int) -> Iterator[None]:
    """Let this process take so much more memory than it has now, while the block runs; 0 sets no bound.

    Address space is what is counted: of all that can be bounded, it is the one that makes an allocation fail, with
    an error that says so, instead of the system killing whichever process it likes. Linux only.
    """
    if not extra_bytes or sys.platform != "linux":
        yield
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    bound = _pages()[0] * resource.getpagesize() + extra_bytes
    known = [one for one in (bound, soft, hard) if one != resource.RLIM_INFINITY]
    resource.setrlimit(resource.RLIMIT_AS, (min(known), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def give_back() -> None:
    """Free what the last training has left, on the accelerator too: the next job may be another process's."""
    gc.collect()
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        torch.cuda.empty_cache()


def resident_bytes() -> int:
    """Tell how much memory this process holds now; 0 where the system does not tell."""
    return _pages()[1] * resource.getpagesize() if sys.platform == "linux" else 0


def _pages() -> tuple[int, int]:
    """Read the pages of this process: all that are mapped, and those that are in memory."""
    mapped, resident, *_ = Path("/proc/self/statm").read_text("ascii").split()
    return int(mapped), int(resident)
