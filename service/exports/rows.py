"""Rows on which an exported model is held against the service's own: of the job's data, or drawn."""

import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from service.exceptions import DatasetDamaged, TrainingFailed
from service.inference.predictor import Predictor
from service.spec.job import JobSpec
from service.tables.frame import Array, Frame
from service.training.columns import columns_in_use
from service.training.encoding import Input
from service.training.frames import load
from service.training.splits import usable_rows

__all__ = ["ROWS", "rows_to_compare"]

ROWS = 256
"""So many rows are compared."""


def rows_to_compare(spec: JobSpec, predictor: Predictor, *, datasets: Path) -> tuple[dict[str, Array], str]:
    """Choose rows, evenly, of those that the job used; where its dataset is gone, draw some.

    Returns:
        Arrays as of a frame by feature name, and where they are from: `job` or `drawn`.
    """
    try:
        frame = load(spec.data, datasets=datasets)
    except (TrainingFailed, DatasetDamaged):
        return _drawn(predictor), "drawn"
    used = columns_in_use(spec, frame.schema)
    # Of a table larger than memory only these rows are read: more than are wanted, for some may lack a value.
    some = np.arange(0, len(frame), max(1, len(frame) // (4 * ROWS)))
    arrays = {one.name: np.array(frame.arrays[one.name][some]) for one in used}
    small = Frame(frame.schema.model_copy(update={"rows": len(some)}), arrays)
    try:
        usable = usable_rows(small, spec.preprocessing, used)
    except TrainingFailed:
        return _drawn(predictor), "drawn"
    chosen = usable[:: -(-len(usable) // ROWS)]
    return {name: arrays[name][chosen] for name in predictor.feature_names}, "job"


def _drawn(predictor: Predictor) -> dict[str, Array]:
    """Draw numbers from where the scaling has seen them, codes and categories from those that are known."""
    generator, preparation = np.random.default_rng(0), predictor.preparation
    pairs = zip(preparation.inputs, predictor.feature_names, strict=True)
    found: dict[str, Array] = {}
    scales = _scales(predictor)
    for one, name in pairs:
        if one.kind == "category":
            found[name] = generator.integers(0, len(one.categories or ()), ROWS, dtype=np.int32)
        elif predictor.code_count is not None:
            found[name] = generator.integers(0, predictor.code_count, (ROWS, *one.shape)).astype(np.float64)
        else:
            shift, scale = scales.get(name, (0.0, max(1.0, one.divisor / 3)))
            found[name] = shift + scale * generator.uniform(-2, 2, (ROWS, *one.shape))
    return found


def _scales(predictor: Predictor) -> Mapping[str, tuple[float, float]]:
    preparation = predictor.preparation
    if not preparation.scale or preparation.exponents is not None or preparation.is_image:
        return {}
    found, place = {}, 0
    for one, name in zip(preparation.inputs, predictor.feature_names, strict=True):
        if one.kind == "number":
            found[name] = preparation.shift[place], preparation.scale[place]
        place += _width(one)
    return found


def _width(one: Input) -> int:
    if one.kind == "category":
        return len(one.categories or ()) if one.one_hot else 1
    return math.prod(one.shape)
