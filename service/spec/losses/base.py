"""What all losses share: what they want as a target, and what they want from the network."""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from service.spec.base import SpecModel

__all__ = ["ANY_OUTPUT", "ClassWeights", "Loss", "Output", "PositiveWeights", "Size", "Target"]

Target = Literal["values", "classes", "binary", "signs", "label_indices", "distribution", "sequence", "none"]
"""The form in which a loss takes the truth of N rows with T target columns or C classes.

| target | tensor |
| --- | --- |
| `values` | float (N, T) |
| `classes` | int64 (N,): codes from 0 to C - 1 |
| `binary` | float (N, T) of 0 and 1 |
| `signs` | float (N, T) of -1 and 1 |
| `label_indices` | int64 (N, C): the codes of the row's labels, then -1 up to the end |
| `distribution` | float (N, C), each row of which sums to 1 |
| `sequence` | int64 (N, S + 2): length of the input, length of the target, then the target's codes |
| `none` | there is no target |
"""
Output = Literal["raw", "probability", "probabilities", "log_probabilities", "positive", "bounded"]
"""What the numbers are that a network gives.

`raw` may be anything; `probability` is each for itself between 0 and 1 (Sigmoid); `probabilities` sum to 1
in a row (Softmax), `log_probabilities` are their logarithms (LogSoftmax); `positive` is above 0 (Softplus,
ReLU); `bounded` cannot reach every number for another reason (Tanh, ELU).
"""
ANY_OUTPUT: tuple[Output, ...] = (
    "raw",
    "probability",
    "probabilities",
    "log_probabilities",
    "positive",
    "bounded",
)

# Torch fails where float32 cannot hold a parameter, which it can up to 3e38.
Size = Annotated[float, Field(ge=0, le=1e30)]
"""A number that float32 can hold."""
ClassWeights = Annotated[tuple[Size, ...], Field(min_length=1, max_length=100_000, fail_fast=True)]
# Where torch divides by the weights of a batch, a batch of weight zero would have the loss NaN.
PositiveWeights = Annotated[
    tuple[Annotated[float, Field(ge=1e-30, le=1e30)], ...],
    Field(min_length=1, max_length=100_000, fail_fast=True),
]


class Loss(SpecModel):
    """A loss of `torch.nn`, with torch's parameters and defaults.

    `size_average`, `reduce` and `reduction` are left out: the service always averages over the rows.
    """

    target: ClassVar[Target] = "values"
    """The form of the target."""
    roles: ClassVar[tuple[str, ...]] = ()
    """Names of the inputs to which the network is applied one after the other; empty for the usual single one."""
    reduction: ClassVar[str] = "mean"
    """Torch's reduction."""
    probabilistic: ClassVar[bool] = False
    """Whether a prediction for classes comes with probabilities."""

    @property
    def accepts(self) -> tuple[Output, ...]:
        """The kinds of output that the loss takes, the usual one first."""
        return ANY_OUTPUT

    def outputs(self, *, targets: int, classes: int) -> int | None:  # noqa: ARG002 - the signature of every loss
        """Count the numbers that the network must give for a row.

        Args:
            targets: Numbers in a row of the target: its columns, or the elements of an array column.
            classes: Distinct values of the one target column; of no meaning to losses of numbers.

        Returns:
            The number, or None where the network is free to choose.
        """
        return targets

    def arguments(self) -> dict[str, Any]:
        """Give what `getattr(torch.nn, type)` is built with; weights as tuples, to be made tensors."""
        return {**self.model_dump(exclude={"type"}), "reduction": self.reduction}

    def weights(self) -> dict[str, tuple[float, ...]]:
        """Give the weights of classes or labels that are set, by the name of their field."""
        fields = {name: getattr(self, name, None) for name in ("weight", "pos_weight")}
        return {name: value for name, value in fields.items() if value is not None}
