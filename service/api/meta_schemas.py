"""What the API answers about the service itself, as models for its OpenAPI document."""

from typing import Annotated, Any, Literal

from pydantic import Field

from service.api.schemas import Wire
from service.spec.limits import Limits

__all__ = ["Capabilities", "Health", "Readiness"]


class CapabilityEntry(Wire):
    """Something that a spec can name."""

    name: str
    summary: str
    schema_: Annotated[dict[str, Any], Field(alias="schema")]
    """JSON Schema of its parameters."""


class Capabilities(Wire):
    """Everything that this service can do."""

    object: Literal["capabilities"]
    version: str
    data: list[CapabilityEntry]
    distributions: list[CapabilityEntry]
    noise: list[CapabilityEntry]
    preprocessing: list[CapabilityEntry]
    models: list[CapabilityEntry]
    layers: list[CapabilityEntry]
    initializers: list[CapabilityEntry]
    losses: list[CapabilityEntry]
    optimizers: list[CapabilityEntry]
    schedulers: list[CapabilityEntry]
    regularization: list[CapabilityEntry]
    training: list[CapabilityEntry]
    augmentation: list[CapabilityEntry]
    evaluation: list[CapabilityEntry]
    splits: list[CapabilityEntry]
    metrics: list[CapabilityEntry]
    plots: list[str]
    devices: list[str]
    """Devices of the workers that are alive."""
    limits: Limits


class Health(Wire):
    """The process answers."""

    status: Literal["ok"]


class Readiness(Wire):
    """Whether jobs would be accepted and trained now."""

    ready: bool
    checks: dict[str, str]
    """`ok`, or what is missing."""
