"""The tutorial's job, end to end, against the tutorial's own loop."""

from typing import Any

import pytest
import torch

from tests.conftest import Service


def tutorial_loop(spec: dict[str, Any]) -> tuple[list[float], torch.nn.Linear]:
    """The tutorial's loop as anybody would write it, without a line of the service."""
    data, training = spec["data"], spec["training"]
    generator = torch.Generator().manual_seed(data["seed"])
    x = torch.rand(data["rows"], generator=generator, dtype=torch.float64)
    y = 5 * x + 7 + data["noise"]["std"] * torch.randn(data["rows"], generator=generator, dtype=torch.float64)
    features, target = x.unsqueeze(1).float(), y.unsqueeze(1).float()

    torch.manual_seed(training["seed"])
    model = torch.nn.Linear(1, 1)
    loss_function = torch.nn.MSELoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=spec["optimizer"]["lr"])
    losses = []
    for _ in range(training["epochs"]):
        loss = loss_function(model(features), target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses, model


def test_history_and_parameters_equal_the_tutorials_loop_to_the_last_bit(
    service: Service, tutorial: dict[str, Any]
) -> None:
    losses, model = tutorial_loop(tutorial)
    tutorial["training"]["engine"] = "eager"
    job = service.submit(tutorial)
    assert job["status"] == "succeeded"
    assert job["engine"] == {"name": "eager", "reason": "The spec asks for it."}

    history = service.client.get(f"/v1/jobs/{job['id']}/history").json()["columns"]
    assert history["epoch"] == list(range(1, 3001))
    assert history["train_loss"] == losses
    assert history["learning_rate"] == [0.01] * 3000
    assert history["dev_loss"] == [None] * 3000

    parameters = service.client.get(f"/v1/jobs/{job['id']}/parameters").json()
    assert parameters["tensors"]["weight"] == {
        "shape": [1, 1],
        "dtype": "float32",
        "values": model.weight.tolist(),
    }
    assert parameters["tensors"]["bias"] == {"shape": [1], "dtype": "float32", "values": model.bias.tolist()}
    assert parameters["coefficients"] == {"x": model.weight.item()} == job["result"]["coefficients"]
    assert parameters["intercept"] == model.bias.item() == job["result"]["intercept"]


def test_the_fast_engine_gives_the_same_fit_up_to_rounding(
    service: Service, tutorial: dict[str, Any]
) -> None:
    losses, model = tutorial_loop(tutorial)
    job = service.submit(tutorial)
    assert job["engine"]["name"] == "quadratic"
    history = service.client.get(f"/v1/jobs/{job['id']}/history").json()["columns"]
    assert history["train_loss"] == pytest.approx(losses, rel=1e-5)
    assert job["result"]["coefficients"]["x"] == pytest.approx(model.weight.item(), rel=1e-5)
    assert job["result"]["intercept"] == pytest.approx(model.bias.item(), rel=1e-5)


def test_the_fit_is_near_the_truth(service: Service, tutorial: dict[str, Any]) -> None:
    result = service.submit(tutorial)["result"]
    assert abs(result["coefficients"]["x"] - 5) < 0.1
    assert abs(result["intercept"] - 7) < 0.1
    assert abs(result["train_loss"] - 0.25**2) < 0.01
