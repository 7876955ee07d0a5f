"""From an uploaded file to a folder of columns: looked over once, then written, block by block."""

from collections.abc import Callable, Sequence
from pathlib import Path

from service.exceptions import DatasetTooLarge, InvalidDataset, Problem
from service.spec.schema import Schema
from service.tables.array_files import IdxSource, NpySource, NpzSource
from service.tables.column_files import CategoryFile, ColumnFile, NumberFile, TextBudget
from service.tables.columnar import ArrowSource, ParquetSource
from service.tables.delimited import DelimitedSource
from service.tables.dialect import MAX_PROBLEMS
from service.tables.figures import with_few_values
from service.tables.files import Manifest, StoredColumn, sync_files
from service.tables.interpretation import ColumnReader, Reading, reader_of
from service.tables.json_lines import JsonLinesSource
from service.tables.orders import Budget, Format, ReadOptions, ReadOrder
from service.tables.sources import Finding, Source, empty_file, too_many, unreadable
from service.tables.unpacking import check_room, unpacked

__all__ = ["read_table"]

_SOURCES: dict[Format, Callable[[Path, ReadOptions, Budget], Source]] = {
    "csv": DelimitedSource,
    "ndjson": JsonLinesSource,
    "parquet": ParquetSource,
    "arrow": ArrowSource,
    "npy": NpySource,
    "npz": NpzSource,
    "idx": IdxSource,
}
_HELD_BYTES = 16 * 2**20
"""What all columns together hold in memory before it is written."""
_CODE_BYTES = 4


def read_table(order: ReadOrder) -> Manifest:
    """Read a file into a folder of columns, and write its manifest.

    Memory does not grow with the number of rows.

    Raises:
        InvalidDataset: The file cannot be read as a table; with all problems that were found.
        DatasetTooLarge: It needs more than the budget allows.
        OSError: The disk is full, or fails.
    """
    path = unpacked(order)
    source = _SOURCES[order.options.format](path, order.options, order.budget)
    rows, readers = _survey(source, order)
    _refuse(source, [finding for reader in readers.values() for finding in reader.findings()])
    readings = [reader.settle() for reader in readers.values()]
    _check_size(rows, readings, order)
    files = _write(source, readings, rows, order.folder)
    manifest = _manifest(order, rows, readings, files, source)
    if path != order.source:
        path.unlink()
    for left in order.folder.glob("unpacked-*"):
        left.unlink()
    sync_files([order.folder / stored.file for stored in manifest.files])
    manifest.write(order.folder)
    return manifest


def _survey(source: Source, order: ReadOrder) -> tuple[int, dict[str, ColumnReader]]:
    """Find out how many rows there are and what every column is: arrays say it in their header, types often."""
    categories = frozenset(order.options.categories)
    readers: dict[str, ColumnReader] = {}
    rows = 0
    for block in source.survey():
        if rows + block.rows > order.budget.max_rows:
            raise too_many("rows", order.budget.max_rows, name="max_rows")
        for name, values in block.columns.items():
            if name not in readers:
                readers[name] = reader_of(name, values, source=source, category=name in categories)
            readers[name].survey(values, rows)
        rows += block.rows
        if source.known_rows is not None:
            rows = source.known_rows
            break
    if rows == 0 or not readers:
        raise empty_file("The file has no rows." if rows == 0 else "The file has no columns.")
    _check_categories(categories - readers.keys(), readers)
    return rows, readers


def _check_categories(unknown: Sequence[str] | frozenset[str], readers: dict[str, ColumnReader]) -> None:
    hint = f"The columns are {', '.join(f'`{name}`' for name in list(readers)[:20])}."
    problems = [
        Problem(None, "unknown_column", f"There is no column `{name[:80]}`.", hint, "category")
        for name in sorted(unknown)
    ]
    if problems:
        raise InvalidDataset(problems)


def _refuse(source: Source, findings: list[Finding]) -> None:
    """Tell what is wrong, each with its place."""
    if not findings:
        return
    told = findings[:MAX_PROBLEMS]
    places = source.places([finding.row for finding in told])
    problems = [
        Problem(None, one.code, one.message.replace("{place}", places[one.row]), one.hint) for one in told
    ]
    more = len(findings) - len(told)
    raise InvalidDataset(
        problems, f"The file has {len(findings)} problems; the first are told." if more else None
    )


def _check_size(rows: int, readings: Sequence[Reading], order: ReadOrder) -> None:
    """Compute what the columns will take before anything is written."""
    size = sum(_row_bytes(reading) for reading in readings) * rows
    limit = order.budget.max_stored_bytes
    if size > limit:
        raise DatasetTooLarge(f"The columns would take {size:,} bytes; the limit is {limit:,}.")
    check_room(order.folder, size, keep_free=order.budget.keep_free_bytes)


def _row_bytes(reading: Reading) -> int:
    values = 1
    for length in reading.column.shape:
        values *= length
    return values * (reading.dtype.itemsize if reading.dtype else _CODE_BYTES)


def _write(source: Source, readings: Sequence[Reading], rows: int, folder: Path) -> list[ColumnFile]:
    budget = TextBudget()
    hold = _HELD_BYTES // len(readings)
    files = [
        _file(folder / f"column-{number:05}.npy", reading, rows=rows, budget=budget, hold_bytes=hold)
        for number, reading in enumerate(readings)
    ]
    written = 0
    for block in source.blocks():
        for reading, file in zip(readings, files, strict=True):
            file.append(reading.convert(block.columns[reading.column.name]))
        written += block.rows
    if written != rows:
        raise unreadable(f"The file has {written:,} rows, and says that it has {rows:,}.")
    return files


def _file(path: Path, reading: Reading, *, rows: int, budget: TextBudget, hold_bytes: int) -> ColumnFile:
    if reading.dtype is None:
        return CategoryFile(path, name=reading.column.name, rows=rows, budget=budget, hold_bytes=hold_bytes)
    return NumberFile(path, column=reading.column, dtype=reading.dtype, rows=rows, hold_bytes=hold_bytes)


def _manifest(
    order: ReadOrder, rows: int, readings: Sequence[Reading], files: Sequence[ColumnFile], source: Source
) -> Manifest:
    columns = with_few_values([file.finish() for file in files])
    _refuse(source, [finding for file in files for finding in file.findings()])
    stored = [
        StoredColumn(
            column=reading.column.name,
            file=file.path.name,
            bytes=file.path.stat().st_size,
            sha256=file.sha256,
        )
        for reading, file in zip(readings, files, strict=True)
        if file.sha256 is not None
    ]
    return Manifest(
        digest=order.digest,
        options=order.options,
        source_sha256=order.sha256,
        source_bytes=order.source.stat().st_size,
        table=Schema(rows=rows, columns=columns),
        files=tuple(stored),
    )
