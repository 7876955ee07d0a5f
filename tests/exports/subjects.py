"""Small jobs of every kind, trained here, as they are exported."""

from typing import Any

import numpy as np

from service.exports.subject import Subject
from service.spec.plan import Plan
from service.training.weights import to_bytes
from tests.spec.specs import parsed
from tests.training.jobs import trained

_DRAWN = np.random.default_rng(1)
ROWS = 60
MSE = {"type": "MSELoss"}
MLP = {"type": "mlp", "hidden": [6, 4], "activation": "Tanh"}
RANDOM = {"split": {"type": "random", "dev": 0.4, "test": 0.1}}


def numbers(count: int = ROWS) -> list[float]:
    return [round(float(one), 3) for one in _DRAWN.normal(size=count)]


A, B = numbers(), numbers()
LINE = {
    "a": A,
    "b": B,
    "y": [round(1 + 2 * a - b + 0.1 * c, 3) for a, b, c in zip(A, B, numbers(), strict=True)],
}
COLOURS = {"a": A, "b": B, "y": [("red", "green", "blue")[int(abs(3 * a)) % 3] for a in A]}
YES = {"a": A, "b": B, "y": [float(a > b) for a, b in zip(A, B, strict=True)]}
GAPS = {**LINE, "a": [None if place % 7 == 0 else a for place, a in enumerate(A)]}
KINDS = {**LINE, "k": [None if place % 9 == 8 else ("u", "v", "w x")[place % 3] for place in range(ROWS)]}
WEIGHTS = {**COLOURS, "w": [place % 4 for place in range(ROWS)]}
IMAGES = {"i": _DRAWN.integers(0, 255, (64, 1, 6, 6)).tolist(), "y": [place % 3 for place in range(64)]}
SERIES = {"s": _DRAWN.normal(size=(30, 5, 3)).round(3).tolist(), "y": numbers(30)}
WORDS = {"s": _DRAWN.integers(0, 7, (30, 5)).tolist(), "y": numbers(30)}
MARKS = {
    "a": A,
    "b": B,
    "p": [float(place % 2) for place in range(ROWS)],
    "q": [float(place % 3 == 0) for place in range(ROWS)],
}
DRAWN = {
    "type": "synthetic",
    "rows": 100,
    "seed": 4,
    "features": {
        "x": {"distribution": "uniform", "low": -2, "high": 3},
        "z 1": {"distribution": "normal", "mean": 1, "std": 2},
        "t": {"distribution": "linspace", "low": 0, "high": 1},
    },
    "target": {"name": "y", "expression": "sin(x)*2**3 - t**2/pi + sqrt(2)*exp(-x)"},
    "noise": {"distribution": "uniform", "half_width": 0.2},
}


def spec(
    columns: dict[str, Any],
    model: dict[str, Any] | None = None,
    loss: dict[str, Any] | None = None,
    optimizer: dict[str, Any] | None = None,
    **sections: Any,  # noqa: ANN401 - sections of any kind
) -> dict[str, Any]:
    """A spec of a few epochs; `columns` are rows, or a whole data section."""
    selection = {name: sections.pop(name) for name in ("target", "weight") if name in sections}
    data = (
        columns if "type" in columns else {"type": "inline", "columns": columns, "target": "y", **selection}
    )
    return {
        "data": data,
        "model": model or {"type": "linear"},
        "loss": loss or MSE,
        "optimizer": optimizer or {"type": "SGD", "lr": 0.02},
        "training": {"epochs": 4, "seed": 3, **sections.pop("training", {})},
        **sections,
    }


def trained_subject(plan: Plan, *, engine: str = "eager") -> Subject:
    """Train a job, and give it as the service hands it to the exports."""
    _, fit = trained(plan, engine=engine)
    runs = [{"seed": run.seed} for run in fit.runs] if len(fit.runs) > 1 else None
    return Subject(
        id="job_1",
        title="job_1",
        job_id="job_1",
        spec_text=plan.spec.to_text(),
        parameters=to_bytes(fit.state_dict, fit.preparation),
        parameters_path="/v1/jobs/job_1/parameters",
        engine=fit.engine.name if fit.engine else None,
        device="cpu",
        environment={"torch": "2"},
        stop_reason=fit.stop_reason,
        result={"runs": runs, "kept_run": fit.kept + 1 if runs else None},
    )


def subject_of(body: dict[str, Any], *, engine: str = "eager") -> Subject:
    return trained_subject(parsed(body), engine=engine)
