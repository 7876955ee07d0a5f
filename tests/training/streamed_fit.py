"""A process that trains on a stored table and tells its memory: `python -m tests.training.streamed_fit FOLDER BATCH`."""

import json
import sys
from pathlib import Path

from service.spec import estimates
from service.tables.files import read_manifest
from service.training import callbacks
from service.training.callbacks import Callback, Pulse
from service.training.warmup import warm_up
from tests.training.shelf import DIGEST, stored_job, stored_trainer


def anonymous_bytes() -> int:
    """Memory of this process that is no page of a file."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("RssAnon"))


class Watch(Callback):
    """Keeps the most memory that was in use at any pulse."""

    peak = 0

    def on_pulse(self, pulse: Pulse) -> None:
        assert pulse.fraction >= 0
        self.peak = max(self.peak, anonymous_bytes())


def main(root: Path, batch_size: str) -> None:
    """Train and print the figures as JSON."""
    callbacks.PULSE_SECONDS = 0.0
    estimates.RESIDENT_BYTES = 2**20
    estimates.BATCH_MEMORY_BUDGET = 2**22
    schema = read_manifest(root / DIGEST).table
    sections = {"evaluation": {"split": {"type": "order", "dev": 0.2}}}
    size = int(batch_size) if batch_size.isdigit() else batch_size
    warm_up()  # What torch imports at its first step is no memory of this training.
    before, watch = anonymous_bytes(), Watch()
    plan = stored_job(schema, training={"epochs": 1, "batch_size": size}, **sections)
    assert estimates.is_streamed(plan)
    fit = stored_trainer(plan, root, callbacks=[watch]).fit()
    print(json.dumps({"before": before, "peak": max(watch.peak, anonymous_bytes()), "loss": fit.train_loss}))  # noqa: T201 - the parent reads it


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
