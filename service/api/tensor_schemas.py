"""Bodies of the Open Inference Protocol, version 2."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from service.api.schemas import Wire
from service.spec.values import Values

__all__ = [
    "InferRequest",
    "InferResponse",
    "ModelMetadata",
    "ModelReady",
    "ServerLive",
    "ServerMetadata",
    "ServerReady",
]

Datatype = Literal[
    "BOOL", "UINT8", "UINT16", "UINT32", "UINT64", "INT8", "INT16", "INT32", "INT64",
    "FP16", "FP32", "FP64", "BF16", "BYTES",
]  # fmt: skip
MOST_AXES = 8
MOST_IN_AXIS = 2**31 - 1


class _Sent(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False, use_attribute_docstrings=True)


class _Parameters(BaseModel):
    # Clients may send parameters of their own: those that are not known are not used.
    model_config = ConfigDict(extra="allow", strict=True, use_attribute_docstrings=True)


class InputParameters(_Parameters):
    """Where the values of a tensor are."""

    binary_data_size: Annotated[int, Field(ge=0)] | None = None
    """Bytes of the tensor behind the JSON, in the order of the inputs; instead of `data`."""


class InputTensor(_Sent):
    """Values of a column, or of all."""

    name: str
    """A feature; or `input` for a tensor with a column for each feature, where all are numbers."""
    datatype: Datatype
    shape: Annotated[
        list[Annotated[int, Field(ge=0, le=MOST_IN_AXIS)]], Field(min_length=1, max_length=MOST_AXES)
    ]
    """Rows first: `[rows]` or `[rows, 1]`; `[rows, …]` of arrays; `[rows, features]` of `input`."""
    data: Values | None = None
    """The values row by row, flat or nested."""
    parameters: InputParameters = InputParameters()


class OutputParameters(_Parameters):
    """How a tensor is to be sent."""

    binary_data: bool | None = None
    """Whether it comes as bytes behind the JSON."""


class WantedOutput(_Sent):
    """A tensor that is wanted."""

    name: str
    """As the model's metadata names it."""
    parameters: OutputParameters = OutputParameters()


class RequestParameters(_Parameters):
    """What holds for the whole request."""

    binary_data_output: bool = False
    """Whether outputs come as bytes that do not say it themselves."""


class InferRequest(_Sent):
    """Rows to predict, as tensors."""

    id: Annotated[str, Field(max_length=1000)] | None = None
    """Comes back with the answer."""
    inputs: Annotated[list[InputTensor], Field(min_length=1)]
    outputs: list[WantedOutput] | None = None
    """What is wanted; everything when left out."""
    parameters: RequestParameters = RequestParameters()


class TensorForm(Wire):
    """What a tensor looks like; -1 stands for any number of rows."""

    name: str
    datatype: Datatype
    shape: list[int]


class OutputTensor(TensorForm):
    """Predictions of a target, `probabilities.<class>`, or `std.<target>`."""

    data: list[float | str | None] | None = None
    """The values; null where a prediction is no number. Left out where they come as bytes."""
    parameters: dict[str, Any] | None = None
    """`binary_data_size`, where they come as bytes."""


class InferResponse(Wire):
    """Predictions, as tensors."""

    model_name: str
    model_version: str
    id: str | None = None
    outputs: list[OutputTensor]


class ModelMetadata(Wire):
    """What a model takes and gives."""

    name: str
    versions: list[str]
    platform: str
    inputs: list[TensorForm]
    outputs: list[TensorForm]


class ServerMetadata(Wire):
    """What this server is."""

    name: str
    version: str
    extensions: list[str]


class ServerLive(Wire):
    """The server answers."""

    live: bool


class ServerReady(Wire):
    """Models can predict."""

    ready: bool


class ModelReady(Wire):
    """A model predicts."""

    name: str
    version: str
    ready: bool
