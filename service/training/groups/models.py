"""The models of all groups, stacked: one tensor for each name, whose first axis counts the groups."""

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import safetensors.torch
import torch

from service.training.groups.grouping import Label
from service.training.preparation import Preparation

__all__ = ["PARTS", "GroupError", "GroupModels", "are_grouped"]

PARTS = ("train", "dev", "test")
GROUPS = "fitd.groups"
"""Key of the JSON among the metadata that the safetensors format allows for."""
OWN = "groups:"
"""Begins the names of what is no trained tensor; none of torch's has a colon."""
TRAINED = frozenset({"completed", "early_stopped", "max_runtime", "stopped"})
"""Reasons for which a training ended and left a model."""


@dataclass(frozen=True, slots=True)
class GroupError:
    """Why a group has no model: as an error of a job."""

    code: str
    message: str
    hint: str


@dataclass(frozen=True)
class GroupModels:
    """What the trainings of all groups left, by their numbers from 0.

    Attributes:
        column: The column that tells the groups apart.
        labels: What each group is called.
        reasons: Why each training ended: as of a job, or `error`; or `waiting` where its turn never came.
        errors: Of the groups without a model.
        preparation: Of any group with a model; None where there is no such group. What differs is in `scalings`.
        tensors: Trained tensors by torch's names, each of shape (groups, …); what a group without a model has is
            without meaning.
        scalings: By the names of the preparation's fields, of shape (groups, numbers).
        figures: `rows` and `losses`, of shape (groups, 3) by the parts train, dev and test (NaN where there is no
            loss), and `epochs`, of shape (groups,).
    """

    column: str
    labels: tuple[Label, ...]
    reasons: tuple[str, ...]
    errors: Mapping[int, GroupError]
    preparation: Preparation | None
    tensors: Mapping[str, torch.Tensor]
    scalings: Mapping[str, torch.Tensor]
    figures: Mapping[str, torch.Tensor]

    def __len__(self) -> int:
        return len(self.labels)

    def is_trained(self, group: int) -> bool:
        """Whether a group has a model."""
        return self.reasons[group] in TRAINED

    @property
    def trained(self) -> list[int]:
        """Numbers of the groups that have a model."""
        return [group for group in range(len(self)) if self.is_trained(group)]

    def losses(self, part: str) -> np.ndarray:
        """Give the losses of the final parameters on one part; NaN where there is none."""
        column: np.ndarray = self.figures["losses"].numpy()[:, PARTS.index(part)]
        return column

    def state_dict_of(self, group: int) -> dict[str, torch.Tensor]:
        """Give the trained tensors of one group."""
        return {name: tensor[group] for name, tensor in self.tensors.items()}

    def preparation_of(self, group: int) -> Preparation:
        """Give how one group's columns become its network's inputs.

        Raises:
            LookupError: No group has a model.
        """
        base = self.preparation
        if base is None:
            raise LookupError("no group has a model")
        own = {name: tuple(values[group].tolist()) for name, values in self.scalings.items()}
        target = base.target.model_copy(update={"shift": own["target_shift"], "scale": own["target_scale"]})
        inputs = tuple(
            one if one.fill is None else one.model_copy(update={"fill": fill})
            for one, fill in zip(base.inputs, own["fill"], strict=True)
        )
        own_fields = {"shift": own["shift"], "scale": own["scale"], "target": target, "inputs": inputs}
        return base.model_copy(update=own_fields)

    def to_bytes(self) -> bytes:
        """Pack everything in the safetensors format; equal models give equal bytes."""
        beside = {**self.scalings, **self.figures}
        tensors = {**self.tensors, **{OWN + name: tensor for name, tensor in beside.items()}}
        tree = {
            "column": self.column,
            "labels": self.labels,
            "reasons": self.reasons,
            "errors": {str(group): dataclasses.asdict(error) for group, error in self.errors.items()},
            "preparation": None if self.preparation is None else self.preparation.model_dump(mode="json"),
        }
        text = json.dumps(tree, ensure_ascii=False, separators=(",", ":"))
        return safetensors.torch.save(tensors, metadata={GROUPS: text})

    @classmethod
    def from_bytes(cls, data: bytes) -> "GroupModels":
        """Unpack what `to_bytes` packed.

        Raises:
            LookupError: The bytes are not those of groups.
        """
        tree = json.loads(_metadata(data)[GROUPS])
        tensors = safetensors.torch.load(data)
        own = {name.removeprefix(OWN): one for name, one in tensors.items() if name.startswith(OWN)}
        prepared = tree["preparation"]
        return cls(
            column=tree["column"],
            labels=tuple(tree["labels"]),
            reasons=tuple(tree["reasons"]),
            errors={int(group): GroupError(**error) for group, error in tree["errors"].items()},
            preparation=None if prepared is None else Preparation.model_validate(prepared),
            tensors={name: one for name, one in tensors.items() if not name.startswith(OWN)},
            scalings={name: own[name] for name in SCALINGS},
            figures={name: own[name] for name in FIGURES},
        )


SCALINGS = ("shift", "scale", "target_shift", "target_scale", "fill")
FIGURES = ("rows", "losses", "epochs")


def scalings_of(preparation: Preparation) -> dict[str, tuple[float, ...]]:
    """Give the numbers that differ from group to group, by their names in `SCALINGS`."""
    return {
        "shift": preparation.shift,
        "scale": preparation.scale,
        "target_shift": preparation.target.shift,
        "target_scale": preparation.target.scale,
        "fill": tuple(float("nan") if one.fill is None else one.fill for one in preparation.inputs),
    }


def are_grouped(data: bytes) -> bool:
    """Tell whether parameters are those of groups."""
    return GROUPS in _metadata(data)


def _metadata(data: bytes) -> dict[str, Any]:
    """Read the metadata: the file begins with its header's length and the header as JSON."""
    length = int.from_bytes(data[:8], "little")
    found: dict[str, Any] = json.loads(data[8 : 8 + length]).get("__metadata__", {})
    return found
