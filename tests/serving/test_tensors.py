"""Tensors of the Open Inference Protocol: read exactly, and nothing that is sent is believed."""

import asyncio
import json
import struct
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.api import tensor_bodies
from service.exceptions import InvalidRequest, Problem
from service.inference import tensor_rows
from service.inference.predictor import Predicted
from service.inference.tensor_rows import predicted, tensors_of
from service.inference.tensors import Tensor, to_bytes
from service.spec.limits import Limits
from service.spec.problems import MAX_PROBLEMS
from tests.serving.models import predictor

SMALL = Limits(max_rows=1000, max_body_bytes=10_000, max_features=4)
DTYPES = {
    "BOOL": "?", "UINT8": "<u1", "UINT16": "<u2", "UINT32": "<u4", "UINT64": "<u8", "INT8": "<i1", "INT16": "<i2",
    "INT32": "<i4", "INT64": "<i8", "FP16": "<f2", "FP32": "<f4", "FP64": "<f8",
}  # fmt: skip


def tensor(name: str = "a", **fields: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON
    return {"name": name, "datatype": "FP64", "shape": [2], **fields}


def read(request: Any, rest: bytes = b"", *, length: str | None = None) -> list[Tensor]:  # noqa: ANN401 - JSON
    head = request if isinstance(request, bytes) else json.dumps(request).encode()
    length = str(len(head)) if length is None and rest else length
    asked = asyncio.run(tensor_bodies.asked_of(head + rest, length))
    return tensor_bodies.tensors_of(asked, SMALL)


def refused(request: Any, rest: bytes = b"", **more: Any) -> Problem:  # noqa: ANN401 - JSON
    with pytest.raises(InvalidRequest) as error:
        read(request, rest, **more)
    for problem in error.value.problems:
        assert problem.message
        assert problem.hint
    return error.value.problems[0]


def binary(*parts: tuple[str, str, list[int], bytes]) -> tuple[dict[str, Any], bytes]:
    inputs = [
        tensor(name, datatype=datatype, shape=shape, parameters={"binary_data_size": len(raw)})
        for name, datatype, shape, raw in parts
    ]
    return {"inputs": inputs}, b"".join(raw for *_, raw in parts)


@pytest.mark.parametrize(("datatype", "dtype"), DTYPES.items(), ids=DTYPES)
def test_binary_and_json_give_the_same_values(datatype: str, dtype: str) -> None:
    values = np.array([0, 1, 1], dtype) if datatype == "BOOL" else np.array([0, 1, 100], dtype)
    (found,) = read(*binary(("a", datatype, [3], values.tobytes())))
    (same,) = read({"inputs": [tensor(datatype=datatype, shape=[3], data=values.tolist())]})
    for one in (found, same):
        assert isinstance(one.values, np.ndarray)
        assert one.values.dtype == np.float64
        assert one.values.tolist() == [float(value) for value in values]


def test_values_become_what_their_datatype_holds() -> None:
    (found,) = read({"inputs": [tensor(datatype="FP32", shape=[1], data=[0.1])]})
    assert found.values.tolist() == [float(np.float32(0.1))]  # type: ignore[union-attr]
    raw = (np.array([1.5, -2.0], np.float32).view(np.uint32) >> 16).astype("<u2").tobytes()
    (found,) = read(*binary(("a", "BF16", [2], raw)))
    assert found.values.tolist() == [1.5, -2.0]  # type: ignore[union-attr]


def test_several_tensors_of_all_kinds_lie_behind_each_other() -> None:
    texts = b"".join(struct.pack("<I", len(text)) + text for text in (b"rot", "grün".encode(), b""))
    request, rest = binary(
        ("a", "FP16", [3, 1], np.array([1, 2, 3], "<f2").tobytes()),
        ("b", "BYTES", [3], texts),
        ("c", "INT8", [3, 2], bytes([1, 2, 3, 4, 5, 255])),
    )
    first, second, third = read(request, rest)
    assert first.values.tolist() == [[1.0], [2.0], [3.0]]  # type: ignore[union-attr]
    assert second.values == ["rot", "grün", ""]
    assert third.values.tolist() == [[1.0, 2.0], [3.0, 4.0], [5.0, -1.0]]  # type: ignore[union-attr]


def test_data_come_flat_or_nested() -> None:
    for data in ([1, 2, 3, 4], [[1, 2], [3, 4]]):
        (found,) = read({"inputs": [tensor(shape=[2, 2], data=data)]})
        assert found.values.tolist() == [[1.0, 2.0], [3.0, 4.0]]  # type: ignore[union-attr]
    (found,) = read({"inputs": [tensor(data=[None, 1.5])]})
    assert np.isnan(found.values[0])  # type: ignore[arg-type]


TWO = np.array([1.0, 2.0]).tobytes()


@pytest.mark.parametrize(
    ("request_", "rest", "pointer", "code"),
    [
        (b"{", b"", "", "invalid_json"),
        (b"[]", b"", "", "wrong_type"),
        ({"inputs": []}, b"", "/inputs", "too_short"),
        ({"inputs": [tensor(data=[1, 2], shape=[-2])]}, b"", "/inputs/0/shape/0", "out_of_range"),
        ({"inputs": [tensor(data=[1, 2], shape=[])]}, b"", "/inputs/0/shape", None),
        ({"inputs": [tensor(data=[1, 2], shape=[2] * 9)]}, b"", "/inputs/0/shape", None),
        ({"inputs": [tensor(data=[1, 2], shape=[10**18, 10**18])]}, b"", "/inputs/0/shape/0", "out_of_range"),
        ({"inputs": [tensor(data=[1, 2], shape=[10**400])]}, b"", "/inputs/0/shape/0", "out_of_range"),
        ({"inputs": [tensor(data=[], shape=[0, 10**30])]}, b"", "/inputs/0/shape/1", "out_of_range"),
        ({"inputs": [tensor(data=[], shape=[1, 0, 2**62])]}, b"", "/inputs/0/shape/2", "out_of_range"),
        ({"inputs": [tensor(data=[], shape=[2, 2**31 - 1])]}, b"", "/inputs/0/shape", "limit_exceeded"),
        ({"inputs": [tensor(data=[], shape=[0, *[2**31 - 1] * 7])]}, b"", "/inputs/0/shape", "limit_exceeded"),
        ({"inputs": [tensor(data=[], shape=[1, 0, *[2**31 - 1] * 3])]}, b"", "/inputs/0/shape", "limit_exceeded"),
        ({"inputs": [tensor(shape=[0, *[2**31 - 1] * 7], parameters={"binary_data_size": 0})]}, b"", "/inputs/0/shape", "limit_exceeded"),
        ({"inputs": [tensor(data=[[1], [10**400]], shape=[2, 1])]}, b"", "/inputs/0/data/1", "out_of_range"),
        ({"inputs": [tensor(str(n), data=[], shape=[0]) for n in range(6)]}, b"", "/inputs", "limit_exceeded"),
        ({"inputs": [tensor(data=[1, 2], shape=[1001])]}, b"", "/inputs/0/shape", "limit_exceeded"),
        ({"inputs": [tensor(data=[1, 2], shape=[3])]}, b"", "/inputs/0/data", "wrong_size"),
        ({"inputs": [tensor(data=[[1, 2], [3]], shape=[2, 2])]}, b"", "/inputs/0/data", "wrong_shape"),
        ({"inputs": [tensor(data=["1", "2"])]}, b"", "/inputs/0/data/0", "wrong_type"),
        ({"inputs": [tensor(datatype="BYTES", data=[1, 2])]}, b"", "/inputs/0/data/0", "wrong_type"),
        ({"inputs": [tensor(datatype="INT8", data=[1, 300])]}, b"", "/inputs/0/data/1", "out_of_range"),
        ({"inputs": [tensor(datatype="UINT8", data=[1, 1.5])]}, b"", "/inputs/0/data/1", "out_of_range"),
        ({"inputs": [tensor(datatype="BOOL", data=[1, 2])]}, b"", "/inputs/0/data/1", "out_of_range"),
        ({"inputs": [tensor(datatype="FP16", data=[1, 1e6])]}, b"", "/inputs/0/data", "not_finite"),
        ({"inputs": [tensor(datatype="BF16", data=[1, 1])]}, b"", "/inputs/0/datatype", "wrong_type"),
        ({"inputs": [tensor(datatype="FP8", data=[1, 1])]}, b"", "/inputs/0/datatype", None),
        ({"inputs": [tensor()]}, b"", "/inputs/0", "missing"),
        ({"inputs": [tensor(data=[1, 2], parameters={"binary_data_size": 16})]}, TWO, "/inputs/0", "missing"),
        ({"inputs": [tensor(parameters={"binary_data_size": 17})]}, TWO, "/inputs/0/parameters/binary_data_size", "wrong_size"),
        ({"inputs": [tensor(parameters={"binary_data_size": -1})]}, TWO, "/inputs/0/parameters/binary_data_size", None),
        ({"inputs": [tensor(parameters={"binary_data_size": 8})]}, TWO, "/inputs/0/parameters/binary_data_size", "wrong_size"),
        ({"inputs": [tensor(data=[1, 2])]}, TWO, "/inputs", "wrong_size"),
        ({"inputs": [tensor(parameters={"shared_memory_region": "r"})]}, b"", "/inputs/0/parameters/shared_memory_region", "unsupported_parameter"),
        ({"inputs": [tensor(data=[1, 2])], "parameters": {"sequence_id": 1}}, b"", "/parameters/sequence_id", "unsupported_parameter"),
        ({"inputs": [tensor(data=[1, 2])], "outputs": [{"name": "y", "parameters": {"classification": 2}}]}, b"", "/outputs/0/parameters/classification", "unsupported_parameter"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_told(request_: Any, rest: bytes, pointer: str, code: str | None) -> None:  # noqa: ANN401 - JSON
    problem = refused(request_, rest)
    assert problem.pointer == pointer
    assert code in {None, problem.code}


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\1\0\0",
        struct.pack("<I", 2**32 - 1) + b"x",
        struct.pack("<I", 1) + b"x",
        struct.pack("<I", 1) + b"x" + struct.pack("<I", 5) + b"x",
        struct.pack("<I", 1) + b"\xff" + struct.pack("<I", 1) + b"x",
        struct.pack("<IcIcc", 1, b"x", 1, b"x", b"y"),
    ],
)
def test_broken_texts_are_told(raw: bytes) -> None:
    assert refused(*binary(("a", "BYTES", [2], raw)), length=None if raw else "9999").code in {
        "unreadable_tensor",
        "invalid_parameter",
    }


@pytest.mark.parametrize("length", ["-1", "1e3", "99999", "٣", "", "9" * 30])
def test_a_length_that_is_none_is_told(length: str) -> None:
    problem = refused({"inputs": [tensor(data=[1, 2])]}, length=length)
    assert (problem.parameter, problem.code) == ("Inference-Header-Content-Length", "invalid_parameter")


def test_infinite_numbers_are_told_and_nan_is_a_gap() -> None:
    raw = np.array([np.nan, np.inf]).tobytes()
    assert refused(*binary(("a", "FP64", [2], raw))).code == "not_finite"
    (found,) = read(*binary(("a", "FP64", [1], raw[:8])))
    assert np.isnan(found.values).all()  # type: ignore[arg-type]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)
SENT = st.fixed_dictionaries(
    {
        "name": st.sampled_from(["a", "b", "input", "", "x"]) | JSON,
        "datatype": st.sampled_from([*DTYPES, "BF16", "BYTES", "FP8"]),
        "shape": st.lists(st.integers(-3, 5) | st.integers(0, 2**64), max_size=4) | JSON,
    },
    optional={
        "data": st.lists(
            st.floats(-1e3, 1e3) | st.integers(0, 3) | st.sampled_from(["red", None]), max_size=6
        )
        | JSON,
        "parameters": st.fixed_dictionaries({"binary_data_size": st.integers(-2, 50) | JSON}) | JSON,
    },
)


@settings(max_examples=400, deadline=None)
@given(
    request=st.fixed_dictionaries({"inputs": st.lists(SENT, max_size=3) | JSON}),
    rest=st.binary(max_size=60),
    cut=st.integers(-3, 3),
    name=st.sampled_from(["linear", "categories", "vectors"]),
)
def test_anything_is_answered_or_refused(request: dict[str, Any], rest: bytes, cut: int, name: str) -> None:
    head = json.dumps(request).encode()
    refusal: InvalidRequest | None = None
    try:
        asked = asyncio.run(tensor_bodies.asked_of(head + rest, str(len(head) + cut)))
        found = predicted(predictor(name), tensor_bodies.tensors_of(asked, SMALL))
    except InvalidRequest as error:
        refusal = error
    if refusal is not None:
        assert all(problem.message for problem in refusal.problems)
        return
    outputs = tensors_of(predictor(name), found)
    body, _ = tensor_bodies.answer_of(asked, outputs, name="m", version="1")
    assert {len(output.values) for output in outputs} == {asked.rows}
    assert orjson.loads(body)["outputs"]


@settings(max_examples=100, deadline=None)
@given(rows=st.lists(st.tuples(*[st.floats(-1e6, 1e6, width=32)] * 2), max_size=6), is_binary=st.booleans())
def test_all_forms_of_the_same_rows_give_the_same_predictions(
    rows: list[tuple[float, float]], *, is_binary: bool
) -> None:
    table = np.array(rows, np.float32).reshape(-1, 2)
    count = len(table)
    apart = [
        ("a", "FP32", [count], table[:, 0].tobytes()),
        ("b", "FP32", [count, 1], table[:, 1].tobytes()),
    ]
    whole = [("input", "FP32", [count, 2], table.tobytes())]
    expected = predictor("linear").predict(
        {"a": table[:, 0].astype(float).tolist(), "b": table[:, 1].astype(float).tolist()}
    )
    for parts in (apart, whole):
        request, rest = binary(*parts)
        if not is_binary:
            for one, (*_, raw) in zip(request["inputs"], parts, strict=True):
                del one["parameters"]
                one["data"] = np.frombuffer(raw, np.float32).tolist()
            rest = b""
        found = predicted(predictor("linear"), read(request, rest))
        assert found.columns["y"].tolist() == expected.columns["y"].tolist()  # type: ignore[union-attr]


def outputs_of(name: str, columns: dict[str, Any]) -> dict[str, tuple[str, tuple[int, ...], list[Any]]]:
    one = predictor(name)
    found = tensors_of(one, one.predict(columns))
    return {output.name: (output.datatype, output.shape, list(output.values)) for output in found}


def test_predictions_become_tensors_of_their_kind() -> None:
    rows = {"a": [0.5, 1.0], "b": [10.0, 20.0]}
    datatype, shape, values = outputs_of("linear", rows)["y"]
    assert (datatype, shape, len(values)) == ("FP64", (2,), 2)
    found = outputs_of("texts", rows)
    assert found["y"][0] == "BYTES"
    assert (
        list(found) == ["y", "probabilities.red", "probabilities.blue", "probabilities.green"]
        or len(found) == 4
    )
    assert outputs_of("numbers as classes", rows)["y"][0] == "FP64"
    assert "std.y" in outputs_of("gaussian", rows)
    assert list(outputs_of("two targets", {"a": [0.5]})) == ["y", "b"]


def test_sequences_end_with_minus_one() -> None:
    (output,) = tensors_of(predictor("linear"), Predicted({"s": [[1, 2], [], [3]]}))
    assert (output.datatype, output.shape) == ("INT64", (3, 2))
    assert output.values.tolist() == [[1, 2], [-1, -1], [3, -1]]
    (output,) = tensors_of(predictor("linear"), Predicted({"s": [[], []]}))
    assert output.shape == (2, 0)


def test_outputs_are_chosen_by_name_and_by_form() -> None:
    outputs = [
        tensor_rows.Output("y", "FP64", (2,), np.array([1.0, np.nan])),
        tensor_rows.Output("c", "BYTES", (2,), ["ü", "x"]),
    ]
    wanted = [{"name": "c", "parameters": {"binary_data": True}}, {"name": "y"}]
    request = {"id": "7", "inputs": [tensor(data=[1, 2])], "outputs": wanted}
    asked = asyncio.run(tensor_bodies.asked_of(json.dumps(request).encode(), None))
    body, length = tensor_bodies.answer_of(asked, outputs, name="m", version="3")
    told = json.loads(body[:length])
    assert (told["model_name"], told["model_version"], told["id"]) == ("m", "3", "7")
    assert told["outputs"][0]["parameters"] == {"binary_data_size": 11}
    assert told["outputs"][1]["data"] == [1.0, None]
    assert body[length:] == to_bytes("BYTES", ["ü", "x"]) == b"\2\0\0\0\xc3\xbc\1\0\0\0x"
    asked = asyncio.run(
        tensor_bodies.asked_of(json.dumps({**request, "outputs": [{"name": "Y"}]}).encode(), None)
    )
    with pytest.raises(InvalidRequest, match="no output `Y`") as error:
        tensor_bodies.answer_of(asked, outputs, name="m", version="3")
    assert error.value.problems[0].hint == "Did you mean `y`?"


def test_an_output_is_sent_once_however_often_it_is_wanted() -> None:
    outputs = [tensor_rows.Output(name, "FP64", (2,), np.array([1.0, 2.0])) for name in ("y", "z")]
    for wanted, code in ((["z", "y", "z"], "duplicate_column"), (["q"] * 1000, "unknown_output")):
        request = {"inputs": [tensor(data=[1, 2])], "outputs": [{"name": name} for name in wanted]}
        asked = asyncio.run(tensor_bodies.asked_of(json.dumps(request).encode(), None))
        with pytest.raises(InvalidRequest) as error:
            tensor_bodies.answer_of(asked, outputs, name="m", version="3")
        problems = error.value.problems
        assert {problem.code for problem in problems} == {code}
        assert all(problem.hint for problem in problems)
        assert len(problems) <= MAX_PROBLEMS
    assert problems[0].pointer == "/outputs/0/name"


def test_what_is_not_followed_is_told_so_many_times_at_most() -> None:
    inputs = [tensor(data=[1, 2], parameters={"shared_memory_region": "r"})] * 1000
    with pytest.raises(InvalidRequest) as error:
        read({"inputs": inputs})
    assert len(error.value.problems) == MAX_PROBLEMS


class Name(str):
    """A name that counts how often one is asked for its hash."""

    __slots__ = ()
    asked = 0

    def __hash__(self) -> int:
        Name.asked += 1
        return super().__hash__()


def test_names_of_inputs_are_looked_at_once() -> None:
    sent = [Tensor(Name(f"x{number}"), "FP64", (1,), np.ones(1)) for number in range(200)]
    Name.asked = 0
    with pytest.raises(InvalidRequest) as error:
        predicted(predictor("linear"), sent)
    assert error.value.problems[0].code == "unknown_column"
    assert Name.asked <= 10 * len(sent)


@pytest.mark.parametrize(
    ("tensors", "pointer", "code"),
    [
        ([("a", (1,)), ("a", (1,))], "/inputs/1/name", "duplicate_column"),
        ([("a", (1,)), ("z", (1,))], "/inputs/1", "unknown_column"),
        ([("a", (1,))], "/inputs", "missing"),
        ([("a", (1, 2)), ("b", (1,))], "/inputs/0/shape", "wrong_shape"),
        ([("a", (1,)), ("b", (2,))], "/inputs", "ragged_columns"),
        ([("input", (1, 3))], "/inputs/0/shape", "wrong_shape"),
        ([("input", (2,))], "/inputs/0/shape", "wrong_shape"),
    ],
)
def test_tensors_that_do_not_fit_the_model_are_told(
    tensors: list[tuple[str, tuple[int, ...]]], pointer: str, code: str
) -> None:
    sent = [Tensor(name, "FP64", shape, np.ones(shape)) for name, shape in tensors]
    with pytest.raises(InvalidRequest) as error:
        predicted(predictor("linear"), sent)
    assert (error.value.problems[0].pointer, error.value.problems[0].code) == (pointer, code)


def test_a_gap_in_the_tensor_of_all_features_is_told_where_it_is() -> None:
    sent = [Tensor("input", "FP64", (2, 2), np.array([[1.0, 2.0], [3.0, np.nan]]))]
    with pytest.raises(InvalidRequest) as error:
        predicted(predictor("linear"), sent)
    assert (error.value.problems[0].pointer, error.value.problems[0].code) == (
        "/inputs/0/data/3",
        "missing_values",
    )
    categories = [Tensor("a", "FP64", (1,), np.ones(1)), Tensor("colour", "BYTES", (1,), ["pink"])]
    with pytest.raises(InvalidRequest) as error:
        predicted(predictor("categories"), categories)
    assert (error.value.problems[0].pointer, error.value.problems[0].code) == (
        "/inputs/1/data/0",
        "unknown_category",
    )
