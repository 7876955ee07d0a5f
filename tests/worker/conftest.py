"""The pipe between a worker and its runner."""

import multiprocessing
from collections.abc import Iterator
from multiprocessing.connection import Connection

import pytest


@pytest.fixture
def pipes() -> Iterator[tuple[Connection, Connection]]:
    """The worker's end and the runner's end."""
    ours, theirs = multiprocessing.Pipe()
    yield ours, theirs
    ours.close()
    theirs.close()
