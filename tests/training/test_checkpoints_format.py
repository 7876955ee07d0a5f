"""A checkpoint's bytes: equal for equal ones, exact, and refused where they are not what they should be."""

import contextlib
import json
import math
from typing import Any

import pytest
import safetensors.torch
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from service.exceptions import CheckpointUnusable
from service.training import checkpoint
from service.training.checkpoint import Checkpoint, from_bytes, to_bytes
from service.training.rows import ALIGNMENT
from tests.training.resumed import bits

DTYPES = [
    torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.complex64, torch.int64, torch.int32,
    torch.int16, torch.int8, torch.uint64, torch.uint32, torch.uint16, torch.uint8, torch.bool,
]  # fmt: skip
SHAPES = [(), (0,), (3,), (0, 2), (2, 3), (1, 3), (3, 1)]


def tensor(dtype: torch.dtype, shape: tuple[int, ...], seed: int) -> torch.Tensor:
    raw = torch.randint(0, 2, shape, generator=torch.Generator().manual_seed(seed))
    return raw.to(dtype)


TENSORS = st.builds(tensor, st.sampled_from(DTYPES), st.sampled_from(SHAPES), st.integers(0, 9))
PLAIN = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
KEYS = st.integers() | st.text() | st.tuples(st.integers(), st.text())
TREES = st.recursive(
    PLAIN | TENSORS,
    lambda inner: st.lists(inner) | st.lists(inner).map(tuple) | st.dictionaries(KEYS, inner),
    max_leaves=12,
)


@settings(max_examples=100, deadline=None)
@given(tree=TREES, epoch=st.integers(0, 10**9), fraction=st.floats(0, 1))
def test_whatever_a_state_holds_comes_back(tree: Any, epoch: int, fraction: float) -> None:  # noqa: ANN401 - any state
    given_one = Checkpoint(epoch, fraction, {"tree": tree})
    data = to_bytes(given_one)
    back = from_bytes(data)
    assert (back.epoch, back.fraction) == (epoch, fraction)
    assert kinds(back.state) == kinds(given_one.state)
    assert bits(back.state) == bits(given_one.state)
    assert to_bytes(back) == data


def kinds(value: object) -> object:
    """The same tree with the types for its leaves, since a tuple equals a list for `bits`, and True equals 1."""
    if isinstance(value, dict):
        return {key: kinds(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [type(value), *(kinds(one) for one in value)]
    return type(value)


@pytest.mark.parametrize(
    "value",
    [torch.randn(3, 4).T, torch.zeros(2, 3, 4).permute(2, 0, 1), torch.zeros(1, 4).T, torch.zeros(4)[::2]],
)
def test_a_tensor_lies_in_memory_as_a_copy_of_it_would(value: torch.Tensor) -> None:
    back = from_bytes(to_bytes(Checkpoint(1, 0.5, {"value": value}))).state["value"]
    assert torch.equal(back, value)
    assert back.stride() == value.clone().stride()


def test_the_bytes_are_a_safetensors_file_with_one_entry_of_metadata(tmp_path: Any) -> None:  # noqa: ANN401 - a path
    state = {"bits": torch.tensor([True, False, True]), "numbers": torch.tensor([1.5, math.nan])}
    path = tmp_path / "checkpoint.safetensors"
    path.write_bytes(to_bytes(Checkpoint(7, 0.5, state)))
    with safetensors.safe_open(path, "pt") as file:
        assert list(file.metadata()) == ["fitd.checkpoint"]
        tree = json.loads(file.metadata()["fitd.checkpoint"])
        assert (tree["format"], tree["epoch"], tree["fraction"]) == (1, 7, 0.5)
        assert bits(file.get_tensor("0")) == bits(state["bits"])
        assert bits(file.get_tensor("1")) == bits(state["numbers"])


def test_numbers_begin_at_multiples_of_their_size() -> None:
    data = to_bytes(
        Checkpoint(0, 0.0, {"a": torch.tensor([True]), "b": torch.ones(3), "c": torch.ones(2).double()})
    )
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    assert length % 8 == 0
    assert [header[name]["data_offsets"][0] for name in "012"] == [28, 16, 0]


def test_one_tensor_in_two_places_is_kept_in_both() -> None:
    shared = torch.arange(4.0)
    back = from_bytes(
        to_bytes(Checkpoint(0, 0.0, {"all": shared, "part": shared[1:], "again": shared}))
    ).state
    assert back["part"].tolist() == [1.0, 2.0, 3.0]
    assert torch.equal(back["all"], back["again"])


@pytest.mark.parametrize(
    "value",
    [object(), {1, 2}, b"bytes", 1j, torch.zeros(1, dtype=torch.complex128)],
    ids=lambda value: type(value).__name__,
)
def test_what_it_cannot_hold_is_told(value: object) -> None:
    with pytest.raises(TypeError, match="cannot hold"):
        to_bytes(Checkpoint(0, 0.0, {"value": value}))


DATA = to_bytes(Checkpoint(3, 0.25, {"a": torch.ones(3), "b": (1, {2: None}), "c": [torch.tensor(True)]}))  # noqa: FBT003 - a value


@pytest.mark.parametrize("length", [0, 1, 7, 8, 9, 50, len(DATA) - 1])
def test_bytes_that_end_early_are_refused(length: int) -> None:
    with pytest.raises(CheckpointUnusable) as error:
        from_bytes(DATA[:length])
    assert error.value.code == "checkpoint_unusable"


@settings(max_examples=200, deadline=None)
@given(data=st.binary(max_size=200))
def test_bytes_of_anything_else_are_refused(data: bytes) -> None:
    with pytest.raises(CheckpointUnusable):
        from_bytes(data)


@settings(max_examples=300, deadline=None)
@given(place=st.integers(0, len(DATA) - 1), bit=st.integers(0, 7))
def test_a_flipped_bit_is_refused_or_gives_another_checkpoint_and_never_breaks(place: int, bit: int) -> None:
    broken = bytearray(DATA)
    broken[place] ^= 1 << bit
    with contextlib.suppress(CheckpointUnusable):
        assert isinstance(from_bytes(bytes(broken)), Checkpoint)


def test_the_parameters_of_a_model_are_no_checkpoint() -> None:
    with pytest.raises(CheckpointUnusable):
        from_bytes(safetensors.torch.save({"weight": torch.ones(1)}, metadata={"fitd.preparation": "{}"}))


def test_another_version_of_the_format_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoint, "FORMAT", 2)
    with pytest.raises(CheckpointUnusable, match="the format 1, and not 2"):
        from_bytes(DATA)


def test_tensors_begin_where_torch_puts_every_tensor() -> None:
    """Matrix products round by where their numbers begin in memory, and a buffer of bytes begins anywhere."""
    tensors = [torch.randn(size) for size in (1, 3, 5, 7, 33, 100, 1000)]
    read = from_bytes(to_bytes(Checkpoint(1, 0.5, {"all": tensors}))).state["all"]
    assert [tensor.data_ptr() % ALIGNMENT for tensor in read] == [0] * len(tensors)
