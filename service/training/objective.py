"""The loss of a job: torch's own of a batch, weighted by rows where asked for; and what raw outputs mean to people."""

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from service.exceptions import TrainingFailed
from service.spec.losses import (
    CrossEntropyLoss,
    CTCLoss,
    GaussianNLLLoss,
    HingeEmbeddingLoss,
    KLDivLoss,
    LossSpec,
    NLLLoss,
    PoissonNLLLoss,
    Target,
)

__all__ = ["Objective", "Outputs", "Predictions"]

Network = Callable[[Tensor], Tensor]
Outputs = Tensor | tuple[Tensor, ...]
"""What the network gives for a batch; a tuple, in the order of the roles, for a loss that compares inputs."""

LEAST = torch.finfo(torch.float32).tiny
"""Smallest sum of weights that is divided by: the loss of rows without any weight is 0, and moves nothing."""


@dataclass(frozen=True, slots=True)
class Predictions:
    """What a network's outputs mean.

    Attributes:
        values: Numbers of shape (N, T); or int64 codes: of the class (N,), or of no and yes, 0 and 1, (N, T).
            For sequences the codes, then -1 up to the end. For embeddings, rankings: the outputs themselves.
        probabilities: Of each class, (N, C), or of yes, (N, T); None where the loss gives none.
        scores: Higher for what is more likely, of the same shape; None where there are no classes.
        std: Standard deviation of each value, (N, T), where the loss fits it.
    """

    values: Tensor
    probabilities: Tensor | None = None
    scores: Tensor | None = None
    std: Tensor | None = None


class Objective:
    """The loss of a job.

    `objective(network, features, target)` is to the last bit
    `getattr(torch.nn, type)(**parameters)(network(features), target)` for the losses of a single input.
    The others differ in how they are called: GaussianNLLLoss gets the halves of the outputs as mean and
    exp(log-variance), CTCLoss the outputs (N, steps, codes) as (steps, N, codes), and losses with roles get
    `network(features[:, r])` for each role r.
    """

    def __init__(
        self, spec: LossSpec, *, device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32
    ) -> None:
        """Build torch's loss.

        Args:
            spec: The loss.
            device: Where the weights of the classes lie.
            dtype: Their number format, that of the network.
        """
        weights = {
            name: torch.tensor(values, device=device, dtype=dtype) for name, values in spec.weights().items()
        }
        arguments = {**spec.arguments(), **weights}
        self.spec = spec
        self._class_weight = weights.get("weight")
        self._loss = _callable(spec, arguments)
        self._elements = _callable(spec, {**arguments, "reduction": "none"})
        self._compares = bool(spec.roles)

    def __call__(
        self, network: Network, features: Tensor, target: Tensor, weight: Tensor | None = None
    ) -> Tensor:
        """Compute the loss of a batch.

        Args:
            network: Gives (N, K) for the features of N rows.
            features: Shape (N, …), or (N, R, …) for a loss with R roles.
            target: As `service.spec.losses.Target` describes it; it does not matter where that is `none`.
            weight: The weight of each row, 0 or more, shape (N,), of the network's number format; None where
                all weigh the same.

        Returns:
            A scalar: torch's mean; with weights what `loss` says.
        """
        if self._compares:
            return self.loss(self.outputs(network, features), target, weight)
        if weight is None:
            return self._loss(network(features), target)
        return self.loss(network(features), target, weight)

    def outputs(self, network: Network, features: Tensor) -> Outputs:
        """Apply the network: once, or to the input of each role."""
        if not self._compares:
            return network(features)
        return tuple(network(one) for one in features.unbind(1))

    def loss(self, outputs: Outputs, target: Tensor, weight: Tensor | None = None) -> Tensor:
        """Compute the loss of outputs that are there already.

        With row weights w it is sum(w l) / sum(w) over the rows, l being the mean of a row's elements. Class
        weights c multiply l, as in torch; CrossEntropyLoss and NLLLoss divide by sum(w c) instead, as torch
        divides by sum(c), and rows of `ignore_index` count on neither side: so equal row weights give the
        loss without them. Where no row has any weight the loss is 0.
        """
        if weight is None:
            return self._loss(outputs, target)
        total, mass = self.sums(outputs, target, weight)
        return total / mass.clamp_min(LEAST)

    def sums(self, outputs: Outputs, target: Tensor, weight: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Give the two sums whose quotient is the loss: added up over batches, they give that of all rows exactly."""
        rows = self.rows(outputs, target)
        counted = _COUNTED.get(self.spec.type)
        mass = (
            torch.ones_like(rows) if counted is None else counted(self.spec, self._class_weight, target, rows)
        )
        if weight is None:
            return rows.sum(), mass.sum()
        return torch.dot(rows, weight), torch.dot(mass, weight)

    def rows(self, outputs: Outputs, target: Tensor) -> Tensor:
        """Compute the loss of each row, shape (N,); class weights included."""
        elements = self._elements(outputs, target)
        own = _ROWS.get(self.spec.type)
        if own is not None:
            return own(elements, target)
        return elements if elements.dim() == 1 else elements.flatten(1).mean(1)

    def predictions(self, outputs: Tensor) -> Predictions:
        """Say what the network's raw outputs mean; for losses with roles, those of a single input."""
        return _DECODERS.get(self.spec.type, _as_they_are)(self.spec, outputs.detach())

    @property
    def gives_values(self) -> bool:
        """Whether the network's raw outputs are what `predictions` gives as values, and there is nothing else."""
        return self.spec.type not in _DECODERS

    def truth(self, target: Tensor) -> Tensor:
        """Give the target in the form of `Predictions.values`: codes of classes, 0 and 1, probabilities, numbers."""
        if getattr(self.spec, "log_target", False):
            return target.exp()
        return _TRUTHS.get(self.spec.target, _unchanged)(target)

    def require(
        self, target: Tensor, *, output_shape: Sequence[int], rows: Sequence[int] | None = None
    ) -> None:
        """Make sure that torch can take these targets. Torch itself would read beyond its memory on some.

        Args:
            target: Of any number of rows.
            output_shape: Shape of what the network gives for one row.
            rows: Their positions in the table, for the message; counted from 0 when left out.

        Raises:
            TrainingFailed: `target_out_of_range`, naming the first row; `wrong_output_shape`.
        """
        self._require_shape(target, tuple(output_shape))
        bad = _BAD.get(self.spec.type) or _BAD_TARGETS.get(self.spec.target)
        wrong = bad(self.spec, target, tuple(output_shape)) if bad is not None else None
        if wrong is not None and bool(wrong.any()):
            row = int(wrong.int().argmax())
            shown = ", ".join(f"{value:g}" for value in target[row].flatten()[:10].tolist())
            message = f"{self.spec.type} cannot take the target of row {row if rows is None else rows[row]}: {shown}."
            raise TrainingFailed("target_out_of_range", message, _WANTED[self.spec.target])

    def _require_shape(self, target: Tensor, output_shape: tuple[int, ...]) -> None:
        axes = _output_axes(self.spec, target)
        if axes is None or (
            len(axes) == len(output_shape)
            and all(wanted in {None, given} for wanted, given in zip(axes, output_shape, strict=True))
        ):
            return
        expected = "(" + ", ".join("…" if axis is None else str(axis) for axis in axes) + ")"
        message = f"The network gives {output_shape} for a row, and {self.spec.type} needs {expected}."
        hint = "Let the last layer give one number for each class, or for each target."
        raise TrainingFailed("wrong_output_shape", message, hint)


def _output_axes(spec: LossSpec, target: Tensor) -> tuple[int | None, ...] | None:
    """Give the shape that the outputs of a row must have, None for an axis of any size; None where it is free."""
    width = spec.outputs(targets=target.shape[-1], classes=0)
    axes = {"classes": (None,), "sequence": (None, None)}
    return axes.get(spec.target, None if width is None else (width,))


# How torch's losses are called.


def _callable(spec: LossSpec, arguments: Mapping[str, Any]) -> Callable[[Any, Tensor], Tensor]:
    """Build torch's loss; the module itself where it takes outputs and target as they are."""
    module: Callable[[Any, Tensor], Tensor] = getattr(torch.nn, spec.type)(**arguments)
    call = _CALLS.get(spec.type)
    return module if call is None else functools.partial(call, module)


def _gaussian(loss: Callable[..., Tensor], outputs: Tensor, target: Tensor) -> Tensor:
    mean, log_variance = outputs.chunk(2, dim=1)
    return loss(mean, target, log_variance.exp())


def _ctc(loss: Callable[..., Tensor], outputs: Tensor, target: Tensor) -> Tensor:
    return loss(outputs.transpose(0, 1), target[:, 2:], target[:, 0], target[:, 1])


def _ranking(loss: Callable[..., Tensor], outputs: tuple[Tensor, Tensor], target: Tensor) -> Tensor:
    return loss(*outputs, target)


def _cosine(loss: Callable[..., Tensor], outputs: tuple[Tensor, Tensor], target: Tensor) -> Tensor:
    return loss(*outputs, target.flatten())


def _triplet(loss: Callable[..., Tensor], outputs: tuple[Tensor, Tensor, Tensor], target: Tensor) -> Tensor:  # noqa: ARG001 - there is no target
    return loss(*outputs)


def _probabilities(loss: Callable[..., Tensor], outputs: Tensor, target: Tensor) -> Tensor:
    """Give NaN for outputs that are NaN, as all other losses do: torch refuses them, and a divergence is no fault."""
    try:
        return loss(outputs, target)
    except RuntimeError:
        if not bool(outputs.isnan().any()):
            raise
        return (
            outputs.mean() if getattr(loss, "reduction", "") == "mean" else torch.full_like(outputs, math.nan)
        )


_CALLS: Mapping[str, Callable[..., Tensor]] = {
    "BCELoss": _probabilities,
    "GaussianNLLLoss": _gaussian,
    "CTCLoss": _ctc,
    "MarginRankingLoss": _ranking,
    "CosineEmbeddingLoss": _cosine,
    "TripletMarginLoss": _triplet,
}


# How the elements of a row become its loss, and how much a row counts.

_ROWS: Mapping[str, Callable[[Tensor, Tensor], Tensor]] = {
    "KLDivLoss": lambda elements, _: elements.sum(1),
    "CTCLoss": lambda elements, target: elements / target[:, 1].clamp_min(1),
}


def _counted(spec: CrossEntropyLoss | NLLLoss, weight: Tensor | None, target: Tensor, rows: Tensor) -> Tensor:
    """Give the weight of each row's class, which the loss is divided by; 0 for rows that are ignored."""
    counted = target != spec.ignore_index
    if weight is None:
        return counted.to(rows.dtype)
    return weight[torch.where(counted, target, 0)] * counted


_COUNTED: Mapping[str, Callable[[Any, Tensor | None, Tensor, Tensor], Tensor]] = {
    "CrossEntropyLoss": _counted,
    "NLLLoss": _counted,
}


# What raw outputs mean.


def _as_they_are(spec: LossSpec, outputs: Tensor) -> Predictions:  # noqa: ARG001 - the signature of every decoder
    return Predictions(outputs)


def _counts(spec: PoissonNLLLoss, outputs: Tensor) -> Predictions:
    return Predictions(outputs.exp() if spec.log_input else outputs)


def _normal(spec: GaussianNLLLoss, outputs: Tensor) -> Predictions:
    mean, log_variance = outputs.chunk(2, dim=1)
    return Predictions(mean, std=log_variance.exp().clamp_min(spec.eps).sqrt())


def _most_likely(probabilities: Tensor) -> Predictions:
    return Predictions(probabilities.argmax(1), probabilities=probabilities, scores=probabilities)


def _distribution(_: LossSpec, outputs: Tensor) -> Predictions:
    probabilities = outputs.exp()
    return Predictions(probabilities, probabilities=probabilities)


def _yes_or_no(probabilities: Tensor, scores: Tensor) -> Predictions:
    # Scores, not probabilities, rank the rows: a probability rounds to 1 where a score still differs.
    return Predictions((probabilities >= 0.5).long(), probabilities=probabilities, scores=scores)  # noqa: PLR2004 - even odds


def _near(spec: HingeEmbeddingLoss, outputs: Tensor) -> Predictions:
    # At half the margin both answers have the same loss.
    return Predictions((outputs < spec.margin / 2).long(), scores=-outputs)


def _above_their_mean(_: LossSpec, outputs: Tensor) -> Predictions:
    # The loss compares a row's scores with each other only: no threshold but one of their own has a meaning.
    return Predictions((outputs > outputs.mean(1, keepdim=True)).long(), scores=outputs)


def _best_path(spec: CTCLoss, outputs: Tensor) -> Predictions:
    """Take the likeliest code of each step, then leave out repetitions and blanks (Graves et al. 2006, 3.2)."""
    best = outputs.argmax(2)
    changed = torch.ones_like(best, dtype=torch.bool)
    changed[:, 1:] = best[:, 1:] != best[:, :-1]
    kept = changed & (best != spec.blank)
    order = torch.argsort((~kept).int(), dim=1, stable=True)
    codes = torch.where(kept, best, -1).gather(1, order)
    return Predictions(codes, probabilities=outputs.exp())


_DECODERS: Mapping[str, Callable[[Any, Tensor], Predictions]] = {
    "PoissonNLLLoss": _counts,
    "GaussianNLLLoss": _normal,
    "CrossEntropyLoss": lambda _, outputs: _most_likely(outputs.softmax(1)),
    "NLLLoss": lambda _, outputs: _most_likely(outputs.exp()),
    "MultiMarginLoss": lambda _, outputs: Predictions(outputs.argmax(1), scores=outputs),
    "KLDivLoss": _distribution,
    "BCELoss": lambda _, outputs: _yes_or_no(outputs, outputs),
    "BCEWithLogitsLoss": lambda _, outputs: _yes_or_no(outputs.sigmoid(), outputs),
    "MultiLabelSoftMarginLoss": lambda _, outputs: _yes_or_no(outputs.sigmoid(), outputs),
    "SoftMarginLoss": lambda _, outputs: _yes_or_no(outputs.sigmoid(), outputs),
    "HingeEmbeddingLoss": _near,
    "MultiLabelMarginLoss": _above_their_mean,
    "CTCLoss": _best_path,
}
"""By loss; the others' outputs are what they mean."""


# Targets as people see them, and targets that torch cannot take.


def _unchanged(target: Tensor) -> Tensor:
    return target


def _marked(target: Tensor) -> Tensor:
    """Turn the codes of each row's labels into 0 and 1 for each label."""
    rows, labels = target.shape
    marks = torch.zeros(rows, labels + 1, dtype=torch.int64, device=target.device)
    return marks.scatter(1, torch.where(target < 0, labels, target), 1)[:, :labels]


_TRUTHS: Mapping[Target, Callable[[Tensor], Tensor]] = {
    "binary": lambda target: (target >= 0.5).long(),  # noqa: PLR2004 - halfway from no to yes
    "signs": lambda target: (target > 0).long(),
    "label_indices": _marked,
}

Bad = Callable[[Any, Tensor, tuple[int, ...]], Tensor]
"""Tells of each row whether torch cannot take its target."""


def _any(elements: Tensor) -> Tensor:
    return elements.flatten(1).any(1)


def _bad_class(spec: Any, target: Tensor, shape: tuple[int, ...]) -> Tensor:  # noqa: ANN401 - a loss of classes
    outside = (target < 0) | (target >= shape[0])
    return outside & (target != getattr(spec, "ignore_index", -1))


def _bad_distribution(spec: KLDivLoss, target: Tensor, shape: tuple[int, ...]) -> Tensor:  # noqa: ARG001 - the signature of every check
    probabilities = target.exp() if spec.log_target else target
    return ((probabilities.sum(1) - 1).abs() > 1e-3) | _any(probabilities < 0)  # noqa: PLR2004 - rounded percentages


def _bad_sequence(spec: CTCLoss, target: Tensor, shape: tuple[int, ...]) -> Tensor:
    steps, codes = shape
    labels = target[:, 2:]
    counted = torch.arange(labels.shape[1], device=target.device) < target[:, 1:2]
    wrong = counted & ((labels < 0) | (labels >= codes) | (labels == spec.blank))
    lengths = (target[:, 0] < 1) | (target[:, 0] > steps) | (target[:, 1] < 0)
    return lengths | (target[:, 1] > labels.shape[1]) | wrong.any(1) | (spec.blank >= codes)


_BAD: Mapping[str, Bad] = {"PoissonNLLLoss": lambda _, target, __: _any(target < 0)}
_BAD_TARGETS: Mapping[Target, Bad] = {
    "classes": _bad_class,
    "binary": lambda _, target, __: _any((target < 0) | (target > 1)),
    "signs": lambda _, target, __: _any(target.abs() != 1),
    "label_indices": lambda _, target, shape: _any((target < -1) | (target >= shape[0])),
    "distribution": _bad_distribution,
    "sequence": _bad_sequence,
}
_WANTED: Mapping[Target, str] = {
    "values": "Counts are 0 or more: take MSELoss for other numbers.",
    "classes": "A class's code is at least 0 and less than the number of the network's outputs.",
    "binary": "Each target is 0 or 1.",
    "signs": "Each target is -1 or 1.",
    "label_indices": "A label's code is at least 0 and less than the number of the network's outputs.",
    "distribution": "The probabilities of a row are 0 or more and sum to 1.",
    "sequence": "The input's length is from 1 to the network's steps; the target's is at most its columns; "
    "its codes are less than the network's outputs, and none is the blank.",
}
