"""A bar that shows how far a training is, where somebody is watching."""

import sys
import time
from typing import Self, TextIO

__all__ = ["Bar", "is_watched"]

_WIDTH = 24
_REDRAW_SECONDS = 0.1


def is_watched(stream: TextIO) -> bool:
    """Tell whether a terminal or a notebook shows what is written."""
    return stream.isatty() or "ipykernel" in sys.modules


class Bar:
    """One line that is written anew, and is left as it is at the end.

    Args:
        on: Whether to write anything, where somebody is watching.
        stream: Where to; standard error where it is left out.
    """

    def __init__(self, *, on: bool, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stderr
        self.is_on = on and is_watched(self._stream)
        self._drawn = 0.0
        self._length = 0

    def show(self, title: str, fraction: float, text: str) -> None:
        """Write the line.

        Args:
            title: What it is about.
            fraction: Share that is done, from 0 to 1.
            text: What else there is to say.
        """
        if not self.is_on or time.monotonic() - self._drawn < _REDRAW_SECONDS:
            return
        self._drawn = time.monotonic()
        done = round(_WIDTH * min(max(fraction, 0.0), 1.0))
        self._write(f"{title} [{'=' * done}{' ' * (_WIDTH - done)}] {fraction:4.0%} {text}".rstrip())

    def close(self, text: str) -> None:
        """Write a last line in the place of the bar."""
        if self.is_on:
            self._write(text)
            self._stream.write("\n")
            self._stream.flush()
            self.is_on = False

    def _write(self, line: str) -> None:
        self._stream.write(f"\r{line:<{self._length}}")
        self._stream.flush()
        self._length = len(line)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.is_on and self._length:
            self._stream.write("\n")
            self._stream.flush()
