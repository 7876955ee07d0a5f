"""The reading process seen from outside: what it says, and that it is gone when nobody waits."""

import asyncio
import gzip
import time
from pathlib import Path

import pytest

from service.exceptions import DatasetTooLarge, DiskFull, InvalidDataset
from service.tables.files import read_manifest
from service.tables.orders import ReadOrder
from service.tables.parsing import read_in_child
from tests.tables.uploads import BUDGET, order

LONG = gzip.compress(b"1.25,abc\n" * 5_000_000, compresslevel=1)


async def stays() -> bool:
    return False


async def leaves() -> bool:
    return True


def run(asked: ReadOrder, *, stay: bool = True) -> bool:
    return asyncio.run(read_in_child(asked, gone=stays if stay else leaves))


def readers() -> int:
    """How many reading processes there are of this user's, in any state but dead."""
    found = 0
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            found += b"service.tables.child" in path.read_bytes()
        except OSError:
            continue
    return found


def test_a_good_file_leaves_a_manifest_and_no_log() -> None:
    asked = order(b"x\n1\n")
    assert run(asked)
    assert read_manifest(asked.folder).table.rows == 1
    assert sorted(path.name for path in asked.folder.iterdir()) == ["column-00000.npy", "manifest.json"]


def test_problems_come_back_whole() -> None:
    with pytest.raises(InvalidDataset) as error:
        run(order(b"a,b\n1\n1,2,3\n"))
    assert [one.code for one in error.value.problems] == ["wrong_field_count"] * 2
    assert error.value.message == "The file has 2 problems."


@pytest.mark.parametrize(
    ("budget", "error"),
    [
        ({"max_rows": 1}, DatasetTooLarge),
        ({"seconds": 0.1}, DatasetTooLarge),
        ({"memory_bytes": 2**20}, DatasetTooLarge),
        ({"keep_free_bytes": 2**60}, DiskFull),
    ],
)
def test_each_budget_has_its_own_reason(budget: dict[str, int], error: type[Exception]) -> None:
    with pytest.raises(error) as told:
        run(order(LONG, budget=BUDGET.model_copy(update=budget)))
    assert told.value.hint  # type: ignore[attr-defined]


def test_a_caller_who_leaves_ends_the_process() -> None:
    before, started = readers(), time.monotonic()
    assert not run(order(LONG), stay=False)
    assert time.monotonic() - started < 5
    assert readers() <= before


def test_a_cancelled_request_ends_the_process() -> None:
    async def cancelled() -> None:
        task = asyncio.create_task(read_in_child(order(LONG), gone=stays))
        await asyncio.sleep(0.3)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    before = readers()
    asyncio.run(cancelled())
    assert readers() <= before
