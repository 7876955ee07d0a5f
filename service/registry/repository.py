"""All SQL about registered models. Functions take a session and never commit.

Whoever changes a model holds its row first, and an artifact after that: nobody waits for another in a circle.
"""

from collections.abc import Collection, Sequence
from typing import NamedTuple

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from service.registry.orm import Artifact, Model, ModelAlias, ModelVersion

__all__ = [
    "Summary",
    "add_artifact",
    "add_model",
    "add_version",
    "alias",
    "aliases",
    "artifact",
    "by_alias",
    "by_job",
    "by_number",
    "delete_alias",
    "delete_model",
    "delete_version",
    "find",
    "newest",
    "page",
    "point",
    "spec_sizes",
    "spec_texts",
    "still_there",
    "summaries",
    "versions",
]

_DIGESTS_AT_ONCE = 1000
"""Each is a parameter of the statement, of which databases take some ten thousand at most."""


def find(session: Session, name: str, *, owner: str, hold: bool = False) -> Model | None:
    """Look a model up by its name.

    Args:
        session: Any session; a writing one if the model is to be held.
        name: The model.
        owner: Whose.
        hold: Let nobody change it before this transaction ends. SQLite's writers wait for each other anyway.
    """
    query = sa.select(Model).where(Model.owner == owner, Model.name == name)
    held = query.with_for_update().execution_options(populate_existing=True)
    return session.scalar(held if hold else query)


def add_model(session: Session, model: Model) -> bool:
    """Add a model, and tell whether it was: another may be adding one of the same name."""
    try:
        with session.begin_nested():
            session.add(model)
            session.flush()
    except IntegrityError:
        return False
    return True


def page(session: Session, *, owner: str, limit: int, before: Model | None) -> Sequence[Model]:
    """List models, newest first, from the one first registered before `before` on."""
    query = sa.select(Model).where(Model.owner == owner).order_by(Model.seq.desc()).limit(limit)
    if before is not None:
        query = query.where(Model.seq < before.seq)
    return session.scalars(query).all()


def delete_model(session: Session, model: Model) -> None:
    """Remove a held model that has no aliases, with all of its versions."""
    digests = session.scalars(
        sa.delete(ModelVersion).where(ModelVersion.model_seq == model.seq).returning(ModelVersion.digest)
    )
    _drop_unused(session, digests.all())
    session.execute(sa.delete(Model).where(Model.seq == model.seq))


class Summary(NamedTuple):
    """What a model's versions come to.

    Attributes:
        versions: How many there are.
        number: Of the newest.
        description: Of the newest.
    """

    versions: int
    number: int | None
    description: str | None


def summaries(session: Session, seqs: Collection[int]) -> dict[int, Summary]:
    """Sum up the versions of some models; models without one are left out."""
    query = (
        sa.select(ModelVersion.model_seq, sa.func.count().label("count"), sa.func.max(ModelVersion.number))
        .where(ModelVersion.model_seq.in_(seqs))
        .group_by(ModelVersion.model_seq)
    )
    counted = {seq: (count, highest) for seq, count, highest in session.execute(query)}
    newest = sa.tuple_(ModelVersion.model_seq, ModelVersion.number)
    pairs = [(seq, highest) for seq, (_, highest) in counted.items()]
    texts = sa.select(ModelVersion.model_seq, ModelVersion.description).where(newest.in_(pairs))
    described = dict(session.execute(texts).all())
    return {seq: Summary(count, highest, described[seq]) for seq, (count, highest) in counted.items()}


# Built once: building a query takes longer than running it, and each prediction looks up a version.
_OWN = (Model.owner == sa.bindparam("owner"), Model.name == sa.bindparam("name"))
_OF_MODEL = sa.select(ModelVersion).join(Model, Model.seq == ModelVersion.model_seq).where(*_OWN)
_BY_NUMBER = _OF_MODEL.where(ModelVersion.number == sa.bindparam("number"))
_NEWEST = _OF_MODEL.order_by(ModelVersion.number.desc()).limit(1)
_BY_ALIAS = _OF_MODEL.join(ModelAlias, ModelAlias.version_seq == ModelVersion.seq).where(
    ModelAlias.name == sa.bindparam("alias")
)


def by_number(session: Session, name: str, number: int, *, owner: str) -> ModelVersion | None:
    """Look up a version by its number."""
    return session.scalar(_BY_NUMBER, {"owner": owner, "name": name, "number": number})


def by_alias(session: Session, name: str, alias: str, *, owner: str) -> ModelVersion | None:
    """Look up the version to which an alias points."""
    return session.scalar(_BY_ALIAS, {"owner": owner, "name": name, "alias": alias})


def newest(session: Session, name: str, *, owner: str) -> ModelVersion | None:
    """Look up the version with the highest number."""
    return session.scalar(_NEWEST, {"owner": owner, "name": name})


def by_job(session: Session, name: str, job_id: str, *, owner: str) -> ModelVersion | None:
    """Look up the version that a job trained."""
    return session.scalar(_OF_MODEL.where(ModelVersion.job_id == job_id), {"owner": owner, "name": name})


def versions(session: Session, model: Model, *, limit: int, before: int | None) -> Sequence[ModelVersion]:
    """List the versions of a model, newest first, from the one with a lower number than `before` on."""
    query = sa.select(ModelVersion).where(ModelVersion.model_seq == model.seq)
    if before is not None:
        query = query.where(ModelVersion.number < before)
    return session.scalars(query.order_by(ModelVersion.number.desc()).limit(limit)).all()


def still_there(session: Session, version_ids: Collection[str]) -> set[str]:
    """Tell which of these versions there are, whoever owns them."""
    return set(session.scalars(sa.select(ModelVersion.id).where(ModelVersion.id.in_(version_ids))))


def add_version(session: Session, version: ModelVersion) -> None:
    """Add a version of a held model; its artifact must be there."""
    session.add(version)
    session.flush()


def delete_version(session: Session, version: ModelVersion) -> None:
    """Remove a version of a held model to which no alias points, and its artifact unless another version has the same."""
    session.execute(sa.delete(ModelVersion).where(ModelVersion.seq == version.seq))
    _drop_unused(session, [version.digest])


def add_artifact(session: Session, artifact: Artifact) -> None:
    """Add an artifact unless it is there, and let nobody remove it before this transaction ends."""
    while not _is_kept(session, artifact.digest):
        # Another may be adding the same, or removing it, which is then known; this one tries again.
        try:
            with session.begin_nested():
                session.add(artifact)
                session.flush()
        except IntegrityError:
            continue


def _is_kept(session: Session, digest: str) -> bool:
    query = sa.select(Artifact.digest).where(Artifact.digest == digest)
    return session.scalar(query.with_for_update(read=True)) is not None


def _drop_unused(session: Session, digests: Collection[str]) -> None:
    """Remove those of some artifacts that no version has any more."""
    # In one order for all who do so: nobody waits for another in a circle.
    ordered = sorted(set(digests))
    for start in range(0, len(ordered), _DIGESTS_AT_ONCE):
        _drop_some(session, ordered[start : start + _DIGESTS_AT_ONCE])


def _drop_some(session: Session, digests: Collection[str]) -> None:
    query = sa.select(Artifact.digest).where(Artifact.digest.in_(digests)).order_by(Artifact.digest)
    held = session.scalars(query.with_for_update()).all()
    # A statement of its own: it sees the versions that were added until the artifacts were held.
    used = sa.select(ModelVersion.digest).where(ModelVersion.digest.in_(held))
    session.execute(sa.delete(Artifact).where(Artifact.digest.in_(held), Artifact.digest.not_in(used)))


def artifact(session: Session, digest: str) -> Artifact | None:
    """Read an artifact; None when no version has it any more."""
    return session.scalar(sa.select(Artifact).where(Artifact.digest == digest))


def spec_texts(session: Session, digests: Collection[str]) -> dict[str, str]:
    """Read the specs of some artifacts, as JSON text."""
    query = sa.select(Artifact.digest, Artifact.spec_text).where(Artifact.digest.in_(digests))
    return dict(session.execute(query).all())


def spec_sizes(session: Session, digests: Collection[str]) -> dict[str, int]:
    """Count the characters of the specs of some artifacts."""
    query = sa.select(Artifact.digest, sa.func.length(Artifact.spec_text)).where(Artifact.digest.in_(digests))
    return dict(session.execute(query).all())


def aliases(session: Session, seqs: Collection[int]) -> dict[int, dict[str, int]]:
    """Tell to which number each alias of some models points, in the order of their names."""
    found: dict[int, dict[str, int]] = {seq: {} for seq in seqs}
    query = (
        sa.select(ModelAlias.model_seq, ModelAlias.name, ModelVersion.number)
        .join(ModelVersion, ModelVersion.seq == ModelAlias.version_seq)
        .where(ModelAlias.model_seq.in_(seqs))
        .order_by(ModelAlias.name)
    )
    for seq, name, number in session.execute(query):
        found[seq][name] = number
    return found


def alias(session: Session, model: Model, name: str) -> ModelAlias | None:
    """Look up an alias of a model."""
    query = sa.select(ModelAlias).where(ModelAlias.model_seq == model.seq, ModelAlias.name == name)
    return session.scalar(query.execution_options(populate_existing=True))


def point(session: Session, model: Model, name: str, version: ModelVersion) -> None:
    """Let an alias of a held model point to one of its versions, whether it is there already or not."""
    known = alias(session, model, name)
    if known is None:
        session.add(ModelAlias(model_seq=model.seq, name=name, version_seq=version.seq))
    else:
        known.version_seq = version.seq
    session.flush()


def delete_alias(session: Session, alias: ModelAlias) -> None:
    """Remove an alias; the version stays."""
    session.delete(alias)
    session.flush()
