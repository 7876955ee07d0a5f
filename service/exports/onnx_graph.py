"""The ONNX graph of a model: what torch writes, with texts on both sides instead of codes."""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
from onnx import TensorProto, helper

from service.exports.whole import WholeModel
from service.training.encoding import Input

__all__ = ["annotate", "feeds", "graph_of", "session_of"]

ML = "ai.onnx.ml"
"""The domain of operators for texts and trees, which onnxruntime has built in."""
NO_CODE = -1


def graph_of(program: torch.export.ExportedProgram, model: WholeModel) -> Any:  # noqa: ANN401 - an onnx.ModelProto
    """Translate a traced model: inputs and outputs by name, categories and classes as texts."""
    names, given = list(model.feature_names), [one.name for one in model.outputs]
    written = torch.onnx.export(
        program, dynamo=True, input_names=names, output_names=given, verbose=False, external_data=False
    )
    if written is None:
        raise RuntimeError("torch gave no ONNX program")
    proto = written.model_proto
    _name_rows(proto.graph)
    for one, name in zip(model.preparation.inputs, names, strict=True):
        if one.kind == "category":
            _take_texts(proto.graph, one, name)
    for output in model.outputs:
        if output.is_text:
            _give_texts(proto.graph, output.name, [str(one) for one in output.classes])
    if not any(one.domain == ML for one in proto.opset_import):
        proto.opset_import.append(helper.make_opsetid(ML, 3))
    onnx.checker.check_model(proto)
    return proto


def _name_rows(graph: Any) -> None:  # noqa: ANN401 - a GraphProto
    """Call the number of rows what it is; torch gives it a number of its own."""
    own = {value.type.tensor_type.shape.dim[0].dim_param for value in graph.input}
    for value in (*graph.input, *graph.output, *graph.value_info):
        for size in value.type.tensor_type.shape.dim:
            if size.dim_param in own:
                size.dim_param = "rows"


def _take_texts(graph: Any, one: Input, name: str) -> None:  # noqa: ANN401 - a GraphProto
    codes = f"{name}/codes"
    for node in graph.node:
        node.input[:] = [codes if used == name else used for used in node.input]
    value = next(value for value in graph.input if value.name == name)
    value.type.tensor_type.elem_type = TensorProto.STRING
    texts = [str(category) for category in one.categories or ()]
    encoder = helper.make_node(
        "LabelEncoder",
        [name],
        [codes],
        name=f"{name}/encoder",
        domain=ML,
        keys_strings=texts,
        values_int64s=list(range(len(texts))),
        default_int64=NO_CODE,
    )
    graph.node.insert(0, encoder)


def _give_texts(graph: Any, name: str, classes: list[str]) -> None:  # noqa: ANN401 - a GraphProto
    codes = f"{name}/codes"
    for node in graph.node:
        node.output[:] = [codes if made == name else made for made in node.output]
        node.input[:] = [codes if used == name else used for used in node.input]
    value = next(value for value in graph.output if value.name == name)
    value.type.tensor_type.elem_type = TensorProto.STRING
    decoder = helper.make_node(
        "LabelEncoder",
        [codes],
        [name],
        name=f"{name}/decoder",
        domain=ML,
        keys_int64s=list(range(len(classes))),
        values_strings=classes,
        default_string="",
    )
    graph.node.append(decoder)


def annotate(proto: Any, details: Mapping[str, Any]) -> None:  # noqa: ANN401 - an onnx.ModelProto
    """Write what a graph's inputs and outputs mean into its metadata; the graph stays as it is."""
    proto.producer_name = "fitd"
    proto.producer_version = str(details["versions"]["fitd"])
    for entry in [entry for entry in proto.metadata_props if entry.key == "fitd"]:
        proto.metadata_props.remove(entry)
    proto.metadata_props.append(onnx.StringStringEntryProto(key="fitd", value=json.dumps(details)))


def session_of(data: bytes) -> Any:  # noqa: ANN401 - onnxruntime brings no types
    """Load a graph on one thread of the CPU."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])


def feeds(model: WholeModel, columns: Mapping[str, torch.Tensor]) -> dict[str, Any]:
    """Give rows as a session takes them: categories as texts, an empty one where there is none."""
    pairs = zip(model.preparation.inputs, model.feature_names, strict=True)
    return {
        name: _texts(one, columns[name]) if one.kind == "category" else columns[name].numpy()
        for one, name in pairs
    }


def _texts(one: Input, codes: torch.Tensor) -> Any:  # noqa: ANN401 - an array of texts
    texts = one.categories or ()
    return np.array([texts[code] if code >= 0 else "" for code in codes.tolist()], dtype=object)
