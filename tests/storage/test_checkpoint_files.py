"""Checkpoints are whole or not there, whatever dies, fills up or is removed meanwhile."""

import contextlib
import hashlib
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from service.exceptions import CheckpointDamaged, DiskFull
from service.storage.checkpoints import CheckpointStore
from tests.conftest import ROOT

JOB = "job_abc"
DATA = bytes(range(256)) * 40


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "data" / "checkpoints"


@pytest.fixture
def store(root: Path) -> CheckpointStore:
    return CheckpointStore(root, min_free_bytes=0)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of one megabyte."""
    place = tmp_path / "small"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(place)],
        capture_output=True,
        text=True,
        check=False,
    )
    if mounted.returncode:
        pytest.skip(f"mounting is not allowed here: {mounted.stderr.strip()}")
    yield place
    subprocess.run(["umount", str(place)], check=True)


def names(root: Path) -> set[str]:
    return {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()}


def age(root: Path, *, seconds: float) -> None:
    """Make all that lies in the folder as old as that."""
    for path in root.rglob("*"):
        os.utime(path, (time.time() - seconds,) * 2)


def in_child(root: Path, code: str) -> subprocess.Popen[bytes]:
    """A process that does something with a store of the same folder."""
    lines = (
        "import os, signal",
        "from pathlib import Path",
        "from service.storage.checkpoints import CheckpointStore",
        f"store = CheckpointStore(Path({str(root)!r}), min_free_bytes=0)",
        code,
    )
    return subprocess.Popen([sys.executable, "-c", "\n".join(lines)], cwd=ROOT, stdout=subprocess.PIPE)


def test_what_was_written_is_read(store: CheckpointStore, root: Path) -> None:
    stored = store.write(JOB, 3, 7, DATA)
    assert stored.path == "job_abc/3-7.ckpt"
    assert stored.digest == hashlib.sha256(DATA).hexdigest()
    assert stored.size == len(DATA)
    assert store.read(stored.path, stored.digest) == DATA
    assert store.full_path(stored.path).read_bytes() == DATA
    assert names(root) == {stored.path}
    assert store.ids() == {JOB}


def test_an_attempt_overwrites_nothing_of_another(store: CheckpointStore) -> None:
    ours = store.write(JOB, 2, 1, b"ours")
    store.write(JOB, 1, 1, b"of a zombie")
    assert store.read(ours.path, ours.digest) == b"ours"


@pytest.mark.parametrize("harm", ["missing", "shorter", "longer", "bit", "folder"])
def test_a_damaged_checkpoint_is_not_read(store: CheckpointStore, harm: str) -> None:
    stored = store.write(JOB, 1, 1, DATA)
    file = store.full_path(stored.path)
    if harm in {"missing", "folder"}:
        file.unlink()
    if harm == "folder":
        file.mkdir()
    if harm in {"shorter", "longer"}:
        file.write_bytes(DATA[:-1] if harm == "shorter" else DATA + b"x")
    if harm == "bit":
        file.write_bytes(DATA[:100] + bytes([DATA[100] ^ 1]) + DATA[101:])
    with pytest.raises(CheckpointDamaged):
        store.read(stored.path, stored.digest)


@pytest.mark.parametrize(
    "path",
    [
        "../outside.ckpt",
        "job_abc/../../outside.ckpt",
        "/etc/passwd",
        "job_abc/1-1.tmp",
        "job_abc",
        "",
        "..",
        "a/1-1.ckpt\n",
    ],
)
def test_a_path_that_leads_out_of_the_folder_is_refused(
    store: CheckpointStore, root: Path, path: str
) -> None:
    store.write(JOB, 1, 1, DATA)
    outside = root.parent / "outside.ckpt"
    outside.write_bytes(DATA)
    for reach in (lambda: store.read(path, hashlib.sha256(DATA).hexdigest()), lambda: store.remove([path])):
        with pytest.raises(CheckpointDamaged):
            reach()
    assert outside.exists()


def test_a_link_that_leads_out_of_the_folder_is_refused(store: CheckpointStore, root: Path) -> None:
    stored = store.write(JOB, 1, 1, DATA)
    outside = root.parent / "outside"
    outside.mkdir()
    (outside / "1-1.ckpt").write_bytes(DATA)
    (root / "job_link").symlink_to(outside)
    (root / JOB / "1-2.ckpt").symlink_to(outside / "1-1.ckpt")
    for path in ("job_link/1-1.ckpt", "job_abc/1-2.ckpt"):
        with pytest.raises(CheckpointDamaged):
            store.read(path, stored.digest)


@pytest.mark.parametrize("job_id", ["..", "a/b", "", "/etc", "x" * 65])
def test_a_folder_is_named_after_a_job_and_nothing_else(store: CheckpointStore, job_id: str) -> None:
    with pytest.raises(ValueError, match="id of a job"):
        store.write(job_id, 1, 1, DATA)
    with pytest.raises(ValueError, match="id of a job"):
        store.remove_job(job_id)


def test_a_full_disk_keeps_the_older_checkpoint_and_nothing_of_the_new(small_disk: Path) -> None:
    store = CheckpointStore(small_disk / "checkpoints", min_free_bytes=0)
    older = store.write(JOB, 1, 1, b"o" * 300_000)
    # There seems to be room, and it is used up while the file is being written.
    thirsty = CheckpointStore(small_disk / "checkpoints", min_free_bytes=-(10**9))
    with pytest.raises(DiskFull):
        thirsty.write(JOB, 1, 2, b"n" * 900_000)
    assert names(small_disk) == {f"checkpoints/{older.path}"}
    assert store.read(older.path, older.digest) == b"o" * 300_000
    assert store.write(JOB, 1, 2, b"n" * 600_000).size == 600_000


def test_a_disk_without_room_for_a_folder_is_full(small_disk: Path) -> None:
    with contextlib.suppress(OSError):
        (small_disk / "other").write_bytes(b"x" * 2**21)
    store = CheckpointStore(small_disk / "checkpoints", min_free_bytes=-(10**9))
    with pytest.raises(DiskFull):
        store.write(JOB, 1, 1, DATA)


def test_so_much_is_left_free(root: Path) -> None:
    store = CheckpointStore(root, min_free_bytes=2**60)
    with pytest.raises(DiskFull) as error:
        store.write(JOB, 1, 1, DATA)
    assert names(root) == set()
    assert "checkpoint" in error.value.message
    assert "upload" not in error.value.hint


def test_a_process_killed_before_the_file_has_its_name_leaves_the_older_one(
    store: CheckpointStore, root: Path
) -> None:
    older = store.write(JOB, 1, 1, DATA)
    child = in_child(
        root,
        "Path.rename = lambda *_: os.kill(os.getpid(), signal.SIGKILL)\n"
        f"store.write({JOB!r}, 1, 1, b'new' * 100_000)",
    )
    child.communicate(timeout=30)
    assert child.returncode == -signal.SIGKILL
    assert store.read(older.path, older.digest) == DATA
    assert len(names(root)) == 2  # And the unfinished one.
    assert store.sweep({JOB: [older.path]}, 0) == 1
    assert names(root) == {older.path}


def test_a_process_killed_at_any_moment_leaves_whole_files(store: CheckpointStore, root: Path) -> None:
    code = (
        "print(flush=True)\n"
        "for turn in range(10**9):\n"
        "    letter = bytes([65 + turn % 26])\n"
        f"    store.write({JOB!r}, 1, turn % 3, letter * 400_000)"
    )
    for _ in range(8):
        child = in_child(root, code)
        assert child.stdout is not None
        child.stdout.readline()
        time.sleep(random.uniform(0.01, 0.15))  # noqa: S311 - no secret
        child.kill()
        child.communicate()
        for file in root.rglob("*.ckpt"):
            data = file.read_bytes()
            assert data == data[:1] * 400_000


def test_removing_takes_the_empty_folder_along(store: CheckpointStore, root: Path) -> None:
    first, second = store.write(JOB, 1, 1, DATA), store.write(JOB, 1, 2, DATA)
    store.remove([first.path])
    assert names(root) == {second.path}
    store.remove([first.path, second.path])
    assert store.ids() == set()


def test_a_job_goes_as_a_whole(store: CheckpointStore, root: Path) -> None:
    store.write(JOB, 1, 1, DATA)
    (root / JOB / "1-2.abc.tmp").write_bytes(b"half")
    other = store.write("job_other", 1, 1, DATA)
    store.remove_job(JOB)
    store.remove_job("job_never")
    assert names(root) == {other.path}


def test_sweeping_takes_only_what_is_old_and_has_no_row(store: CheckpointStore, root: Path) -> None:
    named, unnamed, gone = (
        store.write(JOB, 1, 1, b"1"),
        store.write(JOB, 1, 2, b"2"),
        store.write("job_gone", 1, 1, b"3"),
    )
    (root / JOB / "1-3.abc.tmp").write_bytes(b"half")
    age(root, seconds=100)
    young = store.write(JOB, 2, 3, b"4")
    (root / JOB / "2-4.abc.tmp").write_bytes(b"half")
    everything = names(root)
    assert store.sweep({JOB: {named.path}}, 200) == 0
    assert names(root) == everything
    assert store.sweep({JOB: {named.path}}, 50) == 3
    assert names(root) == {named.path, young.path, "job_abc/2-4.abc.tmp"}
    assert unnamed.path not in names(root)
    assert store.ids() == {JOB}
    assert gone.path not in names(root)


def test_sweeping_before_there_is_a_folder(store: CheckpointStore) -> None:
    assert store.sweep({}, 0) == 0
    assert store.ids() == set()


def test_writing_goes_on_while_the_folder_is_removed_again_and_again(store: CheckpointStore) -> None:
    done = threading.Event()

    def remove() -> None:
        while not done.is_set():
            store.sweep({}, 3600)
            store.remove(["job_abc/9-9.ckpt"])  # Takes the folder, where it is empty.
            time.sleep(0.001)

    sweepers = [threading.Thread(target=remove) for _ in range(2)]
    for sweeper in sweepers:
        sweeper.start()
    try:
        for number in range(150):
            stored = store.write(JOB, 1, number, DATA)
            assert store.read(stored.path, stored.digest) == DATA
            store.remove([stored.path])
    finally:
        done.set()
        for sweeper in sweepers:
            sweeper.join()
