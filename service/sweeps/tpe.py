"""Proposals of the tree-structured Parzen estimator of Optuna, whose study is built anew from the records each time."""

import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from service.sweeps.space import Point
from service.sweeps.spec import Choice, IntLogUniform, IntUniform, LogUniform, SweepSpec, Uniform

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.trial import FrozenTrial

__all__ = ["proposed"]


class Told(Protocol):
    """What is needed to know of a trial that has ended."""

    @property
    def point(self) -> Point: ...
    @property
    def cancelled(self) -> bool: ...
    @property
    def objective(self) -> float | None: ...


def proposed(spec: SweepSpec, told: Sequence[Told], *, beside: Sequence[Point], number: int) -> Point:
    """Propose the point of a trial.

    Args:
        spec: The sweep.
        told: The trials that have ended, by number.
        beside: Points that are being tried at the same time; their like is avoided.
        number: Of the trial: with the seed, it decides what is drawn.
    """
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    distributions = {name: _distribution(parameter) for name, parameter in spec.parameters.items()}
    trials = [one for one in (_trial(each, distributions) for each in told) if one is not None]
    trials += [
        optuna.trial.create_trial(
            state=optuna.trial.TrialState.RUNNING, params=dict(point), distributions=distributions
        )
        for point in beside
    ]
    seed = int(np.random.SeedSequence([spec.seed, number]).generate_state(1)[0])
    with warnings.catch_warnings():
        # Points beside count as bad ones: the option is called experimental since years.
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        sampler = optuna.samplers.TPESampler(seed=seed, constant_liar=True)
    directions = {"min": "minimize", "max": "maximize"}
    study = optuna.create_study(sampler=sampler, direction=directions[spec.objective.mode])
    study.add_trials(trials)
    # In very wide ranges a density may be none or without bound: what is proposed lies within them all the same.
    with np.errstate(all="ignore"):
        params = study.ask(distributions).params
    return {name: params[name] for name in spec.parameters}


def _trial(told: Told, distributions: Mapping[str, "BaseDistribution"]) -> "FrozenTrial | None":
    """Describe a trial to Optuna: one that came to nothing is as bad as can be, a cancelled one says nothing."""
    from optuna.trial import TrialState, create_trial

    if told.cancelled:
        return None
    state = TrialState.PRUNED if told.objective is None else TrialState.COMPLETE
    return create_trial(
        state=state, value=told.objective, params=dict(told.point), distributions=dict(distributions)
    )


def _distribution(parameter: Any) -> "BaseDistribution":  # noqa: ANN401 - of a type of the table
    return _DISTRIBUTIONS[type(parameter)](parameter)


def _choice(parameter: Choice) -> "BaseDistribution":
    from optuna.distributions import CategoricalDistribution

    return CategoricalDistribution(range(len(parameter.values)))


def _float(parameter: Uniform | LogUniform) -> "BaseDistribution":
    from optuna.distributions import FloatDistribution

    return FloatDistribution(parameter.low, parameter.high, log=isinstance(parameter, LogUniform))


def _int(parameter: IntUniform | IntLogUniform) -> "BaseDistribution":
    from optuna.distributions import IntDistribution

    if isinstance(parameter, IntLogUniform):
        return IntDistribution(parameter.low, parameter.high, log=True)
    steps = (parameter.high - parameter.low) // parameter.step
    return IntDistribution(parameter.low, parameter.low + steps * parameter.step, step=parameter.step)


_DISTRIBUTIONS: Mapping[type[Any], Callable[[Any], "BaseDistribution"]] = {
    Choice: _choice,
    Uniform: _float,
    LogUniform: _float,
    IntUniform: _int,
    IntLogUniform: _int,
}
