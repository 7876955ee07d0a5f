"""How a job is trained: epochs, batches, seed, numbers and device."""

from typing import Annotated, Any, Literal

from pydantic import Field, ValidatorFunctionWrapHandler, WrapValidator
from pydantic_core import PydanticCustomError, ValidationError

from service.exceptions import Problem
from service.spec.augmentation import Augmentation
from service.spec.base import NonNegative, Positive, SpecModel
from service.spec.limits import Limits, over_limit

__all__ = ["BatchSize", "Device", "Dtype", "EarlyStopping", "Shuffle", "TrainingSpec"]


def _one_error(value: Any, handler: ValidatorFunctionWrapHandler) -> int | str:  # noqa: ANN401 - any JSON value
    """Say in one sentence what a batch size is, instead of one error for each member of the union."""
    try:
        return handler(value)  # type: ignore[no-any-return]
    except ValidationError:
        raise PydanticCustomError(
            "wrong_type",
            "A batch size is 'full', 'auto' or a whole number of rows from 1 up.",
            {"hint": "Powers of two, such as 32, 64 or 256, are usual; 'full' is plain gradient descent."},
        ) from None


def _one_way(value: Any, handler: ValidatorFunctionWrapHandler) -> bool | str:  # noqa: ANN401 - any JSON value
    """Say the same of the ways to shuffle."""
    try:
        return handler(value)  # type: ignore[no-any-return]
    except ValidationError:
        raise PydanticCustomError(
            "wrong_type",
            "`shuffle` is true, false or 'blocks'.",
            {"hint": "Send true or false without quotes; 'blocks' is for tables larger than memory."},
        ) from None


BatchSize = Annotated[Annotated[int, Field(ge=1)] | Literal["full", "auto"], WrapValidator(_one_error)]
Dtype = Literal["float32", "float64"]
Device = Literal["auto", "cpu", "cuda", "mps"]
Shuffle = Annotated[bool | Literal["blocks"], WrapValidator(_one_way)]
EngineChoice = Literal["auto", "eager"]


class EarlyStopping(SpecModel):
    """Stop when the fit no longer gets better."""

    monitor: Literal["dev_loss", "train_loss"] = "dev_loss"
    """The loss that is watched. The train loss of an epoch is taken while its steps are made: the parameters after
    the epoch with the lowest are kept, whose own loss the result tells."""
    patience: Annotated[int, Field(ge=1)] = 10
    """Epochs without improvement after which the training stops."""
    min_delta: NonNegative = 0.0
    """Smallest decrease that counts as improvement, in units of the loss."""
    restore_best: bool = True
    """Keep the parameters of the best epoch instead of those of the last."""


class TrainingSpec(SpecModel):
    """How long, in which portions and on what to train."""

    epochs: Annotated[int, Field(ge=1)]
    """Passes over the training rows."""
    batch_size: BatchSize = "full"
    """Rows of one step: a number, `full` for all, `auto` for the largest power of two that fits."""
    shuffle: Shuffle = True
    """Draw a new order of the rows for each epoch, as `torch.utils.data.DataLoader` does; no effect when full.
    `blocks` mixes blocks of 65,536 consecutive rows, 16 at a time, and the rows within these: a table larger than
    memory is then read once in an epoch, and the rows of a batch come from 16 places of the table."""
    drop_last: bool = False
    """Leave out the last batch of an epoch when it is smaller than the others."""
    seed: Annotated[int, Field(ge=0, le=2**63 - 1)] | None = None
    """Seed of the initial parameters and of the row order. Left out, the service draws one and reports it."""
    dtype: Dtype = "float32"
    """Number format of data and parameters."""
    device: Device = "auto"
    """Where to train; `auto` takes an accelerator if the worker has one."""
    engine: EngineChoice = "auto"
    """What makes the steps: `auto` takes the fastest engine that computes the same training, up to rounding;
    `eager` is plain torch, the reference that all others are held against."""
    max_seconds: Positive | None = None
    """Training time after which the job stops and keeps what it has learnt; waiting and pauses do not count.
    Left out, it is the service's limit."""
    early_stopping: EarlyStopping | None = None
    """Stop before the last epoch when the fit no longer gets better."""
    augmentation: Annotated[tuple[Augmentation, ...], Field(max_length=20)] = ()
    """Random changes of each batch, in this order, so that the network sees more than the rows there are."""
    restarts: Annotated[int, Field(ge=1, le=1000)] = 1
    """Trainings from as many seeds (`seed`, `seed + 1`, …), against local optima and saddle points; the one with
    the lowest dev loss, or train loss where there is no dev set, is kept."""

    def problems(self, limits: Limits) -> list[Problem]:
        """Tell what is above its limit; pointers are relative to `training`."""
        found = over_limit("/epochs", "epochs", self.epochs, limits.max_epochs)
        found += over_limit("/max_seconds", "seconds", self.max_seconds or 0, limits.max_seconds)
        if self.drop_last and not isinstance(self.batch_size, int) and self.batch_size == "full":
            message = "One batch of all rows has no smaller last one."
            found.append(Problem("/drop_last", "incompatible_fields", message, "Choose a batch_size."))
        return found
