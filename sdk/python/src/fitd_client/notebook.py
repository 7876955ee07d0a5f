"""What a notebook shows of answers: small tables of escaped text, and the service's own pictures."""

import base64
from collections.abc import Iterable, Sequence
from html import escape
from itertools import islice
from typing import Any

from fitd_client import answers
from fitd_client.pictures import Picture

__all__ = ["batch", "dataset", "history", "job", "model", "sweep"]

_MOST_ROWS = 12
_CELL = "text-align:left;padding:0.15em 0.8em 0.15em 0"
_HEAD = f"{_CELL};font-weight:600"

Row = tuple[str, object]


def job(answer: answers.Job, picture: Picture | None) -> str:
    """Show a job: its state, what it reached, and its loss."""
    progress = answer.progress
    rows: list[Row] = [
        ("status", answer.status + (f" ({answer.stop_reason})" if answer.stop_reason else "")),
        ("name", answer.name),
        ("model, loss, optimizer", _parts(answer.spec)),
        ("epochs", f"{progress.epoch:,} of {progress.epochs:,} in {progress.seconds:.3g} s"),
        ("engine", answer.engine and answer.engine.name),
        ("error", answer.error and f"{answer.error.message} {answer.error.hint}"),
        *(_of_result(answer.result) if answer.result else [("train loss", progress.train_loss)]),
    ]
    return _card(f"Job {answer.id}", rows, picture)


def _parts(spec: dict[str, Any]) -> str:
    parts = (spec.get(part) or {} for part in ("model", "loss", "optimizer"))
    return ", ".join(str(part.get("type", "")) for part in parts)


def _of_result(result: answers.Result) -> list[Row]:
    rows: list[Row] = [
        ("train loss", result.train_loss),
        ("dev loss", result.dev_loss),
        ("test loss", result.test_loss),
    ]
    part = next((one for one in ("test", "dev", "train") if result.metrics.get(one)), None)
    for name, value in (result.metrics[part] if part else {}).items():
        rows.append((f"{part} {name}", value if isinstance(value, int | float) else None))
    for name, value in islice((result.coefficients or {}).items(), _MOST_ROWS):
        rows.append((f"coefficient of {name}", value if isinstance(value, int | float) else None))
    intercept = result.intercept if isinstance(result.intercept, int | float) else None
    warnings = [("warning", f"{one.message} {one.hint}") for one in result.warnings]
    return [*rows, ("intercept", intercept), *warnings]


def sweep(answer: answers.Sweep, picture: Picture | None) -> str:
    """Show a sweep: its state, its best trial, and the course of the search."""
    progress, best = answer.progress, answer.best
    rows: list[Row] = [
        ("status", answer.status),
        ("name", answer.name),
        ("trials", f"{progress.ended:,} of {progress.trials:,}"),
        ("best objective", best and best.objective),
        ("best job", best and best.job_id),
        *((pointer, value) for pointer, value in (best.values.items() if best else ())),
        ("error", answer.error and f"{answer.error.message} {answer.error.hint}"),
    ]
    return _card(f"Sweep {answer.id}", rows, picture)


def model(answer: answers.Model) -> str:
    """Show a registered model."""
    aliases = ", ".join(f"{alias} → {version}" for alias, version in answer.aliases.items())
    rows: list[Row] = [
        ("description", answer.description),
        ("versions", answer.versions),
        ("newest", answer.latest_version),
        ("aliases", aliases or None),
        ("updated", f"{answer.updated_at:%Y-%m-%d %H:%M}"),
    ]
    return _card(f"Model {answer.name}", rows)


def dataset(answer: answers.DatasetSummary) -> str:
    """Show a dataset and the figures of its columns."""
    rows: list[Row] = [
        ("name", answer.name),
        ("rows", f"{answer.rows:,}"),
        ("columns", f"{answer.column_count:,}"),
        ("size", f"{answer.bytes:,} bytes"),
    ]
    card = _card(f"Dataset {answer.id}", rows)
    if not isinstance(answer, answers.Dataset):
        return card
    figures = ("name", "kind", "missing", "minimum", "maximum", "mean", "std")
    shown = [[getattr(column, name) for name in figures] for column in answer.columns[:_MOST_ROWS]]
    return card + _table(figures, shown)


def batch(answer: answers.BatchPrediction) -> str:
    """Show the prediction of a dataset."""
    rows: list[Row] = [
        ("status", answer.status),
        ("dataset", answer.dataset_id),
        ("rows", f"{answer.progress.rows:,}"),
        ("error", answer.error and f"{answer.error.message} {answer.error.hint}"),
    ]
    return _card(f"Prediction {answer.id}", rows)


def history(answer: answers.History) -> str:
    """Show some epochs of a history, the first and the last among them."""
    names = [name for name, values in answer.columns.items() if any(value is not None for value in values)]
    count = len(answer.columns.get("epoch", ()))
    steps = min(count, _MOST_ROWS)
    places = sorted({round(step * (count - 1) / max(steps - 1, 1)) for step in range(steps)})
    shown = [[answer.columns[name][place] for name in names] for place in places]
    return f"<div>{_title(f'History of {answer.job_id}')}{_table(names, shown)}</div>"


def _card(title: str, rows: Iterable[Row], picture: Picture | None = None) -> str:
    cells = "".join(
        f'<tr><th style="{_HEAD}">{escape(name)}</th><td style="{_CELL}">{_text(value)}</td></tr>'
        for name, value in rows
        if value is not None
    )
    return f"<div>{_title(title)}<table>{cells}</table>{_image(picture)}</div>"


def _title(text: str) -> str:
    return f"<strong>{escape(text)}</strong>"


def _table(names: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    head = "".join(f'<th style="{_HEAD}">{escape(name)}</th>' for name in names)
    body = "".join(_row(row) for row in rows)
    return f"<table><tr>{head}</tr>{body}</table>"


def _row(row: Sequence[object]) -> str:
    cells = "".join(f'<td style="{_CELL}">{_text(value)}</td>' for value in row)
    return f"<tr>{cells}</tr>"


def _text(value: object) -> str:
    if value is None:
        return ""
    return escape(f"{value:.6g}" if isinstance(value, float) else str(value))


def _image(picture: Picture | None) -> str:
    """Show a picture as an image: whatever it held, no script of it would run, and no style of it would leak."""
    if picture is None:
        return ""
    content = base64.b64encode(picture.content).decode()
    return f'<img alt="{escape(picture.name)}" style="max-width:100%" src="data:{picture.media};base64,{content}">'
