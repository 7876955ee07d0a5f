"""A household over a fresh database."""

from pathlib import Path

import pytest

from service.db import Database
from tests.retention.household import Household


@pytest.fixture
def house(database: Database, tmp_path: Path) -> Household:
    return Household(tmp_path, database)
