"""From nested JSON to names with dots and plain values, as trackers want them."""

from collections.abc import Iterator, Mapping
from typing import Any

import orjson

__all__ = ["MOST_FIGURES", "MOST_PARAMETERS", "Plain", "figures", "parameters"]

Plain = bool | int | float | str

MOST_PARAMETERS = 300
"""Parameters of one job that are told; a network of hundreds of layers has more, and nobody compares those."""
MOST_FIGURES = 300
"""Final figures of one job that are told: a table with thousands of features has as many coefficients."""
LONGEST_LIST = 250
"""Characters of a list that is told as one value; a longer one is told by its length."""
ROWS = frozenset({("data", "columns"), ("data", "rows")})
"""Where inline rows are: these never leave the service."""
APART = frozenset({("name",), ("metadata",)})
"""What is told as tags."""
TOLD = ("train_loss", "dev_loss", "test_loss", "metrics", "coefficients", "intercept", "kept_epoch")


def parameters(spec: Mapping[str, Any]) -> dict[str, Plain]:
    """Flatten an effective spec: `{"model": {"type": "mlp"}}` gives `{"model.type": "mlp"}`.

    Without inline rows, whose columns are told by name alone, and without what is null.

    Args:
        spec: As JSON gives it.

    Returns:
        At most `MOST_PARAMETERS` values, in the order of the spec.
    """
    found: dict[str, Plain] = {}
    for path, value in _leaves(spec, ()):
        if len(found) == MOST_PARAMETERS:
            break
        found[".".join(path)] = value
    return found


def figures(result: Mapping[str, Any] | None) -> dict[str, float]:
    """Give the numbers of a job's result that are worth comparing, such as `metrics.dev.r2`.

    No classes, no split and no numbers of groups or single runs: those are in the job.
    """
    told = {name: value for name, value in (result or {}).items() if name in TOLD}
    folds = (result or {}).get("cross_validation") or {}
    told["cross_validation"] = {name: {"mean": one["mean"], "std": one["std"]} for name, one in folds.items()}
    leaves = ((".".join(path), value) for path, value in _leaves(told, ()))
    numbers = ((name, float(value)) for name, value in leaves if not isinstance(value, str))
    return dict(one for one, _ in zip(numbers, range(MOST_FIGURES), strict=False))


def _leaves(value: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Plain]]:  # noqa: ANN401 - JSON
    if path in ROWS and isinstance(value, Mapping | list):
        yield path, _columns(value)
    elif isinstance(value, Mapping) and path not in APART:
        for name, inner in value.items():
            yield from _leaves(inner, (*path, name))
    elif isinstance(value, list):
        yield from _listed(value, path)
    elif value is not None and path not in APART:
        yield path, value


def _columns(rows: Any) -> str:  # noqa: ANN401 - JSON
    """Name the columns of inline rows."""
    named = rows if isinstance(rows, Mapping) else next(iter(rows), {})
    return ", ".join(sorted(named))


def _listed(values: list[Any], path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Plain]]:
    """Tell a list of plain values as one, and one of objects each by its number."""
    if any(isinstance(one, Mapping) for one in values):
        for number, one in enumerate(values):
            yield from _leaves(one, (*path, str(number)))
        return
    text = orjson.dumps(values).decode()
    yield path, text if len(text) <= LONGEST_LIST else f"{len(values)} values"
