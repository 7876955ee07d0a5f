"""The loops of `make chaos`, two kills each."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.chaos import loops
from tests.chaos.loops import Finding
from tests.chaos.stage import DATABASES, Stage, on_stage
from tests.postgres import what_is_missing

Loop = Callable[[Stage, int], Finding]


@pytest.mark.timeout(300)
@pytest.mark.parametrize("database", DATABASES)
@pytest.mark.parametrize("loop", [loops.api_killed, loops.everything_killed, loops.one_key])
def test_a_promise_holds_under_a_few_kills(tmp_path: Path, loop: Loop, database: str) -> None:
    if database == "postgresql" and (missing := what_is_missing()):
        pytest.skip(missing)
    with on_stage(tmp_path, database, seed=4) as stage:
        found = loop(stage, 2)
    assert found.held, found.figures
