"""Telling a want of memory from what a library cannot do."""

from collections.abc import Iterator

__all__ = ["is_of_memory"]

_SAID = (
    "can't allocate memory",
    "not enough memory",
    "out of memory",
    "failed to allocate memory",
    "bad_alloc",
    # What CPython says of an extension that could not even allocate its error.
    "error return without exception set",
)
"""What libraries say that raise errors of their own: torch, onnxruntime and what is beneath them."""


def is_of_memory(error: BaseException) -> bool:
    """Tell whether an error, or one that led to it, is a want of memory."""
    return any(
        isinstance(one, MemoryError) or any(said in str(one).lower() for said in _SAID)
        for one in _chain(error)
    )


def _chain(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        yield current
        current = current.__cause__ or current.__context__
