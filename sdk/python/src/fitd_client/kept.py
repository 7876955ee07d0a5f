"""What a client does with what is kept: datasets, registered models, predictions of datasets."""

from collections.abc import Mapping, Sequence
from typing import Any, Generic, TypeVar

from fitd_client import answers
from fitd_client.asking import Asking, in_path, submission
from fitd_client.batches import AsyncBatchPrediction, BatchPrediction
from fitd_client.datasets import AsyncDataset, Dataset, upload_of
from fitd_client.jobs import AsyncJob, Job
from fitd_client.operations import iteration, operation
from fitd_client.registry import AsyncModel, Model
from fitd_client.wire import Items, Request, Steps, parsed
from fitd_client.work import waited

__all__ = ["Keeping"]

D = TypeVar("D", Dataset, AsyncDataset)
M = TypeVar("M", Model, AsyncModel)
B = TypeVar("B", BatchPrediction, AsyncBatchPrediction)

_SUBMISSION_SECONDS = 10.0
_UPLOAD_SECONDS = 600.0
"""Reading a large table takes its time."""


class Keeping(Asking, Generic[D, M, B]):
    """Datasets, registered models, predictions of datasets."""

    _dataset: type[D]
    _model: type[M]
    _batch: type[B]

    @operation
    def upload(
        self,
        data: Any,  # noqa: ANN401 - files and tables of all kinds
        *,
        name: str | None = None,
        media: str | None = None,
        category: Sequence[str] = (),
        join: str | None = None,
    ) -> Steps[D]:
        """Upload a dataset: a file, its bytes, or a table.

        Args:
            data: A path (CSV, Parquet, Arrow, JSON Lines, npy, npz, IDX, each with gzip or without), bytes, or a table
                of any kind that `fit` takes.
            name: For people.
            media: Type of the file; its name tells it.
            category: Columns of a CSV file that are names, though they look like numbers.
            join: Id of a dataset with as many rows: the new one has the columns of both.
        """
        body, kind = upload_of(data, media=media)
        asked = {"name": name, "join": join, "category": list(category)}
        params: dict[str, Any] = {part: value for part, value in asked.items() if value}
        request = Request(
            method="POST",
            path="/v1/datasets",
            params=params,
            headers={"Content-Type": kind},
            body=body,
            repeatable=True,  # Content names itself: the same file again is the same dataset.
            wait=_UPLOAD_SECONDS,
        )
        answer = parsed(answers.Dataset, (yield from self._exchange(request)))
        return self._dataset(self._connection, answer)

    @operation
    def dataset(self, id: str) -> Steps[D]:  # noqa: A002 - the field's name
        """Give a dataset by its id."""
        answer = yield from self._read(answers.Dataset, f"/v1/datasets/{in_path(id)}")
        return self._dataset(self._connection, answer)

    @iteration
    def datasets(self, *, limit: int | None = None) -> Items[D]:
        """Go through the datasets, the newest first; without their columns."""
        yield from self._pages(self._as_dataset, "/v1/datasets", most=limit)

    def _as_dataset(self, entry: Any) -> D:  # noqa: ANN401 - of JSON
        return self._dataset(self._connection, answers.DatasetSummary.model_validate(entry))

    @operation
    def register(
        self,
        job: Job | AsyncJob | str,
        name: str,
        *,
        aliases: Sequence[str] = (),
        description: str | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> Steps[answers.ModelVersion]:
        """Register what a job has fitted as the next version of a model.

        Args:
            job: A handle or an id.
            name: Of the model.
            aliases: Other names of the version, as in `["champion"]`.
            description: For people.
            metadata: Pairs of texts.
        """
        content: dict[str, Any] = {"name": name, "job": job if isinstance(job, str) else job.id}
        beside = {
            "aliases": list(aliases),
            "description": description,
            "metadata": metadata and dict(metadata),
        }
        content |= {part: value for part, value in beside.items() if value}
        # The same job under the same name is the version that it is already.
        return (yield from self._send(answers.ModelVersion, "/v1/models", content, repeatable=True))

    @operation
    def model(self, name: str, *, version: int | str | None = None) -> Steps[M]:
        """Give a registered model.

        Args:
            name: Of the model.
            version: Which version is to predict: a number, an alias or `latest`.
        """
        answer = yield from self._read(answers.Model, f"/v1/models/{in_path(name)}")
        return self._model(self._connection, answer, version=version)

    @iteration
    def models(self, *, limit: int | None = None) -> Items[M]:
        """Go through the registered models, the newest first."""
        yield from self._pages(self._as_model, "/v1/models", most=limit)

    def _as_model(self, entry: Any) -> M:  # noqa: ANN401 - of JSON
        return self._model(self._connection, answers.Model.model_validate(entry))

    @operation
    def predict_dataset(
        self,
        source: Job | AsyncJob | Model | AsyncModel | str,
        dataset: Dataset | AsyncDataset | str,
        *,
        version: int | str | None = None,
        keep: Sequence[str] = (),
        wait: bool | float = False,
        key: str | None = None,
    ) -> Steps[B]:
        """Predict every row of a dataset, in the background.

        Args:
            source: A job or a model; a text is a job's id where it begins with `job_`, else a model's name.
            dataset: A handle or an id.
            version: Of a model: a number, an alias or `latest`.
            keep: Columns of the dataset to have beside the predictions.
            wait: Wait for the end; or so many seconds.
            key: Idempotency key; a new one where it is left out.
        """
        content = _source(source, version)
        content["data"] = {"type": "dataset", "id": dataset if isinstance(dataset, str) else dataset.id}
        if keep:
            content["keep"] = list(keep)
        seconds = _SUBMISSION_SECONDS if wait is True else float(wait)
        request = submission("/v1/predictions", content, wait=seconds, key=key)
        answer = parsed(answers.BatchPrediction, (yield from self._exchange(request)))
        return (yield from waited(self._batch(self._connection, answer), wait))

    @operation
    def prediction(self, id: str) -> Steps[B]:  # noqa: A002 - the field's name
        """Give the prediction of a dataset by its id."""
        answer = yield from self._read(answers.BatchPrediction, f"/v1/predictions/{in_path(id)}")
        return self._batch(self._connection, answer)

    @iteration
    def predictions(self, *, limit: int | None = None) -> Items[B]:
        """Go through the predictions of datasets, the newest first."""
        yield from self._pages(self._as_prediction, "/v1/predictions", most=limit)

    def _as_prediction(self, entry: Any) -> B:  # noqa: ANN401 - of JSON
        return self._batch(self._connection, answers.BatchPrediction.model_validate(entry))


def _source(source: Job | AsyncJob | Model | AsyncModel | str, version: int | str | None) -> dict[str, Any]:
    if isinstance(source, Job | AsyncJob):
        return {"job": source.id}
    if isinstance(source, str):
        told: dict[str, Any] = {"job" if source.startswith("job_") else "model": source}
    else:
        told, version = {"model": source.name}, version or source.version
    return told if version is None else {**told, "version": version}
