"""Commands that take something away: `predict`, `export`, `plot`."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from fitd_client.cli.finding import Id, Source, source_of, work_of
from fitd_client.cli.reading import STDIN, read_table
from fitd_client.cli.screen import Column, figure
from fitd_client.cli.session import Session, command
from fitd_client.cli.waiting import end_as, wait_for
from fitd_client.errors import UnreadableData
from fitd_client.pictures import MEDIA
from fitd_client.tables import Table, table_of

__all__ = ["add_to"]

_SUFFIXES = {
    "safetensors": "safetensors",
    "onnx": "onnx",
    "pt2": "pt2",
    "coefficients": "json",
    "script": "py",
}
_FORMATS = (Column("format"), Column("available"), Column("about", least=60), Column("reason", least=60))

Output = Annotated[str | None, typer.Option("--output", "-o", help="File to write; `-` is standard output.")]
Version = Annotated[str | None, typer.Option("--version", help="Of a model: a number, an alias or `latest`.")]


def _predict(  # noqa: PLR0913 - one option for each thing that one may say
    session: Session,
    *,
    source: Source,
    data: Annotated[
        str,
        typer.Argument(
            metavar="DATA", help="CSV, JSON Lines, Parquet or Arrow; `-`: stdin. Or the id of a dataset."
        ),
    ],
    output: Output = None,
    version: Version = None,
    probabilities: Annotated[bool, typer.Option("--probabilities", "-p", help="Of each class.")] = False,
    keep: Annotated[
        list[str] | None, typer.Option("--keep", help="Column of the data to have beside.")
    ] = None,
    category: Annotated[
        list[str] | None, typer.Option("--category", help="Column of names, not numbers.")
    ] = None,
    form: Annotated[str | None, typer.Option("--format", help="csv, jsonl, parquet or arrow.")] = None,
) -> None:
    """Predict the rows of a file, or of a dataset on the service. Writes CSV, or with --json an object."""
    if data.startswith("ds_"):
        _predict_dataset(session, source, data, version=version, keep=keep or (), output=output)
        return
    table = table_of(read_table(data, form=form, category=category or ()))
    handle = source_of(session.client, source, version=version)
    found = handle.predict_proba(table) if probabilities else handle.predict(table)
    columns = {**_kept(table, keep or ()), **_lists(found)}
    if session.screen.json and output is None:
        session.screen.document({"object": "prediction", "columns": columns})
    elif output in (None, STDIN):
        session.screen.csv(columns)
    else:
        _write_csv(Path(str(output)), columns)
        session.screen.say(f"{len(next(iter(columns.values())))} rows are in {output}.")


def _predict_dataset(
    session: Session,
    source: str,
    dataset: str,
    *,
    version: str | None,
    keep: Sequence[str],
    output: str | None,
) -> None:
    """Have the service predict a dataset, wait, and write the result: with --json what the service says of it."""
    handle = source_of(session.client, source, version=version)
    batch = session.client.predict_dataset(handle, dataset, keep=keep)
    wait_for(session, batch)
    end_as(batch)
    if output not in (None, STDIN):
        batch.save(str(output))
        session.screen.say(f"{batch.progress.rows} rows are in {output}.")
    if session.screen.json:
        session.screen.document(batch.answer)
    elif output in (None, STDIN):
        session.screen.content(batch.result(format="csv"))


def _kept(table: Table, names: Sequence[str]) -> dict[str, list[Any]]:
    for name in names:
        if name not in table.names:
            raise UnreadableData(
                f"--keep {name}: there is no such column; there are {', '.join(table.names)}."
            )
    return {name: table.values(name) for name in names}


def _lists(found: Any) -> Mapping[str, list[Any]]:  # noqa: ANN401 - of the kind of the table
    if hasattr(found, "column_names"):
        return {name: found.column(name).to_pylist() for name in found.column_names}
    columns: Mapping[str, list[Any]] = found
    return columns


def _write_csv(path: Path, columns: Mapping[str, Sequence[Any]]) -> None:
    import csv

    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(zip(*columns.values(), strict=True))


def _export(
    session: Session,
    *,
    source: Source,
    form: Annotated[
        str | None, typer.Argument(metavar="FORMAT", help="As in `onnx`; left out, the formats are listed.")
    ] = None,
    output: Output = None,
    version: Version = None,
) -> None:
    """Write a model as a file: safetensors, onnx, pt2, coefficients or script."""
    handle = source_of(session.client, source, version=version)
    if form is None:
        _list_formats(session, handle)
        return
    content = handle.export(form)
    if output == STDIN:
        session.screen.content(content)
        return
    path = Path(output or f"{source.replace('@', '-').strip('-')}.{_SUFFIXES.get(form, form)}")
    path.write_bytes(content)
    _tell_export(session, path, handle.export_report(form))


def _list_formats(session: Session, handle: Any) -> None:  # noqa: ANN401 - a job or a model
    found = handle.exports()
    if session.screen.json:
        session.screen.document(found)
        return
    rows = [
        (one.format, "yes" if one.available else "no", getattr(one, "about", ""), one.reason) for one in found
    ]
    session.screen.table(_FORMATS, rows)


def _tell_export(session: Session, path: Path, told: Any) -> None:  # noqa: ANN401 - a report
    if session.screen.json:
        session.screen.document({"path": str(path), "report": told.model_dump(mode="json")})
        return
    session.screen.line(path)
    if told.verified:
        session.screen.say(
            f"Compared with the service on {told.rows} rows: the largest difference is {figure(told.largest_difference)}."
        )


def _plot(
    session: Session,
    *,
    id: Id,  # noqa: A002 - the field's name
    name: Annotated[
        str, typer.Argument(metavar="PICTURE", help="loss, fit, residuals, confusion, …")
    ] = "loss",
    output: Output = None,
) -> None:
    """Write a picture of a job or a sweep: SVG, or PNG where the file's name ends so."""
    work = work_of(session.client, id)
    if not hasattr(work, "plot"):
        raise UnreadableData(f"There are no pictures of {id}: there are of jobs and sweeps.")
    suffix = Path(output or "").suffix.lower().removeprefix(".") or "svg"
    if suffix not in MEDIA:
        raise UnreadableData(f"{output} is no {' or '.join(MEDIA)}: these can be drawn.")
    picture = work.plot(name, format=suffix)
    if output in (None, STDIN):
        _to_output(session, picture.content)
        return
    Path(str(output)).write_bytes(picture.content)
    if session.screen.json:
        session.screen.document({"path": output, "name": name, "media": picture.media})
    else:
        session.screen.line(output)


def _to_output(session: Session, content: bytes) -> None:
    if session.screen.json:
        raise UnreadableData("A picture is no JSON: write it into a file with -o.")
    session.screen.content(content)


_COMMANDS: dict[str, Callable[..., None]] = {"predict": _predict, "export": _export, "plot": _plot}


def add_to(app: typer.Typer) -> None:
    """Add these commands to an app."""
    for name, function in _COMMANDS.items():
        command(app, name)(function)
