"""The part of the script that gets the rows: drawn, written out, or read from the service or a file."""

import ast
import hashlib
import math
from collections.abc import Iterator, Sequence
from typing import cast
from urllib.parse import urlencode

import numpy as np

from service.exports.script.python import comment, key, listed, literal
from service.spec.expression import FUNCTIONS, Expression, identifier
from service.spec.inline import InlineData
from service.spec.job import JobSpec
from service.spec.schema import Column, Schema
from service.spec.stored import StoredData
from service.spec.synthetic import Distribution, Noise, SyntheticData
from service.tables.frame import Array, Frame

__all__ = ["columns_of", "data_lines", "is_fetched"]

MOST_LITERALS = 2000
"""So many values of rows are written out; more are fetched."""
HASHED_AT_ONCE = 2**20
LONGEST_QUERY = 1500


def columns_of(spec: JobSpec) -> tuple[str, ...]:
    """Name the columns that the script needs, each once: features, targets, weight, and what splits the rows."""
    data, split = spec.data, spec.evaluation.split
    found = [*data.feature_names(), *data.target_names, *([data.weight] if data.weight else [])]
    for field in ("stratify", "by", "column"):
        name = getattr(split, field, None)
        found += [name] if name else []
    return tuple(dict.fromkeys(found))


def is_fetched(spec: JobSpec, schema: Schema) -> bool:
    """Tell whether the rows are read from the service or a file, and not in the script."""
    if isinstance(spec.data, SyntheticData):
        return False
    if isinstance(spec.data, StoredData):
        return True
    values = sum(math.prod(schema.by_name[name].shape) for name in columns_of(spec))
    return schema.rows * values > MOST_LITERALS


def data_lines(spec: JobSpec, frame: Frame, *, job_id: str) -> list[str]:
    """Write how the columns come to be: a dictionary `columns` of arrays, one value for each row."""
    if isinstance(spec.data, SyntheticData):
        return _drawn(spec.data)
    if not is_fetched(spec, frame.schema):
        return _written(spec, frame)
    return _fetched(spec, frame, job_id)


# Rows that the service drew.


def _drawn(data: SyntheticData) -> list[str]:
    lines = comment("One generator draws each feature in turn, then the noise; all of it in float64.")
    lines += [f"draw = torch.Generator().manual_seed({data.seed})", "columns = {}"]
    for name, how in data.features.items():
        lines.append(f"{key(name)} = {_values(how, data.rows)}")
    target = key(data.target.name)
    lines.append(f"{target} = {_expression(data)}")
    if data.noise is not None:
        lines += _noise(data.noise, target, data.rows)
    return [*lines, "columns = {name: values.numpy() for name, values in columns.items()}"]


def _values(how: Distribution, rows: int) -> str:
    match how.distribution:
        case "uniform":
            unit = f"torch.rand({rows}, generator=draw, dtype=torch.float64)"
            return _affine(unit, how.low, how.high - how.low)
        case "linspace":
            return f"torch.linspace({literal(how.low)}, {literal(how.high)}, {rows}, dtype=torch.float64)"
        case "normal":
            return _affine(f"torch.randn({rows}, generator=draw, dtype=torch.float64)", how.mean, how.std)


def _affine(values: str, start: float, factor: float) -> str:
    """Write start + factor * values; adding 0 and multiplying by 1 change no number."""
    scaled = values if factor == 1 else f"{literal(factor)} * {values}"
    return scaled if start == 0 else f"{literal(start)} + {scaled}"


def _noise(noise: Noise, target: str, rows: int) -> list[str]:
    match noise.distribution:
        case "normal":
            drawn = f"torch.randn({rows}, generator=draw, dtype=torch.float64)"
            return [f"{target} = {target} + {literal(noise.std)} * {drawn}"]
        case "uniform":
            drawn = f"torch.rand({rows}, generator=draw, dtype=torch.float64)"
            return [f"{target} = {target} + {literal(noise.half_width)} * (2 * {drawn} - 1)"]
        case "flip":
            drawn = f"torch.rand({rows}, generator=draw, dtype=torch.float64)"
            return [
                f"turned = {drawn} < {literal(noise.probability)}  # Some rows get the wrong class.",
                f"{target} = torch.where(turned, 1 - {target}, {target})",
            ]


def _expression(data: SyntheticData) -> str:
    """Write the formula over the columns, every number as a float, as the service computes it."""
    known = {identifier(name): name for name in data.features}
    root = ast.parse(data.target.expression.strip(), mode="eval").body
    text = ast.unparse(ast.fix_missing_locations(_Translation(known).visit(root)))
    for name in data.features:
        text = text.replace(f"columns[{name!r}]", key(name))
    return f"({text}) * 1.0" if data.expression.is_condition else text


class _Translation(ast.NodeTransformer):
    """Turns names into columns, functions into torch's, and what has no column into one number."""

    def __init__(self, known: dict[str, str]) -> None:
        self._known = known

    def visit(self, node: ast.AST) -> ast.AST:
        if isinstance(node, ast.expr) and not isinstance(node, ast.Compare) and not self._has_columns(node):
            return _constant(node)
        found: ast.AST = super().visit(node)
        return found

    def visit_Name(self, node: ast.Name) -> ast.AST:
        return ast.parse(key(self._known[node.id]), mode="eval").body

    def visit_Call(self, node: ast.Call) -> ast.AST:
        name = node.func.id if isinstance(node.func, ast.Name) else ""
        argument = cast("ast.expr", self.visit(node.args[0]))
        function = ast.Attribute(ast.Name("torch", ast.Load()), name, ast.Load())
        return ast.Call(function, [argument], [])

    def _has_columns(self, node: ast.expr) -> bool:
        called = {id(one.func) for one in ast.walk(node) if isinstance(one, ast.Call)}
        names = (one for one in ast.walk(node) if isinstance(one, ast.Name) and id(one) not in called)
        return any(one.id in self._known for one in names)


def _constant(node: ast.expr) -> ast.expr:
    functions = {name: getattr(math, name, abs) for name in FUNCTIONS}
    value = float(Expression.parse(ast.unparse(node)).evaluate({}, functions))
    if math.isfinite(value):
        return ast.parse(repr(value), mode="eval").body
    return ast.parse(f"float({str(value)!r})", mode="eval").body


# Rows that were sent with the job.


def _written(spec: JobSpec, frame: Frame) -> list[str]:
    lines = ["columns = {}"]
    for name in columns_of(spec):
        column, values = frame.schema.by_name[name], frame.arrays[name]
        if column.kind == "category":
            lines += _categories(column, key(name))
        lines += _array(key(name), values, "np.int64" if column.kind == "category" else "np.float64")
    return lines


def _categories(column: Column, target: str) -> list[str]:
    texts = ", ".join(f"{code} is {text}" for code, text in enumerate(column.values or ()))
    gap = ", -1 a gap" if column.missing else ""
    return comment(f"{target[8:-1]} holds categories by their codes: {texts}{gap}."[:2000])


def _array(target: str, values: Array, dtype: str) -> list[str]:
    has_gaps = values.dtype.kind == "f" and bool(np.isnan(values).any())
    texts = [literal(None if value != value else value) for value in values.tolist()]  # noqa: PLR0124 - NaN
    tail = f"], dtype={dtype})" if has_gaps or dtype != "np.float64" else "])"
    if dtype == "np.float64" and not has_gaps and all(float(t).is_integer() for t in texts if t[0] != "["):
        tail = "], dtype=np.float64)"
    return listed(f"{target} = np.array([", texts, tail)


# Rows that are read.


def _fetched(spec: JobSpec, frame: Frame, job_id: str) -> list[str]:
    names = columns_of(spec)
    by_kind: dict[str, list[Column]] = {"number": [], "category": [], "array": []}
    for name in names:
        by_kind[frame.schema.by_name[name].kind].append(frame.schema.by_name[name])
    lines = [*_reading(spec, names, job_id), *_converted(by_kind, frame)]
    digest = _digest(frame, names)
    lines += [
        "",
        *comment("Are these the rows that the service trained on?"),
        "digest = hashlib.sha256()",
        f"for name in {literal(list(names))}:" if len(names) < 8 else "for name in columns:",  # noqa: PLR2004 - a line
        "    digest.update(np.ascontiguousarray(columns[name]).tobytes())",
        f'if digest.hexdigest() != "{digest}":',
        '    sys.exit("These are not the rows that the service trained on.")',
    ]
    return lines


def _reading(spec: JobSpec, names: Sequence[str], job_id: str) -> list[str]:
    if isinstance(spec.data, InlineData):
        return [
            *comment(
                "The rows were sent with the job: its spec has them. --data names a file with that job's JSON."
            ),
            f"job = json.loads(fetch({literal(f'/v1/jobs/{job_id}')}, arguments.data))",
            'data = job["spec"]["data"]',
            'rows = data["rows"]',
            'sent = data["columns"] or {name: [row[name] for row in rows] for name in rows[0]}',
            *listed("columns = {name: sent[name] for name in [", map(literal, names), "]}"),
        ]
    if not isinstance(spec.data, StoredData):
        raise TypeError("drawn rows are not read")
    return [
        *comment(
            "The columns of the dataset, as the service gives them: an npz file, or a CSV file of the same."
        ),
        "def read(data):",
        '    if data[:2] == b"PK":',
        "        with np.load(io.BytesIO(data)) as archive:",
        "            return {name: archive[name] for name in archive.files}",
        '    rows = list(csv.DictReader(io.StringIO(data.decode("utf-8-sig"))))',
        "    return {name: np.array([row[name] for row in rows]) for name in rows[0]}",
        "",
        "",
        f"path = {literal(f'/v1/datasets/{spec.data.id}/content{_query(names)}')}",
        'columns = read(fetch(path, arguments.data, "application/x-npz"))',
        *listed("columns = {name: columns[name] for name in [", map(literal, names), "]}"),
    ]


def _query(names: Sequence[str]) -> str:
    """Ask for these columns only, where the path does not get too long by that."""
    query = "?" + urlencode([("column", name) for name in names])
    return query if len(query) <= LONGEST_QUERY else ""


def _converted(by_kind: dict[str, list[Column]], frame: Frame) -> Iterator[str]:
    inline = [column.name for column in by_kind["array"]]
    if by_kind["number"]:
        names = [literal(column.name) for column in by_kind["number"]]
        yield from listed("for name in [", names, "]:")
        yield '    values = [np.nan if value in (None, "") else value for value in columns[name]]'
        yield "    columns[name] = np.array(values, dtype=np.float64)"
    for column in by_kind["category"]:
        yield from comment("Categories become codes: their places in this list; a gap is -1.")
        yield from listed("categories = [", [literal(one) for one in column.values or ()], "]")
        yield "codes = {text: code for code, text in enumerate(categories)}"
        target = key(column.name)
        yield f"{target} = np.array([codes.get(text, -1) for text in {target}], dtype=np.int64)"
    for name in inline:
        dtype = frame.arrays[name].dtype
        yield f"{key(name)} = np.array({key(name)}, dtype=np.{dtype})"


def _digest(frame: Frame, names: Sequence[str]) -> str:
    """Take the digest of columns as the script holds them, without a copy of a whole one."""
    found = hashlib.sha256()
    for name in names:
        kind, array = frame.schema.by_name[name].kind, frame.arrays[name]
        dtype = {"number": np.dtype(np.float64), "category": np.dtype(np.int64)}.get(kind, array.dtype)
        step = max(1, HASHED_AT_ONCE * len(array) // max(1, array.size))
        for start in range(0, len(array), step):
            found.update(np.ascontiguousarray(array[start : start + step], dtype=dtype).tobytes())
    return found.hexdigest()
