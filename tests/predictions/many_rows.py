"""Writes a large table as a dataset, predicts it, and tells what memory that took: `python -m tests.predictions.many_rows`."""

import sys
from pathlib import Path

import numpy as np
import torch

from service.inference.predictor import Predictor
from service.inference.tables import TablePredictor
from service.spec.schema import Column, Schema
from service.storage.predictions import PredictionStore
from service.tables.files import Manifest, StoredColumn, open_dataset
from service.tables.orders import ReadOptions
from service.training.weights import to_bytes
from tests.training.jobs import inline_job, trainer

torch.set_num_threads(1)


def written(folder: Path, *, rows: int, features: int) -> None:
    """A dataset of random numbers, column by column."""
    folder.mkdir()
    generator = np.random.default_rng(0)
    files, columns = [], []
    for number in range(features):
        path = folder / f"{number}.npy"
        np.save(path, generator.random(rows))
        files.append(
            StoredColumn(column=f"x{number}", file=path.name, bytes=path.stat().st_size, sha256="0" * 64)
        )
        columns.append(Column(name=f"x{number}", kind="number", dtype="float64"))
    Manifest(
        digest="0" * 64,
        options=ReadOptions(format="npz"),
        source_sha256="0" * 64,
        source_bytes=0,
        table=Schema(rows=rows, columns=tuple(columns)),
        files=tuple(files),
    ).write(folder)


def peak() -> int:
    """Bytes that this process held at most."""
    # What getrusage tells begins with what the parent held.
    (line,) = [one for one in Path("/proc/self/status").read_text().splitlines() if one.startswith("VmHWM")]
    return int(line.split()[1]) * 1024


def main() -> None:
    root, rows, features = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    plan = inline_job(features=features)
    fit = trainer(plan).fit()
    predictor = Predictor(plan.spec, to_bytes(fit.state_dict, fit.preparation))
    written(root / "table", rows=rows, features=features)
    before = peak()
    table = TablePredictor(predictor, open_dataset(root / "table"), keep=["x0"])
    store = PredictionStore(root / "results", min_free_bytes=0)
    file = store.write("pred_x", 1, table.schema, table.batches())
    with store.open(file.path) as result:
        found = result.metadata.num_rows
    sys.stdout.write(f"{before} {peak()} {found} {table.unpredicted}\n")


if __name__ == "__main__":
    main()
