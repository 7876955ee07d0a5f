"""Runs `fitctl` in this process, as a shell would."""

import json
from dataclasses import dataclass
from typing import Any

from fitd_client.cli.app import app
from typer.testing import CliRunner

__all__ = ["Fitctl", "Ran"]


@dataclass(frozen=True)
class Ran:
    """What a command has written, and how it has ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:  # noqa: ANN401 - of JSON
        return json.loads(self.out)


class Fitctl:
    """`fitctl` with the address of a service."""

    def __init__(self, url: str) -> None:
        self._env = {"FITD_URL": url, "FITD_API_KEY": None, "NO_COLOR": None, "COLUMNS": None}

    def __call__(
        self, *args: object, stdin: str | bytes | None = None, code: int = 0, **env: str | None
    ) -> Ran:
        """Run a command that is expected to end with a code."""
        runner = CliRunner(env={**self._env, **env})
        found = runner.invoke(app, [str(one) for one in args], input=stdin, prog_name="fitctl")
        ran = Ran(found.exit_code, found.stdout, found.stderr)
        if found.exception is not None and not isinstance(found.exception, SystemExit):
            raise found.exception
        assert ran.code == code, ran
        return ran
