"""What the processes of the executor's tests do; each gets its end of the pipe, like a real runner."""

import os
import signal
import time
from multiprocessing.connection import Connection
from pathlib import Path

from service.db import Database
from service.worker.messages import Done, Drain, Ready, Run
from service.worker.presence import Presence


def obedient(pipe: Connection) -> None:
    """Finishes every job at once; one whose id is `crash` kills the process, one called `long` waits for a drain."""
    pipe.send(Ready({"pid": os.getpid()}))
    while isinstance(message := pipe.recv(), Run):
        if message.assignment.refs[0].id == "crash":
            os.kill(os.getpid(), signal.SIGKILL)
        if message.assignment.refs[0].id == "done, then crash":
            pipe.send(Done(message.assignment.refs))
            os.kill(os.getpid(), signal.SIGKILL)
        if message.assignment.refs[0].id == "long" and isinstance(pipe.recv(), Drain):
            pipe.send(Done(message.assignment.refs))
            return
        pipe.send(Done(message.assignment.refs))


def leaves_after_each_job(pipe: Connection) -> None:
    """Finishes one job and makes room for a fresh process."""
    pipe.send(Ready({"pid": os.getpid()}))
    message = pipe.recv()
    pipe.send(Done(message.assignment.refs, leaving=True))
    time.sleep(0.3)  # Its end comes a while after its word: meanwhile it must get no job.


def stubborn(pipe: Connection) -> None:
    """Takes a job and hears of nothing any more."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    pipe.send(Ready({}))
    pipe.recv()
    time.sleep(600)


def late(pipe: Connection) -> None:
    """Never gets warm."""
    time.sleep(600)


def stillborn(pipe: Connection, births: Path) -> None:
    """Dies before it is warm, and leaves a line."""
    with births.open("a") as file:
        file.write("born\n")


def sickly(pipe: Connection, births: Path) -> None:
    """Dies before it is warm the first time, and works the second time."""
    first = not births.exists()
    births.touch()
    if not first:
        obedient(pipe)


def holds_presence(pipe: Connection, folder: Path, worker_id: str) -> None:
    """Is present until it is killed."""
    presence = Presence(folder, worker_id)
    pipe.send(sorted(path.name for path in folder.iterdir()))
    pipe.recv()
    presence.close()


def writes_numbers(url: str, writer: int, count: int) -> None:
    """Counts a row up, once in each transaction, and adds a row of its own."""
    import sqlalchemy as sa

    database = Database(url)
    for number in range(count):
        with database.write() as session:
            total = session.scalar(sa.text("SELECT total FROM counter"))
            session.execute(sa.text("UPDATE counter SET total = :total"), {"total": (total or 0) + 1})
            session.execute(sa.text("INSERT INTO written VALUES (:w, :n)"), {"w": writer, "n": number})
    database.close()


def migrates(url: str) -> None:
    """Brings the schema up to date."""
    from service import migrations

    database = Database(url)
    migrations.migrate(database)
    database.close()
