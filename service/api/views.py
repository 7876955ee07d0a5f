"""From rows of the database to the JSON that callers see."""

from collections.abc import Sequence
from typing import Any

import orjson
from fastapi import Response
from sqlalchemy.orm import Session

from service.api.pictures import Plot
from service.jobs import queue, repository
from service.jobs.history import History
from service.jobs.lifecycle import TERMINAL, Status
from service.jobs.orm import Checkpoint, Job, JobEvent
from service.jobs.repository import Transition

__all__ = [
    "checkpoint_view",
    "event_view",
    "history_columns",
    "job_view",
    "job_views",
    "json_response",
    "new_job_view",
]

MAX_TRANSITIONS = 100
"""The newest changes of state that a job shows; its events have them all."""


def json_response(content: object, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """Answer with JSON; NaN and infinities become null."""
    body = orjson.dumps(content, option=orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_UTC_Z)
    return Response(body, status_code=status, media_type="application/json", headers=headers)


def job_view(session: Session, job: Job) -> dict[str, Any]:
    """Describe one job."""
    return job_views(session, [job])[0]


def new_job_view(session: Session, job: Job, spec: str, metadata: dict[str, str]) -> dict[str, Any]:
    """Describe a job that was just submitted, without reading again what was just written."""
    queued = Transition(job.status, job.created_at, job.attempt, None)
    return _job(session, job, spec=spec, metadata=metadata, events=[queued])


def job_views(session: Session, jobs: Sequence[Job]) -> list[dict[str, Any]]:
    """Describe several jobs, with one query for each kind of thing."""
    seqs = [job.seq for job in jobs]
    specs, metadata = repository.spec_text(session, seqs), repository.metadata_of(session, seqs)
    events = repository.transitions(session, seqs)
    return [
        _job(session, job, spec=specs[job.seq], metadata=metadata[job.seq], events=events[job.seq])
        for job in jobs
    ]


def _job(
    session: Session, job: Job, *, spec: str, metadata: dict[str, str], events: Sequence[Transition]
) -> dict[str, Any]:
    status = Status(job.status)
    place = {"jobs_ahead": queue.jobs_ahead(session, job)} if status == Status.QUEUED else None
    return {
        "id": job.id,
        "object": "job",
        "name": job.name,
        "status": status,
        "terminal": status in TERMINAL,
        "stop_reason": job.stop_reason,
        "created_at": job.created_at,
        "started_at": job.started_at,
        "finished_at": job.finished_at,
        "progress": _progress(job),
        "queue": place,
        "priority": job.priority,
        "attempt": job.attempt,
        "transitions": [event._asdict() for event in events[-MAX_TRANSITIONS:]],
        "rerun_of": job.rerun_of,
        "sweep": None if job.sweep_id is None else {"id": job.sweep_id, "trial": job.trial},
        "device": job.device,
        "engine": job.engine,
        "seed": job.seed,
        # The text goes out as it was stored: megabytes of inline rows are not parsed for each poll.
        "spec": orjson.Fragment(spec),
        "result": job.result,
        "error": job.error,
        "metadata": metadata,
        "links": _links(job.id),
    }


def _progress(job: Job) -> dict[str, Any]:
    return {
        "epoch": job.epoch,
        "epochs": job.epochs,
        "fraction": job.fraction,
        "seconds": job.seconds,
        "eta_seconds": None if job.status in TERMINAL else _eta(job.seconds, job.fraction),
        "train_loss": job.train_loss,
        "dev_loss": job.dev_loss,
    }


def _eta(seconds: float, fraction: float) -> float | None:
    return seconds * (1 - fraction) / fraction if fraction > 0 else None


def checkpoint_view(job: Job, row: Checkpoint) -> dict[str, Any]:
    """Describe a checkpoint."""
    return {
        "object": "checkpoint",
        "job_id": job.id,
        "number": row.number,
        "attempt": row.attempt,
        "reason": row.reason,
        "created_at": row.created_at,
        "epoch": row.epoch,
        "fraction": row.fraction,
        "digest": row.digest,
        "bytes": row.size,
        "environment": row.environment,
        "links": {"self": f"/v1/jobs/{job.id}/checkpoints/{row.number}"},
    }


def _links(job_id: str) -> dict[str, str]:
    base = f"/v1/jobs/{job_id}"
    parts = (
        "history",
        "events",
        "parameters",
        "groups",
        "predict",
        "checkpoints",
        "exports",
        "cancel",
        "pause",
        "resume",
        "rerun",
    )
    plots = {f"plot_{name}": f"{base}/plots/{name}" for name in Plot}
    return {"self": base, **{part: f"{base}/{part}" for part in parts}, **plots}


def history_columns(history: History) -> dict[str, Any]:
    """Give the series by name, as arrays that `json_response` writes; NaN becomes null."""
    return {"epoch": history.epochs, **history.columns}


def event_view(event: JobEvent, history: History | None) -> dict[str, Any]:
    """Describe one event; a history event carries its epochs."""
    content = {"columns": history_columns(history)} if history is not None else event.data
    return {"type": event.type, "at": event.at, **content}
