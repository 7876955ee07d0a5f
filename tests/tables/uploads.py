"""Reading files as the service does, in this process or in one of its own, for tests."""

import os
import re
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from service.exceptions import InvalidDataset, Problem, ServiceError
from service.tables.child import ENVIRONMENT, REFUSAL, Refusal
from service.tables.files import Manifest, open_dataset
from service.tables.frame import Frame
from service.tables.orders import Budget, Format, ReadOptions, ReadOrder
from service.tables.reading import read_table

_FOLDER = tempfile.TemporaryDirectory(prefix="fitd-tables-")
"""Holds all uploads of a test run; it goes when the run ends."""
BUDGET = Budget(
    max_rows=10_000_000,
    max_columns=10_001,
    max_unpacked_bytes=2 * 2**30,
    max_stored_bytes=8 * 2**30,
    memory_bytes=512 * 2**20,
    seconds=60,
)


def order(data: bytes, kind: Format = "csv", *, budget: Budget = BUDGET, **options: Any) -> ReadOrder:  # noqa: ANN401
    """Lay an upload down in a new folder."""
    root = Path(tempfile.mkdtemp(dir=_FOLDER.name))
    source, folder = root / "upload", root / "columns"
    folder.mkdir()
    source.write_bytes(data)
    return ReadOrder(
        source=source,
        folder=folder,
        digest="0" * 64,
        sha256="1" * 64,
        options=ReadOptions(format=kind, **options),
        budget=budget,
    )


def read(data: bytes | str, kind: Format = "csv", **options: Any) -> Frame:  # noqa: ANN401
    """Read an upload and open it."""
    raw = data.encode() if isinstance(data, str) else data
    asked = order(raw, kind, **options)
    read_table(asked)
    return open_dataset(asked.folder)


def columns(frame: Frame) -> dict[str, list[Any]]:
    """All values by column, categories as their texts, missing as None."""
    found: dict[str, list[Any]] = {}
    for column in frame.schema.columns:
        values = frame.arrays[column.name].tolist()
        if column.kind == "category":
            texts = column.values or ()
            found[column.name] = [texts[code] if code >= 0 else None for code in values]
        else:
            found[column.name] = [None if value != value else value for value in values]  # noqa: PLR0124 - NaN
    return found


def problems(data: bytes | str, kind: Format = "csv", **options: Any) -> list[Problem]:  # noqa: ANN401
    """Read a bad upload and give what is told about it."""
    with pytest.raises(InvalidDataset) as error:
        read(data, kind, **options)
    assert all(problem.hint for problem in error.value.problems)
    return error.value.problems


def read_or_refused(data: bytes | str, kind: Format = "csv") -> Frame | ServiceError:
    """Read an upload; any other error than a refusal is raised."""
    try:
        return read(data, kind)
    except ServiceError as error:
        return error


@dataclass(frozen=True)
class Ended:
    """How a reading process ended.

    Attributes:
        peak_bytes: The most memory that it had resident.
    """

    code: int
    peak_bytes: int
    refusal: Refusal | None
    manifest: Manifest | None
    folder: Path


def in_child(asked: ReadOrder) -> Ended:
    """Run the real reading process, and measure it."""
    command = [sys.executable, "-m", "service.tables.child"]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, env={**os.environ, **ENVIRONMENT})
    assert process.stdin is not None
    process.stdin.write(asked.model_dump_json().encode() + b"\n")
    process.stdin.flush()
    peak = 0
    while process.poll() is None:
        peak = max(peak, _peak_of(process.pid))
        time.sleep(0.002)
    process.stdin.close()
    refusal, manifest = asked.folder / REFUSAL, asked.folder / "manifest.json"
    return Ended(
        process.returncode,
        peak,
        Refusal.model_validate_json(refusal.read_bytes()) if refusal.exists() else None,
        Manifest.model_validate_json(manifest.read_bytes()) if manifest.exists() else None,
        asked.folder,
    )


def _peak_of(pid: int) -> int:
    """The most memory that a process has had resident. What `wait4` tells would count the parent's in."""
    try:
        found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text("ascii"))
    except OSError:
        return 0
    return int(found[1]) * 1024 if found else 0
