"""Making one export in the process that was asked for it."""

import hashlib
from pathlib import Path

from service.exceptions import DatasetDamaged, ExportNotAvailable, TrainingFailed
from service.exports.comparison import Comparison
from service.exports.formats import ExportFormat
from service.exports.programs import versions, write_onnx, write_pt2
from service.exports.report import Report
from service.exports.rows import rows_to_compare
from service.exports.script.writer import script_of
from service.exports.subject import Subject
from service.exports.tensors import coefficients_of, safetensors_of
from service.inference.predictor import Predictor
from service.training.frames import load

__all__ = ["made_here", "write_program"]

_PACKAGES = {
    ExportFormat.ONNX: ("torch", "onnx", "onnxruntime", "onnxscript"),
    ExportFormat.PT2: ("torch",),
}
_RUNTIMES = {ExportFormat.ONNX: "onnxruntime", ExportFormat.PT2: "torch.export.load"}
_FROM = {"job": "of the job's own data", "drawn": "drawn, because the dataset of the job is gone"}


def made_here(name: ExportFormat, subject: Subject, *, datasets: Path, url: str) -> tuple[bytes, Report]:
    """Make what takes little time and memory.

    Args:
        name: `safetensors`, `coefficients` or `script`.
        subject: The model.
        datasets: The folder of the stored datasets.
        url: Where the service answers, for scripts.

    Raises:
        ExportNotAvailable: The format cannot carry the model.
        ExportFailed: The file gives something else than the service.
    """
    if name is ExportFormat.SAFETENSORS:
        return safetensors_of(subject)
    if name is ExportFormat.COEFFICIENTS:
        return coefficients_of(subject, datasets=datasets)
    return _script(subject, datasets=datasets, url=url)


def _script(subject: Subject, *, datasets: Path, url: str) -> tuple[bytes, Report]:
    try:
        frame = load(subject.spec().data, datasets=datasets)
    except (TrainingFailed, DatasetDamaged) as error:
        hint = "A script needs the rows of its job. The other formats do not."
        raise ExportNotAvailable(f"The rows cannot be read: {error.message}", hint=hint) from None
    data = script_of(subject, frame, url=url).encode()
    report = Report(
        format=ExportFormat.SCRIPT,
        verified=False,
        how="The script compares itself when it is run, and ends with the code 0 if its parameters are the service's.",
        rows=0,
        largest_difference=None,
        largest_relative_difference=None,
        tolerance=None,
        bytes=len(data),
        digest=hashlib.sha256(data).hexdigest(),
        versions=versions("torch"),
    )
    return data, report


def write_program(name: ExportFormat, subject: Subject, path: Path, *, datasets: Path) -> Report:
    """Write a program for another runtime and compare it with the service's own predictions.

    Args:
        name: `onnx` or `pt2`.
        subject: The model.
        path: Where to write.
        datasets: The folder of the stored datasets.

    Raises:
        ExportNotAvailable: The format, or its runtime, cannot carry the model.
        ExportFailed: The program gives something else.
    """
    spec = subject.spec()
    predictor = Predictor(spec, subject.parameters)
    arrays, source = rows_to_compare(spec, predictor, datasets=datasets)
    if not arrays:
        raise ExportNotAvailable("The model has no features.")
    write = {ExportFormat.ONNX: write_onnx, ExportFormat.PT2: write_pt2}[name]
    comparison: Comparison = write(spec, subject.parameters, arrays, path)
    data = path.read_bytes()
    return Report(
        format=name,
        verified=True,
        how=f"Loaded by {_RUNTIMES[name]} and held against the service's own predictions, on rows {_FROM[source]}.",
        rows=comparison.rows,
        largest_difference=comparison.largest,
        largest_relative_difference=comparison.relative,
        tolerance=comparison.tolerance,
        bytes=len(data),
        digest=hashlib.sha256(data).hexdigest(),
        versions=versions(*_PACKAGES[name]),
    )
