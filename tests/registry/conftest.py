"""A desk with models over a fresh database."""

import pytest

from service.db import Database
from tests.registry.model_desk import ModelDesk


@pytest.fixture
def desk(database: Database) -> ModelDesk:
    return ModelDesk(database)
