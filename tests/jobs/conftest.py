"""A desk over a fresh database."""

import pytest

from service.db import Database
from tests.jobs.desk import Desk


@pytest.fixture
def desk(database: Database) -> Desk:
    return Desk(database)
