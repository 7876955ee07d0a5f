"""Requests of the Open Inference Protocol taken apart, and answers put together: JSON, and bytes behind it."""

import itertools
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import orjson

from service.api.bodies import parsed
from service.api.tensor_schemas import InferRequest, InputTensor, WantedOutput
from service.exceptions import InvalidRequest, Problem
from service.spec.columns import did_you_mean
from service.spec.limits import Limits
from service.spec.packed import numbers_text
from service.spec.problems import MAX_PROBLEMS

if TYPE_CHECKING:
    from service.inference.tensor_rows import Output
    from service.inference.tensors import Tensor

__all__ = ["Asked", "answer_of", "asked_of", "tensors_of"]

MOST_GUESSES = 3
"""Outputs that are wanted, of which one is looked for that may have been meant."""
_STATEFUL = ("sequence_id", "sequence_start", "sequence_end")
_NOT_HERE = {
    **dict.fromkeys(_STATEFUL, "Models here keep nothing from one request to the next: leave it out."),
    "shared_memory_region": "Send the values as `data`, or as binary data.",
    "classification": "Ask for the outputs `probabilities.<class>` instead.",
}
"""Parameters of which somebody who sends them relies on what they do."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A request.

    Attributes:
        request: Its JSON.
        rest: What came behind it.
    """

    request: InferRequest
    rest: memoryview

    @property
    def rows(self) -> int:
        """As many rows as it says that it has."""
        return self.request.inputs[0].shape[0]


async def asked_of(body: bytes, header_length: str | None) -> Asked:
    """Take a body apart.

    Args:
        body: All of it.
        header_length: What the header Inference-Header-Content-Length says: how much of it is JSON.

    Raises:
        InvalidRequest: It is not what the protocol describes.
    """
    end = len(body) if header_length is None else _end(header_length, len(body))
    request = await parsed(body[:end], InferRequest)
    problems = list(itertools.islice(_relied_upon(request), MAX_PROBLEMS))
    if problems:
        raise InvalidRequest(problems)
    return Asked(request, memoryview(body)[end:])


def _end(header_length: str, size: int) -> int:
    if header_length.isascii() and header_length.isdecimal() and len(header_length) < 20:  # noqa: PLR2004 - digits
        end = int(header_length)
        if end <= size:
            return end
    message = f"Inference-Header-Content-Length is {header_length[:40]}; the body has {size:,} bytes."
    hint = "It says how many bytes of the body are JSON; the binary data follow."
    raise InvalidRequest(
        [Problem(None, "invalid_parameter", message, hint, "Inference-Header-Content-Length")]
    )


def _relied_upon(request: InferRequest) -> Iterator[Problem]:
    """Find the parameters that cannot be followed, and must not be passed over."""
    places = [("", request.parameters)]
    places += [(f"/inputs/{place}", one.parameters) for place, one in enumerate(request.inputs)]  # type: ignore[misc]
    places += [(f"/outputs/{place}", one.parameters) for place, one in enumerate(request.outputs or ())]  # type: ignore[misc]
    for where, parameters in places:
        for name in (parameters.model_extra or {}).keys() & _NOT_HERE.keys():
            message = f"The parameter `{name}` is not followed here."
            yield Problem(f"{where}/parameters/{name}", "unsupported_parameter", message, _NOT_HERE[name])


def tensors_of(asked: Asked, limits: Limits) -> "list[Tensor]":
    """Read the values of all inputs.

    Raises:
        InvalidRequest: Sizes, shapes and values do not fit each other, or are too many.
    """
    _check_count(len(asked.request.inputs), limits.max_features + 1)  # With the column of the groups.
    found, place = [], 0
    for number, sent in enumerate(asked.request.inputs):
        size = sent.parameters.binary_data_size
        if size is not None and size > len(asked.rest) - place:
            message = (
                f"{size:,} bytes are to follow for `{sent.name[:80]}`; left are {len(asked.rest) - place:,}."
            )
            raise _wrong_size(f"/inputs/{number}/parameters/binary_data_size", message)
        found.append(_tensor(sent, asked.rest[place : place + (size or 0)], f"/inputs/{number}", limits))
        place += size or 0
    if place != len(asked.rest):
        raise _wrong_size("/inputs", f"{len(asked.rest) - place:,} bytes of the body belong to no input.")
    return found


def _check_count(inputs: int, most: int) -> None:
    if inputs > most:
        message = f"There are {inputs:,} inputs; the limit is {most:,}."
        hint = "Send a tensor for each feature, or one called `input` for all."
        raise InvalidRequest([Problem("/inputs", "limit_exceeded", message, hint)])


def _tensor(sent: InputTensor, raw: memoryview, where: str, limits: Limits) -> "Tensor":
    from service.inference import tensors

    is_binary = sent.parameters.binary_data_size is not None
    if is_binary == (sent.data is not None):
        message = "A tensor has either `data` or `binary_data_size`, and not both."
        hint = "Binary data need the header Inference-Header-Content-Length, too."
        raise InvalidRequest([Problem(where, "missing", message, hint)])
    shape = tuple(sent.shape)
    tensors.take(shape, where=where, rows=limits.max_rows, numbers=limits.max_body_bytes)
    values = (
        tensors.from_bytes(sent.datatype, shape, raw, where=where)
        if is_binary
        else tensors.from_values(sent.datatype, shape, sent.data or (), where=where)
    )
    return tensors.Tensor(sent.name, sent.datatype, shape, values)


def _wrong_size(pointer: str, message: str) -> InvalidRequest:
    hint = "The header Inference-Header-Content-Length says where the JSON ends; then come the inputs in their order."
    return InvalidRequest([Problem(pointer, "wrong_size", message, hint)])


def answer_of(
    asked: Asked, outputs: "Sequence[Output]", *, name: str, version: str
) -> tuple[bytes, int | None]:
    """Put an answer together.

    Returns:
        The body, and how much of it is JSON; None where all of it is.

    Raises:
        InvalidRequest: An output is wanted that there is not, or one is wanted twice.
    """
    told: list[dict[str, Any]] = []
    parts: list[bytes] = []
    for output, is_binary in _wanted(asked.request, outputs):
        form = {"name": output.name, "datatype": output.datatype, "shape": output.shape}
        if is_binary:
            parts.append(_raw(output))
            told.append({**form, "parameters": {"binary_data_size": len(parts[-1])}})
        else:
            told.append({**form, "data": _data(output)})
    known = {} if asked.request.id is None else {"id": asked.request.id}
    head = orjson.dumps({"model_name": name, "model_version": version, **known, "outputs": told})
    return (b"".join([head, *parts]), len(head)) if parts else (head, None)


def _wanted(request: InferRequest, outputs: "Sequence[Output]") -> "Iterator[tuple[Output, bool]]":
    by_name = {output.name: output for output in outputs}
    default = request.parameters.binary_data_output
    if not request.outputs:
        yield from ((output, default) for output in outputs)
        return
    problems = list(itertools.islice(_wrong_outputs(request.outputs, by_name), MAX_PROBLEMS))
    if problems:
        raise InvalidRequest(problems)
    for wanted in request.outputs:
        is_binary = wanted.parameters.binary_data
        yield by_name[wanted.name], default if is_binary is None else is_binary


def _wrong_outputs(wanted: Sequence[WantedOutput], known: Collection[str]) -> Iterator[Problem]:
    """Find outputs that there are not, and those that come again: each is as long as the rows are many."""
    seen: set[str] = set()
    unknown = itertools.count()
    for place, one in enumerate(wanted):
        where, shown = f"/outputs/{place}/name", one.name[:80]
        if one.name not in known:
            hint = did_you_mean(shown, known) if next(unknown) < MOST_GUESSES else ""
            hint = hint or "GET /v2/models/{name} lists the outputs."
            yield Problem(where, "unknown_output", f"The model has no output `{shown}`.", hint)
        elif one.name in seen:
            message = f"The output `{shown}` is wanted twice."
            yield Problem(where, "duplicate_column", message, "Name each output once.")
        seen.add(one.name)


def _raw(output: "Output") -> bytes:
    from service.inference import tensors

    return tensors.to_bytes(output.datatype, output.values)


def _data(output: "Output") -> Any:  # noqa: ANN401 - JSON
    if not isinstance(output.values, np.ndarray):
        return output.values
    return orjson.Fragment(numbers_text(output.values.reshape(-1)))
