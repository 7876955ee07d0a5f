"""Exported scripts are run as anybody would run them: they come to the parameters of the service, to the last bit."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from service.exceptions import ExportNotAvailable
from service.exports.script.writer import script_of
from service.training.frames import load
from tests.exports.subjects import (
    COLOURS,
    DRAWN,
    GAPS,
    IMAGES,
    KINDS,
    LINE,
    MARKS,
    MLP,
    MSE,
    RANDOM,
    SERIES,
    WEIGHTS,
    WORDS,
    YES,
    spec,
    subject_of,
)

# All jobs are trained, and all scripts run, before the first test.
pytestmark = pytest.mark.timeout(300)
SIXTEEN = {"batch_size": 16}
LOG_SOFTMAX = {**MLP, "output_activation": {"type": "LogSoftmax", "dim": 1}}
SPECS: dict[str, dict[str, Any]] = {
    "drawn": spec(DRAWN, training=SIXTEEN),
    "drawn, flipped": spec(
        {
            **DRAWN,
            "target": {"name": "y", "expression": "x + t > 1"},
            "noise": {"distribution": "flip", "probability": 0.1},
        },
        {"type": "logistic"},
        {"type": "BCEWithLogitsLoss"},
    ),
    "last batch left out": spec(LINE, training={**SIXTEEN, "drop_last": True}),
    "rows as they lie, float64": spec(
        LINE, MLP, training={"batch_size": 7, "shuffle": False, "dtype": "float64"}
    ),
    "polynomial, scaled": spec(
        LINE,
        {"type": "polynomial", "degree": 3},
        preprocessing={"scaling": "min_max", "target_scaling": "min_max"},
    ),
    "gaps dropped, split": spec(
        GAPS, MLP, preprocessing={"missing": "drop", "scaling": "standardize"}, evaluation=RANDOM
    ),
    "gaps filled": spec(
        GAPS, preprocessing={"missing": "median"}, evaluation={"split": {"type": "order", "by": "b"}}
    ),
    "categories, one-hot": spec(KINDS, MLP, preprocessing={"missing": "drop", "scaling": "standardize"}),
    "categories, embedded": spec(
        KINDS, MLP, preprocessing={"missing": "most_frequent", "encoding": "embedding"}
    ),
    "part by a column": spec(
        {**LINE, "part": ["train" if place % 3 else "dev" for place in range(60)]},
        evaluation={"split": {"type": "column", "column": "part"}},
    ),
    "softmax": spec(
        COLOURS,
        {"type": "softmax"},
        {"type": "CrossEntropyLoss", "weight": [1, 2, 3], "label_smoothing": 0.1},
        evaluation={"split": {"type": "random", "dev": 0.5, "stratify": "y"}},
        training={"batch_size": 9},
    ),
    "weights": spec(
        WEIGHTS,
        LOG_SOFTMAX,
        {"type": "NLLLoss", "weight": [1, 2, 3]},
        weight="w",
        evaluation=RANDOM,
        training=SIXTEEN,
    ),
    "signs": spec(YES, {"type": "logistic"}, {"type": "SoftMarginLoss"}),
    "labels": spec(MARKS, MLP, {"type": "MultiLabelMarginLoss"}, target=["p", "q"]),
    "variance": spec(LINE, MLP, {"type": "GaussianNLLLoss"}, preprocessing={"target_scaling": "standardize"}),
    "cnn": spec(
        IMAGES,
        {
            "type": "cnn",
            "blocks": [
                {
                    "channels": 3,
                    "normalization": "batch",
                    "pool": {"type": "MaxPool2d", "kernel_size": 2},
                    "dropout": 0.2,
                },
                {"channels": 2, "padding": "same"},
            ],
            "dropout": 0.3,
            "head": [4],
        },
        {"type": "CrossEntropyLoss"},
        {"type": "Adam"},
        preprocessing={"arrays": "standardize"},
        training={"batch_size": 10},
    ),
    "recurrent": spec(
        SERIES,
        {
            "type": "sequential",
            "layers": [
                {"type": "GRU", "hidden_size": 4, "output": "sequence"},
                {"type": "LSTM", "hidden_size": 3, "bidirectional": True, "num_layers": 2, "dropout": 0.1},
                {"type": "Linear", "out_features": 1},
            ],
        },
    ),
    "words": spec(
        WORDS,
        {
            "type": "sequential",
            "layers": [
                {"type": "Embedding", "num_embeddings": 7, "embedding_dim": 4, "padding_idx": 0},
                {"type": "TransformerEncoderLayer", "nhead": 2, "dim_feedforward": 8},
                {"type": "Flatten"},
                {"type": "Linear", "out_features": 1},
            ],
            "init": {"weight": "xavier_normal_"},
        },
    ),
    "residual": spec(
        LINE,
        {
            "type": "sequential",
            "layers": [
                {"type": "Linear", "out_features": 6},
                {"type": "residual", "layers": [{"type": "Linear", "out_features": 6}, {"type": "PReLU"}]},
                {"type": "LayerNorm"},
                {"type": "Linear", "out_features": 1},
            ],
            "init": {"weight": {"type": "kaiming_uniform_", "nonlinearity": "relu"}, "bias": "zeros_"},
        },
    ),
    "early stopping": spec(
        LINE,
        MLP,
        MSE,
        {"type": "Adam", "lr": 0.3},
        training={"epochs": 60, **SIXTEEN, "early_stopping": {"patience": 3, "min_delta": 0.001}},
        evaluation=RANDOM,
    ),
    "penalties and clipping": spec(
        LINE, MLP, regularization={"l1": 0.01, "l2": 0.02, "clip_grad_norm": 0.5, "clip_grad_value": 0.3}
    ),
    "LBFGS": spec(
        LINE, MLP, MSE, {"type": "LBFGS", "line_search_fn": "strong_wolfe"}, regularization={"l2": 0.01}
    ),
    "groups of parameters": spec(
        LINE, MLP, MSE, {"type": "AdamW", "groups": [{"parameters": ["*.bias"], "weight_decay": 0.0}]}
    ),
    "restarts": spec(LINE, MLP, training={"restarts": 3}),
    "plateau": spec(
        LINE,
        MLP,
        MSE,
        {"type": "Adam", "lr": 0.1},
        scheduler={"type": "ReduceLROnPlateau", "patience": 1},
        training={"epochs": 20, **SIXTEEN},
        evaluation=RANDOM,
    ),
    "warm-up by steps": spec(
        LINE,
        scheduler={"type": "ExponentialLR", "gamma": 0.7, "interval": "epoch", "warmup": {"steps": 5}},
        training={**SIXTEEN, "epochs": 6},
    ),
    "warm-up by epochs": spec(
        LINE,
        scheduler={"type": "CosineAnnealingLR", "interval": "step", "warmup": {"epochs": 2}},
        training={**SIXTEEN, "epochs": 6},
    ),
    "one after the other": spec(
        LINE,
        scheduler={
            "type": "SequentialLR",
            "schedulers": [{"type": "ConstantLR"}, {"type": "ExponentialLR", "gamma": 0.8}],
            "milestones": [2],
        },
    ),
    **{
        name: spec(LINE, MLP, MSE, {"type": name, "lr": 0.01})
        for name in (
            "Adadelta",
            "Adafactor",
            "Adagrad",
            "Adamax",
            "ASGD",
            "NAdam",
            "RAdam",
            "RMSprop",
            "Rprop",
        )
    },
}
AS_COMMANDS = ("drawn", "early stopping")
"""These are run each by a command of its own."""


def written(body: dict[str, Any], path: Path, *, engine: str = "eager") -> list[str]:
    """Write a script, and what it would fetch from the service; give the script's own command line."""
    subject = subject_of(body, engine=engine)
    text = script_of(subject, load(subject.spec().data), url="http://127.0.0.1:1")
    path.write_text(text, "utf-8")
    fit, job = path.with_suffix(".safetensors"), path.with_suffix(".json")
    fit.write_bytes(subject.parameters)
    job.write_text(json.dumps({"spec": json.loads(subject.spec_text)}), "utf-8")
    options = {"--fit": fit, "--data": job}
    return [
        str(path),
        *(part for option, file in options.items() if f'"{option}"' in text for part in (option, str(file))),
    ]


FASTER = {
    "quadratic": spec(LINE, training={"epochs": 300}),
    "dense": spec(LINE, MLP, training={"epochs": 30}),
}
"""By the engine that the service chooses for them."""


def altered(folder: Path) -> dict[str, list[str]]:
    """Give scripts that must not come to the service's parameters: of another learning rate, and with other rows."""
    rate, rows = folder / "rate.py", folder / "rows.py"
    commands = {"another rate": written(spec(LINE), rate), "other rows": written(SPECS["cnn"], rows)}
    rate.write_text(rate.read_text().replace("lr=0.02", "lr=0.03"))
    job = json.loads(rows.with_suffix(".json").read_text())
    job["spec"]["data"]["columns"]["y"][0] = 2
    rows.with_suffix(".json").write_text(json.dumps(job))
    return commands


@pytest.fixture(scope="module")
def ends(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """How each script ended: its code, and what it said."""
    folder = tmp_path_factory.mktemp("scripts")
    commands = {
        name: written(SPECS[name], folder / f"{place}.py")
        for place, name in enumerate(SPECS)
        if name not in AS_COMMANDS
    }
    commands |= {name: written(body, folder / f"{name}.py", engine="auto") for name, body in FASTER.items()}
    commands |= altered(folder)
    driver = Path(__file__).with_name("run_scripts.py")
    run = [sys.executable, str(driver), *(",".join(command) for command in commands.values())]
    found = json.loads(subprocess.run(run, check=True, capture_output=True, text=True, cwd=folder).stdout)
    return {name: found[command[0]] for name, command in commands.items()}


@pytest.mark.parametrize("name", [name for name in SPECS if name not in AS_COMMANDS])
def test_a_script_comes_to_the_same_bits(name: str, ends: dict[str, Any]) -> None:
    assert ends[name]["code"] == 0, ends[name]["said"]


@pytest.mark.parametrize("name", FASTER)
def test_a_script_of_a_faster_engine_comes_as_near_as_it_says(
    name: str, ends: dict[str, Any], tmp_path: Path
) -> None:
    assert ends[name]["code"] == 0, ends[name]["said"]
    assert "; the bound is" in ends[name]["said"]
    written(FASTER[name], tmp_path / "fit.py", engine="auto")
    assert f"its engine `{name}`" in (tmp_path / "fit.py").read_text()


def test_a_script_whose_parameters_are_others_ends_with_1(ends: dict[str, Any]) -> None:
    assert ends["another rate"]["code"] == 1
    assert "NOT the same." in ends["another rate"]["said"]


def test_a_script_of_other_rows_says_so(ends: dict[str, Any]) -> None:
    assert ends["other rows"]["code"] == "These are not the rows that the service trained on."


@pytest.mark.parametrize("name", AS_COMMANDS)
def test_a_script_runs_alone(name: str, tmp_path: Path) -> None:
    command = written(SPECS[name], tmp_path / "fit.py")
    found = subprocess.run(
        [sys.executable, *command], check=False, capture_output=True, text=True, cwd=tmp_path
    )
    assert found.returncode == 0, found.stdout + found.stderr
    assert "The largest difference of all parameters is 0: the same bits." in found.stdout
    assert found.stdout.count("the service") == found.stdout.count("here ") > 0


def test_a_script_is_plain_torch_with_what_the_job_uses_and_no_more() -> None:
    subject = subject_of(spec(LINE))
    text = script_of(subject, load(subject.spec().data), url="http://127.0.0.1:1")
    assert [line for line in text.splitlines() if line.startswith(("import", "from"))] == [
        "import sys",
        "import numpy as np",
        "import torch",
        "from torch import nn",
    ]
    for line in (
        "model = nn.Linear(2, 1)",
        "loss_fn = nn.MSELoss()",
        "optimizer = torch.optim.SGD(model.parameters(), lr=0.02)",
        "for epoch in range(1, epochs + 1):",
    ):
        assert line in text.splitlines()
    assert "dev" not in text
    assert "scheduler" not in text


@pytest.mark.parametrize(
    ("sections", "field"),
    [
        ({"evaluation": {"folds": {"k": 3}}}, "/evaluation/folds"),
        ({"training": {"batch_size": 8, "shuffle": "blocks"}}, "/training/shuffle"),
    ],
)
def test_what_cannot_be_written_is_named(sections: dict[str, Any], field: str) -> None:
    subject = subject_of(spec(LINE, **sections))
    with pytest.raises(ExportNotAvailable, match=field):
        script_of(subject, load(subject.spec().data), url="")
