"""Handles of sweeps."""

from typing import Any, ClassVar, Generic, TypeVar

from fitd_client import answers, notebook
from fitd_client.asking import in_path
from fitd_client.errors import ApiError, NotFound, SweepFailed, TransportError
from fitd_client.jobs import AsyncJob, Job
from fitd_client.operations import Async, Sync, iteration, operation
from fitd_client.pictures import MEDIA, Picture
from fitd_client.wire import Items, Steps
from fitd_client.work import Pausable

__all__ = ["AsyncSweep", "Sweep"]

J = TypeVar("J", Job, AsyncJob)


class _Sweep(Pausable[answers.Sweep], Generic[J]):
    """Many trainings of one spec.

    Attributes:
        answer: The whole answer, with fields that this client does not know.
    """

    _kind = answers.Sweep
    _place: ClassVar[str] = "/v1/sweeps"
    _failure: ClassVar[type[SweepFailed]] = SweepFailed
    _job: type[J]

    @property
    def name(self) -> str | None:
        """Its name for people."""
        return self.answer.name

    @property
    def progress(self) -> answers.SweepProgress:
        """How far it is."""
        return self.answer.progress

    @property
    def best(self) -> answers.Best | None:
        """The best trial so far."""
        return self.answer.best

    @operation
    def best_job(self) -> Steps[J]:
        """Give the job of the best trial so far.

        Raises:
            NotFound: None has succeeded yet.
        """
        if self.best is None:
            raise NotFound(404, "no_best", f"No trial of {self.id} has succeeded.", "Wait, and refresh it.")
        answer = yield from self._read(answers.Job, f"{Job._place}/{in_path(self.best.job_id)}")  # noqa: SLF001
        return self._job(self._connection, answer)

    @iteration
    def jobs(self, *, status: str | None = None) -> Items[J]:
        """Go through its jobs, the newest first."""
        params = {"sweep": self.id} | ({"status": status} if status else {})
        yield from self._pages(self._as_job, Job._place, params=params)  # noqa: SLF001 - a neighbour

    def _as_job(self, entry: Any) -> J:  # noqa: ANN401 - of JSON
        return self._job(self._connection, answers.Job.model_validate(entry))

    @operation
    def trials(self, *, sort: str | None = None) -> Steps[list[answers.Trial]]:
        """List all trials.

        Args:
            sort: `trial` for the order in which they were added, `objective` for the best first.
        """
        params = {"sort": sort} if sort else {}
        page = yield from self._read(answers.Page, f"{self.path}/trials", params=params)
        return [answers.Trial.model_validate(one) for one in page.data]

    @operation
    def plot(self, name: str = "search", *, format: str = "svg") -> Steps[Picture]:  # noqa: A002 - the usual word
        """Give a picture of all trials: `parallel`, `loss` or `search`."""
        media = MEDIA[format]
        return Picture(
            name, media, (yield from self._get(f"{self.path}/plots/{in_path(name)}", accept=media))
        )

    def _progress(self) -> tuple[float, str]:
        progress, best = self.progress, self.best
        shown = "" if best is None else f"best {best.objective:.4g}"
        return progress.fraction, f"{progress.ended}/{progress.trials} trials {shown}".rstrip()


class Sweep(Sync, _Sweep[Job]):
    """A sweep of a `Client`."""

    _job = Job

    def _repr_html_(self) -> str:
        picture = None
        if self.best is not None:
            try:
                picture = self.plot("search")
            except (ApiError, TransportError):
                picture = None  # The table alone tells enough.
        return notebook.sweep(self.answer, picture)


class AsyncSweep(Async, _Sweep[AsyncJob]):
    """A sweep of an `AsyncClient`."""

    _job = AsyncJob

    def _repr_html_(self) -> str:
        return notebook.sweep(self.answer, None)
