"""Handles of predictions of whole datasets."""

from pathlib import Path
from typing import Any, ClassVar

from fitd_client import answers, notebook
from fitd_client.errors import PredictionFailed
from fitd_client.operations import Async, Sync, operation
from fitd_client.packages import has, package
from fitd_client.wire import ARROW, CSV, Steps
from fitd_client.work import Work, tell_once

__all__ = ["AsyncBatchPrediction", "BatchPrediction"]

PARQUET = "application/vnd.apache.parquet"
_FILES = {"csv": CSV, "arrow": ARROW, "parquet": PARQUET}


class _BatchPrediction(Work[answers.BatchPrediction]):
    """The prediction of a whole dataset.

    Attributes:
        answer: The whole answer, with fields that this client does not know.
    """

    _kind = answers.BatchPrediction
    _place: ClassVar[str] = "/v1/predictions"
    _failure: ClassVar[type[PredictionFailed]] = PredictionFailed

    @property
    def progress(self) -> answers.PredictionProgress:
        """How far it is."""
        return self.answer.progress

    @operation
    def result(self, *, format: str | None = None) -> Steps[Any]:  # noqa: A002 - the usual word
        """Give the predictions.

        Args:
            format: `pandas` for a DataFrame, `arrow` for a table; `csv` or `parquet` for the bytes of such a file.
                Left out, the first of pandas and Arrow that is installed, and CSV where none is.
        """
        wanted = format or (
            "pandas" if has("pandas") and has("pyarrow") else "arrow" if has("pyarrow") else "csv"
        )
        media = _FILES.get(wanted, ARROW)
        content = yield from self._get(f"{self.path}/result", accept=media)
        if wanted in {"csv", "parquet"}:
            return content
        table = _arrow(content)
        return table.to_pandas() if wanted == "pandas" else table

    @operation
    def save(self, path: str | Path) -> Steps[Path]:
        """Write the predictions into a file: CSV, or Parquet or Arrow where its name ends so."""
        written = Path(path)
        media = _FILES.get(written.suffix.lower().removeprefix("."), CSV)
        written.write_bytes((yield from self._get(f"{self.path}/result", accept=media)))
        return written

    def _progress(self) -> tuple[float, str]:
        return self.progress.fraction, f"{self.progress.rows:,} rows"

    def _tell_warnings(self) -> None:
        for warning in self.answer.result.warnings if self.answer.result else ():
            message = (
                f"{warning.rows:,} rows are not predicted, from row {warning.first_row}: {warning.message}"
            )
            tell_once(self.id, code=f"{warning.code} in {warning.column}", message=message)

    def _repr_html_(self) -> str:
        return notebook.batch(self.answer)


def _arrow(content: bytes) -> Any:  # noqa: ANN401 - of pyarrow
    pyarrow = package("pyarrow", why="An Arrow table")
    package("pyarrow.ipc", why="An Arrow table")
    with pyarrow.ipc.open_stream(content) as reader:
        return reader.read_all()


class BatchPrediction(Sync, _BatchPrediction):
    """A prediction of a dataset, of a `Client`."""


class AsyncBatchPrediction(Async, _BatchPrediction):
    """A prediction of a dataset, of an `AsyncClient`."""
