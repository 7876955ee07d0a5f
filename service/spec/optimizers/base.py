"""What all optimizers share: bounds, and groups of parameters that have values of their own."""

import operator
from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase
from typing import Annotated, Any, ClassVar, TypeVar, cast, get_origin

from pydantic import Field, StringConstraints, create_model
from pydantic.fields import FieldInfo

from service.exceptions import Problem
from service.spec.base import SpecModel, UnitInterval
from service.spec.columns import did_you_mean
from service.spec.limits import Limits
from service.spec.pointers import pointer_to

__all__ = ["Betas", "Optimizer", "ParameterGroup", "with_groups"]

Betas = Annotated[
    tuple[UnitInterval, UnitInterval], Field(description="How slowly the two running means forget.")
]
Pattern = Annotated[str, StringConstraints(max_length=200)]

MAX_GROUPS = 100
"""More groups, or patterns in one group, than this would describe a network name by name."""
SHOWN_NAMES = 20
"""As many parameter names as this are listed in a message."""


class ParameterGroup(SpecModel):
    """Parameters with values of their own; whatever is left out is the optimizer's."""

    parameters: Annotated[tuple[Pattern, ...], Field(min_length=1, max_length=MAX_GROUPS)]
    """Names as in the state dict, or shell patterns of them, such as `*.bias` or `0.*`. A parameter belongs to
    the first group that matches it; those that match none have the optimizer's own values."""

    @property
    def overrides(self) -> dict[str, Any]:
        """The values of this group that replace the optimizer's, by torch's names."""
        values = {name: getattr(self, name) for name in type(self).model_fields if name != "parameters"}
        return {name: value for name, value in values.items() if value is not None}

    def matches(self, name: str) -> bool:
        """Tell whether a parameter of this name belongs here, if no earlier group takes it."""
        return any(fnmatchcase(name, pattern) for pattern in self.parameters)


class Optimizer(SpecModel):
    """What every optimizer tells of itself."""

    type: str

    kept_tensors: ClassVar[int] = 0
    """Tensors of the parameters' size that the optimizer keeps, at most."""
    needs_closure: ClassVar[bool] = False
    """Whether one step computes the loss several times, so that `step` wants a function that does."""
    matrices_only: ClassVar[bool] = False
    """Whether every trained parameter must have two dimensions."""
    same_in_all_groups: ClassVar[frozenset[str]] = frozenset()
    """Numeric fields that torch takes from the optimizer alone, whatever a group says."""

    @property
    def state_tensors(self) -> int:
        """Tensors of the parameters' size that the optimizer keeps, at most: for the memory estimate."""
        return self.kept_tensors

    @property
    def evaluations_per_step(self) -> int:
        """Passes forward and backward that one step takes, at most: for the time estimate."""
        return 1

    @property
    def has_momentum(self) -> bool:
        """Whether there is a momentum, or a first beta in its place, that a scheduler can cycle."""
        return not {"momentum", "betas"}.isdisjoint(type(self).model_fields)

    @property
    def parameter_groups(self) -> tuple[ParameterGroup, ...]:
        """The groups in the order in which they are tried; empty where there are none."""
        return getattr(self, "groups", None) or ()

    def arguments(self) -> dict[str, Any]:
        """Give the keyword arguments of `torch.optim.<type>`."""
        return self.model_dump(exclude={"type", "groups"})

    def problems(self, limits: Limits) -> list[Problem]:  # noqa: ARG002 - the signature of every section
        """Tell which fields do not go together; pointers are relative to the optimizer."""
        return [*self.combination_problems(), *self._group_problems()]

    def members(self, names: Iterable[str]) -> list[list[str]]:
        """Sort parameters into groups.

        Args:
            names: Names of the parameters, as in the state dict.

        Returns:
            The names that belong to no group, then those of each group, all in the order given.
        """
        sorted_names: list[list[str]] = [[] for _ in range(1 + len(self.parameter_groups))]
        for name in names:
            found = (i for i, group in enumerate(self.parameter_groups, start=1) if group.matches(name))
            sorted_names[next(found, 0)].append(name)
        return sorted_names

    def match_problems(self, names: Sequence[str]) -> list[Problem]:
        """Tell which patterns match no parameter, and which groups get none because earlier ones took all.

        Args:
            names: Names of the parameters that are trained, as in the state dict.
        """
        _, *members = self.members(names)
        found: list[Problem] = []
        for i, (group, own) in enumerate(zip(self.parameter_groups, members, strict=True)):
            idle = [
                Problem(pointer_to("groups", i, "parameters", j), "unmatched_group", *_unmatched(one, names))
                for j, one in enumerate(group.parameters)
                if not any(fnmatchcase(name, one) for name in names)
            ]
            found += idle or ([] if own else [_taken(i, group)])
        return found

    def combination_problems(self) -> list[Problem]:
        """Tell which values do not go together, groups aside."""
        return []

    def _group_problems(self) -> list[Problem]:
        found: list[Problem] = []
        for i, group in enumerate(self.parameter_groups):
            overrides = group.overrides
            if not overrides:
                found.append(_idle(i, group))
            # Of a group's values together with the optimizer's, only those that the group sets are its fault.
            found += [
                Problem(pointer_to("groups", i) + p.pointer, p.code, p.message, p.hint)
                for p in self.model_copy(update=overrides).combination_problems()
                if p.pointer is not None and p.pointer.split("/")[1] in overrides
            ]
        return found


def _idle(index: int, group: ParameterGroup) -> Problem:
    fields = ", ".join(f"`{name}`" for name in type(group).model_fields if name != "parameters")
    message = "The group changes nothing: it has no value of its own."
    return Problem(pointer_to("groups", index), "missing", message, f"Give it one of {fields}, or remove it.")


def _unmatched(pattern: str, names: Sequence[str]) -> tuple[str, str]:
    shown = ", ".join(f"`{name}`" for name in names[:SHOWN_NAMES])
    more = f" and {len(names) - SHOWN_NAMES} more" if len(names) > SHOWN_NAMES else ""
    message = f"`{pattern}` matches no parameter. The parameters are {shown}{more}."
    hint = did_you_mean(pattern, names)
    return message, hint if hint.startswith("Did") else "A * stands for any text: `*.bias` for every bias."


def _taken(index: int, group: ParameterGroup) -> Problem:
    patterns = ", ".join(f"`{one}`" for one in group.parameters)
    message = f"Every parameter that {patterns} matches belongs to an earlier group."
    return Problem(
        pointer_to("groups", index),
        "unmatched_group",
        message,
        "The first match wins: put the narrower group first.",
    )


_Spec = TypeVar("_Spec", bound=Optimizer)


def with_groups(optimizer: type[_Spec]) -> type[_Spec]:
    """Add the field `groups` to an optimizer; a group takes the optimizer's own numeric fields.

    The fields of the group are read off the optimizer, so that their bounds are written once.
    """
    group = create_model(
        f"{optimizer.__name__}Group",
        __base__=ParameterGroup,
        __module__=optimizer.__module__,
        __doc__=f"Parameters with values of their own; whatever is left out is the {optimizer.__name__}'s.",
        **{name: _override(field) for name, field in optimizer.model_fields.items() if _is_shared(optimizer, name)},
    )  # fmt: skip
    groups = Annotated[tuple[group, ...], Field(max_length=MAX_GROUPS)] | None
    return create_model(
        optimizer.__name__,
        __base__=optimizer,
        __module__=optimizer.__module__,
        __doc__=optimizer.__doc__,
        # A factory, because torch has no such parameter and so no default of it that the schema could show.
        groups=(groups, Field(default_factory=_no_groups, exclude_if=_is_none, description=_GROUPS)),
    )


_GROUPS = "Parameters with values of their own, such as a bias without weight decay; tried in this order."


def _no_groups() -> None:
    return None


def _is_none(value: object) -> bool:
    return value is None


def _is_shared(optimizer: type[Optimizer], name: str) -> bool:
    """Tell whether groups may have a value of their own: of numbers and tuples of them, if torch reads it."""
    kind = optimizer.model_fields[name].annotation
    return (kind in {float, int} or get_origin(kind) is tuple) and name not in optimizer.same_in_all_groups


def _override(field: FieldInfo) -> Any:  # noqa: ANN401 - what create_model takes for a field
    # Subscribed by hand, for its parameters are known at run time only: Annotated[annotation, *metadata].
    kind = operator.getitem(cast("Any", Annotated), (field.annotation, Field(), *field.metadata))
    return (kind | None, Field(default=None, exclude_if=_is_none, description=field.description))
