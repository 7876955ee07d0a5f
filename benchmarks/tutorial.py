"""The service against the tutorial's own loop, in one run: times, overhead, requests a second.

Every round measures each thing once, in turn, so that a busy moment of the machine hits all of them;
medians and ratios are printed. Nothing is asserted: a benchmark reports what it measured.
"""

import argparse
import asyncio
import json
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any, Self

import httpx2
import torch

from service import __version__
from service.spec.intake import parse
from service.spec.limits import Limits
from service.training.frames import load
from service.training.trainer import Trainer
from service.training.warmup import warm_up

ROOT = Path(__file__).parent.parent
SPEC = (ROOT / "examples" / "tutorial.json").read_bytes()
JSON = {"Content-Type": "application/json"}


def main() -> None:
    """Measure and print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--seconds", type=float, default=5.0, help="length of each load on the API")
    options = parser.parse_args()
    warm_up(threads=1)
    with tempfile.TemporaryDirectory() as folder, _Service(Path(folder)) as service:
        print(_machine())
        _print_times(_times(service, options.rounds), options.rounds)
        _print_load(service, options.seconds)


def _machine() -> str:
    today = datetime.now().astimezone().date().isoformat()
    return (
        f"{today}, fitd {__version__}, Python {platform.python_version()}, torch {torch.__version__}, "
        f"{torch.backends.cpu.get_cpu_capability()}, {platform.system()} {platform.machine()}, "
        f"{len(_cores())} cores\n"
    )


def _cores() -> set[int]:
    import os

    return os.sched_getaffinity(0)


class _Service:
    """`fitd serve` on a free port, warm."""

    def __init__(self, folder: Path) -> None:
        command = [sys.executable, "-m", "service", "serve", "--data-dir", str(folder), "--port", "0"]
        self._log = (folder / "log").open("w+")
        self._process = subprocess.Popen(command, cwd=ROOT, stderr=self._log)

    def __enter__(self) -> Self:
        while '"url"' not in (text := Path(self._log.name).read_text("utf-8")):
            time.sleep(0.05)
        self.url = json.loads(text.splitlines()[0])["url"]
        self.client = httpx2.Client(base_url=self.url, timeout=60)
        while not self._is_ready():
            time.sleep(0.1)
        time.sleep(5)  # The second slot and the API load torch after the first slot is warm.
        return self

    def _is_ready(self) -> bool:
        try:
            return self.client.get("/readyz").status_code == httpx2.codes.OK
        except httpx2.TransportError:
            return False

    def __exit__(self, *_: object) -> None:
        self.client.close()
        self._process.terminate()
        self._process.wait(10)
        self._log.close()

    def fit(self, spec: bytes = SPEC) -> dict[str, Any]:
        """POST a job and wait for its end."""
        job: dict[str, Any] = self.client.post(
            "/v1/jobs", content=spec, headers={**JSON, "Prefer": "wait=60"}
        ).json()
        return job


def tutorial_loop() -> float:
    """The tutorial's loop as its reader writes it."""
    spec = json.loads(SPEC)
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(256, 1, generator=generator)
    y = 5 * x + 7 + 0.25 * torch.randn(256, 1, generator=generator)
    torch.manual_seed(0)
    model = torch.nn.Linear(1, 1)
    loss_function = torch.nn.MSELoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=spec["optimizer"]["lr"])
    losses = []
    for _ in range(spec["training"]["epochs"]):
        loss = loss_function(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses[-1]


def engine() -> float | None:
    """The bare engine: what a runner does for the same job, without service and database."""
    plan = parse(SPEC, Limits())
    return Trainer(plan, load(plan.spec.data)).fit().train_loss


def _times(service: _Service, rounds: int) -> dict[str, list[float]]:
    one_epoch = json.dumps({**json.loads(SPEC), "training": {"epochs": 1, "seed": 0}}).encode()
    found: dict[str, list[float]] = {
        name: [] for name in ("loop", "engine", "service", "short", "pick_up", "trained")
    }
    for _ in range(rounds):
        found["loop"].append(_timed(tutorial_loop))
        found["engine"].append(_timed(engine))
        found["service"].append(_timed(lambda: found["trained"].append(_seconds_trained(service.fit()))))
        found["short"].append(
            _timed(lambda: found["pick_up"].append(_seconds_to_start(service.fit(one_epoch))))
        )
    return found


def _timed(call: Callable[[], object]) -> float:
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


def _between(job: dict[str, Any], first: str, last: str) -> float:
    return (datetime.fromisoformat(job[last]) - datetime.fromisoformat(job[first])).total_seconds()


def _seconds_trained(job: dict[str, Any]) -> float:
    return _between(job, "started_at", "finished_at")


def _seconds_to_start(job: dict[str, Any]) -> float:
    return _between(job, "created_at", "started_at")


def _print_times(found: dict[str, list[float]], rounds: int) -> None:
    ms = {name: 1e3 * statistics.median(values) for name, values in found.items()}
    overhead = 1e3 * statistics.median(s - e for s, e in zip(found["service"], found["engine"], strict=True))
    print(
        f"| tutorial's job, median of {rounds} interleaved rounds | ms | against the loop |\n| --- | --- | --- |"
    )
    for name, what in (
        ("loop", "the tutorial's loop, plain torch, one thread"),
        ("engine", "the bare engine (eager)"),
        ("service", "POST → succeeded, Prefer: wait"),
    ):
        print(f"| {what} | {ms[name]:.1f} | {ms['loop'] / ms[name]:.2f} x |")
    print(f"| service less engine, paired | {overhead:.1f} | |")
    print(f"| POST → succeeded of one epoch: the service's own time | {ms['short']:.1f} | |")
    print(f"| submission → claimed by an idle worker | {ms['pick_up']:.1f} | |\n")


def _print_load(service: _Service, seconds: float) -> None:
    job = service.fit()["id"]
    body = json.dumps({"columns": {"x": [0.5]}}).encode()
    asked = {
        "GET /v1/jobs/{id}": _request(service.url, "GET", f"/v1/jobs/{job}"),
        "POST …/predict, one row": _request(service.url, "POST", f"/v1/jobs/{job}/predict", body),
    }
    long = json.dumps({**json.loads(SPEC), "training": {"epochs": 1_000_000, "seed": 0}}).encode()
    print(
        "| requests, 8 connections | while | requests/s | p50 ms | p99 ms |\n| --- | --- | --- | --- | --- |"
    )
    for while_ in ("idle", "a job trains"):
        running = (
            None
            if while_ == "idle"
            else service.client.post("/v1/jobs", content=long, headers=JSON).json()["id"]
        )
        for name, request in asked.items():
            times = asyncio.run(_load(service.url, request, connections=8, seconds=seconds))
            p50, p99 = (1e3 * times[int(share * len(times))] for share in (0.5, 0.99))
            print(f"| {name} | {while_} | {len(times) / seconds:.0f} | {p50:.1f} | {p99:.1f} |")
        if running:
            service.client.post(f"/v1/jobs/{running}/cancel")


def _request(url: str, method: str, path: str, body: bytes = b"") -> bytes:
    head = (
        f"{method} {path} HTTP/1.1\r\nHost: {url.removeprefix('http://')}\r\nContent-Length: {len(body)}\r\n"
    )
    return f"{head}Content-Type: application/json\r\n\r\n".encode() + body


async def _load(url: str, request: bytes, *, connections: int, seconds: float) -> list[float]:
    """Send one request again and again on several connections; give all times in seconds, sorted."""
    host, port = url.removeprefix("http://").split(":")
    until = time.perf_counter() + seconds
    parts = await asyncio.gather(*(_client(host, int(port), request, until) for _ in range(connections)))
    return sorted(one for part in parts for one in part)


async def _client(host: str, port: int, request: bytes, until: float) -> list[float]:
    reader, writer = await asyncio.open_connection(host, port)
    times = []
    while time.perf_counter() < until:
        started = time.perf_counter()
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 200"):
            raise RuntimeError(head.decode())
        length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        await reader.readexactly(length)
        times.append(time.perf_counter() - started)
    writer.close()
    return times


if __name__ == "__main__":
    main()
