"""Which rows are for training, for development and for test."""

import hashlib
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from service.exceptions import TrainingFailed
from service.spec.evaluation import ColumnSplit, EvaluationSpec, Folds, OrderSplit, RandomSplit, Split
from service.spec.plan import part_sizes
from service.spec.preprocessing import PreprocessingSpec
from service.spec.schema import Column
from service.tables.frame import Frame
from service.tables.pages import release
from service.training.positions import Positions, all_of, compact

__all__ = ["Parts", "folded", "split", "usable_rows"]

SPREAD_AT_ONCE = 2**20


@dataclass(frozen=True, slots=True)
class Parts:
    """Positions of the rows of each part, ascending.

    Attributes:
        train: Rows that are trained on.
        dev: Rows on which the training is watched; may be empty.
        test: Rows that are looked at once, at the end; may be empty.
    """

    train: Positions
    dev: Positions
    test: Positions

    def digest(self, rows: int) -> str:
        """Name this split: SHA-256 over one byte for each of all `rows` (0 train, 1 dev, 2 test, 255 left out)."""
        parts = np.full(rows, 255, dtype=np.uint8)
        for code, positions in enumerate((self.train, self.dev, self.test)):
            parts[positions] = code
        return hashlib.sha256(parts.tobytes()).hexdigest()


def usable_rows(frame: Frame, preprocessing: PreprocessingSpec, columns: tuple[Column, ...]) -> Positions:
    """Give the rows that are left when those with missing values are dropped where the spec says so.

    Raises:
        TrainingFailed: `too_few_rows`, when fewer than two are left.
    """
    dropping = [c for c in columns if c.missing and preprocessing.treatment(c).missing == "drop"]
    usable = _complete(frame, dropping) if dropping else all_of(len(frame))
    return _at_least(usable, 2, "After the rows with missing values are dropped")


def _complete(frame: Frame, columns: list[Column]) -> Positions:
    """Give the rows that have a value in each of these columns."""
    keep = np.ones(len(frame), dtype=bool)
    for column in columns:
        values = frame.arrays[column.name]
        keep &= values >= 0 if column.kind == "category" else ~np.isnan(values)
        if frame.is_mapped:
            release(values)
    return compact(np.flatnonzero(keep), rows=len(frame))


def split(evaluation: EvaluationSpec, frame: Frame, usable: Positions) -> Parts:
    """Split the usable rows as the spec says; all are for training where it says nothing.

    Raises:
        TrainingFailed: `too_few_rows`, when nothing is left to train on.
    """
    parts = _cut_by(evaluation.split, frame, usable)
    _at_least(parts.train, 2, "After the split")
    return parts


def _cut_by(spec: Split | None, frame: Frame, usable: Positions) -> Parts:
    match spec:
        case None:
            return Parts(usable, usable[:0], usable[:0])
        case ColumnSplit():
            return _by_column(spec, frame, usable)
        case OrderSplit():
            ordered = (
                usable
                if spec.by is None
                else usable[np.argsort(frame.arrays[spec.by][usable], kind="stable")]
            )
            return _cut(ordered, *part_sizes(len(usable), dev=spec.dev, test=spec.test)[:2])
        case RandomSplit():
            return _at_random(spec, frame, usable)


def folded(folds: Folds, frame: Frame, parts: Parts) -> list[Parts]:
    """Give one split for each fold: the fold for dev, the others for training; last, all of them for training.

    Raises:
        TrainingFailed: `too_few_rows`, when there are fewer rows than folds.
    """
    _at_least(parts.train, max(3, folds.k), f"For {folds.k} folds")
    order = parts.train
    if folds.shuffle or folds.stratify:
        order = _mixed(parts.train, frame, folds.stratify, seed=folds.seed)
        number = np.arange(len(order)) % folds.k
    else:
        number = np.arange(len(order)) * folds.k // len(order)
    cut = [
        Parts(np.sort(order[number != fold]), np.sort(order[number == fold]), parts.test)
        for fold in range(folds.k)
    ]
    return [*cut, parts]


def _at_random(spec: RandomSplit, frame: Frame, usable: Positions) -> Parts:
    order = _mixed(usable, frame, spec.stratify, seed=spec.seed)
    _, dev, test = part_sizes(len(usable), dev=spec.dev, test=spec.test)
    # Every so many-th row of the mixed order is held back: where it is sorted by classes, each class gives its share.
    held = _spread(len(order), dev + test)
    is_test = np.zeros(len(order), dtype=bool)
    is_test[np.flatnonzero(held)[_spread(dev + test, test)]] = True
    return Parts(np.sort(order[~held]), np.sort(order[held & ~is_test]), np.sort(order[is_test]))


def _mixed(rows: Positions, frame: Frame, stratify: str | None, *, seed: int) -> Positions:
    """Draw an order of the rows; with `stratify`, sorted by that column's value and random within it."""
    order = np.random.default_rng(seed).permutation(rows)
    if stratify is None:
        return order
    return order[np.argsort(frame.arrays[stratify][order], kind="stable")]


def _spread(rows: int, marked: int) -> npt.NDArray[np.bool_]:
    """Mark exactly `marked` of `rows`, evenly spread."""
    marks = np.empty(rows, dtype=bool)
    for start in range(0, rows, SPREAD_AT_ONCE):
        stop = min(start + SPREAD_AT_ONCE, rows)
        marks[start:stop] = np.diff(np.arange(start, stop + 1) * marked // rows) > 0
    return marks


def _cut(ordered: Positions, train: int, dev: int) -> Parts:
    """Cut an order into its first rows, those that follow, and the last."""
    first, middle, last = ordered[:train], ordered[train : train + dev], ordered[train + dev :]
    return Parts(first, middle, last)


def _by_column(spec: ColumnSplit, frame: Frame, usable: Positions) -> Parts:
    column, values = frame.schema.by_name[spec.column], frame.arrays[spec.column][usable]
    known = list(column.values or ())
    codes = (
        values if column.kind == "category" else np.searchsorted(np.array(known, dtype=np.float64), values)
    )

    def rows_of(labels: tuple[str | float, ...]) -> Positions:
        wanted = [known.index(label) for label in labels if label in known]
        return usable[np.isin(codes, wanted)]

    return Parts(rows_of(spec.train), rows_of(spec.dev), rows_of(spec.test))


def _at_least(rows: Positions, least: int, when: str) -> Positions:
    if len(rows) >= least:
        return rows
    message = f"{when}, {len(rows)} rows are left for training; at least {least} are needed."
    raise TrainingFailed("too_few_rows", message, "Send more rows, or hold back or drop fewer.")
