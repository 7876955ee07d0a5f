"""Writes of several threads share a transaction, and nothing else."""

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import cast

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from service.db import Database, SharedWrites
from service.exceptions import StateConflict


@pytest.fixture
def numbers(empty: Database) -> Database:
    with empty.write() as session:
        session.execute(sa.text("CREATE TABLE numbers (number INTEGER PRIMARY KEY)"))
    return empty


def written(database: Database) -> set[int]:
    with database.read() as session:
        return set(session.scalars(sa.text("SELECT number FROM numbers")))


def add(number: int) -> Callable[[Session], int]:
    def work(session: Session) -> int:
        session.execute(sa.text("INSERT INTO numbers VALUES (:number)"), {"number": number})
        return number

    return work


def refuse(session: Session) -> int:
    add(99)(session)
    raise StateConflict("No.")


class Counting:
    """A database that counts the transactions that write."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.count = 0

    @contextlib.contextmanager
    def write(self) -> Iterator[Session]:
        self.count += 1
        with self._database.write() as session:
            yield session


def crowded(database: Database, works: list[Callable[[Session], int]]) -> tuple[list[Future[int]], int]:
    """Do works that all come while another write is under way, and count the transactions that they take."""
    counting = Counting(database)
    shared = SharedWrites(cast("Database", counting))
    entered, leave = threading.Event(), threading.Event()

    def first(session: Session) -> int:
        entered.set()
        leave.wait(10)
        return 0

    with ThreadPoolExecutor(len(works) + 1) as pool:
        pool.submit(shared.write, first)
        entered.wait(10)
        futures = [pool.submit(shared.write, work) for work in works]
        while len(shared._waiting) < len(works):
            time.sleep(0.001)
        leave.set()
    return futures, counting.count - 1


def test_one_write_is_a_transaction_like_any_other(numbers: Database) -> None:
    assert SharedWrites(numbers).write(add(1)) == 1
    with pytest.raises(StateConflict):
        SharedWrites(numbers).write(refuse)
    assert written(numbers) == {1}


def test_writes_that_come_together_share_one_commit(numbers: Database) -> None:
    futures, commits = crowded(numbers, [add(number) for number in range(8)])
    assert [one.result() for one in futures] == list(range(8))
    assert written(numbers) == set(range(8))
    assert commits == 1


def test_what_one_refuses_is_its_own_matter(numbers: Database) -> None:
    futures, commits = crowded(numbers, [add(1), refuse, add(2)])
    assert (futures[0].result(), futures[2].result()) == (1, 2)
    with pytest.raises(StateConflict):
        futures[1].result()
    assert written(numbers) == {1, 2}
    assert commits == 1


def test_one_that_breaks_the_transaction_does_not_take_the_others_along(numbers: Database) -> None:
    futures, _ = crowded(numbers, [add(1), add(2), add(2)])
    assert futures[0].result() == 1
    broken = [one for one in futures if one.exception() is not None]
    assert len(broken) == 1
    assert isinstance(broken[0].exception(), sa.exc.IntegrityError)
    assert written(numbers) == {1, 2}
