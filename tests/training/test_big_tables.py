"""Tables larger than memory: few passes, the same bits, orders that cost little, and somebody hears of it all."""

import itertools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from service.exceptions import TrainingFailed
from service.spec import estimates
from service.tables.frame import Array, Frame
from service.training import callbacks, preparation, reader, rows, streaming
from service.training.callbacks import Callback, Pulse, Stop
from service.training.checkpoint import Checkpoint
from service.training.positions import Positions, all_of, compact, selection
from service.training.rows import Batches, Table, require_finite
from service.training.trainer import Trainer
from tests.training.jobs import STILL, History
from tests.training.resumed import Record, pulses_at_every_chance, resumed, undisturbed
from tests.training.shelf import store, stored_job, stored_trainer

ROWS = 61
Make = Callable[..., Trainer]
Maker = Callable[..., Make]
"""Gives what gives trainers of one job, by the sections of its spec."""
SCALED = {"preprocessing": {"scaling": "standardize", "target_scaling": "min_max"}}


def columns_of(count: int = ROWS) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    x, z = rng.normal(2.0, 3.0, count), rng.normal(size=count).astype(np.float32)
    k = rng.integers(-5, 5, count)
    return {"x": x, "z": z, "k": k, "y": 2 * x - z + 1, "w": rng.uniform(0.5, 2.0, count)}


@pytest.fixture
def shelf(tmp_path: Path) -> Maker:
    """Gives makers of one job's trainers, over a table on disk that is read block by block."""
    schema = store(tmp_path, columns_of())

    def maker(*, weight: str | None = None, **sections: Any) -> Make:  # noqa: ANN401 - of any kind
        training = {"engine": "eager", **sections.pop("training", {})}
        selection = {"features": ["x", "z", "k"]}
        plan = stored_job(schema, weight=weight, selection=selection, training=training, **sections)
        return lambda **options: stored_trainer(plan, tmp_path, **options)

    return maker


@pytest.fixture
def on_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every table is larger than memory, its blocks have 8 rows and its windows some more, and everything is told."""
    monkeypatch.setattr(estimates, "RESIDENT_BYTES", 100)
    monkeypatch.setattr(estimates, "BATCH_MEMORY_BUDGET", 8 * 4 * 4 * 4)
    monkeypatch.setattr(streaming, "WINDOW_BYTES", 23 * 3 * 4)
    monkeypatch.setattr(reader, "RELEASE_BYTES", 0)
    monkeypatch.setattr(callbacks, "READING_SECONDS", 0.0)
    monkeypatch.setattr(preparation, "BLOCK_NUMBERS", 30)


# The same bits.


@pytest.mark.parametrize("shuffle", [True, False, "blocks"])
@pytest.mark.parametrize("weight", ["w", None])
@pytest.mark.parametrize("batch_size", [3, 5, 23])
def test_windows_of_batches_train_to_the_same_bits(
    shelf: Maker,
    monkeypatch: pytest.MonkeyPatch,
    *,
    shuffle: bool | str,
    weight: str | None,
    batch_size: int,
) -> None:
    monkeypatch.setattr(rows, "BLOCK_ROWS", 7)
    monkeypatch.setattr(rows, "BLOCKS_TOGETHER", 3)
    training = {"batch_size": batch_size, "shuffle": shuffle, "epochs": 4}
    make = shelf(
        weight=weight, training=training, evaluation={"split": {"type": "random", "dev": 0.1}}, **SCALED
    )
    kept, read = History(), History()
    one = make(callbacks=[kept]).fit()
    monkeypatch.setattr(estimates, "RESIDENT_BYTES", 100)
    monkeypatch.setattr(streaming, "WINDOW_BYTES", 23 * 3 * 4)
    other = make(callbacks=[read]).fit()
    assert kept.columns == read.columns
    assert all(torch.equal(tensor, other.state_dict[name]) for name, tensor in one.state_dict.items())


@pytest.mark.usefixtures("on_disk")
@pytest.mark.parametrize("shuffle", [True, "blocks"])
def test_a_training_that_reads_windows_goes_on_in_the_midst_of_one(
    shelf: Maker,
    monkeypatch: pytest.MonkeyPatch,
    *,
    shuffle: bool | str,
) -> None:
    monkeypatch.setattr(callbacks, "READING_SECONDS", 1e9)
    monkeypatch.setattr(rows, "BLOCK_ROWS", 7)
    make = shelf(training={"batch_size": 5, "epochs": 3, "shuffle": shuffle})
    with pulses_at_every_chance():
        whole, parted = undisturbed(make), resumed(make, [2, 8, 17, 30])
    assert whole.columns == parted.columns
    assert all(torch.equal(t, parted.fit.state_dict[n]) for n, t in whole.fit.state_dict.items())


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("scaling", ["none", "standardize"])
@pytest.mark.parametrize("kind", ["f2", "f4", "f8", "i8", "u1", "i4"])
def test_numbers_side_by_side_are_those_that_are_encoded_in_float64(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, dtype: str, scaling: str, kind: str
) -> None:
    monkeypatch.setattr(preparation, "CACHED_ROWS", 10)
    table = {
        name: (np.random.default_rng(seed).normal(30, 9, ROWS) * 1.001).astype(kind)
        for seed, name in enumerate(("a", "b", "y"))
    }
    plan = stored_job(store(tmp_path, table), preprocessing={"scaling": scaling}, training={"dtype": dtype})
    fitted = preparation.fitted(plan, Frame(plan.schema, table), all_of(ROWS))
    assert fitted.is_numbers
    expected = fitted._scaled(fitted.encoded(table, ("a", "b")))
    assert torch.equal(fitted.features(table), expected)


# Orders.


@pytest.mark.parametrize("count", [1, 2, 7, 64, 1000])
@pytest.mark.parametrize("at_once", [1, 10, 2**20])
def test_a_skipped_permutation_leaves_the_generator_as_a_drawn_one(
    monkeypatch: pytest.MonkeyPatch, count: int, at_once: int
) -> None:
    monkeypatch.setattr(rows, "SKIPPED_AT_ONCE", at_once)
    drawn, skipped = torch.Generator().manual_seed(3), torch.Generator().manual_seed(3)
    torch.randperm(count, generator=drawn)
    rows._skip_permutation(count, skipped)
    assert torch.equal(drawn.get_state(), skipped.get_state())


def test_blocks_are_mixed_some_at_a_time_and_each_row_comes_once() -> None:
    count = 40 * rows.BLOCK_ROWS
    generator = torch.Generator().manual_seed(0)
    uneven = rows._mixed_by_blocks(count + 99, generator)
    assert torch.equal(uneven.sort().values, torch.arange(count + 99, dtype=torch.int32))
    first, second = (rows._mixed_by_blocks(count, generator) for _ in range(2))
    assert not torch.equal(first, second)
    for order in (first, second):
        assert torch.equal(order.sort().values, torch.arange(count, dtype=torch.int32))
    together = rows.BLOCKS_TOGETHER * rows.BLOCK_ROWS
    blocks = [
        set((group // rows.BLOCK_ROWS).unique().tolist()) for group in first[: 2 * together].split(together)
    ]
    assert [len(some) for some in blocks] == [16, 16]
    assert not blocks[0] & blocks[1]
    assert blocks[0] != set(range(16))
    batch = first[:256] // rows.BLOCK_ROWS
    assert len(batch.unique()) == rows.BLOCKS_TOGETHER


def test_the_order_of_blocks_stays_what_it_is() -> None:
    """Other numbers here would be another training from the same seed, and a checkpoint that misleads."""
    order = rows._mixed_by_blocks(2_000_000, torch.Generator().manual_seed(0))
    assert order.dtype == torch.int32
    assert order[:5].tolist() == [1549065, 918982, 527007, 151692, 588775]


def test_positions_are_small_and_consecutive_ones_a_slice() -> None:
    assert all_of(5).dtype == np.int32
    assert compact(np.array([3, 1]), rows=2**31).dtype == np.int64
    assert selection(np.array([4, 5, 6], np.int32)) == slice(4, 7)
    for others in ([4, 6, 5, 7], [4, 6], [6, 5, 4], [4, 4, 6]):
        chosen = selection(np.array(others, np.int32))
        assert isinstance(chosen, np.ndarray)
        assert chosen.tolist() == others


def test_a_sum_beyond_the_format_is_no_infinite_number() -> None:
    large = torch.full((4, 1), 3e38)
    require_finite(rows.Batch(large, large))
    for wrong in (torch.nan, torch.inf, -torch.inf):
        large[2] = wrong
        with pytest.raises(TrainingFailed):
            require_finite(rows.Batch(large, torch.zeros(4, 1)))


# Passes, and hearing of them.


class Listener(Callback):
    """Keeps all pulses, and may stop at the first one of a phase."""

    def __init__(self, *, stop_in: str | None = None, after: int = 1) -> None:
        self.pulses: list[Pulse] = []
        self._stop_in, self._left = stop_in, after

    def on_pulse(self, pulse: Pulse) -> None:
        self.pulses.append(pulse)
        self._left -= pulse.phase == self._stop_in
        if self._left == 0:
            raise Stop


@pytest.mark.usefixtures("on_disk")
@pytest.mark.parametrize("batch_size", ["full", 5])
def test_what_reads_rows_is_told_from_the_first_to_the_last(shelf: Maker, *, batch_size: object) -> None:
    listener = Listener()
    shelf(training={"batch_size": batch_size, "epochs": 3}, **SCALED)(callbacks=[listener]).fit()
    phases = [phase for phase, _ in itertools.groupby(pulse.phase for pulse in listener.pulses)]
    fractions = [pulse.fraction for pulse in listener.pulses]
    assert phases == ["preparing", "training", "scoring"]
    assert fractions == sorted(fractions)
    assert fractions[0] < 0.1
    assert fractions[-1] == 1.0
    assert len(set(fractions)) > 10
    assert sum(len(pulse.train_loss) for pulse in listener.pulses) == 3


@pytest.mark.usefixtures("on_disk")
def test_in_the_midst_of_a_step_there_is_no_checkpoint(shelf: Maker) -> None:
    taken: list[Checkpoint] = []

    class Taker(Callback):
        def on_pulse(self, pulse: Pulse) -> None:
            if pulse.checkpoint is not None:
                taken.append(pulse.checkpoint())

    with pulses_at_every_chance():
        shelf(training={"epochs": 3})(callbacks=[Taker()]).fit()
    assert [one.epoch for one in taken] == [1, 2, 3, 3]


@pytest.mark.usefixtures("on_disk")
def test_a_job_that_is_stopped_before_it_trains_has_nothing_to_give(shelf: Maker) -> None:
    with pytest.raises(Stop):
        shelf(**SCALED)(callbacks=[Listener(stop_in="preparing")]).fit()


@pytest.mark.usefixtures("on_disk")
@pytest.mark.parametrize("after", [1, 5])
def test_a_job_that_is_stopped_in_a_step_keeps_what_the_last_one_left(shelf: Maker, *, after: int) -> None:
    listener = Listener(stop_in="training", after=9 + after)
    fit = shelf(training={"epochs": 5})(callbacks=[listener]).fit()
    shorter = shelf(training={"epochs": 1})().fit()
    assert fit.stop_reason == "stopped"
    assert fit.epochs == 1
    assert torch.equal(fit.state_dict["weight"], shorter.state_dict["weight"])


@pytest.mark.usefixtures("on_disk")
def test_a_job_that_is_stopped_while_dev_rows_are_read_has_not_ended_its_epoch(shelf: Maker) -> None:
    make = shelf(evaluation={"split": {"type": "order", "dev": 0.3}}, training={"epochs": 4})
    for after in range(1, 40):
        listener = Listener(stop_in="training", after=after)
        fit = make(callbacks=[listener]).fit()
        assert fit.epochs == sum(len(pulse.train_loss) for pulse in listener.pulses)
        assert fit.runs[0].first_epoch == 1


@pytest.mark.usefixtures("on_disk")
def test_a_job_that_is_stopped_while_it_is_scored_keeps_its_parameters(shelf: Maker) -> None:
    fit = shelf()(callbacks=[Listener(stop_in="scoring")]).fit()
    whole = shelf()().fit()
    assert fit.stop_reason == "stopped"
    assert fit.epochs == 3
    assert fit.score.losses == {"train": None, "dev": None, "test": None}
    assert torch.equal(fit.state_dict["weight"], whole.state_dict["weight"])


@pytest.mark.usefixtures("on_disk")
def test_the_second_restart_stopped_at_its_start_leaves_the_first(shelf: Maker) -> None:
    listener = Listener(stop_in="scoring", after=10**6)
    make = shelf(training={"restarts": 2, "epochs": 1})
    make(callbacks=[listener]).fit()
    again = [i for i, pulse in enumerate(listener.pulses) if pulse.phase == "preparing"]
    first = [i for i, pulse in enumerate(listener.pulses) if pulse.phase == "scoring"][0]  # noqa: RUF015
    before = sum(1 for i in again if i < first)
    fit = make(callbacks=[Listener(stop_in="preparing", after=before + 1)]).fit()
    assert len(fit.runs) == 1
    assert fit.stop_reason == "stopped"


@pytest.mark.usefixtures("on_disk")
def test_a_job_reads_its_rows_once_an_epoch_once_before_and_once_after(
    shelf: Maker,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    read: list[tuple[int, int]] = []
    original = reader.Reader.read

    def counted(self: reader.Reader, names: Sequence[str], wanted: Positions) -> dict[str, Array]:
        read.append((len(wanted), len(names)))
        return original(self, names, wanted)

    monkeypatch.setattr(reader.Reader, "read", counted)
    shelf(training={"epochs": 3}, **SCALED)().fit()
    numbers = sum(count * columns for count, columns in read)
    # Fitting the scaling, three epochs, loss and metrics at the end; the targets, and a few rows, are looked at before.
    assert numbers == (1 + 3 + 1) * 4 * ROWS + ROWS + (8 + 2) * 4


@pytest.mark.usefixtures("on_disk")
def test_an_engine_that_reads_the_rows_once_tells_how_far_it_is_and_can_be_stopped(
    shelf: Maker,
) -> None:
    make = shelf(training={"epochs": 3, "engine": "auto"}, **SCALED)
    listener = Listener()
    fit = make(callbacks=[listener]).fit()
    assert fit.engine is not None
    assert fit.engine.name == "quadratic"
    fractions = [pulse.fraction for pulse in listener.pulses]
    training = [pulse.fraction for pulse in listener.pulses if pulse.phase == "training"]
    assert fractions == sorted(fractions)
    assert len(set(training)) > 5
    assert fractions[-1] == 1.0
    stopped = make(callbacks=[Listener(stop_in="training", after=3)]).fit()
    assert (stopped.stop_reason, stopped.epochs) == ("stopped", 0)


@pytest.mark.usefixtures("on_disk")
def test_a_walk_that_is_stopped_while_metrics_are_read_stays_where_it_was_told(shelf: Maker) -> None:
    evaluation = {"split": {"type": "order", "dev": 0.3}, "every": 2}
    make = shelf(training={"epochs": 5, "engine": "auto"}, evaluation=evaluation)
    reads = Listener()
    make(callbacks=[reads]).fit()
    own = -(-ROWS // 8) + 2
    fit = make(callbacks=[Listener(stop_in="training", after=own + 1)]).fit()
    start = shelf(training={"epochs": 1, "engine": "auto"}, optimizer=STILL)().fit()
    assert fit.engine is not None
    assert (fit.engine.name, fit.epochs) == ("quadratic", 0)
    assert torch.equal(fit.state_dict["weight"], start.state_dict["weight"])


def test_batches_of_rows_in_memory_are_no_windows() -> None:
    table = Table(torch.arange(12.0).reshape(12, 1), torch.zeros(12, 1))
    batches = Batches(table, batch_rows=5, shuffle=False, seed=0)
    assert [len(batch.features) for batch in batches.epoch()] == [5, 5, 2]


def test_a_record_hears_of_a_job_on_disk_as_of_one_in_memory(
    shelf: Maker,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(estimates, "RESIDENT_BYTES", 100)
    monkeypatch.setattr(callbacks, "READING_SECONDS", 0.0)
    record = Record()
    shelf(training={"epochs": 3, "batch_size": 5})(callbacks=[record]).fit()
    assert record.epoch == 3
