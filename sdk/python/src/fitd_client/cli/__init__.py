"""`fitctl`, the command line of fitd."""

import sys

__all__ = ["run"]

_NEEDED = ("typer", "rich")
_USAGE = 2


def run() -> None:
    """Run `fitctl` with the arguments of this process, and end it with one of the codes of `exits`."""
    try:
        from fitd_client.cli.app import app
    except ModuleNotFoundError as error:
        if error.name not in _NEEDED:
            raise
        told = f"fitctl needs {error.name}, which is not installed: pip install 'fitd-client[cli]'"
        print(told, file=sys.stderr)  # noqa: T201 - what else would print is missing
        raise SystemExit(_USAGE) from None
    app(prog_name="fitctl")
