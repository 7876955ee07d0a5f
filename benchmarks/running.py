"""A service of one's own, to be measured."""

import io
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import numpy as np

from benchmarks import ROOT
from benchmarks.jobs import TUTORIAL
from service.tables.frame import Array

__all__ = ["JSON", "SPEC", "Service", "running"]

SPEC = json.dumps(TUTORIAL).encode()
JSON = {"Content-Type": "application/json"}


class Service:
    """A running service.

    Attributes:
        url: Where it listens.
        pid: The process that all of it is below.
        client: Talks to it.
    """

    def __init__(self, url: str, pid: int) -> None:
        self.url, self.pid = url, pid
        self.client = httpx2.Client(base_url=url, timeout=120)

    def wait_until_warm(self) -> None:
        """Wait until it is ready, and until what is loaded after that is loaded too."""
        while not self._is_ready():
            time.sleep(0.1)
        time.sleep(5)  # The second slot and the API load torch after the first slot is warm.

    def _is_ready(self) -> bool:
        try:
            return self.client.get("/readyz").status_code == httpx2.codes.OK
        except httpx2.TransportError:
            return False

    def post(self, spec: bytes = SPEC, *, wait: bool = True) -> dict[str, Any]:
        """Submit a job, and wait a minute for its end unless told not to.

        Raises:
            RuntimeError: It is refused, or fails.
        """
        headers = {**JSON, "Prefer": "wait=60"} if wait else JSON
        answer = self.client.post("/v1/jobs", content=spec, headers=headers)
        job: dict[str, Any] = answer.json()
        if not answer.is_success or (job["terminal"] and job["status"] != "succeeded"):
            raise RuntimeError(answer.text)
        return job

    def upload(self, columns: Mapping[str, Array]) -> str:
        """Store columns as a dataset, and give its id."""
        file = io.BytesIO()
        np.savez(file, **columns)
        headers = {"Content-Type": "application/x-npz"}
        answer = self.client.post("/v1/datasets", content=file.getvalue(), headers=headers)
        return str(answer.json()["id"])

    def has_jobs(self) -> bool:
        """Tell whether jobs wait or are trained."""
        asked = {"status": ["queued", "running"], "limit": 1}
        return bool(self.client.get("/v1/jobs", params=asked).json()["data"])

    def count(self, name: str, status: str) -> int:
        """Count the jobs of one name in one state."""
        asked, counted, more = {"name": name, "status": status, "limit": 100}, 0, True
        while more:
            page = self.client.get("/v1/jobs", params=asked).json()
            counted, more = counted + len(page["data"]), page["has_more"]
            asked["after"] = page["next_after"]
        return counted


@contextmanager
def running(*, place: Path | None = None, settings: Mapping[str, str] | None = None) -> Iterator[Service]:
    """Start `fitd serve` on a free port with a database of its own, warm, and end it.

    Args:
        place: Where its data lies; in the system's folder for such things when left out.
        settings: Of the service, as environment variables.
    """
    with tempfile.TemporaryDirectory(dir=place) as folder, (Path(folder) / "log").open("w+") as log:
        fitd = [sys.executable, "-m", "service", "serve", "--supervised"]
        command = [*fitd, "--data-dir", folder, "--port", "0"]
        environment = {**os.environ, **(settings or {})}
        process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stderr=log, env=environment)
        try:
            while '"url"' not in (text := Path(log.name).read_text("utf-8")):
                if process.poll() is not None:
                    raise RuntimeError(text)
                time.sleep(0.05)
            service = Service(json.loads(text.splitlines()[0])["url"], process.pid)
            service.wait_until_warm()
            yield service
        finally:
            process.terminate()
            process.wait(30)
