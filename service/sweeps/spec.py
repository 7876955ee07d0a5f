"""The body of `POST /v1/sweeps`: a job spec, the fields to vary, and how the values are chosen."""

from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints

from service.spec.base import NO_NUL, NOT_IN_SCHEMA, SpecModel
from service.spec.job import JobName, MetadataKey, MetadataValue

__all__ = [
    "Choice",
    "Grid",
    "IntLogUniform",
    "IntUniform",
    "LogUniform",
    "Objective",
    "Parameter",
    "Random",
    "Search",
    "SuccessiveHalving",
    "SweepSpec",
    "Tpe",
    "Uniform",
]

EPOCHS = "/training/epochs"
"""The field that successive halving sets by itself."""

Points = Annotated[int, Field(ge=2, le=1000)] | None
Bound = Annotated[float, Field(ge=-1e300, le=1e300)]
"""Of a range that is itself a number: the distance of two larger ones may be none."""
Whole = Annotated[int, Field(ge=-(2**53), le=2**53)]
"""Whole numbers that a floating-point number can hold, as the searches compute with them."""
Seed = Annotated[int, Field(ge=0, le=2**63 - 1)] | None
Trials = Annotated[int, Field(ge=1, le=1_000_000)]


class Choice(SpecModel):
    """One of several values of any kind: numbers, names, whole objects."""

    type: Literal["choice"]
    values: Annotated[tuple[Any, ...], Field(min_length=1, max_length=1000)]
    """The values; a whole object stands for all its fields."""


class Uniform(SpecModel):
    """A number between two others, each as likely."""

    type: Literal["uniform"]
    low: Bound
    high: Bound
    points: Points = None
    """For a grid, which needs it: how many values, evenly spread, both ends among them."""


class LogUniform(SpecModel):
    """A positive number whose logarithm is uniform: for learning rates and penalties."""

    type: Literal["log_uniform"]
    low: Annotated[Bound, Field(gt=0)]
    high: Annotated[Bound, Field(gt=0)]
    points: Points = None
    """For a grid, which needs it: how many values, with equal ratios between them, both ends among them."""


class IntUniform(SpecModel):
    """A whole number from `low` to `high`, both included."""

    type: Literal["int_uniform"]
    low: Whole
    high: Whole
    step: Annotated[int, Field(ge=1)] = 1
    """Distance between two values, counted from `low`."""


class IntLogUniform(SpecModel):
    """A positive whole number whose logarithm is uniform: for widths and batch sizes."""

    type: Literal["int_log_uniform"]
    low: Annotated[Whole, Field(ge=1)]
    high: Annotated[Whole, Field(ge=1)]
    points: Points = None
    """For a grid, which needs it: how many values, with nearly equal ratios between them, both ends among them."""


Parameter = Annotated[Choice | Uniform | LogUniform | IntUniform | IntLogUniform, Field(discriminator="type")]


class Grid(SpecModel):
    """Every combination of the values; the last parameter changes fastest."""

    type: Literal["grid"]


class Random(SpecModel):
    """Values drawn independently: for a given seed the same ones, however many trials are asked for."""

    type: Literal["random"]
    trials: Trials
    """Number of trainings."""
    seed: Seed = None
    """Seed of the draws. Left out, the service draws one and reports it."""


class Tpe(SpecModel):
    """Values proposed by a tree-structured Parzen estimator, from how the trials before went.

    The first ten trials are drawn at random.
    """

    type: Literal["tpe"]
    trials: Trials
    """Number of trainings."""
    seed: Seed = None
    """Seed of the proposals. Left out, the service draws one and reports it."""
    parallel: Annotated[int, Field(ge=1, le=100)] = 4
    """Trials that are proposed and trained together, from the results of all before them. With 1 each trial
    learns from every other, with more the sweep ends earlier."""


class SuccessiveHalving(SpecModel):
    """Many short trainings, of which the best are trained again for longer, until few have all the epochs."""

    type: Literal["successive_halving"]
    trials: Trials
    """Trainings of the first rung, with values drawn at random."""
    factor: Annotated[int, Field(ge=2, le=10)] = 3
    """From rung to rung one in so many trials goes on, with so many times the epochs."""
    min_epochs: Annotated[int, Field(ge=1)]
    """Epochs of the first rung."""
    max_epochs: Annotated[int, Field(ge=1)]
    """Epochs of the last rung."""
    seed: Seed = None
    """Seed of the draws. Left out, the service draws one and reports it."""

    def rungs(self) -> list[tuple[int, int]]:
        """List the rungs: how many trials each has at most, and the epochs that each of them is trained for."""
        found = [(self.trials, self.min_epochs)]
        while found[-1][1] < self.max_epochs:
            count, epochs = found[-1][0] // self.factor, found[-1][1] * self.factor
            # The last one has nobody to be compared with on the way: it gets all the epochs at once.
            found.append((count, min(epochs, self.max_epochs)) if count > 1 else (1, self.max_epochs))
        return found


Search = Annotated[Grid | Random | Tpe | SuccessiveHalving, Field(discriminator="type")]

Monitor = Annotated[
    str,
    StringConstraints(pattern=r"^(dev_loss|train_loss|(dev|train)\.[a-z0-9_]+)$", max_length=64),
]


class Objective(SpecModel):
    """What makes one trial better than another."""

    monitor: Monitor = "dev_loss"
    """`dev_loss`, `train_loss`, or a metric of one of the two parts, such as `dev.r2`. Of a job with folds: its mean
    over the folds."""
    mode: Literal["min", "max"] = "min"
    """Whether lower or higher is better."""


Pointer = Annotated[str, StringConstraints(max_length=200, pattern=NO_NUL), NOT_IN_SCHEMA]


class SweepSpec(SpecModel):
    """A request to train one spec many times, and to find the values with which it fits best."""

    name: JobName | None = None
    """A name for people; need not be unique."""
    metadata: Annotated[dict[MetadataKey, MetadataValue], Field(max_length=16, default_factory=dict)]
    """Up to 16 pairs of strings to find the sweep by."""
    spec: dict[str, Any]
    """The spec of a job. What `parameters` names may be left out of it."""
    parameters: Annotated[dict[Pointer, Parameter], Field(min_length=1, max_length=50)]
    """The fields to vary, by their JSON Pointer into `spec`: `/optimizer/lr`, `/model/hidden/0`, or a whole
    section, such as `/optimizer`."""
    search: Search
    """How the values are chosen."""
    objective: Objective = Objective()
    """What is to be low, or high."""

    @property
    def seed(self) -> int:
        """The seed of the search; a grid needs none."""
        return getattr(self.search, "seed", None) or 0

    def with_seed(self, seed: int) -> "SweepSpec":
        """Give the spec with a seed where it has left it open."""
        if getattr(self.search, "seed", 0) is not None:
            return self
        return self.model_copy(update={"search": self.search.model_copy(update={"seed": seed})})

    def better(self, one: float, other: float) -> bool:
        """Tell whether one value of the objective is better than another."""
        return one < other if self.objective.mode == "min" else one > other
