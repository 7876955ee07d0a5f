"""Waiting for the end of work, and ending as the work has ended."""

import time
from collections.abc import Callable
from typing import Any

from rich.console import Console

from fitd_client import answers
from fitd_client.batches import BatchPrediction
from fitd_client.cli.session import Session
from fitd_client.cli.shown import job_facts
from fitd_client.cli.watching import Curves, Lines, View, follow
from fitd_client.errors import JobFailed, PredictionFailed, SweepFailed, WaitTimeout
from fitd_client.jobs import Job
from fitd_client.progress import Bar
from fitd_client.sweeps import Sweep

__all__ = ["end_as", "finish_job", "goes_on", "view_of", "wait_for"]

_POLL_SECONDS = 20.0
_WIDE, _BAR = 80, 34
_WATCHED_POLL_SECONDS = 0.4


def _can_move(console: Console) -> bool:
    """Tell whether a console can draw over what it has drawn."""
    return console.is_terminal and not console.is_dumb_terminal


def view_of(session: Session, job: Job, *, result: bool) -> View:
    """Give what shows a job: a curve on a terminal, lines elsewhere.

    Args:
        session: With the outputs.
        job: Which.
        result: Whether what is shown is the result of the command, or a message beside it.
    """
    console = session.screen.out if result else session.screen.err
    if _can_move(console):
        return Curves(job, console)
    return Lines(job, session.screen.line if result else session.screen.say)


def _waited(session: Session, work: Any, *, timeout: float | None) -> None:  # noqa: ANN401 - of several kinds
    """Wait for the end of work, with a bar where somebody watches."""
    until = None if timeout is None else time.monotonic() + timeout
    with Bar(on=not session.screen.quiet, stream=session.screen.err.file) as bar:  # type: ignore[arg-type]
        while not work.terminal:
            left = _POLL_SECONDS if until is None else until - time.monotonic()
            if left <= 0:
                raise WaitTimeout(
                    f"{work.id} is still {work.status}: the time for waiting is over. It goes on."
                )
            wait = min(left, _WATCHED_POLL_SECONDS if bar.is_on else _POLL_SECONDS)
            content = session.client.request("GET", work.path, params={"wait": f"{wait:.3f}"})
            work.answer = type(work.answer).model_validate_json(content)
            _show(bar, work, width=session.screen.err.width)


def _show(bar: Bar, work: Any, *, width: int) -> None:  # noqa: ANN401 - of several kinds
    """Show how far it is, in one line: what a terminal breaks, it cannot write over."""
    title = work.id if width >= _WIDE else ""
    text = _PROGRESS[type(work.answer)](work.answer)
    bar.show(title, work.progress.fraction, text[: max(width - len(title) - _BAR, 0)])


_PROGRESS: dict[type[Any], Callable[[Any], str]] = {
    answers.Job: lambda one: f"{one.status}, epoch {one.progress.epoch}/{one.progress.epochs}",
    answers.Sweep: lambda one: f"{one.progress.ended}/{one.progress.trials} trials",
    answers.BatchPrediction: lambda one: f"{one.status}, {one.progress.rows:,} rows",
}


def finish_job(session: Session, job: Job, *, watch: bool, timeout: float | None) -> None:
    """Wait for the end of a job, write what came out, and end as the job has ended.

    Raises:
        JobFailed: The job has not succeeded.
        WaitTimeout: The time is over; the job goes on.
    """
    try:
        if watch and not session.screen.quiet:
            follow(job, view_of(session, job, result=False), timeout=timeout)
        else:
            _waited(session, job, timeout=timeout)
    except KeyboardInterrupt:
        goes_on(session, job)
        raise
    if session.screen.json:
        session.screen.document(job.answer)
    elif session.screen.quiet:
        session.screen.line(job.id)
    else:
        session.screen.facts(job_facts(job.answer))
    end_as(job)


def wait_for(session: Session, work: Sweep | BatchPrediction, *, timeout: float | None = None) -> None:
    """Wait for the end of a sweep or of the prediction of a dataset.

    Raises:
        WaitTimeout: The time is over; the work goes on.
    """
    try:
        _waited(session, work, timeout=timeout)
    except KeyboardInterrupt:
        goes_on(session, work)
        raise


def goes_on(session: Session, work: Any) -> None:  # noqa: ANN401 - of several kinds
    """Say that work goes on though nobody waits."""
    verb = "show" if isinstance(work, BatchPrediction) else "watch"
    told = f"{work.id} goes on. fitctl {verb} {work.id} follows it, fitctl cancel {work.id} stops it."
    if session.is_passing:
        told = f"{work.id} ends with the local service. With --data-dir it would be kept."
    session.screen.err.print(f"\n{told}", soft_wrap=True)


_FAILURES: dict[type[Any], type[JobFailed | SweepFailed | PredictionFailed]] = {
    Job: JobFailed,
    Sweep: SweepFailed,
    BatchPrediction: PredictionFailed,
}


def end_as(work: Job | Sweep | BatchPrediction) -> None:
    """End as work has ended.

    Raises:
        JobFailed: It has not succeeded; of a sweep, SweepFailed; of a prediction, PredictionFailed.
    """
    if work.status == "succeeded":
        return
    failure = _FAILURES[type(work)]
    if work.error is not None:
        error = work.error
        raise failure(work.id, code=error.code, message=error.message, hint=error.hint)
    raise failure(work.id, code=work.status, message=f"It has ended {work.status}.")
