"""Where the rows come from: drawn by a formula, sent with the job, or uploaded before."""

from typing import Annotated

from pydantic import Field

from service.spec.inline import InlineData
from service.spec.stored import StoredData
from service.spec.synthetic import Distribution, Noise, SyntheticData, SyntheticTarget

__all__ = [
    "DataSpec",
    "Distribution",
    "InlineData",
    "Noise",
    "StoredData",
    "SyntheticData",
    "SyntheticTarget",
]

DataSpec = Annotated[SyntheticData | InlineData | StoredData, Field(discriminator="type")]
