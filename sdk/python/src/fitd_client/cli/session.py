"""What every command has: a client, the outputs, and the options that choose them."""

import inspect
import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

import typer

from fitd_client.cli.screen import Screen
from fitd_client.client import Client
from fitd_client.errors import FitdWarning
from fitd_client.local import LOCAL

__all__ = ["Chosen", "Session", "chosen_of", "command", "common_parameters", "with_session"]


@dataclass
class Chosen:
    """What the options of every command say; where one is left out, what the environment or nobody says."""

    url: str | None = None
    api_key: str | None = None
    data_dir: Path | None = None
    json: bool = False
    quiet: bool = False
    no_color: bool = False

    def take(self, given: dict[str, Any]) -> None:
        """Take what was given here; what was given before, further left, stays where nothing is."""
        for name, value in given.items():
            if value:
                setattr(self, name, value)


def _option(*names: str, help: str, **more: Any) -> Any:  # noqa: A002, ANN401 - as typer has it
    return typer.Option(*names, help=help, **more)


def _common(
    *,
    url: Annotated[
        str | None,
        _option("--url", help="Address of the service, else FITD_URL; `:local:` runs one here."),
    ] = None,
    api_key: Annotated[
        str | None,
        _option("--api-key", help="Better in FITD_API_KEY: others on a machine can read command lines."),
    ] = None,
    data_dir: Annotated[
        Path | None, _option("--data-dir", help="Folder of `--url :local:`; a temporary one if left out.")
    ] = None,
    json: Annotated[bool, _option("--json", help="JSON on standard output, and nothing else.")] = False,
    quiet: Annotated[bool, _option("--quiet", "-q", help="Ids alone, and no messages.")] = False,
    no_color: Annotated[bool, _option("--no-color", help="As the variable NO_COLOR.")] = False,
) -> None:
    """Carry the options that every command has."""


def common_parameters() -> list[inspect.Parameter]:
    """Give the options that every command has, for its signature."""
    return list(inspect.signature(_common).parameters.values())


_COMMON = tuple(parameter.name for parameter in common_parameters())


@dataclass
class Session:
    """One run of a command.

    Attributes:
        chosen: What the options say.
        screen: The outputs.
    """

    chosen: Chosen
    screen: Screen

    @cached_property
    def client(self) -> Client:
        """The client; made when it is first needed, so that wrong usage costs no connection."""
        return Client(self.chosen.url, api_key=self.chosen.api_key, data_dir=self.chosen.data_dir)

    @property
    def is_passing(self) -> bool:
        """Whether the service ends with this command, and all that it has with it."""
        return (self.chosen.url or os.environ.get("FITD_URL")) == LOCAL and self.chosen.data_dir is None

    @classmethod
    @contextmanager
    def opened(cls, chosen: Chosen) -> Iterator["Session"]:
        """Give a session, and close its client in the end."""
        screen = Screen(as_json=chosen.json, no_color=chosen.no_color, quiet=chosen.quiet)
        session = cls(chosen, screen)
        with warnings.catch_warnings():
            # The commands show doubts of the service in their own way.
            warnings.simplefilter("ignore", FitdWarning)
            try:
                yield session
            finally:
                if "client" in vars(session):
                    session.client.close()


def chosen_of(ctx: typer.Context, given: dict[str, Any]) -> Chosen:
    """Take the options that every command has out of what was given, and give what is chosen in all."""
    found = ctx.find_root()
    chosen: Chosen = found.obj or Chosen()
    chosen.take({name: given.pop(name) for name in _COMMON})
    found.obj = chosen
    return replace(chosen)


def with_session(function: Callable[..., None]) -> Callable[..., None]:
    """Make a command of a function: it is given a session first, and has the options that all have.

    Args:
        function: Takes a session, and keyword arguments that typer reads.
    """

    def call(ctx: typer.Context, **given: Any) -> None:  # noqa: ANN401 - as typer gives them
        chosen = chosen_of(ctx, given)
        if ctx.invoked_subcommand is None:
            with Session.opened(chosen) as session:
                function(session, **given)

    signature = inspect.signature(function, eval_str=True)
    own = list(signature.parameters.values())[1:]
    context = inspect.Parameter("ctx", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=typer.Context)
    parameters = [context, *own, *common_parameters()]
    call.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    call.__annotations__ = {one.name: one.annotation for one in parameters}
    call.__name__, call.__doc__ = function.__name__, function.__doc__
    return call


def command(app: typer.Typer, name: str, **more: Any) -> Callable[[Callable[..., None]], Callable[..., None]]:  # noqa: ANN401
    """Add a command to an app, as `with_session` makes it.

    Args:
        app: Whose command it is.
        name: Of the command.
        more: What typer's `command` takes beside.
    """

    def added(function: Callable[..., None]) -> Callable[..., None]:
        app.command(name, **more)(with_session(function))
        return function

    return added
