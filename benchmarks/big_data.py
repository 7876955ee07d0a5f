"""A table larger than memory, from a Parquet file to a fitted model: times against a plain read of the file, and memory.

Writes the file, starts a service with limits that let it in, uploads it, and trains a linear model on it: with full
batches, with mini-batches in exactly the order of a DataLoader, and with `"shuffle": "blocks"`. Memory is the most that
a process held at any of the looks at it, pages of mapped files included. Nothing is asserted.
"""

import argparse
import json
import os
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.running import Service, running

COLUMNS = 20
GROUP_ROWS = 1_000_000
READ_ROWS = 65_536
LOOK_SECONDS = 0.02
EAGER_EPOCHS = 2
PARQUET = {"Content-Type": "application/vnd.apache.parquet"}
ENDED = {"succeeded", "failed", "cancelled"}
Spec = dict[str, Any]


def main() -> None:
    """Measure and print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument(
        "--folder", type=Path, help="where file and data go: twice the file's size, and no RAM disk"
    )
    parser.add_argument("--epochs", type=int, default=100, help="of the full batch; mini-batches get one")
    parser.add_argument("--batch-rows", type=int, default=4096)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder, prefix="fitd-big-") as folder:
        path = Path(folder) / "table.parquet"
        _write(path, options.rows)
        read = _seconds_to_read(path)
        print(
            f"{datetime.now().astimezone().date().isoformat()}: {options.rows:,} rows of {COLUMNS} features and a "
            f"target in float32, {path.stat().st_size / 2**20:,.0f} MiB; plain read with pyarrow {read:.1f} s\n"
        )
        print(
            "| what | s | plain reads | most memory, MiB | loss |\n| --- | --- | --- | --- | --- |",
            flush=True,
        )
        settings = _limits(options.rows, path.stat().st_size)
        with running(place=Path(folder), settings=settings) as service:
            service.client.timeout = 3600
            dataset = _upload(service, path, read)
            for name, training in _trainings(options).items():
                _train(service, name, _spec(dataset, training), read)


def _trainings(options: argparse.Namespace) -> dict[str, Spec]:
    mini = {"epochs": 1, "batch_size": options.batch_rows}
    return {
        f"full batch, {options.epochs} epochs": {"epochs": options.epochs, "batch_size": "full"},
        f"full batch, {EAGER_EPOCHS} epochs, eager": {
            "epochs": EAGER_EPOCHS,
            "batch_size": "full",
            "engine": "eager",
        },
        f"batches of {options.batch_rows}, 1 epoch": mini,
        f"batches of {options.batch_rows}, shuffled by blocks, 1 epoch": {**mini, "shuffle": "blocks"},
    }


def _spec(dataset: str, training: Spec) -> Spec:
    return {
        "data": {"type": "dataset", "id": dataset, "target": "y"},
        "model": {"type": "linear"},
        "loss": {"type": "MSELoss"},
        "optimizer": {"type": "SGD", "lr": 0.05},
        "training": {"seed": 0, **training},
    }


def _write(path: Path, rows: int) -> None:
    """Write normal numbers and a noisy line of them, a row group at a time, uncompressed: noise has no redundancy."""
    rng = np.random.default_rng(0)
    slopes = np.linspace(-1, 1, COLUMNS, dtype=np.float32)
    names = [f"x{number:02}" for number in range(COLUMNS)]
    schema = pa.schema([(name, pa.float32()) for name in (*names, "y")])
    with pq.ParquetWriter(path, schema, compression="none", use_dictionary=False) as out:
        for start in range(0, rows, GROUP_ROWS):
            count = min(GROUP_ROWS, rows - start)
            x = rng.standard_normal((COLUMNS, count), dtype=np.float32)
            y = slopes @ x + 3 + 0.1 * rng.standard_normal(count, dtype=np.float32)
            out.write_table(pa.table([*x, y.astype(np.float32)], schema=schema), row_group_size=count)


def _seconds_to_read(path: Path) -> float:
    """Decode the whole file once in one thread, and keep nothing; the better of two times."""
    times = []
    for _ in range(2):
        started = time.perf_counter()
        file = pq.ParquetFile(path, pre_buffer=False, buffer_size=2**20)
        for _ in file.iter_batches(READ_ROWS, use_threads=False):
            pass
        times.append(time.perf_counter() - started)
    return min(times)


@dataclass
class _Memory:
    """Looks at the service's processes again and again."""

    root: int
    most: dict[str, int] = field(default_factory=dict)
    """MiB by kind of process."""
    _over: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._over.wait(LOOK_SECONDS):
            for kind, resident in _processes(self.root):
                self.most[kind] = max(self.most.get(kind, 0), resident)


KINDS = {"service.tables.child": "reader", "multiprocessing.forkserver": "runner", "service api": "API"}


def _processes(root: int) -> Iterator[tuple[str, int]]:
    """Give kind and resident MiB of all processes below one."""
    parents, known = {}, {root}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parents[int(entry.name)] = int((entry / "stat").read_text().rsplit(")", 1)[1].split()[1])
            except OSError:
                continue
    for pid in sorted(parents):
        if parents[pid] not in known:
            continue
        known.add(pid)
        try:
            command = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
            pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
        except OSError:
            continue
        for part, kind in KINDS.items():
            if part in command:
                yield kind, pages * os.sysconf("SC_PAGESIZE") >> 20


def _limits(rows: int, size: int) -> Mapping[str, str]:
    """Settings that let the table in."""
    return {
        "FITD_LIMITS__MAX_ROWS": str(max(rows, 10_000_000)),
        "FITD_LIMITS__MAX_UPLOAD_BYTES": str(max(2 * size, 2**31)),
        "FITD_PARSE_SECONDS": "3600",
        "FITD_SLOTS": "1",
        "FITD_LOG_FORMAT": "json",
    }


def _upload(service: Service, path: Path, read: float) -> str:
    """Send the file, and give the dataset's id."""
    sent = 0.0

    def pieces() -> Iterator[bytes]:
        nonlocal sent
        with path.open("rb") as file:
            while piece := file.read(2**20):
                yield piece
        sent = time.perf_counter()

    started = time.perf_counter()
    with _Memory(service.pid) as memory:
        length = {"Content-Length": str(path.stat().st_size)}
        answer = service.client.post("/v1/datasets", content=pieces(), headers={**PARQUET, **length})
    answer.raise_for_status()
    ended = time.perf_counter()
    _row("upload: received and hashed", sent - started, read, memory.most.get("API", 0), "")
    _row("upload: read into columns", ended - sent, read, memory.most.get("reader", 0), "")
    return str(answer.json()["id"])


def _train(service: Service, name: str, spec: Spec, read: float) -> None:
    """Have a job done, and print what it took."""
    with _Memory(service.pid) as memory:
        job = service.client.post("/v1/jobs", json=spec).json()
        if "id" not in job:
            raise RuntimeError(json.dumps(job))
        while job["status"] not in ENDED:
            job = service.client.get(f"/v1/jobs/{job['id']}", params={"wait": 30}).json()
    if job["status"] != "succeeded":
        raise RuntimeError(json.dumps(job["error"]))
    started, finished = (datetime.fromisoformat(job[at]) for at in ("started_at", "finished_at"))
    loss = f"{job['result']['train_loss']:.4g}"
    _row(name, (finished - started).total_seconds(), read, memory.most.get("runner", 0), loss)


def _row(what: str, seconds: float, read: float, memory: int, loss: str) -> None:
    print(f"| {what} | {seconds:.1f} | {seconds / read:.1f} | {memory:,} | {loss} |", flush=True)


if __name__ == "__main__":
    main()
