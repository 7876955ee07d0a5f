"""Starting from the parameters of an earlier job."""

from collections.abc import Mapping

import torch

from service.exceptions import TrainingFailed
from service.spec.models import InitFrom

__all__ = ["start_from"]


def start_from(network: torch.nn.Module, tensors: Mapping[str, torch.Tensor], spec: InitFrom) -> None:
    """Copy tensors of the same name and shape into a network, and freeze what the spec names.

    Args:
        network: With its own initial parameters, which stay where nothing fits.
        tensors: By state-dict name.
        spec: Whether all must fit, and the patterns of the parameters that are not trained further.

    Raises:
        TrainingFailed: `init_mismatch`, when a strict spec finds a tensor missing or of another shape, when
            nothing fits at all, or when a pattern names no parameter or all of them.
    """
    own = network.state_dict()
    fitting = {name: t for name, t in tensors.items() if name in own and own[name].shape == t.shape}
    strange = sorted({*own, *tensors} - set(fitting))
    if not fitting or (spec.strict and strange):
        names = ", ".join(f"`{name}`" for name in (strange or sorted(own))[:5])
        message = f"The parameters of {spec.job} do not fit this model: {names} differ in name or shape."
        hint = 'Take the same model, or say "strict": false to copy only what fits.'
        raise TrainingFailed("init_mismatch", message, hint)
    network.load_state_dict(fitting, strict=False)
    _freeze(network, spec)


def _freeze(network: torch.nn.Module, spec: InitFrom) -> None:
    for name, parameter in network.named_parameters():
        if spec.freezes(name):
            parameter.requires_grad = False
    frozen = [name for name, p in network.named_parameters() if not p.requires_grad]
    if len(frozen) == len(list(network.parameters())):
        message = "Every parameter is frozen: there is nothing to train."
        raise TrainingFailed("init_mismatch", message, "Freeze fewer.")
    if spec.freeze and not frozen:
        known = ", ".join(f"`{name}`" for name, _ in network.named_parameters())
        message = "`freeze` names no parameter of this model."
        raise TrainingFailed("init_mismatch", message, f"Its parameters are {known[:500]}.")
