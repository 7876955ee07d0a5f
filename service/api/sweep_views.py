"""From the rows of a sweep to the JSON that callers see."""

from collections.abc import Sequence
from typing import Any

import orjson
from sqlalchemy.orm import Session

from service.api.sweep_pictures import SweepPlot
from service.jobs.lifecycle import TERMINAL as JOB_TERMINAL
from service.jobs.lifecycle import Status
from service.sweeps import repository, space
from service.sweeps.lifecycle import TERMINAL, SweepStatus
from service.sweeps.orm import Sweep
from service.sweeps.repository import Tally, TrialRow
from service.sweeps.spec import SweepSpec

__all__ = ["sweep_view", "sweep_views", "trial_view"]


def sweep_view(session: Session, sweep: Sweep) -> dict[str, Any]:
    """Describe one sweep."""
    return sweep_views(session, [sweep])[0]


def sweep_views(session: Session, sweeps: Sequence[Sweep]) -> list[dict[str, Any]]:
    """Describe several sweeps."""
    tallies = repository.tallies(session, [sweep.id for sweep in sweeps])
    return [_sweep(session, sweep, tallies[sweep.id]) for sweep in sweeps]


def _sweep(session: Session, sweep: Sweep, tally: Tally) -> dict[str, Any]:
    status = SweepStatus(sweep.status)
    spec = SweepSpec.model_validate_json(sweep.spec)
    best = repository.best(session, sweep, spec.objective)
    return {
        "id": sweep.id,
        "object": "sweep",
        "name": sweep.name,
        "status": status,
        "terminal": status in TERMINAL,
        "created_at": sweep.created_at,
        "finished_at": sweep.finished_at,
        "progress": _progress(sweep, tally),
        "jobs": tally.counts,
        "best": None if best is None else _best(spec, best),
        "seed": sweep.seed,
        "spec": orjson.Fragment(sweep.spec),
        "error": sweep.error,
        "metadata": sweep.labels,
        "links": _links(sweep.id),
    }


def _progress(sweep: Sweep, tally: Tally) -> dict[str, Any]:
    refused = sweep.added - sum(tally.counts.values())
    unfinished = sum(count for status, count in tally.counts.items() if status not in JOB_TERMINAL)
    has_ended = sweep.status in TERMINAL
    fraction = 1.0 if has_ended else min(1.0, (tally.fraction + refused) / sweep.planned)
    rest = None if has_ended or not fraction else tally.seconds * (1 - fraction) / fraction
    at_once = max(1, tally.counts.get(Status.RUNNING, 0))
    return {
        "trials": sweep.planned,
        "added": sweep.added,
        "ended": sweep.added - unfinished,
        "fraction": fraction,
        "seconds": tally.seconds,
        "eta_seconds": None if rest is None else rest / at_once,
    }


def _best(spec: SweepSpec, row: TrialRow) -> dict[str, Any]:
    view = trial_view(spec, row)
    return {name: view[name] for name in ("trial", "job_id", "values", "objective", "train_loss", "dev_loss")}


def trial_view(spec: SweepSpec, row: TrialRow) -> dict[str, Any]:
    """Describe one trial."""
    trial, job = row.trial, row.job
    return {
        "trial": trial.number,
        "job_id": job.id if job else None,
        "status": job.status if job else Status.FAILED,
        "stop_reason": job.stop_reason if job else None,
        "values": space.values_at(spec, trial.point),
        "objective": row.objective,
        "train_loss": _loss(row, "train_loss"),
        "dev_loss": _loss(row, "dev_loss"),
        "epoch": job.epoch if job else 0,
        "epochs": job.epochs if job else None,
        "seconds": job.seconds if job else 0.0,
        "rung": trial.rung,
        "repeats": trial.repeats,
        "error": job.error if job else trial.error,
    }


def _loss(row: TrialRow, name: str) -> float | None:
    if row.job is None:
        return None
    value: float | None = row.job.result.get(name) if row.job.result else getattr(row.job, name)
    return value


def _links(sweep_id: str) -> dict[str, str]:
    base = f"/v1/sweeps/{sweep_id}"
    parts = {part: f"{base}/{part}" for part in ("trials", "cancel", "pause", "resume")}
    plots = {f"plot_{name}": f"{base}/plots/{name}" for name in SweepPlot}
    return {"self": base, "jobs": f"/v1/jobs?sweep={sweep_id}", **parts, **plots}
