"""Commands about datasets."""

import sys
from collections.abc import Callable
from typing import Annotated, Any

import typer

from fitd_client.cli.jobs import each
from fitd_client.cli.reading import STDIN
from fitd_client.cli.screen import Column, figure
from fitd_client.cli.session import Session, command, with_session
from fitd_client.cli.shown import age
from fitd_client.datasets import Dataset
from fitd_client.wire import CSV

__all__ = ["app"]

app = typer.Typer(help="Datasets: list, upload, remove.", rich_markup_mode=None)

_DATASETS = (
    Column("id"),
    Column("rows", right=True),
    Column("columns", least=60, right=True),
    Column("name", least=50),
    Column("age", least=80, right=True),
)
_COLUMNS = (
    Column("column"),
    Column("kind"),
    Column("missing", least=50, right=True),
    Column("minimum", least=70, right=True),
    Column("maximum", least=70, right=True),
    Column("mean", least=80, right=True),
    Column("distinct", least=90, right=True),
)

Id = Annotated[str, typer.Argument(metavar="ID", help="Of a dataset.")]


def _ls(
    session: Session,
    *,
    limit: Annotated[int, typer.Option("--limit", "-l", help="At most so many.", min=1)] = 20,
) -> None:
    """List datasets, the newest first."""
    found = [dataset.answer for dataset in session.client.datasets(limit=limit)]
    if session.screen.json:
        session.screen.document(found)
    elif session.screen.quiet:
        for one in found:
            session.screen.line(one.id)
    else:
        rows = [(one.id, f"{one.rows:,}", one.column_count, one.name, age(one.created_at)) for one in found]
        session.screen.table(_DATASETS, rows)


def _upload(
    session: Session,
    *,
    file: Annotated[
        str, typer.Argument(metavar="FILE", help="CSV, Parquet, Arrow, npy, …; `-`: CSV from stdin.")
    ],
    name: Annotated[str | None, typer.Option("--name", "-n", help="For people.")] = None,
    media: Annotated[
        str | None, typer.Option("--media", help="Its type, where its name does not tell.")
    ] = None,
    category: Annotated[
        list[str] | None, typer.Option("--category", help="Column of names, not numbers.")
    ] = None,
) -> None:
    """Upload a file as a dataset."""
    source: Any = sys.stdin.buffer.read() if file == STDIN else file
    kind = media or (CSV if file == STDIN else None)
    dataset = session.client.upload(source, name=name, media=kind, category=category or ())
    if session.screen.json:
        session.screen.document(dataset.answer)
    else:
        session.screen.line(dataset.id)
        session.screen.say(f"It has {dataset.rows:,} rows of {dataset.answer.column_count} columns.")


def _show(session: Session, *, id: Id) -> None:  # noqa: A002 - the field's name
    """Show a dataset and its columns."""
    dataset: Dataset = session.client.dataset(id)
    if session.screen.json:
        session.screen.document(dataset.answer)
        return
    answer = dataset.answer
    session.screen.facts({"id": answer.id, "name": answer.name, "rows": answer.rows, "digest": answer.digest})
    session.screen.out.print()
    session.screen.table(_COLUMNS, map(_column, dataset.columns))


def _column(column: Any) -> tuple[object, ...]:  # noqa: ANN401 - an answer
    return (
        column.name,
        column.kind,
        column.missing,
        figure(column.minimum),
        figure(column.maximum),
        figure(column.mean),
        column.distinct,
    )


def _rm(
    session: Session, *, ids: Annotated[list[str], typer.Argument(metavar="ID…", help="Of datasets.")]
) -> None:
    """Remove datasets that no job needs."""

    def remove(dataset: Dataset) -> dict[str, str]:
        dataset.delete()
        return {"id": dataset.id, "status": "removed"}

    each(session, ids, remove)


app.callback(invoke_without_command=True)(with_session(_ls))
_COMMANDS: dict[str, Callable[..., None]] = {"ls": _ls, "show": _show, "upload": _upload, "rm": _rm}
for _name, _function in _COMMANDS.items():
    command(app, _name)(_function)
