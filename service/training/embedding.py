"""Learnt numbers for categories, in front of any network."""

from collections.abc import Sequence

import torch

from service.spec.models import ModelSpec
from service.training.encoding import Input
from service.training.networks import build
from service.training.preparation import Preparation
from service.training.rows import DTYPES

__all__ = ["Embedded", "network_of"]


class Embedded(torch.nn.Module):
    """A network whose inputs hold codes of categories in some columns: each code becomes learnt numbers.

    The embeddings' numbers come first, in the order of their columns, then all other inputs in theirs.
    """

    def __init__(
        self, embeddings: torch.nn.ModuleList, columns: Sequence[int], network: torch.nn.Module
    ) -> None:
        super().__init__()
        self.embeddings = embeddings
        self.network = network
        self._columns = list(columns)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Apply embeddings and network to features of shape (rows, encoded inputs)."""
        found = [
            table(features[:, column].long())
            for table, column in zip(self.embeddings, self._columns, strict=True)
        ]
        others = [i for i in range(features.shape[1]) if i not in self._columns]
        result: torch.Tensor = self.network(torch.cat([*found, features[:, others]], dim=1))
        return result


def network_of(model: ModelSpec, preparation: Preparation) -> torch.nn.Module:
    """Build the network of a job, with an embedding in front of it for each column of codes.

    Its parameters are drawn from torch's global generator, those of the embeddings last.

    Raises:
        TrainingFailed: A plugin's network cannot be built.
    """
    dtype = DTYPES[preparation.dtype]
    network = build(model, inputs=preparation.shape, outputs=preparation.outputs, dtype=dtype)
    embedded = [one for one in preparation.inputs if one.is_embedded]
    if not embedded:
        return network
    tables = [torch.nn.Embedding(len(one.categories or ()), one.embedding_dim) for one in embedded]
    columns, place = [], 0
    for one in preparation.inputs:
        columns += [place] if one.is_embedded else []
        place += _encoded_width(one)
    return Embedded(torch.nn.ModuleList(tables), columns, network).to(dtype)


def _encoded_width(one: Input) -> int:
    """Count the numbers that a column becomes before any embedding."""
    if one.kind == "category" and one.one_hot:
        return len(one.categories or ())
    return one.shape[0] if len(one.shape) == 1 else 1
