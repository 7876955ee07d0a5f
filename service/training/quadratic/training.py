"""The engine *quadratic*: a training as a walk in a bowl, told epoch by epoch like any other."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from service.spec.optimizers import SGD
from service.training.callbacks import Stop
from service.training.case import Case
from service.training.quadratic.bowl import Bowl, Floats
from service.training.quadratic.descent import Descent, State
from service.training.training import Trained

__all__ = ["QuadraticTraining"]

CHUNK_NUMBERS = 2**20
"""Numbers of all states of one chunk: some ten milliseconds, after which cancel, pause and history are heard and told."""
CHUNK_EPOCHS = 2**16
"""At most so many epochs are told at once."""


class QuadraticTraining:
    """Full-batch SGD on the mean squared error of one fully connected layer.

    Epochs are worked out in chunks whose bounds depend on the job alone, so that a training which was put down
    between two of them goes on to the same bits.

    Attributes:
        network: The layer.
        stop: The reason that a callback gave to end everything here; None where none did.
        trained: How it ended; None before.
    """

    def __init__(self, case: Case) -> None:
        """Read the rows: nothing of them is needed afterwards.

        Args:
            case: One that `service.training.engines` found fit for it.
        """
        if not isinstance(case.network, torch.nn.Linear) or not isinstance(case.spec.optimizer, SGD):
            raise TypeError("the case is not one for the quadratic engine")
        self.network: torch.nn.Linear = case.network
        self.stop: str | None = None
        self.trained: Trained | None = None
        self._case = case
        self._spec = case.spec
        bias = self.network.bias is not None
        train = Bowl.over(case.rows, block=case.block, bias=bias)
        self._dev = None if case.dev is None else Bowl.over(case.dev, block=case.block, bias=bias)
        self._descent = Descent(train, case.spec.optimizer, l2=case.spec.regularization.l2, bias=bias)
        self._state = self._descent.start(_parameters(self.network))
        self._before = self._state.away
        """The distances before the last epoch."""
        self._watch = case.watch([parameter.detach() for parameter in self.network.parameters()])
        numbers = self._state.away.size
        self._chunk = max(1, min(CHUNK_EPOCHS, CHUNK_NUMBERS // numbers))
        self._largest = torch.finfo(self.network.weight.dtype).max
        self._epoch = 0
        self._first_loss: float | None = None
        self._end: str | None = None

    def run(self) -> None:
        """Run all epochs, or fewer if a callback or early stopping ends them, or the loss stops being a number."""
        try:
            self._chunks()
        except Stop as stop:
            self.stop = stop.reason
        if self._end == "diverged":
            self.trained = self.back_to_finite()
            return
        kept = self._watch.restore() if self._watch else None
        self.trained = Trained(self._end or self.stop or "completed", self._epoch, self._first_loss, kept)

    def back_to_finite(self) -> Trained:
        """Put back the parameters from before the last epoch: the last ones whose loss is known to be finite."""
        self._write(self._before)
        return Trained("diverged", self._epoch, self._first_loss, max(0, self._epoch - 1))

    def state_dict(self) -> dict[str, Any]:
        """Give where the walk stands. The bowl follows from the rows."""
        velocity = self._state.velocity
        return {
            "away": torch.from_numpy(self._state.away),
            "velocity": None if velocity is None else torch.from_numpy(velocity),
            "before": torch.from_numpy(self._before),
            "watch": None if self._watch is None else self._watch.state_dict(),
            "epoch": self._epoch,
            "first_loss": self._first_loss,
            "end": self._end,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from where `state_dict` was taken."""
        away, velocity, before = state["away"], state["velocity"], state["before"]
        for tensor in (away, before, *([] if velocity is None else [velocity])):
            if tensor.shape != self._state.away.shape:
                raise ValueError(f"its walk has the shape {tuple(tensor.shape)}")
        self._state = State(away.numpy(), None if velocity is None else velocity.numpy())
        self._before = before.numpy()
        self._write(self._state.away)
        if self._watch is not None:
            self._watch.load_state_dict(state["watch"])
        self._epoch, self._first_loss, self._end = state["epoch"], state["first_loss"], state["end"]

    def _chunks(self) -> None:
        pulses, epochs = self._case.pulses, self._spec.training.epochs
        while self._end is None and self._epoch < epochs:
            self._next_chunk(min(self._chunk, epochs - self._epoch))
            self._write(self._state.away)
            if self._end is None:
                pulses.tell_if_due(self._epoch / epochs)
        self._end = self._end or "completed"
        pulses.tell(self._epoch / epochs if self._end == "diverged" else 1.0)

    def _next_chunk(self, count: int) -> None:
        """Walk through some epochs, up to the one in which the loss stops being a number or the training early."""
        away, last = self._descent.steps(self._state, count)
        with np.errstate(over="ignore", invalid="ignore"):
            losses = self._descent.losses(away[:-1])
        # The loss of float32 would have overflowed in the sum over the rows, which its mean is divided by.
        finite = losses * len(self._case.rows) <= self._largest
        done = count if finite.all() else int(finite.argmin())
        columns = self._columns(away[: done + 1], losses[:done])
        stopped = self._stopped(columns, away)
        if stopped is not None:
            done, self._end = stopped, "early_stopped"
            columns = {name: series[:done] for name, series in columns.items()}
        elif done < count:
            self._end = "diverged"
        self._case.pulses.record_all(columns, done)
        if done:
            self._first_loss = float(losses[0]) if self._epoch == 0 else self._first_loss
            self._before = away[done - 1]
        self._state = last if done == count else State(away[done], None)
        self._epoch += done

    def _columns(self, away: Floats, losses: Floats) -> dict[str, list[float]]:
        """Give the series of the epochs between the states given."""
        columns = {"train_loss": losses.tolist(), "learning_rate": [self._spec.optimizer.lr] * len(losses)}
        if self._dev is not None and len(losses):
            with np.errstate(over="ignore", invalid="ignore"):
                columns["dev_loss"] = self._dev.losses(self._descent.points(away[1:])).tolist()
        if self._case.further is not None:
            columns |= self._furthers(away)
        return columns

    def _furthers(self, away: Floats) -> dict[str, list[float]]:
        """Ask for further series; where they are metrics, with the parameters of their epoch in the network."""
        if self._case.further is None:
            return {}
        every = self._spec.evaluation.every
        found = []
        for number in range(1, len(away)):
            epoch = self._epoch + number
            if every is not None and epoch % every == 0:
                self._write(away[number])
            found.append(self._case.further(epoch))
        names = dict.fromkeys(name for one in found for name in one)
        return {name: [one.get(name, float("nan")) for one in found] for name in names}

    def _stopped(self, columns: Mapping[str, list[float]], away: Floats) -> int | None:
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
            self._write(away[best])
            watch.best.take()
        return stopped

    def _write(self, away: Floats) -> None:
        """Put the parameters into the network."""
        with np.errstate(over="ignore", invalid="ignore"):
            values = torch.from_numpy(self._descent.points(away).T)
        inputs = self.network.in_features
        with torch.no_grad():
            self.network.weight.copy_(values[:, :inputs])
            if values.shape[1] > inputs:
                self.network.bias.copy_(values[:, inputs])


def _parameters(network: torch.nn.Linear) -> Floats:
    """Give the parameters as a matrix of shape (inputs, outputs), the bias as its last row."""
    parts = [one.detach().double().reshape(network.out_features, -1) for one in network.parameters()]
    return np.ascontiguousarray(torch.cat(parts, dim=1).numpy().T)
