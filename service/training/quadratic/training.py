"""The engine *quadratic*: trainings as walks in bowls, told epoch by epoch like any other."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from service.spec.optimizers import SGD
from service.training.callbacks import Stop
from service.training.case import Case
from service.training.quadratic.bowl import Bowl, Floats, Reading, bowls, parameters_of
from service.training.quadratic.descent import Descents, Slope
from service.training.training import Trained

__all__ = ["QuadraticTraining", "walk"]

CHUNK_NUMBERS = 2**20
"""Numbers of all states of one chunk: some ten milliseconds, after which cancel, pause and history are heard and told."""
CHUNK_EPOCHS = 2**16
"""At most so many epochs are told at once."""
STACK_NUMBERS = 2**22
"""Numbers of all states of one chunk of several walks: 32 MiB for each of a few tables."""


def walk(trainings: Sequence["QuadraticTraining"]) -> None:
    """Run trainings side by side: of one shape, and at the same epoch.

    What a callback of one raises ends that one, and is kept as its `failure`.
    """
    _read(trainings)
    most = max(1, STACK_NUMBERS // trainings[0].numbers)
    for first in range(0, len(trainings), most):
        _walk(trainings[first : first + most])


def _read(trainings: Sequence["QuadraticTraining"]) -> None:
    """Read the rows of all that have not been read by an earlier attempt."""
    wanted = [(one, name) for one in trainings for name in one.readings]
    found = bowls([one.readings[name] for one, name in wanted])
    for (one, name), bowl in zip(wanted, found, strict=True):
        one.bowls[name] = bowl


def _walk(trainings: Sequence["QuadraticTraining"]) -> None:
    descents = Descents([one.slope for one in trainings])
    for number, one in enumerate(trainings):
        one.enter(descents, number)
    while active := [one for one in trainings if one.trained is None and one.failure is None]:
        away, velocities = _states(trainings, descents)
        count = active[0].next_epochs
        states, velocities = descents.steps(away, velocities, count)
        losses = descents.losses(states[:-1])
        for one in active:
            velocity = None if velocities is None else velocities[one.number]
            one.go(states[:, one.number], velocity, losses[:, one.number])


def _states(trainings: Sequence["QuadraticTraining"], descents: Descents) -> tuple[Floats, Floats | None]:
    away = np.stack([one.away for one in trainings])
    if not descents.has_momentum or all(one.velocity is None for one in trainings):
        return away, None
    still = np.zeros_like(away[0])  # Of those that have ended: they go nowhere.
    return away, np.stack([still if one.velocity is None else one.velocity for one in trainings])


class QuadraticTraining:
    """Full-batch SGD on the mean squared error of one fully connected layer.

    Epochs are worked out in chunks whose bounds depend on the job alone, so that a training which was put down
    between two of them goes on to the same bits.

    Attributes:
        network: The layer.
        stop: The reason that a callback gave to end everything here; None where none did.
        trained: How it ended; None before.
        failure: What else a callback raised.
        readings: The rows that are still to be read, by part.
        bowls: What was read of them.
        away: Distances from the stationary point, shape (d, outputs).
        velocity: The momentum; None before the first step.
        number: Which of the descents is its own.
    """

    def __init__(self, case: Case) -> None:
        """Choose the rows; they are read when it runs.

        Args:
            case: One that `service.training.engines` found fit for it.
        """
        if not isinstance(case.network, torch.nn.Linear) or not isinstance(case.spec.optimizer, SGD):
            raise TypeError("the case is not one for the quadratic engine")
        self.network: torch.nn.Linear = case.network
        self.stop: str | None = None
        self.trained: Trained | None = None
        self.failure: Exception | None = None
        self._case, self._spec, self._optimizer = case, case.spec, case.spec.optimizer
        self._has_bias = len(list(self.network.parameters())) > 1
        parts = {"train": case.rows} | ({} if case.dev is None else {"dev": case.dev})
        self.readings = {name: Reading(rows, case.block, self._has_bias) for name, rows in parts.items()}
        self.bowls: dict[str, Bowl] = {}
        self.away: Floats = parameters_of(self.network)
        self.velocity: Floats | None = None
        self.number = 0
        self._before = self.away
        """The distances before the last epoch."""
        self._is_begun = False
        self._watch = case.watch([parameter.detach() for parameter in self.network.parameters()])
        self._chunk = max(1, min(CHUNK_EPOCHS, CHUNK_NUMBERS // self.away.size))
        self._largest = torch.finfo(self.network.weight.dtype).max
        self._epoch = 0
        self._first_loss: float | None = None
        self._end: str | None = None

    @property
    def likeness(self) -> tuple[object, ...]:
        """What must be equal for trainings to walk side by side."""
        is_moving = self._is_begun and self._epoch > 0
        shape = (self.away.shape, self._spec.training.epochs, self._has_bias)
        return (*shape, self._optimizer.momentum != 0, self._epoch, is_moving)

    @property
    def slope(self) -> Slope:
        """What it walks down."""
        l2 = self._spec.regularization.l2
        return Slope(self.bowls["train"], self._optimizer, l2=l2, bias=self._has_bias)

    @property
    def next_epochs(self) -> int:
        """Epochs of the next chunk."""
        return min(self._chunk, self._spec.training.epochs - self._epoch)

    @property
    def numbers(self) -> int:
        """Numbers of all states of the largest chunk."""
        return self.away.size * min(self._chunk, self._spec.training.epochs)

    def run(self) -> None:
        """Run all epochs, or fewer if a callback or early stopping ends them, or the loss stops being a number."""
        try:
            walk([self])
        except Stop as stop:  # While rows are read, its own or those of its metrics.
            self.stop = stop.reason
            if self._is_begun:
                self._write(self.away)
            self.trained = Trained(stop.reason, self._epoch, self._first_loss)
        if self.failure is not None:
            raise self.failure

    def enter(self, descents: Descents, number: int) -> None:
        """Take the place of a descent among several."""
        self._descents, self.number = descents, number
        if not self._is_begun:
            self.away = self._before = descents.away(number, self.away)
            self._is_begun = True
            return
        self._write(self.away)
        if self._end is not None or not self.next_epochs:
            self._tell_or_finish()

    def go(self, states: Floats, velocity: Floats | None, losses: Floats) -> None:
        """Go through a chunk.

        Args:
            states: Distances before its first epoch and after each, shape (epochs + 1, d, outputs).
            velocity: The momentum after its last.
            losses: Of its epochs.
        """
        self._record(states, velocity, losses)
        self._write(self.away)
        self._tell_or_finish()

    def back_to_finite(self) -> Trained:
        """Put back the parameters from before the last epoch: the last ones whose loss is known to be finite."""
        self._write(self._before)
        return Trained("diverged", self._epoch, self._first_loss, max(0, self._epoch - 1))

    def state_dict(self) -> dict[str, Any]:
        """Give where the walk stands, and in which bowls: the rows need not be read again."""
        velocity = self.velocity
        return {
            # The walk itself needs none of it: it is for whoever predicts from here, as of every engine.
            "network": {name: tensor.detach() for name, tensor in self.network.named_parameters()},
            "away": torch.from_numpy(np.ascontiguousarray(self.away)),
            "velocity": None if velocity is None else torch.from_numpy(np.ascontiguousarray(velocity)),
            "before": torch.from_numpy(np.ascontiguousarray(self._before)),
            "bowls": {name: _saved(bowl) for name, bowl in self.bowls.items()},
            "watch": None if self._watch is None else self._watch.state_dict(),
            "epoch": self._epoch,
            "first_loss": self._first_loss,
            "end": self._end,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from where `state_dict` was taken."""
        away, velocity, before = state["away"], state["velocity"], state["before"]
        for tensor in (away, before, *([] if velocity is None else [velocity])):
            if tensor.shape != self.away.shape:
                raise ValueError(f"its walk has the shape {tuple(tensor.shape)}")
        self.away, self._before = away.numpy(), before.numpy()
        self.velocity = None if velocity is None else velocity.numpy()
        self.bowls = {name: _loaded(bowl) for name, bowl in state["bowls"].items()}
        self.readings = {name: one for name, one in self.readings.items() if name not in self.bowls}
        if self._watch is not None:
            self._watch.load_state_dict(state["watch"])
        self._epoch, self._first_loss, self._end = state["epoch"], state["first_loss"], state["end"]
        self._is_begun = True

    def _tell_or_finish(self) -> None:
        """Tell the callbacks when it is time, and end where there is nothing left."""
        pulses, epochs = self._case.pulses, self._spec.training.epochs
        if self._end is None and self._epoch == epochs:
            self._end = "completed"
        try:
            if self._end is None:
                pulses.tell_if_due(self._epoch / epochs)
                return
            pulses.tell(self._epoch / epochs if self._end == "diverged" else 1.0)
        except Stop as stop:
            self.stop = stop.reason
        except Exception as error:  # noqa: BLE001 - it ends this training, and none beside it
            self.failure = error
            return
        self.trained = self._finished()

    def _finished(self) -> Trained:
        if self._end == "diverged":
            return self.back_to_finite()
        kept = self._watch.restore() if self._watch else None
        return Trained(self._end or self.stop or "completed", self._epoch, self._first_loss, kept)

    def _record(self, states: Floats, velocity: Floats | None, losses: Floats) -> None:
        """Note the epochs of a chunk up to the one in which the loss stops being a number, or the training early."""
        count = len(losses)
        # The loss of float32 would have overflowed in the sum over the rows, which its mean is divided by.
        with np.errstate(over="ignore", invalid="ignore"):
            finite = losses * len(self._case.rows) <= self._largest
        done = count if finite.all() else int(finite.argmin())
        columns = self._columns(states[: done + 1], losses[:done])
        stopped = self._stopped(columns, states)
        if stopped is not None:
            done, self._end = stopped, "early_stopped"
            columns = {name: series[:done] for name, series in columns.items()}
        elif done < count:
            self._end = "diverged"
        self._case.pulses.record_all(columns, done)
        if done:
            self._first_loss = float(losses[0]) if self._epoch == 0 else self._first_loss
            self._before = states[done - 1]
        self.away, self.velocity = states[done], velocity if done == count else None
        self._epoch += done

    def _columns(self, states: Floats, losses: Floats) -> dict[str, list[float]]:
        """Give the series of the epochs between the states given."""
        columns = {"train_loss": losses.tolist(), "learning_rate": [self._optimizer.lr] * len(losses)}
        if "dev" in self.bowls and len(losses):
            with np.errstate(over="ignore", invalid="ignore"):
                points = self._descents.points(self.number, states[1:])
                columns["dev_loss"] = self.bowls["dev"].losses(points).tolist()
        if self._case.further is not None:
            columns |= self._further(states)
        return columns

    def _further(self, states: Floats) -> dict[str, list[float]]:
        """Ask for further series; where they are metrics, with the parameters of their epoch in the network."""
        if self._case.further is None:
            return {}
        every = self._spec.evaluation.every
        found = []
        for number in range(1, len(states)):
            epoch = self._epoch + number
            if every is not None and epoch % every == 0:
                self._write(states[number])
            found.append(self._case.further(epoch))
        names = dict.fromkeys(name for one in found for name in one)
        return {name: [one.get(name, float("nan")) for one in found] for name in names}

    def _stopped(self, columns: Mapping[str, list[float]], states: Floats) -> int | None:
        """Watch the epochs; give how many of them were made if the training is to stop early, else None."""
        watch = self._watch
        if watch is None:
            return None
        best = stopped = None
        for number, loss in enumerate(columns[watch.spec.monitor], start=1):
            if watch.improves(self._epoch + number, loss):
                best = number
            if watch.is_out_of_patience(self._epoch + number):
                stopped = number
                break
        if best is not None and watch.best is not None:
            self._write(states[best])
            watch.best.take()
        return stopped

    def _write(self, away: Floats) -> None:
        """Put the parameters into the network."""
        with np.errstate(over="ignore", invalid="ignore"):
            values = torch.from_numpy(self._descents.points(self.number, away).T)
        inputs = self.network.in_features
        with torch.no_grad():
            self.network.weight.copy_(values[:, :inputs])
            if self._has_bias:
                self.network.bias.copy_(values[:, inputs])


def _saved(bowl: Bowl) -> dict[str, Any]:
    gram, best = (torch.from_numpy(np.ascontiguousarray(one)) for one in (bowl.gram, bowl.best))
    return {"gram": gram, "best": best, "least": bowl.least}


def _loaded(state: Mapping[str, Any]) -> Bowl:
    return Bowl(state["gram"].numpy(), state["best"].numpy(), state["least"])
