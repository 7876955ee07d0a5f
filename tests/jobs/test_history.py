"""Histories are packed, joined, cut and thinned without losing a bit."""

import itertools
import math

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from service.jobs.history import COLUMNS, History, pack, unpack

NUMBERS = st.floats(allow_nan=True, allow_infinity=True)
TABLES = st.integers(1, 30).flatmap(
    lambda rows: st.dictionaries(
        st.sampled_from(["train_loss", "learning_rate", "mae", "r2"]),
        st.lists(NUMBERS, min_size=rows, max_size=rows),
        min_size=1,
    )
)
quick = settings(max_examples=100, deadline=None)


def counted(epochs: int, first: int = 1) -> History:
    """A history whose loss is the number of its epoch."""
    return unpack(pack({"train_loss": range(first, first + epochs)}), names=["train_loss"], first_epoch=first)


def same(one: float, other: float) -> bool:
    return one == other or (math.isnan(one) and math.isnan(other))


@quick
@given(table=TABLES, first=st.integers(1, 10**6))
def test_what_is_packed_comes_back_to_the_last_bit(table: dict[str, list[float]], first: int) -> None:
    history = unpack(pack(table), names=list(table), first_epoch=first)
    assert history.epochs.tolist() == list(range(first, first + len(next(iter(table.values())))))
    assert list(history.columns) == list(table)
    for name, series in table.items():
        assert all(same(a, b) for a, b in zip(history.columns[name].tolist(), series, strict=True))


def test_nothing_packed_is_nothing_unpacked() -> None:
    history = unpack(pack({"train_loss": []}), names=["train_loss"], first_epoch=1)
    assert history.epochs.tolist() == []


@quick
@given(lengths=st.lists(st.integers(1, 9), max_size=6))
def test_consecutive_chunks_join_to_one_history(lengths: list[int]) -> None:
    starts = [1 + sum(lengths[:i]) for i in range(len(lengths))]
    joined = History.joined(counted(n, start) for n, start in zip(lengths, starts, strict=True))
    assert joined.epochs.tolist() == list(range(1, sum(lengths) + 1))
    assert joined.columns["train_loss"].tolist() == joined.epochs.tolist()
    assert list(joined.columns)[:3] == list(COLUMNS)


def test_a_series_that_a_chunk_lacks_is_not_a_number_there() -> None:
    with_metric = unpack(
        pack({"train_loss": [3.0], "mae": [0.5]}), names=["train_loss", "mae"], first_epoch=2
    )
    joined = History.joined([counted(1), with_metric])
    assert list(joined.columns) == [*COLUMNS, "mae"]
    assert np.isnan(joined.columns["dev_loss"]).all()
    assert np.isnan(joined.columns["mae"][0])
    assert joined.columns["mae"][1] == 0.5


@quick
@given(
    epochs=st.integers(0, 40),
    offset=st.integers(1, 20),
    first=st.integers(0, 70),
    last=st.integers(0, 70) | st.none(),
)
def test_a_span_keeps_the_epochs_between_both_included(
    epochs: int, offset: int, first: int, last: int | None
) -> None:
    history = counted(epochs, offset)
    kept = [epoch for epoch in history.epochs.tolist() if first <= epoch and (last is None or epoch <= last)]
    span = history.between(first, last)
    assert span.epochs.tolist() == kept
    assert span.columns["train_loss"].tolist() == kept


@quick
@given(epochs=st.integers(0, 40), offset=st.integers(1, 20), step=st.integers(1, 50))
def test_every_nth_keeps_the_multiples(epochs: int, offset: int, step: int) -> None:
    history = counted(epochs, offset)
    assert history.every(step).epochs.tolist() == [n for n in history.epochs.tolist() if n % step == 0]


@quick
@given(epochs=st.integers(1, 300), points=st.integers(2, 60))
def test_thinning_keeps_both_ends_and_spreads_the_rest_evenly(epochs: int, points: int) -> None:
    thin = counted(epochs).thinned(points).epochs.tolist()
    assert len(thin) == min(epochs, points)
    assert (thin[0], thin[-1]) == (1, epochs)
    gaps = {later - earlier for earlier, later in itertools.pairwise(thin)}
    assert not gaps or max(gaps) - min(gaps) <= 1
    assert 0 not in gaps


@quick
@given(epochs=st.integers(1, 50))
def test_thinning_to_one_point_gives_one(epochs: int) -> None:
    assert len(counted(epochs).thinned(1).epochs) == 1
