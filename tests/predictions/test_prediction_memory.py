"""A million rows of twenty numbers are predicted in bounded memory."""

import subprocess
import sys
from pathlib import Path

from tests.conftest import ROOT

ROWS, FEATURES, MEGABYTES = 1_000_000, 20, 300


def test_a_million_rows_take_little_memory(tmp_path: Path) -> None:
    """In a process of its own: what it held at most is measured by the system."""
    command = [sys.executable, "-m", "tests.predictions.many_rows", str(tmp_path), str(ROWS), str(FEATURES)]
    found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    before, peak, rows, unpredicted = map(int, found.stdout.split())
    assert (rows, unpredicted) == (ROWS, 0)
    # Beside what torch takes before any row is read; up to 128 MB of it are pages of the mapped files.
    assert peak - before < MEGABYTES * 2**20
