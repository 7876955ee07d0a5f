"""What callers can do with registered models. Nothing here commits: whoever opened the session does."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from sqlalchemy.orm import Session

from service.db import drawn_id, now
from service.exceptions import InvalidRequest, ModelInUse, ModelNotFound, Problem
from service.registry import repository
from service.registry.fits import NewVersion
from service.registry.orm import Artifact, Model, ModelVersion

__all__ = [
    "CHAMPION",
    "LATEST",
    "Registration",
    "artifact_of",
    "delete_alias",
    "delete_model",
    "delete_version",
    "find_version",
    "get",
    "list_models",
    "list_versions",
    "move_alias",
    "register",
    "registered",
]

CHAMPION = "champion"
"""The alias whose version predicts where none is named."""
LATEST = "latest"
"""Stands for the newest version: no alias can be called so."""
MAX_ALIASES = 100
"""Aliases that a model may have: all of them are told with it."""
_MAX_NUMBER = 2**31 - 1


@dataclass(frozen=True, slots=True)
class Registration:
    """What was asked for.

    Attributes:
        name: Of the model.
        job_id: The job whose fit becomes a version.
        aliases: These point to the version afterwards.
        description: Of the version, for people.
        metadata: Of the version, for programs.
    """

    name: str
    job_id: str
    aliases: Sequence[str] = ()
    description: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)


def registered(session: Session, name: str, job_id: str, *, owner: str) -> ModelVersion | None:
    """Look up the version that a job already is under a name."""
    return repository.by_job(session, name, job_id, owner=owner)


def register(
    session: Session, asked: Registration, new: NewVersion | None, *, owner: str
) -> tuple[ModelVersion, bool]:
    """Register a fit as the next version of a model, and let aliases point to it.

    The same job under the same name again gives the version that it already is.

    Args:
        session: A writing session.
        asked: What was asked for.
        new: What the version will hold; None where the job was seen to be registered already.
        owner: Whose model it is.

    Returns:
        The version, and whether it is new.

    Raises:
        ModelNotFound: `new` is left out, and the version was deleted meanwhile.
        InvalidRequest: The model would have too many aliases.
    """
    model = _held(session, asked.name, owner=owner)
    known = repository.by_job(session, asked.name, asked.job_id, owner=owner)
    if known is not None:
        version = known
    elif new is not None:
        version = _added(session, model, asked, new)
    else:
        raise ModelNotFound("The version of this job was deleted meanwhile.", hint="Register it again.")
    for alias in asked.aliases:
        repository.point(session, model, alias, version)
    _check_aliases(session, model)
    model.updated_at = now() if known is None or asked.aliases else model.updated_at
    session.flush()
    return version, known is None


def _held(session: Session, name: str, *, owner: str) -> Model:
    """Hold a model, which is made where it is not there yet."""
    while (model := repository.find(session, name, owner=owner, hold=True)) is None:
        at = now()
        fresh = Model(owner=owner, name=name, newest=0, created_at=at, updated_at=at)
        if repository.add_model(session, fresh):
            return fresh
    return model


def _added(session: Session, model: Model, asked: Registration, new: NewVersion) -> ModelVersion:
    repository.add_artifact(session, new.artifact)
    model.newest += 1
    version = ModelVersion(
        id=drawn_id("model"),
        model_seq=model.seq,
        number=model.newest,
        job_id=asked.job_id,
        digest=new.artifact.digest,
        description=asked.description,
        labels=dict(asked.metadata),
        created_at=now(),
        inputs=list(new.inputs),
        outputs=list(new.outputs),
        result=new.result,
        lineage=new.lineage,
    )
    repository.add_version(session, version)
    return version


def _check_aliases(session: Session, model: Model) -> None:
    """Make sure that a model has not too many aliases.

    Raises:
        InvalidRequest: It has.
    """
    count = len(repository.aliases(session, [model.seq])[model.seq])
    if count > MAX_ALIASES:
        message = f"The model would have {count} aliases; the limit is {MAX_ALIASES}."
        raise InvalidRequest(
            [Problem("/aliases", "limit_exceeded", message, "Remove some that nobody uses.")]
        )


def get(session: Session, name: str, *, owner: str, hold: bool = False) -> Model:
    """Look up a model.

    Args:
        session: Any session; a writing one if the model is to be held.
        name: The model.
        owner: Whose.
        hold: Let nobody change it before this transaction ends.

    Raises:
        ModelNotFound: There is none of this name, or it is somebody else's.
    """
    model = repository.find(session, name, owner=owner, hold=hold)
    if model is None:
        raise ModelNotFound(f"There is no model `{name[:100]}`.")
    return model


def find_version(session: Session, name: str, *, version: str | None, owner: str) -> ModelVersion:
    """Look up a version of a model.

    Args:
        session: Any session.
        name: The model.
        version: A number, an alias, or `latest`; None: that of the alias `champion` where there is one, else the
            newest.
        owner: Whose.

    Raises:
        ModelNotFound: There is no such model, version or alias, or it is somebody else's.
    """
    found = _found(session, name, version, owner)
    if found is not None:
        return found
    get(session, name, owner=owner)
    if version in {None, LATEST}:
        raise ModelNotFound(f"The model `{name}` has no versions: all were deleted.")
    what = f"version {version}" if _is_number(version or "") else f"alias `{(version or '')[:80]}`"
    raise ModelNotFound(f"The model `{name}` has no {what}.")


def _found(session: Session, name: str, version: str | None, owner: str) -> ModelVersion | None:
    if version is None:
        champion = repository.by_alias(session, name, CHAMPION, owner=owner)
        return champion or repository.newest(session, name, owner=owner)
    if version == LATEST:
        return repository.newest(session, name, owner=owner)
    if not _is_number(version):
        return repository.by_alias(session, name, version, owner=owner)
    number = int(version) if len(version) <= len(str(_MAX_NUMBER)) else 0
    # The database cannot compare with larger ones.
    return repository.by_number(session, name, number, owner=owner) if number <= _MAX_NUMBER else None


def _is_number(version: str) -> bool:
    return version.isascii() and version.isdecimal()


def artifact_of(session: Session, digest: str) -> Artifact:
    """Read what predicts: the parameters of the versions that have this digest, and their effective spec.

    Raises:
        ModelNotFound: The last of them was deleted meanwhile.
    """
    artifact = repository.artifact(session, digest)
    if artifact is None:
        raise ModelNotFound("The version of the model was deleted meanwhile.")
    return artifact


def list_models(
    session: Session, *, owner: str, limit: int, after: str | None
) -> tuple[Sequence[Model], bool]:
    """List models, those first registered last first, and tell whether more follow.

    Raises:
        InvalidRequest: `after` is not the name of a model.
    """
    cursor = None if after is None else repository.find(session, after, owner=owner)
    if after is not None and cursor is None:
        raise _unknown_cursor(after, "model")
    found = repository.page(session, owner=owner, limit=limit + 1, before=cursor)
    return found[:limit], len(found) > limit


def list_versions(
    session: Session, model: Model, *, limit: int, after: str | None
) -> tuple[Sequence[ModelVersion], bool]:
    """List the versions of a model, newest first, and tell whether more follow.

    Args:
        session: Any session.
        model: The model.
        limit: At most so many.
        after: The number of the last version of the page before; it may be deleted meanwhile.

    Raises:
        InvalidRequest: `after` is not a number.
    """
    if after is not None and not (_is_number(after) and len(after) < len(str(_MAX_NUMBER))):
        raise _unknown_cursor(after, "number of a version")
    before = None if after is None else int(after)
    found = repository.versions(session, model, limit=limit + 1, before=before)
    return found[:limit], len(found) > limit


def _unknown_cursor(after: str, what: str) -> InvalidRequest:
    hint = f"Send the `next_after` of the page before; if that {what} is gone, start again without `after`."
    return InvalidRequest([Problem(None, "unknown_cursor", f"`{after[:80]}` is no {what}.", hint, "after")])


def move_alias(session: Session, name: str, alias: str, *, version: str, owner: str) -> Model:
    """Let an alias point to a version, whether it is there already or not: at no moment it points nowhere.

    Args:
        session: A writing session.
        name: The model.
        alias: The alias.
        version: A number, another alias, or `latest`.
        owner: Whose.

    Raises:
        ModelNotFound: There is no such model or version.
        InvalidRequest: The model would have too many aliases.
    """
    model = get(session, name, owner=owner, hold=True)
    repository.point(session, model, alias, find_version(session, name, version=version, owner=owner))
    _check_aliases(session, model)
    model.updated_at = now()
    session.flush()
    return model


def delete_alias(session: Session, name: str, alias: str, *, owner: str) -> None:
    """Remove an alias; the version stays.

    Raises:
        ModelNotFound: There is no such model or alias.
    """
    model = get(session, name, owner=owner, hold=True)
    found = repository.alias(session, model, alias)
    if found is None:
        raise ModelNotFound(f"The model `{name}` has no alias `{alias[:80]}`.")
    repository.delete_alias(session, found)
    model.updated_at = now()
    session.flush()


def delete_version(session: Session, name: str, version: str, *, owner: str) -> ModelVersion:
    """Remove a version to which no alias points. Its number is not given again.

    Raises:
        ModelNotFound: There is no such model or version.
        ModelInUse: An alias points to it.
    """
    model = get(session, name, owner=owner, hold=True)
    found = find_version(session, name, version=version, owner=owner)
    aliases = repository.aliases(session, [model.seq])[model.seq]
    pointing = [alias for alias, number in aliases.items() if number == found.number]
    if pointing:
        hint = f"Move or remove first: PUT or DELETE /v1/models/{name}/aliases/{pointing[0]}."
        message = f"Version {found.number} of `{name}` is {_listed(pointing)}."
        raise ModelInUse(message, hint=hint)
    repository.delete_version(session, found)
    model.updated_at = now()
    session.flush()
    return found


def delete_model(session: Session, name: str, *, owner: str) -> None:
    """Remove a model without aliases, with all of its versions.

    Raises:
        ModelNotFound: There is no such model.
        ModelInUse: It has aliases.
    """
    model = get(session, name, owner=owner, hold=True)
    aliases = list(repository.aliases(session, [model.seq])[model.seq])
    if aliases:
        hint = f"Remove them first: DELETE /v1/models/{name}/aliases/{aliases[0]}."
        raise ModelInUse(f"The model `{name}` has aliases: {_listed(aliases)}.", hint=hint)
    repository.delete_model(session, model)


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(f"`{name}`" for name in names[:10])
    return shown if len(names) <= 10 else f"{shown} and {len(names) - 10} more"  # noqa: PLR2004 - as shown
