"""H2O-3 and fitd as servers: from the POST of a fit to its end, over the REST interface of each."""

import importlib.util
import io
import json
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import numpy as np

from benchmarks.jobs import Job, jobs
from benchmarks.page import duration, table
from benchmarks.running import Service, running
from benchmarks.timing import interleaved, medians, timed

__all__ = ["section"]

START_SECONDS = 90.0
_FORMAT = ("parse_type", "separator", "single_quotes", "check_header")
_AS_FOUND = (*_FORMAT, "number_columns", "chunk_size", "destination_frame")
"""What H2O finds out about a file, and wants to be told again to read it."""
WARM = 5
"""Fits before the first that is timed: a Java machine compiles what is used often."""


def section(*, rounds: int, quick: bool = False, python: str | None = None) -> str:
    """Measure both in turn; give the table, or the reason why there is none.

    Args:
        rounds: How often each fit is asked for.
        quick: With few rows and epochs.
        python: The Python that has the package h2o, where it is not this one.
    """
    jar, java = _jar(python), shutil.which("java")
    if jar is None or java is None:
        missing = "There is no Java." if java is None else "The package h2o is not installed."
        return f"Skipped: {missing}\n"
    chosen = [job for job in jobs(quick=quick) if job.name in {"J1", "J2"}]
    with _h2o(java, jar) as h2o, running() as fitd:
        calls = {}
        for job in chosen:
            calls |= {f"h2o {job.name}": _glm(h2o, job), f"fitd {job.name}": _fit(fitd, job)}
        interleaved(calls, WARM)
        found = medians(interleaved(calls, rounds))
    lines = [
        [job.size, duration(found[f"h2o {job.name}"]), job.what, duration(found[f"fitd {job.name}"])]
        for job in chosen
    ]
    return table(("rows", "H2O: GLM, POST → DONE", "fitd", "POST → succeeded"), lines)


def _jar(python: str | None) -> Path | None:
    """Find the server that the package brings."""
    if python is not None:
        command = [python, "-c", "import h2o; print(h2o.__file__)"]
        origin = subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
    elif (found := importlib.util.find_spec("h2o")) is not None:
        origin = str(found.origin)
    else:
        return None
    return Path(origin).parent / "backend" / "bin" / "h2o.jar"


@contextmanager
def _h2o(java: str, jar: Path) -> Iterator[httpx2.Client]:
    """Start a server on a free port of this machine alone, and end it."""
    port = _free_port()
    with tempfile.TemporaryDirectory() as folder, (Path(folder) / "log").open("w") as log:
        here = ["-ip", "127.0.0.1", "-web_ip", "127.0.0.1", "-port", str(port)]
        command = [java, "-Xmx2g", "-Dsys.ai.h2o.telemetry.disabled=true", "-jar", str(jar), *here]
        command += ["-name", f"fitd-{os.getpid()}", "-ice_root", folder]
        process = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            with httpx2.Client(base_url=f"http://127.0.0.1:{port}", timeout=START_SECONDS) as client:
                _wait(client)
                yield client
        finally:
            process.terminate()
            process.wait(30)


def _free_port() -> int:
    """Give a port that is free and followed by one that is: H2O talks to its own kind on the next."""
    while True:
        with socket.socket() as first, socket.socket() as second:
            first.bind(("127.0.0.1", 0))
            port: int = first.getsockname()[1]
            try:
                second.bind(("127.0.0.1", port + 1))
            except OSError:
                continue
            return port


def _wait(client: httpx2.Client) -> None:
    until = time.monotonic() + START_SECONDS
    while True:
        try:
            if client.get("/3/Cloud").json()["cloud_healthy"]:
                return
        except httpx2.TransportError:
            if time.monotonic() > until:
                raise
        time.sleep(0.2)


def _glm(client: httpx2.Client, job: Job) -> Any:  # noqa: ANN401 - a call as `interleaved` takes it
    """Upload the rows of a job; give what fits a line to them."""
    frame = _uploaded(client, job)
    asked = {"training_frame": frame, "response_column": "y", "family": "gaussian", "lambda": "[0]"}

    def fit() -> None:
        key = _sent(client, "/3/ModelBuilders/glm", asked)["job"]["key"]["name"]
        while (status := client.get(f"/3/Jobs/{key}").json()["jobs"][0]["status"]) != "DONE":
            if status in {"FAILED", "CANCELLED"}:
                raise RuntimeError(f"H2O: {status}")

    return lambda: {f"h2o {job.name}": timed(fit)[0]}


def _uploaded(client: httpx2.Client, job: Job) -> str:
    """Send the rows as CSV and let them be parsed, which is not timed."""
    name = f"{job.name}.csv"
    text, rows = io.StringIO(), np.stack(list(job.frame.arrays.values()), axis=1)
    np.savetxt(text, rows, delimiter=",", header=",".join(job.frame.arrays), comments="")
    files = {"file": (name, text.getvalue().encode())}
    sent = client.post("/3/PostFile", params={"destination_frame": name}, files=files).json()
    setup = _sent(client, "/3/ParseSetup", {"source_frames": json.dumps([sent["destination_frame"]])})
    asked = {field: str(setup[field]) for field in _AS_FOUND}
    asked |= {field: json.dumps(setup[field]) for field in ("column_names", "column_types")}
    sources = json.dumps([one["name"] for one in setup["source_frames"]])
    _sent(client, "/3/Parse", {**asked, "source_frames": sources, "blocking": "true"})
    return str(setup["destination_frame"])


def _sent(client: httpx2.Client, path: str, form: Mapping[str, str]) -> dict[str, Any]:
    answer = client.post(path, data=form)
    if not answer.is_success:
        raise RuntimeError(f"H2O: {answer.text[:500]}")
    content: dict[str, Any] = answer.json()
    return content


def _fit(service: Service, job: Job) -> Any:  # noqa: ANN401 - a call as `interleaved` takes it
    """Upload the rows of a job where the spec does not draw them; give what trains it."""
    spec = dict(job.spec)
    if job.rows is not None:
        spec["data"] = {**spec["data"], "id": service.upload(job.frame.arrays)}
    body = json.dumps(spec).encode()
    return lambda: {f"fitd {job.name}": timed(lambda: service.post(body))[0]}
