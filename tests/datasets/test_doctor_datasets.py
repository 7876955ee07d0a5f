"""The doctor reads every dataset, and tells which are not as they were written."""

import shutil
from pathlib import Path

import pytest

from service import doctor, migrations
from service.datasets import service
from service.db import Database
from service.settings import Settings
from service.tables.files import read_manifest
from service.tables.reading import read_table
from service.tables.store import DatasetStore
from tests.tables.uploads import order

DIGEST = "0" * 64


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Those of a data folder with one dataset in it."""
    settings = Settings(data_dir=tmp_path)
    database = Database(settings.effective_database_url)
    migrations.migrate(database)
    asked = order(b"x,c\n1,a\n2,b\n")
    read_table(asked)
    folder = DatasetStore(settings.datasets_dir).folder(DIGEST)
    shutil.copytree(asked.folder, folder)
    with database.write() as session:
        service.register(session, read_manifest(folder), owner="ann", name=None)
    database.close()
    return settings


def told(settings: Settings) -> list[doctor.Line]:
    return list(doctor._datasets(settings))


def test_whole_datasets_are_counted(settings: Settings) -> None:
    assert told(settings) == [("datasets", "1, 1 of them byte for byte as written", True)]


def test_a_flipped_bit_is_found(settings: Settings) -> None:
    file = settings.datasets_dir / DIGEST / "column-00001.npy"
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)
    (name, value, good), (_, summary, all_good) = told(settings)
    assert (name, good, all_good) == ("dataset", False, False)
    assert DIGEST in value
    assert "column-00001.npy" in value
    assert summary.startswith("1, 0 of them")


def test_a_dataset_whose_folder_is_gone_is_found(settings: Settings) -> None:
    shutil.rmtree(settings.datasets_dir / DIGEST)
    assert [good for _, _, good in told(settings)] == [False, False]


def test_before_there_is_a_database_there_is_nothing_to_tell(tmp_path: Path) -> None:
    assert told(Settings(data_dir=tmp_path)) == []
