"""What is known of each group while one after the other is trained."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from service.exceptions import TrainingFailed
from service.training.groups.grouping import Label
from service.training.groups.models import PARTS, SCALINGS, GroupError, GroupModels
from service.training.preparation import Preparation

__all__ = ["Ledger"]

Floats = npt.NDArray[np.float64]
Numbers = Sequence[int] | npt.NDArray[np.int64]
_REASONS = ("waiting", "completed", "early_stopped", "max_runtime", "stopped", "diverged", "error")


class Ledger:
    """Keeps the models and figures of groups that are done, and the mean of their histories.

    Attributes:
        done: For each group whether its training has ended, shape (groups,).
    """

    def __init__(self, labels: Sequence[Label], *, column: str) -> None:
        count = len(labels)
        self._labels, self._column = tuple(labels), column
        self._reasons = np.zeros(count, dtype=np.int8)
        self._rows = np.zeros((count, len(PARTS)), dtype=np.int64)
        self._losses = np.full((count, len(PARTS)), np.nan)
        self._epochs = np.zeros(count, dtype=np.int64)
        self._errors: dict[int, GroupError] = {}
        self._preparation: Preparation | None = None
        self._tensors: dict[str, torch.Tensor] = {}
        self._scalings: dict[str, torch.Tensor] = {}
        self._sums: dict[str, Floats] = {}
        self._counts: dict[str, Floats] = {}

    @property
    def done(self) -> npt.NDArray[np.bool_]:
        """Whether the training of each group has ended."""
        return np.asarray(self._reasons != 0)

    def __len__(self) -> int:
        return len(self._labels)

    def failed(
        self,
        group: int,
        error: TrainingFailed,
        *,
        reason: str = "error",
        rows: Sequence[int] = (0, 0, 0),
        epochs: int = 0,
    ) -> None:
        """Note that a group has no model, and why."""
        self._reasons[group] = _REASONS.index(reason)
        self._rows[group] = rows
        self._epochs[group] = epochs
        self._errors[group] = GroupError(error.code, error.message, error.hint)

    def skipped(self) -> None:
        """Note of all groups that are not done that the job ended before their turn."""
        error = TrainingFailed(
            "skipped", "The job was ended before the turn of this group.", "Give the job more time."
        )
        for group in np.flatnonzero(~self.done).tolist():
            self.failed(group, error, reason="waiting")

    def trained(  # noqa: PLR0913 - all that is kept of a model
        self,
        groups: Numbers,
        *,
        preparation: Preparation,
        tensors: Mapping[str, torch.Tensor],
        scalings: Mapping[str, Floats],
        rows: Sequence[Sequence[int]],
        losses: Floats,
        epochs: int,
        reason: str,
    ) -> None:
        """Keep the models of some groups.

        Args:
            groups: Their numbers.
            preparation: Of any of them.
            tensors: By torch's names, each of shape (these groups, …).
            scalings: What differs in their preparations, of shape (these groups, numbers).
            rows: How many of each group are for training, dev and test.
            losses: Of the final parameters, shape (these groups, 3); NaN where there is none.
            epochs: Completed ones of each.
            reason: Why their trainings ended.
        """
        if self._preparation is None:
            self._preparation = preparation
        place = np.asarray(groups, dtype=np.int64)
        for name, values in tensors.items():
            self._room(self._tensors, name, values)[place] = values
        for name, numbers in scalings.items():
            values = torch.from_numpy(np.asarray(numbers, dtype=np.float64))
            self._room(self._scalings, name, values)[place] = values
        self._rows[place] = rows
        self._losses[place] = losses
        self._epochs[place] = epochs
        self._reasons[place] = _REASONS.index(reason)

    def _room(self, tensors: dict[str, torch.Tensor], name: str, like: torch.Tensor) -> torch.Tensor:
        if name not in tensors:
            tensors[name] = like.new_zeros(len(self), *like.shape[1:])
        return tensors[name]

    def told(self, name: str, sums: Floats, *, count: int) -> None:
        """Add to a series of the history.

        Args:
            name: Of the series.
            sums: Over some groups, for each epoch from the first.
            count: How many groups these are.
        """
        known, counts = self._sums.get(name, np.zeros(0)), self._counts.get(name, np.zeros(0))
        length = max(len(known), len(sums))
        self._sums[name] = _padded(known, length) + _padded(np.asarray(sums, dtype=np.float64), length)
        self._counts[name] = _padded(counts, length) + _padded(np.full(len(sums), float(count)), length)

    def history(self) -> dict[str, Floats]:
        """Give the mean of each series over the groups that have the epoch, all of one length."""
        longest = max(map(len, self._sums.values()), default=0)
        with np.errstate(invalid="ignore"):
            means = {name: sums / self._counts[name] for name, sums in self._sums.items()}
        return {
            name: np.concatenate([mean, np.full(longest - len(mean), np.nan)]) for name, mean in means.items()
        }

    def models(self) -> GroupModels:
        """Give all that is known of the groups, as it stands."""
        nothing = torch.zeros(len(self), 0, dtype=torch.float64)
        return GroupModels(
            column=self._column,
            labels=self._labels,
            reasons=tuple(_REASONS[code] for code in self._reasons.tolist()),
            errors=dict(sorted(self._errors.items())),
            preparation=self._preparation,
            tensors=self._tensors,
            scalings={name: self._scalings.get(name, nothing) for name in SCALINGS},
            figures={
                "rows": torch.from_numpy(self._rows),
                "losses": torch.from_numpy(self._losses),
                "epochs": torch.from_numpy(self._epochs),
            },
        )

    def state_dict(self) -> dict[str, Any]:
        """Give everything for a checkpoint: its very tensors, not copies."""
        prepared = self._preparation
        return {
            "reasons": torch.from_numpy(self._reasons),
            "rows": torch.from_numpy(self._rows),
            "losses": torch.from_numpy(self._losses),
            "epochs": torch.from_numpy(self._epochs),
            "errors": {group: (e.code, e.message, e.hint) for group, e in self._errors.items()},
            "preparation": None if prepared is None else prepared.model_dump_json(),
            "tensors": self._tensors,
            "scalings": self._scalings,
            "sums": {name: torch.from_numpy(sums) for name, sums in self._sums.items()},
            "counts": {name: torch.from_numpy(counts) for name, counts in self._counts.items()},
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from where `state_dict` was taken.

        Raises:
            LookupError, TypeError, ValueError, AttributeError: It was taken from another job.
        """
        if len(state["reasons"]) != len(self):
            raise ValueError(f"it is one of {len(state['reasons'])} groups")
        self._reasons, self._rows = state["reasons"].numpy(), state["rows"].numpy()
        self._losses, self._epochs = state["losses"].numpy(), state["epochs"].numpy()
        self._errors = {group: GroupError(*error) for group, error in state["errors"].items()}
        prepared = state["preparation"]
        self._preparation = None if prepared is None else Preparation.model_validate_json(prepared)
        self._tensors, self._scalings = dict(state["tensors"]), dict(state["scalings"])
        self._sums = {name: sums.numpy() for name, sums in state["sums"].items()}
        self._counts = {name: counts.numpy() for name, counts in state["counts"].items()}


def _padded(series: Floats, length: int) -> Floats:
    return np.concatenate([series, np.zeros(length - len(series))])
