"""What a CSV file looks like: its encoding, its delimiter, its header; and on which line a record begins."""

import codecs
import csv
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

import numpy as np
import pyarrow as pa

from service.exceptions import InvalidDataset, Problem
from service.tables.orders import DELIMITERS, ReadOptions
from service.tables.sources import empty_file, unreadable
from service.tables.text_values import Meaning, cleaned, meanings

__all__ = ["MAX_RECORD_BYTES", "Dialect", "broken_quotes", "check_text", "lines_of", "sniffed"]

MAX_RECORD_BYTES = 8 * 2**20
"""A longer row is no row: most likely a quote is not closed."""
_CHUNK_BYTES = 2**20
_SAMPLE_CHARACTERS = 2**18
_SAMPLE_RECORDS = 100
_CONSISTENT = 0.9
"""Share of the sampled records that must have one number of fields for a delimiter to be believed."""
# The comma comes last: it stands in numbers and in prose, the others seldom do.
_CANDIDATES = ("\t", ";", "|", ",")
_UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


@dataclass(frozen=True, slots=True)
class Dialect:
    """How a CSV file is written.

    Attributes:
        delimiter: One character.
        header: Whether the first record holds the names.
        names: Of the columns.
        width: Characters of the first record.
    """

    delimiter: str
    header: bool
    names: tuple[str, ...]
    width: int

    @property
    def decimal_comma(self) -> bool:
        """Where a semicolon stands between fields, a comma stands in numbers."""
        return self.delimiter == ";"


def check_text(path: Path) -> int:
    """Make sure that a file is UTF-8 text, and count its double quotes.

    Raises:
        InvalidDataset: It is not; with the first bad byte.
    """
    decoder = codecs.getincrementaldecoder("utf-8")()
    quotes = line = 0
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            start = file.tell() - len(chunk)
            if start == 0 and chunk.startswith(_UTF_16):
                raise _not_utf_8("The file is UTF-16", "UTF-16")
            if b"\0" in chunk:
                where = start + chunk.index(b"\0")
                raise unreadable(
                    f"The file is no text: byte {where:,} is zero.", "Is its Content-Type another?"
                )
            # A character may be cut in two at the end of a chunk: the decoder keeps its beginning.
            kept = len(decoder.getstate()[0])
            try:
                decoder.decode(chunk)
            except UnicodeDecodeError as error:
                at = start - kept + error.start
                line += chunk[: max(0, error.start - kept)].count(b"\n")
                message = f"The file is not UTF-8: byte {at:,} (line {line + 1:,}) is 0x{error.object[error.start]:02x}"
                raise _not_utf_8(message, "WINDOWS-1252") from None
            quotes += chunk.count(b'"')
            line += chunk.count(b"\n")
    if decoder.getstate()[0]:
        raise _not_utf_8("The file is not UTF-8: it ends within a character", "WINDOWS-1252")
    return quotes


def _not_utf_8(message: str, probably: str) -> InvalidDataset:
    hint = f"Convert it first, for example: iconv -f {probably} -t UTF-8 old.csv > new.csv"
    return InvalidDataset([Problem(None, "not_utf_8", f"{message}.", hint)])


def _opened(path: Path) -> TextIO:
    # Line ends are left as they are, so that the reader counts them as an editor does.
    return path.open(encoding="utf-8-sig", newline="")


def sniffed(path: Path, options: ReadOptions) -> Dialect:
    """Find delimiter and header from the first rows, where the options do not say them.

    Raises:
        InvalidDataset: There is nothing to find, or the names of the columns are no names.
    """
    with _opened(path) as file:
        sample = file.read(_SAMPLE_CHARACTERS)
    if not sample.strip():
        raise empty_file()
    lines = sample.splitlines(keepends=True)
    if len(sample) == _SAMPLE_CHARACTERS and len(lines) > 1:
        lines.pop()  # It was cut.
    delimiter = DELIMITERS.get(options.delimiter) or _delimiter(lines)
    first = _first_record(path, delimiter)
    header = _is_header(first, delimiter) if options.header == "auto" else options.header == "true"
    names = _names(first) if header else tuple(f"column_{number + 1}" for number in range(len(first)))
    return Dialect(delimiter, header, names, width=sum(len(field) + 1 for field in first))


def _delimiter(lines: Sequence[str]) -> str:
    found: dict[str, tuple[float, int]] = {}
    for candidate in _CANDIDATES:
        counts = [len(record) for record in _records(lines, candidate)]
        width, often = Counter(counts).most_common(1)[0] if counts else (1, 0)
        found[candidate] = (often / len(counts), width) if width > 1 else (0.0, 1)
    believed = [one for one, (share, _) in found.items() if share >= _CONSISTENT]
    if believed:
        return believed[0]
    best = max(found, key=lambda one: found[one])
    return best if found[best][1] > 1 else ","


def _records(lines: Sequence[str], delimiter: str) -> Iterator[list[str]]:
    reader = csv.reader(lines, delimiter=delimiter)
    try:
        for record in reader:
            if record:
                yield record
            if reader.line_num >= _SAMPLE_RECORDS:
                return
    except csv.Error:
        return  # What is wrong with it is told where all is read.


def _first_record(path: Path, delimiter: str) -> list[str]:
    csv.field_size_limit(MAX_RECORD_BYTES)
    with _opened(path) as file:
        try:
            return next(record for record in csv.reader(_short(file), delimiter=delimiter) if record)
        except csv.Error:
            raise _too_long(1) from None


def _short(file: TextIO) -> Iterator[str]:
    """Give the lines of a file; an endless one is cut, and so told as too long for a field or a record."""
    while line := file.readline(MAX_RECORD_BYTES):
        if len(line) >= MAX_RECORD_BYTES:
            raise csv.Error
        yield line


def _is_header(record: Sequence[str], delimiter: str) -> bool:
    """Names are no numbers and no dates. Some may be empty, as where a row number stands in front, but not all."""
    texts = cleaned(pa.array(record, pa.string()))
    found = meanings(texts, decimal_comma=delimiter == ";")
    return bool(np.isin(found, (Meaning.WORD, Meaning.MISSING)).all() and (found == Meaning.WORD).any())


def _names(record: Sequence[str]) -> tuple[str, ...]:
    """Take the names of the columns; one without a name gets its number.

    Raises:
        InvalidDataset: Two are the same, or one is too long.
    """
    names = tuple(name.strip() or f"column_{number + 1}" for number, name in enumerate(record))
    check_names(names)
    return names


MAX_NAME = 200


def check_names(names: Sequence[str]) -> None:
    """Make sure that names tell the columns apart.

    Raises:
        InvalidDataset: Two are the same, or one is too long or empty, or has a NUL in it.
    """
    places: dict[str, int] = {}
    problems: list[Problem] = []
    for number, name in enumerate(names, 1):
        if name in places:
            message = f"Columns {places[name]:,} and {number:,} are both called `{name[:80]}`."
            hint = "Rename one. If the first line holds no names, send header=false."
            problems.append(Problem(None, "duplicate_column", message, hint))
        places.setdefault(name, number)
        if not 1 <= len(name) <= MAX_NAME:
            message = (
                f"The name of column {number:,} has {len(name):,} characters; it must have 1 to {MAX_NAME}."
            )
            problems.append(Problem(None, "invalid_name", message, "Rename the column."))
        if "\0" in name:
            message = f"The name of column {number:,} has the character \\u0000 in it."
            problems.append(Problem(None, "invalid_name", message, "Take it out: databases cannot keep it."))
    if problems:
        raise InvalidDataset(problems[:MAX_PROBLEMS])


MAX_PROBLEMS = 20
"""So many problems of one file are told at once."""


def lines_of(path: Path, delimiter: str, records: Sequence[int]) -> dict[int, int]:
    """Tell on which line, counted from 1, some records begin. Records are counted from 0; blank lines are none."""
    wanted = set(records)
    found: dict[int, int] = {}
    with _opened(path) as file:
        reader = csv.reader(file, delimiter=delimiter)
        before = number = 0
        for record in reader:
            if record:
                if number in wanted:
                    found[number] = before + 1
                number += 1
            before = reader.line_num
            if len(found) == len(wanted):
                break
    return found


def broken_quotes(path: Path, delimiter: str) -> InvalidDataset | None:
    """Look for a record whose quotes are not closed, or closed in the midst of a field: it may have swallowed others.

    This reads record by record, which is slow: it is for files with a sign that something is wrong.
    """
    with _opened(path) as file:
        reader = csv.reader(_short(file), delimiter=delimiter, strict=True)
        line = 0
        try:
            for _ in reader:
                line = reader.line_num
        except csv.Error:
            message = f"A quote that is opened in line {line + 1:,} is not closed as it should be, or its row is too long."
            hint = 'Close it; a quote within quotes is written twice: "2"" pipe".'
            return InvalidDataset([Problem(None, "broken_quotes", message, hint)])
    return None


def _too_long(line: int) -> InvalidDataset:
    message = f"The row in line {line:,} is longer than {MAX_RECORD_BYTES:,} bytes."
    return InvalidDataset(
        [Problem(None, "broken_quotes", message, "Is a quote not closed, or is this no CSV?")]
    )
