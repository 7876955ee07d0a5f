"""The models: those of the service, and those that are installed as plugins.

A new one is a class that expands into layers, and its name in `ModelSpec`.
"""

from typing import TYPE_CHECKING, Annotated, Any, TypeAlias, Union, get_args

from pydantic import Field

from service.spec import plugins
from service.spec.layers.model import InitFrom, LayeredModel, Model
from service.spec.models.convolutional import CNNModel
from service.spec.models.dense import LinearModel, LogisticModel, MLPModel, PolynomialModel, SoftmaxModel
from service.spec.models.sequential import SequentialModel
from service.spec.plugins import PluginModel

__all__ = [
    "BuiltInModel",
    "CNNModel",
    "InitFrom",
    "LayeredModel",
    "LinearModel",
    "LogisticModel",
    "MLPModel",
    "Model",
    "ModelSpec",
    "PluginModel",
    "PolynomialModel",
    "SequentialModel",
    "SoftmaxModel",
]

BuiltInModel: TypeAlias = (
    LinearModel | PolynomialModel | LogisticModel | SoftmaxModel | MLPModel | CNNModel | SequentialModel
)
_BUILT_IN = get_args(BuiltInModel)

if TYPE_CHECKING:
    # To the type checker, plugins are their base class; at run time each is a member with its own fields.
    ModelSpec: TypeAlias = BuiltInModel | PluginModel
else:
    _names = {get_args(member.model_fields["type"].annotation)[0] for member in _BUILT_IN}
    _members: tuple[Any, ...] = (*_BUILT_IN, *plugins.installed(taken=_names))
    ModelSpec = Annotated[Union[_members], Field(discriminator="type")]  # noqa: UP007 - members known at run time
