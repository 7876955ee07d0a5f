"""Predictions of one row under load, by every protocol, against a bare FastAPI endpoint. It needs wrk."""

import json
import re
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx2
import numpy as np

from benchmarks import ROOT
from benchmarks.page import table
from benchmarks.running import Service, running

__all__ = ["section"]

CONNECTIONS = (1, 32)
_UNITS = {"us": 1e-3, "ms": 1.0, "s": 1e3, "m": 6e4}
_LATENCY = re.compile(r"^ +(50|99)% +([\d.]+)(us|ms|s|m)", re.MULTILINE)
_RATE = re.compile(r"^Requests/sec:\s+([\d.]+)$", re.MULTILINE)
JSON = "application/json"


@dataclass(frozen=True, slots=True)
class Target:
    """A request that is sent again and again."""

    name: str
    url: str
    body: bytes
    headers: dict[str, str]

    def script(self) -> str:
        """Write it for wrk, whose scripts are Lua: every byte by its number."""
        body = "".join(f"\\{byte:03d}" for byte in self.body)
        lines = [f'wrk.headers["{name}"] = "{value}"' for name, value in self.headers.items()]
        return "\n".join(['wrk.method = "POST"', f'wrk.body = "{body}"', *lines])


@dataclass(frozen=True, slots=True)
class Taken:
    """What wrk tells: milliseconds, and requests a second."""

    p50: float
    p99: float
    rate: float


def section(*, rounds: int, seconds: int) -> str:
    """Measure all targets in turn; give the tables, or say that wrk is missing.

    Args:
        rounds: How often each has its turn.
        seconds: Length of each turn.
    """
    if shutil.which("wrk") is None:
        return "Skipped: wrk is not installed (apt install wrk).\n"
    with running() as service, _bare() as bare:
        targets = _targets(service, bare)
        for target in targets:
            _load(target, connections=1, seconds=1)  # Whatever is loaded late is loaded now.
        found: dict[tuple[int, str], list[Taken]] = {}
        for _ in range(rounds):
            for connections in CONNECTIONS:
                for target in targets:
                    taken = _load(target, connections=connections, seconds=seconds)
                    found.setdefault((connections, target.name), []).append(taken)
    return "\n".join(_table(found, [t.name for t in targets], connections) for connections in CONNECTIONS)


def _table(found: dict[tuple[int, str], list[Taken]], names: list[str], connections: int) -> str:
    def median(name: str, figure: str) -> float:
        return statistics.median(getattr(taken, figure) for taken in found[connections, name])

    head = (
        f"one row, {connections} connection{'s' if connections > 1 else ''}",
        "requests/s",
        "p50 ms",
        "p99 ms",
        "p99 / p50",
        "p50 / bare",
        "p50 / fast",
    )
    lines = []
    for name in names:
        p50, p99 = median(name, "p50"), median(name, "p99")
        against = [f"{p50 / median(other, 'p50'):.2f}" for other in names[:2]]
        lines.append(
            [name, f"{median(name, 'rate'):,.0f}", f"{p50:.3f}", f"{p99:.3f}", f"{p99 / p50:.1f}", *against]
        )
    return table(head, lines)


def _targets(service: Service, bare: str) -> list[Target]:
    native = json.dumps({"columns": {"x": [0.5]}}).encode()
    of_json, job = {"Content-Type": JSON}, service.post()["id"]
    tensor = {"name": "x", "datatype": "FP64", "shape": [1]}
    head = json.dumps(
        {
            "inputs": [{**tensor, "parameters": {"binary_data_size": 8}}],
            "parameters": {"binary_data_output": True},
        }
    ).encode()
    binary = {"Inference-Header-Content-Length": str(len(head)), "Content-Type": "application/octet-stream"}
    infer = json.dumps({"inputs": [{**tensor, "data": [0.5]}]}).encode()
    url = service.url
    return [
        Target("a bare FastAPI endpoint", f"{bare}/predict", native, of_json),
        Target("the same, written for speed", f"{bare}/fast", native, of_json),
        Target("POST /v1/jobs/{id}/predict", f"{url}/v1/jobs/{job}/predict", native, of_json),
        Target("Open Inference Protocol, JSON", f"{url}/v2/models/{job}/infer", infer, of_json),
        Target(
            "Open Inference Protocol, binary",
            f"{url}/v2/models/{job}/infer",
            head + np.array([0.5]).tobytes(),
            binary,
        ),
        Target("MLflow scoring", f"{url}/invocations?model={job}", b'{"inputs":{"x":[0.5]}}', of_json),
    ]


def _load(target: Target, *, connections: int, seconds: int) -> Taken:
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as file:
        file.write(target.script())
        file.flush()
        command = [
            "wrk",
            "-t1",
            f"-c{connections}",
            f"-d{seconds}s",
            "--latency",
            "-s",
            file.name,
            target.url,
        ]
        told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    rate = _RATE.search(told)
    latency = {share: float(value) * _UNITS[unit] for share, value, unit in _LATENCY.findall(told)}
    if "Non-2xx" in told or rate is None or len(latency) < len(("p50", "p99")):
        raise RuntimeError(f"{target.name}: {told}")
    return Taken(latency["50"], latency["99"], float(rate[1]))


@contextmanager
def _bare() -> Iterator[str]:
    """Run the bare endpoint."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = subprocess.Popen([sys.executable, "-m", "benchmarks.bare_server", str(port)], cwd=Path(ROOT))
    url = f"http://127.0.0.1:{port}"
    try:
        while not _answers(url):
            if process.poll() is not None:
                raise RuntimeError("the bare endpoint did not start")
            time.sleep(0.1)
        yield url
    finally:
        process.terminate()
        process.wait(10)


def _answers(url: str) -> bool:
    try:
        return httpx2.get(f"{url}/openapi.json").is_success
    except httpx2.TransportError:
        return False
