"""How good a fit is: losses and metrics on each part of the rows."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from service.spec.metrics import METRICS, Task, task_of
from service.spec.plan import Plan
from service.training.metrics import metrics_of
from service.training.objective import Objective, Outputs
from service.training.preparation import Preparation
from service.training.rows import Rows
from service.training.scoring import blocks, mean_loss

__all__ = ["Judge", "Score"]

PARTS = ("train", "dev", "test")
MAX_NUMBERS = 20_000_000
"""Metrics of a part with more outputs than this are those of its first rows: memory and time are bounded."""


@dataclass(frozen=True, slots=True)
class Score:
    """What a fit is worth.

    Attributes:
        losses: Of train, dev and test; None where there are no such rows, or it is not finite.
        metrics: By part, then by name.
        is_whole: Whether the judging came to its end.
    """

    losses: Mapping[str, float | None]
    metrics: Mapping[str, Mapping[str, Any]]
    is_whole: bool = True

    @classmethod
    def unknown(cls) -> "Score":
        """Give that of a network whose judging was ended."""
        return cls(dict.fromkeys(PARTS), {}, is_whole=False)


class Judge:
    """Scores networks of one job.

    Attributes:
        names: Of the metrics.
        scalars: Those of them that are one number, which a history can hold.
    """

    def __init__(self, plan: Plan, objective: Objective, *, block: int) -> None:
        asked = plan.spec.evaluation.metrics
        task = task_of(plan.spec.loss, targets=len(plan.targets))
        if asked is None:
            raise ValueError("an effective spec names its metrics: send it through service.spec.intake first")
        self.names = asked if task else ()
        self._task: Task = task or "regression"
        self.scalars = tuple(name for name in self.names if METRICS[name].better is not None)
        self._objective = objective
        self._block = block

    def score(self, network: torch.nn.Module, rows: Mapping[str, Rows], preparation: Preparation) -> Score:
        """Compute the losses and metrics of a network on all parts."""
        losses: dict[str, float | None] = dict.fromkeys(PARTS)
        metrics = {}
        for part, some in rows.items():
            kept = _Kept(limit=MAX_NUMBERS if self.names else 0)
            loss = mean_loss(self._objective, network, some, block=self._block, seen=kept.see)
            losses[part] = loss if loss - loss == 0 else None
            if losses[part] is not None and self.names:
                metrics[part] = self._metrics(kept, preparation)
        return Score(losses, metrics)

    def metrics(self, network: torch.nn.Module, rows: Rows, preparation: Preparation) -> dict[str, Any]:
        """Compute the metrics of a network on one part, in raw units."""
        training = network.training
        network.eval()
        kept = _Kept(limit=MAX_NUMBERS)
        with torch.inference_mode():
            for batch in blocks(rows, self._block):
                kept.see(network(batch.features), batch.target)
                if kept.is_full:
                    break
        network.train(training)
        return self._metrics(kept, preparation)

    def _metrics(self, kept: "_Kept", preparation: Preparation) -> dict[str, Any]:
        outputs, targets = kept.taken()
        predictions, truth = self._objective.predictions(outputs), self._objective.truth(targets)
        if preparation.target.scale:
            values = preparation.target.to_raw(predictions.values)
            predictions, truth = (
                dataclasses.replace(predictions, values=values),
                preparation.target.to_raw(truth),
            )
        return metrics_of(self.names, task=self._task, predictions=predictions, truth=truth)


class _Kept:
    """What a network gave for the first rows, and their targets, on the CPU."""

    def __init__(self, *, limit: int) -> None:
        self._left = limit
        self._outputs: list[torch.Tensor] = []
        self._targets: list[torch.Tensor] = []

    @property
    def is_full(self) -> bool:
        return self._left <= 0

    def see(self, outputs: Outputs, target: torch.Tensor) -> None:
        """Keep a block, unless there are enough; those of a loss that compares inputs have no metrics."""
        if self.is_full or isinstance(outputs, tuple):
            return
        self._outputs.append(outputs.cpu())
        self._targets.append(target.cpu())
        self._left -= outputs.numel()

    def taken(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Give all of it, and keep nothing: millions of numbers would be in memory twice."""
        outputs, targets = torch.cat(self._outputs), torch.cat(self._targets)
        self._outputs, self._targets = [], []
        return outputs, targets
