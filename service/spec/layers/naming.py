"""Objects that a name alone can stand for: `"ReLU"` for `{"type": "ReLU"}`."""

from collections.abc import Callable, Mapping
from typing import Any, get_args

from pydantic import ValidatorFunctionWrapHandler, WrapValidator
from pydantic_core import PydanticCustomError

from service.spec.base import SpecModel
from service.spec.columns import did_you_mean

__all__ = ["members_by_name", "name_or_object", "or_name"]


def members_by_name(union: Any) -> dict[str, type[SpecModel]]:  # noqa: ANN401 - a typing construct
    """Give the members of a discriminated union by the names in their `type`."""
    members = get_args(get_args(union)[0])
    return {get_args(member.model_fields["type"].annotation)[0]: member for member in members}


def name_or_object(members: Mapping[str, type[SpecModel]], *, what: str) -> WrapValidator:
    """Let a name stand for the object with that `type` and nothing else.

    Args:
        members: The members of the union, by their names.
        what: What they are, for the error: `activation`.
    """
    names = _complete_alone(members)

    def validated(value: Any, handler: ValidatorFunctionWrapHandler) -> Any:  # noqa: ANN401 - any JSON value
        if not isinstance(value, str):
            return handler(value)
        if value not in names:
            hint = did_you_mean(value[:80], names) or f"`{names[0]}` is one; GET /v1/capabilities lists all."
            context = {"name": value[:80], "what": what, "hint": hint}
            raise PydanticCustomError("unknown_name", "`{name}` alone names no {what}.", context)
        return handler({"type": value})

    return WrapValidator(validated)


def or_name(members: Mapping[str, type[SpecModel]]) -> Callable[[dict[str, Any]], None]:
    """Tell in the JSON Schema of the union that a name will do, too."""
    names = _complete_alone(members)

    def extended(schema: dict[str, Any]) -> None:
        schema["oneOf"] = [{"type": "string", "enum": names}, *schema["oneOf"]]

    return extended


def _complete_alone(members: Mapping[str, type[SpecModel]]) -> list[str]:
    """List the members whose every other field has a default."""
    return [
        name
        for name, member in members.items()
        if not any(field.is_required() for key, field in member.model_fields.items() if key != "type")
    ]
