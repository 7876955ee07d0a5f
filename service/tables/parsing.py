"""Having a file read by a process of its own: a bad file kills that one, and nothing else."""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

from service.exceptions import DatasetTooLarge, DiskFull, InvalidDataset, ServiceError
from service.tables.child import DISK_FULL, ENVIRONMENT, OUT_OF_MEMORY, REFUSAL, REFUSED, Refusal
from service.tables.orders import ReadOrder
from service.tables.sources import unreadable

__all__ = ["ReaderFailed", "read_in_child"]

_LOOK_SECONDS = 0.5
"""How often it is asked whether anybody still waits for the answer."""
_OF_MEMORY = {signal.SIGKILL, signal.SIGABRT}


class ReaderFailed(Exception):
    """The reading process ended in a way that is a fault of the service.

    Attributes:
        report: What it wrote to standard error.
    """

    def __init__(self, report: str) -> None:
        super().__init__(report)
        self.report = report


async def read_in_child(order: ReadOrder, *, gone: Callable[[], Awaitable[bool]]) -> bool:
    """Have a file read into the order's folder.

    Args:
        order: What to read.
        gone: Asked now and then; when it says yes, reading is given up.

    Returns:
        Whether it was read to its end: False when it was given up.

    Raises:
        InvalidDataset: The file cannot be read as a table.
        DatasetTooLarge: It needs more rows, columns, bytes or memory than the budget allows, or more time.
        DiskFull: There is no room for the columns.
        ReaderFailed: The process failed for a reason of its own.
    """
    log = order.folder / "reader.log"
    with log.open("wb") as file:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "service.tables.child"),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=file,
            env={**os.environ, **ENVIRONMENT},
        )
    try:
        ended = await _end_of(process, order, gone)
    finally:
        # On every way out, a cancelled request too, the process is gone before its folder is.
        await _kill(process)
    if ended:
        _judge(process.returncode or 0, order, log)
        log.unlink()
    return ended


async def _end_of(
    process: asyncio.subprocess.Process, order: ReadOrder, gone: Callable[[], Awaitable[bool]]
) -> bool:
    """Hand the order over and wait for the process to end; False when nobody waits any more."""
    if process.stdin is not None:
        with contextlib.suppress(ConnectionError):
            process.stdin.write(order.model_dump_json().encode() + b"\n")
            await process.stdin.drain()
    deadline = asyncio.get_running_loop().time() + order.budget.seconds
    while True:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(process.wait(), _LOOK_SECONDS)
            return True
        if await gone():
            return False
        if asyncio.get_running_loop().time() > deadline:
            raise _too_slow(order)


async def _kill(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await asyncio.shield(process.wait())


def _judge(code: int, order: ReadOrder, log: Path) -> None:
    """Say in an exception how the process ended; nothing when all is well."""
    if code == 0:
        return
    if code == REFUSED:
        raise _refusal(Refusal.model_validate_json((order.folder / REFUSAL).read_bytes()))
    if code == DISK_FULL:
        raise DiskFull
    if code == -signal.SIGXCPU:
        raise _too_slow(order)
    if code == OUT_OF_MEMORY or -code in _OF_MEMORY:
        raise DatasetTooLarge(
            f"Reading the file takes more than {order.budget.memory_bytes:,} bytes of memory.",
            hint="Send it with smaller rows or batches, or as CSV, or ask the operator to raise "
            "FITD_PARSE_MEMORY_BYTES.",
        )
    if code < 0:
        name = signal.Signals(-code).name
        raise unreadable(f"The process that read the file died of it ({name}): the file seems to be damaged.")
    raise ReaderFailed(log.read_text("utf-8", "replace")[-4000:])


def _refusal(refusal: Refusal) -> ServiceError:
    if refusal.problems is None:
        return DatasetTooLarge(refusal.message, hint=refusal.hint)
    return InvalidDataset(list(refusal.problems), refusal.message)


def _too_slow(order: ReadOrder) -> DatasetTooLarge:
    return DatasetTooLarge(
        f"Reading the file takes longer than {order.budget.seconds:g} seconds.",
        hint="Send it as Parquet or npz, which are read faster, or ask the operator to raise FITD_PARSE_SECONDS.",
    )
