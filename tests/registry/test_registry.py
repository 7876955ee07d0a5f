"""Versions are numbered once and for all, outlive their jobs, and share what is equal; aliases move."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import sqlalchemy as sa

from service.exceptions import (
    InvalidRequest,
    JobNotFound,
    ModelInUse,
    ModelNotFound,
    NoParameters,
    StateConflict,
)
from service.jobs.attempts import Ended
from service.jobs.lifecycle import Status, StopReason
from service.registry import service
from service.registry.fits import fit_of
from service.registry.orm import Artifact, Model, ModelVersion
from tests.jobs.desk import CANCELLED, OWNER
from tests.registry.model_desk import ModelDesk, at_once

DIVERGED = {"code": "diverged", "message": "The loss is not finite.", "hint": "Lower the learning rate."}


def test_versions_count_up_and_are_found_by_number_alias_and_newest(desk: ModelDesk) -> None:
    first, created = desk.register("line", desk.ended(), aliases=["champion"])
    second, _ = desk.register("line", desk.ended(), description="more rows", metadata={"team": "ß"})
    assert (created, first.number, second.number) == (True, 1, 2)
    assert desk.find("line", "1").id == desk.find("line", "champion").id == first.id
    assert desk.find("line", "2").id == desk.find("line", "latest").id == second.id
    assert desk.find("line").id == first.id, "the champion predicts where no version is named"
    desk.call(service.delete_alias, "line", "champion")
    assert desk.find("line").id == second.id
    assert (second.description, second.labels) == ("more rows", {"team": "ß"})


@pytest.mark.parametrize("version", ["3", "0", "99999999999999999999", "challenger", "", "²"])
def test_a_version_that_is_not_there_is_told(desk: ModelDesk, version: str) -> None:
    desk.register("line", desk.ended())
    with pytest.raises(ModelNotFound) as error:
        desk.find("line", version)
    assert "`line` has no" in error.value.message


def test_a_model_that_is_not_there_is_told(desk: ModelDesk) -> None:
    desk.register("line", desk.ended())
    for name, owner in (("curve", OWNER), ("line", "somebody_else")):
        with pytest.raises(ModelNotFound):
            desk.find(name, owner=owner)
        with pytest.raises(ModelNotFound):
            desk.call(service.move_alias, name, "champion", version="1", owner=owner)


def test_owners_have_models_of_one_name_each(desk: ModelDesk) -> None:
    mine, _ = desk.register("line", desk.ended())
    theirs, created = desk.register("line", desk.ended(owner="bob"), owner="bob")
    assert created
    assert theirs.number == 1
    assert desk.find("line").id == mine.id
    with pytest.raises(JobNotFound):
        desk.register("line", mine.job_id, owner="bob")


def test_the_same_job_again_is_the_version_that_it_is(desk: ModelDesk) -> None:
    job = desk.ended()
    first, _ = desk.register("line", job)
    desk.register("line", desk.ended(), aliases=["champion"])
    again, created = desk.register("line", job, aliases=["champion"], description="ignored")
    assert (again.id, again.number, again.description, created) == (first.id, 1, None, False)
    assert desk.find("line", "champion").id == first.id
    other, created = desk.register("curve", job)
    assert created
    assert other.digest == first.digest


def test_equal_fits_share_an_artifact_that_goes_with_the_last_of_them(desk: ModelDesk) -> None:
    desk.register("line", desk.ended())
    desk.register("curve", desk.ended())
    desk.register("other", desk.ended(parameters=b"others"))
    assert desk.count(Artifact) == 2
    desk.call(service.delete_version, "line", "1")
    assert desk.count(Artifact) == 2
    desk.call(service.delete_model, "curve")
    assert desk.count(Artifact) == 1
    desk.call(service.delete_model, "other")
    assert desk.count(Artifact) == 0


def test_the_number_of_a_deleted_version_is_not_given_again(desk: ModelDesk) -> None:
    job = desk.ended()
    desk.register("line", job)
    desk.call(service.delete_version, "line", "latest")
    with pytest.raises(ModelNotFound, match="has no versions"):
        desk.find("line")
    again, created = desk.register("line", job)
    assert (created, again.number) == (True, 2)


def test_what_an_alias_points_to_is_not_deleted(desk: ModelDesk) -> None:
    desk.register("line", desk.ended(), aliases=["champion", "canary"])
    desk.register("line", desk.ended())
    with pytest.raises(ModelInUse, match="`canary`, `champion`"):
        desk.call(service.delete_version, "line", "1")
    with pytest.raises(ModelInUse):
        desk.call(service.delete_model, "line")
    for alias in ("champion", "canary"):
        desk.call(service.move_alias, "line", alias, version="2")
    desk.call(service.delete_version, "line", "1")
    with pytest.raises(ModelInUse):
        desk.call(service.delete_version, "line", "champion")
    for alias in ("champion", "canary"):
        desk.call(service.delete_alias, "line", alias)
    desk.call(service.delete_model, "line")
    assert (desk.count(Model), desk.count(ModelVersion), desk.count(Artifact)) == (0, 0, 0)
    with pytest.raises(ModelNotFound):
        desk.call(service.delete_alias, "line", "champion")


def test_an_alias_can_be_moved_to_where_another_points(desk: ModelDesk) -> None:
    desk.register("line", desk.ended(), aliases=["canary"])
    desk.register("line", desk.ended(), aliases=["champion"])
    desk.call(service.move_alias, "line", "champion", version="canary")
    assert desk.find("line", "champion").number == 1
    desk.call(service.delete_alias, "line", "champion")
    with pytest.raises(ModelNotFound, match="alias `champion`"):
        desk.call(service.delete_alias, "line", "champion")


def test_aliases_are_bounded(desk: ModelDesk) -> None:
    names = [f"a{number}" for number in range(service.MAX_ALIASES)]
    desk.register("line", desk.ended(), aliases=names)
    with pytest.raises(InvalidRequest, match="101 aliases"):
        desk.call(service.move_alias, "line", "more", version="1")
    desk.call(service.move_alias, "line", "a5", version="1")
    with pytest.raises(ModelNotFound):
        desk.find("line", "more")


def test_a_version_outlives_its_job(desk: ModelDesk) -> None:
    job = desk.ended(parameters=b"precious")
    desk.register("line", job)
    desk.delete(job)
    version = desk.find("line")
    with desk.database.read() as session:
        found = service.artifact_of(session, version.digest)
    assert (found.parameters, found.digest) == (b"precious", version.digest)
    assert '"data"' in found.spec_text
    assert version.result == {"train_loss": 1.0}


def test_lineage_says_where_a_version_came_from(desk: ModelDesk) -> None:
    version, _ = desk.register("line", desk.ended())
    job = desk.job(version.job_id)
    assert version.lineage["job_id"] == job.id
    assert version.lineage["data_type"] == "synthetic"
    assert version.lineage["dataset"] is None
    assert version.lineage["seed"] == job.seed
    assert version.lineage["environment"] == job.environment != {}
    assert version.lineage["engine"] == job.engine != {}
    assert version.lineage["stop_reason"] == "completed"
    assert version.lineage["finished_at"].endswith("Z")


def test_what_has_not_ended_or_left_nothing_is_refused(desk: ModelDesk) -> None:
    waiting = desk.submit()
    with pytest.raises(StateConflict, match="no parameters yet"):
        desk.register("line", waiting)
    desk.cancel(waiting)
    with pytest.raises(NoParameters):
        desk.register("line", waiting)
    with pytest.raises(JobNotFound):
        desk.register("line", "job_none")
    ref = desk.running()
    desk.finish(ref, Ended(Status.FAILED, StopReason.DIVERGED, parameters=b"nan", error=DIVERGED))
    with pytest.raises(StateConflict, match="diverged") as error:
        desk.register("line", ref.id)
    assert error.value.hint == DIVERGED["hint"]
    assert desk.count(Model) == 0


def test_what_was_cancelled_with_parameters_can_be_registered(desk: ModelDesk) -> None:
    ref = desk.running()
    desk.cancel(ref.id)
    desk.finish(ref, Ended(CANCELLED.status, CANCELLED.stop_reason, parameters=b"so far"))
    version, _ = desk.register("line", ref.id)
    assert version.lineage["stop_reason"] == "cancelled"


def test_models_and_versions_are_listed_in_pages(desk: ModelDesk) -> None:
    for name in ("a", "b", "c"):
        desk.register(name, desk.ended())
    for _ in range(2):
        desk.register("b", desk.ended())
    with desk.database.read() as session:
        page, more = service.list_models(session, owner=OWNER, limit=2, after=None)
        assert ([one.name for one in page], more) == (["c", "b"], True)
        page, more = service.list_models(session, owner=OWNER, limit=2, after="b")
        assert ([one.name for one in page], more) == (["a"], False)
        with pytest.raises(InvalidRequest):
            service.list_models(session, owner=OWNER, limit=2, after="d")
        model = service.get(session, "b", owner=OWNER)
        found, more = service.list_versions(session, model, limit=2, after=None)
        assert ([one.number for one in found], more) == ([3, 2], True)
        found, more = service.list_versions(session, model, limit=2, after="2")
        assert ([one.number for one in found], more) == ([1], False)
        for wrong in ("b", "-1", "9" * 30):
            with pytest.raises(InvalidRequest):
                service.list_versions(session, model, limit=2, after=wrong)


def test_registered_at_once_jobs_get_numbers_of_their_own(desk: ModelDesk) -> None:
    jobs = [desk.ended() for _ in range(6)]
    found = at_once(*(partial(desk.register, "line", job) for job in jobs))
    assert sorted(version.number for version, _ in found) == [1, 2, 3, 4, 5, 6]
    assert all(created for _, created in found)
    assert (desk.count(Model), desk.count(Artifact)) == (1, 1)


@pytest.mark.parametrize("begun", [False, True])
def test_a_job_registered_several_times_at_once_is_one_version(desk: ModelDesk, *, begun: bool) -> None:
    if begun:
        desk.register("line", desk.ended())
    job = desk.ended()
    found = at_once(*(partial(desk.register, "line", job, aliases=[f"a{n}"]) for n in range(4)))
    assert {version.number for version, _ in found} == {2 if begun else 1}
    assert sorted(created for _, created in found) == [False, False, False, True]
    assert all(desk.find("line", f"a{n}").job_id == job for n in range(4))


def test_equal_fits_come_and_go_at_once(desk: ModelDesk) -> None:
    """An artifact is removed with its last version while another of equal content is on its way."""
    jobs = [desk.ended() for _ in range(4)]
    for turn in range(5):
        desk.register(f"old{turn}", jobs[0])
        calls: list[Callable[[], object]] = [
            partial(desk.call, service.delete_version, f"old{turn}", "1"),
            *(partial(desk.register, f"new{turn}.{job}", job) for job in jobs[1:]),
        ]
        found = at_once(*calls)
        assert not [one for one in found if isinstance(one, Exception)]
        assert desk.count(Artifact) == 1
        for job in jobs[1:]:
            desk.call(service.delete_model, f"new{turn}.{job}")
        assert desk.count(Artifact) == 0


def test_an_alias_is_moved_while_its_version_is_deleted(desk: ModelDesk) -> None:
    for turn in range(5):
        name = f"line{turn}"
        desk.register(name, desk.ended())
        desk.register(name, desk.ended(), aliases=["champion"])
        found = at_once(
            partial(desk.call, service.move_alias, name, "champion", version="1"),
            partial(desk.call, service.delete_version, name, "1"),
        )
        assert sum(isinstance(one, ModelNotFound | ModelInUse) for one in found) == 1
        assert desk.find(name, "champion").number in {1, 2}


def test_the_fit_of_a_job_of_somebody_else_is_not_read(desk: ModelDesk) -> None:
    job = desk.ended()
    with desk.database.read() as session, pytest.raises(JobNotFound):
        fit_of(session, job, owner="bob")


def test_what_was_deleted_meanwhile_is_told_as_gone(desk: ModelDesk) -> None:
    version, _ = desk.register("line", desk.ended())
    desk.call(service.delete_version, "line", "1")
    with desk.database.read() as session, pytest.raises(ModelNotFound, match="meanwhile"):
        service.artifact_of(session, version.digest)


def test_no_statement_has_a_parameter_for_each_version_of_a_deleted_model(desk: ModelDesk) -> None:
    """Databases take some ten thousand at most."""
    version, _ = desk.register("line", desk.ended())
    columns = ModelVersion.__table__.columns.keys()
    known = {name: getattr(version, name) for name in columns if name != "seq"}
    numbers = range(2, 3_000)
    more = [known | {"id": f"model_{one}", "number": one, "job_id": f"job_{one}"} for one in numbers]
    with desk.database.write() as session:
        session.execute(sa.insert(ModelVersion), more)
    counts: list[int] = []

    def count(_connection: object, _cursor: object, _text: str, parameters: Any, *_rest: object) -> None:  # noqa: ANN401
        counts.append(len(parameters))

    sa.event.listen(desk.database.engine, "before_cursor_execute", count)
    desk.call(service.delete_model, "line")
    assert max(counts) < len(numbers)
    assert (desk.count(ModelVersion), desk.count(Artifact)) == (0, 0)
