"""Handles of jobs."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

from fitd_client import answers, notebook
from fitd_client.asking import in_path, submission
from fitd_client.errors import ApiError, JobFailed, TransportError, api_error
from fitd_client.exports import Exporting
from fitd_client.operations import Async, Sync, iteration, operation, own_operation
from fitd_client.packages import has, package
from fitd_client.pictures import MEDIA, Picture
from fitd_client.predicting import Predicting
from fitd_client.wire import (
    SAFETENSORS,
    Emit,
    Hear,
    Heard,
    Items,
    Listen,
    Pause,
    Request,
    Response,
    Steps,
    parsed,
)
from fitd_client.work import Pausable, tell_once

__all__ = ["AsyncJob", "Job"]

_MERGE_PATCH = "application/merge-patch+json"
_NO_CONTENT = 204
_FIRST_ERROR = 400


class _Job(Pausable[answers.Job], Predicting, Exporting):
    """A job: what the service said about it last, and all that can be asked of it.

    Attributes:
        answer: The whole answer, with fields that this client does not know.
    """

    _kind = answers.Job
    _place: ClassVar[str] = "/v1/jobs"
    _failure: ClassVar[type[JobFailed]] = JobFailed

    @property
    def name(self) -> str | None:
        """Its name for people."""
        return self.answer.name

    @property
    def stop_reason(self) -> str | None:
        """Why it has ended, as in `completed` and `early_stopped`."""
        return self.answer.stop_reason

    @property
    def progress(self) -> answers.Progress:
        """How far it is."""
        return self.answer.progress

    @property
    def result(self) -> answers.Result | None:
        """What came out."""
        return self.answer.result

    @property
    def spec(self) -> dict[str, Any]:
        """The effective spec: every default filled in."""
        return self.answer.spec

    @property
    def seed(self) -> int:
        """The seed, also where the service drew it."""
        return self.answer.seed

    @property
    def engine(self) -> answers.Engine | None:
        """What makes the steps, and why."""
        return self.answer.engine

    @property
    def metadata(self) -> dict[str, str]:
        """Its pairs of texts."""
        return self.answer.metadata

    @property
    def features(self) -> list[str]:
        """Names of what it predicts from, in their order."""
        data = self.spec["data"]
        beside = [data["group_by"]] if data.get("group_by") else []
        return [*(data.get("features") or ()), *beside]

    @property
    def targets(self) -> list[str]:
        """Names of what it predicts."""
        target = self.spec["data"].get("target")
        named: Any = target["name"] if isinstance(target, dict) else target
        return [named] if isinstance(named, str) else list(named or ())

    @own_operation
    def rerun(self, /, *, wait: float = 0.0, key: str | None = None, **changes: Any) -> Steps[Any]:  # noqa: ANN401 - parts of a spec
        """Submit its spec once more, and give the handle of the new job.

        Args:
            wait: Seconds to wait for the end.
            key: Idempotency key; a new one where it is left out.
            changes: What is to be different in the spec, as in `optimizer={"lr": 0.001}`; the seed stays unless it is
                changed too.
        """
        request = submission(f"{self.path}/rerun", changes, wait=wait, key=key, media=_MERGE_PATCH)
        answer = parsed(answers.Job, (yield from self._exchange(request)))
        return type(self)(self._connection, answer)

    @iteration
    def stream(self, *, after: str | None = None) -> Items[answers.Event]:
        """Follow its events from the beginning to its end, live; a broken connection is taken up again.

        Args:
            after: Id of the last event that was seen: what follows it comes.

        Yields:
            `StatusEvent`, `HistoryEvent` and `LogEvent`.

        Raises:
            TransportError: The service cannot be reached again.
        """
        last, failures, silent, ended = after, 0, 0, False
        while not ended:
            try:
                answer: Response = yield Listen(self._following(last))
                while answer.status == 200 and (heard := (yield Hear())) is not None:  # noqa: PLR2004 - HTTP's OK
                    event, last, failures, silent = self._event(heard), heard.id, 0, 0
                    ended = isinstance(event, answers.StatusEvent) and event.terminal
                    yield Emit(event)
            except TransportError:
                ended = yield from self._taken_up(failures, None)
                failures += 1
            else:
                if answer.status == 200:  # noqa: PLR2004 - HTTP's OK
                    # Whoever ends it orderly is there, as a proxy that lets no line live long: the pauses grow alone.
                    failures, silent = 0, min(silent + 1, self._connection.retries.count)
                else:
                    failures, silent = failures + 1, 0
                ended = ended or answer.status == _NO_CONTENT
                ended = ended or (yield from self._taken_up(max(failures, silent) - 1, answer))

    def _following(self, last: str | None) -> Request:
        headers = {"Accept": "text/event-stream"} | ({"Last-Event-ID": last} if last else {})
        return Request(method="GET", path=f"{self.path}/events", headers=headers)

    def _event(self, heard: Heard) -> answers.Event:
        return answers.event_of(heard.data, id=heard.id)

    def _taken_up(self, failures: int, answer: Response | None) -> Steps[bool]:
        """Let some time pass before the stream is opened again; what cannot be mended is raised."""
        asked = answer.headers.get("retry-after") if answer is not None else None
        if answer is not None and answer.status >= _FIRST_ERROR:
            error: ApiError = api_error(answer.status, answer.content)
            if answer.status not in {429, 502, 503, 504}:
                raise error
        pause = self._connection.retries.pause(failures, asked=asked)
        if pause is None:
            raise TransportError(f"The events of {self.id} broke off again and again.")
        yield Pause(pause)
        return False

    @operation
    def history(
        self,
        *,
        format: str | None = None,  # noqa: A002 - the usual word
        first: int | None = None,
        last: int | None = None,
        every: int | None = None,
        max_points: int | None = None,
    ) -> Steps[Any]:
        """Give every epoch's losses, learning rate and metrics.

        Args:
            format: `pandas` for a DataFrame, `arrow`, `dict`, or `answer` for a `History` that a notebook shows;
                left out, a DataFrame where pandas is installed and a dict elsewhere.
            first: First epoch.
            last: Last epoch.
            every: Only epochs that are multiples of this.
            max_points: At most so many, evenly spread.
        """
        asked = {"from": first, "to": last, "every": every, "max_points": max_points}
        params = {name: value for name, value in asked.items() if value is not None}
        found = yield from self._read(answers.History, f"{self.path}/history", params=params)
        return _HISTORIES[format or ("pandas" if has("pandas") else "dict")](found)

    @operation
    def predict(self, X: Any) -> Steps[Any]:  # noqa: ANN401, N803 - tables of all kinds, and their usual name
        """Predict rows, in raw units.

        Args:
            X: A DataFrame, a dict of columns, a list of rows, an Arrow table, or a matrix with the features in the
                order of the training. Columns that the model does not take are left aside.

        Returns:
            In kind: of a DataFrame a Series with its index (a DataFrame where there are several targets); of a matrix
            an array; of an Arrow table one; else a dict of lists.
        """
        found, table = yield from self._predict(X)
        return found.in_kind(table)

    @operation
    def predict_proba(self, X: Any) -> Steps[Any]:  # noqa: ANN401, N803 - as above
        """Give the probability of each class, or of yes for each label, in kind, with a column for each.

        Raises:
            ApiError: The loss gives no probabilities.
        """
        found, table = yield from self._predict(X)
        if not found.probabilities:
            detail = f"{self.id} gives no probabilities: its loss has none."
            raise ApiError(409, "no_probabilities", detail, "CrossEntropyLoss and BCEWithLogitsLoss do.")
        return found.probabilities_in_kind(table)

    def _predict(self, X: Any) -> Steps[Any]:  # noqa: ANN401, N803 - as above
        return (
            yield from self._predicted(
                f"{self.path}/predict", X, features=self.features, targets=self.targets
            )
        )

    @operation
    def plot(self, name: str = "loss", *, format: str = "svg") -> Steps[Picture]:  # noqa: A002 - the usual word
        """Give a picture: `loss`, `fit`, `residuals`, `confusion` and others.

        Args:
            name: Which.
            format: `svg` or `png`.

        Raises:
            NotFound: There is no such picture of this job; the text names those that are.
        """
        media = MEDIA[format]
        return Picture(
            name, media, (yield from self._get(f"{self.path}/plots/{in_path(name)}", accept=media))
        )

    @operation
    def parameters(self, *, format: str = "answer") -> Steps[Any]:  # noqa: A002 - the usual word
        """Give what was trained: tensors by name, and a linear model's coefficients.

        Args:
            format: `answer` for `Parameters`, `safetensors` for the bytes of such a file.
        """
        if format == "safetensors":
            return (yield from self._get(f"{self.path}/parameters", accept=SAFETENSORS))
        return (yield from self._read(answers.Parameters, f"{self.path}/parameters"))

    @operation
    def checkpoints(self) -> Steps[list[answers.Checkpoint]]:
        """List the points from which it can go on, the newest first."""
        page = yield from self._read(answers.Page, f"{self.path}/checkpoints")
        return [answers.Checkpoint.model_validate(one) for one in page.data]

    @operation
    def checkpoint(self, number: int, *, path: str | Path | None = None) -> Steps[bytes]:
        """Give the file of a checkpoint, and write it where a path is given."""
        content = yield from self._get(f"{self.path}/checkpoints/{number}", accept=SAFETENSORS)
        if path is not None:
            Path(path).write_bytes(content)
        return content

    @iteration
    def groups(self, *, status: str | None = None) -> Items[answers.Group]:
        """Go through the models of a job with groups.

        Args:
            status: Only those that `succeeded`, `failed` or were `skipped`.
        """
        params = {"status": status} if status else {}
        yield from self._pages(answers.Group.model_validate, f"{self.path}/groups", params=params)

    def _progress(self) -> tuple[float, str]:
        progress = self.progress
        if self.answer.queue is not None:
            return 0.0, f"{self.status}, {self.answer.queue.jobs_ahead} ahead"
        losses = {"loss": progress.train_loss, "dev": progress.dev_loss}
        shown = [f"{name} {loss:.4g}" for name, loss in losses.items() if loss is not None]
        return progress.fraction, " ".join([f"epoch {progress.epoch}/{progress.epochs}", *shown])

    def _tell_warnings(self) -> None:
        for warning in self.result.warnings if self.result else ():
            tell_once(self.id, code=warning.code, message=f"{warning.message} {warning.hint}".rstrip())


def _as_frame(history: answers.History) -> Any:  # noqa: ANN401 - of pandas
    pandas = package("pandas", why="A DataFrame")
    whole = {"epoch", "run"}
    return pandas.DataFrame(
        {
            name: pandas.Series(values, dtype="int64" if name in whole else "float64")
            for name, values in history.columns.items()
        }
    )


def _as_arrow(history: answers.History) -> Any:  # noqa: ANN401 - of pyarrow
    pyarrow = package("pyarrow", why="An Arrow table")
    return pyarrow.table(
        {
            name: pyarrow.array(values, pyarrow.int64() if name in {"epoch", "run"} else pyarrow.float64())
            for name, values in history.columns.items()
        }
    )


_HISTORIES: dict[str, Callable[[answers.History], Any]] = {
    "pandas": _as_frame,
    "arrow": _as_arrow,
    "dict": lambda history: history.columns,
    "answer": lambda history: history,
}


class Job(Sync, _Job):
    """A job of a `Client`."""

    def _repr_html_(self) -> str:
        picture = None
        if self.progress.epoch:
            try:
                picture = self.plot("loss")
            except (ApiError, TransportError):
                picture = None  # The table alone tells enough.
        return notebook.job(self.answer, picture)


class AsyncJob(Async, _Job):
    """A job of an `AsyncClient`."""

    def _repr_html_(self) -> str:
        return notebook.job(self.answer, None)
