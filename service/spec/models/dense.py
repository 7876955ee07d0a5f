"""Models of fully connected layers: from the straight line to the multilayer perceptron."""

import itertools
import math
from collections.abc import Iterator, Sequence
from typing import Annotated, Literal

from pydantic import Field

from service.spec.base import UnitInterval
from service.spec.layers import normalization, regularization
from service.spec.layers.activations import ActivationSpec, ReLU
from service.spec.layers.base import Layer
from service.spec.layers.dense import Linear
from service.spec.layers.model import LayeredModel, SizedModel
from service.spec.layers.reshaping import Flatten
from service.spec.layers.shapes import NOT_EMPTY, Shape, ShapeError, Size
from service.spec.layers.stack import Placed

__all__ = [
    "MAX_TERMS",
    "LinearModel",
    "LogisticModel",
    "MLPModel",
    "PolynomialModel",
    "SoftmaxModel",
    "hidden_layers",
    "required",
]

MAX_TERMS = 100_000
"""Terms of one polynomial: 20 features to the degree of 5 have 53,129."""


def required(outputs: int | None) -> int:
    """Give the number of outputs.

    Raises:
        ShapeError: Neither the target nor the model says it.
    """
    if outputs is None:
        raise ShapeError(
            "This loss compares the model's outputs with each other, and nothing says how many there are.",
            hint="Set outputs (of `linear`, `mlp` or `cnn`), or write the layers out with `sequential`.",
            path=("outputs",),
            code="missing",
        )
    return outputs


def _flattened(inputs: Shape) -> Iterator[Placed]:
    """Put Flatten before a fully connected layer where a row is an array."""
    if len(inputs) != 1:
        yield (), Flatten(type="Flatten")


class _Affine(LayeredModel):
    """One fully connected layer."""

    bias: bool = True
    """Fit an intercept."""

    def placed(self, *, inputs: Shape, outputs: int | None) -> Iterator[Placed]:
        """Give Linear, after Flatten where a row is an array."""
        yield from _flattened(inputs)
        yield (), Linear(type="Linear", out_features=required(outputs), bias=self.bias)


class LinearModel(_Affine, SizedModel):
    """A line, plane or hyperplane: one coefficient for each feature and an intercept; `torch.nn.Linear`."""

    type: Literal["linear"]

    def placed(self, *, inputs: Shape, outputs: int | None) -> Iterator[Placed]:
        """Give Linear, after Flatten where a row is an array."""
        return super().placed(inputs=inputs, outputs=self.outputs or outputs)


class LogisticModel(_Affine):
    """Logistic regression: one logit for two classes, or one for each label, for `BCEWithLogitsLoss`."""

    type: Literal["logistic"]


class SoftmaxModel(_Affine):
    """Softmax regression: one logit for each class, for `CrossEntropyLoss`."""

    type: Literal["softmax"]


class PolynomialModel(_Affine):
    """A polynomial: one coefficient for each term, such as x, x^2 and x*z, and an intercept.

    The terms are worked out when the data is prepared: what the network takes is one number for each.
    """

    type: Literal["polynomial"]
    degree: Annotated[int, Field(ge=1, le=20)]
    """Largest sum of the exponents in a term."""
    interactions: bool = True
    """Whether terms may hold several features, as x*z does."""

    def term_count(self, features: int) -> int:
        """Count the terms without listing them.

        All monomials of degree 1 to d in n variables are C(n + d, d) - 1; those of one variable each are n d.
        """
        if self.interactions:
            return math.comb(features + self.degree, self.degree) - 1
        return features * self.degree

    def terms(self, feature_names: Sequence[str]) -> tuple[tuple[int, ...], ...]:
        """List the terms, each as one exponent for each feature: by degree, then in the order of the features.

        Raises:
            ShapeError: There are more than `MAX_TERMS`.
        """
        self.require_few_terms(len(feature_names))
        places = range(len(feature_names))
        return tuple(
            _exponents(chosen, len(feature_names))
            for degree in range(1, self.degree + 1)
            for chosen in self._choices(places, degree)
        )

    def term_names(self, feature_names: Sequence[str]) -> tuple[str, ...]:
        """Name the terms in their order: `x`, `x^2`, `x*z`, `x^2*z`.

        Raises:
            ShapeError: There are more than `MAX_TERMS`.
        """
        return tuple(_term_name(exponents, feature_names) for exponents in self.terms(feature_names))

    def require_few_terms(self, features: int) -> None:
        """Refuse a polynomial of more than `MAX_TERMS` terms.

        Raises:
            ShapeError: With the place `degree`.
        """
        count = self.term_count(features)
        if count > MAX_TERMS:
            raise ShapeError(
                f"A polynomial of degree {self.degree} in {features:,} features has {count:,} terms; the limit is "
                f"{MAX_TERMS:,}.",
                hint="Lower the degree, list fewer features, or set interactions to false.",
                path=("degree",),
                code="limit_exceeded",
            )

    def placed(self, *, inputs: Shape, outputs: int | None) -> Iterator[Placed]:
        """Give Linear over the terms."""
        if math.prod(inputs) > MAX_TERMS:
            raise ShapeError(
                f"The polynomial has {math.prod(inputs):,} terms; the limit is {MAX_TERMS:,}.",
                hint="Lower the degree, list fewer features, or set interactions to false.",
                path=("degree",),
                code="limit_exceeded",
            )
        return super().placed(inputs=inputs, outputs=outputs)

    def _choices(self, places: range, degree: int) -> Iterator[tuple[int, ...]]:
        if self.interactions:
            return itertools.combinations_with_replacement(places, degree)
        return ((place,) * degree for place in places)


def _exponents(chosen: tuple[int, ...], features: int) -> tuple[int, ...]:
    exponents = [0] * features
    for place in chosen:
        exponents[place] += 1
    return tuple(exponents)


def _term_name(exponents: tuple[int, ...], feature_names: Sequence[str]) -> str:
    powers = zip(feature_names, exponents, strict=True)
    return "*".join(name if power == 1 else f"{name}^{power}" for name, power in powers if power)


class MLPModel(SizedModel):
    """A multilayer perceptron: hidden layers of given widths, and a last one for the outputs.

    Each width stands for Linear, the normalization, the activation and Dropout, in this order.
    """

    type: Literal["mlp"]
    hidden: Annotated[tuple[Size, ...], Field(max_length=100, json_schema_extra={"minItems": 1}), NOT_EMPTY]
    """Widths of the hidden layers, from the first to the last."""
    activation: ActivationSpec = ReLU(type="ReLU")
    """What bends the numbers behind each hidden layer."""
    dropout: UnitInterval = 0.0
    """Probability of leaving out numbers behind each hidden layer; 0 puts no layer there."""
    normalization: Literal["batch", "layer"] | None = None
    """BatchNorm1d or LayerNorm behind each hidden Linear."""
    bias: bool = True
    """Add trained numbers to the sums of every layer."""

    @property
    def has_batch_norm(self) -> bool:
        """Whether there is BatchNorm1d."""
        return self.normalization == "batch"

    @property
    def has_dropout(self) -> bool:
        """Whether there is Dropout, or an activation that draws."""
        return self.dropout > 0 or self.activation.draws or super().has_dropout

    def placed(self, *, inputs: Shape, outputs: int | None) -> Iterator[Placed]:
        """Give the hidden layers and the last Linear, after Flatten where a row is an array."""
        yield from _flattened(inputs)
        for index, width in enumerate(self.hidden):
            for layer in self._hidden(width):
                yield ("activation",) if layer is self.activation else ("hidden", index), layer
        yield (), Linear(type="Linear", out_features=required(self.outputs or outputs), bias=self.bias)

    def _hidden(self, width: int) -> Iterator[Layer]:
        norm = None if self.normalization is None else _NORMALIZATIONS[self.normalization]
        return hidden_layers(
            width, bias=self.bias, norm=norm, activation=self.activation, dropout=self.dropout
        )


_NORMALIZATIONS: dict[str, Layer] = {
    "batch": normalization.BatchNorm1d(type="BatchNorm1d"),
    "layer": normalization.LayerNorm(type="LayerNorm"),
}


def hidden_layers(
    width: int, *, activation: Layer, bias: bool = True, norm: Layer | None = None, dropout: float = 0.0
) -> Iterator[Layer]:
    """Give the layers of one hidden width; no Dropout where its probability is 0."""
    yield Linear(type="Linear", out_features=width, bias=bias)
    if norm is not None:
        yield norm
    yield activation
    if dropout:
        yield regularization.Dropout(type="Dropout", p=dropout)
