"""One training: epochs of steps. The reference that every faster engine must equal."""

import contextlib
import dataclasses
from collections.abc import Generator, Mapping
from dataclasses import dataclass
from typing import Any

import torch

from service.training.augmentation import Augmenter
from service.training.callbacks import Stop
from service.training.case import Case
from service.training.checkpoint import copy_into
from service.training.feasible import require_normalizable
from service.training.optimization import Schedule, load_optimizer_state, optimizer_state
from service.training.rows import Batch, Batches, Stretch
from service.training.scoring import mean_loss
from service.training.steps import MakeSteps
from service.training.training import Trained
from service.training.watch import Snapshot

__all__ = ["Loop"]


@dataclass(slots=True)
class _Cursor:
    """How far the present epoch is: batches that are done, the sum of their weighted losses and that of their weights."""

    batches: int = 0
    total: float = 0.0
    weights: float = 0.0


class Loop:
    """Trains one network on some rows: `Loop(case, steps).run()`.

    Attributes:
        network: Holds the parameters as they are after the last step, or the best ones after early stopping.
        objective: The loss.
        steps: What makes its steps.
        batches: What they are made on.
        stop: The reason that a callback gave to end everything here; None where none did.
        trained: How it ended; None before.
    """

    def __init__(self, case: Case, steps: MakeSteps) -> None:
        """Build everything that the epochs need.

        Args:
            case: What is to be trained.
            steps: Builds what makes the steps.

        Raises:
            TrainingFailed: The network has no such parameter groups, or one batch cannot be trained on.
        """
        spec, rows = case.plan.spec, case.rows
        self.network = case.network
        self.objective = case.objective
        self.stop: str | None = None
        self.trained: Trained | None = None
        self._spec, self._dev, self._pulses, self._further = spec, case.dev, case.pulses, case.further
        self._block, self._count = case.block, len(rows)
        self.batches = Batches(
            rows,
            batch_rows=case.batch_rows,
            shuffle=spec.training.shuffle,
            seed=case.seed,
            drop_last=spec.training.drop_last,
        )
        require_normalizable(case.network, rows, spec, smallest=self.batches.smallest)
        self._augment = Augmenter.build(spec.training.augmentation, seed=case.seed)
        self.steps = steps(case, self._augment)
        self._schedule = Schedule.build(spec.scheduler, self.steps.optimizer, has_dev=case.dev is not None)
        # From before the last epoch with a finite loss; a second copy is in the making.
        state = list(_tensors(case.network).values())
        self._finite, self._fresh = Snapshot(state), Snapshot(state)
        self._watch = case.watch(state)
        self._epoch = 0
        self._cursor = _Cursor()
        self._first_loss: float | None = None
        self._end: str | None = None

    def run(self) -> None:
        """Run all epochs, or fewer if a callback or early stopping ends them, or the loss stops being a number."""
        course = self.course()
        next(course, None)
        while self.trained is None:
            try:
                loss = self._train_epoch()
            except Stop as stop:
                _resume(course, stop)
            else:
                _resume(course, loss)

    def course(self) -> Generator[None, float, None]:
        """Go through the epochs: each `yield` waits to be sent the loss of an epoch that was made meanwhile.

        It returns when the training has ended, and raises what a callback raises, but for `Stop`.
        """
        try:
            yield from self._epochs()
        except Stop as stop:
            self.stop = stop.reason
        if self._end == "diverged":
            self.trained = self.back_to_finite()
            return
        kept = self._watch.restore() if self._watch else None
        self.trained = Trained(self._end or self.stop or "completed", self._epoch, self._first_loss, kept)

    def back_to_finite(self) -> Trained:
        """Put back the parameters from before the last epoch: the last ones whose loss is known to be finite."""
        self._finite.put_back()
        return Trained("diverged", self._epoch, self._first_loss, max(0, self._epoch - 1))

    @property
    def epoch(self) -> int:
        """Completed epochs."""
        return self._epoch

    @property
    def is_within_epoch(self) -> bool:
        """Whether an epoch is under way."""
        return self._cursor.batches > 0

    @property
    def changes_by_step(self) -> bool:
        """Whether the learning rate may change after each step."""
        return self._spec.scheduler is not None

    def after_step(self) -> None:
        """Let the schedule hear of a step that somebody else has made."""
        self._schedule.after_step()

    def state_dict(self) -> dict[str, Any]:
        """Give all that the rest of this training depends on, between two steps: its very tensors, not copies.

        The process's own random numbers are not among it (`service.training.randomness`).
        """
        in_epoch = self._cursor.batches > 0
        return {
            "network": _tensors(self.network),
            "optimizer": optimizer_state(self.steps.optimizer),
            "schedule": self._schedule.state_dict(),
            "batches": self.batches.state_dict(in_epoch=in_epoch),
            "augmenter": None if self._augment is None else self._augment.state_dict(),
            "finite": self._finite.state_dict(),
            "fresh": self._fresh.state_dict() if in_epoch else None,
            "watch": None if self._watch is None else self._watch.state_dict(),
            "epoch": self._epoch,
            "cursor": dataclasses.asdict(self._cursor),
            "first_loss": self._first_loss,
            "end": self._end,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from where `state_dict` was taken, in a loop for the same job.

        Raises:
            LookupError, TypeError, ValueError, AttributeError: It was taken from another job.
        """
        own, saved = _tensors(self.network), state["network"]
        if list(own) != list(saved):
            raise ValueError(f"its network has {list(saved)}")
        copy_into(list(own.values()), list(saved.values()))
        # The schedule first: where a warm-up is over it builds a scheduler, which changes the optimizer.
        self._schedule.load_state_dict(state["schedule"])
        load_optimizer_state(self.steps.optimizer, state["optimizer"])
        self.batches.load_state_dict(state["batches"])
        if self._augment is not None:
            self._augment.load_state_dict(state["augmenter"])
        self._finite.load_state_dict(state["finite"])
        if state["fresh"] is not None:
            self._fresh.load_state_dict(state["fresh"])
        if self._watch is not None:
            self._watch.load_state_dict(state["watch"])
        self._epoch, self._cursor = state["epoch"], _Cursor(**state["cursor"])
        if self._cursor.batches > len(self.batches):
            raise ValueError(f"its epochs have {self._cursor.batches} batches or more")
        self._first_loss, self._end = state["first_loss"], state["end"]

    def _epochs(self) -> Generator[None, float, None]:
        self.network.train()
        while self._end is None and self._epoch < self._spec.training.epochs:
            if not self._cursor.batches:
                self._fresh.take()
            self._end = self._closed((yield))
            if self._end is None:
                self._pulses.tell_if_due(self._done())
        self._end = self._end or "completed"
        self._pulses.tell(self._done() if self._end == "diverged" else 1.0)

    def _closed(self, loss: float) -> str | None:
        """Take the loss of an epoch; give the reason if the training ends with it."""
        if self._cursor.batches:
            self._cursor = _Cursor()
        if loss - loss != 0:  # NaN or infinite: cheaper than math.isfinite, once an epoch.
            return "diverged"
        return "early_stopped" if self._closes(loss) else None

    def _train_epoch(self) -> float:
        """Do one pass over the rows; the loss is the mean over them, each batch taken before its step."""
        if len(self.batches) == 1:
            # The mean of one batch is its loss, to the last bit; weighing it by its rows would round.
            self._pulses.expect(self._count, since=self._done(), until=self._done(1.0))
            (whole,) = self.batches.epoch()
            return self._step(whole)
        cursor = self._cursor
        for batch in self.batches.epoch(done=cursor.batches):
            weight = _weight_of(batch)
            cursor.total += self._step(batch) * weight
            cursor.weights += weight
            cursor.batches += 1
            if (
                cursor.total - cursor.total != 0
            ):  # Nothing that follows in this epoch can make it a number again.
                return cursor.total
            self._pulses.tell_if_due(self._done(cursor.batches / len(self.batches)))
        return cursor.total / cursor.weights if cursor.weights else 0.0

    def _step(self, batch: Batch | Stretch) -> float:
        loss = self.steps(batch)
        self._schedule.after_step()
        return loss

    def _closes(self, loss: float) -> bool:
        """Record a completed epoch; tell whether the training is to stop early after it."""
        values = {"train_loss": loss, "learning_rate": float(self.steps.optimizer.param_groups[0]["lr"])}
        # First what reads rows: while it does, a callback may end the training, in the midst of the epoch then.
        if self._dev is not None:
            values["dev_loss"] = mean_loss(self.objective, self.network, self._dev, block=self._block)
        if self._further is not None:
            values |= self._further(self._epoch + 1)
        self._finite, self._fresh = self._fresh, self._finite
        self._epoch += 1
        self._first_loss = loss if self._first_loss is None else self._first_loss
        self._schedule.after_epoch(train_loss=loss, dev_loss=values.get("dev_loss"))
        self._pulses.record(values)
        return self._watch is not None and self._watch.is_over(self._epoch, values)

    def _done(self, in_epoch: float = 0.0) -> float:
        return (self._epoch + in_epoch) / self._spec.training.epochs


def _resume(course: Generator[None, float, None], news: float | Stop) -> None:
    with contextlib.suppress(StopIteration):
        if isinstance(news, Stop):
            course.throw(news)
        else:
            course.send(news)


def _tensors(network: torch.nn.Module) -> dict[str, torch.Tensor]:
    """Give parameters and buffers by name, also those buffers that are no part of a state dict."""
    named = [*network.named_parameters(), *network.named_buffers()]
    return {name: tensor.detach() for name, tensor in named}


def _weight_of(batch: Batch | Stretch) -> float:
    if isinstance(batch, Stretch):
        return batch.weight
    return float(batch.features.size(0)) if batch.weight is None else float(batch.weight.sum())
