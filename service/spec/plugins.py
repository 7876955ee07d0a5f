"""Models that are installed beside the service: distributions with an entry point in `fitd.models`."""

import importlib.metadata
import logging
import re
import sys
from collections.abc import Collection
from typing import Any, ClassVar, Literal, get_args, get_origin

from service.spec.layers.model import Model
from service.spec.layers.shapes import Shape

__all__ = ["GROUP", "PluginModel", "installed"]

GROUP = "fitd.models"
"""The entry-point group: `name = "package.module:Class"`, with a class that derives from `PluginModel`."""

logger = logging.getLogger(__name__)


class PluginModel(Model):
    """The base of models from elsewhere.

    A subclass names itself by `type: Literal["…"]`, says by `network` where its `torch.nn.Module` is, and has
    its parameters as fields. Its own module must not import torch: the API reads specs without it.
    """

    network: ClassVar[str]
    """The module, `package.module:Class`, imported only where it trains or predicts. It is built as
    `Class(inputs, outputs, **parameters)`, with the shape of what it takes for one row, the number of outputs
    and the subclass's own fields; its parameters are drawn from torch's global generator."""
    batch_norm: ClassVar[bool] = False
    """Whether a row's output depends on the other rows of the batch while training."""
    dropout_layers: ClassVar[bool] = False
    """Whether random numbers are drawn while training."""

    @property
    def parameters(self) -> dict[str, Any]:
        """The subclass's own fields: what its network is built with."""
        return self.model_dump(exclude=set(Model.model_fields))

    @property
    def has_batch_norm(self) -> bool:
        """What the subclass says of itself."""
        return self.batch_norm

    @property
    def has_dropout(self) -> bool:
        """What the subclass says of itself."""
        return self.dropout_layers or super().has_dropout

    def parameter_count(self, *, inputs: Shape, outputs: int | None) -> int | None:  # noqa: ARG002 - for subclasses
        """Count the trained numbers, if the subclass can; None leaves it to the network, once it is built."""
        return None

    def activation_count(self, *, inputs: Shape, outputs: int | None) -> int | None:  # noqa: ARG002 - for subclasses
        """Count the numbers that one row's way through the network leaves behind, if the subclass can."""
        return None


def installed(taken: Collection[str]) -> tuple[type[PluginModel], ...]:
    """Import all plugins. One that is broken is left out with a warning: the service runs on without it.

    Args:
        taken: Names of models that plugins must not take.
    """
    found: dict[str, type[PluginModel]] = {}
    entries = importlib.metadata.entry_points(group=GROUP)
    for entry in sorted(entries, key=lambda one: (one.name, one.value)):
        try:
            model = _loaded(entry)
            found[_free_name_of(model, taken={*taken, *found})] = model
        except (Exception, SystemExit) as error:  # noqa: BLE001 - foreign code may raise anything as it is imported
            logger.warning(
                "The plugin model %s (%s) is left out: %s: %s",
                entry.name,
                entry.value,
                type(error).__name__,
                error,
            )
    return tuple(found.values())


def _loaded(entry: importlib.metadata.EntryPoint) -> type[PluginModel]:
    torch_was_there = "torch" in sys.modules
    model = entry.load()
    if not (isinstance(model, type) and issubclass(model, PluginModel)):
        raise TypeError("it is no class that derives from service.spec.plugins.PluginModel")
    if not re.fullmatch(r"[\w.]+:\w+", getattr(model, "network", "")):
        raise ValueError('its `network` is not of the form "package.module:Class"')
    model.model_json_schema()  # Capabilities and the OpenAPI document need it: what cannot be described is broken.
    if "torch" in sys.modules and not torch_was_there:
        logger.warning("The plugin model %s imports torch with its spec: that slows every start.", entry.name)
    return model


def _free_name_of(model: type[PluginModel], *, taken: Collection[str]) -> str:
    annotation = model.model_fields["type"].annotation
    names = get_args(annotation)
    if get_origin(annotation) is not Literal or len(names) != 1 or not isinstance(names[0], str):
        raise ValueError('its `type` is not annotated with Literal["one name"]')
    if names[0] in taken:
        raise ValueError(f"the name {names[0]!r} is taken")
    return names[0]
