"""The command `fitd`. Only this module reads the environment."""

import argparse
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
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
    command: Callable[[Settings, argparse.Namespace], int] = options.run
    return command(settings, options)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="fitd", description="Model fitting over HTTP.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    folder = argparse.ArgumentParser(add_help=False)
    folder.add_argument("--data-dir", metavar="D", help="folder for the database (FITD_DATA_DIR)")
    address = argparse.ArgumentParser(add_help=False)
    address.add_argument("--host", metavar="H", help="address to listen on (FITD_HOST, 127.0.0.1)")
    address.add_argument("--port", metavar="P", help="port to listen on (FITD_PORT, 8000)")
    child = argparse.ArgumentParser(add_help=False)
    child.add_argument("--supervised", action="store_true", help=argparse.SUPPRESS)

    serve = commands.add_parser(
        "serve", parents=[folder, address], help="run the whole service: API and worker"
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
            where = "_".join(str(part) for part in one["loc"]).upper()
            print(
                f"fitd: {where + ': ' if where else ''}{one['msg'].removeprefix('Value error, ')}",
                file=sys.stderr,
            )
        return None


def _die_with_parent() -> None:
    """End this process when its parent does: then its standard input comes to its end."""
    # Not sys.stdin: a thread that waits in it would hold its lock when Python says goodbye.
    while os.read(0, 1024):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


def _serve(settings: "Settings", _options: argparse.Namespace) -> int:
    from service.supervisor import Supervisor

    listening = _listening(settings)
    if listening is None:
        return 1
    _migrate(settings, _options)
    Supervisor(settings, listening=listening).run()
    return 0


def _listening(settings: "Settings") -> socket.socket | None:
    import structlog

    from service.supervisor import listen

    try:
        listening = listen(settings.host, settings.port)
    except OSError as error:
        print(f"fitd: cannot listen on {settings.host}:{settings.port}: {error.strerror}", file=sys.stderr)
        return None
    host, port = listening.getsockname()[:2]
    structlog.get_logger("service").info(
        "listening", url=f"http://{host}:{port}", docs=f"http://{host}:{port}/docs"
    )
    return listening


def _api(settings: "Settings", options: argparse.Namespace) -> int:
    from service.server import run_api

    listening = socket.socket(fileno=options.fd) if options.fd is not None else _listening(settings)
    if listening is None:
        return 1
    run_api(settings, listening=listening)
    return 0


def _worker(settings: "Settings", _options: argparse.Namespace) -> int:
    from service.worker.dispatcher import run_worker

    run_worker(settings)
    return 0


def _migrate(settings: "Settings", _options: argparse.Namespace) -> int:
    from service import migrations
    from service.db import Database

    settings.data_dir.mkdir(parents=True, exist_ok=True)
    database = Database(settings.effective_database_url)
    migrations.migrate(database)
    database.close()
    return 0


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
