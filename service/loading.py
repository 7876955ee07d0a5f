"""Loading modules fast, and without a trace in what comes after."""

import contextlib
import gc
from collections.abc import Iterator

__all__ = ["without_collection"]


@contextlib.contextmanager
def without_collection() -> Iterator[None]:
    """Keep the garbage collector away from a block that imports.

    What modules make stays. To look through all of it again and again, as it grows, takes a sixth of the time that the
    imports take; afterwards it is set apart, so that no later collection has to look through it either, which would hold
    up requests and, in a forked process, copy the pages that it shares with others.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if was_on:
            gc.enable()
