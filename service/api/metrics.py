"""Figures for Prometheus: requests as they are served, jobs and workers as the database has them when asked."""

import time
from collections.abc import Callable, Iterator, Sequence

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.registry import Collector
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.db import Database
from service.jobs import queue, workers
from service.jobs.lifecycle import Status
from service.trackers import repository as trackers
from service.trackers.repository import State

__all__ = ["CONTENT_TYPE_LATEST", "RequestMetrics", "exposition"]

REQUESTS = Counter(
    "fitd_http_requests",
    "Requests answered, by route and status.",
    ["method", "route", "status"],
    registry=None,
)
SECONDS = Histogram(
    "fitd_http_request_seconds",
    "Seconds from the request to the start of its answer, waiting asked for by the caller included.",
    ["method", "route"],
    registry=None,
)


def exposition(database: Database) -> bytes:
    """Write all figures in Prometheus' text format."""
    registry = CollectorRegistry()
    for collector in (REQUESTS, SECONDS, _FromDatabase(database)):
        registry.register(collector)
    return generate_latest(registry)


class _FromDatabase(Collector):
    """Jobs by state and workers' slots, read when asked: every API process tells the same."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def collect(self) -> Iterator[GaugeMetricFamily]:
        with self._database.read() as session:
            counts = queue.count_by_status(session)
            listed = workers.listed(session)
            states = trackers.states(session)
        jobs = GaugeMetricFamily("fitd_jobs", "Jobs by state.", labels=["status"])
        for status in Status:
            jobs.add_metric([status], counts.get(status, 0))
        yield jobs
        slots = GaugeMetricFamily("fitd_worker_slots", "Slots of the workers.", labels=["worker", "state"])
        for worker in listed:
            slots.add_metric([worker.id, "warm"], worker.warm)
            slots.add_metric([worker.id, "cold"], worker.slots - worker.warm)
        yield slots
        yield from _of_trackers(states)


def _of_trackers(states: Sequence[State]) -> Iterator[GaugeMetricFamily]:
    """How the trackers are doing that are or were switched on; nothing where there is none."""
    if not states:
        return
    up = "Whether a tracker is served and took what it was told last."
    yield _of_each(states, "fitd_tracker_up", up, _is_up)
    behind = "Jobs of which a tracker has not been told all."
    yield _of_each(states, "fitd_tracker_jobs_behind", behind, lambda one: one.behind)


def _of_each(
    states: Sequence[State], name: str, documentation: str, figure: Callable[[State], float]
) -> GaugeMetricFamily:
    family = GaugeMetricFamily(name, documentation, labels=["tracker"])
    for state in states:
        family.add_metric([state.tracker.name], figure(state))
    return family


def _is_up(state: State) -> float:
    return float(state.served and state.tracker.failing_since is None)


class RequestMetrics:
    """Middleware that counts and times requests by route, never by path: ids would make a series each."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()

        async def timed(message: Message) -> None:
            if message["type"] == "http.response.start":
                route = getattr(scope.get("route"), "path", "unknown")
                REQUESTS.labels(scope["method"], route, message["status"]).inc()
                SECONDS.labels(scope["method"], route).observe(time.perf_counter() - started)
            await send(message)

        await self._app(scope, receive, timed)
