"""ONNX and torch.export files carry the whole prediction: whoever has one needs nothing else of the service."""

import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch

from service.exceptions import ExportFailed
from service.exports.formats import ExportFormat
from service.exports.making import made_here, write_program
from service.exports.report import Report
from service.exports.subject import Subject
from service.exports.whole import WholeModel
from service.inference.predictor import Predictor
from tests.exports.subjects import GAPS, IMAGES, KINDS, LINE, MLP, SERIES, YES, spec, subject_of

# Tracing and translating takes seconds for each model, all of which are made before the first test.
pytestmark = pytest.mark.timeout(400)
NOWHERE = Path("/nonexistent")
COLOUR = ["red", "green", "blue"]
SPECS: dict[str, dict[str, Any]] = {
    "categories": spec(
        {**{name: KINDS[name] for name in ("a", "b", "k")}, "y": [COLOUR[place % 3] for place in range(60)]},
        {"type": "mlp", "hidden": [5]},
        {"type": "CrossEntropyLoss"},
        preprocessing={"missing": "most_frequent", "encoding": "embedding", "scaling": "standardize"},
    ),
    "images": spec(
        IMAGES,
        {
            "type": "cnn",
            "blocks": [
                {"channels": 3, "normalization": "batch", "pool": {"type": "MaxPool2d", "kernel_size": 2}}
            ],
        },
        {"type": "CrossEntropyLoss"},
        preprocessing={"arrays": "standardize"},
    ),
    "series": spec(
        SERIES,
        {
            "type": "sequential",
            "layers": [{"type": "LSTM", "hidden_size": 4}, {"type": "Linear", "out_features": 2}],
        },
        {"type": "GaussianNLLLoss"},
        preprocessing={"target_scaling": "standardize"},
    ),
    "terms": spec(
        GAPS, {"type": "polynomial", "degree": 3}, preprocessing={"missing": "mean", "scaling": "standardize"}
    ),
}
FILES = [*((name, "onnx") for name in SPECS), ("categories", "pt2")]
"""ONNX goes through torch.export too: one file of that alone is enough."""
Made = dict[tuple[str, str], tuple[Path, Report]]


@pytest.fixture(scope="module")
def subjects() -> dict[str, Subject]:
    return {name: subject_of(body) for name, body in SPECS.items()}


@pytest.fixture(scope="module")
def made(subjects: dict[str, Subject], tmp_path_factory: pytest.TempPathFactory) -> Made:
    """Each file with its report."""
    folder, found = tmp_path_factory.mktemp("programs"), {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # What torch says about its own future.
        for name, form in FILES:
            path = folder / f"{name}.{form}"
            found[name, form] = (
                path,
                write_program(ExportFormat(form), subjects[name], path, datasets=NOWHERE),
            )
    return found


@pytest.mark.parametrize(("name", "form"), FILES)
def test_a_file_is_as_near_as_its_report_says(name: str, form: str, made: Made) -> None:
    path, report = made[name, form]
    assert report.verified
    assert report.rows >= 30
    assert report.largest_difference is not None
    assert report.largest_relative_difference is not None
    assert report.tolerance == 1e-4
    assert report.largest_relative_difference < 1e-5
    assert report.bytes == path.stat().st_size


def session_of(path: Path) -> Any:  # noqa: ANN401 - onnxruntime brings no types
    return onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])


def test_onnx_takes_texts_and_gives_texts(subjects: dict[str, Subject], made: Made) -> None:
    session = session_of(made["categories", "onnx"][0])
    assert [(one.name, one.type, one.shape) for one in session.get_inputs()] == [
        ("a", "tensor(double)", ["rows"]),
        ("b", "tensor(double)", ["rows"]),
        ("k", "tensor(string)", ["rows"]),
    ]
    columns = {"a": [0.1, -2.0, 0.4], "b": [1.0, 0.5, -0.5], "k": ["w x", "u", ""]}
    found = session.run(
        None, {n: np.array(v, dtype=object if n == "k" else float) for n, v in columns.items()}
    )
    subject = subjects["categories"]
    own = Predictor(subject.spec(), subject.parameters).predict({**columns, "k": ["w x", "u", None]})
    assert [one.name for one in session.get_outputs()] == ["y", "probabilities"]
    assert found[0].tolist() == own.columns["y"]
    table = np.stack(list(own.probabilities.values()), axis=1)
    assert np.abs(found[1] - table).max() < 1e-6
    said = json.loads(session.get_modelmeta().custom_metadata_map["fitd"])
    assert said["outputs"][1]["columns"] == list(own.probabilities)
    assert said["inputs"][2]["categories"] == ["u", "v", "w x"]
    assert said["verified"]["rows"] == 60


def test_pt2_takes_columns_by_name_in_any_order(subjects: dict[str, Subject], made: Made) -> None:
    said = {"fitd.json": ""}
    loaded = torch.export.load(made["categories", "pt2"][0], extra_files=said).module()
    columns = {
        "k": torch.tensor([2, -1]),
        "b": torch.tensor([1.0, 0.5]).double(),
        "a": torch.tensor([0.1, -2.0]).double(),
    }
    found = loaded(columns)
    subject = subjects["categories"]
    own = Predictor(subject.spec(), subject.parameters).predict(
        {"a": [0.1, -2.0], "b": [1.0, 0.5], "k": ["w x", None]}
    )
    classes = json.loads(said["fitd.json"])["outputs"][0]["classes"]
    assert [classes[code] for code in found["y"].tolist()] == own.columns["y"]


def test_predictions_are_in_raw_units_with_their_deviation(subjects: dict[str, Subject], made: Made) -> None:
    session = session_of(made["series", "onnx"][0])
    rows = np.zeros((1, 5, 3), dtype=np.float32)
    value, std = session.run(None, {session.get_inputs()[0].name: rows})
    subject = subjects["series"]
    own = Predictor(subject.spec(), subject.parameters).predict({"s": rows.tolist()})
    assert value.shape == (1,)
    assert value[0] == pytest.approx(float(own.columns["y"][0]), rel=1e-5)
    assert std[0, 0] == pytest.approx(float(own.std["y"][0]), rel=1e-5)


def test_a_row_without_a_value_is_nothing_and_no_guess() -> None:
    subject = subject_of(spec(KINDS, MLP, preprocessing={"missing": "drop"}))
    model = WholeModel(subject.spec(), subject.parameters)
    nan = float("nan")
    columns = {
        "a": torch.tensor([0.5, nan, 0.5]).double(),
        "b": torch.ones(3).double(),
        "k": torch.tensor([0, 0, -1]),
    }
    assert torch.isnan(model(columns)["y"]).tolist() == [False, True, True]


def test_what_differs_is_not_handed_out(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    subject = subject_of(spec(LINE))
    right = Predictor.outputs
    monkeypatch.setattr(Predictor, "outputs", lambda self, arrays: right(self, arrays) * 1.01)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(ExportFailed, match="It is not handed out"):
            write_program(ExportFormat.PT2, subject, tmp_path / "model.pt2", datasets=NOWHERE)


def test_coefficients_are_in_raw_units_and_compared() -> None:
    subject = subject_of(
        spec(LINE, preprocessing={"scaling": "standardize", "target_scaling": "standardize"})
    )
    data, report = made_here(ExportFormat.COEFFICIENTS, subject, datasets=NOWHERE, url="")
    content = json.loads(data)
    own = Predictor(subject.spec(), subject.parameters).predict({"a": [0.5], "b": [-2.0]})
    value = content["intercept"] + 0.5 * content["coefficients"]["a"] - 2 * content["coefficients"]["b"]
    assert value == pytest.approx(float(own.columns["y"][0]), rel=1e-5)
    assert (report.verified, report.rows) == (True, 60)


def test_coefficients_of_a_classifier_say_what_they_give() -> None:
    subject = subject_of(spec(YES, {"type": "logistic"}, {"type": "BCEWithLogitsLoss"}))
    data, report = made_here(ExportFormat.COEFFICIENTS, subject, datasets=NOWHERE, url="")
    content = json.loads(data)
    assert (content["gives"], content["classes"], report.verified) == ("logit", [0, 1], True)


def test_safetensors_say_what_they_are_of() -> None:
    import safetensors.torch

    subject = subject_of(spec(LINE))
    data, report = made_here(ExportFormat.SAFETENSORS, subject, datasets=NOWHERE, url="")
    own = safetensors.torch.load(subject.parameters)
    assert {name: one.tolist() for name, one in safetensors.torch.load(data).items()} == {
        name: one.tolist() for name, one in own.items()
    }
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])["__metadata__"]
    assert set(header) == {"fitd.preparation", "fitd.spec", "fitd.title", "fitd.versions"}
    assert "columns" not in json.loads(header["fitd.spec"])["data"]
    assert report.largest_difference == 0
