"""The generators of random numbers that belong to the whole process: they are started, kept and taken up here.

Torch's own draws initial parameters and dropout. Nothing of the service draws from those of NumPy and Python, but a
plugin's network may.
"""

import random
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

__all__ = ["load_state_dict", "start", "state_dict"]


def start(seed: int) -> None:
    """Start all of them from one seed, from 0 to 2^63 - 1."""
    # What `torch.manual_seed` does, but where there is no accelerator it keeps a traceback for one, each time.
    torch.default_generator.manual_seed(seed)
    if torch.accelerator.is_available():
        torch.manual_seed(seed)
    random.seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002 - the process's own, for plugins


def state_dict(device: torch.device) -> dict[str, Any]:
    """Give where they stand.

    Args:
        device: Of the training: an accelerator has a generator of its own.
    """
    kind, keys, *rest = np.random.get_state()  # noqa: NPY002 - as above
    return {
        "torch": torch.get_rng_state(),
        "device": None if device.type == "cpu" else torch.get_device_module(device).get_rng_state(),
        "numpy": (kind, torch.from_numpy(np.asarray(keys, dtype=np.int64)), *rest),
        "python": random.getstate(),
    }


def load_state_dict(state: Mapping[str, Any], device: torch.device) -> None:
    """Let them go on from where `state_dict` was taken on the same kind of device."""
    kind, keys, *rest = state["numpy"]
    np.random.set_state((kind, keys.numpy().astype(np.uint32), *rest))  # noqa: NPY002 - as above
    random.setstate(state["python"])
    torch.set_rng_state(state["torch"])
    if device.type != "cpu":
        torch.get_device_module(device).set_rng_state(state["device"])
