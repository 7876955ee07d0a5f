"""A data folder with trained models and datasets, for tests that act as clients and as workers of predictions."""

import contextlib
import json
from collections.abc import Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from service.db import Database, now
from service.jobs import causes, workers
from service.predictions import attempts, service
from service.predictions.attempts import PredictionRef
from service.predictions.lifecycle import PredictionStatus
from service.predictions.order import read
from service.predictions.orm import Prediction, PredictionModel
from service.predictions.service import UNBOUNDED, Bounds
from service.storage.predictions import PredictionStore
from service.training.choosing import fit_together, trainer_of
from service.training.frames import load
from service.worker.outcome import outcome
from service.worker.predicting.orders import PredictorConfig
from service.worker.predicting.work import PredictionWork
from tests.conftest import TUTORIAL
from tests.jobs.desk import OWNER
from tests.predictions.asked import LINE, order
from tests.retention.household import Household
from tests.spec.specs import parsed
from tests.sweeps.sweep_desk import Bell

WORKER = "worker_a"
RESULT = {"rows": 2, "columns": ["y"], "bytes": 3, "digest": "0" * 64, "unpredicted_rows": 0, "warnings": []}


class PredictionDesk(Household):
    """One database and its files, each call one transaction."""

    def __init__(self, data_dir: Path, database: Database) -> None:
        super().__init__(data_dir, database)
        self.bell = Bell()
        self.results = PredictionStore(self.settings.predictions_dir, min_free_bytes=0)

    def live(self, worker_id: str = WORKER) -> None:
        """Let a worker live."""
        with self.database.write() as session:
            workers.register(session, worker_id, slots=1)

    @contextlib.contextmanager
    def employed(self, worker_id: str = WORKER) -> Iterator[None]:
        """Let a worker live for a while."""
        self.live(worker_id)
        yield
        with self.database.write() as session:
            workers.forget(session, worker_id)

    def trained(self, **spec: Any) -> str:  # noqa: ANN401 - sections of any kind
        """A job that was trained."""
        sections = {**LINE, **spec}
        ref = self.running(**sections)
        plan = parsed({**TUTORIAL, **sections})
        (fit,) = fit_together([trainer_of(plan)(plan, load(plan.spec.data))])
        assert not isinstance(fit, Exception)
        assert self.finish(ref, outcome(plan, fit))
        return ref.id

    def predict(
        self,
        job_id: str,
        dataset_id: str,
        *,
        keep: Sequence[str] = (),
        key: str | None = None,
        bounds: Bounds = UNBOUNDED,
        owner: str = OWNER,
    ) -> str:
        """Submit a prediction by a job, and give its id."""
        asked = order(job_id, dataset_id, keep=list(keep))
        return self.ordered(asked, key=key, bounds=bounds, owner=owner)

    def ordered(
        self, asked: dict[str, Any], *, key: str | None = None, bounds: Bounds = UNBOUNDED, owner: str = OWNER
    ) -> str:
        """Submit a prediction as it is ordered, and give its id."""
        body = json.dumps(asked).encode()
        with self.database.read() as session:
            prepared = service.prepare(session, read(body), body=body, owner=owner)
        service.check(prepared)
        with self.database.write() as session:
            return service.submit(session, prepared, owner=owner, idempotency_key=key, bounds=bounds).id

    def prediction(self, prediction_id: str) -> Prediction:
        with self.database.read() as session:
            return service.get(session, prediction_id, owner=OWNER)

    def state(self, prediction_id: str) -> str:
        return self.prediction(prediction_id).status

    def take(self, worker_id: str = WORKER) -> PredictionRef | None:
        with self.database.write() as session:
            return attempts.claim(session, worker_id=worker_id)

    def taken(self, **asked: Any) -> PredictionRef:  # noqa: ANN401
        """A prediction of a new dataset, claimed."""
        prediction_id = self.predict(self.trained(), self.upload("x,id\n1,2\n3,4\n").id, **asked)
        ref = self.take()
        assert ref is not None
        assert ref.id == prediction_id
        return ref

    def tell(self, ref: PredictionRef, done: int) -> PredictionStatus | None:
        with self.database.write() as session:
            return attempts.report(session, ref, done=done)

    def end(self, ref: PredictionRef) -> bool:
        """Finish with a result whose file is made up."""
        with self.database.write() as session:
            return attempts.finish(session, ref, result=RESULT, path=f"{ref.id}/{ref.attempt}.parquet")

    def give_back(self, ref: PredictionRef) -> PredictionStatus | None:
        with self.database.write() as session:
            return attempts.let_go(session, ref)

    def die(self, ref: PredictionRef, max_crashes: int = 3) -> PredictionStatus | None:
        with self.database.write() as session:
            return attempts.crashed(session, ref, max_crashes=max_crashes, cause=causes.WORKER_DIED)

    def stop(self, prediction_id: str) -> str:
        with self.database.write() as session:
            return service.cancel(session, prediction_id, owner=OWNER).status

    def drop(self, prediction_id: str) -> None:
        with self.database.write() as session:
            service.delete(session, prediction_id, owner=OWNER)

    def models(self) -> int:
        """How many copies of models there are."""
        with self.database.read() as session:
            return session.scalar(sa.select(sa.func.count()).select_from(PredictionModel)) or 0

    def config(self, **changed: Any) -> PredictorConfig:  # noqa: ANN401
        """Of what predicts."""
        config = PredictorConfig(
            database_url=self.settings.effective_database_url,
            doorbell_dir=self.settings.doorbell_dir,
            datasets_dir=self.settings.datasets_dir,
            predictions_dir=self.settings.predictions_dir,
            failpoints_dir=None,
            min_free_bytes=0,
            memory_bytes=0,
            log_format="json",
            log_level="info",
        )
        return config.model_copy(update=changed)

    def work(self, **changed: Any) -> PredictionWork:  # noqa: ANN401
        """What predicts, in this process."""
        return PredictionWork(self.config(**changed), database=self.database, doorbell=self.bell)

    def made(self, job_id: str, text: str, *, keep: Sequence[str] = (), days_ago: float = 0.0) -> Prediction:
        """A prediction that was carried out, so long ago."""
        prediction_id = self.predict(job_id, self.upload(text).id, keep=keep)
        ref = self.take()
        assert ref is not None
        self.work().do(ref)
        then = now() - timedelta(days=days_ago)
        with self.database.write() as session:
            session.execute(
                sa.update(Prediction).where(Prediction.id == prediction_id).values(finished_at=then)
            )
        return self.prediction(prediction_id)

    def lose_dataset(self, prediction_id: str) -> None:
        """Take the files away that a prediction reads."""
        with self.datasets.exclusive():
            self.datasets.remove(self.prediction(prediction_id).dataset_digest)

    def rows(self, prediction: Prediction) -> dict[str, list[Any]]:
        """The result, by column."""
        assert prediction.path is not None, prediction.error
        with self.results.open(prediction.path) as file:
            found: dict[str, list[Any]] = file.read().to_pydict()
            return found

    def result_files(self) -> set[str]:
        root = self.settings.predictions_dir
        return {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()}
