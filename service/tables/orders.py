"""What the reading process is asked to do: which file, how to read it, and how much it may use."""

import hashlib
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict

__all__ = ["DELIMITERS", "Budget", "Delimiter", "Format", "Header", "ReadOptions", "ReadOrder", "digest_of"]

Format = Literal["csv", "parquet", "arrow", "ndjson", "npy", "npz", "idx"]
Header = Literal["auto", "true", "false"]
Delimiter = Literal["auto", "comma", "semicolon", "tab", "pipe", ",", ";", "\t", "|"]
DELIMITERS: dict[Delimiter, str] = {
    "comma": ",",
    "semicolon": ";",
    "tab": "\t",
    "pipe": "|",
    ",": ",",
    ";": ";",
    "\t": "\t",
    "|": "|",
}


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class ReadOptions(_Frozen):
    """How an upload is to be read. With its bytes they decide what the dataset is."""

    format: Format
    header: Header = "auto"
    """Of CSV: whether the first line holds the names of the columns."""
    delimiter: Delimiter = "auto"
    """Of CSV: what stands between two fields."""
    column: str | None = None
    """Name of the only column of an npy or IDX file."""
    categories: tuple[str, ...] = ()
    """Columns of CSV and JSON Lines that are text, even if they look like numbers."""
    gzip: bool = False
    """Whether the sender said that the body is compressed with gzip; a gzip file is unpacked either way."""


class Budget(_Frozen):
    """What reading may use, so that no upload can take the machine."""

    max_rows: int
    max_columns: int
    max_unpacked_bytes: int
    """Bytes of the file once it is unpacked."""
    max_stored_bytes: int
    """Bytes of the columns as they are kept."""
    keep_free_bytes: int = 0
    """Room that stays free on the disk."""
    memory_bytes: int
    """Memory of the reading process beyond what it needs to start."""
    seconds: float


class ReadOrder(_Frozen):
    """One file to read into columns.

    Attributes:
        source: The file as it was uploaded.
        folder: An empty folder for the columns and the manifest.
        digest: Of the dataset: `digest_of` the upload and the options.
    """

    source: Path
    folder: Path
    digest: str
    sha256: str
    """Of the file as it was uploaded."""
    options: ReadOptions
    budget: Budget


def digest_of(sha256: str, options: ReadOptions, *, join: str | None = None) -> str:
    """Name a dataset by what it comes from: the same upload, read the same way, is the same dataset.

    Args:
        sha256: Of the bytes as uploaded.
        options: How they are read.
        join: Digest of the dataset that the columns are added to.

    Returns:
        64 hexadecimal digits.
    """
    text = "\n".join(("fitd dataset 1", sha256, options.model_dump_json(), join or ""))
    return hashlib.sha256(text.encode()).hexdigest()
