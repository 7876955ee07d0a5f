"""Which device a job trains on."""

import torch

from service.exceptions import TrainingFailed

__all__ = ["available", "resolve"]


def available() -> list[str]:
    """List the devices of this machine, the preferred one first."""
    cuda = ["cuda"] if torch.cuda.is_available() else []
    mps = ["mps"] if torch.backends.mps.is_available() else []
    return [*cuda, *mps, "cpu"]


def resolve(asked: str, *, dtype: str) -> str:
    """Choose the torch device for a job.

    Args:
        asked: `auto`, `cpu`, `cuda` or `mps`.
        dtype: The job's number format; Apple's GPUs have no float64, so `auto` leaves them out for it.

    Raises:
        TrainingFailed: `device_unavailable`, when this machine does not have the device, or not for this dtype.
    """
    fitting = [name for name in available() if not (name == "mps" and dtype == "float64")]
    if asked == "auto":
        return fitting[0]
    if asked not in fitting:
        raise TrainingFailed(
            "device_unavailable",
            f"This worker has no {asked} device for {dtype}; it has {', '.join(fitting)}.",
            "Send device auto, or start a worker where that device is.",
        )
    return asked
