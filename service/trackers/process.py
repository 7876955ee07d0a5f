"""The process that tells trackers what is new: their libraries are heavy, and whatever they do harms nothing else."""

import contextlib
import os
import threading
from collections.abc import Collection

import structlog

from service import failpoints
from service.db import Database
from service.settings import Settings
from service.trackers.follower import Follower
from service.trackers.sink import Sink
from service.trackers.sinks import sinks

__all__ = ["run"]

logger = structlog.get_logger(__name__)

NICENESS = 10
"""Trainings come first: whoever tells of them takes what they leave of a busy machine."""


def run(settings: Settings, *, holder: str, only: Collection[str]) -> None:
    """Tell trackers what is new, each at its own pace, until this process is ended or the telling of one breaks.

    Args:
        settings: Of the service.
        holder: The worker that serves the trackers.
        only: Their names.
    """
    os.nice(NICENESS)
    failpoints.arm(settings.failpoints_dir)
    stop = threading.Event()
    with contextlib.closing(Database(settings.effective_database_url)) as database:
        threads = [_started(sink, settings, database, holder, stop) for sink in sinks(settings, only=only)]
        stop.wait()
        for thread in threads:
            thread.join()


def _started(
    sink: Sink, settings: Settings, database: Database, holder: str, stop: threading.Event
) -> threading.Thread:
    trackers = settings.trackers
    follower = Follower(
        sink,
        database,
        holder=holder,
        every_seconds=trackers.every_seconds,
        retry_seconds=trackers.retry_seconds,
    )

    def follow() -> None:
        try:
            follower.run(stop)
        except Exception:
            logger.exception("telling ended", tracker=sink.name)
        finally:
            stop.set()  # Whoever started this process starts it again, where it is to go on.

    thread = threading.Thread(target=follow, name=sink.name)
    thread.start()
    return thread
