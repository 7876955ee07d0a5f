"""What is sent again and what is not, without sending anything: operations only say what is to be done."""

from typing import Any

import pytest
from fitd_client import (
    ApiError,
    Conflict,
    InvalidRequest,
    NotFound,
    RateLimited,
    Retries,
    ServerError,
    TransportError,
    Unauthorized,
    Unavailable,
)
from fitd_client.asking import submission
from fitd_client.errors import api_error
from fitd_client.wire import NeverSent, Pause, Request, Response, exchange, json_body

GET = Request(method="GET", path="/v1/jobs")
CANCEL = Request(method="POST", path="/v1/jobs/job_a/cancel")
SUBMIT = submission("/v1/jobs", {})
FINE = Response(200, {}, b"{}")
PROBLEM = {"content-type": "application/problem+json"}
BUSY = Response(503, PROBLEM, b'{"code": "database_busy", "detail": "Busy."}')
OVERLOADED_PROXY = Response(503, {"content-type": "text/html"}, b"<html>Unavailable</html>")
BAD_GATEWAY = Response(502, {}, b"<html>Bad gateway</html>")
LOST, REFUSED = TransportError("lost"), NeverSent("refused")

Reply = Response | TransportError


def _run(request: Request, *replies: Reply, retries: Retries = Retries(count=3)) -> tuple[Any, list[float]]:  # noqa: B008
    """Reply so, and give what comes of it and the pauses between."""
    steps, pauses = exchange(request, retries), []
    effect = next(steps)
    for reply in replies:
        assert isinstance(effect, Request)
        try:
            effect = steps.throw(reply) if isinstance(reply, TransportError) else steps.send(reply)
            while isinstance(effect, Pause):
                pauses.append(effect.seconds)
                effect = steps.send(None)
        except StopIteration as end:
            return end.value, pauses
    raise AssertionError("it wants one more reply")


@pytest.mark.parametrize("request_", [GET, SUBMIT], ids=["get", "submit"])
@pytest.mark.parametrize("reply", [BUSY, BAD_GATEWAY, LOST, REFUSED], ids=["503", "502", "lost", "refused"])
def test_what_can_be_repeated_is_sent_again_after_whatever_passes(request_: Request, reply: Reply) -> None:
    answer, pauses = _run(request_, reply, reply, FINE)
    assert answer is FINE
    assert len(pauses) == 2


@pytest.mark.parametrize("reply", [BUSY, REFUSED], ids=["503", "refused"])
def test_what_cannot_be_repeated_is_sent_again_where_nothing_was_done(reply: Reply) -> None:
    assert _run(CANCEL, reply, FINE)[0] is FINE


@pytest.mark.parametrize(
    ("reply", "error"),
    [(BAD_GATEWAY, Unavailable), (OVERLOADED_PROXY, Unavailable), (LOST, TransportError)],
)
def test_what_cannot_be_repeated_is_not_sent_again_where_it_may_have_been_done(
    reply: Reply, error: type[Exception]
) -> None:
    with pytest.raises(error):
        _run(CANCEL, reply)


def test_a_refusal_is_final() -> None:
    with pytest.raises(NotFound):
        _run(GET, Response(404, {}, b"{}"))


def test_the_tries_end() -> None:
    with pytest.raises(TransportError, match="lost"):
        _run(GET, LOST, LOST, LOST, LOST)


def test_the_pauses_are_drawn_below_a_bound_that_doubles() -> None:
    retries = Retries(count=4, base=1.0, most=3.0)
    drawn = [[retries.pause(tried) or 0.0 for tried in range(4)] for _ in range(200)]
    for tried, bound in enumerate((1.0, 2.0, 3.0, 3.0)):
        pauses = [one[tried] for one in drawn]
        assert 0 <= min(pauses) < bound / 4
        assert 3 * bound / 4 < max(pauses) <= bound


def test_retry_after_is_waited_for_and_then_some() -> None:
    limited = Response(429, {"retry-after": "7"}, b"{}")
    _, pauses = _run(CANCEL, limited, FINE)
    assert 7 <= pauses[0] <= 8


@pytest.mark.parametrize("asked", ["nan", "-7", "inf", "Wed, 21 Oct 2026 07:28:00 GMT"])
def test_a_retry_after_that_is_no_time_to_wait_changes_nothing(asked: str) -> None:
    _, pauses = _run(GET, Response(429, {"retry-after": asked}, b"{}"), FINE)
    assert 0 <= pauses[0] <= 0.25


def test_a_retry_after_of_hours_is_not_waited_for() -> None:
    with pytest.raises(RateLimited):
        _run(GET, Response(429, {"retry-after": "7200"}, b"{}"))


def test_every_submission_has_a_key_of_its_own_and_keeps_it() -> None:
    keys = {submission("/v1/jobs", {}).headers["Idempotency-Key"] for _ in range(100)}
    assert len(keys) == 100
    assert submission("/v1/jobs", {}, key="nightly").headers["Idempotency-Key"] == "nightly"


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, InvalidRequest),
        (401, Unauthorized),
        (404, NotFound),
        (409, Conflict),
        (422, InvalidRequest),
        (418, InvalidRequest),
        (429, RateLimited),
        (500, ServerError),
        (503, Unavailable),
    ],
)
def test_each_status_has_its_exception(status: int, kind: type[ApiError]) -> None:
    assert type(api_error(status, b"")) is kind


def test_what_a_proxy_says_is_told_as_it_is() -> None:
    assert str(api_error(502, b"<html>Bad gateway</html>")) == "502 http_502: <html>Bad gateway</html>"
    assert "no body" in str(api_error(502, b""))


def test_not_a_number_is_written_so_that_the_service_can_say_where_it_is() -> None:
    assert json_body({"x": [1.5, float("inf")]}) == b'{"x":[1.5,Infinity]}'


def test_what_json_cannot_carry_is_named() -> None:
    with pytest.raises(Exception, match="object"):
        json_body({"x": object()})
