"""Everything a spec can name, with the JSON Schema of its parameters: read off the models themselves."""

from typing import Any, get_args

from pydantic import BaseModel

from service.spec import data, losses, models, optimizers
from service.spec.training import TrainingSpec

__all__ = ["catalog"]

_UNIONS: dict[str, Any] = {
    "data": data.DataSpec,
    "distributions": data.Distribution,
    "noise": data.Noise,
    "models": models.ModelSpec,
    "losses": losses.LossSpec,
    "optimizers": optimizers.OptimizerSpec,
}


def catalog() -> dict[str, list[dict[str, Any]]]:
    """List every name that a spec may hold, by kind; each with a summary and a JSON Schema with defaults and bounds."""
    listed = {kind: [_entry(member) for member in _members(union)] for kind, union in _UNIONS.items()}
    return {**listed, "training": [_entry(TrainingSpec, name="training")]}


def _members(union: Any) -> tuple[type[BaseModel], ...]:  # noqa: ANN401 - a typing construct
    inner = get_args(union)[0]
    return get_args(inner) or (inner,)


def _entry(model: type[BaseModel], name: str | None = None) -> dict[str, Any]:
    return {
        "name": name or _tag(model),
        "summary": (model.__doc__ or "").split("\n", maxsplit=1)[0],
        "schema": model.model_json_schema(),
    }


def _tag(model: type[BaseModel]) -> str:
    field = model.model_fields.get("type") or model.model_fields["distribution"]
    tag: str = get_args(field.annotation)[0]
    return tag
