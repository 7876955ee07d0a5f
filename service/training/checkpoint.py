"""A job as it stands between two steps, and the bytes from which it goes on as if nothing had been.

The bytes are a safetensors file. Its tensors are numbered; one entry of its metadata holds the rest of the state as
JSON, in which `{"tensor": [3, null]}` stands for the tensor of that number. Nothing in it is ever executed.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import safetensors.torch
import torch

from service.exceptions import CheckpointUnusable

__all__ = ["Checkpoint", "copy_into", "from_bytes", "must_fit", "to_bytes"]

FORMAT = 1
"""Version of the format, and of what the state holds: raised when an older state can no longer be gone on from."""

METADATA = "fitd.checkpoint"
"""Key of the JSON among the metadata that the safetensors format allows for."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A job between two steps.

    Taken from a pulse, it holds the very tensors of the training, not copies, so that a large model is not in
    memory once more: `to_bytes` has to be done with it before `on_pulse` returns.

    Attributes:
        epoch: Completed epochs, over all trainings of the job.
        fraction: Share of the whole job that is done, from 0 to 1.
        state: All that the rest of the job depends on: dicts, lists, tuples, numbers, strings, None and tensors.
    """

    epoch: int
    fraction: float
    state: Mapping[str, Any]


def to_bytes(checkpoint: Checkpoint) -> bytes:
    """Pack a checkpoint; equal ones give equal bytes. Beside the bytes themselves it needs no memory to speak of.

    Raises:
        TypeError: The state holds something else than what `Checkpoint.state` names.
    """
    tensors: list[torch.Tensor] = []
    tree = {
        "format": FORMAT,
        "epoch": checkpoint.epoch,
        "fraction": checkpoint.fraction,
        "state": _packed(checkpoint.state, tensors),
    }
    return _file([tensor.detach().cpu().contiguous() for tensor in tensors], json.dumps(tree))


def from_bytes(data: bytes) -> Checkpoint:
    """Unpack what `to_bytes` packed, with all tensors on the CPU.

    Raises:
        CheckpointUnusable: The bytes are no checkpoint, or one in another version of the format.
    """
    try:
        tree = _tree(data)
        tensors = safetensors.torch.load(data)
        return Checkpoint(tree["epoch"], tree["fraction"], _unpacked(tree["state"], tensors))
    except (CheckpointUnusable, MemoryError):
        raise  # With memory to spare, the bytes may well be a checkpoint.
    except Exception as error:
        raise CheckpointUnusable(f"The bytes are no checkpoint: {error}") from error


@contextmanager
def must_fit() -> Iterator[None]:
    """Tell of a state that does not have what a job looks for in it.

    Raises:
        CheckpointUnusable: Something was missing, or of another kind, number or shape.
    """
    try:
        yield
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise CheckpointUnusable(f"The checkpoint does not fit the job: {error!r}") from error


def copy_into(own: Sequence[torch.Tensor], saved: Sequence[torch.Tensor]) -> None:
    """Give tensors the values of saved ones.

    Raises:
        ValueError: They are not alike in number, shape or number format.
    """
    with torch.no_grad():
        for one, other in zip(own, saved, strict=True):
            if one.shape != other.shape or one.dtype != other.dtype:
                raise ValueError(f"{tuple(other.shape)} {other.dtype} for {tuple(one.shape)} {one.dtype}")
            one.copy_(other)


# The state as JSON: numbers, strings, None and lists as they are; every object has one member, its kind.


def _packed(value: Any, tensors: list[torch.Tensor]) -> Any:  # noqa: ANN401 - any part of a state
    """Give a part of the state as JSON has it, and put its tensors on the list."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, torch.Tensor):
        tensors.append(value)
        return {"tensor": [len(tensors) - 1, _strides(value)]}
    if isinstance(value, Mapping):
        # In pairs, since JSON knows no other keys than strings.
        return {"dict": [[_packed(key, tensors), _packed(one, tensors)] for key, one in value.items()]}
    if isinstance(value, list | tuple):
        parts = [_packed(one, tensors) for one in value]
        return {"tuple": parts} if isinstance(value, tuple) else parts
    raise TypeError(f"a checkpoint cannot hold a {type(value).__name__}")


def _unpacked(value: Any, tensors: Mapping[str, torch.Tensor]) -> Any:  # noqa: ANN401 - any part of a state
    if isinstance(value, list):
        return [_unpacked(one, tensors) for one in value]
    if isinstance(value, dict):
        ((kind, content),) = value.items()
        return _KINDS[kind](content, tensors)
    return value


_KINDS: Mapping[str, Callable[[Any, Mapping[str, torch.Tensor]], Any]] = {
    "tensor": lambda content, tensors: _strided(tensors[str(content[0])], content[1]),
    "tuple": lambda parts, tensors: tuple(_unpacked(parts, tensors)),
    "dict": lambda pairs, tensors: {_unpacked(key, tensors): _unpacked(one, tensors) for key, one in pairs},
}


def _strides(tensor: torch.Tensor) -> list[int] | None:
    """Give how a copy of a tensor lies in memory, if it is not row by row: by that, matrix products choose how they round."""
    copy = torch.empty_like(tensor, device="meta")
    usual = torch.empty(tensor.shape, device="meta").stride()
    return None if copy.stride() == usual else list(copy.stride())


def _strided(tensor: torch.Tensor, strides: list[int] | None) -> torch.Tensor:
    if strides is None:
        # A buffer of bytes begins anywhere, and products of Muon's or LBFGS's memory round by where they begin:
        # a copy lies where torch puts every tensor.
        return tensor.clone()
    return torch.empty_strided(tensor.shape, strides, dtype=tensor.dtype).copy_(tensor)


# The safetensors format. Its library reads it, and checks all that is said in its header; but to write, it needs
# twice the memory, and refuses tensors that share some.

_CODES = {
    torch.float64: "F64",
    torch.float32: "F32",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.complex64: "C64",
    torch.int64: "I64",
    torch.int32: "I32",
    torch.int16: "I16",
    torch.int8: "I8",
    torch.uint64: "U64",
    torch.uint32: "U32",
    torch.uint16: "U16",
    torch.uint8: "U8",
    torch.bool: "BOOL",
}


def _file(tensors: Sequence[torch.Tensor], text: str) -> bytes:
    header: dict[str, Any] = {"__metadata__": {METADATA: text}}
    start = 0
    # The widest numbers first: so each tensor begins at a multiple of the size of its numbers, as a reader may want it.
    order = sorted(range(len(tensors)), key=lambda number: -tensors[number].element_size())
    for number in order:
        tensor = tensors[number]
        stop = start + tensor.nbytes
        header[str(number)] = {
            "dtype": _code(tensor.dtype),
            "shape": list(tensor.shape),
            "data_offsets": [start, stop],
        }
        start = stop
    beginning = json.dumps(header, separators=(",", ":")).encode()
    beginning += b" " * (-len(beginning) % 8)
    numbers = [_raw(tensors[number]) for number in order]
    return b"".join([len(beginning).to_bytes(8, "little"), beginning, *numbers])


def _code(dtype: torch.dtype) -> str:
    if dtype not in _CODES:
        raise TypeError(f"a checkpoint cannot hold numbers of {dtype}")
    return _CODES[dtype]


def _raw(tensor: torch.Tensor) -> memoryview:
    """Give the bytes of a tensor without a copy."""
    raw: Any = tensor.reshape(-1).view(torch.uint8).numpy()
    return memoryview(raw)


def _tree(data: bytes) -> dict[str, Any]:
    """Read the JSON: the file begins with its header's length and the header."""
    length = int.from_bytes(data[:8], "little")
    tree: dict[str, Any] = json.loads(json.loads(data[8 : 8 + length])["__metadata__"][METADATA])
    if tree["format"] != FORMAT:
        raise CheckpointUnusable(f"The checkpoint has the format {tree['format']}, and not {FORMAT}.")
    return tree
