"""All commands together."""

from typing import Annotated, Any

import typer

from fitd_client import __version__
from fitd_client.cli import datasets, fits, jobs, models, taking
from fitd_client.cli.exits import Guarded
from fitd_client.cli.session import Session, command, with_session

__all__ = ["app"]

app = typer.Typer(
    name="fitctl",
    cls=Guarded,
    no_args_is_help=True,
    rich_markup_mode=None,
    # What is unexpected is for whoever mends it; a traceback with variables could show keys.
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:  # noqa: FBT001 - as typer calls it
    if wanted:
        typer.echo(f"fitctl {__version__}")
        raise typer.Exit


def _root(
    session: Session,
    *,
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_print_version, help="Tell the version.")
    ] = False,
) -> None:
    """Fit models over HTTP: the command line of fitd."""


def _capabilities(
    session: Session,
    *,
    section: Annotated[str | None, typer.Argument(help="As in `losses`; left out, all.")] = None,
) -> None:
    """List everything that a spec can name."""
    found = session.client.capabilities()
    if section is not None:
        found = {name: value for name, value in found.items() if name == section}
        if not found:
            raise typer.BadParameter(f"There is no section {section!r}.", param_hint="SECTION")
    if session.screen.json:
        session.screen.document(found)
    else:
        session.screen.facts({name: _names(value) for name, value in found.items()})


def _names(value: Any) -> str:  # noqa: ANN401 - of JSON
    if isinstance(value, list):
        return ", ".join(str(one.get("name", one)) if isinstance(one, dict) else str(one) for one in value)
    if isinstance(value, dict):
        return ", ".join(f"{name}={one}" for name, one in value.items())
    return str(value)


app.callback()(with_session(_root))
for _commands in (fits, jobs, taking):
    _commands.add_to(app)
app.add_typer(models.app, name="models")
app.add_typer(datasets.app, name="datasets")
command(app, "capabilities")(_capabilities)
