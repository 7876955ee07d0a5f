"""Every example of the reference, made a whole job and sent through the service's own checks."""

import copy
import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from generating.spec_examples import EXAMPLES

__all__ = ["refused_examples"]

Json = Any
_DATASET = {"type": "dataset", "id": "ds_…"}
_ON_NUMBERS = {
    "data": {**_DATASET, "target": "y", "features": ["x", "z", "town"]},
    "model": {"type": "linear"},
    "loss": {"type": "MSELoss"},
    "optimizer": {"type": "SGD"},
    "training": {"epochs": 100},
    "preprocessing": {"missing": "most_frequent"},
}
_TARGETS = {"BCEWithLogitsLoss": "bought", "CrossEntropyLoss": "species"}
_VECTOR, _SIGNAL, _IMAGE, _VOLUME, _SOUND = "vector", "signal", "image", "volume", "sound"
_ROWS_OF_LAYERS = {
    **dict.fromkeys(("Conv1d", "ConvTranspose1d", "MaxPool1d", "AvgPool1d"), _SIGNAL),
    **dict.fromkeys(("AdaptiveAvgPool1d", "AdaptiveMaxPool1d", "InstanceNorm1d", "Dropout1d"), _SIGNAL),
    **dict.fromkeys(("Conv2d", "ConvTranspose2d", "MaxPool2d", "AvgPool2d", "BatchNorm2d"), _IMAGE),
    **dict.fromkeys(("AdaptiveAvgPool2d", "AdaptiveMaxPool2d", "InstanceNorm2d", "Dropout2d"), _IMAGE),
    **dict.fromkeys(("GroupNorm", "Upsample", "ZeroPad2d"), _IMAGE),
    **dict.fromkeys(("RNN", "LSTM", "GRU", "TransformerEncoderLayer"), _SOUND),
    "Conv3d": _VOLUME,
    "Embedding": "code",
}
"""The column that a layer's example takes, where it is not a vector."""


class _Shelf:
    """A library with one dataset, which has a column of every kind."""

    def dataset(self, _: str, /) -> tuple[Any, str]:
        return _schema(), "0" * 64

    def has_parameters(self, _: str, /) -> bool:
        return True


def _schema() -> Any:  # noqa: ANN401 - imported late, as everything of the service
    from service.spec.schema import Column, Schema

    def number(name: str, mean: float = 0.0, **others: Json) -> Column:
        figures = {"minimum": -3.0, "maximum": 3.0, "mean": mean, "std": 1.0, **others}
        return Column(name=name, kind="number", dtype="float64", **figures)

    def texts(name: str, *values: str, missing: int = 0) -> Column:
        return Column(name=name, kind="category", dtype="str", values=values, missing=missing)

    def array(name: str, *shape: int) -> Column:
        return Column(name=name, kind="array", dtype="float32", shape=shape, minimum=-1.0, maximum=1.0)

    yes_no = {"minimum": 0.0, "maximum": 1.0, "values": (0.0, 1.0)}
    share = {"minimum": 0.0, "maximum": 1.0}
    columns = [
        *(number(name) for name in ("x", "z", "y", "a1", "a2", "b1", "b2", "c1", "c2", "day")),
        *(number(name, 0.5, **yes_no) for name in ("bought", "wins", "sport", "music")),
        *(number(name, mean, **share) for name, mean in (("rock", 0.2), ("paper", 0.3), ("scissors", 0.5))),
        *(number(name, 5.0, minimum=1.0, maximum=26.0) for name in ("visits", "l1", "l2", "l3", "steps")),
        *(number(name, 3.0, minimum=1.0, maximum=3.0) for name in ("letters", "code")),
        texts("species", "adelie", "chinstrap", "gentoo"),
        texts("town", "Bern", "Oslo", "Wien", missing=2),
        texts("part", "train", "valid", "test"),
        array(_VECTOR, 8),
        array(_SIGNAL, 4, 16),
        array(_IMAGE, 4, 8, 8),
        array(_VOLUME, 2, 4, 4, 4),
        array(_SOUND, 20, 8),
    ]
    return Schema(rows=1000, columns=tuple(columns))


def refused_examples(names: Mapping[str, list[str]]) -> Iterator[str]:
    """Say which entries have no example, and which examples the service refuses, and why.

    Args:
        names: Of all entries, by kind.
    """
    from service.api import examples

    jobs = {f"the OpenAPI example {name}": one["value"] for name, one in examples.JOBS.items()}
    for kind, entries in {"job": ["smallest"], **names}.items():
        for name in entries if kind != "metrics" else ["metrics"]:
            jobs[f"the example of {kind} {name}"] = _JOBS.get(kind, _merged)(name, EXAMPLES[kind][name])
    for what, job in jobs.items():
        problems = _problems_of(job)
        if problems:
            yield f"{what} is refused: {problems}"


def _problems_of(job: Json) -> list[Any]:
    from service.exceptions import InvalidSpec
    from service.spec.intake import parse
    from service.spec.limits import Limits

    try:
        parse(json.dumps(job).encode(), Limits(), _Shelf())
    except InvalidSpec as error:
        return error.problems
    return []


def _merged(_: str, example: Json) -> Json:
    return {**copy.deepcopy(_ON_NUMBERS), **example}


def _of_data(name: str, example: Json) -> Json:
    job = _merged(name, example)
    return job if name == "dataset" else {**job, "preprocessing": {}}


def _of_distribution(name: str, example: Json) -> Json:
    job = copy.deepcopy(EXAMPLES["job"]["smallest"])
    job["data"] |= example
    return (
        {**job, "model": {"type": "logistic"}, "loss": {"type": "BCEWithLogitsLoss"}}
        if name == "flip"
        else job
    )


def _of_model(name: str, example: Json) -> Json:
    job = _merged(name, example)
    job["data"]["target"] = _TARGETS.get(job["loss"]["type"], "y")
    job["data"]["features"] = ["image"] if name == "cnn" else ["x", "z"]
    return job


def _of_layer(name: str, example: Json) -> Json:
    layers = [example, {"type": "Flatten"}, {"type": "Linear"}]
    job = _merged(name, {"model": {"type": "sequential", "layers": layers}})
    job["data"]["features"] = [_ROWS_OF_LAYERS.get(name, _VECTOR)]
    return job


def _of_initializer(name: str, example: Json) -> Json:
    layers = [
        {"type": "Conv2d", "out_channels": 4, "kernel_size": 3},
        {"type": "Flatten"},
        {"type": "Linear"},
    ]
    job = _merged(name, {"model": {"type": "sequential", "layers": layers, "init": example}})
    job["data"]["features"] = ["image"]
    return job


def _of_optimizer(_: str, example: Json) -> Json:
    return {**_ON_NUMBERS, "optimizer": example}


def _of_scheduler(_: str, example: Json) -> Json:
    return {**_ON_NUMBERS, "optimizer": {"type": "SGD", "momentum": 0.9}, "scheduler": example}


def _of_augmentation(name: str, example: Json) -> Json:
    job = _merged(name, {"training": {"epochs": 100, "augmentation": example}})
    job["data"]["features"] = ["image"]
    job["model"] = {"type": "cnn", "blocks": [{"channels": 4}]}
    return job


def _of_evaluation(_: str, example: Json) -> Json:
    return {**_ON_NUMBERS, "evaluation": example}


_JOBS: Mapping[str, Callable[[str, Json], Json]] = {
    "job": lambda _, example: example,
    "data": _of_data,
    "distributions": _of_distribution,
    "noise": _of_distribution,
    "models": _of_model,
    "layers": _of_layer,
    "initializers": _of_initializer,
    "optimizers": _of_optimizer,
    "schedulers": _of_scheduler,
    "augmentation": _of_augmentation,
    "splits": _of_evaluation,
    "metrics": _of_evaluation,
}
"""How an example of a kind becomes a whole job."""
