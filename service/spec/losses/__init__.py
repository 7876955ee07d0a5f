"""The losses, by torch's names and with torch's parameters and defaults.

A new loss is one class here and its name in `LossSpec`: the objective builds
`getattr(torch.nn, type)(**parameters)`, capabilities and the OpenAPI document follow. Its target, its
roles and what it takes from the network say how it is paired.
"""

from typing import Annotated

from pydantic import Field

from service.spec.losses.base import Loss, Output, Target
from service.spec.losses.classification import (
    BCELoss,
    BCEWithLogitsLoss,
    CrossEntropyLoss,
    HingeEmbeddingLoss,
    KLDivLoss,
    MultiLabelMarginLoss,
    MultiLabelSoftMarginLoss,
    MultiMarginLoss,
    NLLLoss,
    SoftMarginLoss,
)
from service.spec.losses.comparison import CosineEmbeddingLoss, CTCLoss, MarginRankingLoss, TripletMarginLoss
from service.spec.losses.regression import (
    GaussianNLLLoss,
    HuberLoss,
    L1Loss,
    MSELoss,
    PoissonNLLLoss,
    SmoothL1Loss,
)

__all__ = [
    "BCELoss",
    "BCEWithLogitsLoss",
    "CTCLoss",
    "CosineEmbeddingLoss",
    "CrossEntropyLoss",
    "GaussianNLLLoss",
    "HingeEmbeddingLoss",
    "HuberLoss",
    "KLDivLoss",
    "L1Loss",
    "Loss",
    "LossSpec",
    "MSELoss",
    "MarginRankingLoss",
    "MultiLabelMarginLoss",
    "MultiLabelSoftMarginLoss",
    "MultiMarginLoss",
    "NLLLoss",
    "Output",
    "PoissonNLLLoss",
    "SmoothL1Loss",
    "SoftMarginLoss",
    "Target",
    "TripletMarginLoss",
]

LossSpec = Annotated[
    MSELoss
    | L1Loss
    | SmoothL1Loss
    | HuberLoss
    | PoissonNLLLoss
    | GaussianNLLLoss
    | CrossEntropyLoss
    | NLLLoss
    | MultiMarginLoss
    | KLDivLoss
    | BCELoss
    | BCEWithLogitsLoss
    | MultiLabelSoftMarginLoss
    | SoftMarginLoss
    | HingeEmbeddingLoss
    | MultiLabelMarginLoss
    | MarginRankingLoss
    | CosineEmbeddingLoss
    | TripletMarginLoss
    | CTCLoss,
    Field(discriminator="type"),
]
