"""The loops that a torch user writes, and what everything else is measured against."""

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from benchmarks.jobs import Job

__all__ = ["loop"]


def loop(job: Job, x: Tensor, y: Tensor, *, device: str = "cpu") -> nn.Module:
    """Train a job's network as a user would, on its tensors and in their number format."""
    torch.manual_seed(job.training["seed"])
    # Torch draws initial parameters in float32, as fitd does; for float64 both go on from these.
    model = job.network().to(device, x.dtype)
    values = {name: value for name, value in job.spec["optimizer"].items() if name != "type"}
    optimizer = getattr(torch.optim, job.spec["optimizer"]["type"])(model.parameters(), **values)
    if job.training["batch_size"] == "full":
        _full_batch(model, job.loss, optimizer, x.to(device), y.to(device), epochs=job.training["epochs"])
    else:
        generator = torch.Generator().manual_seed(job.training["seed"])
        size = job.training["batch_size"]
        batches = DataLoader(TensorDataset(x, y), batch_size=size, shuffle=True, generator=generator)
        _mini_batches(model, job.loss, optimizer, batches, epochs=job.training["epochs"], device=device)
    return model


def _full_batch(
    model: nn.Module,
    loss_function: nn.Module,
    optimizer: torch.optim.Optimizer,
    x: Tensor,
    y: Tensor,
    *,
    epochs: int,
) -> list[float]:
    losses = []
    for _ in range(epochs):
        loss = loss_function(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def _mini_batches(
    model: nn.Module,
    loss_function: nn.Module,
    optimizer: torch.optim.Optimizer,
    batches: "DataLoader[tuple[Tensor, ...]]",
    *,
    epochs: int,
    device: str,
) -> list[float]:
    losses = []
    for _ in range(epochs):
        total, rows = 0.0, 0
        for batch in batches:
            features, target = (part.to(device) for part in batch)
            loss = loss_function(model(features), target)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.item() * len(features)
            rows += len(features)
        losses.append(total / rows)
    return losses
