"""A process that goes on with a job: `python -m tests.training.resumed_fit SPEC CHECKPOINT`; its outcome is JSON.

With a pulse at the end, it writes the checkpoint of that pulse instead, and dies.
"""

import json
import sys
from pathlib import Path
from typing import Any

import torch

from service.training.checkpoint import from_bytes
from tests.spec.specs import parsed
from tests.training.jobs import trainer
from tests.training.resumed import Record, checkpoint_at, of_fit, pulses_at_every_chance


def main(spec: Path, file: Path, pulse: str = "") -> None:
    """Train to the end, or to a pulse."""
    plan = parsed(json.loads(spec.read_text()))

    def make(**options: Any) -> Any:  # noqa: ANN401 - as for the trainer
        return trainer(plan, **options)

    if pulse:
        _, data = checkpoint_at(make, int(pulse))
        file.write_bytes(data)
        return
    checkpoint = from_bytes(file.read_bytes())
    record = Record(after=checkpoint.epoch)
    fit = make(callbacks=[record], checkpoint=checkpoint).fit()
    print(json.dumps({"columns": record.columns, "fit": repr(of_fit(fit))}))  # noqa: T201 - the parent reads it


if __name__ == "__main__":
    torch.rand(3)  # Where the generators of a process stand when it starts is no matter.
    with pulses_at_every_chance():
        main(Path(sys.argv[1]), Path(sys.argv[2]), *sys.argv[3:])
