"""The folder of datasets: immutable, shared, and clean after a crash."""

import fcntl
import shutil
import threading
from pathlib import Path

import numpy as np
import pytest

from service.exceptions import DatasetDamaged, DatasetTooLarge, InvalidDataset
from service.tables.files import damaged_files, open_dataset, read_manifest
from service.tables.orders import ReadOptions, digest_of
from service.tables.reading import read_table
from service.tables.store import DatasetStore
from tests.tables.uploads import columns, order

CSV = b"x,c\n1,a\n2,b\n"


@pytest.fixture
def store(tmp_path: Path) -> DatasetStore:
    return DatasetStore(tmp_path / "datasets")


def finished(data: bytes = CSV) -> Path:
    """A folder of columns that is not in a store yet."""
    asked = order(data)
    read_table(asked)
    return asked.folder


def publish(store: DatasetStore, digest: str, data: bytes = CSV) -> Path:
    """Bring a dataset into a store, as the service does."""
    with store.workspace() as workspace:
        shutil.copytree(finished(data), workspace.columns, dirs_exist_ok=True)
        with store.exclusive():
            store.publish(workspace.columns, digest)
    return store.folder(digest)


def names(store: DatasetStore) -> set[str]:
    """All that lies in the store, uploads under way included."""
    root = store.folder("x").parent
    return {path.name for path in (*root.iterdir(), *(root / ".incoming").iterdir())} - {".incoming", ".lock"}


def test_a_published_dataset_is_there_and_nothing_else_is(store: DatasetStore) -> None:
    publish(store, "d" * 64)
    assert store.has("d" * 64)
    assert names(store) == {"d" * 64}
    assert columns(open_dataset(store.folder("d" * 64))) == {"x": [1.0, 2.0], "c": ["a", "b"]}


def test_the_one_that_came_first_stays(store: DatasetStore) -> None:
    folder = publish(store, "d" * 64)
    before = folder.stat().st_ino
    publish(store, "d" * 64)
    assert folder.stat().st_ino == before
    assert names(store) == {"d" * 64}


def test_many_at_once_make_one(store: DatasetStore) -> None:
    threads = [threading.Thread(target=publish, args=(store, "d" * 64)) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert names(store) == {"d" * 64}
    assert list(damaged_files(store.folder("d" * 64))) == []


def test_a_half_written_folder_is_replaced(store: DatasetStore) -> None:
    store.folder("d" * 64).mkdir(parents=True)
    assert not store.has("d" * 64)
    publish(store, "d" * 64)
    assert store.has("d" * 64)


def test_an_upload_that_fails_leaves_nothing(store: DatasetStore) -> None:
    def fail() -> None:
        with store.workspace() as workspace:
            workspace.upload.write_bytes(b"half")
            raise OSError("full")

    with pytest.raises(OSError, match="full"):
        fail()
    assert names(store) == set()


def test_what_is_mapped_outlives_the_dataset(store: DatasetStore) -> None:
    frame = open_dataset(publish(store, "d" * 64))
    with store.exclusive():
        store.remove("d" * 64)
    assert names(store) == set()
    assert frame.arrays["x"].tolist() == [1.0, 2.0]


def open_files() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def test_mapping_holds_no_file_open(store: DatasetStore) -> None:
    data = ",".join(f"c{number}" for number in range(300)) + "\n" + ",".join("1" * 300) + "\n"
    folder = publish(store, "d" * 64, data.encode())
    before = open_files()
    frame = open_dataset(folder)
    assert len(frame.arrays) == 300
    assert open_files() == before


def test_a_mapped_column_cannot_be_written(store: DatasetStore) -> None:
    frame = open_dataset(publish(store, "d" * 64))
    with pytest.raises(ValueError, match="read-only"):
        frame.arrays["x"][0] = 1.0  # type: ignore[call-overload]


def test_sweeping_removes_leftovers_but_no_upload_under_way(store: DatasetStore) -> None:
    publish(store, "a" * 64)
    publish(store, "b" * 64)
    incoming = store.folder("x").parent / ".incoming"
    (incoming / "crashed" / "columns").mkdir(parents=True)
    (incoming / "crashed" / "lock").touch()
    (incoming / "trash-1").mkdir()
    with store.workspace() as workspace:
        with store.exclusive():
            assert store.sweep({"a" * 64}) == 3
        assert workspace.columns.is_dir()
        assert names(store) == {"a" * 64, workspace.root.name}


def test_an_upload_of_another_process_is_not_swept(store: DatasetStore) -> None:
    place = store.folder("x").parent / ".incoming" / "other"
    place.mkdir(parents=True)
    with (place / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with store.exclusive():
            assert store.sweep(set()) == 0
    with store.exclusive():
        assert store.sweep(set()) == 1


@pytest.mark.parametrize("harm", ["missing", "shorter", "longer", "manifest"])
def test_a_damaged_dataset_is_not_opened(store: DatasetStore, harm: str) -> None:
    folder = publish(store, "d" * 64)
    file = folder / "column-00000.npy"
    if harm == "missing":
        file.unlink()
    elif harm == "manifest":
        (folder / "manifest.json").write_text("{}")
    else:
        data = file.read_bytes()
        file.write_bytes(data[:-1] if harm == "shorter" else data + b"x")
    with pytest.raises(DatasetDamaged):
        open_dataset(folder)


def test_a_flipped_bit_is_found(store: DatasetStore) -> None:
    folder = publish(store, "d" * 64)
    file = folder / "column-00001.npy"
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)
    assert list(damaged_files(folder)) == ["column-00001.npy"]


def test_joining_puts_columns_side_by_side(store: DatasetStore) -> None:
    base = publish(store, "a" * 64)
    more = finished(b"y\n5\n6\n")
    joined = store.join(more, "a" * 64, max_columns=3)
    assert columns(open_dataset(more)) == {"x": [1.0, 2.0], "c": ["a", "b"], "y": [5.0, 6.0]}
    assert joined == read_manifest(more)
    assert list(damaged_files(more)) == []
    # The files are the same ones, and stay when the first dataset goes.
    assert (more / "base-column-00000.npy").samefile(base / "column-00000.npy")
    with store.exclusive():
        store.remove("a" * 64)
    assert open_dataset(more).arrays["x"].tolist() == [1.0, 2.0]


def test_what_cannot_be_joined(store: DatasetStore) -> None:
    publish(store, "a" * 64)
    for data, code in ((b"y\n5\n", "ragged_columns"), (b"x\n5\n6\n", "duplicate_column")):
        with pytest.raises(InvalidDataset) as error:
            store.join(finished(data), "a" * 64, max_columns=9)
        assert [one.code for one in error.value.problems] == [code]
    with pytest.raises(DatasetTooLarge):
        store.join(finished(b"y\n5\n6\n"), "a" * 64, max_columns=2)


def test_the_digest_is_of_the_bytes_and_how_they_are_read() -> None:
    options = ReadOptions(format="csv")
    digests = {
        digest_of("0", options),
        digest_of("1", options),
        digest_of("0", options, join="2"),
        digest_of("0", options.model_copy(update={"header": "true"})),
    }
    assert len(digests) == 4
    assert digest_of("0", options) == digest_of("0", ReadOptions(format="csv"))
    assert all(len(digest) == 64 for digest in digests)


def test_the_columns_are_plain_npy_files(store: DatasetStore) -> None:
    folder = publish(store, "d" * 64)
    assert np.load(folder / "column-00000.npy", allow_pickle=False).tolist() == [1.0, 2.0]
    assert np.load(folder / "column-00001.npy", mmap_mode="r", allow_pickle=False).tolist() == [0, 1]
