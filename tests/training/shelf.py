"""Stored datasets for the tests of the training: a folder of columns, and whoever looks it up."""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np

from service.spec.plan import Plan
from service.spec.schema import Column, Schema
from service.tables.files import Manifest, StoredColumn
from service.tables.orders import ReadOptions
from service.training.frames import load
from service.training.trainer import Trainer
from tests.spec.specs import parsed

DIGEST = "0" * 64


def store(root: Path, columns: dict[str, np.ndarray[Any, Any]]) -> Schema:
    """Write columns of numbers and arrays as a dataset, and describe them."""
    folder = root / DIGEST
    folder.mkdir(parents=True)
    described, files = [], []
    for number, (name, values) in enumerate(columns.items()):
        path = folder / f"{number}.npy"
        np.save(path, values)
        size = path.stat().st_size
        with path.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        files.append(StoredColumn(column=name, file=path.name, bytes=size, sha256=sha256))
        kind = "array" if values.ndim > 1 else "number"
        described.append(
            Column(
                name=name,
                kind=kind,
                dtype=str(values.dtype),
                shape=values.shape[1:],
                minimum=float(values.min()),
                maximum=float(values.max()),
                values=tuple(np.unique(values).astype(float).tolist()) if values.dtype.kind == "i" else None,
            )
        )
    schema = Schema(rows=len(next(iter(columns.values()))), columns=tuple(described))
    Manifest(
        digest=DIGEST,
        options=ReadOptions(format="npy"),
        source_sha256=DIGEST,
        source_bytes=0,
        table=schema,
        files=tuple(files),
    ).write(folder)
    return schema


class Shelf:
    """A library of one dataset, and of jobs that left parameters."""

    def __init__(self, schema: Schema | None = None, *, jobs: tuple[str, ...] = ()) -> None:
        self._schema, self._jobs = schema, jobs

    def dataset(self, dataset_id: str, /) -> tuple[Schema, str] | None:
        known = dataset_id == "ds_1" and self._schema is not None
        return (self._schema, DIGEST) if known and self._schema is not None else None

    def has_parameters(self, job_id: str, /) -> bool:
        return job_id in self._jobs


def stored_job(schema: Schema, *, weight: str | None = None, **sections: Any) -> Plan:  # noqa: ANN401 - sections
    """An effective spec on the dataset, with a line fitted by SGD unless said otherwise."""
    data = {"type": "dataset", "id": "ds_1", "target": "y", **({"weight": weight} if weight else {})}
    data |= sections.pop("selection", {})
    usual = {
        "model": {"type": "linear"},
        "loss": {"type": "MSELoss"},
        "optimizer": {"type": "SGD", "lr": 0.05},
    }
    training = {"epochs": 3, "seed": 0, **sections.pop("training", {})}
    return parsed({"data": data, **usual, "training": training, **sections}, library=Shelf(schema))


def stored_trainer(plan: Plan, root: Path, **options: Any) -> Trainer:  # noqa: ANN401 - as for the trainer
    """A trainer over the stored rows."""
    return Trainer(plan, load(plan.spec.data, datasets=root), **options)
