"""The rows of one part of a job as tensors, and the order in which they are trained on."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import torch

from service.exceptions import TrainingFailed
from service.spec.training import Shuffle

__all__ = ["DTYPES", "Batch", "Batches", "Rows", "Stretch", "Table", "require_finite"]

DTYPES = {"float32": torch.float32, "float64": torch.float64}


class Batch(NamedTuple):
    """Some rows: features of shape (rows, …), their target, and their weights of shape (rows,) if they have any."""

    features: torch.Tensor
    target: torch.Tensor
    weight: torch.Tensor | None = None


@dataclass(frozen=True, slots=True)
class Stretch:
    """A batch that is read piece by piece, because it may be larger than memory.

    Attributes:
        rows: Its number of rows.
        weight: Sum of their weights; their number where all weigh the same.
        pieces: Reads it, anew at each call.
    """

    rows: int
    weight: float
    pieces: Callable[[], Iterator[Batch]]


class Rows(Protocol):
    """Rows that can be taken in any order; in memory, or read when they are asked for."""

    @property
    def is_resident(self) -> bool:
        """Whether all rows are in memory."""
        ...

    def __len__(self) -> int: ...

    @property
    def window(self) -> int:
        """How many rows are best taken together."""
        ...

    def take(self, order: torch.Tensor) -> Batch:
        """Gather the rows of these positions (int32 or int64), in this order."""
        ...

    def between(self, start: int, stop: int) -> Batch:
        """Give consecutive rows."""
        ...

    def targets(self, start: int, stop: int) -> torch.Tensor:
        """Give the targets of consecutive rows."""
        ...

    def stretch(self, start: int, stop: int, order: torch.Tensor | None) -> Stretch:
        """Give a batch to be read piece by piece: these places of an order, or of the rows themselves."""
        ...


@dataclass(frozen=True, slots=True)
class Table:
    """Rows in memory.

    Attributes:
        features: Shape (rows, …).
        target: Shape (rows,) for classes, else (rows, targets).
        weight: Shape (rows,), or None where all weigh the same.
    """

    features: torch.Tensor
    target: torch.Tensor
    weight: torch.Tensor | None = None

    @property
    def is_resident(self) -> bool:
        """They are all in memory."""
        return True

    def __len__(self) -> int:
        return self.features.shape[0]

    @property
    def tensors(self) -> list[torch.Tensor]:
        """Features, target and, where there are any, weights."""
        return [self.features, self.target, *([] if self.weight is None else [self.weight])]

    @property
    def window(self) -> int:
        """As many as stay in the cache."""
        return max(1, WINDOW_BYTES // sum(one[:1].nbytes for one in self.tensors))

    def targets(self, start: int, stop: int) -> torch.Tensor:
        """Give the targets of consecutive rows, as a view."""
        return self.target[start:stop]

    def stretch(self, start: int, stop: int, order: torch.Tensor | None) -> Stretch:
        """Give a batch in one piece."""
        batch = self.between(start, stop) if order is None else self.take(order[start:stop])
        weight = float(stop - start) if batch.weight is None else float(batch.weight.sum())
        return Stretch(stop - start, weight, lambda: iter([batch]))

    def take(self, order: torch.Tensor) -> Batch:
        """Gather the rows of these positions, in this order."""
        order = order.to(self.features.device)
        weight = None if self.weight is None else self.weight.index_select(0, order)
        return Batch(self.features.index_select(0, order), self.target.index_select(0, order), weight)

    def between(self, start: int, stop: int) -> Batch:
        """Give consecutive rows; as views where these lie in memory as new tensors would."""
        weight = None if self.weight is None else _aligned(self.weight[start:stop])
        return Batch(_aligned(self.features[start:stop]), _aligned(self.target[start:stop]), weight)

    def to(self, device: torch.device) -> "Table":
        """Copy to a device; the same tensors where they are there already."""
        weight = None if self.weight is None else self.weight.to(device)
        return Table(self.features.to(device), self.target.to(device), weight)


WINDOW_BYTES = 2**19
"""Bytes of the rows that are gathered at once: half of the cache that a core of today has to itself."""
ALIGNMENT = 64
"""Torch begins every new tensor at an address that these bytes divide."""


def _aligned(view: torch.Tensor) -> torch.Tensor:
    """Copy what begins elsewhere: matrix products round otherwise there, and not as with a DataLoader's batches."""
    return view if view.data_ptr() % ALIGNMENT == 0 else view.clone()


def require_finite(batch: Batch) -> None:
    """Make sure that every value is a number in the format of the training.

    Raises:
        TrainingFailed: `data_not_finite`, when there is NaN or infinity.
    """
    for name, tensor in (("features", batch.features), ("target", batch.target)):
        # A sum is not finite where one of its numbers is not; it may also be beyond the format by itself.
        if tensor.is_floating_point() and not (
            math.isfinite(float(tensor.sum())) or bool(torch.isfinite(tensor).all())
        ):
            raise TrainingFailed(
                "data_not_finite",
                f"The {name} hold values that are not finite numbers in {str(tensor.dtype).removeprefix('torch.')}.",
                "Scale them, or change their unit so that all are finite; float64 goes up to 1e308.",
            )


class Batches:
    """The batches of each epoch, in exactly the order of `DataLoader(shuffle=True, generator=…)`, or mixed by blocks.

    A DataLoader costs more than the training of a small model. For an epoch it draws a base seed and
    two permutations from its generator; drawing the same here gives the same rows in the same order.
    A window of several batches is gathered, or read, at a time, and handed out as views; batches of rows that are not
    in memory and larger than a window are read piece by piece.
    """

    def __init__(
        self, rows: Rows, *, batch_rows: int, shuffle: Shuffle, seed: int, drop_last: bool = False
    ) -> None:
        self._rows = rows
        self._batch_rows = min(batch_rows, len(rows))
        self._shuffle = shuffle if batch_rows < len(rows) else False
        self._generator = torch.Generator().manual_seed(seed)
        self._before = self._generator.get_state()
        self._stops = self._ends(drop_last=drop_last)
        is_whole = rows.is_resident and self._batch_rows == len(rows)
        self._whole = [rows.between(0, len(rows))] if is_whole else []

    def _ends(self, *, drop_last: bool) -> list[tuple[int, int]]:
        size, count = self._batch_rows, len(self._rows)
        ends = [(start, min(start + size, count)) for start in range(0, count, size)]
        smaller = drop_last and len(ends) > 1 and count % size != 0
        return ends[:-1] if smaller else ends

    def __len__(self) -> int:
        return len(self._stops)

    @property
    def smallest(self) -> int:
        """Rows of the smallest batch."""
        return min(stop - start for start, stop in self._stops)

    @property
    def rows(self) -> Rows:
        """All of them."""
        return self._rows

    @property
    def stops(self) -> Sequence[tuple[int, int]]:
        """Where each batch begins and ends, in the order of the epoch."""
        return self._stops

    def order(self) -> torch.Tensor | None:
        """Draw the order of the next epoch; None where the rows are taken as they lie."""
        return self._next_order() if self._shuffle else None

    def epoch(self, *, done: int = 0) -> Iterator[Batch | Stretch]:
        """Give the batches of the next epoch: of rows in memory as views, of others to be read piece by piece.

        Args:
            done: Leave out so many at its beginning; rows that are read when they are asked for are not read.
        """
        if self._whole:
            return iter(self._whole)
        order = self.order()
        ahead = self._stops[done:]
        if not self._rows.is_resident and self._batch_rows > self._rows.window:
            return (self._rows.stretch(start, stop, order) for start, stop in ahead)
        if self._rows.is_resident and order is None:
            return _cut(self._rows, ahead)
        return self._windows(order, ahead)

    def _windows(self, order: torch.Tensor | None, stops: Sequence[tuple[int, int]]) -> Iterator[Batch]:
        """Take a window of batches at a time: so what is gathered is still in the cache when it is trained on."""
        together = max(1, self._rows.window // self._batch_rows)
        for first in range(0, len(stops), together):
            some = stops[first : first + together]
            start, stop = some[0][0], some[-1][1]
            taken = self._rows.between(start, stop) if order is None else self._rows.take(order[start:stop])
            yield from _cut(Table(*taken), [(low - start, high - start) for low, high in some])
            del taken  # Or it would be in memory while the next one is read.

    def state_dict(self, *, in_epoch: bool) -> dict[str, Any]:
        """Give what the order of the rows follows from: that of the next epoch, or once more that of the present one.

        Args:
            in_epoch: Whether an epoch is under way.
        """
        return {"generator": self._before if in_epoch else self._generator.get_state()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from where `state_dict` was taken; the next `epoch` gives the one that was under way, if one was."""
        self._generator.set_state(state["generator"])

    def _next_order(self) -> torch.Tensor:
        self._before = self._generator.get_state()
        count = len(self._rows)
        if self._shuffle == "blocks":
            return _mixed_by_blocks(count, self._generator)
        torch.empty((), dtype=torch.int64).random_(generator=self._generator)
        # The same order in half of the memory; it is the length of the table that makes that matter.
        dtype = torch.int64 if self._rows.is_resident or count > MOST_INT32 else torch.int32
        order = torch.randperm(count, generator=self._generator, dtype=dtype)
        _skip_permutation(count, self._generator)
        return order


def _cut(rows: Rows, stops: Sequence[tuple[int, int]]) -> Iterator[Batch]:
    """Give batches of rows in memory, one after the other; none, where an epoch was put down after its last one."""
    if not stops:
        return iter(())
    start, size = stops[0][0], stops[0][1] - stops[0][0]
    if not isinstance(rows, Table) or start or not all(_stays_aligned(one, size) for one in rows.tensors):
        return (rows.between(*ends) for ends in stops)
    # Cut all at once, which costs a fifth of one cut after the other.
    parts = zip(*(torch.split(one, size) for one in rows.tensors), strict=True)
    return (Batch(*part) for part, _ in zip(parts, stops, strict=False))


def _stays_aligned(tensor: torch.Tensor, rows: int) -> bool:
    step = tensor.stride(0) * tensor.element_size() * rows
    return tensor.data_ptr() % ALIGNMENT == 0 and step % ALIGNMENT == 0


BLOCK_ROWS = 2**16
BLOCKS_TOGETHER = 16
"""How `blocks` mixes, for ever: another number would be another order, and a checkpoint could not be gone on from."""


def _mixed_by_blocks(count: int, generator: torch.Generator) -> torch.Tensor:
    """Draw the blocks in any order, some together, and the rows of these in any order; each row comes once."""
    drawn = torch.randperm(-(-count // BLOCK_ROWS), generator=generator)
    groups = []
    for blocks in torch.split(drawn, BLOCKS_TOGETHER):
        starts = (blocks * BLOCK_ROWS).tolist()
        rows = torch.cat([torch.arange(start, min(start + BLOCK_ROWS, count)) for start in starts])
        mixed = rows[torch.randperm(len(rows), generator=generator)]
        groups.append(mixed.int() if count <= MOST_INT32 else mixed)
    return torch.cat(groups)


MOST_INT32 = 2**31 - 1
ONE_WORD_EACH = 2**32 // 20
"""Up to so many rows `randperm` draws one number of 32 bits for each row but the last, else one of 64."""
SKIPPED_AT_ONCE = 2**20


def _skip_permutation(count: int, generator: torch.Generator) -> None:
    """Leave a generator as `randperm(count)` leaves it: its numbers are drawn, no rows are swapped."""
    if count >= ONE_WORD_EACH:
        torch.randperm(count, generator=generator)
        return
    for left in range(count - 1, 0, -SKIPPED_AT_ONCE):
        torch.empty(min(left, SKIPPED_AT_ONCE), dtype=torch.int32).random_(generator=generator)
