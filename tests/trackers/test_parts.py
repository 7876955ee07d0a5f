"""What is told of a spec and of a result; which trackers are switched on."""

from pathlib import Path
from typing import Any

import pytest

from service.exceptions import StartupFailed
from service.settings import Settings, Trackers
from service.trackers import sinks
from service.trackers.flattening import MOST_PARAMETERS, figures, parameters
from service.trackers.masking import masked
from service.trackers.to_mlflow import _name, _names


@pytest.mark.parametrize(
    "data",
    [
        {"columns": {"x": [1, 2], "secret": ["anna", "bert"]}},
        {"rows": [{"x": 1, "secret": "anna"}, {"x": 2, "secret": "bert"}]},
    ],
)
def test_inline_rows_are_never_told(data: dict[str, Any]) -> None:
    told = parameters({"data": {"type": "inline", **data, "target": "x"}})
    (field,) = data
    assert told.pop(f"data.{field}") == "secret, x"
    assert told == {"data.type": "inline", "data.target": "x"}


def test_a_spec_is_flattened_within_bounds() -> None:
    layers = [{"type": "Linear", "units": 4}, {"type": "ReLU"}]
    spec = {
        "name": "n",
        "metadata": {"a": "b"},
        "model": {"layers": layers, "hidden": [8, 8], "long": [1] * 500, "x": None},
    }
    assert parameters(spec) == {
        "model.layers.0.type": "Linear",
        "model.layers.0.units": 4,
        "model.layers.1.type": "ReLU",
        "model.hidden": "[8,8]",
        "model.long": "500 values",
    }
    assert len(parameters({str(number): 1 for number in range(1000)})) == MOST_PARAMETERS


def test_of_a_result_numbers_are_told_and_nothing_of_the_rows() -> None:
    result = {
        "train_loss": 0.5,
        "dev_loss": None,
        "metrics": {"dev": {"r2": 0.9}},
        "classes": ["anna", "bert"],
        "kept_epoch": 7,
        "cross_validation": {"loss": {"mean": 1.0, "std": 0.1, "folds": 5}},
        "split": {"rows": {"train": 3}},
    }
    assert figures(result) == {
        "train_loss": 0.5,
        "metrics.dev.r2": 0.9,
        "kept_epoch": 7.0,
        "cross_validation.loss.mean": 1.0,
        "cross_validation.loss.std": 0.1,
    }
    assert figures(None) == {}


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("metrics.dev.r2", "metrics.dev.r2"),
        ("a/../b", "a/b"),
        ("größe (cm)", "größe _cm_"),
        ("..", "_"),
        ("x" * 300, "x" * 250),
    ],
)
def test_a_name_is_one_that_mlflow_takes(text: str, name: str) -> None:
    from mlflow.utils.validation import _validate_metric_name

    assert _name(text) == name
    _validate_metric_name(name)


def test_a_tracker_that_is_not_installed_is_told_at_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Settings(trackers=Trackers(mlflow_uri="http://user:secret@127.0.0.1:5000"))
    sinks.check(settings)
    monkeypatch.setitem(sinks._NEEDED, "mlflow", "no_such_module")
    with pytest.raises(StartupFailed, match="FITD_TRACKERS__MLFLOW_URI") as caught:
        sinks.check(settings)
    assert "pip install 'fitd[mlflow]'" in caught.value.hint
    assert "secret" not in f"{caught.value.message} {settings!r} {sinks.switched_on(settings)}"


def test_nothing_is_switched_on_by_itself(tmp_path: Path) -> None:
    assert sinks.switched_on(Settings()) == {}
    assert list(sinks.sinks(Settings(), only=sinks.VARIABLES)) == []
    assert set(sinks.switched_on(Settings(trackers=Trackers(tensorboard_dir=tmp_path)))) == {"tensorboard"}


def test_only_trackers_that_are_asked_for_are_made(tmp_path: Path) -> None:
    trackers = Trackers(tensorboard_dir=tmp_path, mlflow_uri=f"sqlite:///{tmp_path}/mlflow.db")
    made = sinks.sinks(Settings(trackers=trackers), only=["mlflow"])
    assert [sink.name for sink in made] == ["mlflow"]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            "API request to http://anna:pw@host:5000/api\nfailed",
            "API request to http://…@host:5000/api failed",
        ),
        ("no postgresql://anna:p/w@x@host/db", "no postgresql://…@host/db"),
        ("url: /api?name=fitd&token=pw (Caused by", "url: /api?name=…&token=… (Caused by"),
        ("HTTPConnectionPool(host='127.0.0.1', port=9)", "HTTPConnectionPool(host='127.0.0.1', port=9)"),
    ],
)
def test_what_a_client_says_is_told_without_its_secrets(text: str, told: str) -> None:
    assert masked(text) == told


@pytest.mark.parametrize(
    ("texts", "kept"),
    [
        (["x(1)", "x[1]"], set()),
        (["x_1_", "x(1)", "x[1]"], {"x_1_"}),
        (["x" * 250, "x" * 251, "x" * 300], {"x" * 250}),
        (["log(x)", "y"], {"log_x_", "y"}),
    ],
)
def test_no_two_names_become_one(texts: list[str], kept: set[str]) -> None:
    from mlflow.utils.validation import _validate_param_name

    names = _names(texts)
    assert len(set(names)) == len(texts)
    assert kept <= set(names)
    assert _names(reversed(texts)) == names[::-1]
    for name in names:
        _validate_param_name(name)
