"""One short example for each entry of the spec's reference. `checked_examples.py` submits them all to the real checks."""

from typing import Any

__all__ = ["EXAMPLES"]

Json = Any
_LINE = {
    "data": {
        "type": "synthetic",
        "rows": 256,
        "features": {"x": {"distribution": "uniform"}},
        "target": {"expression": "5*x + 7"},
    },
    "model": {"type": "linear"},
    "loss": {"type": "MSELoss"},
    "optimizer": {"type": "SGD", "lr": 0.1},
    "training": {"epochs": 100},
}
_SMOOTH = {"type": "mlp", "hidden": [32]}


def _data(target: str | list[str] | None, *features: str, **others: Json) -> dict[str, Json]:
    chosen = {"type": "dataset", "id": "ds_…", "target": target, "features": list(features), **others}
    return {name: value for name, value in chosen.items() if value}


def _loss(data: Json, model: Json, kind: str, **fields: Json) -> dict[str, Json]:
    return {"data": data, "model": model, "loss": {"type": kind, **fields}}


_NUMBERS = _data("y", "x", "z")
_CLASSES = _data("species", "x", "z")
_YES_NO = _data("bought", "x", "z")
_PAIRS = _data("wins", inputs={"first": ["a1", "a2"], "second": ["b1", "b2"]})
_TRIPLETS = _data(None, inputs={"anchor": ["a1", "a2"], "positive": ["b1", "b2"], "negative": ["c1", "c2"]})
_SHARES = _data(["rock", "paper", "scissors"], "x", "z")
_SOUND = _data(["l1", "l2", "l3"], "sound", lengths={"input": "steps", "target": "letters"})
_LABELS = ["sport", "music"]
_BARE = (
    "Identity", "ReLU", "ReLU6", "PReLU", "RReLU", "SELU", "CELU", "GELU", "SiLU", "Mish", "Sigmoid", "Tanh",
    "Softsign", "Softshrink", "Hardshrink", "Tanhshrink", "Hardswish", "Hardsigmoid", "LogSigmoid", "GLU",
)  # fmt: skip
"""Activations that are usually named without parameters."""
_LOG_SOFTMAX = {"type": "softmax", "output_activation": {"type": "LogSoftmax", "dim": 1}}

EXAMPLES: dict[str, dict[str, Json]] = {
    "job": {"smallest": _LINE},
    "data": {
        "synthetic": {"data": _LINE["data"]},
        "inline": {
            "data": {"type": "inline", "columns": {"x": [0, 1, 2], "y": [7.1, 11.9, 17.2]}, "target": "y"}
        },
        "dataset": {"data": {"type": "dataset", "id": "ds_…", "target": "y", "features": ["x", "z"]}},
    },
    "distributions": {
        "uniform": {"features": {"x": {"distribution": "uniform", "low": -1, "high": 1}}},
        "linspace": {"features": {"x": {"distribution": "linspace", "low": 0, "high": 10}}},
        "normal": {"features": {"x": {"distribution": "normal", "mean": 20, "std": 5}}},
    },
    "noise": {
        "normal": {"noise": {"distribution": "normal", "std": 0.25}},
        "uniform": {"noise": {"distribution": "uniform", "half_width": 0.5}},
        "flip": {
            "target": {"expression": "x > 0.5"},
            "noise": {"distribution": "flip", "probability": 0.1},
        },
    },
    "preprocessing": {
        "preprocessing": {
            "preprocessing": {
                "scaling": "standardize",
                "missing": "median",
                "columns": {
                    "town": {"encoding": "embedding", "embedding_dim": 2, "missing": "most_frequent"}
                },
            }
        }
    },
    "models": {
        "linear": {"model": {"type": "linear"}},
        "polynomial": {"model": {"type": "polynomial", "degree": 3}},
        "logistic": {"model": {"type": "logistic"}, "loss": {"type": "BCEWithLogitsLoss"}},
        "softmax": {"model": {"type": "softmax"}, "loss": {"type": "CrossEntropyLoss"}},
        "mlp": {"model": {"type": "mlp", "hidden": [64, 32], "activation": "Tanh", "dropout": 0.1}},
        "cnn": {
            "model": {
                "type": "cnn",
                "blocks": [
                    {"channels": 16, "pool": {"type": "MaxPool2d", "kernel_size": 2}},
                    {"channels": 32, "normalization": "batch"},
                ],
                "pooling": "average",
                "head": [64],
            }
        },
        "sequential": {
            "model": {
                "type": "sequential",
                "layers": [{"type": "Linear", "out_features": 16}, {"type": "Tanh"}, {"type": "Linear"}],
                "init": {"weight": "xavier_uniform_", "bias": "zeros_"},
            }
        },
    },
    "layers": {
        "Linear": {"type": "Linear", "out_features": 64},
        "Conv1d": {"type": "Conv1d", "out_channels": 16, "kernel_size": 5, "padding": 2},
        "Conv2d": {"type": "Conv2d", "out_channels": 16, "kernel_size": 3, "padding": 1},
        "Conv3d": {"type": "Conv3d", "out_channels": 8, "kernel_size": 3, "padding": 1},
        "ConvTranspose1d": {"type": "ConvTranspose1d", "out_channels": 8, "kernel_size": 2, "stride": 2},
        "ConvTranspose2d": {"type": "ConvTranspose2d", "out_channels": 8, "kernel_size": 2, "stride": 2},
        "MaxPool1d": {"type": "MaxPool1d", "kernel_size": 2},
        "MaxPool2d": {"type": "MaxPool2d", "kernel_size": 2},
        "AvgPool1d": {"type": "AvgPool1d", "kernel_size": 2},
        "AvgPool2d": {"type": "AvgPool2d", "kernel_size": 2},
        "AdaptiveAvgPool1d": {"type": "AdaptiveAvgPool1d", "output_size": 1},
        "AdaptiveAvgPool2d": {"type": "AdaptiveAvgPool2d", "output_size": 1},
        "AdaptiveMaxPool1d": {"type": "AdaptiveMaxPool1d", "output_size": 4},
        "AdaptiveMaxPool2d": {"type": "AdaptiveMaxPool2d", "output_size": [2, 2]},
        "BatchNorm1d": {"type": "BatchNorm1d", "momentum": 0.1},
        "BatchNorm2d": {"type": "BatchNorm2d"},
        "LayerNorm": {"type": "LayerNorm"},
        "GroupNorm": {"type": "GroupNorm", "num_groups": 2},
        "InstanceNorm1d": {"type": "InstanceNorm1d"},
        "InstanceNorm2d": {"type": "InstanceNorm2d"},
        "Dropout": {"type": "Dropout", "p": 0.2},
        "Dropout1d": {"type": "Dropout1d", "p": 0.2},
        "Dropout2d": {"type": "Dropout2d", "p": 0.2},
        "AlphaDropout": {"type": "AlphaDropout", "p": 0.1},
        "Flatten": {"type": "Flatten"},
        "Unflatten": {"type": "Unflatten", "dim": 1, "unflattened_size": [1, 2, -1]},
        "Upsample": {"type": "Upsample", "scale_factor": 2},
        "ZeroPad2d": {"type": "ZeroPad2d", "padding": 1},
        "Embedding": {"type": "Embedding", "num_embeddings": 100, "embedding_dim": 8},
        "RNN": {"type": "RNN", "hidden_size": 16},
        "LSTM": {"type": "LSTM", "hidden_size": 32, "num_layers": 2, "dropout": 0.1},
        "GRU": {"type": "GRU", "hidden_size": 32, "output": "sequence"},
        "TransformerEncoderLayer": {"type": "TransformerEncoderLayer", "nhead": 2, "dim_feedforward": 64},
        "residual": {
            "type": "residual",
            "layers": [{"type": "Linear", "out_features": 8}, {"type": "ReLU"}],
        },
        **{name: {"type": name} for name in _BARE},
        "LeakyReLU": {"type": "LeakyReLU", "negative_slope": 0.1},
        "ELU": {"type": "ELU", "alpha": 0.5},
        "Softplus": {"type": "Softplus", "beta": 2},
        "Threshold": {"type": "Threshold", "threshold": 0.1, "value": 0},
        "Hardtanh": {"type": "Hardtanh", "min_val": 0, "max_val": 1},
        "Softmax": {"type": "Softmax", "dim": 1},
        "LogSoftmax": {"type": "LogSoftmax", "dim": 1},
        "Softmin": {"type": "Softmin", "dim": 1},
    },
    "initializers": {
        "uniform_": {"weight": {"type": "uniform_", "a": -0.1, "b": 0.1}},
        "normal_": {"weight": {"type": "normal_", "std": 0.01}},
        "trunc_normal_": {"weight": {"type": "trunc_normal_", "std": 0.02}},
        "constant_": {"bias": {"type": "constant_", "val": 0.1}},
        "zeros_": {"bias": "zeros_"},
        "ones_": {"weight": "ones_"},
        "eye_": {"weight": "eye_"},
        "dirac_": {"weight": "dirac_"},
        "xavier_uniform_": {"weight": "xavier_uniform_", "bias": "zeros_"},
        "xavier_normal_": {"weight": {"type": "xavier_normal_", "gain": 1.667}},
        "kaiming_uniform_": {"weight": {"type": "kaiming_uniform_", "nonlinearity": "relu"}},
        "kaiming_normal_": {"weight": {"type": "kaiming_normal_", "nonlinearity": "relu"}},
        "orthogonal_": {"weight": "orthogonal_"},
        "sparse_": {"weight": {"type": "sparse_", "sparsity": 0.9}},
    },
    "losses": {
        "MSELoss": _loss(_NUMBERS, {"type": "linear"}, "MSELoss"),
        "L1Loss": _loss(_NUMBERS, {"type": "linear"}, "L1Loss"),
        "SmoothL1Loss": _loss(_NUMBERS, {"type": "linear"}, "SmoothL1Loss", beta=0.5),
        "HuberLoss": _loss(_NUMBERS, _SMOOTH, "HuberLoss", delta=2),
        "PoissonNLLLoss": _loss(_data("visits", "x", "z"), {"type": "linear"}, "PoissonNLLLoss"),
        "GaussianNLLLoss": _loss(_NUMBERS, _SMOOTH, "GaussianNLLLoss"),
        "CrossEntropyLoss": _loss(_CLASSES, _SMOOTH, "CrossEntropyLoss", weight=[1, 1, 2.5]),
        "NLLLoss": _loss(_CLASSES, _LOG_SOFTMAX, "NLLLoss"),
        "MultiMarginLoss": _loss(_CLASSES, {"type": "softmax"}, "MultiMarginLoss"),
        "KLDivLoss": _loss(_SHARES, _LOG_SOFTMAX, "KLDivLoss"),
        "BCELoss": _loss(_YES_NO, {"type": "logistic", "output_activation": "Sigmoid"}, "BCELoss"),
        "BCEWithLogitsLoss": _loss(_YES_NO, {"type": "logistic"}, "BCEWithLogitsLoss", pos_weight=[4]),
        "MultiLabelSoftMarginLoss": _loss(_data(_LABELS, "x", "z"), _SMOOTH, "MultiLabelSoftMarginLoss"),
        "SoftMarginLoss": _loss(_YES_NO, {"type": "logistic"}, "SoftMarginLoss"),
        "HingeEmbeddingLoss": _loss(
            _YES_NO, {**_SMOOTH, "output_activation": "Softplus"}, "HingeEmbeddingLoss"
        ),
        "MultiLabelMarginLoss": _loss(_data(_LABELS, "x", "z"), _SMOOTH, "MultiLabelMarginLoss"),
        "MarginRankingLoss": _loss(_PAIRS, {"type": "linear"}, "MarginRankingLoss", margin=0.1),
        "CosineEmbeddingLoss": _loss(_PAIRS, {**_SMOOTH, "outputs": 4}, "CosineEmbeddingLoss"),
        "TripletMarginLoss": _loss(_TRIPLETS, {**_SMOOTH, "outputs": 4}, "TripletMarginLoss"),
        "CTCLoss": _loss(
            _SOUND,
            {
                "type": "sequential",
                "layers": [
                    {"type": "GRU", "hidden_size": 32, "output": "sequence"},
                    {"type": "Linear", "out_features": 27},
                    {"type": "LogSoftmax", "dim": 2},
                ],
            },
            "CTCLoss",
        ),
    },
    "optimizers": {
        "SGD": {"type": "SGD", "lr": 0.1, "momentum": 0.9, "nesterov": True},
        "RMSprop": {"type": "RMSprop", "lr": 0.01},
        "Adam": {"type": "Adam", "lr": 0.01},
        "AdamW": {
            "type": "AdamW",
            "lr": 0.01,
            "weight_decay": 0.05,
            "groups": [{"parameters": ["*bias"], "weight_decay": 0}],
        },
        "Adamax": {"type": "Adamax", "lr": 0.002},
        "NAdam": {"type": "NAdam", "lr": 0.002},
        "RAdam": {"type": "RAdam", "lr": 0.001},
        "Adagrad": {"type": "Adagrad", "lr": 0.1},
        "Adadelta": {"type": "Adadelta", "rho": 0.95},
        "Adafactor": {"type": "Adafactor", "lr": 0.01},
        "ASGD": {"type": "ASGD", "lr": 0.01},
        "Rprop": {"type": "Rprop", "lr": 0.01},
        "LBFGS": {"type": "LBFGS", "line_search_fn": "strong_wolfe"},
        "Muon": {"type": "Muon", "lr": 0.02},
    },
    "schedulers": {
        "StepLR": {"type": "StepLR", "step_size": 30, "gamma": 0.5},
        "MultiStepLR": {"type": "MultiStepLR", "milestones": [50, 80]},
        "ConstantLR": {"type": "ConstantLR", "factor": 0.1, "total_iters": 10},
        "LinearLR": {"type": "LinearLR", "start_factor": 0.1, "total_iters": 10},
        "ExponentialLR": {"type": "ExponentialLR", "gamma": 0.98},
        "PolynomialLR": {"type": "PolynomialLR", "power": 2},
        "CosineAnnealingLR": {"type": "CosineAnnealingLR", "warmup": {"epochs": 5}},
        "CosineAnnealingWarmRestarts": {"type": "CosineAnnealingWarmRestarts", "T_0": 20, "T_mult": 2},
        "CyclicLR": {"type": "CyclicLR", "base_lr": 0.01, "max_lr": 0.1, "step_size_up": 20},
        "OneCycleLR": {"type": "OneCycleLR", "max_lr": 0.1},
        "ReduceLROnPlateau": {"type": "ReduceLROnPlateau", "patience": 20, "factor": 0.5},
        "SequentialLR": {
            "type": "SequentialLR",
            "schedulers": [
                {"type": "LinearLR", "total_iters": 10},
                {"type": "ExponentialLR", "gamma": 0.95},
            ],
            "milestones": [10],
        },
        "ChainedScheduler": {
            "type": "ChainedScheduler",
            "schedulers": [
                {"type": "ConstantLR", "total_iters": 5},
                {"type": "ExponentialLR", "gamma": 0.98},
            ],
        },
    },
    "regularization": {"regularization": {"regularization": {"l2": 0.001, "clip_grad_norm": 1.0}}},
    "training": {
        "training": {
            "training": {
                "epochs": 500,
                "batch_size": 32,
                "seed": 0,
                "early_stopping": {"monitor": "train_loss", "patience": 20},
            }
        }
    },
    "augmentation": {
        "noise": [{"type": "noise", "std": 0.05}],
        "flip": [{"type": "flip", "axis": "horizontal"}],
        "shift": [{"type": "shift", "pixels": 2}],
        "rotation": [{"type": "rotation", "degrees": 10}],
    },
    "evaluation": {
        "evaluation": {
            "evaluation": {
                "split": {"type": "random", "dev": 0.2, "test": 0.2},
                "metrics": ["r2", "mae"],
                "every": 10,
            }
        }
    },
    "splits": {
        "random": {"split": {"type": "random", "dev": 0.2, "test": 0.1, "seed": 1}},
        "order": {"split": {"type": "order", "dev": 0.2, "test": 0.2, "by": "day"}},
        "column": {"split": {"type": "column", "column": "part", "dev": ["valid"]}},
    },
    "metrics": {"metrics": {"metrics": ["r2", "mae", "max_error"]}},
}
"""By kind and name."""
