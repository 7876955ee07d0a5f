"""What torch would break on in the middle of a training, told before its first step."""

import copy
from collections.abc import Sequence

import torch

from service.exceptions import TrainingFailed
from service.spec.job import JobSpec
from service.training import scoring
from service.training.objective import Objective
from service.training.rows import Rows

__all__ = ["require_normalizable", "require_targets", "require_weights"]


def require_targets(
    objective: Objective, network: torch.nn.Module, rows: Rows, *, block: int, positions: Sequence[int]
) -> None:
    """Make sure that the loss can take the targets: torch itself would read beyond its memory on some.

    Args:
        objective: The loss.
        network: Tells the shape of its outputs: two rows are enough, and evaluated it draws no random numbers.
        rows: Of one part.
        block: Rows that are looked at at once.
        positions: Of these rows in the table, for the message.

    Raises:
        TrainingFailed: `target_out_of_range`, naming the first row; `wrong_output_shape`.
    """
    if objective.spec.target == "none":
        return
    features = rows.between(0, min(2, len(rows))).features
    few = features[:, 0] if objective.spec.roles else features
    shape = scoring.outputs(network, few, block=2).shape[1:]
    step = len(rows) if rows.is_resident else block
    for start in range(0, len(rows), step):
        stop = min(start + step, len(rows))
        objective.require(rows.targets(start, stop), output_shape=shape, rows=positions[start:stop])


def require_weights(rows: Rows, *, block: int) -> None:
    """Make sure that some training row has a weight in the number format of the training.

    Raises:
        TrainingFailed: `no_weight`.
    """
    for batch in scoring.blocks(rows, len(rows) if rows.is_resident else block):
        if batch.weight is None or bool(batch.weight.any()):
            return
    message = "All training rows have the weight 0: none would count."
    raise TrainingFailed(
        "no_weight", message, "Give at least some of them a weight, or split the rows otherwise."
    )


def require_normalizable(network: torch.nn.Module, rows: Rows, spec: JobSpec, *, smallest: int) -> None:
    """Try the smallest batch of an epoch on a copy of a network with batch normalization.

    Of a batch of one row there is no mean to take, unless the row is an image with more than one place.

    Raises:
        TrainingFailed: `batch_too_small`.
    """
    if smallest > 1 or not spec.model.has_batch_norm:
        return
    features = rows.between(0, 1).features
    with torch.random.fork_rng(devices=[]):
        try:
            copy.deepcopy(network).train()(features[:, 0] if spec.loss.roles else features)
        except ValueError:
            message = f"{len(rows)} rows leave a batch of one row, which cannot be normalized."
            hint = (
                'Choose another batch_size, or say "drop_last": true where only the last batch is so small.'
            )
            raise TrainingFailed("batch_too_small", message, hint) from None
