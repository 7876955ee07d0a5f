"""Commands about registered models."""

from collections.abc import Callable
from typing import Annotated, Any

import typer

from fitd_client import answers
from fitd_client.cli.finding import Id, job_of
from fitd_client.cli.fits import Metadata
from fitd_client.cli.reading import pairs_of
from fitd_client.cli.screen import Column, figure
from fitd_client.cli.session import Session, command, with_session
from fitd_client.cli.shown import version_facts

__all__ = ["app"]

app = typer.Typer(help="Registered models: list, register, promote.", rich_markup_mode=None)

_MODELS = (
    Column("name"),
    Column("versions", right=True),
    Column("latest", least=60, right=True),
    Column("aliases"),
)
_VERSIONS = (
    Column("version", right=True),
    Column("aliases"),
    Column("job", least=70),
    Column("train loss", least=50, right=True),
    Column("dev loss", least=90, right=True),
    Column("created", least=110),
)

Name = Annotated[str, typer.Argument(metavar="NAME", help="Of a model.")]


def _ls(
    session: Session,
    *,
    limit: Annotated[int, typer.Option("--limit", "-l", help="At most so many.", min=1)] = 20,
) -> None:
    """List models, the newest first."""
    models = [model.answer for model in session.client.models(limit=limit)]
    if session.screen.json:
        session.screen.document(models)
    elif session.screen.quiet:
        for model in models:
            session.screen.line(model.name)
    else:
        session.screen.table(_MODELS, map(_row, models))


def _row(model: answers.Model) -> tuple[object, ...]:
    return (model.name, model.versions, model.latest_version, _aliases(model.aliases))


def _aliases(aliases: dict[str, int]) -> str:
    return ", ".join(f"{alias}={version}" for alias, version in sorted(aliases.items()))


def _show(
    session: Session,
    *,
    name: Name,
    version: Annotated[str | None, typer.Argument(help="A number, an alias or `latest`.")] = None,
) -> None:
    """Show a model and its versions; or one version."""
    model = session.client.model(name)
    if version is not None:
        _show_version(session, model.describe(version))
        return
    versions = model.versions()
    if session.screen.json:
        listed = [one.model_dump(mode="json") for one in versions]
        session.screen.document(model.answer.model_dump(mode="json") | {"version_list": listed})
        return
    session.screen.facts(
        {"name": model.name, "description": model.answer.description, "aliases": _aliases(model.aliases)}
    )
    session.screen.out.print()
    session.screen.table(_VERSIONS, map(_version_row, versions))


def _version_row(version: answers.ModelVersion) -> tuple[object, ...]:
    result = version.result
    losses = (figure(result.train_loss), figure(result.dev_loss)) if result else ("", "")
    return (
        version.version,
        ", ".join(version.aliases),
        version.lineage.job_id,
        *losses,
        f"{version.created_at:%Y-%m-%d %H:%M}",
    )


def _show_version(session: Session, version: answers.ModelVersion) -> None:
    if session.screen.json:
        session.screen.document(version)
    else:
        session.screen.facts(version_facts(version))


def _register(
    session: Session,
    *,
    id: Id,  # noqa: A002 - the field's name
    name: Name,
    alias: Annotated[list[str] | None, typer.Option("--alias", "-a", help="As in `champion`.")] = None,
    description: Annotated[str | None, typer.Option("--description", help="For people.")] = None,
    metadata: Metadata = None,
) -> None:
    """Register what a job has fitted as the next version of a model."""
    pairs = pairs_of(metadata or (), what="--metadata")
    job = job_of(session.client, id)
    version = session.client.register(job, name, aliases=alias or (), description=description, metadata=pairs)
    if session.screen.quiet:
        session.screen.line(f"{version.name}@{version.version}")
    else:
        _show_version(session, version)


def _promote(
    session: Session,
    *,
    name: Name,
    version: Annotated[str, typer.Argument(help="A number, an alias or `latest`.")] = "latest",
    alias: Annotated[str, typer.Argument(help="The alias that points to it from now on.")] = "champion",
) -> None:
    """Let an alias point to a version."""
    model = session.client.model(name)
    number = model.describe(version).version
    _tell(session, model.alias(alias, number))


def _tell(session: Session, model: Any) -> None:  # noqa: ANN401 - a handle
    if session.screen.json:
        session.screen.document(model.answer)
    else:
        session.screen.line(f"{model.name} {_aliases(model.aliases)}".rstrip())


def _unalias(
    session: Session, *, name: Name, alias: Annotated[str, typer.Argument(help="Of a version.")]
) -> None:
    """Take an alias away."""
    _tell(session, session.client.model(name).remove_alias(alias))


def _rm(
    session: Session,
    *,
    name: Name,
    version: Annotated[int | None, typer.Argument(help="Its number; left out, all.")] = None,
) -> None:
    """Remove a version that no alias points to; or a model without aliases."""
    session.client.model(name).delete(version)
    told = {"name": name, "version": version, "status": "removed"}
    if session.screen.json:
        session.screen.document(told)
    else:
        session.screen.line(f"{name if version is None else f'{name}@{version}'} removed")


app.callback(invoke_without_command=True)(with_session(_ls))
_COMMANDS: dict[str, Callable[..., None]] = {
    "ls": _ls,
    "show": _show,
    "register": _register,
    "promote": _promote,
    "unalias": _unalias,
    "rm": _rm,
}
for _name, _function in _COMMANDS.items():
    command(app, _name)(_function)
