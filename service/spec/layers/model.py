"""What every model has and can tell, whatever it is made of."""

import fnmatch
from collections.abc import Iterator
from typing import Annotated

from pydantic import Discriminator, Field, Tag

from service.exceptions import Problem
from service.spec.base import SpecModel
from service.spec.initializers import Init
from service.spec.layers import stack
from service.spec.layers.activations import ActivationSpec
from service.spec.layers.base import Layer
from service.spec.layers.shapes import Shape, ShapeError, Size, shown
from service.spec.pointers import pointer_to

__all__ = ["InitFrom", "LayeredModel", "Model", "SizedModel"]

JobId = Annotated[str, Field(min_length=1, max_length=100)]
ParameterPattern = Annotated[str, Field(min_length=1, max_length=200)]


class InitFrom(SpecModel):
    """Start from the trained parameters of an earlier job."""

    job: JobId
    """Id of the job."""
    freeze: Annotated[tuple[ParameterPattern, ...], Field(max_length=100)] = ()
    """Names of parameters that are not trained any further; `*` stands for anything, as in `0.*`."""
    strict: bool = True
    """Refuse a job whose parameters do not all fit; else those that fit by name and shape are taken."""

    def freezes(self, name: str) -> bool:
        """Tell whether the parameter with this name in the state dict stays as it is."""
        return any(fnmatch.fnmatchcase(name, pattern) for pattern in self.freeze)


def _kind(value: object) -> str:
    return "id" if isinstance(value, str) else "object"


InitFromSpec = Annotated[
    Annotated[JobId, Tag("id")] | Annotated[InitFrom, Tag("object")], Discriminator(_kind)
]


class Model(SpecModel):
    """What is fitted."""

    type: str
    """The name of the model."""
    output_activation: ActivationSpec | None = None
    """What bends the outputs, such as Sigmoid; none when left out. Losses with logits want none."""
    init: Init = Init()
    """How the parameters start."""
    init_from: InitFromSpec | None = None
    """An earlier job to start from: its id, or an object that also tells what to freeze."""

    @property
    def init_from_job(self) -> str | None:
        """Id of the job to start from, if any."""
        return self.start.job if self.start else None

    @property
    def start(self) -> InitFrom | None:
        """The job to start from and what to do with its parameters, if any."""
        return InitFrom(job=self.init_from) if isinstance(self.init_from, str) else self.init_from

    @property
    def last_activation(self) -> str | None:
        """Torch's name of the activation that gives the outputs; None where they are sums, or where it is unknown."""
        return self.output_activation.type if self.output_activation else None

    @property
    def code_count(self) -> int | None:
        """How many codes the network knows, where it takes codes: inputs are 0 to one less; else None."""
        return None

    @property
    def has_batch_norm(self) -> bool:
        """Whether a row's output depends on the other rows of the batch while training."""
        return False

    @property
    def has_dropout(self) -> bool:
        """Whether random numbers are drawn while training."""
        return self.output_activation is not None and self.output_activation.draws

    def parameter_count(self, *, inputs: Shape, outputs: int | None) -> int | None:
        """Count the trained numbers; None where only the built network can tell.

        Args:
            inputs: Shape of what the network takes for one row.
            outputs: Numbers that it gives for one row, or None where the model itself says it.

        Raises:
            ShapeError: The model does not fit; `problems` tells the same without raising.
        """
        raise NotImplementedError

    def activation_count(self, *, inputs: Shape, outputs: int | None) -> int | None:
        """Count the numbers that one row's way through the network leaves behind; None where it is unknown.

        Raises:
            ShapeError: The model does not fit; `problems` tells the same without raising.
        """
        raise NotImplementedError

    def problems(self, *, inputs: Shape, outputs: int | None) -> list[Problem]:  # noqa: ARG002 - for those that know
        """Tell what does not fit; pointers are relative to the model."""
        return [Problem(f"/init{p.pointer}", p.code, p.message, p.hint) for p in self.init.problems()]


class LayeredModel(Model):
    """A model that is an array of layers, or stands for one."""

    def placed(self, *, inputs: Shape, outputs: int | None) -> Iterator[stack.Placed]:
        """Give each layer, but for the output activation, with the place in the model that it comes from.

        Raises:
            ShapeError: There are no such layers for these inputs and outputs.
        """
        raise NotImplementedError

    def expansion(self, *, inputs: Shape, outputs: int | None) -> tuple[Layer, ...]:
        """Give all layers from the first to the last.

        Raises:
            ShapeError: There are no such layers for these inputs and outputs.
        """
        return tuple(layer for _, layer in self._whole(inputs, outputs))

    def output_shape(self, *, inputs: Shape, outputs: int | None) -> Shape:
        """Give the shape of what the network gives for one row.

        Raises:
            ShapeError: The layers do not fit each other.
        """
        return stack.output_shape(self._whole(inputs, outputs), inputs)

    def parameter_count(self, *, inputs: Shape, outputs: int | None) -> int:
        """Count the trained numbers.

        Raises:
            ShapeError: The layers do not fit each other.
        """
        return stack.parameter_count(self._whole(inputs, outputs), inputs)

    def activation_count(self, *, inputs: Shape, outputs: int | None) -> int:
        """Count the numbers that one row's way through the network leaves behind for the gradient.

        Raises:
            ShapeError: The layers do not fit each other.
        """
        return stack.activation_count(self._whole(inputs, outputs), inputs)

    def problems(self, *, inputs: Shape, outputs: int | None) -> list[Problem]:
        """Tell what does not fit; pointers are relative to the model.

        Args:
            inputs: Shape of what the network takes for one row.
            outputs: Numbers that the target and the loss need for one row, or None where any shape will do.
        """
        found = super().problems(inputs=inputs, outputs=outputs)
        try:
            given = self.output_shape(inputs=inputs, outputs=outputs)
        except ShapeError as error:
            return [*found, Problem(pointer_to(*error.path), error.code, str(error), error.hint)]
        if outputs is not None and given != (outputs,):
            found.append(self._mismatch(given, outputs))
        return found

    def _mismatch(self, given: Shape, outputs: int) -> Problem:
        """Describe an output that the target cannot be compared with."""
        return Problem(
            "",
            "shape_mismatch",
            f"The model gives {shown(given)} for a row, and the target with this loss needs {shown((outputs,))}.",
            "End in one number for each output.",
        )

    def _whole(self, inputs: Shape, outputs: int | None) -> Iterator[stack.Placed]:
        yield from self.placed(inputs=inputs, outputs=outputs)
        if self.output_activation is not None:
            yield ("output_activation",), self.output_activation


class SizedModel(LayeredModel):
    """A model that can say itself how many outputs it has."""

    outputs: Size | None = None
    """Numbers to give for a row. The target says it, but for losses that compare outputs with each other."""

    def _mismatch(self, given: Shape, outputs: int) -> Problem:
        problem = super()._mismatch(given, outputs)
        if self.outputs in {None, outputs}:
            return problem
        hint = "Leave outputs out: the target says how many there are."
        return Problem("/outputs", problem.code, problem.message, hint)
