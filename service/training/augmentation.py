"""Random changes of a batch's features, drawn from a generator of their own."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

from service.spec.augmentation import Augmentation, Flip, Noise, Rotation, Shift
from service.training.rows import Batch

__all__ = ["Augmenter"]

SEED_OFFSET = 0x5EED
"""Keeps the draws of the augmentation apart from those of the row order, which start at the seed itself."""


class Augmenter:
    """Applies augmentations to the features of a batch, one after the other."""

    def __init__(self, steps: Sequence[Augmentation], *, seed: int) -> None:
        self._steps = steps
        self.generator = torch.Generator().manual_seed((seed + SEED_OFFSET) % 2**63)

    @classmethod
    def build(cls, steps: Sequence[Augmentation], *, seed: int) -> "Augmenter | None":
        """Give an augmenter, or None where nothing is to be done."""
        return cls(steps, seed=seed) if steps else None

    def state_dict(self) -> dict[str, Any]:
        """Give where its draws stand."""
        return {"generator": self.generator.get_state()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Draw on from where `state_dict` was taken."""
        self.generator.set_state(state["generator"])

    def __call__(self, batch: Batch) -> Batch:
        """Give the batch with changed features; the rows themselves stay as they are."""
        features = batch.features
        for step in self._steps:
            features = _APPLY[step.type](step, features, self.generator)
        return batch._replace(features=features)


def _noise(step: Noise, features: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    drawn = torch.randn(features.shape, generator=generator, dtype=features.dtype)
    return features + step.std * drawn.to(features.device)


def _flip(step: Flip, features: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    turned = (torch.rand(len(features), generator=generator) < step.p).to(features.device)
    flipped = features.flip(-1 if step.axis == "horizontal" else -2)
    return torch.where(turned.reshape(-1, *[1] * (features.dim() - 1)), flipped, features)


def _shift(step: Shift, features: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Cut each image out of a copy with a border of zeros, at a place of its own."""
    rows, height, width = len(features), features.shape[-2], features.shape[-1]
    border = step.pixels
    padded = torch.nn.functional.pad(features, (border, border, border, border))
    moves = torch.randint(0, 2 * border + 1, (2, rows), generator=generator).to(features.device)
    down = (moves[0].reshape(-1, 1) + torch.arange(height, device=features.device)).reshape(rows, -1, 1)
    along = (moves[1].reshape(-1, 1) + torch.arange(width, device=features.device)).reshape(rows, 1, -1)
    row = torch.arange(rows, device=features.device).reshape(-1, 1, 1)
    channels = padded.reshape(rows, -1, *padded.shape[-2:])
    cut = channels.permute(0, 2, 3, 1)[row, down, along].permute(0, 3, 1, 2)
    return cut.reshape(features.shape).contiguous()


def _rotate(step: Rotation, features: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Turn each image by an angle of its own, with bilinear interpolation."""
    rows, height, width = len(features), features.shape[-2], features.shape[-1]
    angle = (2 * torch.rand(rows, generator=generator, dtype=features.dtype) - 1) * math.radians(step.degrees)
    cos, sin, zero = angle.cos(), angle.sin(), torch.zeros_like(angle)
    # The grid of affine_grid runs from -1 to 1 along both axes: pixels that are not square there are set right.
    ratio = height / width
    first = torch.stack([cos, -sin * ratio, zero], dim=1)
    second = torch.stack([sin / ratio, cos, zero], dim=1)
    matrix = torch.stack([first, second], dim=1).to(features.device)
    images = features.reshape(rows, -1, height, width)
    grid = torch.nn.functional.affine_grid(matrix, list(images.shape), align_corners=False)
    turned = torch.nn.functional.grid_sample(images, grid, align_corners=False)
    return turned.reshape(features.shape)


_APPLY: Mapping[str, Callable[[Any, torch.Tensor, torch.Generator], torch.Tensor]] = {
    "noise": _noise,
    "flip": _flip,
    "shift": _shift,
    "rotation": _rotate,
}
