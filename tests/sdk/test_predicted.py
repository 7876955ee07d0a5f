"""Large predictions, which come as Arrow."""

from collections.abc import Sequence

import pyarrow as pa
import pytest
from fitd_client.predicted import Predicted


def _stream(names: Sequence[str]) -> bytes:
    table = pa.Table.from_arrays([pa.array([float(place)]) for place in range(len(names))], names=list(names))
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue())


@pytest.mark.parametrize(
    ("names", "targets"),
    [
        (["y[0]", "y[1]", "y[2]"], ["y"]),
        (["output[0]", "output[1]"], ["positive"]),
        (["y", "std.x"], ["y", "std.x"]),
    ],
    ids=["array", "roles", "named so"],
)
def test_no_column_is_lost(names: list[str], targets: list[str]) -> None:
    found = Predicted.from_arrow(_stream(names), targets=targets)
    assert {name: values.to_pylist() for name, values in found.columns.items()} == {
        name: [float(place)] for place, name in enumerate(names)
    }
    assert (found.probabilities, found.std) == ({}, {})


def test_what_stands_beside_is_told_apart() -> None:
    found = Predicted.from_arrow(_stream(["y", "probabilities.a", "probabilities.b"]), targets=["y"])
    assert (list(found.columns), list(found.probabilities)) == (["y"], ["a", "b"])
    assert list(Predicted.from_arrow(_stream(["y", "std.y"]), targets=["y"]).std) == ["y"]
