"""A desk with sweeps over a fresh database."""

import pytest

from service.db import Database
from tests.sweeps.sweep_desk import SweepDesk


@pytest.fixture
def desk(database: Database) -> SweepDesk:
    return SweepDesk(database)
