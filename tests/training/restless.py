"""A plugin's network that draws from every generator of the process, and has a buffer that is no part of its state dict."""

import random
from typing import ClassVar, Literal

import numpy as np
import torch

from service.spec.plugins import PluginModel

__all__ = ["Restless", "RestlessModel"]


class RestlessModel(PluginModel):
    """What a spec says of it."""

    network: ClassVar[str] = "tests.training.restless:Restless"
    type: Literal["restless"] = "restless"


class Restless(torch.nn.Module):
    """A line whose inputs tremble while it is trained, the more so the longer it is."""

    def __init__(self, inputs: tuple[int, ...], outputs: int) -> None:
        super().__init__()
        self.line = torch.nn.Linear(inputs[0], outputs)
        self.register_buffer("calls", torch.zeros((), dtype=torch.int64), persistent=False)

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        if self.training:
            self.calls += 1
            noise = random.gauss(0, 1) + np.random.normal() + float(torch.randn(()))  # noqa: NPY002 - on purpose
            rows = rows + 0.01 * noise * torch.log1p(self.calls)
        given: torch.Tensor = self.line(rows)
        return given
