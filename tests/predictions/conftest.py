"""A desk with models and datasets over a fresh database."""

from pathlib import Path

import pytest

from service.db import Database
from tests.predictions.prediction_desk import PredictionDesk


@pytest.fixture
def desk(tmp_path: Path, database: Database) -> PredictionDesk:
    desk = PredictionDesk(tmp_path / "data", database)
    desk.live()
    return desk
