"""What commands read: specs, changes to specs, tables."""

import io
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from fitd_client.cli.delimited import columns_of, delimiter_of
from fitd_client.errors import UnreadableData
from fitd_client.packages import has, package

__all__ = ["STDIN", "changes_of", "pairs_of", "read_spec", "read_table"]

STDIN = "-"


def _content(source: str) -> bytes:
    return sys.stdin.buffer.read() if source == STDIN else Path(source).read_bytes()


def read_spec(source: str) -> dict[str, Any]:
    """Read a spec.

    Args:
        source: A file of JSON, or `-` for standard input.

    Raises:
        UnreadableData: It is no JSON object.
    """
    try:
        spec = json.loads(_content(source))
    except ValueError as error:
        raise UnreadableData(f"{source} is no JSON: {error}.") from None
    if not isinstance(spec, dict):
        raise UnreadableData(f"{source} is no spec: a JSON object is one.")
    return spec


def pairs_of(pairs: Sequence[str], *, what: str) -> dict[str, str]:
    """Read pairs such as `name=value`.

    Args:
        pairs: As they were given.
        what: The option, for the message.

    Raises:
        UnreadableData: One has no `=`.
    """
    for pair in pairs:
        if "=" not in pair:
            raise UnreadableData(f"{what} {pair}: there is no `=` in it; give name=value.")
    return dict(pair.split("=", maxsplit=1) for pair in pairs)


def changes_of(pairs: Sequence[str]) -> dict[str, Any]:
    """Read changes to a spec.

    Args:
        pairs: As in `training.seed=1` or `/training/seed=1`. A value is JSON where it can be read so, else a text.

    Returns:
        Objects within objects, as a spec has them.

    Raises:
        UnreadableData: A pair has no `=`, or two contradict each other.
    """
    found: dict[str, Any] = {}
    for place, value in pairs_of(pairs, what="--set").items():
        parts = place[1:].split("/") if place.startswith("/") else place.split(".")
        at = found
        for part in parts[:-1]:
            at = at.setdefault(part, {})
            if not isinstance(at, dict):
                raise UnreadableData(f"--set {place}: `{part}` has a value already, and no fields.")
        at[parts[-1]] = _value(value)
    return found


def _value(text: str) -> Any:  # noqa: ANN401 - of JSON
    try:
        return json.loads(text)
    except ValueError:
        return text


def read_table(source: str, *, form: str | None = None, category: Sequence[str] = ()) -> Any:  # noqa: ANN401
    """Read a table.

    Args:
        source: A file, or `-` for standard input.
        form: `csv`, `jsonl`, `parquet` or `arrow`; the name of the file tells it, and else it is `csv`.
        category: Columns that are names, though they look like numbers.

    Returns:
        An Arrow table where pyarrow is installed, else a dict of columns or a list of rows.

    Raises:
        UnreadableData: It cannot be read as that.
    """
    asked = form or _FORMS_OF_SUFFIX.get(Path(source).suffix.lower(), "csv")
    if asked not in _READERS:
        raise UnreadableData(f"There is no form `{asked}`; there are {', '.join(_READERS)}.")
    content = _content(source)
    try:
        return _READERS[asked](content, category)
    except ValueError as error:  # Also what pyarrow finds wrong.
        raise UnreadableData(f"{source} cannot be read as {asked}: {error}") from None


def _csv(content: bytes, category: Sequence[str]) -> Any:  # noqa: ANN401 - a table
    return _arrow_csv(content, category) if has("pyarrow") else columns_of(content, category=category)


def _arrow_csv(content: bytes, category: Sequence[str]) -> Any:  # noqa: ANN401 - a table
    pyarrow = package("pyarrow", why="A table")
    csv = package("pyarrow.csv", why="A table")
    delimiter = delimiter_of(content)
    return csv.read_csv(
        io.BytesIO(content),
        parse_options=csv.ParseOptions(delimiter=delimiter, newlines_in_values=True),
        convert_options=csv.ConvertOptions(
            column_types=dict.fromkeys(category, pyarrow.string()), null_values=[""], strings_can_be_null=True
        ),
    )


def _json_lines(content: bytes, category: Sequence[str]) -> list[Any]:
    rows = [_row(number, line) for number, line in enumerate(content.splitlines(), 1) if line.strip()]
    names = list(dict.fromkeys(name for row in rows for name in row))
    texts = set(category)
    return [{name: _as_text(row.get(name), name in texts) for name in names} for row in rows]


def _row(number: int, line: bytes) -> dict[str, Any]:
    row = json.loads(line)
    if not isinstance(row, dict):
        raise UnreadableData(f'Line {number} is no JSON object: a row is one, such as {{"x": 1.5}}.')
    return row


def _as_text(value: Any, wanted: bool) -> Any:  # noqa: ANN401, FBT001 - a cell
    return str(value) if wanted and value is not None else value


def _parquet(content: bytes, category: Sequence[str]) -> Any:  # noqa: ANN401 - a table
    return _with_texts(package("pyarrow.parquet", why="Parquet").read_table(io.BytesIO(content)), category)


def _arrow(content: bytes, category: Sequence[str]) -> Any:  # noqa: ANN401 - a table
    ipc = package("pyarrow.ipc", why="Arrow")
    is_file = content.startswith(b"ARROW1")
    opened = ipc.open_file(io.BytesIO(content)) if is_file else ipc.open_stream(content)
    return _with_texts(opened.read_all(), category)


def _with_texts(table: Any, category: Sequence[str]) -> Any:  # noqa: ANN401 - a table
    pyarrow = package("pyarrow", why="A table")
    for name in category:
        place = table.column_names.index(name)
        table = table.set_column(place, name, table.column(place).cast(pyarrow.string()))
    return table


_READERS: dict[str, Callable[[bytes, Sequence[str]], Any]] = {
    "csv": _csv,
    "jsonl": _json_lines,
    "parquet": _parquet,
    "arrow": _arrow,
}
_FORMS_OF_SUFFIX = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".parquet": "parquet",
    ".arrow": "arrow",
    ".arrows": "arrow",
    ".feather": "arrow",
}
