"""One batch prediction: from reading the model to recording how it ended."""

import dataclasses
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

import structlog
from sqlalchemy.orm import Session

from service import failpoints
from service.db import Database, after_commit
from service.doorbell import JOB_CHANGED, UNDER_WAY, Doorbell
from service.exceptions import DatabaseBusy, LeaseLost, ServiceError, TrainingFailed
from service.inference.grouped import predictor_of
from service.inference.tables import TablePredictor
from service.predictions import attempts
from service.predictions.attempts import PredictionRef, Start
from service.predictions.lifecycle import PredictionStatus
from service.spec.job import JobSpec
from service.storage.checkpoints import StoredFile
from service.storage.predictions import PredictionStore
from service.tables.files import open_dataset
from service.tables.store import DatasetStore
from service.worker import memory
from service.worker.predicting.orders import PredictorConfig

__all__ = ["PredictionWork"]

logger = structlog.get_logger(__name__)

REPORT_SECONDS = 0.5
RETRY_SECONDS = 1.0
"""Time between two tries while the database is busy."""
_OUT_OF_MEMORY = ("out of memory", "can't allocate memory", "cannot allocate memory", "bad_alloc")
Read = TypeVar("Read")


class _Cancelled(Exception):
    """Its owner asked for it to stop."""


class PredictionWork:
    """Predicts, one claim after the other; whatever goes wrong with one becomes its error, with its cause."""

    def __init__(self, config: PredictorConfig, *, database: Database, doorbell: Doorbell) -> None:
        self._config = config
        self._database = database
        self._doorbell = doorbell
        self._datasets = DatasetStore(config.datasets_dir)
        self._results = PredictionStore(config.predictions_dir, min_free_bytes=config.min_free_bytes)

    def do(self, ref: PredictionRef) -> None:
        """Predict all rows and record the end."""
        start = self._patiently(lambda session: attempts.begin(session, ref), reading=True)
        if start is None:
            logger.warning("lease lost, nothing is predicted")
            return
        try:
            self._predict(ref, start)
        except LeaseLost:
            logger.warning("lease lost, nothing more is written")
        except _Cancelled:
            self._told(ref, lambda session: attempts.let_go(session, ref))
        except Exception as error:  # noqa: BLE001 - it becomes the prediction's
            failure = _described(error)
            self._told(ref, lambda session: attempts.fail(session, ref, error=failure))

    def _predict(self, ref: PredictionRef, start: Start) -> None:
        # Outside of the bound, which counts mapped files as memory: a dataset may be larger than what a prediction takes.
        frame = open_dataset(self._datasets.folder(start.dataset_digest))
        with memory.limited(self._config.memory_bytes):
            predictor = predictor_of(JobSpec.from_text(start.spec), start.parameters)
            table = TablePredictor(predictor, frame, keep=start.keep)
            failpoints.hit("prediction_begun")
            rows = self._watched(ref, table)
            file = self._results.write(ref.id, ref.attempt, table.schema, rows)
        failpoints.hit("prediction_written")
        result = _result(table, file, rows=len(frame))
        if not self._told(ref, lambda session: attempts.finish(session, ref, result=result, path=file.path)):
            self._results.remove(file.path)
            raise LeaseLost
        failpoints.hit("prediction_finished")
        self._results.remove_others(file.path)
        logger.info("prediction ended", rows=len(frame), unpredicted=table.unpredicted)

    def _watched(self, ref: PredictionRef, table: TablePredictor) -> Iterator[Any]:
        """Pass the rows on, tell now and then how many they are, and hear whether to stop."""
        done, reported = 0, time.monotonic()
        for batch in table.batches():
            yield batch
            done += batch.num_rows
            if time.monotonic() - reported >= REPORT_SECONDS:
                self._report(ref, done)
                reported = time.monotonic()
        if done and done == table.unpredicted:
            raise _nothing_predicted(table)

    def _report(self, ref: PredictionRef, done: int) -> None:
        try:
            with self._database.write() as session:
                status = attempts.report(session, ref, done=done)
                after_commit(session, lambda: self._doorbell.ring(JOB_CHANGED, ref.id + UNDER_WAY))
        except DatabaseBusy as error:
            logger.warning("report put off", reason=error.message)
            return
        if status is None:
            raise LeaseLost
        if status is PredictionStatus.CANCELLING:
            raise _Cancelled

    def _told(self, ref: PredictionRef, write: Callable[[Session], Read]) -> Read:
        """Record the end, and let those hear of it who wait."""
        recorded = self._patiently(write)
        self._doorbell.ring(JOB_CHANGED, ref.id)
        return recorded

    def _patiently(self, action: Callable[[Session], Read], *, reading: bool = False) -> Read:
        """Do what has to be done however long the database is busy: a worker that stops meanwhile ends this process."""
        session_of = self._database.read if reading else self._database.write
        while True:
            try:
                with session_of() as session:
                    return action(session)
            except DatabaseBusy as error:
                logger.warning("the prediction waits for the database", reason=error.message)
                time.sleep(RETRY_SECONDS)


def _result(table: TablePredictor, file: StoredFile, *, rows: int) -> dict[str, Any]:
    return {
        "rows": rows,
        "columns": list(table.schema.names),
        "bytes": file.size,
        "digest": file.digest,
        "unpredicted_rows": table.unpredicted,
        "warnings": [dataclasses.asdict(one) for one in _first(table.complaints)],
    }


MOST_WARNINGS = 100


def _first(complaints: Iterable[Any]) -> Iterator[Any]:
    yield from list(complaints)[:MOST_WARNINGS]


def _nothing_predicted(table: TablePredictor) -> TrainingFailed:
    first = table.complaints[0]
    message = f"None of the rows can be predicted. Of {first.rows:,} of them: {first.message}"
    hint = f"Look at the column `{first.column}`: GET /v1/datasets/{{id}} tells its values."
    return TrainingFailed("no_row_predicted", message, hint)


def _described(error: Exception) -> dict[str, str]:
    """Say in the words of an error what ended a prediction."""
    if isinstance(error, ServiceError):
        return {"code": error.code, "message": error.message, "hint": error.hint}
    logger.error("prediction failed unexpectedly", exc_info=error)
    if isinstance(error, MemoryError) or any(words in str(error).lower() for words in _OUT_OF_MEMORY):
        hint = "Ask the operator for more: FITD_LIMITS__MAX_TRAINING_BYTES."
        return {"code": "out_of_memory", "message": "The prediction ran out of memory.", "hint": hint}
    message = f"The prediction broke with {type(error).__name__}: {str(error)[:500]}"
    return {
        "code": "internal_error",
        "message": message,
        "hint": "This is a fault of the service: please report it.",
    }
