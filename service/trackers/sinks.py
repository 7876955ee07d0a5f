"""Which trackers are switched on, and whether what they need is installed."""

import hashlib
from collections.abc import Collection, Iterator
from importlib.util import find_spec
from typing import TYPE_CHECKING

from service.exceptions import StartupFailed
from service.settings import Settings

if TYPE_CHECKING:
    from service.trackers.sink import Sink

__all__ = ["check", "sinks", "switched_on"]

_NEEDED = {"mlflow": "mlflow", "tensorboard": "tensorboard"}
"""The module of each tracker; its extra is called like the tracker."""


def switched_on(settings: Settings) -> dict[str, str]:
    """Name the trackers that are switched on, each with where it is, told by a digest: addresses may hold secrets."""
    trackers = settings.trackers
    places = {
        "mlflow": f"{trackers.mlflow_uri}\n{trackers.mlflow_experiment}" if trackers.mlflow_uri else "",
        "tensorboard": str(trackers.tensorboard_dir.resolve()) if trackers.tensorboard_dir else "",
    }
    return {name: hashlib.sha256(place.encode()).hexdigest() for name, place in places.items() if place}


def missing(settings: Settings) -> list[str]:
    """Name the trackers that are switched on and whose libraries are not installed. Nothing is imported for it."""
    return [name for name in switched_on(settings) if find_spec(_NEEDED[name]) is None]


def check(settings: Settings) -> None:
    """Make sure that the trackers that are switched on can work.

    Raises:
        StartupFailed: The library of one is not installed.
    """
    for name in missing(settings):
        message = f"FITD_TRACKERS__{VARIABLES[name]} is set, and what it needs is not installed."
        raise StartupFailed(
            message, hint=f"Install it with `pip install 'fitd[{name}]'`, or unset the variable."
        )


VARIABLES = {"mlflow": "MLFLOW_URI", "tensorboard": "TENSORBOARD_DIR"}


def sinks(settings: Settings, *, only: Collection[str]) -> Iterator["Sink"]:
    """Make the trackers that are switched on. Their libraries are loaded, or will be: not in a process that is to stay small.

    Args:
        settings: Of the service.
        only: Names of those to make; whatever else is switched on is served by somebody else.
    """
    trackers = settings.trackers
    if trackers.tensorboard_dir and "tensorboard" in only:
        from service.trackers.to_tensorboard import TensorBoard

        yield TensorBoard(trackers.tensorboard_dir)
    if trackers.mlflow_uri and "mlflow" in only:
        from service.trackers.to_mlflow import Mlflow

        yield Mlflow(
            trackers.mlflow_uri, experiment=trackers.mlflow_experiment, artifacts=trackers.mlflow_artifacts
        )
