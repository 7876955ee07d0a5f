"""Trainings as a textbook writes them: torch's own modules, DataLoader, optimizers and schedulers, and a plain loop.

Nothing here comes from the service: what it gives is what the service must give, to the last bit.
"""

import copy
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.optim import lr_scheduler
from torch.utils.data import DataLoader, TensorDataset

Loss = Callable[[nn.Module, Tensor, Tensor], Tensor]
"""Gives the loss of a network on features and target."""


@dataclass
class Lesson:
    """Everything about one training.

    Attributes:
        network: Builds it, from torch's global generator.
        loss: The mean over the rows of a batch.
        row_losses: The loss of each row, for rows of different weights.
        train: Features, target and, where rows weigh differently, weights.
        dev: The same for the dev set, if there is one.
        optimizer, scheduler, regularization, training: As sent with the job.
    """

    network: Callable[[], nn.Module]
    loss: Loss
    train: tuple[Tensor, ...]
    optimizer: dict[str, Any]
    training: dict[str, Any]
    row_losses: Loss | None = None
    dev: tuple[Tensor, ...] | None = None
    scheduler: dict[str, Any] | None = None
    regularization: dict[str, Any] = field(default_factory=dict)
    dtype: torch.dtype = torch.float32

    train_loss: list[float] = field(default_factory=list)
    dev_loss: list[float] = field(default_factory=list)
    learning_rate: list[float] = field(default_factory=list)
    kept_epoch: int | None = None
    state: dict[str, Tensor] = field(default_factory=dict)

    @property
    def batch_rows(self) -> int:
        size = self.training.get("batch_size", "full")
        return len(self.train[0]) if size == "full" else min(size, len(self.train[0]))

    @property
    def is_finite(self) -> bool:
        """Whether the training is one to compare: a divergence ends a job of the service early."""
        numbers = [*self.train_loss, *self.dev_loss, *self.learning_rate]
        return all(map(math.isfinite, numbers)) and all(bool(t.isfinite().all()) for t in self.state.values())

    def run(self) -> "Lesson":
        """Train."""
        torch.manual_seed(self.training["seed"])
        # Layers draw float32; a network that is built as float64 would draw other numbers from the same seed.
        self.model = self.network().to(self.dtype)
        self.optim = optimizer_for(self.optimizer, self.model)
        batches = self._batches()
        course = Course(self.scheduler, self.optim, epochs=self.training["epochs"], steps=len(batches))
        best, best_state, best_epoch = math.inf, self.model.state_dict(), 0
        stopping = self.training.get("early_stopping")
        self.model.train()
        for epoch in range(1, self.training["epochs"] + 1):
            self._epoch(batches, course)
            self.learning_rate.append(self.optim.param_groups[0]["lr"])
            if self.dev is not None:
                self.dev_loss.append(self._dev_loss(self.dev))
            watched = (self.dev_loss or self.train_loss)[-1]
            course.after_epoch(watched)
            if stopping is None:
                continue
            loss = self.train_loss[-1] if stopping.get("monitor") == "train_loss" else watched
            if loss < best - stopping.get("min_delta", 0.0):
                best, best_state, best_epoch = loss, copy.deepcopy(self.model.state_dict()), epoch
            if epoch - best_epoch >= stopping.get("patience", 10):
                break
        if stopping is not None and stopping.get("restore_best", True) and best_epoch:
            self.model.load_state_dict(best_state)
            self.kept_epoch = best_epoch
        self.state = dict(self.model.state_dict())
        return self

    def _batches(self) -> "list[tuple[Tensor, ...]] | DataLoader[Any]":
        """All rows at once, or what a DataLoader gives."""
        if self.batch_rows == len(self.train[0]):
            return [self.train]
        return DataLoader(
            TensorDataset(*self.train),
            batch_size=self.batch_rows,
            shuffle=self.training.get("shuffle", True),
            drop_last=self.training.get("drop_last", False),
            generator=torch.Generator().manual_seed(self.training["seed"]),
        )

    def _epoch(self, batches: "list[tuple[Tensor, ...]] | DataLoader[Any]", course: "Course") -> None:
        total, mass = 0.0, 0.0
        loss = math.nan
        for batch in batches:
            loss = self._step(batch)
            course.after_step()
            weight = float(batch[2].sum()) if len(batch) > 2 else len(batch[0])
            total, mass = total + loss * weight, mass + weight
        self.train_loss.append(loss if len(batches) == 1 else total / mass)

    def _step(self, batch: tuple[Tensor, ...]) -> float:
        asked: list[float] = []

        def closure() -> Tensor:
            self.optim.zero_grad()
            loss = self._loss(batch)
            asked.append(loss.item())
            penalized = self._penalized(loss)
            penalized.backward()
            self._clip()
            return penalized

        if self.optimizer["type"] == "LBFGS":
            self.optim.step(closure)  # type: ignore[arg-type] # torch documents a tensor, its stub a float
        else:
            closure()
            self.optim.step()
        return asked[0]

    def _loss(self, batch: tuple[Tensor, ...]) -> Tensor:
        if len(batch) == 2:
            return self.loss(self.model, *batch)
        assert self.row_losses is not None
        rows, weight = self.row_losses(self.model, *batch[:2]), batch[2]
        # A dot product rounds otherwise than the sum of products does.
        return torch.dot(rows, weight) / torch.dot(torch.ones_like(rows), weight)

    def _penalized(self, loss: Tensor) -> Tensor:
        l1, l2 = self.regularization.get("l1", 0.0), self.regularization.get("l2", 0.0)
        terms = [
            l2 * w.square().sum() + l1 * w.abs().sum() if l1 and l2 else l2 * w.square().sum() if l2 else l1 * w.abs().sum()
            for w in self.model.parameters()
            if w.ndim > 1
        ]  # fmt: skip
        return loss + torch.stack(terms).sum() if (l1 or l2) else loss

    def _clip(self) -> None:
        if "clip_grad_value" in self.regularization:
            nn.utils.clip_grad_value_(self.model.parameters(), self.regularization["clip_grad_value"])
        if "clip_grad_norm" in self.regularization:
            nn.utils.clip_grad_norm_(self.model.parameters(), self.regularization["clip_grad_norm"])

    def _dev_loss(self, rows: tuple[Tensor, ...]) -> float:
        """The mean over the dev set, as many rows at once as in a step."""
        self.model.eval()
        # Each block in memory of its own, as a DataLoader gives it: matrix products round otherwise in the
        # middle of a tensor, where a row may begin at an address that the processor does not like.
        blocks = ([part.clone() for part in torch.split(one, self.batch_rows)] for one in rows)
        parts = list(zip(*blocks, strict=True))
        with torch.no_grad():
            if len(parts) == 1:
                loss = self._loss(parts[0]).item()
            else:
                sums = [self._sums(part) for part in parts]
                loss = sum(s for s, _ in sums) / sum(m for _, m in sums)
        self.model.train()
        return loss

    def _sums(self, part: tuple[Tensor, ...]) -> tuple[float, float]:
        if len(part) == 2:
            return self.loss(self.model, *part).item() * len(part[0]), len(part[0])
        assert self.row_losses is not None
        rows = self.row_losses(self.model, *part[:2])
        return float(torch.dot(rows, part[2])), float(torch.dot(torch.ones_like(rows), part[2]))


def optimizer_for(sent: Mapping[str, Any], model: nn.Module) -> torch.optim.Optimizer:
    """Torch's optimizer with what was sent; whatever was not is torch's own default."""
    values = {
        k: tuple(v) if isinstance(v, list) else v for k, v in sent.items() if k not in {"type", "groups"}
    }
    make = getattr(torch.optim, sent["type"])
    if "groups" not in sent:
        return cast("torch.optim.Optimizer", make(model.parameters(), **values))
    named = dict(model.named_parameters())
    groups = []
    for group in sent["groups"]:
        mine = [n for n in named if any(fnmatchcase(n, one) for one in group["parameters"])]
        own = {name: value for name, value in group.items() if name != "parameters"}
        groups.append({"params": [named.pop(name) for name in mine], **own})
    rest = [{"params": list(named.values())}] if named else []
    return cast("torch.optim.Optimizer", make([*rest, *groups], **values))


def _parts(optim: torch.optim.Optimizer, sent: Mapping[str, Any]) -> list[Any]:
    return [SCHEDULERS[part["type"]](optim, _arguments(part), 0) for part in sent["schedulers"]]


def _arguments(sent: Mapping[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in sent.items() if k not in {"type", "interval", "warmup", "schedulers", "monitor"}}


SCHEDULERS: Mapping[str, Callable[[torch.optim.Optimizer, dict[str, Any], int], Any]] = {
    "StepLR": lambda optim, values, _: lr_scheduler.StepLR(optim, **values),
    "MultiStepLR": lambda optim, values, _: lr_scheduler.MultiStepLR(optim, **values),
    "ConstantLR": lambda optim, values, _: lr_scheduler.ConstantLR(optim, **values),
    "LinearLR": lambda optim, values, _: lr_scheduler.LinearLR(optim, **values),
    "ExponentialLR": lambda optim, values, _: lr_scheduler.ExponentialLR(optim, **values),
    "PolynomialLR": lambda optim, values, length: lr_scheduler.PolynomialLR(
        optim, **{"total_iters": length, **values}
    ),
    "CosineAnnealingLR": lambda optim, values, length: lr_scheduler.CosineAnnealingLR(
        optim, **{"T_max": length, **values}
    ),
    "CosineAnnealingWarmRestarts": lambda optim, values, _: lr_scheduler.CosineAnnealingWarmRestarts(
        optim, **values
    ),
    "CyclicLR": lambda optim, values, _: lr_scheduler.CyclicLR(optim, **values),
    "OneCycleLR": lambda optim, values, length: lr_scheduler.OneCycleLR(
        optim, **{"total_steps": length, **values}
    ),
    "ReduceLROnPlateau": lambda optim, values, _: lr_scheduler.ReduceLROnPlateau(optim, **values),
}
"""By hand: the optimizer, the values that were sent, and the length of the schedule for those that follow it."""


class Course:
    """The learning rate over a training."""

    def __init__(
        self, sent: Mapping[str, Any] | None, optim: torch.optim.Optimizer, *, epochs: int, steps: int
    ) -> None:
        self.sent, self.optim = sent or {}, optim
        cycling = self.sent.get("type") in {"CyclicLR", "OneCycleLR"}
        self.interval = self.sent.get("interval", "step" if cycling else "epoch")
        self.length = epochs if self.interval == "epoch" else epochs * steps
        self.main: Any = None
        self.rise: Iterator[None] | None = None
        if "warmup" in self.sent:
            self.rise = self._rising(self.sent["warmup"])
            next(self.rise)
        elif sent is not None:
            self.main = self._built()

    def _built(self) -> Any:  # noqa: ANN401 - any of torch's schedulers
        if self.sent["type"] == "SequentialLR":
            parts = _parts(self.optim, self.sent)
            return lr_scheduler.SequentialLR(self.optim, parts, milestones=self.sent["milestones"])
        if self.sent["type"] == "ChainedScheduler":
            return lr_scheduler.ChainedScheduler(_parts(self.optim, self.sent), self.optim)
        return SCHEDULERS[self.sent["type"]](self.optim, _arguments(self.sent), self.length)

    def _rising(self, warmup: Mapping[str, Any]) -> Iterator[None]:
        """Rise after each step (or epoch), and start the scheduler with the whole learning rates."""
        rates = [group["lr"] for group in self.optim.param_groups]
        count = warmup.get("steps") or warmup["epochs"]
        linear = lr_scheduler.LinearLR(self.optim, warmup.get("start_factor", 1 / 3), total_iters=count)
        yield
        for _ in range(count - 1):
            linear.step()
            yield
        for group, rate in zip(self.optim.param_groups, rates, strict=True):
            group["lr"] = rate
        self.rise, self.main = None, self._built()
        yield

    def after_step(self) -> None:
        self.stepped = self.main is not None
        if self.rise is not None:
            if "steps" in self.sent["warmup"]:
                next(self.rise)
        elif self.main is not None and self.interval == "step":
            self.main.step()

    def after_epoch(self, watched: float) -> None:
        if self.rise is not None:
            if "epochs" in self.sent["warmup"]:
                next(self.rise)
        elif self.main is None or not self.stepped:
            return  # A warm-up that ended with the last step of the epoch: the schedule has not begun.
        elif self.sent["type"] == "ReduceLROnPlateau":
            self.main.step(watched)
        elif self.interval == "epoch":
            self.main.step()
