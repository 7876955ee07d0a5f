"""From a sweep to its pictures."""

from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from typing import Any

import numpy as np
import orjson
from sqlalchemy.orm import Session

from service import plots
from service.api.pictures import losses_of, own_epochs, runs_of
from service.jobs import repository as jobs
from service.jobs.orm import Job
from service.plots import Dimension, Run, Scene
from service.sweeps import repository
from service.sweeps.orm import Sweep
from service.sweeps.repository import TrialRow
from service.sweeps.search import Known, best_first
from service.sweeps.spec import Choice, IntLogUniform, LogUniform, Parameter, SweepSpec

__all__ = ["SweepPlot", "draw"]

MOST_HISTORIES = 31
"""Trials whose losses are drawn: the best, and so many others that each can still be seen."""
POINTS = 1000
MOST_LETTERS = 24


class SweepPlot(StrEnum):
    """The pictures of a sweep."""

    PARALLEL = "parallel"
    """A line for each trial across its values to what it came to."""
    LOSS = "loss"
    """The losses of the trials over their epochs, one over the other."""
    SEARCH = "search"
    """What each trial came to, and the best until then."""


def draw(session: Session, sweep: Sweep, plot: SweepPlot) -> Scene:
    """Draw a picture of a sweep, as far as it is.

    Args:
        session: Any session.
        sweep: The sweep.
        plot: Which picture.
    """
    spec = SweepSpec.model_validate_json(sweep.spec)
    return _PICTURES[plot](session, sweep, spec, repository.trials(session, sweep, spec.objective))


def _title(what: str, sweep: Sweep) -> str:
    return f"{what} of {sweep.name or sweep.id}"


def _order(spec: SweepSpec, rows: Sequence[TrialRow]) -> list[int]:
    """Number the rows that have a value of the objective, the best first."""
    known = [Known(place, {}, objective=row.objective) for place, row in enumerate(rows)]
    return [one.number for one in best_first(spec, known)]


def _objectives(rows: Sequence[TrialRow]) -> list[float | None]:
    return [row.objective for row in rows]


def _parallel(_session: Session, sweep: Sweep, spec: SweepSpec, rows: Sequence[TrialRow]) -> Scene:
    dimensions = [_dimension(name, parameter, rows) for name, parameter in spec.parameters.items()]
    objective = Dimension(spec.objective.monitor, np.asarray(_objectives(rows), dtype=np.float64))
    return plots.parallel_figure(dimensions, objective, _order(spec, rows), title=_title("Trials", sweep))


def _dimension(name: str, parameter: Parameter, rows: Sequence[TrialRow]) -> Dimension:
    values = np.asarray([row.trial.point[name] for row in rows], dtype=np.float64)
    names = [_short(value) for value in parameter.values] if isinstance(parameter, Choice) else None
    return Dimension(name.strip("/"), values, names, isinstance(parameter, LogUniform | IntLogUniform))


def _short(value: Any) -> str:  # noqa: ANN401 - JSON
    """Name a value of a choice: an object by its type, where it has one."""
    named = value.get("type") if isinstance(value, dict) else value
    text = named if isinstance(named, str) else orjson.dumps(value).decode()
    return text if len(text) <= MOST_LETTERS else f"{text[: MOST_LETTERS - 1]}…"


def _loss(session: Session, sweep: Sweep, spec: SweepSpec, rows: Sequence[TrialRow]) -> Scene:
    begun = [place for place, row in enumerate(rows) if row.job is not None and row.job.epoch]
    ranked = [place for place in _order(spec, rows) if place in set(begun)]
    picked = _picked([*ranked, *(place for place in begun if place not in set(ranked))])
    drawn = [run for place in picked if (job := rows[place].job) for run in [_run(session, job)]]
    if not drawn:
        return plots.loss_figure([], {"train_loss": []}, title=_title("Loss", sweep))
    (epochs, series), others = drawn[0], drawn[1:]
    which = "trial" if not ranked else "the best, trial"
    title = f"{_title('Loss', sweep)}: {which} {rows[picked[0]].trial.number}"
    if others:
        count = f"{len(others)} of the " if len(others) < len(begun) - 1 else "the "
        title += f", and {count}{len(begun) - 1} others"
    name = "train_loss" if spec.objective.monitor.startswith("train") else "dev_loss"
    beside: list[Run] = [(at, {name: one[name]} if name in one else one) for at, one in others]
    return plots.loss_figure(epochs, series, title=title, other_runs=beside)


def _picked(places: Sequence[int]) -> list[int]:
    """Take the first, and evenly of the others."""
    others = places[1:]
    kept = min(len(others), MOST_HISTORIES - 1)
    return [*places[:1], *(others[k * len(others) // kept] for k in range(kept))]


def _run(session: Session, job: Job) -> tuple[list[int], dict[str, list[float]]]:
    """Give the losses of a job: of the training that it kept, where it had several."""
    runs = runs_of(jobs.history(session, job))
    kept = (job.result or {}).get("kept_run") or len(runs)
    one = runs[kept - 1].thinned(POINTS)
    return own_epochs(one), losses_of(one)


def _search(_session: Session, sweep: Sweep, spec: SweepSpec, rows: Sequence[TrialRow]) -> Scene:
    return plots.search_figure(
        _objectives(rows),
        label=spec.objective.monitor,
        highest=spec.objective.mode == "max",
        title=_title("Search", sweep),
    )


_PICTURES: Mapping[SweepPlot, Callable[[Session, Sweep, SweepSpec, Sequence[TrialRow]], Scene]] = {
    SweepPlot.PARALLEL: _parallel,
    SweepPlot.LOSS: _loss,
    SweepPlot.SEARCH: _search,
}
