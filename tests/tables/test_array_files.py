"""npy, npz and IDX: columns that are arrays, and headers that lie."""

import gzip
import io
import pickle
import struct
import zipfile
from typing import Any

import numpy as np
import pytest

from service.exceptions import DatasetTooLarge
from tests.tables.uploads import columns, problems, read


def npy(array: Any) -> bytes:  # noqa: ANN401
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def npz(**arrays: Any) -> bytes:  # noqa: ANN401
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()


def idx(array: np.ndarray, kind: int = 8) -> bytes:
    return struct.pack(f">HBB{array.ndim}I", 0, kind, array.ndim, *array.shape) + array.tobytes()


def with_header(described: str) -> bytes:
    """An npy file with any header at all."""
    text = described.encode().ljust(117) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + b"\0" * 64


IMAGES = np.arange(24, dtype=np.uint8).reshape(4, 2, 3)


def test_an_idx_file_is_one_column_named_by_its_rank() -> None:
    images = read(idx(IMAGES), "idx")
    assert np.array_equal(images.arrays["image"], IMAGES)
    assert images.schema.by_name["image"].shape == (2, 3)
    assert columns(read(idx(IMAGES[:, 0, 0]), "idx")) == {"label": [0, 6, 12, 18]}
    assert list(columns(read(idx(IMAGES), "idx", column="pixels"))) == ["pixels"]


def test_a_packed_idx_file_is_unpacked_however_often_it_was_packed() -> None:
    packed = gzip.compress(idx(IMAGES))
    assert np.array_equal(read(packed, "idx").arrays["image"], IMAGES)
    assert np.array_equal(read(gzip.compress(packed), "idx", gzip=True).arrays["image"], IMAGES)
    assert problems(idx(IMAGES), "idx", gzip=True)[0].code == "unreadable_file"
    assert problems(packed[:-9], "idx")[0].code == "unreadable_file"


def test_idx_numbers_of_several_bytes() -> None:
    assert columns(read(idx(np.array([1, -2], ">i4"), 0x0C), "idx"))["label"] == [1, -2]
    assert columns(read(idx(np.array([1.5, -2], ">f8"), 0x0E), "idx"))["label"] == [1.5, -2.0]


def test_an_npz_file_holds_several_columns() -> None:
    frame = read(
        npz(
            image=IMAGES,
            label=np.array([0, 1, 0, 1]),
            text=np.array(["b", "a", "b", "ü"]),
            raw=np.array([b"x", b"y", b"x", b"x"]),
            day=np.array(["1970-01-02", "NaT", "1970-01-01", "1970-01-01"], "M8[D]"),
            span=np.array([1, 2, 3, 4], "m8[m]"),
            flag=np.array([True, False, True, True]),
            big=np.arange(4, dtype=">f4"),
            turned=np.asfortranarray(np.arange(8.0).reshape(4, 2)),
        ),
        "npz",
    )
    assert np.array_equal(frame.arrays["image"], IMAGES)
    assert np.array_equal(frame.arrays["turned"], np.arange(8.0).reshape(4, 2))
    found = columns(frame)
    assert found["text"] == ["b", "a", "b", "ü"]
    assert found["raw"] == ["x", "y", "x", "x"]
    assert found["day"] == [86400.0, None, 0.0, 0.0]
    assert found["span"] == [60.0, 120.0, 180.0, 240.0]
    assert found["flag"] == [1, 0, 1, 1]
    assert found["big"] == [0.0, 1.0, 2.0, 3.0]


def test_an_npy_file_is_one_column() -> None:
    assert columns(read(npy(np.array([1.0, np.nan])), "npy")) == {"values": [1.0, None]}
    assert columns(read(npy(np.array([[1, 2]])), "npy", column="pair")) == {"pair": [[1, 2]]}


LARGE = 2**53


@pytest.mark.parametrize("dtype", ["i8", ">i8", "u8"])
def test_whole_numbers_that_a_float_does_not_hold_are_refused_with_their_row(dtype: str) -> None:
    (told,) = problems(npz(y=np.arange(3), id=np.array([LARGE, LARGE + 1, LARGE + 2], dtype)), "npz")
    assert (told.code, "`id`" in told.message, "row 2," in told.message) == ("inexact_integer", True, True)
    assert "as text" in told.hint
    (told,) = problems(npy(np.array([[1, 2], [3, np.iinfo(dtype).max]], dtype)), "npy")
    assert (told.code, "row 2," in told.message) == ("inexact_integer", True)


def test_large_whole_numbers_that_a_float_holds_are_kept() -> None:
    values = [LARGE, -LARGE, 2**62, -(2**63)]
    frame = read(npy(np.array(values)), "npy")
    assert columns(frame) == {"values": values}
    assert frame.schema.by_name["values"].values == tuple(sorted(map(float, values)))


def test_the_unit_of_dates_is_told() -> None:
    day, span = np.array(["1970-01-02"], "M8[D]"), np.array([1], "m8[s]")
    frame = read(npz(day=day, span=span, x=np.ones(1), days=day[:, None]), "npz")
    units = {column.name: column.unit for column in frame.schema.columns}
    moment = "seconds since 1970"
    assert units == {"day": moment, "span": None, "x": None, "days": moment}


def test_a_row_that_is_too_long_for_any_setting_says_so() -> None:
    with pytest.raises(DatasetTooLarge) as error:
        read(with_header("{'descr': '|u1', 'fortran_order': False, 'shape': (1, 99999999), }"), "npy")
    assert "fixed" in error.value.hint
    assert "operator" not in error.value.hint


class _Bomb:
    def __reduce__(self) -> Any:  # noqa: ANN401
        return (open, ("/nonexistent/fitd-was-here", "w"))


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (npy(np.array([{}, 1], object)), "unsupported_type"),
        (npy(np.array([1j, 2])), "unsupported_type"),
        (npy(np.zeros(2, "f4,i4")), "unsupported_type"),
        (npy(np.float64(3)), "unsupported_type"),
        (npy(np.zeros((3, 0))), "unsupported_type"),
        (npy(np.zeros(0)), "empty_data"),
        (npy(np.array([1.0, np.inf])), "data_not_finite"),
        (npy(np.array([[1.0], [np.nan]])), "data_not_finite"),
        (npy(np.arange(5.0))[:-1], "unreadable_file"),
        (npy(np.arange(5.0)) + b"x", "unreadable_file"),
        (pickle.dumps(_Bomb()), "unreadable_file"),
        (b"\x93NUMPY\x01\x00", "unreadable_file"),
        (b"\x93NUMPY\x07\x00" + b"\0" * 200, "unreadable_file"),
        (with_header("{'descr': '<f8', 'fortran_order': False, 'shape': (-3,), }"), "unsupported_type"),
        (with_header("{'descr': '<f8', 'fortran_order': False, 'shape': (9,), }"), "unreadable_file"),
        (with_header("{'descr': '|V9999999999', 'fortran_order': 0, 'shape': (1,), }"), "unreadable_file"),
        (with_header("{'descr': '|O', 'fortran_order': False, 'shape': (1,), }"), "unsupported_type"),
        (with_header("(" * 90), "unreadable_file"),
        (with_header("__import__('os').getpid()"), "unreadable_file"),
    ],
)
def test_npy_files_that_are_refused(data: bytes, code: str) -> None:
    assert [one.code for one in problems(data, "npy")] == [code]


def test_npz_files_that_are_refused() -> None:
    assert problems(b"junk", "npz")[0].code == "unreadable_file"
    assert problems(npz(), "npz")[0].code == "unreadable_file"
    (ragged,) = problems(npz(a=np.zeros(2), b=np.zeros(3)), "npz")
    assert ragged.code == "ragged_columns"
    assert "`a` has 2, `b` has 3" in ragged.message
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("../../evil.txt", "x")
    assert problems(buffer.getvalue(), "npz")[0].code == "unreadable_file"


def test_idx_files_that_are_refused() -> None:
    for data in (b"", b"\0\0", b"\0\0\x08\x00", b"\0\0\x08\xff" + b"\0" * 2000, b"\1\2\3\4\5\6\7\x08"):
        assert problems(data, "idx")[0].code in {"unreadable_file", "empty_data"}


@pytest.mark.parametrize(
    "shape", ["(10**3, 2)", "(10000000000000,)", "(2, 9999999999)", "(9999999, 9999999)"]
)
def test_a_header_that_promises_too_much_is_not_believed(shape: str) -> None:
    data = with_header(f"{{'descr': '<f8', 'fortran_order': False, 'shape': {shape}, }}")
    try:
        told = problems(data, "npy")
    except DatasetTooLarge:
        return
    assert told[0].code == "unreadable_file"
