"""What `fitctl` writes: results on standard output, everything else on standard error."""

import csv
import io
import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pydantic import BaseModel
from rich.console import Console
from rich.table import Table
from rich.text import Text

from fitd_client.answers import History, HistoryEvent
from fitd_client.cli.plain import paragraph, plain
from fitd_client.errors import UnreadableData

__all__ = ["Column", "Screen", "figure", "of_answer", "whole"]

_WIDE = 60
_COUNTS = frozenset({"epoch", "run"})


class Column:
    """A column of a table.

    Attributes:
        name: Its heading.
        least: Columns that the terminal must have for it to be shown.
        right: Whether its values stand at the right.
    """

    def __init__(self, name: str, *, least: int = 0, right: bool = False) -> None:
        self.name, self.least, self.right = name, least, right


def figure(value: float | None) -> str:
    """Write a loss or metric in four digits; nothing where there is none."""
    return "" if value is None else f"{value:.4g}"


def whole(name: str, values: list[Any]) -> list[Any]:
    """Give a column of a history, with whole numbers where they count something."""
    return [int(value) for value in values] if name in _COUNTS else values


def of_answer(value: Any) -> Any:  # noqa: ANN401 - of JSON
    """Give an answer of the service, or a list of them, as JSON has it."""
    if isinstance(value, History | HistoryEvent):
        columns = {name: whole(name, values) for name, values in value.columns.items()}
        return value.model_dump(mode="json") | {"columns": columns}
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    return [of_answer(one) for one in value] if isinstance(value, list) else value


class Screen:
    """Both outputs.

    Attributes:
        out: Where results go.
        err: Where progress and messages go.
        json: Whether results are JSON, and nothing but JSON.
        quiet: Whether results are ids alone, and messages are left out.
    """

    def __init__(self, *, as_json: bool, no_color: bool, quiet: bool) -> None:
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(errors="backslashreplace")  # Not every terminal has every character.
        # Markup, emoji codes and highlighting would change what names of jobs say.
        options: dict[str, Any] = {"markup": False, "emoji": False, "highlight": False}
        if no_color:
            options |= {"no_color": True}
        self.out = Console(file=sys.stdout, soft_wrap=False, **options)
        self.err = Console(file=sys.stderr, **options)
        self.json = as_json
        self.quiet = quiet

    def say(self, message: str) -> None:
        """Write a message on standard error."""
        if not self.quiet:
            self.err.print(Text(paragraph(message)), soft_wrap=True)

    def line(self, text: object) -> None:
        """Write a line of a result."""
        self.out.file.write(f"{plain(text)}\n")
        self.out.file.flush()

    def document(self, value: Any) -> None:  # noqa: ANN401 - of JSON
        """Write one JSON document."""
        indent = 2 if self.out.is_terminal else None
        self.out.file.write(json.dumps(of_answer(value), indent=indent) + "\n")

    def json_line(self, value: Any) -> None:  # noqa: ANN401 - of JSON
        """Write one line of JSON lines, at once."""
        self.out.file.write(json.dumps(of_answer(value)) + "\n")
        self.out.file.flush()

    def content(self, content: bytes) -> None:
        """Write bytes as they are; on a terminal, as text that is fit for it.

        Raises:
            UnreadableData: They are no text, and would go to a terminal.
        """
        if self.out.file.isatty():
            self.out.file.write(paragraph(_text(content)).rstrip("\n") + "\n")
            return
        self.out.file.flush()
        buffer: Any = getattr(self.out.file, "buffer", None)
        buffer.write(content)
        buffer.flush()

    def table(self, columns: Sequence[Column], rows: Iterable[Sequence[object]]) -> None:
        """Write a table: as wide as the terminal; where there is none, values between tabs, none cut short."""
        cells = [[plain(value) for value in row] for row in rows]
        if not self.out.is_terminal:
            for row in [[column.name for column in columns], *cells]:
                self.out.file.write("\t".join(row) + "\n")
            return
        shown = [place for place, column in enumerate(columns) if column.least <= self.out.width]
        table = Table(box=None, pad_edge=False, header_style="bold")
        for place in shown:
            justify: Any = "right" if columns[place].right else "left"
            # What identifies a row is never cut.
            table.add_column(columns[place].name, justify=justify, no_wrap=True, overflow=_overflow(place))
        for row in cells:
            table.add_row(*(Text(row[place]) for place in shown))
        self.out.print(table)

    def facts(self, facts: Mapping[str, object]) -> None:
        """Write names and values, one pair a line; those without a value are left out."""
        told = {name: paragraph(value) for name, value in facts.items() if value not in (None, "", {}, [])}
        if not self.out.is_terminal:
            for name, value in told.items():
                self.out.file.write(f"{name}\t{plain(value)}\n")
            return
        if self.out.width < _WIDE:  # Beside a column of names, an id would not fit into one line.
            for name, value in told.items():
                self.out.print(Text.assemble((name, "bold"), " ", value))
            return
        table = Table(box=None, show_header=False, pad_edge=False)
        table.add_column(style="bold", no_wrap=True)
        table.add_column(overflow="fold")
        for name, value in told.items():
            table.add_row(Text(name), Text(value))
        self.out.print(table)

    def csv(self, columns: Mapping[str, Sequence[Any]]) -> None:
        """Write columns as CSV; on a terminal, names and texts are made fit for it."""
        writer = csv.writer(self.out.file, lineterminator="\n")
        cell = _shown_cell if self.out.is_terminal else _cell
        writer.writerow([cell(name) for name in columns])
        for row in zip(*columns.values(), strict=True):
            writer.writerow([cell(value) for value in row])


def _text(content: bytes) -> str:
    try:
        return content.decode().replace("\r\n", "\n")
    except UnicodeDecodeError:
        raise UnreadableData("This is no text for a terminal: write it into a file with -o.") from None


def _overflow(place: int) -> Any:  # noqa: ANN401 - a literal of rich
    return "fold" if place == 0 else "ellipsis"


def _cell(value: Any) -> Any:  # noqa: ANN401 - a cell
    return json.dumps(value) if isinstance(value, list | dict | bool) else value


def _shown_cell(value: Any) -> Any:  # noqa: ANN401 - a cell
    found = _cell(value)
    return plain(found) if isinstance(found, str) else found
