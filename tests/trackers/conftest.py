"""A ledger over a fresh database, and MLflow's own store in a file."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from service.db import Database
from service.trackers.to_mlflow import Mlflow
from service.trackers.to_tensorboard import TensorBoard
from tests.conftest import SYSTEMS
from tests.trackers.ledger import Ledger, client_of


@pytest.fixture
def ledger(request: pytest.FixtureRequest) -> Iterator[Ledger]:
    """On SQLite alone: the statements are tested on both systems, the telling does not depend on them."""
    with SYSTEMS["sqlite"](request, migrated=True) as database:
        yield Ledger(database)


@pytest.fixture
def on_each(database: Database) -> Ledger:
    """On SQLite and on PostgreSQL."""
    return Ledger(database)


@pytest.fixture
def board(tmp_path: Path) -> TensorBoard:
    return TensorBoard(tmp_path / "board")


@pytest.fixture(scope="session")
def mlflow_uri(tmp_path_factory: pytest.TempPathFactory) -> str:
    """MLflow's tables take a second to make."""
    return f"sqlite:///{tmp_path_factory.mktemp('mlflow')}/mlflow.db"


@pytest.fixture
def mlflow(mlflow_uri: str, tmp_path: Path, request: pytest.FixtureRequest) -> Mlflow:
    """An experiment of its own for each test; its files do not go into the present folder."""
    name = request.node.name
    sink = Mlflow(mlflow_uri, experiment=name, artifacts=True)
    client_of(mlflow_uri).create_experiment(name, artifact_location=str(tmp_path / "artifacts"))
    return sink
