"""Jobs, sweeps and models in words: what tables and summaries show of them."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from fitd_client import answers
from fitd_client.cli.screen import Column, figure

__all__ = [
    "JOBS",
    "TRIALS",
    "age",
    "duration",
    "job_facts",
    "job_row",
    "sweep_facts",
    "trial_row",
    "version_facts",
]

_MOST_COEFFICIENTS = 12
_UNITS = ((86400, "d"), (3600, "h"), (60, "min"), (0, "s"))

JOBS = (
    Column("id"),
    Column("status"),
    Column("name", least=60),
    Column("epoch", least=90, right=True),
    Column("loss", least=70, right=True),
    Column("dev loss", least=100, right=True),
    Column("age", least=80, right=True),
)
TRIALS = (
    Column("trial", right=True),
    Column("job", least=80),
    Column("status", least=60),
    Column("objective", right=True),
    Column("values"),
)


def duration(seconds: float) -> str:
    """Write seconds as a clock does: `1:02:03`, `2:03`."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def age(moment: datetime) -> str:
    """Write how long ago something was, in its largest unit."""
    seconds = max((datetime.now(UTC) - moment).total_seconds(), 0.0)
    least, unit = next(pair for pair in _UNITS if seconds >= pair[0])
    return f"{int(seconds // max(least, 1))} {unit}"


def job_row(job: answers.Job) -> tuple[object, ...]:
    """Give a job as a row of `JOBS`."""
    progress = job.progress
    losses = (figure(progress.train_loss), figure(progress.dev_loss))
    return (
        job.id,
        job.status,
        job.name,
        f"{progress.epoch}/{progress.epochs}",
        *losses,
        age(job.created_at),
    )


def job_facts(job: answers.Job) -> dict[str, object]:
    """Tell what there is to know of a job, the result first."""
    progress = job.progress
    return {
        "id": job.id,
        "name": job.name,
        "status": f"{job.status} ({job.stop_reason})" if job.stop_reason else job.status,
        "error": _wrong(job.error),
        **(_result_facts(job.result) if job.result else {"loss": figure(progress.train_loss)}),
        "epoch": f"{progress.epoch}/{progress.epochs}",
        "training time": f"{progress.seconds:.2f} s" if progress.epoch else "",
        "ahead in queue": job.queue.jobs_ahead if job.queue else None,
        "model": _type(job.spec, "model"),
        "loss function": _type(job.spec, "loss"),
        "optimizer": _type(job.spec, "optimizer"),
        "engine": job.engine.name if job.engine else None,
        "seed": job.seed,
        "created": f"{job.created_at:%Y-%m-%d %H:%M:%S} UTC",
        "rerun of": job.rerun_of,
        "sweep": job.sweep.id if job.sweep else None,
        "metadata": _pairs(job.metadata),
    }


def _type(spec: Mapping[str, Any], part: str) -> str | None:
    return spec[part].get("type") if isinstance(spec.get(part), Mapping) else None


def _wrong(error: answers.WhatIsWrong | None) -> str:
    return f"{error.message} ({error.code}) {error.hint}".rstrip() if error else ""


def _result_facts(result: answers.Result) -> dict[str, object]:
    metrics = {
        f"{part} {name}": figure(value)
        for part, values in result.metrics.items()
        for name, value in values.items()
        if isinstance(value, int | float)
    }
    return {
        "train loss": figure(result.train_loss),
        "dev loss": figure(result.dev_loss),
        "test loss": figure(result.test_loss),
        **metrics,
        "coefficients": _numbers(result.coefficients),
        "intercept": _numbers(result.intercept),
        "warnings": "\n".join(map(_wrong, result.warnings)),
    }


def _numbers(found: Any) -> str:  # noqa: ANN401 - one number, or several by name, or those by output
    if found is None or isinstance(found, int | float):
        return figure(found)
    if any(isinstance(value, Mapping) for value in found.values()):
        return "\n".join(f"{name}: {_numbers(values)}" for name, values in found.items())
    told = [f"{name} {figure(value)}" for name, value in list(found.items())[:_MOST_COEFFICIENTS]]
    return ", ".join([*told, "…"] if len(found) > _MOST_COEFFICIENTS else told)


def _pairs(pairs: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={value}" for name, value in pairs.items())


def sweep_facts(sweep: answers.Sweep) -> dict[str, object]:
    """Tell what there is to know of a sweep."""
    best, progress = sweep.best, sweep.progress
    return {
        "id": sweep.id,
        "name": sweep.name,
        "status": sweep.status,
        "error": _wrong(sweep.error),
        "trials": f"{progress.ended}/{progress.trials}",
        "training time": f"{progress.seconds:.2f} s",
        "best trial": best.trial if best else None,
        "best job": best.job_id if best else None,
        "best objective": figure(best.objective) if best else None,
        "best values": _pairs(best.values) if best else None,
        "created": f"{sweep.created_at:%Y-%m-%d %H:%M:%S} UTC",
    }


def trial_row(trial: answers.Trial) -> tuple[object, ...]:
    """Give a trial as a row of `TRIALS`."""
    return (trial.trial, trial.job_id, trial.status, figure(trial.objective), _pairs(trial.values))


def version_facts(version: answers.ModelVersion) -> dict[str, object]:
    """Tell what there is to know of a version of a model."""
    result = version.result
    return {
        "name": version.name,
        "version": version.version,
        "aliases": ", ".join(version.aliases),
        "description": version.description,
        "job": version.lineage.job_id,
        "inputs": ", ".join(f"{one.name} ({one.kind})" for one in version.inputs),
        "outputs": ", ".join(f"{one.name} ({one.kind})" for one in version.outputs),
        "train loss": figure(result.train_loss) if result else None,
        "dev loss": figure(result.dev_loss) if result else None,
        "digest": version.digest,
        "metadata": _pairs(version.metadata),
        "created": f"{version.created_at:%Y-%m-%d %H:%M:%S} UTC",
    }
