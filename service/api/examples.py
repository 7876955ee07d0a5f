"""Bodies that work as they are: shown in the OpenAPI document, sent by the tests."""

from typing import Any

__all__ = ["ALIASES", "BATCH_PREDICTIONS", "JOBS", "PREDICTIONS", "REGISTRATIONS", "SWEEPS", "TUTORIAL"]

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

_OVER_FITTING: dict[str, Any] = {
    "data": {
        "type": "synthetic",
        "rows": 60,
        "features": {"x": {"distribution": "uniform", "low": -1, "high": 1}},
        "target": {"name": "y", "expression": "sin(3*x)"},
        "noise": {"distribution": "normal", "std": 0.2},
    },
    "preprocessing": {"scaling": "standardize"},
    "model": {"type": "polynomial", "degree": 12},
    "loss": {"type": "MSELoss"},
    "optimizer": {"type": "LBFGS", "line_search_fn": "strong_wolfe"},
    "regularization": {"l2": 0.001},
    "training": {"epochs": 100, "seed": 0, "dtype": "float64"},
    "evaluation": {"split": {"type": "random", "dev": 0.3}},
}
_TWO_CLASSES: dict[str, Any] = {
    "data": {
        "type": "synthetic",
        "rows": 400,
        "features": {
            "x1": {"distribution": "uniform", "low": -1.5, "high": 1.5},
            "x2": {"distribution": "uniform", "low": -1.5, "high": 1.5},
        },
        "target": {"name": "inside", "expression": "x1**2 + x2**2 < 1"},
        "noise": {"distribution": "flip", "probability": 0.05},
    },
    "model": {"type": "mlp", "hidden": [16, 16], "activation": "Tanh", "dropout": 0.1},
    "loss": {"type": "BCEWithLogitsLoss"},
    "optimizer": {"type": "Adam", "lr": 0.02},
    "scheduler": {"type": "CosineAnnealingLR", "warmup": {"epochs": 5}},
    "training": {"epochs": 200, "batch_size": 64, "seed": 0},
    "evaluation": {
        "split": {"type": "random", "dev": 0.2, "test": 0.2, "stratify": "inside"},
        "metrics": ["accuracy", "f1", "auroc", "confusion_matrix"],
    },
}
_TABLE: dict[str, Any] = {
    "data": {
        "type": "inline",
        "columns": {
            "area": [50, 60, None, 80, 95, 110, 45, 70],
            "town": ["Bern", "Oslo", "Bern", "Oslo", "Oslo", "Bern", "Bern", None],
            "sold": ["fast", "slow", "fast", "never", "slow", "never", "fast", "slow"],
        },
        "target": "sold",
    },
    "preprocessing": {
        "scaling": "standardize",
        "missing": "median",
        "columns": {"town": {"missing": "most_frequent"}},
    },
    "model": {"type": "softmax"},
    "loss": {"type": "CrossEntropyLoss"},
    "optimizer": {"type": "AdamW", "lr": 0.05},
    "training": {"epochs": 200, "seed": 0},
}
_FOLDS: dict[str, Any] = {
    **_OVER_FITTING,
    "evaluation": {"folds": {"k": 5}, "metrics": ["r2", "mae"]},
}
_LAYERS: dict[str, Any] = {
    **_TWO_CLASSES,
    "model": {
        "type": "sequential",
        "layers": [
            {"type": "Linear", "out_features": 16},
            {"type": "BatchNorm1d"},
            {"type": "ReLU"},
            {
                "type": "residual",
                "layers": [{"type": "Linear", "out_features": 16}, {"type": "Tanh"}],
            },
            {"type": "Linear"},
        ],
        "init": {"weight": {"type": "kaiming_normal_", "nonlinearity": "relu"}, "bias": "zeros_"},
    },
    "training": {
        "epochs": 500,
        "batch_size": 64,
        "seed": 0,
        "early_stopping": {"patience": 30},
        "restarts": 3,
    },
}
_RANKING: dict[str, Any] = {
    "data": {
        "type": "inline",
        "columns": {
            "rooms_a": [1, 3, 2, 4],
            "price_a": [9, 9, 5, 12],
            "rooms_b": [2, 2, 3, 4],
            "price_b": [9, 9, 9, 8],
            "prefers_a": [-1, 1, 1, -1],
        },
        "inputs": {"first": ["rooms_a", "price_a"], "second": ["rooms_b", "price_b"]},
        "target": "prefers_a",
    },
    "model": {"type": "linear"},
    "loss": {"type": "MarginRankingLoss", "margin": 1},
    "optimizer": {"type": "Adam", "lr": 0.05},
    "training": {"epochs": 300, "seed": 0},
}
_IMAGES: dict[str, Any] = {
    "data": {
        "type": "inline",
        "columns": {
            "image": [
                [[1, 1, 1, 1], [0, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]],
                [[0, 0, 0, 0], [0, 0, 0, 0], [1, 1, 1, 1], [0, 0, 0, 0]],
                [[1, 0, 0, 0], [1, 0, 0, 0], [1, 0, 0, 0], [1, 0, 0, 0]],
                [[0, 0, 1, 0], [0, 0, 1, 0], [0, 0, 1, 0], [0, 0, 1, 0]],
            ],
            "bar": ["lying", "lying", "upright", "upright"],
        },
        "target": "bar",
    },
    "model": {"type": "cnn", "blocks": [{"channels": 8}], "pooling": "average"},
    "loss": {"type": "BCEWithLogitsLoss"},
    "optimizer": {"type": "Adam", "lr": 0.02},
    "training": {"epochs": 200, "seed": 0, "augmentation": [{"type": "noise", "std": 0.05}]},
}
JOBS: dict[str, dict[str, Any]] = {
    "line": {"summary": "A line through noisy points", "value": TUTORIAL},
    "polynomial": {"summary": "A polynomial, kept from over-fitting by a penalty", "value": _OVER_FITTING},
    "two_classes": {
        "summary": "Two classes: a network, a schedule, train, dev and test rows",
        "value": _TWO_CLASSES,
    },
    "table": {"summary": "Several classes from categories and missing values", "value": _TABLE},
    "folds": {"summary": "Cross-validation", "value": _FOLDS},
    "layers": {"summary": "Layers written out, early stopping, several seeds", "value": _LAYERS},
    "ranking": {"summary": "Pairs: which of the two ranks higher", "value": _RANKING},
    "images": {"summary": "Images sent in the body, and a convolutional network", "value": _IMAGES},
}
"""Examples by name, as the `examples` of an OpenAPI media type."""

PREDICTIONS: dict[str, Any] = {
    "columns": {"summary": "By column", "value": {"columns": {"x": [0.0, 0.5, 1.0]}}},
    "rows": {"summary": "By row", "value": {"rows": [{"x": 0.5}]}},
}

BATCH_PREDICTIONS: dict[str, Any] = {
    "job": {
        "summary": "By the parameters of a job",
        "value": {
            "job": "job_cpywgox7ffd6k4q4siziyivi",
            "data": {"type": "dataset", "id": "ds_7dkq2vm5xwz3hsyt4rnfjpca"},
            "keep": ["id"],
        },
    },
    "model": {
        "summary": "By a registered model",
        "value": {
            "model": "calibration",
            "version": "champion",
            "data": {"type": "dataset", "id": "ds_7dkq2vm5xwz3hsyt4rnfjpca"},
        },
    },
}
TENSORS: dict[str, Any] = {
    "columns": {
        "summary": "A tensor for each column",
        "value": {"inputs": [{"name": "x", "datatype": "FP64", "shape": [3], "data": [0.0, 0.5, 1.0]}]},
    },
    "input": {
        "summary": "One tensor for all columns",
        "value": {"inputs": [{"name": "input", "datatype": "FP32", "shape": [2, 1], "data": [[0.0], [0.5]]}]},
    },
}
REGISTRATIONS: dict[str, Any] = {
    "first": {
        "summary": "The fit of a job, to be the one that predicts",
        "value": {
            "name": "calibration",
            "job": "job_cpywgox7ffd6k4q4siziyivi",
            "aliases": ["champion"],
            "description": "Fitted to the readings of May.",
            "metadata": {"sensor": "left"},
        },
    },
}
ALIASES: dict[str, Any] = {
    "number": {"summary": "A version by its number", "value": {"version": 2}},
    "alias": {"summary": "Where another alias points", "value": {"version": "canary"}},
}

SCORING: dict[str, Any] = {
    "split": {
        "summary": "A data frame, split",
        "value": {"dataframe_split": {"columns": ["x"], "data": [[0.0], [0.5]]}},
    },
    "records": {"summary": "A data frame, by row", "value": {"dataframe_records": [{"x": 0.5}]}},
    "instances": {"summary": "Rows", "value": {"instances": [[0.0], [0.5]]}},
    "inputs": {"summary": "Columns", "value": {"inputs": {"x": [0.0, 0.5]}}},
}

_SWEPT: dict[str, Any] = {
    **TUTORIAL,
    "training": {"epochs": 200, "batch_size": 64},
    "evaluation": {"split": {"type": "random", "dev": 0.25}},
}
SWEEPS: dict[str, Any] = {
    "grid": {
        "summary": "Every combination of two learning rates and two batch sizes",
        "value": {
            "name": "line",
            "spec": _SWEPT,
            "parameters": {
                "/optimizer/lr": {"type": "choice", "values": [0.01, 0.1]},
                "/training/batch_size": {"type": "choice", "values": [32, "full"]},
            },
            "search": {"type": "grid"},
        },
    },
    "random": {
        "summary": "Optimizers and learning rates at random",
        "value": {
            "spec": _SWEPT,
            "parameters": {
                "/optimizer": {
                    "type": "choice",
                    "values": [{"type": "SGD", "lr": 0.01, "momentum": 0.9}, {"type": "Adam", "lr": 0.01}],
                },
                "/optimizer/lr": {"type": "log_uniform", "low": 0.001, "high": 0.3},
            },
            "search": {"type": "random", "trials": 6, "seed": 0},
        },
    },
    "tpe": {
        "summary": "Values proposed from how the trials before went",
        "value": {
            "spec": _SWEPT,
            "parameters": {"/optimizer/lr": {"type": "log_uniform", "low": 0.0001, "high": 1}},
            "search": {"type": "tpe", "trials": 8, "seed": 0, "parallel": 4},
        },
    },
    "successive_halving": {
        "summary": "Many short trainings, of which the best go on",
        "value": {
            "spec": _SWEPT,
            "parameters": {"/optimizer/lr": {"type": "log_uniform", "low": 0.0001, "high": 1}},
            "search": {
                "type": "successive_halving",
                "trials": 9,
                "min_epochs": 20,
                "max_epochs": 180,
                "seed": 0,
            },
        },
    },
}
"""Bodies of sweeps by name."""
