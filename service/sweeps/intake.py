"""From the body of a request to a checked sweep: every trial that is known already is checked as a job would be."""

import itertools
import secrets
from collections.abc import Iterable, Iterator
from typing import Any

import orjson
from pydantic import ValidationError
from pydantic_core import to_json

from service.exceptions import InvalidSpec, Problem
from service.spec.intake import parse
from service.spec.library import Library
from service.spec.limits import Limits
from service.spec.metrics import METRICS
from service.spec.plan import Plan
from service.spec.pointers import pointer_to
from service.spec.problems import MAX_PROBLEMS, problems_of
from service.spec.schema import Schema
from service.sweeps import space
from service.sweeps.members import FieldMissing, body_of, place_of
from service.sweeps.search import Draw, next_draws, planned
from service.sweeps.spec import (
    EPOCHS,
    Choice,
    Grid,
    IntLogUniform,
    IntUniform,
    Parameter,
    SuccessiveHalving,
    SweepSpec,
    Tpe,
)

__all__ = ["RememberingLibrary", "check", "read"]

MOST_CORNERS = 1000
MOST_REFUSED = 20
"""Trials with problems after which no more are looked at."""


class RememberingLibrary:
    """Looks everything up once: the trials of a sweep refer to the same things."""

    def __init__(self, library: Library) -> None:
        self._library = library
        self._datasets: dict[str, tuple[Schema, str] | None] = {}
        self._jobs: dict[str, bool] = {}

    def dataset(self, dataset_id: str) -> tuple[Schema, str] | None:
        """As of the library itself."""
        if dataset_id not in self._datasets:
            self._datasets[dataset_id] = self._library.dataset(dataset_id)
        return self._datasets[dataset_id]

    def has_parameters(self, job_id: str) -> bool:
        """As of the library itself."""
        if job_id not in self._jobs:
            self._jobs[job_id] = self._library.has_parameters(job_id)
        return self._jobs[job_id]


def read(body: bytes) -> SweepSpec:
    """Read a sweep from JSON, and draw the seed of its search where it leaves it open.

    Raises:
        InvalidSpec: With every problem that was found, by JSON Pointer.
    """
    try:
        spec = SweepSpec.model_validate_json(body)
        orjson.loads(body)  # What is kept as it is, such as the spec of the jobs, must be JSON without NaN.
    except ValidationError as error:
        raise InvalidSpec(problems_of(error, SweepSpec)) from None
    except orjson.JSONDecodeError as error:
        raise InvalidSpec([Problem("", "invalid_json", f"The body is no JSON: {error}.", "")]) from None
    return spec.with_seed(secrets.randbelow(2**31))


def check(spec: SweepSpec, limits: Limits, library: Library) -> None:
    """Check a sweep: its parameters, its size, and the trials that are known now, or else some at its edges.

    Raises:
        InvalidSpec: With every problem that was found, by JSON Pointer into the body of the sweep.
    """
    _raise_any([*_parameter_problems(spec), *_search_problems(spec)])
    _raise_any(_size_problems(spec, limits))
    _raise_any(_trial_problems(spec, limits, RememberingLibrary(library)))


def _raise_any(problems: Iterable[Problem]) -> None:
    found = list(problems)
    if found:
        raise InvalidSpec(found[:MAX_PROBLEMS])


def _parameter_problems(spec: SweepSpec) -> Iterator[Problem]:
    for name, parameter in spec.parameters.items():
        place = pointer_to("parameters", name)
        if not name.startswith("/"):
            hint = "Begin it with a slash, as in /optimizer/lr."
            yield Problem(place, "invalid_text", f"`{name[:80]}` is no JSON Pointer into the spec.", hint)
        low, high = getattr(parameter, "low", 0), getattr(parameter, "high", 1)
        is_whole = isinstance(parameter, IntUniform | IntLogUniform)
        if low > high or (low == high and not is_whole):
            message = f"From {low:g} to {high:g} there is nothing to choose from."
            yield Problem(f"{place}/low", "out_of_range", message, "Make `low` smaller than `high`.")
        elif isinstance(spec.search, Grid) and not _is_countable(parameter):
            message = "A grid needs to know how many values of this range it is to have."
            yield Problem(place, "missing", message, 'Add "points": 5, or list the values as a choice.')


def _is_countable(parameter: Parameter) -> bool:
    return isinstance(parameter, Choice | IntUniform) or parameter.points is not None


def _search_problems(spec: SweepSpec) -> Iterator[Problem]:
    search = spec.search
    if not isinstance(search, SuccessiveHalving):
        return
    if search.min_epochs > search.max_epochs:
        message = f"The first rung has {search.min_epochs:,} epochs, more than the last."
        yield Problem("/search/min_epochs", "out_of_range", message, "Make it smaller than max_epochs.")
    if EPOCHS in spec.parameters:
        message = "Successive halving sets the epochs itself."
        hint = "Leave this parameter out; min_epochs and max_epochs are the bounds."
        yield Problem(pointer_to("parameters", EPOCHS), "incompatible_fields", message, hint)


def _size_problems(spec: SweepSpec, limits: Limits) -> Iterator[Problem]:
    count, size = planned(spec), len(to_json(spec.spec))
    if count > limits.max_sweep_trials:
        message = f"The sweep has {count:,} trials; the limit is {limits.max_sweep_trials:,}."
        hint = "Take fewer, or ask the operator to raise the limit (GET /v1/capabilities tells all limits)."
        pointer = "/parameters" if isinstance(spec.search, Grid) else "/search/trials"
        yield Problem(pointer, "limit_exceeded", message, hint)
    elif count * size > limits.max_sweep_bytes:
        message = f"{count:,} specs of {size:,} bytes each are more than {limits.max_sweep_bytes:,} bytes."
        hint = "Upload the rows once (POST /v1/datasets), and name the dataset in the spec."
        yield Problem("/spec/data", "limit_exceeded", message, hint)


def _trial_problems(spec: SweepSpec, limits: Limits, library: Library) -> list[Problem]:
    """Tell each problem once, of however many trials it is one."""
    found: dict[tuple[str | None, str], Problem] = {}
    refused = 0
    for number, draw in enumerate(_foreseen(spec)):
        problems = list(_problems_of(spec, draw, limits, library))
        for one in problems:
            is_of_all = number == 0 or not (one.pointer or "").startswith("/spec")
            told = one if is_of_all else _with_values(spec, draw, one)
            found.setdefault((one.pointer, one.code), told)
        refused += bool(problems)
        if refused >= MOST_REFUSED or len(found) >= MAX_PROBLEMS:
            break
    return list(found.values())


def _foreseen(spec: SweepSpec) -> Iterator[Draw]:
    """Give the trials that the search begins with, and where it learns from results also points at the edges."""
    first = next_draws(spec, ())
    if isinstance(spec.search, Tpe):
        yield from (Draw(point) for point in itertools.islice(space.corners(spec), MOST_CORNERS))
    yield from first
    if isinstance(spec.search, SuccessiveHalving):
        _, epochs = spec.search.rungs()[-1]
        yield from (Draw(draw.point, epochs=epochs) for draw in first)


def _problems_of(spec: SweepSpec, draw: Draw, limits: Limits, library: Library) -> Iterator[Problem]:
    try:
        body = body_of(spec, draw.point, number=0, seed=0, epochs=draw.epochs)
    except FieldMissing as error:
        message = f"The spec has no place for `{error.parameter}`."
        hint = "Name a field of the spec, or an element of an array that is there."
        yield Problem(pointer_to("parameters", error.parameter), "unknown_field", message, hint)
        return
    except ValueError:
        message = "The spec is nested more deeply than any spec is."
        yield Problem("/spec", "invalid_json", message, "Send fewer levels.")
        return
    try:
        plan = parse(body, limits, library)
    except InvalidSpec as error:
        for one in error.problems:
            yield Problem(place_of(spec, draw.point, one.pointer), one.code, one.message, one.hint)
    else:
        yield from _objective_problems(spec, plan)


def _with_values(spec: SweepSpec, draw: Draw, problem: Problem) -> Problem:
    values = space.values_at(spec, draw.point).items()
    text = ", ".join(f"{name} = {_short(value)}" for name, value in values)
    return Problem(problem.pointer, problem.code, f"{problem.message} So it is with {text}.", problem.hint)


def _short(value: Any) -> str:  # noqa: ANN401 - JSON
    text = to_json(value).decode()
    return text if len(text) <= 60 else f"{text[:59]}…"  # noqa: PLR2004 - fits a line


def _objective_problems(spec: SweepSpec, plan: Plan) -> Iterator[Problem]:
    """Refuse what a job of this spec would have no value of."""
    monitor, place = spec.objective.monitor, "/objective/monitor"
    part, _, metric = monitor.partition(".")
    if part in {"dev", "dev_loss"} and not plan.has_dev:
        message = f"There are no dev rows to take `{monitor}` on."
        hint = (
            'Hold some back, "evaluation": {"split": {"type": "random", "dev": 0.2}}, or, knowing that the lowest '
            'loss on the training rows may be over-fitted, say "objective": {"monitor": "train_loss"}.'
        )
        yield Problem(place, "incompatible_fields", message, hint)
    if not metric:
        return
    computed = [name for name in plan.spec.evaluation.metrics or () if METRICS[name].better is not None]
    if metric not in computed:
        message = f"The jobs of this sweep do not compute `{metric}` as one number."
        hint = f"Name it in evaluation.metrics, or take one of {', '.join(computed) or 'the two losses'}."
        yield Problem(place, "unknown_name", message, hint)
