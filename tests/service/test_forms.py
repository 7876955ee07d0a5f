"""Forms are read the same way however the network cuts them, and broken ones are told."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from service.api.forms import Form
from service.exceptions import InvalidRequest

TYPE = 'multipart/form-data; boundary="--a b"'
BODY = (
    b"preamble\r\n----a b\r\n"
    b'Content-Disposition: form-data; name="spec"; filename="C:\\\\x/../spec.json"\r\n\r\n{"a": 1}\r\n'
    b"----a b\r\ncontent-disposition: form-data; name=data\r\nContent-Type: Text/CSV; charset=utf-8\r\n\r\n"
    b"--\r\n----a \r\n\r\n\r\n----a b\r\n\r\n\r\n----a b--\r\nepilogue"
)


async def chunks(body: bytes, size: int) -> AsyncIterator[bytes]:
    for start in range(0, len(body), size):
        yield body[start : start + size]
        yield b""


def parts_of(body: bytes, size: int = 7, content_type: str = TYPE) -> list[tuple[str, str, bytes]]:
    async def read() -> list[tuple[str, str, bytes]]:
        form = Form(chunks(body, size), content_type)
        found = []
        while (part := await form.part()) is not None:
            found.append((part.name, part.media, b"".join([piece async for piece in form.content()])))
        return found

    return asyncio.run(read())


@pytest.mark.parametrize("size", [1, 2, 3, 5, 8, 13, 64, 1000])
def test_a_form_is_the_same_however_it_is_cut(size: int) -> None:
    assert parts_of(BODY, size) == [
        ("spec", "", b'{"a": 1}'),
        ("data", "text/csv", b"--\r\n----a \r\n\r\n"),
        ("", "", b""),
    ]


def test_a_part_that_nobody_reads_is_passed_over() -> None:
    async def names() -> list[str]:
        form = Form(chunks(BODY, 9), TYPE)
        return [part.name for part in [await form.part(), await form.part(), await form.part()] if part]

    assert asyncio.run(names()) == ["spec", "data", ""]


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b"", TYPE),
        (BODY[:-20], TYPE),
        (BODY[:40], TYPE),
        (b"------a b\r\n" + b"x" * 20_000, TYPE),
        (BODY, "multipart/form-data"),
        (BODY, "multipart/form-data; boundary="),
        (BODY, f"multipart/form-data; boundary={'x' * 71}"),
    ],
)
def test_a_broken_form_is_told(body: bytes, content_type: str) -> None:
    with pytest.raises(InvalidRequest) as error:
        parts_of(body, content_type=content_type)
    (problem,) = error.value.problems
    assert problem.code == "invalid_form"
    assert "curl -F" in problem.hint
