"""The parts of the script that split the rows and turn columns into tensors."""

import math
from collections.abc import Iterator, Sequence

from service.exports.script.python import comment, key, listed, literal
from service.spec.evaluation import ColumnSplit, EvaluationSpec, OrderSplit, RandomSplit
from service.spec.job import JobSpec
from service.spec.plan import part_sizes
from service.spec.schema import Schema
from service.training.columns import columns_in_use
from service.training.encoding import Input
from service.training.preparation import BLOCK_NUMBERS, CACHED_ROWS, Preparation

__all__ = ["input_lines", "split_lines"]


def split_lines(spec: JobSpec, schema: Schema, *, usable: int) -> list[str]:
    """Write which rows are for training, `train`, and which to watch it on, `dev`; nothing where all are trained on.

    Args:
        spec: The effective spec.
        schema: Of the table.
        usable: How many rows are left when those without a value are dropped.
    """
    lines = list(_usable(spec, schema))
    if spec.evaluation.split is None:
        return [*lines, "train = rows"] if lines else []
    if not lines:
        lines = [f"rows = np.arange({schema.rows})"]
    return [*lines, *_split(spec.evaluation, schema, usable)]


def _usable(spec: JobSpec, schema: Schema) -> Iterator[str]:
    treatment = spec.preprocessing.treatment
    used = columns_in_use(spec, schema)
    dropping = [one for one in used if one.missing and treatment(one).missing == "drop"]
    if not dropping:
        return
    yield from comment("Rows without a value in one of these columns are left out.")
    tests = [
        f"({key(one.name)} >= 0)" if one.kind == "category" else f"~np.isnan({key(one.name)})"
        for one in dropping
    ]
    yield f"rows = np.flatnonzero({' & '.join(tests)})"


def _split(evaluation: EvaluationSpec, schema: Schema, usable: int) -> Iterator[str]:
    split = evaluation.split
    match split:
        case ColumnSplit():
            yield from _by_column(split, schema)
        case OrderSplit():
            yield from _by_order(split, usable)
        case RandomSplit():
            yield from _at_random(split, usable)


def _by_column(split: ColumnSplit, schema: Schema) -> Iterator[str]:
    column = schema.by_name[split.column]
    known = list(column.values or ())
    for part, labels in (("train", split.train), ("dev", split.dev)):
        wanted = [one for one in labels if one in known]
        if not wanted:
            continue
        values = [known.index(one) for one in wanted] if column.kind == "category" else wanted
        # Labels are the caller's: written as literals, or a line break in one would end the comment.
        shown = ", ".join(map(literal, wanted))
        yield f"{part} = rows[np.isin({key(split.column)}[rows], {literal(values)})]  # {shown}"


def _by_order(split: OrderSplit, usable: int) -> Iterator[str]:
    train, dev, _ = part_sizes(usable, dev=split.dev, test=split.test)
    if split.by is not None:
        yield f'rows = rows[np.argsort({key(split.by)}[rows], kind="stable")]'
    yield f"train = rows[:{train}]"
    if dev:
        yield f"dev = rows[{train}:{train + dev}]"


def _at_random(split: RandomSplit, usable: int) -> Iterator[str]:
    _, dev, test = part_sizes(usable, dev=split.dev, test=split.test)
    held = dev + test
    yield f"order = np.random.default_rng({split.seed}).permutation(rows)"
    if split.stratify is not None:
        yield from comment("Sorted by class, random within: so each class gives its share to each part.")
        yield f'order = order[np.argsort({key(split.stratify)}[order], kind="stable")]'
    what = " and for test" if test and dev else " for test" if test else ""
    yield from comment(f"{held} rows, evenly spread over that order, are held back{what}.")
    yield f"held = np.diff(np.arange({usable + 1}) * {held} // {usable}) > 0"
    yield "train = np.sort(order[~held])"
    if dev and test:
        yield f"tested = np.diff(np.arange({held + 1}) * {test} // {held}) > 0"
        yield "dev = np.sort(order[held][~tested])"
    elif dev:
        yield "dev = np.sort(order[held])"


def input_lines(
    spec: JobSpec, preparation: Preparation, *, parts: Sequence[str], train_rows: int
) -> list[str]:
    """Write how columns become the tensors `x`, `y` and `weight`, and `x_dev` and the like.

    Args:
        spec: The effective spec.
        preparation: As it was fitted on the rows for training.
        parts: `train`, or `train` and `dev`; nothing where all rows are trained on and none were left out.
        train_rows: Rows that are trained on.
    """
    lines = list(_filled(preparation))
    lines += _image(preparation) if preparation.is_image else _table(preparation)
    chosen = "[train]" if parts else ""
    if preparation.scale:
        lines += _scaling(spec, preparation, chosen, train_rows)
    lines += _target(preparation)
    return [*lines, "", *_tensors(preparation, parts)]


def _filled(preparation: Preparation) -> Iterator[str]:
    for one, name in zip(preparation.inputs, preparation.feature_names, strict=True):
        if one.fill is None:
            continue
        column = key(name)
        gap = f"{column} < 0" if one.kind == "category" else f"np.isnan({column})"
        fill = int(one.fill) if one.kind == "category" else one.fill
        yield f"{column} = np.where({gap}, {literal(fill)}, {column})  # Fills the gaps, as the service did."


def _image(preparation: Preparation) -> list[str]:
    return [
        f"x = {key(preparation.feature_names[0])}  # One array for each row: {literal(preparation.shape)}."
    ]


def _table(preparation: Preparation) -> list[str]:
    pairs = zip(preparation.inputs, preparation.feature_names, strict=True)
    parts = [_encoded(one, name) for one, name in pairs]
    lines = comment("One row for each row of the table, one number for each input of the network.")
    is_float = any(one.kind == "number" for one in preparation.inputs)
    lines += listed("x = np.column_stack([", parts, "])" if is_float else "]).astype(np.float64)")
    if preparation.exponents is not None:
        terms = [_term(powers) for powers in preparation.exponents]
        lines += comment(f"The terms of the polynomial: {', '.join(preparation.names)}."[:1000])
        lines += listed("x = np.column_stack([", terms, "])")
    return lines


def _encoded(one: Input, name: str) -> str:
    column = key(name)
    if one.kind == "category" and one.one_hot:
        return f"{column}[:, None] == np.arange({len(one.categories or ())})"
    return column if one.divisor == 1 else f"{column} / {literal(one.divisor)}"


def _term(powers: Sequence[int]) -> str:
    factors = [
        f"x[:, {place}]" + (f" ** {power}" if power > 1 else "")
        for place, power in enumerate(powers)
        if power
    ]
    return " * ".join(factors)


def _scaling(spec: JobSpec, preparation: Preparation, chosen: str, train_rows: int) -> list[str]:
    """Measure where that gives the service's own figures to the last bit, else write them out."""
    how = _measured_as(spec, preparation, train_rows)
    if how is not None:
        lines = comment(_SAID[how])
        lines += [f"table = np.ascontiguousarray(x{chosen}.T)", *_MEASURED[how]]
        return [*lines, "x = (x - shift) / scale"]
    form = f".reshape(-1{', 1' * (len(preparation.shape) - 1)})" if preparation.is_image else ""
    lines = comment("What the service measured on the rows for training: x becomes (x - shift) / scale.")
    lines += listed("shift = np.array([", map(literal, preparation.shift), f"]){form}")
    lines += listed("scale = np.array([", map(literal, preparation.scale), f"]){form}")
    return lines if preparation.is_image else [*lines, "x = (x - shift) / scale"]


_SAID = {
    "standardize": "Each input gets the mean 0 and the standard deviation 1 over the rows for training.",
    "min_max": "Each input goes from 0 to 1 over the rows for training.",
}
_MEASURED = {
    "standardize": ["shift, scale = table.mean(axis=1), table.std(axis=1)"],
    "min_max": ["shift, scale = table.min(axis=1), table.max(axis=1) - table.min(axis=1)"],
}


def _measured_as(spec: JobSpec, preparation: Preparation, train_rows: int) -> str | None:
    """Name the scaling of all inputs, if it is one and the service measured it over all rows at once."""
    how = spec.preprocessing.scaling
    same = (
        how != "none"
        and not spec.preprocessing.columns
        and all(o.kind == "number" for o in preparation.inputs)
    )
    at_once = CACHED_ROWS if preparation.is_numbers else BLOCK_NUMBERS // max(1, math.prod(preparation.shape))
    # A column that does not vary is left as wide as it is, which the service writes as the scale 1.
    return how if same and train_rows <= at_once and 1.0 not in preparation.scale else None


def _target(preparation: Preparation) -> list[str]:
    code = preparation.target
    columns = [key(name) for name in code.names]
    if code.kind == "classes" or (code.kind in {"binary", "signs"} and len(columns) == 1 and code.classes):
        return list(_classes(preparation, columns[0]))
    if code.kind == "label_indices":
        return _label_indices(columns)
    flat = [
        column if not shape else f"{column}.reshape(len({column}), -1)"
        for column, shape in zip(columns, code.shapes or ((),) * len(columns), strict=True)
    ]
    lines = listed("y = np.column_stack([", flat, "])")
    if code.kind == "signs":
        lines.append("y = 2 * y - 1  # The loss wants -1 and 1.")
    return lines + (_target_scaling(preparation) if code.scale else [])


def _target_scaling(preparation: Preparation) -> list[str]:
    lines = comment("The target is scaled too; what the service measured on the rows for training:")
    lines += listed("y_shift = np.array([", map(literal, preparation.target.shift), "])")
    lines += listed("y_scale = np.array([", map(literal, preparation.target.scale), "])")
    return [*lines, "y = (y - y_shift) / y_scale"]


def _classes(preparation: Preparation, column: str) -> Iterator[str]:
    code = preparation.target
    if not isinstance(code.classes[0], str):
        yield from comment("The classes by their codes, from 0 up.")
        yield from listed("classes = np.array([", map(literal, code.classes), "])")
        yield f"y = np.searchsorted(classes, {column})"
    else:
        yield f"y = {column}"
    if code.kind == "binary":
        yield "y = y[:, None]  # One column of 0 and 1."
    if code.kind == "signs":
        yield "y = 2 * y[:, None] - 1  # One column of -1 and 1."


def _label_indices(columns: Sequence[str]) -> list[str]:
    return [
        *comment("The numbers of each row's labels, then -1 up to the end."),
        *listed("marked = np.column_stack([", columns, "]) > 0"),
        f"y = np.sort(np.where(marked, np.arange({len(columns)}), {len(columns)}), axis=1)",
        f"y = np.where(y == {len(columns)}, -1, y)",
    ]


def _tensors(preparation: Preparation, parts: Sequence[str]) -> Iterator[str]:
    """Write the tensors; for all rows at once where none are held back."""
    dtype = f"torch.{preparation.dtype}"
    is_code = preparation.target.kind in {"classes", "label_indices"}
    pairs = [("_dev" if part == "dev" else "", f"[{part}]") for part in parts] or [("", "")]
    # The values of `x` and `y` are overwritten by those for training, so these come last.
    for suffix, chosen in reversed(pairs):
        yield f"x{suffix} = torch.tensor(x{chosen}, dtype={dtype})" + _divided(preparation)
        if preparation.is_image and preparation.scale:
            shift, scale = f"torch.tensor(shift, dtype={dtype})", f"torch.tensor(scale, dtype={dtype})"
            yield f"x{suffix} = (x{suffix} - {shift}) / {scale}"
        yield f"y{suffix} = torch.tensor(y{chosen}, dtype={'torch.int64' if is_code else dtype})"
        if preparation.weight is not None:
            yield f"weight{suffix} = torch.tensor({key(preparation.weight)}{chosen}, dtype={dtype})"


def _divided(preparation: Preparation) -> str:
    divisor = preparation.inputs[0].divisor
    return f" / {literal(divisor)}" if preparation.is_image and divisor != 1 else ""
