"""Jobs as runs of MLflow, through its own client.

MLflow takes nothing back, but keeps a point only once that it is told twice: same name, step, value and time. The time
of an epoch is therefore the one at which the database got it, and never that of telling it.
"""

import contextlib
import functools
import hashlib
import itertools
import os
import re
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import structlog

from service.trackers.flattening import Plain
from service.trackers.masking import masked
from service.trackers.sink import Extras, JobTold, Place, Points, SinkAway, SinkRefused, SweepTold, is_told

if TYPE_CHECKING:
    from mlflow.entities import Metric, RunTag
    from mlflow.tracking.client import MlflowClient

__all__ = ["Mlflow"]

logger = structlog.get_logger(__name__)

# Waiting and trying again is the follower's matter; and nobody has asked for figures of use to be sent anywhere.
_QUIET = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
}
_METRICS_AT_ONCE = 1000
_TEXTS_AT_ONCE = 100
_LONGEST_NAME = 250
_DIGEST = 8
_LONGEST_PARAMETER = 6000
_LONGEST_TAG = 5000
"""Of MLflow's own bounds, and those of servers that are stricter, the lower ones."""
_UNFIT = re.compile(r"[^\w\-. :/]")
_STATES = {
    "queued": "SCHEDULED",
    "paused": "SCHEDULED",
    "running": "RUNNING",
    "pausing": "RUNNING",
    "cancelling": "RUNNING",
    "succeeded": "FINISHED",
    "failed": "FAILED",
    "cancelled": "KILLED",
}
_FOR_EVER = frozenset({"INVALID_PARAMETER_VALUE", "RESOURCE_DOES_NOT_EXIST", "INVALID_STATE", "BAD_REQUEST"})
"""Answers about a run that are the same however often one asks."""
_STORE_TRIES = 5
"""Failures in a row after which the place of the files holds up nothing any more, until it takes one again."""
ID = "fitd.id"
"""The tag by which a run is found again."""

Row = TypeVar("Row")


@contextlib.contextmanager
def _translated(*, of_run: bool = True) -> Iterator[None]:
    """Turn whatever the client raises into what a follower understands."""
    from mlflow.exceptions import MlflowException

    try:
        yield
    except (SinkAway, SinkRefused):
        raise
    except MlflowException as error:
        words = masked(str(error.message))
        if of_run and error.error_code in _FOR_EVER:
            raise SinkRefused(words) from error
        raise SinkAway(words) from error
    except Exception as error:  # of the transport, of a database, of a cloud's library: nobody can list them
        raise SinkAway(f"{type(error).__name__}: {masked(str(error))}") from error


class Mlflow:
    """An experiment of an MLflow server, or of a database of MLflow's."""

    name = "mlflow"
    takes_back = False

    def __init__(self, uri: str, *, experiment: str, artifacts: bool) -> None:
        """Prepare to connect; nothing is asked yet."""
        self.wants_extras = artifacts
        self._uri = uri
        self._experiment_name = experiment
        self._not_stored = 0

    @functools.cached_property
    def _client(self) -> "MlflowClient":
        for name, value in _QUIET.items():
            os.environ.setdefault(name, value)
        from mlflow.tracking.client import MlflowClient

        return MlflowClient(tracking_uri=self._uri)

    @functools.cached_property
    def _experiment(self) -> str:
        found = self._client.get_experiment_by_name(self._experiment_name)
        if found is None:
            return str(self._client.create_experiment(self._experiment_name))
        if found.lifecycle_stage != "active":
            raise SinkAway(f"The experiment {self._experiment_name} is deleted in MLflow: restore it there.")
        return str(found.experiment_id)

    def begin(self, told: JobTold, *, sweep: str | None, fresh: bool) -> Place:
        """Make the run with its parameters and tags, below that of its sweep; or find it."""
        parent = {} if sweep is None else {"mlflow.parentRunId": sweep}
        run, found = self._made(told, tags=parent, fresh=fresh)
        if found or _STATES[told.status] != "RUNNING":
            self.state(run, told)
        return Place(run, self.resume(run, 0) if found else 0)

    def resume(self, run: str, epoch: int) -> int:
        """Ask for the last epoch that the run has: a batch is there as a whole, or not at all."""
        with _translated():
            metrics = self._client.get_run(run).data.to_proto().metrics
        return max([epoch, *(int(one.step) for one in metrics if one.key == "train_loss")])

    def rewind(self, run: str, *, to: int) -> None:
        """Never: it takes nothing back."""
        raise NotImplementedError

    def points(self, run: str, points: Points) -> None:
        """Tell epochs, in batches of whole ones."""
        at_once = max(1, _METRICS_AT_ONCE // max(1, len(points.columns)))
        for batch in _batches(list(_rows(points)), at_once):
            self._log(run, metrics=list(itertools.chain.from_iterable(batch)))

    def state(self, run: str, told: JobTold) -> None:
        """Tell the state, and what is known by now."""
        self._log(run, tags=_tags(told))
        with _translated():
            self._client.update_run(run, status=_STATES[told.status])

    def end(self, run: str, told: JobTold, extras: Extras) -> None:
        """Tell the final figures, store the files, and close the run."""
        self._end(run, told, epoch=told.epoch)
        self._store(run, extras)
        self._close(run, _STATES[told.status], told.finished_at)

    def _end(self, run: str, told: JobTold | SweepTold, *, epoch: int) -> None:
        from mlflow.entities import Metric

        at = _milliseconds(told.finished_at or told.started_at)
        names = _names(f"final.{name}" for name in told.figures)
        rows = [
            Metric(name, value, at, epoch) for name, value in zip(names, told.figures.values(), strict=True)
        ]
        self._log(run, metrics=rows, tags=_tags(told))

    def _close(self, run: str, status: str, at: datetime | None) -> None:
        with _translated():
            self._client.set_terminated(run, status, end_time=None if at is None else _milliseconds(at))

    def begin_sweep(self, told: SweepTold, *, fresh: bool) -> str:
        """Make the run to which those of the trials belong."""
        return self._made(told, tags={}, fresh=fresh)[0]

    def end_sweep(self, run: str, told: SweepTold) -> None:
        """Tell the best trial, and close the run."""
        self._end(run, told, epoch=0)
        self._close(run, _STATES[told.status], told.finished_at)

    def abandon(self, run: str) -> None:
        """Close the run as killed, and say why."""
        self._log(run, tags=[_tag("fitd.removed", "The job was removed before all of it was told.")])
        self._close(run, "KILLED", None)

    def _made(self, told: JobTold | SweepTold, *, tags: Mapping[str, str], fresh: bool) -> tuple[str, bool]:
        """Make a run with its parameters, or find it; tell which."""
        try:
            with _translated(of_run=False):
                found = None if fresh else self._found(told.id)
                run = found or self._created(told, tags)
        except SinkAway:
            self.__dict__.pop("_experiment", None)  # It may have been deleted, and be made again.
            raise
        self._log(run, parameters=told.parameters)
        return run, found is not None

    def _created(self, told: JobTold | SweepTold, tags: Mapping[str, str]) -> str:
        described = {tag.key: tag.value for tag in _tags(told)}
        made = self._client.create_run(
            self._experiment,
            start_time=_milliseconds(told.started_at),
            tags={**described, **tags},
            run_name=told.name or told.id,
        )
        return str(made.info.run_id)

    def _found(self, subject: str) -> str | None:
        """Look for a run that somebody made who was killed before he could note it."""
        runs = self._client.search_runs([self._experiment], f"tags.`{ID}` = '{subject}'", max_results=1)
        return str(runs[0].info.run_id) if runs else None

    def _log(
        self,
        run: str,
        *,
        metrics: "Sequence[Metric]" = (),
        parameters: Mapping[str, Plain] | None = None,
        tags: "Sequence[RunTag]" = (),
    ) -> None:
        from mlflow.entities import Param

        told = parameters or {}
        texts = (str(one)[:_LONGEST_PARAMETER] for one in told.values())
        rows = [Param(name, text) for name, text in zip(_names(told), texts, strict=True)]
        with _translated():
            for numbers in _batches(metrics, _METRICS_AT_ONCE):
                self._client.log_batch(run, metrics=numbers)
            for params in _batches(rows, _TEXTS_AT_ONCE):
                self._client.log_batch(run, params=params)
            for labels in _batches(tags, _TEXTS_AT_ONCE):
                self._client.log_batch(run, tags=labels)

    def _store(self, run: str, extras: Extras) -> None:
        """Store files. Where they go to is a matter of the server, and may be out of this machine's reach for ever."""
        with tempfile.TemporaryDirectory() as folder:
            for name, content in extras.files.items():
                path = Path(folder) / name
                path.write_bytes(content)
                try:
                    with _translated():
                        self._client.log_artifact(run, str(path))
                except (SinkRefused, SinkAway) as error:
                    if isinstance(error, SinkAway) and self._is_awaited(error.__cause__):
                        raise
                    about = {"tracker": self.name, "run": run, "file": name}
                    logger.warning("a file is not stored", **about, reason=str(error))
                else:
                    self._not_stored = 0

    def _is_awaited(self, cause: BaseException | None) -> bool:
        """Tell whether to try the place of the files again: the server itself has answered just before."""
        if _is_of_here(cause):
            return False
        self._not_stored += 1
        return self._not_stored < _STORE_TRIES


def _is_of_here(cause: BaseException | None) -> bool:
    """Tell whether a library is missing here, or a folder: waiting for the server would not help."""
    if isinstance(cause, OSError):
        return cause.errno is not None and not isinstance(cause, ConnectionError | TimeoutError)
    return isinstance(cause, ImportError)


def _rows(points: Points) -> "Iterator[list[Metric]]":
    """Give the numbers of each epoch that were recorded."""
    from mlflow.entities import Metric

    names = _names(points.columns)
    series = [one.tolist() for one in points.columns.values()]
    for step, at, *values in zip(points.epochs.tolist(), points.times.tolist(), *series, strict=True):
        yield [
            Metric(name, value, int(at * 1000), step)
            for name, value in zip(names, values, strict=True)
            if is_told(name, value)
        ]


def _tags(told: JobTold | SweepTold) -> "list[RunTag]":
    """Give facts and metadata as tags, those of the service apart from those of the owner."""
    facts = {ID: told.id, **{f"fitd.{name}": value for name, value in told.facts.items()}}
    pairs = {**told.metadata, **facts}
    return [_tag(name, value) for name, value in zip(_names(pairs), pairs.values(), strict=True)]


def _tag(name: str, value: str) -> "RunTag":
    from mlflow.entities import RunTag

    return RunTag(name, value[:_LONGEST_TAG])


def _names(texts: Iterable[str]) -> list[str]:
    """Fit names to what MLflow takes, each to one of its own: it refuses parameters of the same name.

    Where several become one, those that had to be changed end in a digest of what they were.
    """
    asked = list(texts)
    counts = Counter(_name(text) for text in asked)
    return [_told_apart(text) if counts[_name(text)] > 1 else _name(text) for text in asked]


def _told_apart(text: str) -> str:
    fit = _name(text)
    if fit == text:
        return fit
    digest = hashlib.sha256(text.encode()).hexdigest()[:_DIGEST]
    return f"{fit[: _LONGEST_NAME - _DIGEST - 1]}-{digest}"


def _name(text: str) -> str:
    """Fit a name to what MLflow takes: it may not look like a path that leads elsewhere."""
    fit = _UNFIT.sub("_", text)[:_LONGEST_NAME]
    return "/".join(part for part in fit.split("/") if part.strip(".")) or "_"


def _milliseconds(at: datetime) -> int:
    return int(at.timestamp() * 1000)


def _batches(rows: Sequence[Row], size: int) -> Iterator[Sequence[Row]]:
    for first in range(0, len(rows), size):
        yield rows[first : first + size]
