"""The parameters of a training that is under way, from one of its checkpoints."""

import torch

from service.exceptions import CheckpointUnusable
from service.spec.job import JobSpec
from service.training import weights
from service.training.checkpoint import copy_into, from_bytes, must_fit
from service.training.embedding import network_of
from service.training.preparation import Preparation

__all__ = ["parameters_at"]

PREPARATION = "preparation"


def parameters_at(spec: JobSpec, checkpoint: bytes) -> bytes:
    """Give the parameters that a training has at a checkpoint, as it would leave them if it ended there.

    Of several trainings (restarts, folds) it is the one that was under way, and with early stopping it is the present
    parameters, not the best ones so far: those of the epoch that the checkpoint names.

    Args:
        spec: The effective spec of the job.
        checkpoint: The file.

    Returns:
        Tensors and preparation, as `service.training.weights.to_bytes` packs them.

    Raises:
        CheckpointUnusable: The job has groups, of which each has a training of its own; or the checkpoint is of a
            version that kept no preparation in it; or it is none of this job.
    """
    if spec.data.group_by is not None:
        raise CheckpointUnusable("A job with groups has no parameters before its end.")
    state = from_bytes(checkpoint).state
    if state.get(PREPARATION) is None:
        raise CheckpointUnusable(
            "The checkpoint is of an older version of fitd, which no prediction is made from."
        )
    with must_fit():
        preparation = Preparation.model_validate_json(state[PREPARATION])
        network = network_of(spec.model, preparation)
        _take_on(network, state["training"]["network"])
    # Each tensor by itself: what the network has twice under two names is kept twice.
    tensors = {name: tensor.detach().clone() for name, tensor in network.state_dict().items()}
    return weights.to_bytes(tensors, preparation)


def _take_on(network: torch.nn.Module, saved: dict[str, torch.Tensor]) -> None:
    """Give a network the parameters and buffers of a checkpoint, which has each of them once."""
    own = {name: tensor.detach() for name, tensor in (*network.named_parameters(), *network.named_buffers())}
    if list(own) != list(saved):
        raise ValueError(f"its network has {list(saved)}")
    copy_into(list(own.values()), list(saved.values()))
