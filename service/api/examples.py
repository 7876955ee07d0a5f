"""Bodies that work as they are: shown in the OpenAPI document, sent by the tests."""

from typing import Any

__all__ = ["PREDICTION", "TUTORIAL"]

TUTORIAL: dict[str, Any] = {
    "data": {
        "type": "synthetic",
        "rows": 256,
        "seed": 0,
        "features": {"x": {"distribution": "uniform", "low": 0, "high": 1}},
        "target": {"name": "y", "expression": "5*x + 7"},
        "noise": {"distribution": "normal", "std": 0.25},
    },
    "model": {"type": "linear"},
    "loss": {"type": "MSELoss"},
    "optimizer": {"type": "SGD", "lr": 0.01},
    "training": {"epochs": 3000, "batch_size": "full", "seed": 0},
}
"""The tutorial's job; a test holds it equal to examples/tutorial.json."""

PREDICTION: dict[str, Any] = {"columns": {"x": [0.0, 0.5, 1.0]}}
