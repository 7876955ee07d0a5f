"""Handles of datasets, and what an upload is."""

from pathlib import Path
from typing import Any

from fitd_client import answers, notebook
from fitd_client.asking import Asking, in_path
from fitd_client.errors import UnreadableData
from fitd_client.operations import Async, Sync, operation
from fitd_client.tables import table_of
from fitd_client.wire import ARROW, CSV, NPY, Steps

__all__ = ["AsyncDataset", "Dataset", "upload_of"]

_MEDIA = {
    ".csv": CSV,
    ".tsv": "text/tab-separated-values",
    ".parquet": "application/vnd.apache.parquet",
    ".arrow": "application/vnd.apache.arrow.file",
    ".feather": "application/vnd.apache.arrow.file",
    ".arrows": ARROW,
    ".jsonl": "application/x-ndjson",
    ".ndjson": "application/x-ndjson",
    ".npy": NPY,
    ".npz": "application/x-npz",
    ".idx": "application/x-idx",
}


class _Dataset(Asking):
    """An uploaded table: immutable.

    Attributes:
        answer: The whole answer, with fields that this client does not know. As a list gives it, it has no columns.
    """

    answer: answers.DatasetSummary

    def __init__(self, connection: Any, answer: answers.DatasetSummary) -> None:  # noqa: ANN401 - of either way
        self._connection = connection
        self.answer = answer

    @property
    def id(self) -> str:
        """Its id."""
        return self.answer.id

    @property
    def name(self) -> str | None:
        """Its name for people."""
        return self.answer.name

    @property
    def rows(self) -> int:
        """How many rows it has."""
        return self.answer.rows

    @property
    def digest(self) -> str:
        """What names its content."""
        return self.answer.digest

    @property
    def columns(self) -> list[answers.DatasetColumn]:
        """Its columns with their figures; none where it comes from a list."""
        return self.answer.columns if isinstance(self.answer, answers.Dataset) else []

    @property
    def path(self) -> str:
        """Its path beneath the service's address."""
        return f"/v1/datasets/{in_path(self.id)}"

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.id} of {self.rows:,} rows>"

    def _repr_html_(self) -> str:
        return notebook.dataset(self.answer)

    @operation
    def preview(self, rows: int = 10) -> Steps[list[dict[str, Any]]]:
        """Give the first rows, one dict for each."""
        return (yield from self._read(answers.Preview, f"{self.path}/preview", params={"rows": rows})).rows

    @operation
    def delete(self) -> Steps[None]:
        """Remove it.

        Raises:
            Conflict: A job that has not ended needs it.
        """
        yield from self._delete(self.path)


class Dataset(Sync, _Dataset):
    """A dataset of a `Client`."""


class AsyncDataset(Async, _Dataset):
    """A dataset of an `AsyncClient`."""


def upload_of(data: Any, *, media: str | None = None) -> tuple[bytes | Path, str]:  # noqa: ANN401 - of many kinds
    """Tell what to send, and its type.

    Args:
        data: A path of a file, the bytes of one, or a table of any kind.
        media: Type of the file or the bytes; of a file its name tells it.

    Raises:
        UnreadableData: The type is not known.
    """
    if isinstance(data, bytes):
        if media is None:
            raise UnreadableData('Bytes do not say what they are: give media="text/csv" or another type.')
        return data, media
    if isinstance(data, str | Path):
        path = Path(data)
        return path, media or _media_of(path)
    return table_of(data).arrow_bytes(), ARROW


def _media_of(path: Path) -> str:
    suffixes = [suffix.lower() for suffix in path.suffixes if suffix.lower() != ".gz"]
    if not suffixes or suffixes[-1] not in _MEDIA:
        known = ", ".join(_MEDIA)
        raise UnreadableData(f"The name of {path} does not say its type ({known}): give media=….")
    return _MEDIA[suffixes[-1]]
