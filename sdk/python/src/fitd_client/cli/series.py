"""Losses as they come, thinned out so that a long training fits into a picture."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["MOST_POINTS", "Losses"]

MOST_POINTS = 2048
"""Some for each dot of a wide terminal."""


class Losses:
    """The losses of one job by epoch.

    Attributes:
        epoch: The newest; 0 before the first.
        newest: The newest train and dev loss.
    """

    def __init__(self) -> None:
        self.epoch = 0
        self.newest: dict[str, float | None] = {}
        self._stride = 1
        self._points: dict[str, list[tuple[int, float]]] = {"train": [], "dev": []}

    def add(self, columns: Mapping[str, Sequence[Any]]) -> None:
        """Take more epochs.

        Args:
            columns: `epoch`, `train_loss` and `dev_loss` of one length, in the order of the epochs. Where a new attempt
                begins earlier, what it repeats takes the place of what was there.
        """
        epochs = [int(epoch) for epoch in columns["epoch"]]
        if not epochs:
            return
        if epochs[0] <= self.epoch:
            self._forget_from(epochs[0])
        for name in self._points:
            values = columns.get(f"{name}_loss") or [None] * len(epochs)
            self.newest[name] = values[-1]
            self._take(name, epochs, values)
        self.epoch = epochs[-1]
        while max(map(len, self._points.values())) > MOST_POINTS:
            self._thin_out()

    def points(self, name: str) -> list[tuple[int, float]]:
        """Give epochs and losses of `train` or `dev`, the newest always among them."""
        newest, points = self.newest.get(name), self._points[name]
        if newest is None or not math.isfinite(newest) or (points and points[-1][0] == self.epoch):
            return points
        return [*points, (self.epoch, newest)]

    def _take(self, name: str, epochs: Sequence[int], values: Sequence[float | None]) -> None:
        self._points[name] += [
            (epoch, value)
            for epoch, value in zip(epochs, values, strict=True)
            if value is not None and math.isfinite(value) and (epoch - 1) % self._stride == 0
        ]

    def _forget_from(self, first: int) -> None:
        self._points = {
            name: [point for point in points if point[0] < first] for name, points in self._points.items()
        }

    def _thin_out(self) -> None:
        self._stride *= 2
        self._points = {
            name: [point for point in points if (point[0] - 1) % self._stride == 0]
            for name, points in self._points.items()
        }
