"""The trainings of a job with groups: many at once where that gives the same, and else one after the other."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from service.exceptions import TrainingFailed
from service.spec.plan import Plan
from service.spec.shape import members, shape_of
from service.tables.frame import Frame
from service.training.callbacks import Callback, Pulse, Pulses, Stop
from service.training.checkpoint import Checkpoint, must_fit
from service.training.groups.grouping import Grouping, rows_of
from service.training.groups.ledger import Ledger
from service.training.groups.models import PARTS, GroupModels, scalings_of
from service.training.groups.together import MIN_ROWS, Together, obstacle
from service.training.stack import fit_together
from service.training.trainer import Fit, Trainer, diverged
from service.training.training import Engine

__all__ = ["GroupedFit", "GroupedTrainer"]

TOLD_EPOCHS = 2**16
"""Epochs of the history that are told at once."""
TOGETHER = Engine(
    "quadratic",
    "One layer, MSELoss, full batches and SGD: the rows of all groups are read once, side by side, and their epochs "
    "follow by algebra.",
)


@dataclass(frozen=True, slots=True)
class GroupedFit:
    """What the trainings of all groups leave.

    Attributes:
        models: Of all groups, with what went wrong in some.
        stop_reason: `completed`; or what a callback gave to end the job before its time: `stopped`, unless it said
            otherwise.
        epochs: Epochs in the history: of the longest training.
        engine: What made the steps of the last training.
    """

    models: GroupModels
    stop_reason: str
    epochs: int
    engine: Engine | None


class GroupedTrainer:
    """Trains one model for each group: `GroupedTrainer(plan, frame, callbacks=[…]).fit()`, as a `Trainer` does one.

    The history is the mean over the groups, and known when all of them are done: until then pulses tell how many are.
    """

    def __init__(
        self,
        plan: Plan,
        frame: Frame,
        *,
        callbacks: Sequence[Callback] = (),
        device: str = "cpu",
        initial: Mapping[str, torch.Tensor] | None = None,
        checkpoint: Checkpoint | None = None,
    ) -> None:
        """Find the groups.

        Args:
            plan: Of the effective spec, whose data has groups.
            frame: The rows.
            callbacks: Hear of the training in this order.
            device: The torch device to train on.
            initial: Tensors of an earlier job that each group starts from, where the spec asks for them.
            checkpoint: Where to go on from, with the same plan, frame, device and `initial`; from the start without.

        Raises:
            TrainingFailed: The data cannot be trained on.
            CheckpointUnusable: The checkpoint is not one of this job.
        """
        column = plan.spec.data.group_by
        if column is None:
            raise ValueError("the spec names no column of groups")
        self.plan, self.spec = plan, plan.spec
        self._frame, self._device, self._initial = frame, device, initial
        self._grouping = Grouping.of(frame, column)
        self._ledger = Ledger(self._grouping.labels, column=column)
        names = ["train_loss", "learning_rate"] + (["dev_loss"] if plan.has_dev else [])
        self._pulses = Pulses(callbacks, names, state=self._state_dict)
        self._stop: str | None = None
        self._inner: Callable[[], Checkpoint] | None = None
        """Gives the training of the group that is trained by itself as it stands; only while it tells something."""
        self._present: Mapping[int, _Relay] = {}
        """What is heard of the groups that are being trained by themselves."""
        self._plans: dict[int, Plan] = {}
        self._together = False
        """Whether the groups that can be trained together are done."""
        self._ended: Exception | None = None
        """What a callback raised to end everything."""
        self._resumed: Mapping[str, Any] | None = None
        if checkpoint is not None:
            self._go_on_from(checkpoint)

    @property
    def engine(self) -> Engine | None:
        """What makes the steps."""
        return self._pulses.engine

    def fit(self) -> GroupedFit:
        """Train all groups, or those that a checkpoint leaves, or fewer if a callback stops the job; once.

        Raises:
            TrainingFailed: No group could be trained on, whatever it is.
            CheckpointUnusable: The checkpoint is not one of this job.
        """
        self._pulses.start()
        try:
            if self._stop is None:
                self._train_together()
                self._train_alone()
        except Stop as stop:
            self._stop = stop.reason
        self._ledger.skipped()
        epochs = self._tell_history()
        self._pulses.end()
        return GroupedFit(self._ledger.models(), self._stop or "completed", epochs, self.engine)

    def _train_together(self) -> None:
        largest = self._plan_of(int(np.diff(self._grouping.starts).max()))
        why = obstacle(self.plan, self._frame, torch.device(self._device), largest=largest)
        if why is not None or self._together:
            return
        self._pulses.engine = TOGETHER
        together = Together(self.plan, self._frame, self._grouping, initial=self._initial)
        done = 0
        for count in together.train(self._ledger):
            done += count
            self._pulses.tell_if_due(done / len(self._grouping))
        self._together = True

    def _train_alone(self) -> None:
        """Train what is left as the jobs that the groups would be by themselves, some of one shape beside each other."""
        for bundle in self._bundles():
            relays = {group: _Relay(self._hear) for group in bundle}
            fits = self._fits(relays)
            for fit in fits.values():
                # What comes from a callback, or is a fault, is no matter of one group.
                if isinstance(fit, Exception) and not isinstance(fit, TrainingFailed):
                    raise fit
            for group, fit in fits.items():
                self._judged(group, fit, relays[group].columns)
            if self._stop is not None:
                return
            self._present = {}
            self._pulses.tell_if_due(self._fraction())

    def _bundles(self) -> list[list[int]]:
        """Put the groups that are left into bundles whose trainings may share their steps: of one number of rows.

        The bundles of what a checkpoint leaves are those that the undisturbed job would still have had.
        """
        left = np.flatnonzero(~self._ledger.done)
        sizes = np.diff(self._grouping.starts)[left]
        found: list[list[int]] = []
        for size in np.unique(sizes).tolist():
            alike = left[sizes == size].tolist()
            plan = self._plan_of(size)
            most = members(shape_of(plan)) if plan.train_rows >= MIN_ROWS else 1
            found += [alike[start : start + most] for start in range(0, len(alike), most)]
        return found

    def _plan_of(self, rows: int) -> Plan:
        """Give the plan of a job over so many rows of one group."""
        if rows not in self._plans:
            data = self.spec.data.model_copy(update={"group_by": None})
            schema = self.plan.schema.model_copy(update={"rows": rows})
            self._plans[rows] = Plan(self.spec.model_copy(update={"data": data}), schema)
        return self._plans[rows]

    def _fits(self, relays: "Mapping[int, _Relay]") -> dict[int, Fit | Exception]:
        """Train the groups of a bundle."""
        self._present = relays
        trainers: dict[int, Trainer] = {}
        fits: dict[int, Fit | Exception] = {}
        for group, relay in relays.items():
            try:
                trainers[group] = self._trainer(group, relay)
            except TrainingFailed as error:
                fits[group] = error
        return fits | dict(zip(trainers, fit_together(list(trainers.values())), strict=True))

    def _trainer(self, group: int, relay: "_Relay") -> Trainer:
        """Build the trainer of a group, as it was at the checkpoint if there is one.

        Raises:
            TrainingFailed: Its rows cannot be trained on.
        """
        rows = self._grouping.rows(group)
        if len(rows) < MIN_ROWS:
            message = f"The group has {len(rows)} row; a fit needs at least {MIN_ROWS}."
            raise TrainingFailed("too_few_rows", message, "Send more rows of it.")
        plan = self._plan_of(len(rows))
        frame = rows_of(self._frame, rows, plan)
        resumed, self._resumed = self._resumed, None
        checkpoint = None
        if resumed is not None:
            with must_fit():
                relay.columns = {name: series.tolist() for name, series in resumed["own"].items()}
                checkpoint = Checkpoint(resumed["epoch"], resumed["fraction"], resumed["state"])
        return Trainer(
            plan,
            frame,
            callbacks=[relay],
            device=self._device,
            initial=self._initial,
            checkpoint=checkpoint,
        )

    def _hear(self, pulse: Pulse) -> None:
        """Pass on what the training of a group tells.

        Raises:
            Stop: A callback wants the job to end.
        """
        if self._ended is not None:
            raise self._ended  # The trainings beside it have heard so already.
        self._pulses.engine = pulse.engine
        self._inner = pulse.checkpoint if len(self._present) == 1 else None
        try:
            if pulse.checkpoint is None:
                self._pulses.heard(0)  # Rows are being read: between two steps there is more to tell.
            else:
                self._pulses.tell_if_due(self._fraction())
        except Exception as error:
            self._ended = error
            self._stop = error.reason if isinstance(error, Stop) else None
            raise
        finally:
            self._inner = None

    def _fraction(self) -> float:
        under_way = sum(relay.fraction for relay in self._present.values())
        return (int(self._ledger.done.sum()) + under_way) / len(self._grouping)

    def _judged(self, group: int, fit: Fit | Exception, history: Mapping[str, list[float]]) -> None:
        """Write down what the training of a group left."""
        if isinstance(fit, TrainingFailed):
            self._ledger.failed(group, fit)
        if isinstance(fit, Exception):
            return
        parts = fit.parts
        rows = (len(parts.train), len(parts.dev), len(parts.test))
        if fit.stop_reason == "diverged":
            error = diverged(fit, self.spec)
            self._ledger.failed(group, error, reason="diverged", rows=rows, epochs=fit.epochs)
            return
        losses = [math.nan if fit.score.losses[part] is None else fit.score.losses[part] for part in PARTS]
        self._ledger.trained(
            [group],
            preparation=fit.preparation,
            tensors={name: tensor[None] for name, tensor in fit.state_dict.items()},
            scalings={name: np.array([values]) for name, values in scalings_of(fit.preparation).items()},
            rows=[rows],
            losses=np.array([losses]),
            epochs=fit.epochs,
            reason=fit.stop_reason,
        )
        for name, series in history.items():
            self._ledger.told(name, np.array(series), count=1)

    def _tell_history(self) -> int:
        """Tell the mean history of the groups: the part of it that an earlier attempt has not told."""
        columns = self._ledger.history()
        epochs = max(map(len, columns.values()), default=0)
        if self.spec.scheduler is None:
            columns["learning_rate"] = np.full(epochs, self.spec.optimizer.lr)
        while True:
            told = slice(self._pulses.epoch, min(epochs, self._pulses.epoch + TOLD_EPOCHS))
            some = {name: series[told].tolist() for name, series in columns.items()}
            self._pulses.record_all(some, max(0, told.stop - told.start))
            is_last = self._pulses.epoch >= epochs
            try:
                self._pulses.tell(1.0 if self._stop is None else self._fraction())
            except Stop as stop:
                # All is done: whoever wants to end it now is too late.
                self._stop = self._stop or (None if is_last else stop.reason)
            if is_last:
                return epochs

    def _state_dict(self) -> dict[str, Any]:
        """Give all that the rest of the job depends on: what is done, and how far the present group is."""
        own = None
        if self._inner is not None:
            inner = self._inner()
            (relay,) = self._present.values()
            told = relay.columns
            series = {name: torch.tensor(values, dtype=torch.float64) for name, values in told.items()}
            own = {"epoch": inner.epoch, "fraction": inner.fraction, "state": inner.state, "own": series}
        engine = self._pulses.engine
        return {
            "ledger": self._ledger.state_dict(),
            "inner": own,
            "together": self._together,
            "engine": None if engine is None else (engine.name, engine.reason),
            "stop": self._stop,
        }

    def _go_on_from(self, checkpoint: Checkpoint) -> None:
        with must_fit():
            state = checkpoint.state
            self._ledger.load_state_dict(state["ledger"])
            self._resumed, self._stop = state["inner"], state["stop"]
            self._together = state["together"]
            self._pulses.epoch = checkpoint.epoch
            self._pulses.engine = None if state["engine"] is None else Engine(*state["engine"])


class _Relay(Callback):
    """Hears the training of one group for the job.

    Attributes:
        columns: Its history so far.
        fraction: Share of it that is done.
    """

    def __init__(self, hear: Callable[[Pulse], None]) -> None:
        self.columns: dict[str, list[float]] = {}
        self.fraction = 0.0
        self._hear = hear

    def on_pulse(self, pulse: Pulse) -> None:
        for name, values in pulse.columns.items():
            self.columns.setdefault(name, []).extend(values)
        self.fraction = pulse.fraction
        self._hear(pulse)
