"""`fitctl` in a real terminal: what it draws there, and what Ctrl-C does."""

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import ROOT, TUTORIAL, Service

ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
COLOR = re.compile(r"\x1b\[[0-9;]*3[1-7]m")
BRAILLE = re.compile("[\u2801-\u28ff]")


class Terminal:
    """A command in a pseudo-terminal of its own."""

    def __init__(self, *args: str, url: str, columns: int, rows: int = 24, **environment: str) -> None:
        ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        kept = {
            name: value for name, value in os.environ.items() if name not in {"NO_COLOR", "COLUMNS", "LINES"}
        }
        told = {"FITD_URL": url, "TERM": "xterm", "PYTHONPATH": str(ROOT / "sdk" / "python" / "src")}
        # A session with this terminal as its own: Ctrl-C that is typed reaches the command as a signal.
        self.process = subprocess.Popen(
            [sys.executable, "-c", CONTROLLED, *args],
            env={**kept, **told, "PYTHONUTF8": "1", **environment},
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
        )
        os.close(theirs)
        self._ours = ours
        self.written = ""

    @property
    def text(self) -> str:
        return ESCAPES.sub("", self.written)

    def read_until(self, condition: Callable[[], bool], seconds: float = 60) -> None:
        until = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < until, self.written
            if not self._read():
                assert condition(), self.written
                return

    def press(self, keys: bytes) -> None:
        os.write(self._ours, keys)

    def ended(self) -> int:
        """Read all, and give the exit code."""
        while self._read():
            pass
        os.close(self._ours)
        return self.process.wait(30)

    def _read(self) -> bool:
        if not select.select([self._ours], [], [], 1)[0]:
            return True
        try:
            content = os.read(self._ours, 2**16)
        except OSError:  # Whoever wrote is gone.
            return False
        self.written += content.decode("utf-8", "replace")
        return bool(content)


CONTROLLED = """
import fcntl, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
from fitd_client.cli import run
run()
"""


@pytest.fixture(scope="module")
def long_job(service: Service) -> str:
    spec = {**TUTORIAL, "name": "[b]long\x1b[31m[/b]", "training": {"epochs": 1_000_000, "engine": "eager"}}
    return str(service.submit(spec, wait=0)["id"])


def test_a_job_is_watched_as_a_curve_until_ctrl_c_and_goes_on(service: Service, long_job: str) -> None:
    terminal = Terminal("watch", long_job, url=service.url, columns=80)
    terminal.read_until(lambda: "ETA" in terminal.text and BRAILLE.search(terminal.text) is not None)
    terminal.press(b"\x03")
    assert terminal.ended() == 130
    assert r"running  [b]long\x1b[31m[/b]" in terminal.text
    assert COLOR.search(terminal.written)
    assert f"{long_job} goes on." in terminal.text
    assert service.job(long_job)["status"] == "running"
    service.client.post(f"/v1/jobs/{long_job}/cancel")


def test_a_fit_is_watched_in_a_narrow_terminal_without_color(service: Service, tmp_path: Path) -> None:
    rows = tmp_path / "rows.csv"
    rows.write_text("x,y\n" + "".join(f"{n / 20},{n % 7}\n" for n in range(40)))
    asked = ["-t", "y", "--dev", "0.2", "--epochs", "300", "--set", "training.engine=eager", "--watch"]
    terminal = Terminal("fit", str(rows), *asked, url=service.url, columns=40, rows=16, NO_COLOR="1")
    assert terminal.ended() == 0
    lines = re.split(r"[\r\n]+", terminal.text)
    assert max(map(len, lines)) <= 40
    assert any(line.startswith("━━━━━━━━━━ 100%  300/300") for line in lines)
    assert any(re.fullmatch(r"⣀ train \S+  ⠂ dev \S+\s*", line) for line in lines)
    assert any(re.fullmatch(r"id job_[a-z0-9]{24}", line) for line in lines)
    assert any(line.startswith("status succeeded") for line in lines)
    assert not COLOR.search(terminal.written)


def test_a_table_fits_into_a_narrow_terminal(service: Service, long_job: str) -> None:
    terminal = Terminal("ls", url=service.url, columns=40)
    assert terminal.ended() == 0
    assert max(map(len, re.split(r"[\r\n]+", terminal.text))) <= 40
    assert long_job in terminal.text


def test_a_pipe_that_is_closed_ends_it_quietly(service: Service, long_job: str) -> None:
    environment = {**os.environ, "FITD_URL": service.url, "PYTHONPATH": str(ROOT / "sdk" / "python" / "src")}
    command = [sys.executable, "-m", "fitd_client.cli", "show", long_job]
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(60) == 141
