"""The command `fitd`. Only this module reads the environment."""

import argparse
import contextlib
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from service.db import Database
    from service.settings import Settings

__all__ = ["main", "run"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; the result is the process's exit code."""
    options = _parser().parse_args(arguments)
    settings = _settings(options)
    if settings is None:
        return 2
    from service import logs

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
    migrate = commands.add_parser("migrate", parents=[folder], help="create or upgrade the database")
    migrate.set_defaults(run=_migrate)
    doctor = commands.add_parser(
        "doctor", parents=[folder], help="tell torch build, devices, database and versions"
    )
    doctor.set_defaults(run=_doctor)
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
    from service.supervisor import Supervisor

    listening = _listening(settings)
    _migrate(settings, options)
    return Supervisor(settings, listening=listening).run()


def _listening(settings: "Settings") -> socket.socket:
    import structlog

    from service.supervisor import listen

    listening = listen(settings.host, settings.port)
    host, port = listening.getsockname()[:2]
    url = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
    structlog.get_logger("service").info("listening", url=url, docs=f"{url}/docs")
    return listening


def _api(settings: "Settings", options: argparse.Namespace) -> int:
    from service.server import run_api

    _check_schema(settings)
    listening = socket.socket(fileno=options.fd) if options.fd is not None else _listening(settings)
    return run_api(settings, listening=listening)


def _worker(settings: "Settings", _options: argparse.Namespace) -> int:
    from service.worker.dispatcher import run_worker

    _check_schema(settings)
    run_worker(settings)
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


@contextlib.contextmanager
def _database(settings: "Settings") -> "Iterator[Database]":
    """Open the database of the settings, in a folder that is there and can be written to."""
    import sqlalchemy as sa

    from service.db import Database
    from service.exceptions import StartupFailed

    try:
        settings.data_dir.mkdir(parents=True, exist_ok=True)
        database = Database(settings.effective_database_url)
    except OSError as error:
        message = f"The data folder {settings.data_dir} cannot be used: {error.strerror}."
        raise StartupFailed(message, hint="Name another with --data-dir or FITD_DATA_DIR.") from None
    except (sa.exc.ArgumentError, ImportError, TypeError) as error:
        message = f"FITD_DATABASE_URL cannot be used: {error}."
        raise StartupFailed(
            message, hint="As in sqlite:////folder/fitd.db; leave it out for the default."
        ) from None
    try:
        yield database
    except sa.exc.DBAPIError as error:
        hint = "Is the folder writable, is there room on the disk, does another program hold the database?"
        raise StartupFailed(f"The database cannot be used: {error.orig}.", hint=hint) from None
    finally:
        database.close()


def _doctor(settings: "Settings", _options: argparse.Namespace) -> int:
    from service.doctor import report

    healthy = True
    for name, value, good in report(settings):
        print(f"{'ok  ' if good else 'BAD '} {name:<18} {value}")
        healthy = healthy and good
    return 0 if healthy else 1


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
