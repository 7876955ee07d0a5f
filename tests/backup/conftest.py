"""A household whose things are carried away, and a place to carry them to."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from service.db import Database
from tests.conftest import SYSTEMS
from tests.retention.household import Household


@pytest.fixture
def house(database: Database, tmp_path: Path) -> Household:
    return Household(tmp_path / "data", database)


@pytest.fixture(params=list(SYSTEMS))
def elsewhere(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Household]:
    """A household with nothing in it, not even a schema, on either system."""
    with SYSTEMS[request.param](request, migrated=False, name="elsewhere") as database:
        yield Household(tmp_path / "elsewhere", database)


@pytest.fixture
def dest(tmp_path: Path) -> Path:
    return tmp_path / "backup"
