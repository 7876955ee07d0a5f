"""The command `fitd`, run as its users run it."""

import contextlib
import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from service import migrations
from service.db import Database
from tests.conftest import ROOT


def fitd(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return run("-m", "service", *arguments, **environment)


def run(*arguments: str, seconds: float = 60, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=seconds,
    )


def refused(done: subprocess.CompletedProcess[str], code: int, *words: str) -> None:
    assert done.returncode == code
    assert "Traceback" not in done.stderr
    for word in words:
        assert word in done.stderr


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.2", "::", "fitd.example.org", ""])  # noqa: S104 - refused
def test_an_open_address_needs_a_key(tmp_path: Path, host: str) -> None:
    done = fitd("serve", "--host", host, "--data-dir", str(tmp_path))
    refused(done, 1, f"listening on {host}", "FITD_API_KEY", "fitd keys create", "127.0.0.1")
    assert not (tmp_path / "fitd.db").exists()


@pytest.mark.parametrize(
    ("variable", "value"), [("FITD_PORT", "70000"), ("FITD_SLOTS", "0"), ("FITD_LIMITS__MAX_ROWS", "many")]
)
def test_a_wrong_setting_is_named(variable: str, value: str) -> None:
    refused(fitd("doctor", **{variable: value}), 2, f"{variable}: ")


def test_an_address_in_use(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        refused(fitd("serve", "--port", port, "--data-dir", str(tmp_path)), 1, f"127.0.0.1:{port}", "in use")


def test_a_data_folder_that_is_none(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    refused(fitd("migrate", "--data-dir", str(file / "below")), 1, "data folder", "--data-dir")
    done = fitd("doctor", "--data-dir", str(file / "below"))
    assert done.returncode == 1
    assert "BAD  data folder" in done.stdout


@pytest.mark.parametrize("command", ["serve", "migrate", "worker"])
def test_a_storage_folder_that_is_not_mounted_is_not_made(tmp_path: Path, command: str) -> None:
    away, data = tmp_path / "away", str(tmp_path / "data")
    done = fitd(command, "--data-dir", data, FITD_STORAGE_DIR=str(away), FITD_PORT="0")
    refused(done, 1, str(away), "mounted", "FITD_STORAGE_DIR")
    assert not away.exists()


def test_the_doctor_tells_a_storage_folder_that_is_not_mounted(tmp_path: Path) -> None:
    away, data = tmp_path / "away", str(tmp_path / "data")
    told = fitd("doctor", "--data-dir", data, FITD_STORAGE_DIR=str(away))
    assert (told.returncode, "BAD  storage folder" in told.stdout) == (1, True)
    assert not away.exists()


@pytest.mark.parametrize("command", ["api", "worker"])
def test_parts_on_their_own_want_a_migrated_database(tmp_path: Path, command: str) -> None:
    refused(fitd(command, "--data-dir", str(tmp_path / "empty")), 1, "fitd migrate")


@pytest.mark.parametrize("command", ["api", "worker", "migrate"])
def test_a_newer_database_is_left_alone(tmp_path: Path, command: str) -> None:
    with contextlib.closing(Database(f"sqlite:///{tmp_path}/fitd.db")) as database:
        migrations.migrate(database)
    with sqlite3.connect(tmp_path / "fitd.db") as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.close()
    refused(fitd(command, "--data-dir", str(tmp_path)), 1, "9999", "newer version")


def test_doctor_tells_what_is_there(tmp_path: Path) -> None:
    before = fitd("doctor", "--data-dir", str(tmp_path))
    assert before.returncode == 0
    assert "not there yet" in before.stdout
    fitd("migrate", "--data-dir", str(tmp_path))
    after = fitd("doctor", "--data-dir", str(tmp_path)).stdout
    for word in ("torch", "devices", "cpu", "sqlite", "journal wal", "schema current", "fastapi"):
        assert word in after


def test_openapi_is_printed() -> None:
    done = fitd("openapi")
    assert done.stdout == (ROOT / "openapi.json").read_text("utf-8")


IMPATIENT = """
from service import __main__, supervisor
supervisor.BACKOFF_SECONDS, supervisor.MAX_SHORT_LIVES = 0.1, 2
__main__.run()
"""


@pytest.mark.timeout(180)
def test_serve_gives_up_when_the_api_will_not_come_up(tmp_path: Path) -> None:
    # A file where the API wants its folder: it never comes up.
    (tmp_path / "doorbells").touch()
    # The real command, but for the pauses between its tries, which come to half a minute, and for their number.
    arguments = ["serve", "--port", "0", "--data-dir", str(tmp_path)]
    done = run("-c", IMPATIENT, *arguments, seconds=150, FITD_LOG_FORMAT="json", FITD_PRELOAD="false")
    assert done.returncode == 1
    assert "gave up" in done.stderr
    lines = [json.loads(line) for line in done.stderr.splitlines() if "process died" in line]
    lives = [line["soon_in_a_row"] for line in lines if line["process"] == "api"]
    assert lives == [1, 2]


def test_the_tutorial_walks_from_start_to_stop(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    command = [sys.executable, str(ROOT / "examples" / "tutorial.py"), "--port", port, "--data-dir", "data"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    walk = subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, text=True)
    assert walk.stdout is not None
    lines: list[str] = []
    while not any("Ctrl-C" in line for line in lines):
        line = walk.stdout.readline()
        assert line, lines
        lines.append(line.strip())
    walk.send_signal(signal.SIGINT)
    assert walk.wait(20) == 0
    walk.stdout.close()
    epochs = [line.split()[0] for line in lines if line[:1].isdigit() and len(line.split()) == 2]
    assert epochs == [str(epoch) for epoch in range(100, 3001, 100)]
    assert any(line.startswith("w = 4.97") and "5 - w" in line for line in lines)
    assert any(line.startswith("b = 7.00") and "7 - b" in line for line in lines)
    saved = sorted(path.name for path in (tmp_path / "tutorial-output").iterdir())
    assert saved == ["fit.png", "fit.svg", "loss.png", "loss.svg"]
    with socket.socket() as again:
        again.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        again.bind(("127.0.0.1", int(port)))  # Nobody holds the address any more.
