"""`fitd doctor`: what this installation is made of, and whether it would work."""

import contextlib
import os
import platform
import shutil
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path

from service import __version__, migrations
from service.datasets import repository
from service.db import Database
from service.exceptions import DatasetDamaged
from service.settings import Settings
from service.tables.files import damaged_files
from service.tables.store import DatasetStore
from service.trackers import repository as trackers
from service.trackers import sinks
from service.trackers.repository import State

__all__ = ["report"]

MIN_FREE_BYTES = 2**30
LIBRARIES = ("fastapi", "uvicorn", "pydantic", "sqlalchemy", "alembic", "numpy", "safetensors", "pillow")

Line = tuple[str, str, bool]


def report(settings: Settings) -> Iterator[Line]:
    """Give what is to tell, line by line: a name, its value, and whether it is as it should be."""
    yield "fitd", __version__, True
    yield "python", f"{platform.python_version()} on {platform.platform()}", True
    yield "cores", str(os.cpu_count()), True
    yield from _guarded("torch", _torch)
    for name in LIBRARIES:
        yield name, version(name), True
    yield from _guarded("data folder", lambda: _data_folder(settings))
    yield from _guarded("storage folder", lambda: _storage_folder(settings))
    yield from _guarded("database", lambda: _database(settings))
    yield from _guarded("datasets", lambda: _datasets(settings))
    yield from _guarded("trackers", lambda: _trackers(settings))


def _guarded(name: str, lines: Callable[[], Iterator[Line]]) -> Iterator[Line]:
    """Turn whatever goes wrong into a line: a doctor does not faint."""
    try:
        yield from lines()
    except Exception as error:  # noqa: BLE001 - any failure is a finding
        # The driver's own words, in one line: SQLAlchemy's add the statement and a link.
        words = " ".join(str(getattr(error, "orig", error)).split())
        yield name, f"{type(error).__name__}: {words}", False


def _torch() -> Iterator[Line]:
    import torch

    from service.training import devices
    from service.training.warmup import warm_up

    build = f"CUDA {torch.version.cuda}" if torch.version.cuda else "CPU build"
    yield "torch", f"{torch.__version__} ({build}, {torch.backends.cpu.get_cpu_capability()})", True
    yield "devices", ", ".join(devices.available()), True
    yield "one small step", f"{warm_up() * 1e6:.0f} microseconds", True


def _trackers(settings: Settings) -> Iterator[Line]:
    """Look what is switched on, whether it is installed, and how the telling goes."""
    absent, states = sinks.missing(settings), _tracker_states(settings)
    for name in sinks.switched_on(settings):
        if name in absent:
            yield name, f"NOT installed: pip install 'fitd[{name}]'", False
        elif (state := states.get(name)) is None:
            yield name, "switched on, nothing told yet: a worker serves it", True
        else:
            yield name, *_how_it_goes(state)


def _how_it_goes(state: State) -> tuple[str, bool]:
    tracker = state.tracker
    behind = f"{state.behind} jobs not told to their end"
    if tracker.failing_since is not None:
        return f"AWAY since {tracker.failing_since:%Y-%m-%d %H:%M:%S} UTC, {behind}: {tracker.error}", False
    told = f"last told {tracker.sent_at:%Y-%m-%d %H:%M:%S} UTC" if tracker.sent_at else "nothing told yet"
    return f"{told}, {behind}{'' if state.served else '; served by no worker now'}", True


def _tracker_states(settings: Settings) -> dict[str, State]:
    if not sinks.switched_on(settings) or not _is_there(settings):
        return {}
    with contextlib.closing(Database(settings.effective_database_url)) as database:
        if not migrations.schema_is_current(database):
            return {}
        with database.read() as session:
            return {state.tracker.name: state for state in trackers.states(session)}


def _is_there(settings: Settings) -> bool:
    return bool(settings.database_url) or (settings.data_dir / "fitd.db").exists()


def _data_folder(settings: Settings) -> Iterator[Line]:
    """Look where it is, or would be made."""
    above = (settings.data_dir, *settings.data_dir.resolve().parents)
    yield _folder("data folder", settings.data_dir, existing=next(path for path in above if path.exists()))


def _storage_folder(settings: Settings) -> Iterator[Line]:
    folder = settings.storage_dir
    if folder is None:
        return
    if folder.exists():
        yield _folder("storage folder", folder, existing=folder)
    else:
        yield "storage folder", f"{folder} is not there: is it mounted?", False


def _folder(name: str, folder: Path, *, existing: Path) -> Line:
    free = shutil.disk_usage(existing).free
    writable = existing.is_dir() and os.access(existing, os.W_OK)
    state = f"{folder} ({free / 2**30:.1f} GiB free{'' if writable else ', NOT writable'})"
    return name, state, writable and free > MIN_FREE_BYTES


def _database(settings: Settings) -> Iterator[Line]:
    path = settings.data_dir / "fitd.db"
    if not settings.database_url and not path.exists():
        yield "database", "not there yet: `fitd serve` or `fitd migrate` creates it", True
        return
    with contextlib.closing(Database(settings.effective_database_url)) as database:
        current = migrations.schema_is_current(database)
        with database.engine.connect() as connection:
            about = database.system.about(connection)
    yield (
        "database",
        f"{about}, schema {'current' if current else 'NOT current: run fitd migrate'}",
        current,
    )


def _datasets(settings: Settings) -> Iterator[Line]:
    """Read every dataset from its first byte to its last: a disk that forgets says so in no other way."""
    if not _is_there(settings):
        return
    with contextlib.closing(Database(settings.effective_database_url)) as database:
        if not migrations.schema_is_current(database):
            return
        with database.read() as session:
            digests = sorted(repository.digests(session))
    store = DatasetStore(settings.datasets_dir)
    damages = {digest: found for digest in digests if (found := _damage(store.folder(digest)))}
    for digest, found in damages.items():
        yield "dataset", f"{digest}: {found}. Delete it and upload it again", False
    yield (
        "datasets",
        f"{len(digests)}, {len(digests) - len(damages)} of them byte for byte as written",
        not damages,
    )


def _damage(folder: Path) -> str:
    try:
        files = list(damaged_files(folder))
    except DatasetDamaged as error:
        return error.message.rstrip(".")
    return f"{', '.join(files)} not as written" if files else ""
