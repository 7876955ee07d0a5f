"""The training loop: the reference that every faster engine must equal."""

import dataclasses
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from service.exceptions import TrainingFailed
from service.spec.job import JobSpec
from service.training.callbacks import Callback, Pulse, Stop
from service.training.components import build_loss, build_network, build_optimizer
from service.training.data import DTYPES, Batches, Table, load, require_finite
from service.training.stability import largest_stable_lr

__all__ = ["Fit", "Trainer", "diverged", "lower_lr_hint"]

PULSE_SECONDS = 0.025
"""How often the callbacks hear of the training; cancel, progress and history are as fine as this."""


@dataclass(frozen=True, slots=True)
class Fit:
    """What a training leaves.

    Attributes:
        state_dict: Trained tensors by torch's names, on the CPU.
        train_loss: Loss of these very parameters over all training rows; None if it is not finite.
        first_loss: Loss of the first epoch; None if it was not finite.
        epochs: Completed epochs.
        stop_reason: `completed`, `stopped` (a callback asked) or `diverged`.
        largest_stable_lr: The bound above which gradient descent diverges here, where it is known;
            only of a training that diverged or grew.
    """

    state_dict: dict[str, torch.Tensor]
    train_loss: float | None
    first_loss: float | None
    epochs: int
    stop_reason: str
    largest_stable_lr: float | None = None

    @property
    def loss_grew(self) -> bool:
        """Whether the fit is worse than the parameters it started from."""
        return (
            self.train_loss is not None and self.first_loss is not None and self.train_loss > self.first_loss
        )


class Trainer:
    """Trains one job: `Trainer(spec, callbacks=[…]).fit()`.

    The spec must be an effective one (`service.spec.job.complete`), its device resolved.
    """

    def __init__(
        self,
        spec: JobSpec,
        *,
        callbacks: Sequence[Callback] = (),
        device: str = "cpu",
        table: Table | None = None,
    ) -> None:
        """Build everything that the loop needs.

        Args:
            spec: The effective spec.
            callbacks: Hear of the training in this order.
            device: The torch device to train on.
            table: Rows to use instead of those of the spec's data, when the caller has them already.

        Raises:
            TrainingFailed: The data cannot be trained on.
        """
        dtype = DTYPES[spec.training.dtype]
        self.spec = spec
        self._callbacks = callbacks
        self._table = (load(spec.data) if table is None else table).to(torch.device(device), dtype)
        require_finite(self._table)
        seed = _seed_of(spec)
        torch.manual_seed(seed)
        features, targets = self._table.features.shape[1], self._table.target.shape[1]
        self.network = build_network(spec.model, features=features, targets=targets, dtype=dtype).to(device)
        self._loss = build_loss(spec.loss)
        self._optimizer = build_optimizer(spec.optimizer, self.network.parameters())
        self._batches = Batches(
            self._table, batch_rows=spec.batch_rows, shuffle=spec.training.shuffle, seed=seed
        )
        self._epoch = 0
        self._first_loss: float | None = None
        self._pulse = Pulse(first_epoch=1)
        self._pulse_due = 0.0
        # Two copies of the parameters in turn: one from before the last epoch with a finite loss, one in the making.
        self._parameters = [p.detach() for p in self.network.parameters()]
        self._finite = [p.clone() for p in self._parameters]
        self._fresh = [p.clone() for p in self._parameters]

    def fit(self) -> Fit:
        """Run all epochs, or fewer if a callback stops the training or the loss stops being a number.

        Returns:
            The trained parameters, also after divergence: then the last ones whose loss was finite.
        """
        for callback in self._callbacks:
            callback.on_start()
        self._pulse_due = time.perf_counter() + PULSE_SECONDS
        reason = self._run()
        for callback in self._callbacks:
            callback.on_end()
        return self._result(reason)

    def _run(self) -> str:
        try:
            while self._epoch < self.spec.training.epochs:
                loss = self._train_epoch()
                if loss - loss != 0:  # NaN or infinite: cheaper than math.isfinite, once an epoch.
                    self._restore_finite()
                    self._emit()
                    return "diverged"
                self._record(loss)
                self._emit_if_due()
            self._emit()
        except Stop:
            return "stopped"
        return "completed"

    def _train_epoch(self) -> float:
        """Do one pass over the rows; the loss is the mean over all rows, each taken before its step."""
        torch._foreach_copy_(self._fresh, self._parameters)
        if len(self._batches) == 1:
            # The mean of one batch is its loss, to the last bit; weighing it by its rows would round.
            (whole,) = self._batches.epoch()
            return self._step(*whole)
        total = 0.0
        for index, (features, target) in enumerate(self._batches.epoch()):
            total += self._step(features, target) * len(features)
            if total - total != 0:  # Nothing that follows in this epoch can make it a number again.
                return total
            self._emit_if_due((index + 1) / len(self._batches))
        return total / len(self._table)

    def _emit_if_due(self, done_in_epoch: float = 0.0) -> None:
        if time.perf_counter() >= self._pulse_due:
            self._emit(done_in_epoch)

    def _step(self, features: torch.Tensor, target: torch.Tensor) -> float:
        self._optimizer.zero_grad()
        loss = self._loss(self.network(features), target)
        loss.backward()
        try:
            self._optimizer.step()
        except RuntimeError as error:
            # Torch refuses a factor, such as lr times weight_decay, that the number format cannot hold.
            if "without overflow" in str(error):
                return math.inf
            raise
        return float(loss.item())

    def _record(self, loss: float) -> None:
        self._finite, self._fresh = self._fresh, self._finite
        self._epoch += 1
        self._first_loss = loss if self._first_loss is None else self._first_loss
        self._pulse.train_loss.append(loss)
        self._pulse.learning_rate.append(self._optimizer.param_groups[0]["lr"])

    def _emit(self, done_in_epoch: float = 0.0) -> None:
        """Tell the callbacks what is new. They may take long, so the next pulse is timed from their end."""
        pulse = self._pulse
        pulse.fraction = min(1.0, (self._epoch + done_in_epoch) / self.spec.training.epochs)
        self._pulse = Pulse(first_epoch=self._epoch + 1)
        for callback in self._callbacks:
            callback.on_pulse(pulse)
        self._pulse_due = time.perf_counter() + PULSE_SECONDS

    def _restore_finite(self) -> None:
        torch._foreach_copy_(self._parameters, self._finite)

    def _result(self, reason: str) -> Fit:
        train_loss = self._evaluate()
        if train_loss is None and reason == "completed":
            # The last step itself went too far, and no later epoch was there to notice it.
            reason = "diverged"
            self._restore_finite()
            train_loss = self._evaluate()
        state = {
            name: tensor.detach().cpu().contiguous() for name, tensor in self.network.state_dict().items()
        }
        fit = Fit(
            state_dict=state,
            train_loss=train_loss,
            first_loss=self._first_loss,
            epochs=self._epoch,
            stop_reason=reason,
        )
        if reason == "diverged" or fit.loss_grew:
            # The bound costs more than a short training, so it is worked out only where it will be told.
            fit = dataclasses.replace(fit, largest_stable_lr=largest_stable_lr(self.spec, self._table))
        return fit

    def _evaluate(self) -> float | None:
        """Compute the loss of the final parameters over all training rows, batch by batch."""
        total = 0.0
        self.network.eval()
        with torch.inference_mode():
            rows = self.spec.batch_rows
            pairs = zip(
                torch.split(self._table.features, rows), torch.split(self._table.target, rows), strict=True
            )
            for features, target in pairs:
                total += float(self._loss(self.network(features), target).item()) * len(features)
        mean = total / len(self._table)
        return mean if mean - mean == 0 else None


def _seed_of(spec: JobSpec) -> int:
    if spec.training.seed is None:
        raise ValueError("an effective spec has a seed: call complete() first")
    return spec.training.seed


def diverged(fit: Fit, spec: JobSpec) -> TrainingFailed:
    """Describe a divergence, with the cure."""
    message = (
        f"The loss stopped being a finite number in epoch {fit.epochs + 1} (lr = {spec.optimizer.lr:g})."
    )
    return TrainingFailed("diverged", message, lower_lr_hint(fit, spec))


def lower_lr_hint(fit: Fit, spec: JobSpec) -> str:
    """Say which learning rate to take instead of one that is too high."""
    bound = fit.largest_stable_lr
    if bound is None:
        return f"Lower the learning rate, for example to {spec.optimizer.lr / 10:g}."
    return (
        f"The largest stable learning rate of {spec.optimizer.type} on this data is {bound:.4g}; "
        f"half of it, {bound / 2:.3g}, is a good start."
    )
