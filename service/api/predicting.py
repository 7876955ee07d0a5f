"""Rows to predict as they come, and predictions as they go: JSON, CSV, Arrow and npy, for jobs and for models alike."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import orjson
from fastapi import Request, Response

from service.api.bodies import body_of_type, parsed
from service.api.negotiation import ARROW, CSV, JSON, NPY, negotiate
from service.api.schemas import PredictionRequest
from service.api.views import json_response
from service.exceptions import ColumnMismatch, InvalidRequest, Problem
from service.spec.limits import Limits
from service.spec.packed import PackedRows, numbers_text
from service.training.naming import unique

if TYPE_CHECKING:
    from service.inference.exchange import Bounds
    from service.inference.grouped import GroupedPredictor
    from service.inference.predictor import Predicted, Predictor

    AnyPredictor = Predictor | GroupedPredictor

__all__ = ["FILES", "Asked", "Source", "answered", "asked_of"]

FILES = (ARROW, NPY, CSV)
"""Media types besides JSON in which rows come and predictions go."""


@dataclass(frozen=True, slots=True)
class Source:
    """What predicts.

    Attributes:
        told: What a JSON answer says of it, such as its `job_id`.
        headers: What an answer of any form says of it.
    """

    told: Mapping[str, Any]
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Asked:
    """Rows that somebody wants predicted. Which columns they must have, only the predictor knows.

    Attributes:
        media: Media type in which they came.
        rows: The parsed body where that is JSON, else the file.
        size: Bytes of the body: whoever chooses between ways to predict may go by it.
        answer: Media type that is wanted.
        limits: How many rows there may be.
    """

    media: str
    rows: PredictionRequest | bytes
    size: int
    answer: str
    limits: Limits


async def asked_of(request: Request, accept: str | None, *, limits: Limits) -> Asked:
    """Read the body of a prediction.

    Raises:
        NotAcceptable: None of the forms is wanted.
        UnsupportedMediaType: The body is in none of the forms.
        BodyTooLarge: It has more bytes than it may have.
        InvalidRequest: It is JSON, but not what a prediction needs.
    """
    answer = negotiate(accept, (JSON, *FILES))
    media, body = await body_of_type(request, max_bytes=limits.max_body_bytes, others=FILES)
    rows = await parsed(body, PredictionRequest, with_rows=_with_rows) if media == JSON else body
    return Asked(media, rows, len(body), answer, limits)


def _with_rows(asked: PredictionRequest, rows: PackedRows) -> PredictionRequest:
    return asked.model_copy(update={"columns": None, "rows": rows})


def answered(asked: Asked, predictor: "AnyPredictor", source: Source) -> Response:
    """Predict, and answer in the form that is wanted. Takes as long as the rows take: many of them need a thread.

    Raises:
        ColumnMismatch: The rows are not what the predictor was trained on.
        InvalidRequest: The body cannot be read as rows.
        NotAcceptable: The predictions have no such form.
    """
    if isinstance(asked.rows, bytes):
        found = predictor.predict(_READ[asked.media](asked.rows, predictor, _bounds(asked.limits)))
        return _by_column(found, source) if asked.answer == JSON else _file(found, asked.answer, source)
    found = _predicted_request(asked.rows, predictor)
    if asked.answer != JSON:
        return _file(found, asked.answer, source)
    if asked.rows.rows is None:
        return _by_column(found, source)
    return _json({"rows": _as_rows(found, count=len(asked.rows.rows))}, source)


def _bounds(limits: Limits) -> "Bounds":
    from service.inference.exchange import Bounds

    # A number takes at least a byte of each file but those of truth values: no body holds more than this many.
    return Bounds(rows=limits.max_rows, numbers=limits.max_body_bytes)


def _from_arrow(body: bytes, _predictor: "AnyPredictor", bounds: "Bounds") -> Mapping[str, Any]:
    from service.inference import exchange

    return exchange.from_arrow(body, bounds=bounds)


def _from_npy(body: bytes, predictor: "AnyPredictor", bounds: "Bounds") -> Mapping[str, Any]:
    from service.inference import exchange

    return exchange.from_npy(body, feature_names=predictor.feature_names, bounds=bounds)


def _from_csv(body: bytes, predictor: "AnyPredictor", bounds: "Bounds") -> Mapping[str, Any]:
    from service.inference.delimited import from_csv
    from service.inference.signature import inputs_of

    return from_csv(body, inputs=inputs_of(predictor), bounds=bounds)


_READ = {ARROW: _from_arrow, NPY: _from_npy, CSV: _from_csv}


def _file(found: "Predicted", media: str, source: Source) -> Response:
    from service.inference import delimited, exchange

    write = {ARROW: exchange.to_arrow, NPY: exchange.to_npy, CSV: delimited.to_csv}[media]
    return Response(write(found), media_type=media, headers=dict(source.headers))


def _json(predictions: Mapping[str, Any], source: Source) -> Response:
    return json_response({"object": "prediction", **source.told, **predictions}, headers=dict(source.headers))


def _by_column(found: "Predicted", source: Source) -> Response:
    beside = {"probabilities": found.probabilities, "std": found.std}
    groups = {title: _as_json(some) for title, some in beside.items() if some}
    return _json({"columns": _as_json(found.columns), **groups}, source)


def _as_json(columns: Mapping[str, Any]) -> dict[str, Any]:
    """Write arrays piece by piece: a million numbers at once would hold up all other requests."""
    return {
        name: orjson.Fragment(numbers_text(values)) if isinstance(values, np.ndarray) else values
        for name, values in columns.items()
    }


def _as_rows(found: "Predicted", *, count: int) -> list[dict[str, Any]]:
    columns = _lists(found.columns)
    beside = {"probabilities": _lists(found.probabilities), "std": _lists(found.std)}
    beside = {title: some for title, some in beside.items() if some}
    # A target column may be called `std`: it keeps its name, and what stands beside it takes another.
    titles = unique((*columns, *beside))[len(columns) :]
    return [
        {name: values[row] for name, values in columns.items()}
        | {
            title: {name: values[row] for name, values in some.items()}
            for title, some in zip(titles, beside.values(), strict=True)
        }
        for row in range(count)
    ]


def _lists(columns: Mapping[str, Any]) -> dict[str, list[Any]]:
    return {
        name: values.tolist() if isinstance(values, np.ndarray) else values
        for name, values in columns.items()
    }


def _predicted_request(asked: PredictionRequest, predictor: "AnyPredictor") -> "Predicted":
    columns = _columns(asked)
    # No rows name no columns, and none are missing.
    if asked.rows is not None and not asked.rows:
        columns = dict.fromkeys(predictor.feature_names, ())
    return _predicted(predictor, columns, by_row=asked.rows is not None)


def _predicted(
    predictor: "AnyPredictor", columns: Mapping[str, Sequence[Any]], *, by_row: bool
) -> "Predicted":
    """Predict; where rows were sent, point to the first of them instead of to a column that was not sent."""
    try:
        return predictor.predict(columns)
    except ColumnMismatch as error:
        if not by_row:
            raise
        raise ColumnMismatch(
            [dataclasses.replace(p, pointer=_in_rows(p.pointer)) for p in error.problems]
        ) from None


def _in_rows(pointer: str | None) -> str:
    """Turn a pointer into columns, `/columns/x/3`, into one into rows: `/rows/3/x`."""
    tokens = (pointer or "").removeprefix("/columns").split("/")[1:]
    if len(tokens) > 1 and tokens[-1].isdecimal():
        return f"/rows/{tokens[-1]}/{'/'.join(tokens[:-1])}"
    return "/".join(["/rows/0", *tokens])


def _columns(asked: PredictionRequest) -> Mapping[str, Sequence[Any]]:
    if (asked.columns is None) == (asked.rows is None):
        message = "A prediction needs either columns or rows, and not both."
        raise InvalidRequest([Problem("", "missing", message, 'As in {"columns": {"x": [0.5]}}.')])
    if asked.columns is not None:
        return asked.columns
    if isinstance(asked.rows, PackedRows):
        return asked.rows.columns
    rows = asked.rows or []
    names = rows[0].keys() if rows else ()
    for number, row in enumerate(rows):
        if row.keys() != names:
            message = f"Row {number} does not have the same columns as row 0."
            raise InvalidRequest(
                [Problem(f"/rows/{number}", "ragged_rows", message, "Give every row every feature.")]
            )
    return {name: [row[name] for row in rows] for name in names}
