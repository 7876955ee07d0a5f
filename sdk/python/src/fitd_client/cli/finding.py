"""From what somebody types to what is meant: ids, the last job, models with a version."""

from collections.abc import Callable
from typing import Annotated, Any

import typer

from fitd_client.client import Client
from fitd_client.errors import FitdError, NotFound
from fitd_client.jobs import Job
from fitd_client.registry import Model

__all__ = ["Id", "Ids", "Source", "job_of", "source_of", "work_of"]

_LAST = frozenset({"@last", "-"})
_COMPLETED = 30
_COMPLETION_SECONDS = 2.0

_KINDS: dict[str, Callable[[Client, str], Any]] = {
    "sweep_": lambda client, found: client.sweep(found),
    "ds_": lambda client, found: client.dataset(found),
    "pred_": lambda client, found: client.prediction(found),
}


def work_of(client: Client, given: str) -> Any:  # noqa: ANN401 - of several kinds
    """Give the handle of an id: a job, a sweep, a dataset or a prediction.

    Args:
        client: To ask.
        given: An id; `@last` or `-` is the newest job.

    Raises:
        NotFound: There is none.
    """
    for prefix, find in _KINDS.items():
        if given.startswith(prefix):
            return find(client, given)
    return job_of(client, given)


def job_of(client: Client, given: str) -> Job:
    """Give a job.

    Args:
        client: To ask.
        given: Its id; `@last` or `-` is the newest job.

    Raises:
        NotFound: There is none.
    """
    if given not in _LAST:
        return client.job(given)
    newest = next(client.jobs(limit=1), None)
    if newest is None:
        raise NotFound(404, "job_not_found", "There is no job yet.", "Submit one with `fitctl fit`.")
    return newest


def source_of(client: Client, given: str, *, version: str | None = None) -> Job | Model:
    """Give what predicts and can be exported: a job, or a registered model.

    Args:
        client: To ask.
        given: A job's id, `@last`, or a model's name, as it is or as `name@version`.
        version: Of a model: a number, an alias or `latest`.

    Raises:
        NotFound: There is none.
    """
    if given in _LAST or given.startswith("job_"):
        return job_of(client, given)
    name, _, behind = given.partition("@")
    return client.model(name, version=version or behind or None)


def _completed(ctx: typer.Context, incomplete: str) -> list[tuple[str, str]]:
    """Give ids of the newest jobs; where the service does not answer soon, none."""
    try:
        url = ctx.params.get("url") or ctx.find_root().params.get("url")
        with Client(url, timeout=_COMPLETION_SECONDS, retries=0) as client:
            jobs = list(client.jobs(limit=_COMPLETED))
    except FitdError:
        return []
    return [(job.id, job.status) for job in jobs if job.id.startswith(incomplete)]


Id = Annotated[
    str, typer.Argument(metavar="ID", help="Of a job; `@last` is the newest.", autocompletion=_completed)
]
Ids = Annotated[
    list[str],
    typer.Argument(
        metavar="ID…", help="Of jobs or sweeps; `@last` is the newest.", autocompletion=_completed
    ),
]
Source = Annotated[
    str,
    typer.Argument(
        metavar="ID|MODEL",
        help="A job (`@last` is the newest), or a model as name or name@version.",
        autocompletion=_completed,
    ),
]
