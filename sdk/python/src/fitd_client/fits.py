"""What a client does to train: fits, jobs, sweeps."""

from collections.abc import Mapping, Sequence
from typing import Any, Generic, TypeVar

from fitd_client import answers
from fitd_client.asking import Asking, in_path, submission
from fitd_client.fitting import Named, Rows, merged, rows_of, spec_of
from fitd_client.jobs import AsyncJob, Job
from fitd_client.operations import iteration, operation
from fitd_client.packages import has
from fitd_client.predicting import MOST_INLINE_CELLS
from fitd_client.sweeps import AsyncSweep, Sweep
from fitd_client.wire import ARROW, Form, Items, Request, Steps, json_body, parsed
from fitd_client.work import waited

__all__ = ["Training"]

J = TypeVar("J", Job, AsyncJob)
S = TypeVar("S", Sweep, AsyncSweep)

_SUBMISSION_SECONDS = 10.0
"""So long the submission itself waits for the end: a small fit needs no second request."""


class Training(Asking, Generic[J, S]):
    """Fits, jobs and sweeps."""

    _job: type[J]
    _sweep: type[S]

    @operation
    def fit(  # noqa: PLR0913 - one argument for each thing that one may say, all named
        self,
        /,
        X: Any,  # noqa: ANN401, N803 - tables of all kinds, and their usual name
        y: Any = None,  # noqa: ANN401 - a column of any kind
        *,
        target: str | Sequence[str] | None = None,
        features: Sequence[str] | None = None,
        weight: Any = None,  # noqa: ANN401 - a name or a column
        model: Named | None = None,
        loss: Named | None = None,
        optimizer: Named | None = None,
        lr: float | None = None,
        epochs: int | None = None,
        batch_size: int | str | None = None,
        scaling: str | None = None,
        dev: float | None = None,
        test: float | None = None,
        seed: int | None = None,
        task: str | None = None,
        name: str | None = None,
        metadata: Mapping[str, str] | None = None,
        wait: bool | float = False,
        key: str | None = None,
        send: str = "auto",
        **overrides: Any,  # noqa: ANN401 - parts of a spec
    ) -> Steps[J]:
        """Fit a model to rows: what is left out is chosen by the target, and the job's spec tells what was chosen.

        A target of texts, of truth values, or of few whole numbers is classified; others are numbers.

        Args:
            X: A DataFrame, a dict of columns, a list of rows, an Arrow table, or a matrix: with the target in it, or
                beside it in `y`.
            y: The target, or several as columns.
            target: Name of the target in `X`, or of several; or the name that `y` gets.
            features: Columns to fit from; all others where they are left out.
            weight: Column with the weight of each row in the loss, by name or as it is.
            model: Its type, as in `"mlp"`, or an object as the spec has it.
            loss: As in `"HuberLoss"`, or an object.
            optimizer: As in `"Adam"`, or an object.
            lr: Learning rate.
            epochs: Passes over the rows.
            batch_size: Rows of one step, or `"full"`.
            scaling: `"none"`, `"standardize"` (the default here) or `"min_max"`: of features and numeric targets.
            dev: Share of the rows to watch the fit on.
            test: Share of the rows to look at once, at the end.
            seed: Of the initial parameters and the row order.
            task: `"regression"` or `"classification"`, where the target does not tell.
            name: For people.
            metadata: Pairs of texts to find the job by.
            wait: Wait for the end, as `Job.wait`; or so many seconds, after which the job is given as it is.
            key: Idempotency key; a new one where it is left out.
            send: `inline` in the spec, `upload` as an Arrow file beside it, or `auto`: by size.
            overrides: Fields of the spec, as in `training={"early_stopping": {"patience": 20}}`: put into what was
                chosen.

        Raises:
            InvalidRequest: The service refuses the spec; the text has each problem with its place and a hint.
            UnreadableData: The rows are nothing that can be sent.
            JobFailed: With `wait=True`, the job has failed.
        """
        rows = rows_of(X, y, target=target, features=features, weight=weight)
        spec = spec_of(
            rows,
            model=model,
            loss=loss,
            optimizer=optimizer,
            lr=lr,
            epochs=epochs,
            batch_size=batch_size,
            scaling=scaling,
            dev=dev,
            test=test,
            seed=seed,
            task=task,
        )
        beside = {"name": name, "metadata": metadata and dict(metadata)}
        whole = merged(spec, {**{part: value for part, value in beside.items() if value}, **overrides})
        seconds = _seconds(wait)
        request = _with_rows(whole, rows, send=send, wait=seconds, key=key)
        job = yield from self._submitted(request)
        return (yield from waited(job, wait))

    def _submitted(self, request: Request) -> Steps[J]:
        return self._job(self._connection, parsed(answers.Job, (yield from self._exchange(request))))

    @operation
    def submit(
        self, spec: Mapping[str, Any], *, wait: bool | float = False, key: str | None = None
    ) -> Steps[J]:
        """Submit a whole spec.

        Args:
            spec: As the service's reference has it.
            wait: Wait for the end, as `Job.wait`; or so many seconds, after which the job is given as it is.
            key: Idempotency key: the same key with the same spec gives the same job. Left out, a new one, under which
                the client itself sends again what got no answer.
        """
        seconds = _seconds(wait)
        job = yield from self._submitted(submission("/v1/jobs", dict(spec), wait=seconds, key=key))
        return (yield from waited(job, wait))

    @operation
    def validate(self, spec: Mapping[str, Any]) -> Steps[answers.Validation]:
        """Check a spec without running it: what it would take, and what the service would advise."""
        return (yield from self._send(answers.Validation, "/v1/jobs/validate", dict(spec), repeatable=True))

    @operation
    def job(self, id: str) -> Steps[J]:  # noqa: A002 - the field's name
        """Give a job by its id."""
        answer = yield from self._read(answers.Job, f"/v1/jobs/{in_path(id)}")
        return self._job(self._connection, answer)

    @iteration
    def jobs(
        self,
        *,
        status: str | Sequence[str] | None = None,
        name: str | None = None,
        metadata: Mapping[str, str] | None = None,
        sweep: str | None = None,
        limit: int | None = None,
    ) -> Items[J]:
        """Go through the jobs, the newest first; more are asked for as they are needed.

        Args:
            status: Only in this state, or in one of these.
            name: Only of this name.
            metadata: Only with all these pairs.
            sweep: Only of this sweep.
            limit: At most so many.
        """
        statuses = [status] if isinstance(status, str) else list(status or ())
        asked = {"name": name, "sweep": sweep, "status": statuses}
        params: dict[str, Any] = {part: value for part, value in asked.items() if value}
        params |= {f"metadata[{pair}]": value for pair, value in (metadata or {}).items()}
        yield from self._pages(self._as_job, "/v1/jobs", params=params, most=limit)

    def _as_job(self, entry: Any) -> J:  # noqa: ANN401 - of JSON
        return self._job(self._connection, answers.Job.model_validate(entry))

    @operation
    def sweep(
        self, spec: Mapping[str, Any] | str, *, wait: bool | float = False, key: str | None = None
    ) -> Steps[S]:
        """Submit a sweep; or, of an id, give the sweep that has it.

        Args:
            spec: The body of a sweep as the service's reference has it; or an id.
            wait: Wait for the end; or so many seconds.
            key: Idempotency key; a new one where it is left out.
        """
        if isinstance(spec, str):
            answer = yield from self._read(answers.Sweep, f"/v1/sweeps/{in_path(spec)}")
            return self._sweep(self._connection, answer)
        seconds = _seconds(wait)
        request = submission("/v1/sweeps", dict(spec), wait=seconds, key=key)
        answer = parsed(answers.Sweep, (yield from self._exchange(request)))
        return (yield from waited(self._sweep(self._connection, answer), wait))

    @iteration
    def sweeps(self, *, name: str | None = None, limit: int | None = None) -> Items[S]:
        """Go through the sweeps, the newest first."""
        params = {"name": name} if name else {}
        yield from self._pages(self._as_sweep, "/v1/sweeps", params=params, most=limit)

    def _as_sweep(self, entry: Any) -> S:  # noqa: ANN401 - of JSON
        return self._sweep(self._connection, answers.Sweep.model_validate(entry))


def _seconds(wait: bool | float) -> float:  # noqa: FBT001 - as callers say it
    return _SUBMISSION_SECONDS if wait is True else float(wait)


def _with_rows(spec: Mapping[str, Any], rows: Rows, *, send: str, wait: float, key: str | None) -> Request:
    """Put the rows into the spec where they are few, and beside it where they are many."""
    inline = send == "inline" or (
        send == "auto" and (rows.table.cells <= MOST_INLINE_CELLS or not has("pyarrow"))
    )
    given = dict(spec.get("data") or {})
    if inline:
        data = {"type": "inline", "columns": rows.table.inline(), **rows.data, **given}
        return submission("/v1/jobs", {"data": data, **_without_data(spec)}, wait=wait, key=key)
    head = {"data": {**rows.data, **given}, **_without_data(spec)}
    form = Form(json_body(head), rows.table.arrow_bytes(), "rows.arrow", ARROW)
    return submission("/v1/jobs", form, wait=wait, key=key)


def _without_data(spec: Mapping[str, Any]) -> dict[str, Any]:
    return {part: value for part, value in spec.items() if part != "data"}
