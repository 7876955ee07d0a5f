"""The command `fitd`. Only this module reads the environment."""

import argparse
import contextlib
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from service.loading import without_collection

if TYPE_CHECKING:
    from service.db import Database
    from service.settings import Settings

__all__ = ["main", "run"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; the result is the process's exit code."""
    with without_collection():
        options = _parser().parse_args(arguments)
        settings = _settings(options)
        from service import logs
    if settings is None:
        return 2
    logs.configure(log_format=settings.log_format, level=settings.log_level)
    if getattr(options, "supervised", False):
        threading.Thread(target=_die_with_parent, name="lifeline", daemon=True).start()
    return _run(options.run, settings, options)


def _run(
    command: "Callable[[Settings, argparse.Namespace], int]",
    settings: "Settings",
    options: argparse.Namespace,
) -> int:
    """Run a command; what it cannot do, it says in one line, with what to do about it."""
    from service.exceptions import ServiceError

    try:
        return command(settings, options)
    except ServiceError as error:
        print(f"fitd: {error.message} {error.hint}".rstrip(), file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    from service.keys import add_actions

    parser = argparse.ArgumentParser(prog="fitd", description="Model fitting over HTTP.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    folder = argparse.ArgumentParser(add_help=False)
    folder.add_argument("--data-dir", metavar="D", help="folder for the database (FITD_DATA_DIR)")
    address = argparse.ArgumentParser(add_help=False)
    address.add_argument("--host", metavar="H", help="address to listen on (FITD_HOST, 127.0.0.1)")
    address.add_argument("--port", metavar="P", help="port to listen on (FITD_PORT, 8000)")
    child = argparse.ArgumentParser(add_help=False)
    child.add_argument(
        "--supervised", action="store_true", help="end when standard input does: with the parent process"
    )

    serve = commands.add_parser(
        "serve", parents=[folder, address, child], help="run the whole service: API and worker"
    )
    serve.set_defaults(run=_serve)
    api = commands.add_parser("api", parents=[folder, address, child], help="run the API alone")
    api.add_argument("--fd", type=int, help=argparse.SUPPRESS)
    api.set_defaults(run=_api)
    worker = commands.add_parser("worker", parents=[folder, child], help="run a worker alone")
    worker.add_argument("--slots", metavar="N", help="jobs trained at the same time (FITD_SLOTS)")
    worker.set_defaults(run=_worker)
    # Without a help text, and so in no list: a worker starts it.
    track = commands.add_parser("track", parents=[folder, child])
    track.add_argument("--holder", required=True, help=argparse.SUPPRESS)
    track.add_argument("--only", action="append", required=True, help=argparse.SUPPRESS)
    track.set_defaults(run=_track)
    migrate = commands.add_parser("migrate", parents=[folder], help="create or upgrade the database")
    migrate.set_defaults(run=_migrate)
    sweep = commands.add_parser("sweep", parents=[folder], help="remove what retention lets go, now")
    sweep.add_argument("--dry-run", action="store_true", help="remove nothing, only tell what would go")
    sweep.set_defaults(run=_sweep)
    backup = commands.add_parser(
        "backup", parents=[folder], help="copy everything into a folder, also while the service runs"
    )
    backup.add_argument("folder", metavar="DEST", type=Path, help="a folder that is new or empty")
    backup.set_defaults(run=_backup)
    restore = commands.add_parser(
        "restore", parents=[folder], help="bring a backup back, where there is nothing yet"
    )
    restore.add_argument("folder", metavar="SRC", type=Path, help="a folder that `fitd backup` made")
    restore.set_defaults(run=_restore)
    doctor = commands.add_parser(
        "doctor", parents=[folder], help="tell torch build, devices, database and versions"
    )
    doctor.set_defaults(run=_doctor)
    keys = commands.add_parser("keys", help="make, list and revoke API keys")
    keys.set_defaults(run=_keys)
    add_actions(keys, folder)
    openapi = commands.add_parser("openapi", help="print the OpenAPI document")
    openapi.set_defaults(run=_openapi)
    return parser


def _settings(options: argparse.Namespace) -> "Settings | None":
    """Read the settings: the command line before the environment before the defaults."""
    from pydantic import ValidationError

    from service.settings import Settings

    given = {name: getattr(options, name, None) for name in ("data_dir", "host", "port", "slots")}
    try:
        return Settings(**{name: value for name, value in given.items() if value is not None})
    except ValidationError as error:
        for one in error.errors():
            message = one["msg"].removeprefix("Value error, ")
            print(f"fitd: {_variable(one['loc'])}{message}", file=sys.stderr)
        return None


def _variable(location: Sequence[int | str]) -> str:
    """Name a setting as its environment variable; nothing for a rule about several."""
    return f"FITD_{'__'.join(str(part) for part in location).upper()}: " if location else ""


def _die_with_parent() -> None:
    """End this process when its parent does: then its standard input comes to its end."""
    # Not sys.stdin: a thread that waits in it would hold its lock when Python says goodbye.
    while os.read(0, 1024):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


def _serve(settings: "Settings", options: argparse.Namespace) -> int:
    with without_collection():
        from service.supervisor import Supervisor
        from service.trackers.sinks import check

    check(settings)
    listening = _listening(settings)
    _migrate(settings, options)
    _check_reach(settings, str(listening.getsockname()[0]))
    return Supervisor(settings, listening=listening).run()


def _listening(settings: "Settings") -> socket.socket:
    import structlog

    from service.supervisor import listen

    _check_reach(settings, settings.host)
    listening = listen(settings.host, settings.port)
    host, port = listening.getsockname()[:2]
    url = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
    structlog.get_logger("service").info("listening", url=url, docs=f"{url}/docs")
    return listening


def _check_reach(settings: "Settings", host: str) -> None:
    """Make sure that a service that other machines reach asks for a key.

    Args:
        settings: Of the service.
        host: What it listens on. Asked of the name, and again of the address that the name turned out to be.

    Raises:
        StartupFailed: There is no key.
    """
    from service.exceptions import StartupFailed
    from service.settings import is_loopback

    if is_loopback(host) or settings.admin_secret is not None or _has_key(settings):
        return
    raise StartupFailed(
        f"listening on {host} makes the service reachable from other machines and needs an API key:",
        hint="set FITD_API_KEY, or make a key with `fitd keys create`, or listen on 127.0.0.1",
    )


def _has_key(settings: "Settings") -> bool:
    """Tell whether there is a key in the database, which is not made for the question."""
    import sqlalchemy as sa

    from service.access import repository

    if not settings.database_url and not (settings.data_dir / "fitd.db").exists():
        return False
    with _database(settings) as database, database.read() as session:
        # A database of an older version has no such table, and so no key.
        return sa.inspect(session.connection()).has_table("api_keys") and repository.any_unrevoked(session)


def _api(settings: "Settings", options: argparse.Namespace) -> int:
    with without_collection():
        from service.server import run_api

    _check_schema(settings)
    listening = socket.socket(fileno=options.fd) if options.fd is not None else _listening(settings)
    if listening.family != socket.AF_UNIX:
        _check_reach(settings, str(listening.getsockname()[0]))
    return run_api(settings, listening=listening)


def _worker(settings: "Settings", _options: argparse.Namespace) -> int:
    from service.trackers.sinks import check
    from service.worker import nursery

    check(settings)
    # What the runners need takes longest to load: it is begun before this process loads its own.
    nursery.load(threads=settings.threads)
    with without_collection():
        from service.worker.dispatcher import run_worker
    _check_schema(settings)
    run_worker(settings)
    return 0


def _track(settings: "Settings", options: argparse.Namespace) -> int:
    from service.trackers.process import run as follow

    follow(settings, holder=options.holder, only=options.only)
    return 0


def _check_schema(settings: "Settings") -> None:
    from service import migrations

    with _database(settings) as database:
        migrations.check_schema(database)


def _migrate(settings: "Settings", _options: argparse.Namespace) -> int:
    from service import migrations

    with _database(settings) as database:
        migrations.migrate(database)
    return 0


def _check_storage(settings: "Settings") -> None:
    """Make sure that the shared folder is there: made here, one that is only not mounted would look like an empty one."""
    from service.exceptions import StartupFailed

    if settings.storage_dir is not None and not settings.storage_dir.is_dir():
        message = f"The storage folder {settings.storage_dir} is not there."
        raise StartupFailed(
            message, hint="Is it mounted? If it is new, make it. It is set by FITD_STORAGE_DIR."
        )


@contextlib.contextmanager
def _database(settings: "Settings") -> "Iterator[Database]":
    """Open the database of the settings, in a folder that is there and can be written to."""
    import sqlalchemy as sa

    from service.db import Database
    from service.exceptions import StartupFailed

    try:
        settings.data_dir.mkdir(parents=True, exist_ok=True)
        _check_storage(settings)
        database = Database(settings.effective_database_url)
    except OSError as error:
        message = f"The data folder {settings.data_dir} cannot be used: {error.strerror}."
        raise StartupFailed(message, hint="Name another with --data-dir or FITD_DATA_DIR.") from None
    except (sa.exc.ArgumentError, ImportError, TypeError) as error:
        message = f"FITD_DATABASE_URL cannot be used: {error}."
        raise StartupFailed(
            message,
            hint="As in sqlite:////folder/fitd.db or postgresql://host/database; leave it out for the default.",
        ) from None
    try:
        yield database
    except sa.exc.DBAPIError as error:
        reason = " ".join(str(error.orig).split()).rstrip(".")
        hint = database.system.trouble_hint
        raise StartupFailed(f"The database cannot be used: {reason}.", hint=hint) from None
    finally:
        database.close()


def _keys(settings: "Settings", options: argparse.Namespace) -> int:
    from service.keys import ACTIONS

    _check_schema(settings)
    with _database(settings) as database:
        for line in ACTIONS[options.action](database, options):
            print(line)
    return 0


def _doctor(settings: "Settings", _options: argparse.Namespace) -> int:
    from service.doctor import report

    healthy = True
    for name, value, good in report(settings):
        print(f"{'ok  ' if good else 'BAD '} {name:<18} {value}")
        healthy = healthy and good
    return 0 if healthy else 1


def _sweep(settings: "Settings", options: argparse.Namespace) -> int:
    from service import migrations
    from service.retention.sweeper import sweep_once

    with _database(settings) as database:
        migrations.check_schema(database)
        swept = sweep_once(settings, database, dry_run=options.dry_run)
    for words in swept.in_words():
        print(f"{'would remove' if options.dry_run else 'removed'} {words}")
    return 0


def _backup(settings: "Settings", options: argparse.Namespace) -> int:
    from service import migrations
    from service.backup.making import back_up

    with _database(settings) as database:
        migrations.check_schema(database)
        made = back_up(settings, database, options.folder)
    for words in made.in_words():
        print(f"backed up {words}")
    for digest in made.missing:
        print(f"left out dataset {digest}, which was deleted meanwhile")
    for path in made.damaged:
        print(f"fitd: {path} was damaged before, and is in the backup as it was found", file=sys.stderr)
    return 0


def _restore(settings: "Settings", options: argparse.Namespace) -> int:
    from service.backup.restoring import restore

    with _database(settings) as database:
        restored = restore(settings, database, options.folder)
    for words in restored.manifest.in_words():
        print(f"restored {words}")
    print(f"let go of {restored.let_go} jobs that were under way")
    return 0


def _openapi(settings: "Settings", _options: argparse.Namespace) -> int:
    import json

    from service.app import create_app

    print(json.dumps(create_app(settings).openapi(), indent=2, ensure_ascii=False))
    return 0


def run() -> None:
    """Be the process: run the command and leave at once.

    Everything is closed and committed when a command returns. Python's own farewell, freeing
    hundreds of modules one by one, takes longer than the second in which a Ctrl-C has to end.
    """
    code = main()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    run()
