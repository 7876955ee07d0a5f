"""A desk whose jobs are told to trackers, and the eyes to read those back."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from service.db import Database
from service.jobs import workers
from service.trackers import repository
from service.trackers.follower import Follower
from service.trackers.sink import Sink
from tests.sweeps.sweep_desk import SweepDesk

HOLDER = "worker_t"


class Ledger(SweepDesk):
    """The desk of a database whose trackers are served."""

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        with database.write() as session:
            workers.register(session, HOLDER, slots=1)

    def switch_on(self, sink: Sink, target: str = "here") -> None:
        """Make a tracker known, and give it to the worker."""
        with self.database.write() as session:
            repository.register(session, sink.name, target=target)
            assert repository.hold(session, sink.name, HOLDER)

    def follower(self, sink: Sink) -> Follower:
        """A follower like one whose process has just begun."""
        return Follower(sink, self.database, holder=HOLDER, every_seconds=0.01, retry_seconds=0.1)

    def states(self) -> dict[str, repository.State]:
        with self.database.read() as session:
            return {state.tracker.name: state for state in repository.states(session)}


def told_to_the_end(follower: Follower) -> None:
    """Let a follower tell all there is."""
    while follower.turn():
        pass


def scalars(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """Read the event files of a run as TensorBoard does."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    read = EventAccumulator(str(folder), size_guidance={"scalars": 0, "tensors": 0})
    read.Reload()
    return {tag: [(one.step, one.value) for one in read.Scalars(tag)] for tag in read.Tags()["scalars"]}


def runs(uri: str, experiment: str = "fitd") -> Iterator[Any]:
    """Read the runs of an experiment back through MLflow's client, the oldest first."""
    client = client_of(uri)
    found = client.get_experiment_by_name(experiment)
    assert found is not None
    yield from client.search_runs([found.experiment_id], order_by=["attributes.start_time ASC"])


def client_of(uri: str) -> Any:  # noqa: ANN401
    from mlflow.tracking.client import MlflowClient

    return MlflowClient(tracking_uri=uri)


def history(uri: str, run_id: str, metric: str = "train_loss") -> list[tuple[int, float]]:
    """Read all points of a metric, in the order in which they were told."""
    return [(one.step, one.value) for one in client_of(uri).get_metric_history(run_id, metric)]
