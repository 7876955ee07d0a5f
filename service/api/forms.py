"""Forms of several parts (RFC 7578), read as they come: no part is held in memory but by whoever wants it."""

from collections.abc import AsyncIterator
from email.message import Message

from service.exceptions import InvalidRequest, Problem

__all__ = ["FORM", "Form", "Part"]

FORM = "multipart/form-data"
_MOST_HEAD_BYTES = 16 * 2**10
_LONGEST_BOUNDARY = 70
"""As RFC 2046 has it."""


class Part:
    """What the head of a part says about it.

    Attributes:
        name: Of the field.
        filename: Of the file, where it is one; only to tell its kind by, never a place.
        media: Its type; empty where it says none.
    """

    def __init__(self, head: bytes) -> None:
        said = Message()
        for line in head.decode("utf-8", "replace").split("\r\n"):
            field, _, value = line.partition(":")
            if value:
                said[field.strip()] = value.strip()
        self.name = str(said.get_param("name", "", header="content-disposition"))
        self.filename = str(said.get_param("filename", "", header="content-disposition"))
        self.media = said.get_content_type() if "content-type" in said else ""


class Form:
    """The parts of a form, one after the other."""

    def __init__(self, chunks: AsyncIterator[bytes], content_type: str) -> None:
        """Begin to read.

        Args:
            chunks: The body.
            content_type: The header, which names the boundary between the parts.

        Raises:
            InvalidRequest: It names none.
        """
        header = Message()
        header["content-type"] = content_type
        boundary = header.get_boundary("")
        if not 1 <= len(boundary) <= _LONGEST_BOUNDARY or not boundary.isascii():
            raise _broken("The Content-Type names no boundary between the parts.")
        self._chunks = chunks
        self._delimiter = b"\r\n--" + boundary.encode()
        # The first delimiter has no line before it.
        self._held = bytearray(b"\r\n")
        self._in_part = True

    async def part(self) -> Part | None:
        """Give the next part, or None after the last. What is left of the one before is passed over.

        Raises:
            InvalidRequest: The form is broken.
        """
        async for _ in self.content():
            pass
        while len(self._held) < len(b"--"):
            await self._more()
        if self._held.startswith(b"--"):
            return None
        while (end := self._held.find(b"\r\n\r\n")) < 0:
            if len(self._held) > _MOST_HEAD_BYTES:
                raise _broken("The head of a part does not end.")
            await self._more()
        head = bytes(self._held[:end])
        del self._held[: end + len(b"\r\n\r\n")]
        self._in_part = True
        return Part(head)

    async def content(self) -> AsyncIterator[bytes]:
        """Give the content of the part, piece by piece.

        Raises:
            InvalidRequest: The body ends before the part does.
        """
        while self._in_part:
            end = self._held.find(self._delimiter)
            self._in_part = end < 0
            # What may be the beginning of the delimiter is held back.
            sure = end if end >= 0 else max(0, len(self._held) - len(self._delimiter))
            piece = bytes(self._held[:sure])
            del self._held[: sure + (0 if self._in_part else len(self._delimiter))]
            if piece:
                yield piece
            if self._in_part:
                await self._more()

    async def _more(self) -> None:
        async for chunk in self._chunks:
            if chunk:
                self._held += chunk
                return
        raise _broken("The form ends before its last boundary.")


def _broken(message: str) -> InvalidRequest:
    hint = "As in: curl -F spec=@spec.json -F data=@rows.arrow."
    return InvalidRequest([Problem(None, "invalid_form", message, hint)])
