"""Small uploads that would be large once unpacked end with a reason, in a process whose memory is bounded."""

import gzip
import io
import struct
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from service.tables.child import DISK_FULL, FAILED, OUT_OF_MEMORY, REFUSED
from service.tables.orders import Format
from tests.tables.uploads import BUDGET, in_child, order

MEGABYTE = 2**20
MEMORY = 256 * MEGABYTE
SMALL = BUDGET.model_copy(update={"memory_bytes": MEMORY, "max_rows": 1_000_000})
START = 128 * MEGABYTE
"""What the process takes before it reads anything, and a little."""


def packed(chunk: bytes, times: int) -> bytes:
    buffer = io.BytesIO()
    with gzip.GzipFile(fileobj=buffer, mode="wb", compresslevel=9) as file:
        for _ in range(times):
            file.write(chunk)
    return buffer.getvalue()


def parquet_of_zeros() -> bytes:
    """A few kilobytes that say they are 50 million rows."""
    table = pa.table({"x": pa.array(np.zeros(1_000_000))})
    buffer = io.BytesIO()
    with pq.ParquetWriter(buffer, table.schema, compression="zstd") as writer:
        for _ in range(50):
            writer.write_table(table)
    return buffer.getvalue()


def parquet_of_one_huge_text() -> bytes:
    """A few kilobytes that are one text of 128 megabytes, a thousand times."""
    texts = pa.DictionaryArray.from_arrays(np.zeros(1000, np.int32), pa.array(["x" * 128 * MEGABYTE]))
    buffer = io.BytesIO()
    pq.write_table(pa.table({"s": texts}), buffer, compression="zstd")
    return buffer.getvalue()


def arrow_of_nothing() -> bytes:
    """Fifty thousand million rows that take no bytes at all."""
    table = pa.table({"n": pa.nulls(10**9)})
    buffer = io.BytesIO()
    with pa.ipc.new_stream(buffer, table.schema) as writer:
        for _ in range(50):
            writer.write_batch(table.to_batches()[0])
    return buffer.getvalue()


def npz_that_lies(rows: int, body: bytes) -> bytes:
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f8", "fortran_order": False, "shape": (rows,)})
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x.npy", header.getvalue() + body)
    return buffer.getvalue()


BOMBS: list[tuple[Format, Callable[[], bytes], set[int]]] = [
    ("csv", lambda: packed(b"\0" * MEGABYTE, 512), {REFUSED}),
    ("csv", lambda: packed(b"1\n" * (MEGABYTE // 2), 64), {REFUSED}),
    ("csv", lambda: packed(b"," * MEGABYTE, 64), {REFUSED}),
    ("csv", lambda: packed(b'"' * MEGABYTE, 64), {REFUSED}),
    ("csv", lambda: packed(b'"a\n' * (MEGABYTE // 3), 16), {REFUSED}),
    ("ndjson", lambda: packed(b"{" * MEGABYTE, 64), {REFUSED}),
    ("ndjson", lambda: "\n".join(f'{{"k{n}": 1}}' for n in range(20_000)).encode(), {REFUSED}),
    ("parquet", parquet_of_zeros, {REFUSED}),
    ("parquet", parquet_of_one_huge_text, {REFUSED, OUT_OF_MEMORY, -6}),
    ("arrow", arrow_of_nothing, {REFUSED}),
    ("npz", lambda: npz_that_lies(1_000_000, b"\0" * 800), {REFUSED}),
    ("npz", lambda: npz_that_lies(10**12, b"\0" * 800), {REFUSED}),
    ("npz", lambda: npz_that_lies(1_000_000, b"\0" * 200 * MEGABYTE), {REFUSED}),
    ("npy", lambda: packed(b"\x93NUMPY\x01\x00\xff\xff" + b"(" * 65535, 1), {REFUSED}),
    ("idx", lambda: struct.pack(">HBB3I", 0, 8, 3, 10**6, 2**31, 28), {REFUSED}),
]


@pytest.mark.parametrize(("kind", "bomb", "codes"), BOMBS)
def test_a_bomb_does_no_harm(kind: Format, bomb: Callable[[], bytes], codes: set[int]) -> None:
    data = bomb()
    assert len(data) < MEGABYTE
    ended = in_child(order(data, kind, budget=SMALL))
    assert ended.code in codes, ended
    assert ended.peak_bytes < START + MEMORY, ended.peak_bytes / MEGABYTE
    assert ended.manifest is None
    assert ended.code != REFUSED or (ended.refusal and ended.refusal.message and ended.refusal.hint)


def test_memory_does_not_grow_with_the_rows() -> None:
    lines = b"".join(b"%d,%.3f,w%d\n" % (n, n / 7, n % 50) for n in range(100_000))
    budget = BUDGET.model_copy(update={"memory_bytes": MEMORY})
    peaks = []
    for times in (15, 45):
        ended = in_child(order(b"a,b,c\n" + lines * times, budget=budget))
        assert ended.manifest is not None
        assert ended.manifest.table.rows == 100_000 * times
        peaks.append(ended.peak_bytes)
    assert peaks[1] < peaks[0] + 32 * MEGABYTE


def test_time_is_bounded() -> None:
    # Unpacked it is 256 megabytes of lines, each of which is to be told: there is one second for it.
    data = packed(b'"a\n1' * (MEGABYTE // 4), 256)
    started = time.monotonic()
    budget = BUDGET.model_copy(update={"seconds": 1.0})
    ended = in_child(order(data, "ndjson", budget=budget))
    assert ended.code in {-24, REFUSED}
    assert time.monotonic() - started < 30


def test_room_is_left_on_the_disk() -> None:
    budget = BUDGET.model_copy(update={"keep_free_bytes": 2**60})
    ended = in_child(order(b"a\n1\n", budget=budget))
    assert ended.code == DISK_FULL
    assert not list(ended.folder.glob("*.npy"))


def test_the_reader_ends_with_whoever_ordered() -> None:
    asked = order(packed(b"1.25,abc\n" * (MEGABYTE // 9), 150))
    process = subprocess.Popen([sys.executable, "-m", "service.tables.child"], stdin=subprocess.PIPE)
    assert process.stdin is not None
    process.stdin.write(asked.model_dump_json().encode() + b"\n")
    process.stdin.flush()
    time.sleep(0.5)
    process.stdin.close()
    assert process.wait(10) == FAILED
