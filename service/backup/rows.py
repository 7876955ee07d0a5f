"""Rows from one database into another, whichever systems they are, in bounded memory."""

from collections.abc import Collection, Iterator
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from service.access import orm as _access  # noqa: F401 - its table joins the metadata
from service.datasets import orm as _datasets  # noqa: F401 - its tables join the metadata
from service.db import Base
from service.jobs import orm as _jobs  # noqa: F401 - its tables join the metadata
from service.registry import orm as _registry  # noqa: F401 - its tables join the metadata
from service.sweeps import orm as _sweeps  # noqa: F401 - its tables join the metadata
from service.trackers import orm as _trackers  # noqa: F401 - its tables join the metadata

__all__ = ["copy", "counters", "counts", "set_counters", "tables"]

AT_ONCE = 500
"""Rows that are held in memory."""
FEW_AT_ONCE = {
    "artifacts": 4,
    "job_parameters": 4,
    "job_specs": 20,
    "dataset_schemas": 20,
    "model_versions": 20,
    "sweeps": 20,
}
"""The same of tables whose rows may have megabytes."""


def tables() -> list[sa.Table]:
    """List all tables, each after those that it refers to."""
    return Base.metadata.sorted_tables


def copy(source: Session, target: Session, *, without: Collection[str] = ()) -> None:
    """Copy all rows of all tables.

    Args:
        source: A session that sees one state.
        target: A writing session of an empty database with the same schema.
        without: Tables that are left out.
    """
    for table in tables():
        if table.name in without:
            continue
        for rows in _batches(source, table):
            target.execute(sa.insert(table), rows)


def _batches(source: Session, table: sa.Table) -> Iterator[list[dict[str, Any]]]:
    size = FEW_AT_ONCE.get(table.name, AT_ONCE)
    found = source.execute(sa.select(table).execution_options(yield_per=size))
    for rows in found.mappings().partitions():
        yield [dict(row) for row in rows]


def counts(session: Session) -> dict[str, int]:
    """Count the rows of each table."""
    return {
        table.name: session.scalar(sa.select(sa.func.count()).select_from(table)) or 0 for table in tables()
    }


def counters(session: Session) -> dict[str, int]:
    """Tell the last number that each counting table gave away, also where its row is gone by now."""
    return _READ[session.get_bind().dialect.name](session)


def set_counters(session: Session, last: dict[str, int]) -> None:
    """Let each counting table go on after a number, and never give away one that it gave before.

    Args:
        session: A writing session.
        last: As `counters` gives it.
    """
    for table, column in _counting().items():
        highest = session.scalar(sa.select(sa.func.max(column))) or 0
        number = max(highest, last.get(table, 0))
        if number:
            _SET[session.get_bind().dialect.name](session, column, number)


def _counting() -> dict[str, sa.Column[int]]:
    """The columns that count up, by their table."""
    counting = (table for table in tables() if table.dialect_options["sqlite"]["autoincrement"])
    return {table.name: next(iter(table.primary_key)) for table in counting}


def _read_sqlite(session: Session) -> dict[str, int]:
    found = session.execute(sa.text("SELECT name, seq FROM sqlite_sequence")).all()
    return {name: number for name, number in found if name in _counting()}


def _read_postgresql(session: Session) -> dict[str, int]:
    # NULL until the sequence is asked for the first time.
    last = sa.text("SELECT pg_sequence_last_value(CAST(:sequence AS regclass))")
    return {
        name: session.scalar(last, {"sequence": _sequence(session, column)}) or 0
        for name, column in _counting().items()
    }


def _sequence(session: Session, column: sa.Column[int]) -> str:
    named = sa.func.pg_get_serial_sequence(column.table.name, column.name)
    return str(session.scalars(sa.select(named)).one())


def _set_sqlite(session: Session, column: sa.Column[int], number: int) -> None:
    named = {"name": column.table.name, "number": number}
    session.execute(sa.text("DELETE FROM sqlite_sequence WHERE name = :name"), named)
    session.execute(sa.text("INSERT INTO sqlite_sequence (name, seq) VALUES (:name, :number)"), named)


def _set_postgresql(session: Session, column: sa.Column[int], number: int) -> None:
    statement = sa.text("SELECT setval(CAST(:sequence AS regclass), :number)")
    session.execute(statement, {"sequence": _sequence(session, column), "number": number})


_READ = {"sqlite": _read_sqlite, "postgresql": _read_postgresql}
_SET = {"sqlite": _set_sqlite, "postgresql": _set_postgresql}
