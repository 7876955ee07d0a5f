"""The one way from what a caller names, a job or a model, to what predicts; and how a prediction is made.

Which predictor a name stands for is remembered for `FRESH_SECONDS`: a hot prediction reads no database. A job that is
deleted, or an alias that is moved, takes effect within that time.
"""

import contextlib
import functools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from anyio import to_thread
from sqlalchemy.orm import Session
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from service.api.bodies import INLINE_BYTES
from service.api.predicting import Asked, Source, answered
from service.api.underway import newest
from service.exceptions import CheckpointNotFound, ModelNotFound, StateConflict
from service.jobs import repository, service
from service.jobs.lifecycle import TERMINAL
from service.registry import service as registry
from service.settings import Settings
from service.spec.job import JobSpec

if TYPE_CHECKING:
    from service.api.context import Context
    from service.inference.cache import AnyPredictor

__all__ = [
    "FRESH_SECONDS",
    "MODEL_VERSION",
    "REMEMBERED",
    "Reference",
    "Resolved",
    "Served",
    "hot",
    "of_job",
    "of_model",
    "of_name",
    "reply",
    "worked",
]

MODEL_VERSION = "Fitd-Model-Version"
"""Header of a prediction that says which version of a model it is from."""
FRESH_SECONDS = 1.0
"""A name is looked up again after so long."""
TRIES = 3
"""Checkpoints that are looked for until one can be read."""
REMEMBERED = 4096
"""Names that are remembered at once."""
INLINE_SECONDS = 5e-4
"""A prediction that takes no longer, by estimate, is made on the event loop: a thread would cost as much again."""
_ONE_VERSION = (
    "A job has one version: leave it out. Versions are what a registered model has (POST /v1/models)."
)
Value = TypeVar("Value")
Material = Callable[[], tuple[JobSpec, bytes]]
"""Gives the effective spec and the trained parameters. What takes long in it needs no session."""
Load = Callable[[Session], Material]
"""Reads what a predictor is made of."""


@dataclass(frozen=True, slots=True)
class Reference:
    """What a caller names.

    Attributes:
        owner: Who calls.
        kind: `jobs` or `models`.
        name: Id of the job, or name of the model.
        version: Of the model, as it was asked for; None where none was.
    """

    owner: str
    kind: str
    name: str
    version: str | None = None


@dataclass(frozen=True, slots=True)
class Resolved:
    """What a reference stands for at a moment.

    Attributes:
        key: Of the predictor. Its meaning never changes.
        version: Number of a model's version, as text; of a job `1`.
        source: What answers say of it.
        load: Reads what the predictor is made of.
        lasts: Whether it may be remembered: a job that trains goes on.
    """

    key: str
    version: str
    source: Source
    load: Load
    lasts: bool = True


@dataclass(frozen=True, slots=True)
class Served:
    """What predicts, and what answers say of it.

    Attributes:
        name: As the caller named it.
        version: As `Resolved.version`.
        source: What answers say of it.
        predictor: Predicts.
    """

    name: str
    version: str
    source: Source
    predictor: "AnyPredictor"


async def of_job(running: "Context", owner: str, job_id: str) -> Served:
    """Find what predicts with the parameters of a job.

    Raises:
        JobNotFound: There is no such job of this owner.
        StateConflict, NoParameters: It has no parameters, or not yet.
    """
    return await _served(running, Reference(owner, "jobs", job_id))


async def of_model(running: "Context", owner: str, name: str, version: str | None = None) -> Served:
    """Find what predicts as a registered model.

    Args:
        running: The service.
        owner: Whose model.
        name: Of the model.
        version: A number, an alias, or `latest`; None: the alias `champion` where there is one, else the newest.

    Raises:
        ModelNotFound: There is no such model or version of this owner.
    """
    return await _served(running, Reference(owner, "models", name, version))


async def of_name(running: "Context", owner: str, name: str, version: str | None = None) -> Served:
    """Find what predicts under a name that is that of a model or the id of a job, as foreign protocols have it.

    Raises:
        ModelNotFound, JobNotFound, StateConflict, NoParameters: As `of_model` and `of_job`.
    """
    if not name.startswith("job_"):
        return await of_model(running, owner, name, version)
    found = await of_job(running, owner, name)
    if version not in {None, found.version}:
        raise ModelNotFound(
            f"The job `{name[:80]}` has no version `{(version or '')[:80]}`.", hint=_ONE_VERSION
        )
    return found


def hot(running: "Context", reference: Reference) -> Served | None:
    """Give what predicts if it is known and loaded: at once; None where it has to be looked for."""
    resolved = running.names.known(reference, functools.partial(_find, running, reference))
    predictor = None if resolved is None else running.predictors.known(resolved.key)
    if resolved is None or predictor is None:
        return None
    return Served(reference.name, resolved.version, resolved.source, predictor)


async def _served(running: "Context", reference: Reference) -> Served:
    resolved = await running.names.get(reference, functools.partial(_find, running, reference))
    predictor = running.predictors.known(resolved.key)
    if predictor is None:  # Others have taken its place in the cache since.
        resolved = await running.names.anew(reference, functools.partial(_find, running, reference))
        predictor = await run_in_threadpool(_loaded, running, resolved)
    return Served(reference.name, resolved.version, resolved.source, predictor)


async def _find(running: "Context", reference: Reference) -> Resolved:
    """Look a reference up, and have its predictor ready.

    It is looked up again where a training goes on so fast that a checkpoint is replaced before it is read.
    """
    for _ in range(TRIES):
        resolved = await run_in_threadpool(_resolved, running, reference)
        if running.predictors.known(resolved.key) is not None:
            return resolved
        with contextlib.suppress(CheckpointNotFound):
            await run_in_threadpool(_loaded, running, resolved)
            return resolved
    raise StateConflict("The job's checkpoints change faster than they can be read.", hint="Ask again.")


def _resolved(running: "Context", reference: Reference) -> Resolved:
    with running.database.read() as session:
        return _RESOLVE[reference.kind](session, reference, running.settings)


def _job(session: Session, reference: Reference, settings: Settings) -> Resolved:
    job = service.get(session, reference.name, owner=reference.owner)
    if job.status not in TERMINAL:
        underway = newest(session, job, settings=settings)
        return Resolved(underway.key, "1", underway.source, underway.load, lasts=False)
    # An id is never used twice and parameters never change: the id is key enough.
    load = functools.partial(_of_job, owner=reference.owner, job_id=job.id)
    return Resolved(job.id, "1", Source({"job_id": job.id}), load)


def _of_job(session: Session, *, owner: str, job_id: str) -> Material:
    job = service.get(session, job_id, owner=owner)
    stored = service.parameters_of(session, job)
    return functools.partial(_parsed, repository.spec_text(session, [job.seq])[job.seq], stored.data)


def _parsed(spec_text: str, parameters: bytes) -> tuple[JobSpec, bytes]:
    return JobSpec.from_text(spec_text), parameters


def _model(session: Session, reference: Reference, _settings: Settings) -> Resolved:
    found = registry.find_version(session, reference.name, version=reference.version, owner=reference.owner)
    number = str(found.number)
    told = {
        "job_id": found.job_id,
        "model": reference.name,
        "version": found.number,
        "model_id": found.id,
    }
    # Versions of one digest predict the same.
    load = functools.partial(_of_model, digest=found.digest)
    return Resolved(found.digest, number, Source(told, {MODEL_VERSION: number}), load)


def _of_model(session: Session, *, digest: str) -> Material:
    artifact = registry.artifact_of(session, digest)
    return functools.partial(_parsed, artifact.spec_text, artifact.parameters)


_RESOLVE: dict[str, Callable[[Session, Reference, Settings], Resolved]] = {"jobs": _job, "models": _model}


def _loaded(running: "Context", resolved: Resolved) -> "AnyPredictor":
    def build() -> "AnyPredictor":
        from service.inference.grouped import predictor_of

        with running.database.read() as session:
            material = resolved.load(session)
        return predictor_of(*material())

    return running.predictors.get(resolved.key, build)


async def reply(running: "Context", served: Served, asked: Asked) -> Response:
    """Predict what was asked for, and answer in the form that is wanted; raises as `predicting.answered`."""
    call = functools.partial(answered, asked, served.predictor, served.source)
    return await worked(running, served, call, rows=_rows(asked))


def _rows(asked: Asked) -> float:
    """Count rows; those of a file are many, or their library has to be loaded first.

    A large body is work however few its rows are: their values may be long, and of columns that nobody knows.
    """
    if isinstance(asked.rows, bytes) or asked.size > INLINE_BYTES:
        return math.inf
    by_column = asked.rows.columns or {}
    return len(asked.rows.rows or next(iter(by_column.values()), ()))


async def worked(running: "Context", served: Served, call: Callable[[], Value], *, rows: float) -> Value:
    """Make a prediction: a small one here and now, a larger one in one of the threads for it.

    Args:
        running: The service.
        served: What predicts.
        call: Predicts.
        rows: How many rows it predicts.
    """
    if served.predictor.effort.seconds(rows) <= INLINE_SECONDS:
        return call()
    return await to_thread.run_sync(call, limiter=running.prediction_threads)
