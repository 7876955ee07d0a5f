"""What all tests share: the tutorial's spec, a fresh database, and the real service as a process."""

import contextlib
import copy
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import hypothesis
import pytest
import structlog

from service import migrations
from service.db import Database
from tests.postgres import PostgresServer, what_is_missing

# As the service trains: with more threads torch adds in another order, and two processes of tests wait for each other.
os.environ["OMP_NUM_THREADS"] = "1"

# As the service logs exceptions. Where rich is installed, structlog would show the local variables of each frame too,
# and take seconds for those that hold tensors.
structlog.configure(
    [
        structlog.processors.add_log_level,
        structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback),
    ]
)

# The same cases each time: a push is not refused for what it did not touch. `make explore` draws new ones.
hypothesis.settings.register_profile("steady", derandomize=True)
hypothesis.settings.load_profile("steady")

ROOT = Path(__file__).parent.parent


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--machine-runs", type=int, help="runs of the state machine of jobs: make chaos asks for more"
    )


# What starts a file of minutes last leaves the other process idle: whatever runs services comes first, the many short
# tests fill up the end. Others keep their place between.
FIRST = (
    "tests/chaos",
    "tests/service",
    "tests/contract",
    "tests/sdk",
    "tests/backup",
    "tests/access",
    "tests/test_commands",
    "tests/retention",
    "tests/sdk",
)
LAST = ("tests/plots", "tests/spec", "tests/tables", "tests/training", "tests/inference", "tests/storage")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: item.nodeid.startswith(LAST) - item.nodeid.startswith(FIRST))


TUTORIAL = json.loads((ROOT / "examples" / "tutorial.json").read_text("utf-8"))


@pytest.fixture
def tutorial() -> dict[str, Any]:
    """The tutorial's spec, to be changed at will."""
    return copy.deepcopy(TUTORIAL)


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A PostgreSQL server for all tests that want one; skips them where it is not installed."""
    if missing := what_is_missing():
        pytest.skip(missing)
    server = PostgresServer()
    yield server
    server.close()


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated SQLite database to copy: hundreds of tests want one, and migrating takes longer than most of them."""
    path = tmp_path_factory.mktemp("template") / "fitd.db"
    with contextlib.closing(Database(f"sqlite:///{path}")) as database:
        migrations.migrate(database)
    return path


@contextlib.contextmanager
def _on_sqlite(request: pytest.FixtureRequest, *, migrated: bool, name: str = "fitd") -> Iterator[Database]:
    folder: Path = request.getfixturevalue("tmp_path")
    path = folder / f"{name}.db"
    if migrated:
        shutil.copy(request.getfixturevalue("sqlite_template"), path)
    with contextlib.closing(Database(f"sqlite:///{path}")) as database:
        yield database


@contextlib.contextmanager
def _on_postgresql(
    request: pytest.FixtureRequest, *, migrated: bool, name: str = "fitd"
) -> Iterator[Database]:
    server: PostgresServer = request.getfixturevalue("postgres")
    url = server.lend() if migrated else server.create(migrated=False)
    with contextlib.closing(Database(url)) as database:
        yield database
    (server.give_back if migrated else server.drop)(url)


SYSTEMS = {"sqlite": _on_sqlite, "postgresql": _on_postgresql}


@pytest.fixture(params=list(SYSTEMS))
def database(request: pytest.FixtureRequest) -> Iterator[Database]:
    """A migrated database without a row: each test runs on SQLite and on PostgreSQL."""
    with SYSTEMS[request.param](request, migrated=True) as database:
        yield database


@pytest.fixture(params=list(SYSTEMS))
def empty(request: pytest.FixtureRequest) -> Iterator[Database]:
    """A database without a schema."""
    with SYSTEMS[request.param](request, migrated=False) as database:
        yield database


class Service:
    """A running `fitd serve`, with a client that talks to it."""

    def __init__(self, data_dir: Path, **environment: str) -> None:
        self.data_dir = data_dir
        self._log = (data_dir.parent / f"{data_dir.name}.log").open("ab")
        # Most tests predict nothing: torch would be loaded for each of the many services, and used by few.
        self.environment = {
            **os.environ,
            "FITD_LOG_FORMAT": "json",
            "FITD_PRELOAD": "false",
            **environment,
        }
        self.process = self._start(port=0)
        try:
            self.url = self._wait_for_url()
            self.client = httpx2.Client(base_url=self.url, timeout=30)
            self.wait_until_ready()
        except BaseException:
            # Nobody else would end it, and it would keep the machine busy.
            self.process.kill()
            raise

    @property
    def log(self) -> str:
        return Path(self._log.name).read_text("utf-8")

    def _start(self, port: int) -> subprocess.Popen[bytes]:
        self._log.truncate(0)
        command = [
            sys.executable,
            "-m",
            "service",
            "serve",
            "--data-dir",
            str(self.data_dir),
            "--port",
            str(port),
        ]
        return subprocess.Popen(command, env=self.environment, stderr=self._log, cwd=ROOT)

    def _wait_for_url(self) -> str:
        deadline = time.monotonic() + 90
        while time.monotonic() < deadline and self.process.poll() is None:
            for line in self.log.splitlines():
                if '"listening"' in line:
                    return str(json.loads(line)["url"])
            time.sleep(0.02)
        raise AssertionError(f"the service did not start:\n{self.log}")

    def wait_until_ready(self) -> None:
        deadline = time.monotonic() + 180
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                if self.client.get("/readyz").status_code == 200:
                    return
            except httpx2.TransportError:
                pass
            time.sleep(0.05)
        raise AssertionError(f"the service did not get ready:\n{self.log}")

    def submit(self, spec: dict[str, Any], *, wait: float = 30, **headers: str) -> dict[str, Any]:
        """Submit a job, and give it as it is when it has ended or the time is over."""
        prefer = {"Prefer": f"wait={wait}"} if wait else {}
        answer = self.client.post("/v1/jobs", json=spec, headers={**prefer, **headers})
        assert answer.status_code in {200, 202}, answer.text
        job: dict[str, Any] = answer.json()
        return job

    def job(self, job_id: str, *, wait: float = 0) -> dict[str, Any]:
        job: dict[str, Any] = self.client.get(f"/v1/jobs/{job_id}", params={"wait": wait}).json()
        return job

    def wait_for(
        self, job_id: str, condition: Callable[[dict[str, Any]], bool], seconds: float = 30
    ) -> dict[str, Any]:
        """Poll a job until a condition holds."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            job = self.job(job_id)
            if condition(job):
                return job
            time.sleep(0.02)
        raise AssertionError(f"never happened: {self.job(job_id)}\n{self.log}")

    def children(self, of: int | None = None) -> dict[int, str]:
        """The live processes below the service (or one process of it), with their command lines."""
        found: dict[int, str] = {}
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    fields = (entry / "stat").read_text().rsplit(")", 1)[1].split()
                    command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
                except OSError:
                    continue
                if int(fields[1]) == (of or self.process.pid) and fields[0] != "Z":
                    found[int(entry.name)] = command
        return found

    def pid_of(self, name: str) -> int:
        """The process id of the `api` or the `worker`."""
        return next(pid for pid, command in self.children().items() if f" -m service {name} " in command)

    def runner_pids(self) -> list[int]:
        """The process ids of the runners."""
        below = self.children(self.pid_of("worker")).items()
        nurseries = [pid for pid, command in below if "multiprocessing.forkserver" in command]
        return [pid for nursery in nurseries for pid in self.children(nursery)]

    def second_worker(self, slots: int = 1) -> subprocess.Popen[bytes]:
        """Start another worker on the same folder; whoever asked for it ends it."""
        command = [sys.executable, "-m", "service", "worker", "--data-dir", str(self.data_dir)]
        command += ["--slots", str(slots)]
        return subprocess.Popen(command, cwd=ROOT, env=self.environment, stderr=self._log)

    def stop(self) -> float:
        """Stop the service as Ctrl-C does, and tell the seconds it took."""
        started = time.monotonic()
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            self.process.wait(20)
        return time.monotonic() - started

    def kill(self) -> None:
        """Kill the supervisor, and wait until all that it had started has noticed."""
        below = [*self.children(), *self.runner_pids()]
        self.process.kill()
        self.process.wait()
        deadline = time.monotonic() + 10
        while left := [pid for pid in below if Path(f"/proc/{pid}").exists()]:
            assert time.monotonic() < deadline, f"still there: {left}"
            time.sleep(0.05)

    def restart(self, *, ready: bool = True) -> None:
        """Start again on the same folder and address, after the service was stopped or killed.

        It is ready when a runner is warm; before that it answers already.
        """
        self.process = self._start(port=int(self.url.rsplit(":", 1)[1]))
        if ready:
            self.wait_until_ready()
        else:
            self._wait_for_url()

    def close(self) -> None:
        self.client.close()
        self.stop()
        self._log.close()


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """One service for all tests that do not disturb it."""
    running = Service(tmp_path_factory.mktemp("shared") / "data", FITD_SLOTS="2")
    yield running
    running.close()


@pytest.fixture
def own_service(tmp_path: Path) -> Iterator[Callable[..., Service]]:
    """Starts services that a test may kill: `own_service(FITD_SLOTS="1")`."""
    started: list[Service] = []

    def start(**environment: str) -> Service:
        started.append(Service(tmp_path / f"data{len(started)}", **environment))
        return started[-1]

    yield start
    for running in started:
        running.close()
