"""Bodies that are packed on their way: gzip and deflate, unpacked within bounds."""

import gzip
import zlib
from collections.abc import Callable

from starlette.concurrency import run_in_threadpool

from service.api.bodies import too_large
from service.api.problems import UnsupportedMediaType
from service.exceptions import InvalidRequest, Problem

__all__ = ["packed", "unpacked"]

_FORMATS = {"gzip": 16 + zlib.MAX_WBITS, "deflate": zlib.MAX_WBITS}
_PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": lambda data: gzip.compress(data, compresslevel=1, mtime=0),
    "deflate": lambda data: zlib.compress(data, level=1),
}
WORTH_BYTES = 1024
"""A shorter answer is not packed: it would not get shorter by much."""
INLINE_BYTES = 64 * 2**10


async def unpacked(body: bytes, coding: str, *, max_bytes: int) -> bytes:
    """Unpack a body; of one that would become larger than it may, no more than that is ever held.

    Args:
        body: As it was sent.
        coding: The header Content-Encoding; empty where there is none.
        max_bytes: What it may become.

    Raises:
        UnsupportedMediaType: It is packed in another way.
        BodyTooLarge: It has more than `max_bytes` bytes.
        InvalidRequest: It is not what the header says, or not whole.
    """
    coding = coding.strip().lower()
    if coding in {"", "identity"}:
        return body
    if coding not in _FORMATS:
        hint = f"Send it as it is, or packed with {' or '.join(_FORMATS)}."
        raise UnsupportedMediaType(f"The body is packed with {coding[:40]}, which is not read.", hint=hint)
    return await run_in_threadpool(_unpacked, body, coding, max_bytes)


def _unpacked(body: bytes, coding: str, max_bytes: int) -> bytes:
    unpacker = zlib.decompressobj(_FORMATS[coding])
    try:
        found = unpacker.decompress(body, max_bytes + 1)
    except zlib.error as error:
        raise _unreadable(coding, str(error)) from None
    if len(found) > max_bytes:
        raise too_large(max_bytes)
    if not unpacker.eof:
        raise _unreadable(coding, "it ends too early")
    if unpacker.unused_data:
        raise _unreadable(coding, "something follows its end")
    return found


def _unreadable(coding: str, reason: str) -> InvalidRequest:
    message = f"The body cannot be unpacked with {coding}: {reason[:80]}."
    hint = "Is all of it packed once, and sent whole?"
    return InvalidRequest([Problem(None, "unreadable_body", message, hint, "Content-Encoding")])


async def packed(body: bytes, accepted: str | None) -> tuple[bytes, str | None]:
    """Pack an answer for who asks for one coding alone.

    A client that lists several would also take it as it is, which is faster.

    Returns:
        The body, and its coding; None where it is as it was.
    """
    coding = (accepted or "").strip().lower()
    if coding not in _PACKERS or len(body) < WORTH_BYTES:
        return body, None
    pack = _PACKERS[coding]
    return (pack(body) if len(body) <= INLINE_BYTES else await run_in_threadpool(pack, body)), coding
