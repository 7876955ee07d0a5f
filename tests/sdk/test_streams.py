"""When a stream of events is taken up again, without sending anything."""

from typing import Any

import pytest
from fitd_client import Retries, TransportError
from fitd_client.answers import Job as JobAnswer
from fitd_client.jobs import Job
from fitd_client.wire import Hear, Listen, Pause, Response

OPEN = Response(200, {}, b"")
OVER = Response(204, {}, b"")
LOST = TransportError("lost")


class Line:
    """The line that a handle follows; its ends come as they are told."""

    retries = Retries(count=2)

    def iterate(self, steps: Any) -> tuple[Any, list[Any]]:  # noqa: ANN401 - a generator
        return steps, []


def _followed(*opened: Response | TransportError) -> list[float]:
    """Open the stream with these answers, each of which ends without an event; give the pauses between."""
    handle = Job(Line(), JobAnswer.model_construct(id="job_a"))
    steps: Any = handle.stream()[0]  # type: ignore[index]
    left, pauses = list(opened), []
    effect = next(steps)
    while True:
        try:
            if isinstance(effect, Listen):
                reply = left.pop(0)
                effect = steps.throw(reply) if isinstance(reply, TransportError) else steps.send(reply)
            elif isinstance(effect, Hear):
                effect = steps.send(None)
            else:
                assert isinstance(effect, Pause)
                pauses.append(effect.seconds)
                effect = steps.send(None)
        except StopIteration:
            return pauses


def test_a_stream_that_ends_orderly_is_taken_up_as_often_as_it_takes() -> None:
    assert len(_followed(*[OPEN] * 20, LOST, LOST, OPEN, LOST, OVER)) == 24


def test_a_stream_that_breaks_again_and_again_is_given_up() -> None:
    with pytest.raises(TransportError, match="again and again"):
        _followed(OPEN, LOST, LOST, LOST)
