"""A job that others start from stays until they have ended."""

import pytest

from service.exceptions import InvalidSpec, StateConflict
from service.jobs import service
from service.jobs.library import DatabaseLibrary
from service.spec.plan import Plan
from tests.conftest import TUTORIAL
from tests.jobs.desk import FAILED, OWNER, Desk
from tests.spec.specs import body_of, parsed


def earlier(desk: Desk) -> str:
    """A job that has ended and left parameters."""
    ref = desk.running()
    desk.finish(ref)
    return ref.id


def starting_from(job_id: str) -> dict[str, object]:
    return {**TUTORIAL, "model": {"type": "linear", "init_from": job_id}}


def checked(desk: Desk, job_id: str) -> Plan:
    with desk.database.read() as session:
        return parsed(starting_from(job_id), library=DatabaseLibrary(session, OWNER))


def submitted(desk: Desk, plan: Plan, *, owner: str = OWNER) -> str:
    with desk.database.write() as session:
        body = body_of(plan.spec.model_dump(mode="json"))
        return service.submit(session, plan=plan, body=body, owner=owner).id


def test_a_job_remembers_which_one_it_starts_from(desk: Desk) -> None:
    source = earlier(desk)
    assert desk.job(submitted(desk, checked(desk, source))).init_job_id == source
    assert desk.job(desk.submit()).init_job_id is None


@pytest.mark.parametrize("state", ["queued", "running", "cancelling"])
def test_a_job_that_one_starts_from_is_not_deleted_before_that_has_ended(desk: Desk, state: str) -> None:
    source = earlier(desk)
    user = submitted(desk, checked(desk, source))
    refs = [] if state == "queued" else desk.claim()
    if state == "cancelling":
        desk.cancel(user)
    assert desk.status(user) == state
    before = desk.everything()
    with pytest.raises(StateConflict) as error:
        desk.delete(source)
    assert f"POST /v1/jobs/{user}/cancel" in error.value.hint
    assert desk.everything() == before
    desk.finish(refs[0], FAILED) if refs else desk.cancel(user)
    desk.delete(source)


@pytest.mark.parametrize("lost", ["deleted", "of another owner"])
def test_a_job_is_refused_when_its_source_is_gone_since_the_spec_was_checked(desk: Desk, lost: str) -> None:
    source = earlier(desk)
    plan = checked(desk, source)
    if lost == "deleted":
        desk.delete(source)
    before = desk.everything()
    with pytest.raises(InvalidSpec) as error:
        submitted(desk, plan, owner=OWNER if lost == "deleted" else "another")
    (told,) = error.value.problems
    assert (told.pointer, told.code) == ("/model/init_from", "unknown_job")
    assert told.hint
    assert desk.everything() == before
