"""Linear models of many groups at once: their rows are read once, side by side, and their epochs follow by algebra.

Groups of about the same size lie side by side in tables of shape (groups, rows, numbers), filled up with rows of
the weight 0. What is not sure to come out as a job over the group's rows would have it is left to such a job.
"""

import contextlib
import dataclasses
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from service.exceptions import TrainingFailed
from service.spec import bowl
from service.spec.estimates import is_streamed
from service.spec.optimizers import SGD
from service.spec.plan import Plan
from service.tables.frame import Frame
from service.training import encoding, randomness
from service.training.columns import columns_in_use
from service.training.embedding import network_of
from service.training.groups.descents import Bowls, Descents, squares
from service.training.groups.grouping import Grouping, rows_of
from service.training.groups.ledger import Ledger
from service.training.groups.models import PARTS
from service.training.initial import start_from
from service.training.objective import LEAST
from service.training.preparation import fitted, wanted_scaling
from service.training.quadratic.bowl import Floats, parameters_of
from service.training.rows import DTYPES
from service.training.splits import Parts, split, usable_rows

__all__ = ["MIN_ROWS", "Together", "obstacle"]

Positions = npt.NDArray[np.int64]

MAX_INPUTS = 64
"""Of more, the products of all pairs of axes no longer fit the cache, and each group is fast enough by itself."""
MIN_ROWS = 2
"""A line needs two points."""
BLOCK_NUMBERS = 2**20
"""Numbers of one block of groups: milliseconds, after which cancel and pause are heard."""


def obstacle(plan: Plan, frame: Frame, device: torch.device, *, largest: Plan) -> str | None:
    """Say what keeps the groups of a job from being trained at once; None where nothing does.

    Args:
        plan: Of the effective spec.
        frame: All rows.
        device: To train on.
        largest: Of a job over the rows of the largest group.
    """
    own = (what for what, keeps in _OBSTACLES.items() if keeps(plan, frame, device))
    return bowl.obstacle(largest) or next(own, None)


def _fills_gaps(plan: Plan, frame: Frame) -> bool:
    treatment = plan.spec.preprocessing.treatment
    return any(
        column.missing and treatment(column).missing not in {"refuse", "drop"}
        for column in columns_in_use(plan.spec, frame.schema)
    )


_OBSTACLES: Mapping[str, Callable[[Plan, Frame, torch.device], bool]] = {
    "the spec asks for the reference": lambda plan, *_: plan.spec.training.engine == "eager",
    "each training may stop at another epoch": lambda plan, *_: plan.spec.training.early_stopping is not None,
    "the rows are on an accelerator": lambda _, __, device: device.type != "cpu",
    "gaps are filled with figures of each group": lambda plan, frame, _: _fills_gaps(plan, frame),
    "the rows are too many for memory": lambda plan, *_: is_streamed(plan),
    "there are too many inputs": lambda plan, *_: plan.inputs[0] > MAX_INPUTS,
    "outputs are bent, parameters frozen, or categories learnt": lambda plan, *_: _is_not_plain(plan),
}


def _is_not_plain(plan: Plan) -> bool:
    start, preprocessing = plan.spec.model.start, plan.spec.preprocessing
    embedded = any(
        column.kind == "category" and preprocessing.treatment(column).encoding == "embedding"
        for column in plan.features
    )
    return embedded or bool(plan.spec.model.output_activation) or bool(start is not None and start.freeze)


@dataclass(frozen=True, slots=True)
class _Side:
    """One part of the rows of some groups, side by side.

    Attributes:
        inputs: As they were encoded, shape (groups, rows, numbers).
        targets: Shape (groups, rows, outputs).
        weights: 0 for rows that only fill up; shape (groups, rows).
        filled: Which rows are the group's own; shape (groups, rows).
    """

    inputs: Floats
    targets: Floats
    weights: Floats
    filled: npt.NDArray[np.bool_]

    @property
    def shares(self) -> Floats:
        """The weights over their group's sum."""
        return np.asarray(self.weights / np.maximum(self.weights.sum(axis=1, keepdims=True), LEAST))


class Together:
    """Trains the groups of a linear job, a block of them at a time."""

    def __init__(
        self,
        plan: Plan,
        frame: Frame,
        grouping: Grouping,
        *,
        initial: Mapping[str, torch.Tensor] | None,
    ) -> None:
        """Sort the rows by groups, and split each group's.

        Args:
            plan: Of the effective spec: one without an obstacle.
            frame: All rows.
            grouping: The groups.
            initial: Tensors to start from, where the spec asks for them.

        Raises:
            TrainingFailed: The data cannot be trained on.
        """
        self._plan, self._spec, self._frame = plan, plan.spec, frame
        self._dtype = DTYPES[self._spec.training.dtype]
        usable = usable_rows(frame, self._spec.preprocessing, columns_in_use(self._spec, frame.schema))
        self._parts = _parts_of(plan, frame, grouping, usable)
        # Of whichever rows: what they say of the scaling is put aside, and asked of each group.
        self._base = fitted(plan, frame, usable[:2])
        self._wanted = wanted_scaling(plan, self._base)
        self._network = self._started(initial)
        self._start = parameters_of(self._network)
        self._decay = np.full(len(self._start), 2 * self._spec.regularization.l2 + self._sgd.weight_decay)
        if self._network.bias is not None:
            self._decay[-1] = self._sgd.weight_decay
        self._epochs = self._spec.training.epochs
        self._has_dev = any(len(parts.dev) for parts in self._parts.values())
        self._blocks = self._cut()

    @property
    def _sgd(self) -> SGD:
        if not isinstance(self._spec.optimizer, SGD):
            raise TypeError("the job is not one for all groups at once")
        return self._spec.optimizer

    def _started(self, initial: Mapping[str, torch.Tensor] | None) -> torch.nn.Linear:
        """Build the network with which each group begins: all have the same seed."""
        seed = self._spec.training.seed
        if seed is None:
            raise ValueError("an effective spec has a seed: send it through service.spec.intake first")
        randomness.start(seed)
        network = network_of(self._spec.model, self._base)
        if not isinstance(network, torch.nn.Linear):
            raise TypeError("the model is not one fully connected layer")
        if initial is not None and self._spec.model.start is not None:
            start_from(network, initial, self._spec.model.start)
        return network

    def _cut(self) -> list[list[int]]:
        """Put groups of about one size into blocks: the smallest first."""
        parts = self._parts
        sizes = {group: sum(map(len, of_parts(one))) for group, one in parts.items()}
        width = self._plan.inputs[0] + 1
        terms = (width**2 if self._has_dev or self._decay.any() else width) * (4 if self._sgd.momentum else 1)
        tables = terms * 2 * (math.isqrt(self._epochs) + 2)
        blocks: list[list[int]] = []
        for group in sorted(sizes, key=lambda one: (sizes[one], one)):
            numbers = max(sizes[group] * (width + 1), tables)
            block = blocks[-1] if blocks else []
            if block and (len(block) + 1) * numbers <= BLOCK_NUMBERS and sizes[group] <= 2 * sizes[block[0]]:
                block.append(group)
            else:
                blocks.append([group])
        return blocks

    def train(self, ledger: Ledger) -> Iterator[int]:
        """Train block after block, but for groups that are done, and write them down.

        Args:
            ledger: Of all groups; groups that it does not have afterwards are to be trained by themselves.

        Yields:
            After each block, how many groups are in it.
        """
        for block in self._blocks:
            groups = np.array(block)
            groups = groups[~ledger.done[groups]]
            if len(groups):
                with np.errstate(all="ignore"):
                    self._train(groups, ledger)
            yield len(block)

    def _train(self, groups: Positions, ledger: Ledger) -> None:
        sides = {part: side for part in PARTS if (side := self._side(groups, part)) is not None}
        scalings = self._scalings(sides["train"])
        scaled = {part: self._scaled(side, scalings) for part, side in sides.items()}
        start, train = self._start, scaled["train"]
        bowls = Bowls.over(train.inputs, train.targets, train.shares, near=start)
        largest = torch.finfo(self._dtype).max / train.weights.shape[1]
        descents = Descents(bowls, self._sgd, start=start, decay=self._decay, largest=largest)
        sound = _are_finite(scaled.values()) & (train.weights.sum(axis=1) > 0)
        descents.leave(~sound)
        ends = torch.from_numpy(descents.ends(self._epochs)).to(self._dtype).double().numpy()
        losses = np.stack([self._losses(scaled.get(part), ends) for part in PARTS], axis=1)
        sane = descents.tame & np.isfinite(losses[:, 0]) & ~np.isinf(losses).any(axis=1)
        descents.leave(~sane)
        self._tell(descents, scaled.get("dev"), ledger)
        self._keep(groups[sane], ends[sane], {n: v[sane] for n, v in scalings.items()}, losses[sane], ledger)

    def _side(self, groups: Positions, part: str) -> "_Side | None":
        """Read one part of the rows of some groups; None where none has any."""
        rows = [getattr(self._parts[group], part) for group in groups.tolist()]
        sizes = np.array([len(one) for one in rows])
        longest = int(sizes.max())
        if longest == 0:
            return None
        frame, spec = self._frame, self._spec.data
        filled = np.arange(longest) < sizes[:, None]
        places = np.zeros(filled.shape, dtype=np.int64)
        places[filled] = np.concatenate(rows)
        # Rows that only fill up are the group's first one: any numbers will do, but they must be finite.
        if sizes.min() < longest:
            places = np.where(filled, places, np.where(sizes > 0, places[:, 0], 0)[:, None])
        flat = places.reshape(-1)
        columns = {name: frame.arrays[name][flat] for name in self._base.feature_names}
        inputs = self._base.encoded(columns, self._base.feature_names).numpy()
        target = [encoding.as_columns(frame.arrays[name][flat]) for name in spec.target_names]
        targets = target[0] if len(target) == 1 else np.concatenate(target, axis=1)
        weights = filled.astype(np.float64)
        if spec.weight is not None:
            own = frame.arrays[spec.weight][places].astype(np.float64)
            weights *= torch.from_numpy(own).to(self._dtype).double().numpy()
        return _Side(inputs.reshape(*places.shape, -1), targets.reshape(*places.shape, -1), weights, filled)

    def _scalings(self, train: "_Side") -> dict[str, Floats]:
        """Give shift and scale of each group, as `Preparation` has them: its training rows decide, whatever their weights."""
        found = {"fill": np.full((len(train.inputs), len(self._base.inputs)), np.nan)}
        how = self._spec.preprocessing.target_scaling
        for prefix, table, wanted in (
            ("", train.inputs, self._wanted),
            ("target_", train.targets, [how] * train.targets.shape[2]),
        ):
            shift, scale = _scaling(table, train.filled, wanted)
            found |= {f"{prefix}shift": shift, f"{prefix}scale": scale}
        return found

    def _scaled(self, side: "_Side", scalings: Mapping[str, Floats]) -> "_Side":
        """Scale the rows of each group, round them to the number format of the training, and append the bias."""
        inputs, targets = side.inputs, side.targets
        if scalings["scale"].shape[1]:
            inputs = (inputs - scalings["shift"][:, None]) / scalings["scale"][:, None]
        if scalings["target_scale"].shape[1]:
            targets = (targets - scalings["target_shift"][:, None]) / scalings["target_scale"][:, None]
        if self._dtype != torch.float64:
            inputs, targets = (
                torch.from_numpy(table).to(self._dtype).double().numpy() for table in (inputs, targets)
            )
        if self._network.bias is not None:
            ones = np.ones((*inputs.shape[:2], 1))
            inputs = np.concatenate([inputs, ones], axis=2)
        return dataclasses.replace(side, inputs=inputs, targets=targets)

    def _losses(self, side: "_Side | None", ends: Floats) -> Floats:
        """Give the losses of the final parameters; NaN where a group has no such rows."""
        if side is None:
            return np.full(len(ends), np.nan)
        found = squares(side.inputs, side.targets, side.shares, at=ends)
        return np.where(side.filled.any(axis=1), found, np.nan)

    def _tell(self, descents: Descents, dev: "_Side | None", ledger: Ledger) -> None:
        count = int(descents.tame.sum())
        if count == 0:
            return
        ledger.told("train_loss", descents.sums(self._epochs)[:-1], count=count)
        if dev is None:
            return
        # A group without dev rows adds nothing to the sum, for all rows that it has there weigh nothing.
        watched = dev.filled.any(axis=1) & descents.tame
        bowls = Bowls.over(dev.inputs, dev.targets, dev.shares, near=self._start)
        ledger.told("dev_loss", descents.sums_of(bowls, self._epochs)[1:], count=int(watched.sum()))

    def _keep(
        self, groups: Positions, ends: Floats, scalings: Mapping[str, Floats], losses: Floats, ledger: Ledger
    ) -> None:
        if not len(groups):
            return
        values = torch.from_numpy(np.ascontiguousarray(np.swapaxes(ends, 1, 2))).to(self._dtype)
        width = self._network.in_features
        tensors = {"weight": values[:, :, :width]}
        if self._network.bias is not None:
            tensors["bias"] = values[:, :, width]
        ledger.trained(
            groups,
            preparation=self._base,
            tensors=tensors,
            scalings=scalings,
            rows=[[len(rows) for rows in of_parts(self._parts[group])] for group in groups.tolist()],
            losses=losses,
            epochs=self._epochs,
            reason="completed",
        )


def _parts_of(plan: Plan, frame: Frame, grouping: Grouping, usable: Positions) -> dict[int, Parts]:
    """Split the rows of each group; groups that cannot be split are left out."""
    found = {}
    if plan.spec.evaluation.split is None and len(usable) == len(frame):
        whole = np.split(grouping.order, grouping.starts[1:-1])
        return {n: Parts(own, own[:0], own[:0]) for n, own in enumerate(whole) if len(own) >= MIN_ROWS}
    keep = None
    if len(usable) < len(frame):
        keep = np.zeros(len(frame), dtype=bool)
        keep[usable] = True
    for group in range(len(grouping)):
        rows = grouping.rows(group)
        rows = rows if keep is None else rows[keep[rows]]
        with contextlib.suppress(TrainingFailed):
            found[group] = _split(plan, frame, rows)
    return found


def _split(plan: Plan, frame: Frame, rows: Positions) -> Parts:
    """Split the rows of a group as a job over these rows would."""
    evaluation = plan.spec.evaluation
    if evaluation.split is None:
        return split(evaluation, frame, rows)
    own = rows_of(frame, rows, plan)
    places = split(evaluation, own, np.arange(len(rows)))
    return Parts(*(rows[part] for part in of_parts(places)))


def of_parts(parts: Parts) -> tuple[Positions, Positions, Positions]:
    """Give the rows in the order of `PARTS`."""
    return parts.train, parts.dev, parts.test


def _are_finite(sides: Iterable["_Side"]) -> npt.NDArray[np.bool_]:
    """Tell which groups have finite numbers only."""
    numbers = (table for side in sides for table in (side.inputs, side.targets))
    return np.asarray(np.logical_and.reduce([np.isfinite(table).all(axis=(1, 2)) for table in numbers]))


def _scaling(table: Floats, filled: npt.NDArray[np.bool_], wanted: Sequence[str]) -> tuple[Floats, Floats]:
    """Give shift and scale of each group and column, as `Figures.scaling` does; nothing where none is scaled."""
    if set(wanted) == {"none"}:
        return np.zeros((len(table), 0)), np.zeros((len(table), 0))
    inside = filled[:, :, None]
    count = np.maximum(1, filled.sum(axis=1))[:, None]
    mean = np.where(inside, table, 0.0).sum(axis=1) / count
    std = np.sqrt(np.where(inside, np.square(table - mean[:, None]), 0.0).sum(axis=1) / count)
    low = np.where(inside, table, np.inf).min(axis=1)
    high = np.where(inside, table, -np.inf).max(axis=1)
    pairs = {"none": (0.0 * mean, 0.0 * mean + 1), "standardize": (mean, std), "min_max": (low, high - low)}
    shift, scale = (
        np.stack([pairs[how][side][:, place] for place, how in enumerate(wanted)], axis=1) for side in (0, 1)
    )
    return shift, np.where((scale > 0) & (low < high), scale, 1.0)
