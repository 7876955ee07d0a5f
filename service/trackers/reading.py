"""What is told of jobs and sweeps, as the database has it."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import orjson
from sqlalchemy.orm import Session

from service import plots
from service.jobs import repository as jobs
from service.jobs.lifecycle import TERMINAL
from service.jobs.orm import Job
from service.sweeps import repository as sweeps
from service.sweeps.orm import Sweep
from service.sweeps.spec import Objective
from service.trackers.flattening import figures, parameters
from service.trackers.sink import Extras, JobTold, SweepTold

__all__ = ["extras", "job_told", "sweep_told"]

LONGEST_SPEC = 50 * 2**20
"""Characters of a spec that is read for its parameters; a longer one is all rows, and would take seconds."""


def job_told(session: Session, job: Job, *, introduced: bool) -> JobTold:
    """Describe a job, without its parameters where the tracker has them: reading a spec of megabytes takes its time."""
    specs = {} if introduced else jobs.spec_text(session, [job.seq], longest=LONGEST_SPEC)
    return JobTold(
        id=job.id,
        name=job.name,
        status=job.status,
        terminal=job.status in TERMINAL,
        began=job.started_at is not None,
        started_at=job.started_at or job.created_at,
        finished_at=job.finished_at,
        epoch=job.epoch,
        facts=_facts(job),
        metadata=jobs.metadata_of(session, [job.seq])[job.seq],
        parameters=parameters(orjson.loads(specs.get(job.seq, "{}"))),
        figures=figures(job.result),
    )


def _facts(job: Job) -> dict[str, str]:
    """Name what describes a job beside its spec; what is not known yet is left out."""
    error = job.error or {}
    facts = {
        "job_id": job.id,
        "owner": job.owner,
        "status": job.status,
        "stop_reason": job.stop_reason,
        "attempt": job.attempt,
        "seed": job.seed,
        "device": job.device,
        "engine": (job.engine or {}).get("name"),
        "dataset_id": job.dataset_id,
        "rerun_of": job.rerun_of,
        "sweep_id": job.sweep_id,
        "trial": job.trial,
        "seconds": round(job.seconds, 3) if job.finished_at else None,
        "error": f"{error['code']}: {error['message']}" if error else None,
        "warnings": ", ".join(one["code"] for one in (job.result or {}).get("warnings") or ()) or None,
    }
    return _known(facts)


def _known(facts: Mapping[str, Any]) -> dict[str, str]:
    return {name: str(value) for name, value in facts.items() if value is not None}


def sweep_told(session: Session, sweep: Sweep) -> SweepTold:
    """Describe a sweep."""
    spec = orjson.loads(sweep.spec)
    objective = Objective(**spec["objective"])
    best = sweeps.best(session, sweep, objective)
    facts = {
        "sweep_id": sweep.id,
        "owner": sweep.owner,
        "status": sweep.status,
        "trials": sweep.added,
        "best_trial": best.trial.number if best else None,
        "best_job": best.job.id if best and best.job else None,
    }
    searched = {"search": spec["search"], "objective": spec["objective"], "parameters": spec["parameters"]}
    value = best.objective if best else None
    return SweepTold(
        id=sweep.id,
        name=sweep.name,
        status=sweep.status,
        started_at=sweep.created_at,
        finished_at=sweep.finished_at,
        facts=_known(facts),
        metadata=sweep.labels,
        parameters=parameters(searched),
        figures={} if value is None else {f"best.{objective.monitor}": value},
    )


def extras(session: Session, job: Job) -> Extras:
    """Give the files of a job that has ended: its parameters and a picture of its loss, where it has them."""
    files: dict[str, bytes] = {}
    trained = jobs.parameters(session, job)
    if trained is not None:
        files["parameters.safetensors"] = trained.data
    history = jobs.history(session, job)
    series = {name: history.columns[name] for name in ("train_loss", "dev_loss")}
    recorded = {name: one.tolist() for name, one in series.items() if not np.isnan(one).all()}
    if recorded:
        scene = plots.loss_figure(history.epochs.tolist(), recorded, title=job.name or job.id)
        files["loss.svg"] = plots.render_svg(scene)
    return Extras(files)
