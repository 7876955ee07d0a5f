"""Models as programs for other runtimes: a torch.export archive, and an ONNX graph."""

import importlib.metadata
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from service import __version__
from service.exceptions import ExportNotAvailable
from service.exports.comparison import Comparison, compare
from service.exports.shortage import is_of_memory
from service.exports.whole import Output, WholeModel
from service.inference.predictor import Predictor
from service.spec.job import JobSpec
from service.tables.frame import Array
from service.training.encoding import Input

__all__ = ["describe", "example_of", "program_of", "versions", "write_onnx", "write_pt2"]

DETAILS = "fitd.json"
"""Name of the file within a pt2 archive that says what its columns mean."""


def versions(*packages: str) -> dict[str, str]:
    """Name the versions of this service and of packages."""
    return {"fitd": __version__, **{name: importlib.metadata.version(name) for name in packages}}


def program_of(model: WholeModel, example: dict[str, torch.Tensor]) -> torch.export.ExportedProgram:
    """Trace a model for any number of rows.

    Raises:
        ExportNotAvailable: It does something that torch.export cannot follow.
        MemoryError: There is too little memory to trace it.
    """
    rows = torch.export.Dim("rows")
    try:
        return torch.export.export(
            model, (example,), dynamic_shapes=({name: {0: rows} for name in example},), strict=False
        )
    except Exception as error:
        raise _refusal("torch.export", error) from error


def _refusal(what: str, error: Exception) -> ExportNotAvailable | MemoryError:
    """Say that a library cannot take the model; where it only lacked memory, more of it would help."""
    if is_of_memory(error):
        return MemoryError(str(error))
    reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
    return ExportNotAvailable(
        f"{what} cannot take this model: {reason}", hint="GET …/exports lists the other formats."
    )


def example_of(model: WholeModel, arrays: Mapping[str, Array]) -> dict[str, torch.Tensor]:
    """Give rows as the module takes them: at least two, for one is a special case to torch.export."""
    pairs = zip(model.preparation.inputs, model.feature_names, strict=True)
    return {name: _tensor(model, one, arrays[name]) for one, name in pairs}


def _tensor(model: WholeModel, one: Input, values: Array) -> torch.Tensor:
    if one.kind == "category":
        return torch.tensor(values, dtype=torch.int64)
    is_image = model.preparation.is_image
    dtype = torch.float32 if is_image and model.preparation.dtype == "float32" else torch.float64
    return torch.tensor(np.asarray(values), dtype=dtype)


def describe(
    model: WholeModel, comparison: Comparison | None, *, kind: str, packages: Sequence[str]
) -> dict[str, Any]:
    """Say what goes in and what comes out, for the metadata of a file."""
    found: dict[str, Any] = {
        "inputs": [
            _input(one, name, kind)
            for one, name in zip(model.preparation.inputs, model.feature_names, strict=True)
        ],
        "outputs": [_output(one, kind) for one in model.outputs],
        "versions": versions(*packages),
    }
    if comparison is not None:
        found["verified"] = {
            "rows": comparison.rows,
            "largest_difference": comparison.largest,
            "largest_relative_difference": comparison.relative,
            "tolerance": comparison.tolerance,
        }
    return found


def _input(one: Input, name: str, kind: str) -> dict[str, Any]:
    said: dict[str, Any] = {"name": name, "kind": one.kind}
    if one.kind == "category":
        said["categories"] = list(one.categories or ())
        said["as"] = "texts" if kind == "onnx" else "codes: places in `categories`"
        if one.fill is not None:
            said["gaps_are"] = (one.categories or ())[int(one.fill)]
    elif one.fill is not None:
        said["gaps_are"] = one.fill
    if one.shape:
        said["shape"] = list(one.shape)
    return said


def _output(one: Output, kind: str) -> dict[str, Any]:
    said: dict[str, Any] = {"name": one.name, "kind": one.kind}
    if one.columns:
        said["columns"] = list(one.columns)
    if one.classes:
        said["classes"] = list(one.classes)
        if one.is_text and kind != "onnx":
            said["as"] = "codes: places in `classes`"
    return said


# torch.export.


def write_pt2(spec: JobSpec, parameters: bytes, arrays: Mapping[str, Array], path: Path) -> Comparison:
    """Write a torch.export archive, loaded again and compared.

    Args:
        spec: The effective spec.
        parameters: Of the job.
        arrays: Rows to compare, as of a frame.
        path: Where to write.

    Raises:
        ExportNotAvailable: torch.export cannot take the model.
        ExportFailed: What it gives differs.
        MemoryError: There is too little memory for it.
    """
    model, predictor = WholeModel(spec, parameters), Predictor(spec, parameters)
    program = program_of(model, example_of(model, _two(arrays)))
    torch.export.save(program, path)
    comparison = _pt2_compared(model, predictor, arrays, path)
    details = describe(model, comparison, kind="pt2", packages=("torch",))
    torch.export.save(program, path, extra_files={DETAILS: json.dumps(details)})
    return _pt2_compared(model, predictor, arrays, path)


def _two(arrays: Mapping[str, Array]) -> dict[str, Array]:
    """Give at least two rows: one is a special case to torch.export."""
    return {name: np.concatenate([values, values])[: max(2, len(values))] for name, values in arrays.items()}


def _pt2_compared(
    model: WholeModel, predictor: Predictor, arrays: Mapping[str, Array], path: Path
) -> Comparison:
    loaded = torch.export.load(path).module()

    def run(some: Mapping[str, Array]) -> list[Any]:
        with torch.no_grad():
            found = loaded(example_of(model, some))
        return [_classes(one, found[one.name]) for one in model.outputs]

    return compare(run, model.outputs, predictor, arrays)


def _classes(output: Output, values: torch.Tensor) -> Any:  # noqa: ANN401 - texts or numbers
    if not output.is_text:
        return values.numpy()
    return np.array([output.classes[code] if code >= 0 else "" for code in values.tolist()])


# ONNX.


def write_onnx(spec: JobSpec, parameters: bytes, arrays: Mapping[str, Array], path: Path) -> Comparison:
    """Write an ONNX graph, loaded by onnxruntime and compared. Arguments and errors as of `write_pt2`."""
    from service.exports import onnx_graph

    model, predictor = WholeModel(spec, parameters), Predictor(spec, parameters)
    program = program_of(model, example_of(model, _two(arrays)))
    try:
        graph = onnx_graph.graph_of(program, model)
    except Exception as error:
        raise _refusal("ONNX", error) from error
    comparison = _onnx_compared(graph.SerializeToString(), model, predictor, arrays)
    packages = ("torch", "onnx", "onnxruntime", "onnxscript")
    onnx_graph.annotate(graph, describe(model, comparison, kind="onnx", packages=packages))
    data = graph.SerializeToString()
    path.write_bytes(data)
    return _onnx_compared(data, model, predictor, arrays)


def _onnx_compared(
    data: bytes, model: WholeModel, predictor: Predictor, arrays: Mapping[str, Array]
) -> Comparison:
    from service.exports import onnx_graph

    try:
        session = onnx_graph.session_of(data)
    except Exception as error:
        raise _refusal("onnxruntime", error) from error

    def run(some: Mapping[str, Array]) -> Sequence[Any]:
        try:
            found: Sequence[Any] = session.run(None, onnx_graph.feeds(model, example_of(model, some)))
        except Exception as error:
            raise _refusal("onnxruntime", error) from error
        return found

    return compare(run, model.outputs, predictor, arrays)
