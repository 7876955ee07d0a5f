"""Pages of mapped columns are given back, and nothing is lost."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from service.tables.pages import release


def resident() -> int:
    """Bytes of mapped files in this process."""
    fields = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(fields["RssFile"].split()[0]) * 1024


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="only Linux tells how much is resident")
def test_pages_of_a_mapped_column_leave_the_process_and_come_back(tmp_path: Path) -> None:
    size = 32 * 2**20
    (tmp_path / "column").write_bytes(np.arange(size // 8).tobytes())
    with pa.memory_map(str(tmp_path / "column")) as mapped:
        column = np.frombuffer(mapped.read_buffer(), dtype=np.int64)
    total, before = column.sum(), resident()
    release(column)
    assert before - resident() > 0.9 * size
    assert column.sum() == total


def test_an_array_in_memory_keeps_its_values() -> None:
    column = np.arange(1_000_000)
    release(column)
    release(column[::2])
    assert column.sum() == 499999500000


def test_a_buffer_that_can_be_written_keeps_its_values() -> None:
    column = np.frombuffer(bytearray(np.arange(100_000).tobytes()), dtype=np.int64)
    release(column)
    assert column[-1] == 99_999
