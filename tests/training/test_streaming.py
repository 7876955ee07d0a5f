"""Rows that are read when they are asked for train like rows in memory, in bounded memory."""

import json
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from service.exceptions import TrainingFailed
from service.spec import estimates
from service.training.frames import load
from service.training.preparation import fitted
from service.training.reader import Reader
from service.training.rows import Table
from service.training.streaming import StoredRows
from tests.conftest import ROOT
from tests.training.jobs import History
from tests.training.shelf import store, stored_job, stored_trainer

ROWS = 37


def columns_of(rows: int = ROWS) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    x, z = rng.normal(2.0, 3.0, rows), rng.normal(size=rows).astype(np.float32)
    return {
        "x": x,
        "z": z,
        "v": rng.normal(size=(rows, 3)),
        "y": 2 * x - z + 1,
        "w": rng.uniform(0.5, 2.0, rows),
    }


def both(
    root: Path,
    monkeypatch: pytest.MonkeyPatch,
    *,
    block: int | None = None,
    weighted: bool = True,
    **sections: Any,  # noqa: ANN401 - sections of any kind
) -> list[tuple[History, Any]]:
    """Train in memory, then with rows that are read."""
    schema = store(root, columns_of())
    found = []
    for resident in (True, False):
        if not resident:
            monkeypatch.setattr(estimates, "RESIDENT_BYTES", 100)
        if block is not None and not resident:
            monkeypatch.setattr(estimates, "BATCH_MEMORY_BUDGET", block * 600)
        history = History()
        plan = stored_job(schema, weight="w" if weighted else None, **sections)
        assert estimates.is_streamed(plan) != resident
        found.append((history, stored_trainer(plan, root, callbacks=[history]).fit()))
    return found


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shuffle", [True, False])
@pytest.mark.parametrize("weighted", [True, False])
def test_batches_that_are_read_train_to_the_same_bits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dtype: str, *, shuffle: bool, weighted: bool
) -> None:
    (kept, one), (read, other) = both(
        tmp_path,
        monkeypatch,
        weighted=weighted,
        training={"batch_size": 5, "dtype": dtype, "shuffle": shuffle},
        preprocessing={"scaling": "standardize", "target_scaling": "standardize"},
        evaluation={"split": {"type": "random", "dev": 0.2, "test": 0.1}},
        model={"type": "mlp", "hidden": [4], "dropout": 0.2},
    )
    assert kept.columns == read.columns
    assert all(torch.equal(tensor, other.state_dict[name]) for name, tensor in one.state_dict.items())
    assert one.preparation == other.preparation


def test_a_batch_larger_than_memory_trains_like_one_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (kept, one), (read, other) = both(
        tmp_path,
        monkeypatch,
        block=4,
        training={"dtype": "float64", "epochs": 20},
        evaluation={"split": {"type": "order", "dev": 0.2}},
        regularization={"l2": 0.01, "clip_grad_norm": 1.0},
        preprocessing={"scaling": "standardize"},
    )
    for name in ("train_loss", "dev_loss"):
        assert read[name] == pytest.approx(kept[name], rel=1e-12)
    for name, tensor in one.state_dict.items():
        torch.testing.assert_close(other.state_dict[name], tensor, rtol=1e-12, atol=1e-13)
    for part in ("train", "dev"):
        assert other.score.losses[part] == pytest.approx(one.score.losses[part], rel=1e-12)


def test_lbfgs_may_ask_for_a_batch_larger_than_memory_again_and_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (kept, _), (read, _) = both(
        tmp_path,
        monkeypatch,
        block=8,
        training={"dtype": "float64"},
        optimizer={"type": "LBFGS", "max_iter": 3},
        preprocessing={"scaling": "standardize"},
    )
    assert read["train_loss"] == pytest.approx(kept["train_loss"], rel=1e-9)


def test_rows_in_any_order_are_those_of_the_table(tmp_path: Path) -> None:
    schema = store(tmp_path, columns_of())
    plan = stored_job(schema, weight="w")
    frame = load(plan.spec.data, datasets=tmp_path)
    positions = np.arange(3, 30)
    preparation = fitted(plan, frame, positions)
    table = Table(*preparation.batch(frame, positions))
    rows = StoredRows(Reader(frame), preparation, positions, 4, torch.device("cpu"))
    order = torch.randperm(27, generator=torch.Generator().manual_seed(0))
    assert len(rows) == len(table) == 27
    for ours, theirs in (
        (rows.take(order), table.take(order)),
        (rows.take(order[:3]), table.take(order[:3])),
        (rows.between(2, 9), table.between(2, 9)),
    ):
        assert all(
            torch.equal(a, b) for a, b in zip(ours, theirs, strict=True) if a is not None and b is not None
        )
    stretch = rows.stretch(1, 20, order)
    assert stretch.weight == pytest.approx(table.stretch(1, 20, order).weight)
    assert [len(piece.features) for piece in stretch.pieces()] == [4, 4, 4, 4, 3]
    assert torch.equal(torch.cat([p.features for p in stretch.pieces()]), table.take(order[1:20]).features)


def test_a_number_that_is_not_finite_is_told_when_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(estimates, "RESIDENT_BYTES", 100)
    columns = columns_of()
    columns["x"][20] = 1e30  # Its square is more than float32 can hold, which nothing but the row tells.
    model = {"type": "polynomial", "degree": 2}
    selection = {"features": ["x", "z"]}
    plan = stored_job(store(tmp_path, columns), selection=selection, model=model, training={"batch_size": 5})
    with pytest.raises(TrainingFailed) as error:
        stored_trainer(plan, tmp_path).fit()
    assert error.value.code == "data_not_finite"


def test_files_that_are_gone_are_told(tmp_path: Path) -> None:
    plan = stored_job(store(tmp_path, columns_of()))
    with pytest.raises(TrainingFailed) as error:
        load(plan.spec.data, datasets=tmp_path / "elsewhere")
    assert error.value.code == "dataset_missing"
    assert error.value.hint


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux's account of memory")
@pytest.mark.parametrize("batch_size", ["1024", "full"])
def test_a_table_larger_than_the_allowed_memory_is_trained_on(tmp_path: Path, batch_size: str) -> None:
    rng = np.random.default_rng(0)
    vectors = rng.random((300_000, 64))
    store(tmp_path, {"v": vectors, "y": vectors[:, 0] + 1})
    table_bytes = vectors.nbytes
    del vectors
    done = subprocess.run(
        [sys.executable, "-m", "tests.training.streamed_fit", str(tmp_path), batch_size],
        capture_output=True,
        check=False,
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        timeout=100,
    )
    assert done.returncode == 0, done.stderr.decode()
    told = json.loads(done.stdout)
    assert math.isfinite(told["loss"])
    assert told["peak"] - told["before"] < table_bytes / 2


def test_class_weights_count_in_a_batch_that_is_read_in_pieces(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    columns = columns_of()
    columns["c"] = (np.arange(ROWS) % 5 == 0).astype(np.int64) + (columns["x"] > 3)
    schema = store(tmp_path, columns)
    found = []
    for resident in (True, False):
        if not resident:
            monkeypatch.setattr(estimates, "RESIDENT_BYTES", 100)
            monkeypatch.setattr(estimates, "BATCH_MEMORY_BUDGET", 5 * 600)
        plan = stored_job(
            schema,
            selection={"target": "c", "features": ["x", "z"]},
            model={"type": "softmax"},
            loss={"type": "CrossEntropyLoss", "weight": [1.0, 5.0, 2.0]},
            training={"dtype": "float64"},
        )
        history = History()
        fit = stored_trainer(plan, tmp_path, callbacks=[history]).fit()
        found.append((history["train_loss"], fit.state_dict["weight"], fit.train_loss))
    (losses, weight, last), (read_losses, read_weight, read_last) = found
    assert read_losses == pytest.approx(losses, rel=1e-12)
    assert torch.allclose(read_weight, weight, rtol=1e-12, atol=1e-14)
    assert read_last == pytest.approx(last, rel=1e-12)
