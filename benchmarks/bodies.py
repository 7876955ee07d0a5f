"""A million numbers in a body: reading a spec that has them in it, against the fastest parser of its text."""

import json
from collections.abc import Iterator

import numpy as np
import orjson

from benchmarks.jobs import TUTORIAL
from benchmarks.page import duration, table
from benchmarks.timing import interleaved, medians, timed
from service.spec.intake import parse
from service.spec.limits import Limits

__all__ = ["section"]

NUMBERS = 1_000_000


def section(*, rounds: int, quick: bool = False) -> str:
    """Measure; give the table."""
    lines = list(_lines(rounds, NUMBERS // 100 if quick else NUMBERS))
    return table(("inline columns", "bytes", "orjson.loads", "read and checked", "against orjson"), lines)


def _lines(rounds: int, numbers: int) -> Iterator[list[str]]:
    for columns in (2, 20):
        rng = np.random.default_rng(0)
        names = [*(f"x{number}" for number in range(columns - 1)), "y"]
        values = {name: rng.normal(size=numbers // columns).tolist() for name in names}
        data = {"type": "inline", "columns": values, "target": "y"}
        body = json.dumps({**TUTORIAL, "data": data}).encode()
        calls = {
            "orjson": lambda body=body: {"orjson": timed(lambda: orjson.loads(body))[0]},
            "fitd": lambda body=body: {"fitd": timed(lambda: parse(body, Limits()))[0]},
        }
        found = medians(interleaved(calls, rounds))
        shown = [duration(found["orjson"]), duration(found["fitd"]), f"{found['fitd'] / found['orjson']:.2f}"]
        yield [f"{numbers // columns:,} x {columns}", f"{len(body):,}", *shown]
