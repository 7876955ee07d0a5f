"""What callers can do with sweeps. Nothing here commits: whoever opened the session does.

A verb changes the sweep's own row alone; `advancing` then does with its jobs what the row says.
"""

import contextlib
import hashlib
from collections.abc import Mapping, Sequence

from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from service.db import drawn_id, now
from service.exceptions import IdempotencyConflict, InvalidRequest, Problem, StateConflict, SweepNotFound
from service.jobs import quotas
from service.sweeps import expiry, lifecycle, repository
from service.sweeps.lifecycle import TERMINAL, SweepStatus
from service.sweeps.orm import Sweep
from service.sweeps.search import planned
from service.sweeps.spec import SweepSpec

__all__ = ["cancel", "delete", "get", "list_sweeps", "pause", "resume", "status_of", "submit"]


def submit(
    session: Session,
    *,
    spec: SweepSpec,
    body: bytes,
    owner: str,
    idempotency_key: str | None = None,
    bounds: quotas.Bounds = quotas.UNBOUNDED,
) -> Sweep:
    """Record a sweep. Once the session's transaction is committed, its trials will be added and trained.

    Args:
        session: A writing session.
        spec: Checked, its seed filled in.
        body: The body it was read from.
        owner: Whose sweep it is.
        idempotency_key: The same key with the same body gives the sweep that was submitted first.
        bounds: How many jobs there may be: one more must be possible now, and the others are added as there is room.

    Raises:
        IdempotencyConflict: The key was used with another body.
        QueueFull: The service has as many waiting jobs as it takes.
        QuotaExceeded: The owner has as many unfinished jobs as allowed.
    """
    digest = hashlib.sha256(body).hexdigest()
    if idempotency_key is not None:
        known = repository.find_by_idempotency_key(session, owner=owner, key=idempotency_key)
        if known is not None:
            return _repeated(known, digest)
    quotas.check(session, owner=owner, bounds=bounds)
    sweep = Sweep(
        id=drawn_id("sweep"),
        owner=owner,
        name=spec.name,
        idempotency_key=idempotency_key,
        request_digest=digest,
        labels=spec.metadata,
        spec=spec.model_dump_json(exclude={"metadata"}),
        seed=spec.seed,
        max_unfinished_jobs=bounds.max_unfinished_jobs,
        status=SweepStatus.RUNNING,
        created_at=now(),
        planned=planned(spec),
    )
    try:
        # The same key may be on its way to its commit elsewhere. Refused for that, the rest of the transaction holds.
        with session.begin_nested() if idempotency_key else contextlib.nullcontext():
            return repository.insert(session, sweep)
    except IntegrityError:
        known = repository.find_by_idempotency_key(session, owner=owner, key=idempotency_key or "")
        if known is None:
            raise
        return _repeated(known, digest)


def _repeated(known: Sweep, digest: str) -> Sweep:
    if known.request_digest != digest:
        raise IdempotencyConflict
    return known


def get(session: Session, sweep_id: str, *, owner: str, hold: bool = False) -> Sweep:
    """Look up a sweep.

    Args:
        session: Any session; a writing one if the sweep is to be held.
        sweep_id: The sweep.
        owner: Whose.
        hold: Let nobody change it before this transaction ends.

    Raises:
        SweepNotFound: There is none with this id, or it is somebody else's.
    """
    sweep = repository.find(session, sweep_id, owner=owner, hold=hold)
    if sweep is None:
        raise SweepNotFound(f"There is no sweep `{sweep_id[:80]}`.")
    return sweep


def status_of(session: Session, sweep_id: str, *, owner: str) -> SweepStatus:
    """Look up the state of a sweep, and nothing else.

    Raises:
        SweepNotFound: There is none with this id, or it is somebody else's.
    """
    status = repository.status_of(session, sweep_id, owner=owner)
    if status is None:
        raise SweepNotFound(f"There is no sweep `{sweep_id[:80]}`.")
    return status


def list_sweeps(
    session: Session,
    *,
    owner: str,
    limit: int,
    after: str | None,
    statuses: Sequence[SweepStatus] = (),
    name: str | None = None,
) -> tuple[Sequence[Sweep], bool]:
    """List sweeps, newest first, and tell whether more follow.

    Raises:
        InvalidRequest: `after` is not the id of a sweep.
    """
    cursor = None if after is None else repository.find(session, after, owner=owner)
    if after is not None and cursor is None:
        hint = "Send the `next_after` of the page before; if that sweep was deleted, start again without `after`."
        message = f"`{after[:80]}` is not a sweep."
        raise InvalidRequest([Problem(None, "unknown_cursor", message, hint, "after")])
    found = repository.page(
        session, owner=owner, limit=limit + 1, before=cursor, statuses=statuses, name=name
    )
    return found[:limit], len(found) > limit


def cancel(session: Session, sweep_id: str, *, owner: str) -> Sweep:
    """Ask for a sweep to stop: no trial is added any more, and those that have not ended are cancelled.

    Raises:
        SweepNotFound: There is no such sweep.
        StateConflict: It has ended already.
    """
    hint = "A sweep that has ended stays as it is; DELETE removes it."
    return _ask(session, sweep_id, lifecycle.CANCEL, "cancelled", owner=owner, hint=hint)


def pause(session: Session, sweep_id: str, *, owner: str) -> Sweep:
    """Ask for a sweep to stand still: no trial is added, and those that have not ended are paused.

    Raises:
        SweepNotFound: There is no such sweep.
        StateConflict: It has ended, or is about to.
    """
    hint = "Only a sweep that is running can be paused."
    return _ask(session, sweep_id, lifecycle.PAUSE, "paused", owner=owner, hint=hint)


def resume(session: Session, sweep_id: str, *, owner: str) -> Sweep:
    """Let a sweep go on, with all of its jobs that stand still.

    Raises:
        SweepNotFound: There is no such sweep.
        StateConflict: It is not paused.
    """
    hint = "Only a sweep that is paused, or about to be, can be resumed."
    return _ask(session, sweep_id, lifecycle.RESUME, "resumed", owner=owner, hint=hint)


def _ask(
    session: Session,
    sweep_id: str,
    ways: Mapping[SweepStatus, SweepStatus],
    what: str,
    *,
    owner: str,
    hint: str,
) -> Sweep:
    sweep = get(session, sweep_id, owner=owner, hold=True)
    source = SweepStatus(sweep.status)
    target = ways.get(source)
    if target is None:
        raise StateConflict(f"The sweep is {source}: it cannot be {what}.", hint=hint)
    if target is source:
        return sweep
    moved = repository.move(session, sweep_id, target, sources={source})
    if moved is None:
        raise AssertionError("a sweep that is held has changed its state")
    return moved


def delete(session: Session, sweep_id: str, *, owner: str) -> None:
    """Remove a sweep that has ended, with its jobs and all that they own.

    Raises:
        SweepNotFound: There is no such sweep.
        StateConflict: It has not ended, or a job that has not starts from the parameters of one of its jobs.
    """
    sweep = get(session, sweep_id, owner=owner, hold=True)
    if sweep.status not in TERMINAL:
        raise StateConflict(
            f"The sweep is {sweep.status}: only a sweep that has ended can be deleted.",
            hint=f"POST /v1/sweeps/{sweep.id}/cancel first, and wait until it has ended.",
        )
    job_ids = expiry.job_ids(session, sweep)
    repository.delete(session, sweep)
    # Asked after the rows are gone: a job that is submitted at this moment was seen or will find no parameters.
    user = expiry.user_of(session, job_ids)
    if user is not None:
        raise StateConflict(
            f"The job {user} starts from the parameters of a job of this sweep and has not ended.",
            hint=f"Wait for its end, or cancel it with POST /v1/jobs/{user}/cancel.",
        )
