"""What callers see of a sweep, and of its trials in each form."""

import csv
import io
from typing import Any

import pyarrow as pa
import pytest

from service.api.sweep_tables import as_arrow, as_csv
from service.api.sweep_views import sweep_view, trial_view
from service.sweeps import repository, service
from tests.jobs.desk import OWNER, progress
from tests.sweeps.bodies import HALVING, TPE
from tests.sweeps.sweep_desk import SweepDesk

MIXED = {
    "/a": [1, 2, None],
    "/b": [1, 2.5, None],
    "/c": ["x", "y", None],
    "/d": [True, False, None],
    "/e": [{"type": "SGD"}, "Adam", None],
    "/f": [True, 2, None],
}


def seen(desk: SweepDesk, sweep_id: str) -> dict[str, Any]:
    with desk.database.read() as session:
        return sweep_view(session, service.get(session, sweep_id, owner=OWNER))


def rows(desk: SweepDesk, sweep_id: str) -> list[dict[str, Any]]:
    spec = desk.spec(sweep_id)
    return [trial_view(spec, row) for row in desk.trials(sweep_id)]


def test_progress_counts_what_is_half_done(desk: SweepDesk) -> None:
    sweep_id = desk.begun()
    first, second = desk.claim(2)
    desk.train(first)
    desk.report(second, progress(1, 3))
    view = seen(desk, sweep_id)
    assert view["progress"] == {
        "trials": 5, "added": 5, "ended": 1, "fraction": 0.3, "seconds": 3.0, "eta_seconds": pytest.approx(7),
    }  # fmt: skip
    assert view["jobs"] == {"succeeded": 1, "running": 1, "queued": 3}
    assert view["best"]["trial"] == 0
    running = rows(desk, sweep_id)[1]
    assert (running["status"], running["objective"], running["train_loss"]) == ("running", None, 1 / 3)


def test_a_sweep_without_a_trial_can_be_seen(desk: SweepDesk) -> None:
    view = seen(desk, desk.sweep(TPE))
    assert view["progress"] == {
        "trials": 14, "added": 0, "ended": 0, "fraction": 0.0, "seconds": 0.0, "eta_seconds": None,
    }  # fmt: skip
    assert (view["best"], view["jobs"]) == (None, {})


def test_an_ended_sweep_is_done_although_it_had_fewer_trials_than_planned(desk: SweepDesk) -> None:
    sweep_id = desk.sweep(HALVING)
    desk.train_all(lambda _: None)
    view = seen(desk, sweep_id)
    assert view["status"] == "failed"
    assert view["progress"]["trials"] == 13
    assert (view["progress"]["ended"], view["progress"]["fraction"]) == (9, 1.0)
    assert {one["error"]["code"] for one in rows(desk, sweep_id)} == {"diverged"}


def test_a_trial_that_was_refused_has_failed_without_a_job(desk: SweepDesk) -> None:
    sweep_id = desk.begun(TPE)
    error = {"code": "unknown_dataset", "message": "It is gone.", "hint": ""}
    with desk.database.write() as session:
        sweep = service.get(session, sweep_id, owner=OWNER)
        draw = service.repository.Draw({"/optimizer/lr": 0.05})
        repository.add_trial(session, sweep, 2, draw, error=error)
        repository.note_added(session, sweep, added=3, wanted=3)
    (*_, refused) = rows(desk, sweep_id)
    assert (refused["trial"], refused["job_id"], refused["status"]) == (2, None, "failed")
    assert (refused["values"], refused["error"]) == ({"/optimizer/lr": 0.05}, error)
    assert seen(desk, sweep_id)["progress"]["ended"] == 1


def table() -> list[dict[str, Any]]:
    columns = {
        "trial": 0, "status": "failed", "stop_reason": None, "objective": None, "train_loss": None,
        "dev_loss": None, "epoch": 0, "epochs": None, "seconds": 0.0, "rung": 0, "repeats": None, "job_id": None,
    }  # fmt: skip
    values = [{name: series[place] for name, series in MIXED.items()} for place in range(3)]
    return [{**columns, "values": one} for one in values]


def test_values_of_every_kind_have_a_place_in_csv() -> None:
    found = list(csv.DictReader(io.StringIO(as_csv(table(), list(MIXED)))))
    assert [one["/a"] for one in found] == ["1", "2", ""]
    assert [one["/c"] for one in found] == ["x", "y", ""]
    assert [one["/d"] for one in found] == ["true", "false", ""]
    assert [one["/e"] for one in found] == ['{"type":"SGD"}', "Adam", ""]


def test_values_of_every_kind_have_a_place_in_arrow() -> None:
    found = pa.ipc.open_stream(as_arrow(table(), list(MIXED))).read_all()
    kinds = {name: str(found.schema.field(name).type) for name in MIXED}
    assert kinds == {
        "/a": "int64", "/b": "double", "/c": "string", "/d": "bool", "/e": "string", "/f": "string",
    }  # fmt: skip
    assert found.column("/e").to_pylist() == ['{"type":"SGD"}', '"Adam"', None]
    assert found.column("/f").to_pylist() == ["true", "2", None]
    empty = pa.ipc.open_stream(as_arrow([], ["/a"])).read_all()
    assert (empty.num_rows, empty.column_names[-1]) == (0, "/a")
