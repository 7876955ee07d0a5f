"""The service as its callers see it: one job, a thousand jobs, and requests under load."""

import asyncio
import contextlib
import json
import statistics
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import datetime

import numpy as np
import torch

from benchmarks.jobs import TUTORIAL, jobs
from benchmarks.loops import loop
from benchmarks.page import table, times
from benchmarks.running import Service, running
from benchmarks.timing import interleaved, medians, timed
from service.tables.frame import Array
from service.training.trainer import Trainer

__all__ = ["section"]

CLIENTS = 8


def section(*, rounds: int, seconds: float, count: int) -> str:
    """Measure everything; give the tables.

    Args:
        rounds: How often one job is sent.
        seconds: Length of each load of requests.
        count: Jobs that are sent at once.
    """
    with running() as service:
        one, loop_seconds = _one_job(service, rounds)
        many = _many_jobs(service, count, loops=count * loop_seconds)
        return f"{one}\n{many}\n{_requests(service, seconds)}"


# One job.


def _one_job(service: Service, rounds: int) -> tuple[str, float]:
    (tutorial,) = (job for job in jobs() if job.name == "J1")
    plan, rows = tutorial.plan(), tutorial.tensors(torch.float32)
    short = json.dumps({**TUTORIAL, "training": {"epochs": 1, "seed": 0}}).encode()
    calls = {
        "loop": lambda: {"loop": timed(lambda: loop(tutorial, *rows))[0]},
        "engine": lambda: {"engine": timed(lambda: Trainer(plan, tutorial.frame).fit())[0]},
        "service": lambda: {"service": timed(service.post)[0]},
        "short": lambda: _short(service, short),
    }
    found = interleaved(calls, rounds)
    warm = sorted(timed(service.post)[0] for _ in range(4 * rounds))
    p95 = statistics.quantiles(found["service"], n=20)[-1] if rounds > 1 else found["service"][0]
    ms = {name: 1e3 * value for name, value in medians(found).items()}
    paired = zip(found["service"], found["engine"], strict=True)
    overhead = 1e3 * statistics.median(served - bare for served, bare in paired)
    lines = [
        ["the tutorial's loop, plain torch, one thread", f"{ms['loop']:.1f}", ""],
        ["the training without a service", f"{ms['engine']:.1f}", times(ms["loop"] / ms["engine"])],
        [
            "POST → succeeded, `Prefer: wait`, one after the other",
            f"{1e3 * statistics.median(warm):.1f}",
            times(ms["loop"] / (1e3 * statistics.median(warm))),
        ],
        [
            "the same, each after a loop that has taken the caches",
            f"{ms['service']:.1f}",
            times(ms["loop"] / ms["service"]),
        ],
        ["of these, the 95th percentile", f"{1e3 * p95:.1f}", ""],
        ["service less training, paired", f"{overhead:.1f}", ""],
        ["POST → succeeded of one epoch: the service's own time", f"{ms['short']:.1f}", ""],
        ["submission → claimed by an idle worker", f"{ms['pick up']:.1f}", ""],
    ]
    head = (f"tutorial's job, median of {rounds} interleaved rounds", "ms", "against the loop")
    return table(head, lines), ms["loop"] / 1e3


def _short(service: Service, spec: bytes) -> dict[str, float]:
    seconds, job = timed(lambda: service.post(spec))
    return {
        "short": seconds,
        "pick up": (_moment(job["started_at"]) - _moment(job["created_at"])).total_seconds(),
    }


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


# A thousand jobs.


def _many_jobs(service: Service, count: int, *, loops: float) -> str:
    sent, ended = _sent_and_ended(service, count)
    head = (
        f"tutorial's job, {CLIENTS} clients",
        "last answer, s",
        "last succeeded, s",
        "jobs/s",
        "against loops",
    )
    lines = [
        [f"{count:,} jobs", f"{sent:.2f}", *_rate(count, ended, loops)],
        [f"{count:,} groups of one job", *_grouped(service, count, loops)],
    ]
    note = f"{count:,} loops, one after the other, would take {loops:,.0f} s: so many times the loop above."
    return f"{table(head, lines)}\nSeconds count from the first POST. {note}\n"


def _rate(count: int, seconds: float, loops: float) -> list[str]:
    return [f"{seconds:.2f}", f"{count / seconds:,.1f}", times(loops / seconds)]


def _sent_and_ended(service: Service, count: int) -> tuple[float, float]:
    """Post jobs from several clients; give the seconds to the last answer, and to the end of the last job."""
    specs = [_varied(number) for number in range(count)]
    started = time.perf_counter()
    with ThreadPoolExecutor(CLIENTS) as clients:
        list(clients.map(lambda spec: service.post(spec, wait=False), specs))
    sent = time.perf_counter() - started
    while service.has_jobs():
        time.sleep(0.02)
    ended = time.perf_counter() - started
    if (succeeded := service.count("many", "succeeded")) != count:
        raise RuntimeError(f"{succeeded} of {count} jobs succeeded")
    return sent, ended


def _varied(number: int) -> bytes:
    """The tutorial's job with other rows, another seed and another learning rate."""
    noise = {"distribution": "normal", "std": _noise(number)}
    return json.dumps(
        {
            **TUTORIAL,
            "name": "many",
            "data": {**TUTORIAL["data"], "seed": number, "noise": noise},
            "optimizer": {"type": "SGD", "lr": 0.005 + 0.00001 * (number % 1000)},
            "training": {**TUTORIAL["training"], "seed": number},
        }
    ).encode()


def _noise(number: int) -> float:
    return 0.1 + 0.001 * (number % 300)


def _grouped(service: Service, count: int, loops: float) -> list[str]:
    """Send as many lines as the groups of one job; or say why not, where the service does not know groups."""
    dataset = service.upload(_groups(count))
    data = {"type": "dataset", "id": dataset, "target": "y", "features": ["x"], "group_by": "sensor"}
    spec = json.dumps({**TUTORIAL, "data": data}).encode()
    started = time.perf_counter()
    try:
        job = service.post(spec)
    except RuntimeError as error:
        return ["-", f"skipped: {_reason(str(error))}", "-", "-"]
    while not job["terminal"]:
        job = service.client.get(f"/v1/jobs/{job['id']}", params={"wait": 60}).json()
    if job["status"] != "succeeded":
        raise RuntimeError(json.dumps(job["error"]))
    return ["-", *_rate(count, time.perf_counter() - started, loops)]


def _reason(answer: str) -> str:
    """Give the first error of a problem, or what stands for it."""
    problem = json.loads(answer)
    errors = problem.get("errors") or [{"message": problem.get("detail") or problem.get("error")}]
    return str(errors[0]["message"])


def _groups(count: int) -> dict[str, Array]:
    """Give the rows of all groups, each with its name."""
    rng = np.random.default_rng(0)
    rows = TUTORIAL["data"]["rows"]
    x = rng.uniform(size=(count, rows))
    noise = np.array([_noise(number) for number in range(count)])[:, np.newaxis]
    y = 5 * x + 7 + noise * rng.standard_normal(x.shape)
    names = np.repeat([f"sensor {number}" for number in range(count)], rows)
    return {"sensor": names, "x": x.ravel(), "y": y.ravel()}


# Requests.


def _requests(service: Service, seconds: float) -> str:
    body = json.dumps({"columns": {"x": [0.5]}}).encode()
    job = service.post()["id"]
    asked = {
        "GET /v1/jobs/{id}": _request(service.url, "GET", f"/v1/jobs/{job}"),
        "POST …/predict, one row": _request(service.url, "POST", f"/v1/jobs/{job}/predict", body),
    }
    lines = []
    for meanwhile in ("idle", "a job trains"):
        with _training(service) if meanwhile != "idle" else contextlib.nullcontext():
            for name, request in asked.items():
                taken = asyncio.run(_load(service.url, request, seconds=seconds))
                p50, p99 = (f"{1e3 * taken[int(share * len(taken))]:.1f}" for share in (0.5, 0.99))
                lines.append([name, meanwhile, f"{len(taken) / seconds:.0f}", p50, p99])
    return table((f"requests, {CLIENTS} connections", "while", "requests/s", "p50 ms", "p99 ms"), lines)


@contextmanager
def _training(service: Service) -> Iterator[None]:
    """Train something that lasts: a network, which no engine is through with at once."""
    spec = {
        "data": {**TUTORIAL["data"], "rows": 10_000},
        "model": {"type": "mlp", "hidden": [64, 64]},
        "loss": {"type": "MSELoss"},
        "optimizer": {"type": "Adam", "lr": 0.001},
        "training": {"epochs": 100_000, "batch_size": 64, "seed": 0},
    }
    job = service.post(json.dumps(spec).encode(), wait=False)["id"]
    yield
    service.client.post(f"/v1/jobs/{job}/cancel")


def _request(url: str, method: str, path: str, body: bytes = b"") -> bytes:
    lines = (
        f"{method} {path} HTTP/1.1",
        f"Host: {url.removeprefix('http://')}",
        f"Content-Length: {len(body)}",
    )
    return "\r\n".join((*lines, "Content-Type: application/json", "", "")).encode() + body


async def _load(url: str, request: bytes, *, seconds: float) -> list[float]:
    """Send one request again and again on several connections; give all times in seconds, sorted."""
    host, port = url.removeprefix("http://").split(":")
    until = time.perf_counter() + seconds
    parts = await asyncio.gather(*(_client(host, int(port), request, until) for _ in range(CLIENTS)))
    return sorted(one for part in parts for one in part)


async def _client(host: str, port: int, request: bytes, until: float) -> list[float]:
    reader, writer = await asyncio.open_connection(host, port)
    taken = []
    while time.perf_counter() < until:
        started = time.perf_counter()
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 200"):
            raise RuntimeError(head.decode())
        length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        await reader.readexactly(length)
        taken.append(time.perf_counter() - started)
    writer.close()
    return taken
