"""From values to places on an axis, and which values to write beside it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Protocol

import numpy as np

from service.plots.scene import FloatArray

LARGEST = 8e307  # Values beyond are drawn here: the distance between two of these is still a finite float.
_SMALLEST_SPAN = 1e-300  # Below it steps would become denormal numbers, and then zero.
_PADDING = 0.04  # Of the span, at each end: marks at the extremes stay inside the frame.
_LOG_DECADES = 2.0
_NARROWEST_DECADES = 0.4  # As far as 2 is from 5: there is always a tick.
_LEAST_EXPONENT, _MOST_EXPONENT = -323.5, 308.5  # Of floats: 5e-324 and 1.8e308, and a little air.
_PLAIN_LENGTH = 6  # "100000" and "0.0025" are read faster than "1e5" and "2.5e-3"; longer ones are not.
_MOST_DIGITS = 17


class Scale(Protocol):
    """Maps values to the unit interval and proposes ticks; what an axis needs to know."""

    def fractions(self, values: FloatArray) -> FloatArray:
        """Where each value lies between the low end (0) and the high end (1); NaN where it has no place."""
        ...

    def ticks(self, target: int = 6) -> list[float]:
        """About `target` round values inside the range, ascending."""
        ...

    def minor_ticks(self) -> list[float]:
        """Values that get a short tick without a label."""
        ...

    def labels(self, ticks: Sequence[float]) -> list[str]:
        """The text for each of `ticks`; `float(label)` gives a number back to a thousandth of a step."""
        ...


@dataclass(frozen=True, slots=True)
class LinearScale:
    """Equal distances for equal differences, from `low` to `high`; `whole` keeps ticks to whole numbers."""

    low: float
    high: float
    whole: bool = False

    def fractions(self, values: FloatArray) -> FloatArray:
        """As `Scale.fractions`; values farther outside than ten times the range are drawn there."""
        span = self.high - self.low
        least, most = max(self.low - 10 * span, -LARGEST), min(self.high + 10 * span, LARGEST)
        return (np.clip(values, least, most) - self.low) / span

    def ticks(self, target: int = 6) -> list[float]:
        """Multiples of 1, 2 or 5 times a power of ten."""
        step = nice_step(self.high - self.low, target)
        step = max(step, 1.0) if self.whole else step
        multiples = range(math.ceil(self.low / step), math.floor(self.high / step) + 1)
        # Fifteen digits drop the noise of the product: 3 * 0.1 becomes 0.3 again.
        rounded = (float(f"{multiple * step:.15g}") for multiple in multiples)
        return [tick for tick in rounded if self.low <= tick <= self.high]

    def minor_ticks(self) -> list[float]:
        """None: between equal steps there is nothing to show."""
        return []

    def labels(self, ticks: Sequence[float]) -> list[str]:
        """As `tick_labels`: all with the same number of digits."""
        return tick_labels(ticks)


@dataclass(frozen=True, slots=True)
class LogScale:
    """Equal distances for equal ratios, from 10**`low` to 10**`high`.

    The ends are exponents, because padding 1e308 in values would leave the range of floats.
    """

    low: float
    high: float

    def fractions(self, values: FloatArray) -> FloatArray:
        """As `Scale.fractions`; NaN for what is not positive."""
        positive = np.where(values > 0, values, np.nan)
        return (np.log10(positive) - self.low) / (self.high - self.low)

    def ticks(self, target: int = 6) -> list[float]:
        """Powers of ten, thinned when there are many; with 1, 2 and 5 times them when there are few."""
        first, last = math.ceil(self.low), math.floor(self.high)
        if last - first < _LOG_DECADES:
            return self._inside((1, 2, 5))
        stride = max(1, math.ceil((last - first) / target))
        return [float(f"1e{k}") for k in range(first, last + 1) if k % stride == 0]

    def minor_ticks(self) -> list[float]:
        """2 to 9 times each power of ten, as long as there is room for them."""
        roomy = self.high - self.low <= 3 * _LOG_DECADES
        return self._inside(range(2, 10)) if roomy else []

    def labels(self, ticks: Sequence[float]) -> list[str]:
        """Each tick by itself: between decades no number of digits suits all."""
        return [tick_labels([tick])[0] for tick in ticks]

    def _inside(self, factors: Sequence[int]) -> list[float]:
        exponents = range(math.floor(self.low), math.floor(self.high) + 1)
        # A set, for 4e-324 and 5e-324 are one and the same float.
        values = {float(f"{factor}e{k}") for k in exponents for factor in factors}
        return [value for value in sorted(values) if value > 0 and self.low <= math.log10(value) <= self.high]


@dataclass(frozen=True, slots=True)
class CategoryScale:
    """A place of equal width for each of `names`, number k around the value k, from k - 0.5 to k + 0.5.

    `descending` puts the first at the high end: at the top of a y axis, as rows of a table are read.
    """

    names: Sequence[str]
    descending: bool = False

    def fractions(self, values: FloatArray) -> FloatArray:
        """As `Scale.fractions`."""
        places = (values + 0.5) / max(len(self.names), 1)
        return 1.0 - places if self.descending else places

    def ticks(self, target: int = 6) -> list[float]:
        """All, or each second, fifth, tenth and so on, so that at most about `target` are left."""
        count = len(self.names)
        step = max(1, round(nice_step(count, target))) if count else 1
        return [float(k) for k in range(0, count, step)]

    def minor_ticks(self) -> list[float]:
        """None: there is nothing between two names."""
        return []

    def labels(self, ticks: Sequence[float]) -> list[str]:
        """The names."""
        return [self.names[round(tick)] for tick in ticks]


def linear_scale(values: FloatArray, *, whole: bool = False, from_zero: bool = False) -> LinearScale:
    """A linear scale around the finite ones of `values`, of any shape, with some air at both ends.

    Equal values get a range around them, none at all get 0 to 1. `whole` keeps ticks to whole numbers;
    `from_zero` starts at 0 when all values are positive and reach down to a quarter of the largest.
    """
    finite = np.clip(values[np.isfinite(values)], -LARGEST, LARGEST)
    if finite.size == 0:
        return LinearScale(0.0, 1.0, whole=whole)
    least, most = float(finite.min()), float(finite.max())
    low, high = _widened(least, most, whole=whole)
    margin = _PADDING * (high - low)
    grounded = from_zero and 0.0 <= least <= most / 4 and most > _SMALLEST_SPAN
    low = 0.0 if grounded else max(low - margin, -LARGEST)
    return LinearScale(low, min(high + margin, LARGEST), whole=whole)


def log_scale(values: FloatArray) -> LogScale:
    """A logarithmic scale around the positive finite ones of `values`, with some air at both ends."""
    positive = values[np.isfinite(values) & (values > 0)]
    if positive.size == 0:
        return LogScale(0.0, 1.0)
    low, high = math.log10(positive.min()), math.log10(positive.max())
    margin = max(_PADDING * (high - low), (_NARROWEST_DECADES - (high - low)) / 2)
    return LogScale(max(low - margin, _LEAST_EXPONENT), min(high + margin, _MOST_EXPONENT))


def spans_decades(values: FloatArray) -> bool:
    """Whether the finite ones of `values` are all positive and span more than two powers of ten.

    A linear axis would then show all but the largest of them as one flat line.
    """
    finite = values[np.isfinite(values)]
    if finite.size == 0 or finite.min() <= 0:
        return False
    return bool(np.log10(finite.max()) - np.log10(finite.min()) > _LOG_DECADES)


def nice_step(span: float, target: int) -> float:
    """The smallest of 1, 2, 5 times a power of ten that cuts `span`, positive, in at most `target` parts."""
    rough = span / target
    power = 10.0 ** math.floor(math.log10(rough))
    # The slack forgives quotients such as 2.0000000000000004.
    return next(factor * power for factor in (1.0, 2.0, 5.0, 10.0) if rough <= factor * power * (1 + 1e-9))


def tick_labels(ticks: Sequence[float]) -> list[str]:
    """The shortest texts, with equally many digits, that still tell `ticks` apart: "0.5", "-20", "1e-12"."""
    if not ticks:
        return []
    gaps = [later - earlier for earlier, later in pairwise(ticks)]
    tolerance = 1e-3 * min(gaps, default=1e-3 * abs(ticks[0]))
    plain = _fewest_digits(ticks, style="f", tolerance=tolerance)
    short = [_tidy_exponent(label) for label in _fewest_digits(ticks, style="e", tolerance=tolerance)]
    longest = max(map(len, plain), default=math.inf)
    return plain if longest <= max(_PLAIN_LENGTH, *map(len, short)) else short


def _fewest_digits(ticks: Sequence[float], *, style: str, tolerance: float) -> list[str]:
    """Formats with the fewest decimals that lose nothing; empty when no number of decimals is enough."""
    for digits in range(_MOST_DIGITS + 1):
        # Adding zero makes a plain zero of -0.0.
        labels = [f"{tick + 0.0:.{digits}{style}}" for tick in ticks]
        if all(abs(float(label) - tick) <= tolerance for label, tick in zip(labels, ticks, strict=True)):
            return labels
    return []


def _tidy_exponent(label: str) -> str:
    """Turns "2.5e-07" into "2.5e-7", "1e+06" into "1e6" and "0.0e+00" into "0"."""
    mantissa, exponent = label.split("e")
    return f"{mantissa}e{int(exponent)}" if float(mantissa) else "0"


def _widened(low: float, high: float, *, whole: bool) -> tuple[float, float]:
    """Opens a range too narrow for floats to count its steps: equal values end up in the middle."""
    if high - low > max(1e-12 * max(abs(low), abs(high)), _SMALLEST_SPAN):
        return low, high
    middle = low / 2 + high / 2
    half = max(0.5, 1e-9 * abs(middle)) if whole else max(abs(middle) / 10 or 1.0, _SMALLEST_SPAN)
    return middle - half, middle + half
