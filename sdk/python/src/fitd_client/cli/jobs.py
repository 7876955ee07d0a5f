"""Commands about jobs that there are, most of them about sweeps too."""

from collections.abc import Callable
from typing import Annotated, Any

import typer

from fitd_client.answers import History
from fitd_client.cli.exits import code_of, report
from fitd_client.cli.finding import Id, Ids, job_of, work_of
from fitd_client.cli.fits import Metadata, Set, Timeout, Wait, Watch, begun, show_sweep
from fitd_client.cli.reading import changes_of, pairs_of
from fitd_client.cli.screen import Column, figure, whole
from fitd_client.cli.session import Session, command
from fitd_client.cli.shown import JOBS, job_facts, job_row
from fitd_client.cli.waiting import end_as, goes_on, view_of, wait_for
from fitd_client.cli.watching import events_of, follow
from fitd_client.errors import FitdError, UnreadableData
from fitd_client.jobs import Job
from fitd_client.sweeps import Sweep

__all__ = ["add_to", "each"]

_LIMIT = 20


def _ls(
    session: Session,
    *,
    status: Annotated[list[str] | None, typer.Option("--status", "-s", help="Only in this state.")] = None,
    name: Annotated[str | None, typer.Option("--name", "-n", help="Only of this name.")] = None,
    metadata: Metadata = None,
    sweep: Annotated[str | None, typer.Option("--sweep", help="Only of this sweep.")] = None,
    limit: Annotated[int, typer.Option("--limit", "-l", help="At most so many.", min=1)] = _LIMIT,
) -> None:
    """List jobs, the newest first."""
    pairs = pairs_of(metadata or (), what="--metadata")
    jobs = [
        job.answer
        for job in session.client.jobs(status=status, name=name, metadata=pairs, sweep=sweep, limit=limit)
    ]
    if session.screen.json:
        session.screen.document(jobs)
    elif session.screen.quiet:
        for job in jobs:
            session.screen.line(job.id)
    else:
        session.screen.table(JOBS, map(job_row, jobs))


def _show(session: Session, *, id: Id) -> None:  # noqa: A002 - the field's name
    """Show a job or a sweep: how it is, and what came out."""
    work = work_of(session.client, id)
    if isinstance(work, Sweep):
        show_sweep(session, work)
    elif session.screen.json:
        session.screen.document(work.answer)
    elif isinstance(work, Job):
        session.screen.facts(job_facts(work.answer))
    else:
        session.screen.facts(work.answer.model_dump(exclude={"links", "columns"}))


def _watch(session: Session, *, id: Id, timeout: Timeout = None) -> None:  # noqa: A002 - the field's name
    """Follow a job or a sweep to its end: a curve on a terminal, lines on a pipe, events with --json."""
    work = work_of(session.client, id)
    if isinstance(work, Sweep):
        wait_for(session, work, timeout=timeout)
        show_sweep(session, work)
    elif isinstance(work, Job):
        _follow(session, work, timeout=timeout)
    else:
        raise UnreadableData(f"{id} is nothing that can be watched: jobs and sweeps can.")
    end_as(work)


def _follow(session: Session, job: Job, *, timeout: float | None) -> None:
    try:
        if session.screen.json:
            for event in events_of(job, timeout=timeout):
                if event is not None:
                    session.screen.json_line(event)
            job.refresh()
        else:
            follow(job, view_of(session, job, result=True), timeout=timeout)
    except KeyboardInterrupt:
        goes_on(session, job)
        raise


def _history(
    session: Session,
    *,
    id: Id,  # noqa: A002 - the field's name
    as_csv: Annotated[bool, typer.Option("--csv", help="CSV on standard output.")] = False,
    every: Annotated[int | None, typer.Option("--every", help="Only multiples of this epoch.", min=1)] = None,
    first: Annotated[int | None, typer.Option("--first", help="First epoch.", min=1)] = None,
    last: Annotated[int | None, typer.Option("--last", help="Last epoch.", min=1)] = None,
    limit: Annotated[
        int | None, typer.Option("--limit", "-l", help="At most so many, evenly spread.", min=2)
    ] = None,
) -> None:
    """Give the losses, learning rate and metrics of each epoch.

    A table of 20 epochs unless more are asked for; CSV and JSON have all.
    """
    everything = as_csv or session.screen.json or every is not None
    found = job_of(session.client, id).history(
        format="answer",
        first=first,
        last=last,
        every=every,
        max_points=limit or (None if everything else _LIMIT),
    )
    if session.screen.json:
        session.screen.document(found)
    elif as_csv:
        session.screen.csv({name: whole(name, values) for name, values in found.columns.items()})
    else:
        _show_history(session, found)


def _show_history(session: Session, history: History) -> None:
    """Show the columns that have a value anywhere; of a job that has not begun, there is but a heading."""
    epochs = [str(int(epoch)) for epoch in history.columns.get("epoch", ()) if epoch is not None]
    told = {"epoch": epochs} | {
        name: [figure(value) for value in values]
        for name, values in history.columns.items()
        if name != "epoch" and any(value is not None for value in values)
    }
    session.screen.table([Column(name, right=True) for name in told], zip(*told.values(), strict=True))


def each(session: Session, ids: list[str], act: Callable[[Any], Any]) -> None:
    """Do something to several things; what goes wrong with one keeps none from the others.

    Args:
        session: With the client.
        ids: Of the things.
        act: Takes a handle, and gives what to write of it.

    Raises:
        typer.Exit: With one of them it went wrong; the code is that of the first.
    """
    done, first = [], None
    for given in ids:
        try:
            done.append(act(work_of(session.client, given)))
        except FitdError as error:
            report(error, as_json=session.screen.json)
            first = first or code_of(error)
        else:
            if not session.screen.json:
                session.screen.line(_told(done[-1], quiet=session.screen.quiet))
    if session.screen.json:
        session.screen.document(done)
    if first is not None:
        raise typer.Exit(first)


def _told(answer: Any, *, quiet: bool) -> str:  # noqa: ANN401 - an answer, or what is left of it
    found = answer if isinstance(answer, dict) else {"id": answer.id, "status": answer.status}
    return str(found["id"]) if quiet else f"{found['id']} {found['status']}"


def _can(work: Any, action: str) -> Any:  # noqa: ANN401 - of several kinds
    if not hasattr(work, action):
        raise UnreadableData(f"{work.id} is nothing that can be told to {action}.")
    return getattr(work, action)()


def _control(action: str, about: str) -> Callable[..., None]:
    def control(session: Session, *, ids: Ids) -> None:
        each(session, ids, lambda work: _can(work, action).answer)

    control.__name__, control.__doc__ = action, about
    return control


def _rm(session: Session, *, ids: Ids) -> None:
    """Remove jobs, sweeps, datasets or predictions that have ended, with all that they own."""

    def remove(work: Any) -> dict[str, str]:  # noqa: ANN401 - of several kinds
        work.delete()
        return {"id": work.id, "status": "removed"}

    each(session, ids, remove)


def _rerun(
    session: Session,
    *,
    id: Id,  # noqa: A002 - the field's name
    changes: Set = None,
    watch: Watch = False,
    wait: Wait = False,
    timeout: Timeout = None,
) -> None:
    """Submit the spec of a job once more, with changes or without."""
    body = changes_of(changes or ())
    job = job_of(session.client, id).rerun(**body)
    begun(session, job, watch=watch, wait=wait, timeout=timeout)


_COMMANDS: dict[str, Callable[..., None]] = {
    "ls": _ls,
    "show": _show,
    "watch": _watch,
    "history": _history,
    "cancel": _control("cancel", "Stop jobs or sweeps; what they have reached is kept."),
    "pause": _control("pause", "Let jobs or sweeps stand still; others train meanwhile."),
    "resume": _control("resume", "Let jobs or sweeps go on from where they stood."),
    "rerun": _rerun,
    "rm": _rm,
}


def add_to(app: typer.Typer) -> None:
    """Add these commands to an app."""
    for name, function in _COMMANDS.items():
        command(app, name)(function)
