"""Bodies that are packed: what was sent comes out, and nothing larger than it may be."""

import asyncio
import gzip
import zlib

import pytest

from service.api.codings import WORTH_BYTES, packed, unpacked
from service.api.problems import BodyTooLarge, UnsupportedMediaType
from service.exceptions import InvalidRequest, ServiceError

BODY = b"0123456789" * 500
PACKED = {"gzip": gzip.compress(BODY, mtime=0), "deflate": zlib.compress(BODY), "identity": BODY, "": BODY}


def taken(body: bytes, coding: str, *, max_bytes: int = len(BODY)) -> bytes:
    return asyncio.run(unpacked(body, coding, max_bytes=max_bytes))


@pytest.mark.parametrize("coding", [*PACKED, " GZIP "])
def test_what_was_packed_is_unpacked(coding: str) -> None:
    assert taken(PACKED[coding.strip().lower()], coding) == BODY


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
def test_what_is_packed_for_a_caller_can_be_read(coding: str) -> None:
    body, told = asyncio.run(packed(BODY, coding))
    assert told == coding
    assert taken(body, coding) == BODY


@pytest.mark.parametrize("accepted", [None, "", "identity", "br", "gzip, deflate", "*"])
def test_nothing_is_packed_for_who_takes_it_as_it_is(accepted: str | None) -> None:
    assert asyncio.run(packed(BODY, accepted)) == (BODY, None)
    assert asyncio.run(packed(BODY[: WORTH_BYTES - 1], "gzip")) == (BODY[: WORTH_BYTES - 1], None)


@pytest.mark.parametrize(
    ("body", "coding", "error"),
    [
        (BODY, "gzip", InvalidRequest),
        (PACKED["gzip"][:-1], "gzip", InvalidRequest),
        (PACKED["gzip"] + b"x", "gzip", InvalidRequest),
        (PACKED["gzip"], "deflate", InvalidRequest),
        (b"", "deflate", InvalidRequest),
        (gzip.compress(BODY + b"x", mtime=0), "gzip", BodyTooLarge),
        (gzip.compress(bytes(2**24), mtime=0), "gzip", BodyTooLarge),
        (BODY, "br", UnsupportedMediaType),
        (PACKED["gzip"], "gzip, gzip", UnsupportedMediaType),
    ],
)
def test_what_cannot_be_unpacked_is_refused(body: bytes, coding: str, error: type[ServiceError]) -> None:
    with pytest.raises(error) as raised:
        taken(body, coding)
    assert raised.value.hint
