"""The page of the results: one section for each part, each with its own date, so that one part can be measured alone."""

import os
import platform
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path

import torch

from service import __version__

__all__ = ["duration", "machine", "table", "times", "write"]


def machine() -> str:
    """Say when, with what and on what something was measured."""
    today = datetime.now().astimezone().date().isoformat()
    versions = f"fitd {__version__}, Python {platform.python_version()}, torch {torch.__version__}"
    cores = f"{len(os.sched_getaffinity(0))} cores, {torch.backends.cpu.get_cpu_capability()}"
    return f"Measured: {today}, {versions}; {_processor()}, {cores}, {_memory()}, {platform.system()}.\n"


def _processor() -> str:
    found = re.search(r"model name\s*: (.+)", Path("/proc/cpuinfo").read_text("utf-8"))
    return found.group(1) if found else platform.machine()


def _memory() -> str:
    return f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GiB"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Write a table in Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def times(factor: float | None) -> str:
    """Write how many times faster something is."""
    if factor is None:
        return "-"
    return f"{factor:,.0f} x" if factor >= 100 else f"{factor:.3g} x"


def duration(seconds: float) -> str:
    """Write a time in the unit in which it is read best."""
    return f"{seconds:.2f} s" if seconds >= 1 else f"{1e3 * seconds:.3g} ms"


def write(path: Path, sections: Mapping[str, str]) -> None:
    """Replace these sections of a page, each between comments with its name, and leave everything else as it is."""
    text = path.read_text("utf-8")
    for name, section in sections.items():
        begin, end = f"<!-- {name}: written by make bench -->\n", f"<!-- end of {name} -->"
        before, rest = text.split(begin)
        text = f"{before}{begin}\n{section.strip()}\n\n{end}{rest.split(end, 1)[1]}"
    path.write_text(text, "utf-8")
