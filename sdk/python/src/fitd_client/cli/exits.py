"""How `fitctl` ends: the one place where what went wrong becomes a message and an exit code."""

import json
import os
import sys
from enum import IntEnum
from typing import Any

import typer
from typer.core import TyperGroup

from fitd_client.cli.plain import paragraph
from fitd_client.errors import (
    ApiError,
    FitdError,
    LocalServiceError,
    NotFound,
    RateLimited,
    ServerError,
    TransportError,
    WaitTimeout,
    WorkFailed,
)

__all__ = ["Exit", "Guarded", "code_of", "report"]


class Exit(IntEnum):
    """Exit codes, for scripts."""

    OK = 0
    FAILED = 1
    REFUSED = 2
    NOT_FOUND = 3
    UNREACHABLE = 4
    TIMED_OUT = 5
    INTERRUPTED = 130
    PIPE_CLOSED = 141


_CODES: tuple[tuple[type[BaseException], Exit], ...] = (
    (KeyboardInterrupt, Exit.INTERRUPTED),
    (BrokenPipeError, Exit.PIPE_CLOSED),
    (WorkFailed, Exit.FAILED),
    (NotFound, Exit.NOT_FOUND),
    (WaitTimeout, Exit.TIMED_OUT),
    # What passes by itself: trying again later may do.
    (TransportError, Exit.UNREACHABLE),
    (LocalServiceError, Exit.UNREACHABLE),
    (RateLimited, Exit.UNREACHABLE),
    (ServerError, Exit.UNREACHABLE),
    (FitdError, Exit.REFUSED),
    (OSError, Exit.REFUSED),
)
_EXPECTED = (FitdError, OSError, KeyboardInterrupt)


def code_of(error: BaseException) -> Exit:
    """Give the exit code of an error: the first that fits."""
    return next(code for kind, code in _CODES if isinstance(error, kind))


def report(error: BaseException, *, as_json: bool) -> None:
    """Say on standard error what went wrong.

    Args:
        error: One that has an exit code.
        as_json: Say it as a JSON object with `code`, `detail`, `hint`, `problems` and `exit_code`.
    """
    if isinstance(error, KeyboardInterrupt | BrokenPipeError):
        return
    told = json.dumps(_described(error)) if as_json else paragraph(f"fitctl: {error}")
    print(told, file=sys.stderr)  # noqa: T201 - a command prints


def _described(error: BaseException) -> dict[str, Any]:
    described: dict[str, Any] = {
        "code": type(error).__name__,
        "detail": str(error),
        "hint": "",
        "problems": [],
    }
    if isinstance(error, ApiError):
        problems = [{name: getattr(one, name) for name in one.__slots__} for one in error.problems]
        described |= {"code": error.code, "detail": error.detail, "hint": error.hint, "problems": problems}
    if isinstance(error, WorkFailed):
        described |= {"code": error.code, "detail": error.message, "hint": error.hint}
    return {"error": described, "exit_code": int(code_of(error))}


class Guarded(TyperGroup):
    """The root of all commands: what they raise ends in a message and a code."""

    def invoke(self, ctx: Any) -> Any:  # noqa: ANN401 - as typer has it
        """Run the command that was asked for."""
        try:
            try:
                return super().invoke(ctx)
            finally:
                # Here, and not at the end of the process: there nobody could tell of a pipe that is closed.
                sys.stdout.flush()
        except _EXPECTED as error:
            if isinstance(error, BrokenPipeError):
                _drop_output()
            report(error, as_json=bool(ctx.obj and ctx.obj.json))
            raise typer.Exit(code_of(error)) from None


def _drop_output() -> None:
    """Let what is still buffered go nowhere: whoever read it has closed the pipe."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
