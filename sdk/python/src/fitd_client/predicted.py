"""Predictions, given back in the kind in which the rows were sent."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import takewhile
from typing import Any

from fitd_client.answers import Prediction
from fitd_client.packages import package
from fitd_client.tables import Table

__all__ = ["Predicted"]

_BESIDE = ("probabilities.", "std.")


@dataclass(frozen=True, slots=True)
class Predicted:
    """Predictions by column, with what stands beside them.

    Attributes:
        columns: Of each target.
        probabilities: Of each class, or of yes for each label.
        std: Standard deviations, of each target.
    """

    columns: dict[str, Any]
    probabilities: dict[str, Any] = field(default_factory=dict)
    std: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def from_json(cls, answer: Prediction) -> "Predicted":
        """Read an answer in JSON."""
        return cls(answer.columns or {}, answer.probabilities or {}, answer.std or {})

    @classmethod
    def from_arrow(cls, content: bytes, *, targets: Sequence[str]) -> "Predicted":
        """Read an Arrow stream: the predictions first, then what stands beside them.

        Args:
            content: The stream.
            targets: Names of the targets. One alone may have several columns, as in `y[0]` and `y[1]`.
        """
        pyarrow = package("pyarrow", why="A large prediction")
        package("pyarrow.ipc", why="A large prediction")
        with pyarrow.ipc.open_stream(content) as reader:
            table = reader.read_all()
        names = table.column_names
        # A target may itself have a name that begins so.
        own = list(takewhile(lambda name: name in targets or not name.startswith(_BESIDE), names))
        found = {name: table.column(name) for name in own}
        beside = [(name, table.column(name)) for name in names[len(own) :]]
        return cls(found, *(_beside(beside, prefix) for prefix in _BESIDE))

    def in_kind(self, sent: Table) -> Any:  # noqa: ANN401 - as what was sent
        """Give the predictions as what was sent.

        Returns:
            Of a DataFrame a Series with its index, or a DataFrame where there are several targets; of a matrix an
            array of shape (rows,) or (rows, targets); of an Arrow table one; of a dict or rows a dict of lists.
        """
        return _IN_KIND[sent.kind](self.columns, sent, single=True)

    def probabilities_in_kind(self, sent: Table) -> Any:  # noqa: ANN401 - as what was sent
        """Give the probabilities as what was sent, with a column for each class."""
        return _IN_KIND[sent.kind](self.probabilities, sent, single=False)


def _beside(columns: Sequence[tuple[str, Any]], prefix: str) -> dict[str, Any]:
    return {name.removeprefix(prefix): values for name, values in columns if name.startswith(prefix)}


def _listed(values: Any) -> list[Any]:  # noqa: ANN401 - a list or a column of Arrow
    plain: list[Any] = values if isinstance(values, list) else values.to_pylist()
    return plain


def _as_array(values: Any) -> Any:  # noqa: ANN401 - an array of numpy
    numpy = package("numpy", why="A matrix")
    if not isinstance(values, list):
        return values.to_numpy()
    ragged = values and isinstance(values[0], list)
    return numpy.asarray(values, dtype=object) if ragged else numpy.asarray(_numbers(values))


def _numbers(values: list[Any]) -> list[Any]:
    """Give lists with NaN for null; texts stay as they are."""
    return [float("nan") if value is None else value for value in values]


def _frame(columns: dict[str, Any], sent: Table, *, single: bool) -> Any:  # noqa: ANN401 - of pandas
    pandas = package("pandas", why="A DataFrame")
    series = {
        name: pandas.Series(_as_array(values), index=sent.index, name=name)
        for name, values in columns.items()
    }
    if single and len(series) == 1:
        return next(iter(series.values()))
    return pandas.DataFrame(series, index=sent.index)


def _matrix(columns: dict[str, Any], sent: Table, *, single: bool) -> Any:  # noqa: ANN401, ARG001 - of numpy
    arrays = [_as_array(values) for values in columns.values()]
    return arrays[0] if single and len(arrays) == 1 else package("numpy", why="A matrix").column_stack(arrays)


def _arrow(columns: dict[str, Any], sent: Table, *, single: bool) -> Any:  # noqa: ANN401, ARG001 - of pyarrow
    return package("pyarrow", why="An Arrow table").table(columns)


def _polars(columns: dict[str, Any], sent: Table, *, single: bool) -> Any:  # noqa: ANN401 - of polars
    return package("polars", why="A DataFrame").from_arrow(_arrow(columns, sent, single=single))


def _dict(columns: dict[str, Any], sent: Table, *, single: bool) -> dict[str, list[Any]]:  # noqa: ARG001
    return {name: _listed(values) for name, values in columns.items()}


_IN_KIND = {
    "frame": _frame,
    "matrix": _matrix,
    "arrow": _arrow,
    "polars": _polars,
    "columns": _dict,
    "rows": _dict,
}
