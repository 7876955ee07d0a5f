"""One line an event, for machines or for people, with what is bound and without noise."""

import json
import subprocess
import sys
from typing import Any

import pytest

PROGRAM = """
import logging, structlog
from service import logs
logs.configure(log_format={format!r}, level={level!r})
logger = structlog.get_logger("service.test")
logger.debug("very quiet")
logger.info("quiet", job_id="job_1")
with structlog.contextvars.bound_contextvars(attempt=2):
    logger.warning("loud", path="größe")
logging.getLogger("another").warning("from %s", "outside")
logging.getLogger("uvicorn.access").info("GET /healthz")
def open_door(key):
    1 / 0
try:
    open_door("sesa" + "me")
except ZeroDivisionError:
    logger.exception("broken")
"""


def lines_of(log_format: str, level: str = "info") -> list[str]:
    """What a process with this logging writes, in a process of its own: logging is set up once for each."""
    program = PROGRAM.format(format=log_format, level=level)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == ""
    return done.stderr.splitlines()


@pytest.fixture(scope="module")
def events() -> list[dict[str, Any]]:
    return [json.loads(line) for line in lines_of("json")]


def test_each_event_is_one_line_of_json(events: list[dict[str, Any]]) -> None:
    assert [event["event"] for event in events] == ["quiet", "loud", "from outside", "broken"]
    assert [event["level"] for event in events] == ["info", "warning", "warning", "error"]
    assert all(event["timestamp"].endswith("Z") for event in events)


def test_what_is_said_and_bound_is_in_the_line(events: list[dict[str, Any]]) -> None:
    assert events[0]["job_id"] == "job_1"
    assert (events[1]["attempt"], events[1]["path"]) == (2, "größe")
    assert "attempt" not in events[2]


def test_an_exception_is_told_as_data(events: list[dict[str, Any]]) -> None:
    assert events[3]["exception"][0]["exc_type"] == "ZeroDivisionError"


@pytest.mark.parametrize("log_format", ["json", "console"])
def test_an_exception_shows_its_frames_but_not_what_they_held(log_format: str) -> None:
    text = "\n".join(lines_of(log_format))
    assert "open_door" in text
    assert "sesame" not in text


def test_for_people_there_is_no_json() -> None:
    text = "\n".join(lines_of("console", "warning"))
    assert "loud" in text
    assert "quiet" not in text
    assert "ZeroDivisionError" in text
    assert "{" not in text.splitlines()[0]


def test_without_a_terminal_auto_writes_for_machines() -> None:
    events = [json.loads(line)["event"] for line in lines_of("auto", "debug")]
    assert events[0] == "very quiet"
