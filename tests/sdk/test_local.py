"""A service of one's own, in the background."""

import gc
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fitd_client import Client, LocalServiceError, local

from tests.conftest import ROOT


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """Started where the environment speaks of another service, which it must not take for its own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FITD_API_KEY", "of-another-service")
        patch.setenv("FITD_DATABASE_URL", "postgresql://nobody@127.0.0.1:1/none")
        yield from _started(tmp_path_factory)


def _started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    with Client(":local:", data_dir=tmp_path_factory.mktemp("local") / "data") as client:
        yield client
    assert client._local is not None
    assert not _is_alive(client._local.service.pid)


def _folder(client: Client) -> Path:
    assert client._local is not None
    return client._local.service.data_dir


def test_it_fits(own: Client, tutorial: dict[str, Any]) -> None:
    assert own.submit(tutorial, wait=True).status == "succeeded"
    assert (_folder(own) / "fitd.db").exists()


def test_clients_of_one_folder_share_it(own: Client) -> None:
    assert own._local is not None
    with Client(":local:", data_dir=_folder(own)) as other:
        assert other.url == own.url
        assert own._local.users == 2
    assert own._local.users == 1
    assert list(own.jobs(limit=1))


def test_a_handle_keeps_it(own: Client, tutorial: dict[str, Any]) -> None:
    assert own._local is not None
    job = Client(":local:", data_dir=_folder(own)).submit(tutorial)
    gc.collect()
    assert own._local.users == 2
    assert job.wait().status == "succeeded"
    del job
    gc.collect()
    assert own._local.users == 1


def test_the_collector_gives_one_back_while_another_starts(
    own: Client, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert own._local is not None
    forgotten = local.Borrowed(_folder(own))
    users = own._local.users

    def collected() -> None:
        forgotten.give_back()
        raise LocalServiceError("not today")

    monkeypatch.setattr(local, "_check_installed", collected)
    starting = threading.Thread(target=_try_to_start, args=(tmp_path,), daemon=True)
    starting.start()
    starting.join(60)
    assert not starting.is_alive()
    assert own._local.users == users - 1


def _try_to_start(folder: Path) -> None:
    with pytest.raises(LocalServiceError, match="not today"):
        local.Borrowed(folder)


PARENT = """
    import os
    from fitd_client import Client

    client = Client(":local:")
    print(client._local.service.pid, flush=True)
    os.read(0, 1)
"""


def test_it_ends_with_the_process_that_started_it_however_that_ends() -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "sdk" / "python" / "src")}
    command = [sys.executable, "-c", textwrap.dedent(PARENT)]
    with subprocess.Popen(
        command, env=environment, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        assert _is_alive(pid)
        parent.kill()
    until = time.monotonic() + 60
    while _is_alive(pid):
        assert time.monotonic() < until
        time.sleep(0.05)


def _is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except OSError:
        return False
    return state != "Z"


def test_it_tells_that_fitd_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "_MODULE", "no_such_service")
    with pytest.raises(LocalServiceError, match="pip install fitd"):
        Client(":local:")


def test_it_tells_why_it_does_not_start(tmp_path: Path) -> None:
    (tmp_path / "a-file").write_text("no folder")
    with pytest.raises(LocalServiceError, match=r"does not start here:\n.*a-file"):
        Client(":local:", data_dir=tmp_path / "a-file")
    assert str((tmp_path / "a-file").resolve()) not in local._running


def test_one_that_died_is_replaced(own: Client) -> None:
    assert own._local is not None
    jobs = [job.id for job in own.jobs()]
    dead = own._local.service
    os.kill(dead.pid, signal.SIGKILL)
    while not dead.is_over:
        time.sleep(0.01)
    with Client(":local:", data_dir=_folder(own)) as again:
        assert [job.id for job in again.jobs()] == jobs != []
