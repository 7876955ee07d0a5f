"""How long a prediction takes, by arithmetic: whether it is worth a thread is asked before it is made."""

import math
from dataclasses import dataclass

import torch

from service.spec.job import JobSpec
from service.training.preparation import Preparation

__all__ = ["Effort", "effort_of"]

CALL_SECONDS = 5e-5
"""Of a prediction, however small."""
LAYER_SECONDS = 1e-5
"""Of one layer, however small."""
CELL_SECONDS = 3e-7
"""Of one value of one row: read, checked and encoded."""
NUMBER_SECONDS = 1e-9
"""Of one multiplication and addition in a small matrix product: a busy core, without vectors."""


@dataclass(frozen=True, slots=True)
class Effort:
    """What a prediction takes; too much rather than too little, and everything for what cannot be counted.

    Attributes:
        call: Seconds, whatever the rows are.
        row: Seconds for each row.
    """

    call: float
    row: float

    def seconds(self, rows: float) -> float:
        """Estimate the time of a prediction of so many rows."""
        return self.call + rows * self.row


def effort_of(spec: JobSpec, network: torch.nn.Module, preparation: Preparation) -> Effort:
    """Estimate the work of a model.

    Args:
        spec: The effective spec of the job.
        network: Of its model.
        preparation: Of its rows.
    """
    made = spec.model.activation_count(inputs=preparation.shape, outputs=preparation.outputs)
    layers = sum(1 for _ in network.modules())
    if made is None:  # A plugin's: it may do anything.
        return Effort(math.inf, math.inf)
    # A filter is applied at each place of an image, a recurrent cell at each step of a sequence.
    places = 1 if preparation.is_numbers or not preparation.is_image else math.prod(preparation.shape[1:])
    places *= math.prod(preparation.shape) if spec.model.code_count is not None else 1
    parameters = sum(one.numel() for one in network.parameters())
    cells = math.prod(preparation.shape) + len(preparation.inputs)
    row = CELL_SECONDS * cells + NUMBER_SECONDS * (parameters * places + made)
    return Effort(CALL_SECONDS + LAYER_SECONDS * layers, row)
