"""Everything a spec can name, with the JSON Schema of its parameters: read off the models themselves."""

import functools
from typing import Any, get_args

from pydantic import BaseModel

from service.spec import (
    augmentation,
    data,
    evaluation,
    initializers,
    layers,
    losses,
    models,
    optimizers,
    schedulers,
)
from service.spec.metrics import METRICS
from service.spec.preprocessing import PreprocessingSpec
from service.spec.regularization import Regularization
from service.spec.training import TrainingSpec

__all__ = ["catalog"]

_UNIONS: dict[str, Any] = {
    "data": data.DataSpec,
    "distributions": data.Distribution,
    "noise": data.Noise,
    "models": models.ModelSpec,
    "layers": layers.LayerSpec,
    "initializers": initializers.AnyInitializer,
    "losses": losses.LossSpec,
    "optimizers": optimizers.OptimizerSpec,
    "schedulers": schedulers.SchedulerSpec,
    "augmentation": augmentation.Augmentation,
    "splits": evaluation.Split,
}
_SECTIONS: dict[str, type[BaseModel]] = {
    "preprocessing": PreprocessingSpec,
    "regularization": Regularization,
    "training": TrainingSpec,
    "evaluation": evaluation.EvaluationSpec,
}


@functools.cache
def catalog() -> dict[str, list[dict[str, Any]]]:
    """List every name that a spec may hold, by kind; each with a summary and a JSON Schema with defaults and bounds."""
    listed = {kind: [_entry(member) for member in _members(union)] for kind, union in _UNIONS.items()}
    sections = {name: [_entry(model, name=name)] for name, model in _SECTIONS.items()}
    metrics = [
        {"name": name, "summary": about.summary, "schema": {"type": "string", "const": name}}
        for name, about in METRICS.items()
    ]
    return {**listed, **sections, "metrics": metrics}


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
