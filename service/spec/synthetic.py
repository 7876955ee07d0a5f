"""Rows drawn by the service: features by distribution, the target by a formula plus noise."""

from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from service.exceptions import Problem
from service.spec.base import ColumnName, NonNegative, Positive, SpecModel
from service.spec.columns import unknown_column
from service.spec.expression import FUNCTIONS, Expression, ExpressionError, identifier
from service.spec.limits import Limits, over_limit
from service.spec.pointers import pointer_to
from service.spec.schema import Column, Schema

__all__ = ["Distribution", "FlipNoise", "Noise", "SyntheticData", "SyntheticTarget", "probes"]

PROBES = 256
"""Rows at which an expression is tried before a job is accepted."""


class Uniform(SpecModel):
    """Evenly likely numbers in [low, high): `low + (high - low) * torch.rand(rows)`."""

    distribution: Literal["uniform"]
    low: float = 0.0
    """Smallest value."""
    high: float = 1.0
    """Largest value; above `low`."""

    def problems(self) -> list[Problem]:
        """Refuse an empty or constant range."""
        return _range_problems(self.low, self.high)

    def probe(self) -> np.ndarray:
        """Give values across the range, to try an expression on."""
        return np.linspace(self.low, self.high, PROBES)


class Linspace(SpecModel):
    """Evenly spaced numbers from low to high, both included: `torch.linspace(low, high, rows)`."""

    distribution: Literal["linspace"]
    low: float = 0.0
    """Smallest value."""
    high: float = 1.0
    """Largest value; above `low`."""

    def problems(self) -> list[Problem]:
        """Refuse an empty or constant range."""
        return _range_problems(self.low, self.high)

    def probe(self) -> np.ndarray:
        """Give values across the range, to try an expression on."""
        return np.linspace(self.low, self.high, PROBES)


class Normal(SpecModel):
    """Normally distributed numbers: `mean + std * torch.randn(rows)`."""

    distribution: Literal["normal"]
    mean: float = 0.0
    """Mean of the values."""
    std: Positive = 1.0
    """Standard deviation of the values."""

    def problems(self) -> list[Problem]:
        """Nothing beyond the fields' own bounds can be wrong."""
        return []

    def probe(self) -> np.ndarray:
        """Give values within four standard deviations, to try an expression on."""
        return self.mean + self.std * np.linspace(-4, 4, PROBES)


Distribution = Annotated[Uniform | Linspace | Normal, Field(discriminator="distribution")]


class NormalNoise(SpecModel):
    """Normally distributed noise around zero."""

    distribution: Literal["normal"]
    std: NonNegative
    """Standard deviation, in units of the target."""


class UniformNoise(SpecModel):
    """Noise evenly spread between -half_width and half_width."""

    distribution: Literal["uniform"]
    half_width: NonNegative
    """Largest absolute value, in units of the target."""


class FlipNoise(SpecModel):
    """For a target that is 0 or 1: each row's value is turned around with this probability."""

    distribution: Literal["flip"]
    probability: Annotated[float, Field(ge=0, lt=0.5)]
    """Share of the rows that get the wrong class; half of them would leave nothing to learn."""


Noise = Annotated[NormalNoise | UniformNoise | FlipNoise, Field(discriminator="distribution")]


class SyntheticTarget(SpecModel):
    """The column to predict, computed from the features."""

    name: ColumnName = "y"
    """Name of the column."""
    expression: Annotated[str, Field(min_length=1)]
    """Plain arithmetic over the features, such as `5*x + 7`; or a condition such as `x1 + x2 > 1`, which gives 1 or 0."""


class SyntheticData(SpecModel):
    """Rows drawn by the service: features by distribution, the target by a formula plus noise.

    One `torch.Generator` with `seed` draws, in float64, each feature in the order written, then the noise.
    """

    type: Literal["synthetic"]
    rows: Annotated[int, Field(ge=2)]
    """How many rows to draw."""
    seed: Annotated[int, Field(ge=0, le=2**63 - 1)] = 0
    """Seed of the rows: the same seed draws the same rows."""
    features: Annotated[dict[ColumnName, Distribution], Field(min_length=1)]
    """The distribution of each feature, by its name."""
    target: SyntheticTarget
    """The column to predict."""
    noise: Noise | None = None
    """Noise that is added to the target; none when left out."""

    @property
    def target_names(self) -> tuple[str, ...]:
        """Names of the columns to predict."""
        return (self.target.name,)

    @property
    def weight(self) -> None:
        """Drawn rows all weigh the same."""
        return

    @property
    def lengths(self) -> None:
        """Drawn rows are no sequences."""
        return

    @property
    def group_by(self) -> None:
        """Drawn rows are of one group."""
        return

    @property
    def row_count(self) -> int:
        """Number of rows."""
        return self.rows

    def feature_names(self) -> tuple[str, ...]:
        """Names of the features, in the order of the spec."""
        return tuple(self.features)

    def roles(self) -> Mapping[str, tuple[str, ...]]:
        """Give the columns of the network's one input."""
        return {"features": tuple(self.features)}

    @cached_property
    def table_schema(self) -> Schema:
        """The columns as they will be drawn; what is not known before has no figures."""
        features = (Column(name=name, kind="number", dtype="float64") for name in self.features)
        values = (0.0, 1.0) if self.expression.is_condition else None
        target = Column(name=self.target.name, kind="number", dtype="float64", values=values)
        return Schema(rows=self.rows, columns=(*features, target))

    @cached_property
    def expression(self) -> Expression:
        """The target's formula, parsed.

        Raises:
            ExpressionError: It is not plain arithmetic.
        """
        return Expression.parse(self.target.expression, columns=frozenset(self.features))

    def problems(self, limits: Limits) -> list[Problem]:
        """Tell what is wrong beyond the types; pointers are relative to `data`."""
        found = over_limit("/rows", "rows", self.rows, limits.max_rows)
        found += over_limit("/features", "features", len(self.features), limits.max_features)
        found += [
            Problem(f"{pointer_to('features', name)}{p.pointer}", p.code, p.message, p.hint)
            for name, distribution in self.features.items()
            for p in distribution.problems()
        ]
        found += _ambiguous_names(self.features)
        if self.target.name in self.features:
            found.append(
                Problem(
                    "/target/name",
                    "duplicate_column",
                    f"`{self.target.name}` is a feature already.",
                    "Rename one.",
                )
            )
        return found or self._expression_problems()

    def _expression_problems(self) -> list[Problem]:
        pointer = "/target/expression"
        try:
            expression = self.expression
        except ExpressionError as error:
            return [Problem(pointer, "invalid_expression", str(error), error.hint)]
        unknown = expression.unknown(self.features)
        if unknown:
            return [unknown_column(pointer, name, self.features) for name in unknown]
        return self._noise_problems(expression) or self._probe_problems(pointer, expression)

    def _noise_problems(self, expression: Expression) -> list[Problem]:
        """Refuse noise that is not of the target's kind: numbers added to classes, or numbers turned around."""
        if self.noise is None or isinstance(self.noise, FlipNoise) == expression.is_condition:
            return []
        if expression.is_condition:
            message = "The target is 0 or 1: noise cannot be added to it."
            hint = 'Take {"distribution": "flip", "probability": 0.1}, or draw a noisy feature and use it in the condition.'
        else:
            message = "Only a target that is 0 or 1 can be turned around."
            hint = "Take normal or uniform noise, or a condition such as x > 0.5 as the expression."
        return [Problem("/noise/distribution", "incompatible_fields", message, hint)]

    def _probe_problems(self, pointer: str, expression: Expression) -> list[Problem]:
        with np.errstate(all="ignore"):
            tried = probes(self)
            values = np.asarray(expression.evaluate(tried, _NUMPY))
            spread = np.ptp(values) if values.ndim else 0.0
        if not np.isfinite(values).all():
            return [_not_finite(pointer, tried, np.broadcast_to(values, PROBES))]
        if spread == 0:
            message = "The expression gives the same value for every row."
            return [
                Problem(pointer, "constant_column", message, "Use at least one feature in it, as in 5*x + 7.")
            ]
        return []


_NUMPY = {name: getattr(np, name) for name in FUNCTIONS}


def _ambiguous_names(names: Iterable[str]) -> list[Problem]:
    """Refuse two names that a formula cannot tell apart, such as the micro sign and the Greek letter mu."""
    seen: dict[str, str] = {}
    found: list[Problem] = []
    for name in names:
        other = seen.setdefault(identifier(name), name)
        if other != name:
            message = f"A formula cannot tell `{name}` from `{other}`: they are the same letters to Unicode."
            found.append(Problem(pointer_to("features", name), "duplicate_column", message, "Rename one."))
    return found


def probes(data: SyntheticData) -> dict[str, np.ndarray]:
    """Give values of each feature, float64 of shape (256,), on which to try a formula."""
    return _shuffled({name: feature.probe() for name, feature in data.features.items()})


def _shuffled(values: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Break the lock-step of several features, so that `x1 - x2` is not tried on equal values only."""
    rng = np.random.default_rng(0)
    return {
        name: probe if i == 0 else rng.permutation(probe) for i, (name, probe) in enumerate(values.items())
    }


def _not_finite(pointer: str, probes: Mapping[str, np.ndarray], values: np.ndarray) -> Problem:
    row = int(np.argmin(np.isfinite(values)))
    where = ", ".join(f"{name} = {probe[row]:.6g}" for name, probe in list(probes.items())[:3])
    message = f"The expression is not a finite number at {where}."
    return Problem(pointer, "data_not_finite", message, "Change the features' ranges or the expression.")


def _range_problems(low: float, high: float) -> list[Problem]:
    if low < high:
        return []
    code = "constant_column" if low == high else "out_of_range"
    return [
        Problem("/high", code, f"high ({high:g}) must be above low ({low:g}).", "Swap or spread the two.")
    ]
