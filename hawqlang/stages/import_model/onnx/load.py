"""Opens an ONNX file and gives it as plain values: nodes, initializers, the one input and output.

Only the protocol buffer is parsed; nothing in the file is executed, and external data is read from the model's own
folder only.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from hawqlang.base import Span
from hawqlang.diagnostics import Diagnostic, HawqError
from hawqlang.stages.import_model.onnx.model import (
    Attribute,
    Initializer,
    OnnxInput,
    OnnxModel,
    OnnxNode,
    printable,
    text_of,
)
from hawqlang.stages.import_model.onnx.scopes import Places
from hawqlang.stages.import_model.onnx.tensors import to_array

if TYPE_CHECKING:
    import onnx

OLDEST_OPSET = 11
NEWEST_OPSET = 21


def load(path_text: str, span: Span) -> OnnxModel:
    """Return the model in a file; a file that is none, or that has several inputs or outputs, is an error."""
    path = Path(path_text)
    proto = _parse(path, path_text, span)
    graph = proto.graph
    if not graph.node or not graph.output:
        _fail("HQ302", f"'{path_text}' is not an ONNX model, or an empty one", span)
    opset = _opset(proto, path_text, span)
    _check_form(proto, path_text, span)
    initializers = {
        text_of(tensor.name): Initializer(
            shape=tuple(int(n) for n in tensor.dims),
            read=partial(to_array, tensor, path.parent),
            embedded=tensor.data_location != tensor.EXTERNAL,
        )
        for tensor in graph.initializer
    }
    places = Places(_integers(graph))
    entering = [value for value in graph.input if text_of(value.name) not in initializers]
    check_single("input", [text_of(value.name) for value in entering], path_text, span)
    check_single("output", [text_of(value.name) for value in graph.output], path_text, span)
    return OnnxModel(
        path=path,
        opset=opset,
        nodes=tuple(_node(node, i, places) for i, node in enumerate(graph.node, start=1)),
        initializers=initializers,
        input=_input(entering[0]),
        output=text_of(graph.output[0].name),
    )


def _parse(path: Path, path_text: str, span: Span) -> onnx.ModelProto:
    if not path.exists():
        _fail("HQ301", f"there is no model file '{path_text}'", span)
    if not path.is_file():
        _fail("HQ302", f"'{path_text}' is not a file", span)
    import onnx
    from google.protobuf.message import DecodeError

    try:
        return onnx.load_model(path, load_external_data=False)
    except DecodeError as error:
        raise HawqError(_finding("HQ302", f"'{path_text}' is not an ONNX model", span)) from error
    except OSError as error:
        message = f"cannot read '{path_text}': {error.strerror}"
        raise HawqError(_finding("HQ302", message, span)) from error


def _opset(proto: onnx.ModelProto, path_text: str, span: Span) -> int:
    versions = [entry.version for entry in proto.opset_import if entry.domain in ("", "ai.onnx")]
    if versions and OLDEST_OPSET <= versions[0] <= NEWEST_OPSET:
        return versions[0]
    found = f"opset {versions[0]}" if versions else "no opset"
    raise HawqError(
        Diagnostic(
            code="HQ322",
            severity="error",
            message=f"'{path_text}' uses {found}; opsets {OLDEST_OPSET} to {NEWEST_OPSET} are read",
            span=span,
            help="export it again: torch.onnx.export(…, opset_version=17), or convert it with "
            "onnx.version_converter",
        )
    )


def _check_form(proto: onnx.ModelProto, path_text: str, span: Span) -> None:
    if proto.functions:
        _fail(
            "HQ321",
            f"'{path_text}' defines functions of its own",
            span,
            "inline them first, with onnx.inliner.inline_local_functions",
        )
    if proto.graph.sparse_initializer:
        _fail("HQ321", f"'{path_text}' holds sparse weights", span, "store them dense")


def check_single(what: str, names: Sequence[str], path_text: str, span: Span) -> None:
    """Refuse a network with another number of inputs or outputs than one."""
    if len(names) == 1:
        return
    listed = ", ".join(f"'{printable(name)}'" for name in names[:4]) or "none"
    _fail(
        "HQ323",
        f"'{path_text}' has {len(names)} {what}s where one is expected: {listed}",
        span,
        "export a network that takes one tensor and gives its logits",
    )


def _node(node: onnx.NodeProto, position: int, places: Places) -> OnnxNode:
    domain = "" if node.domain in ("", "ai.onnx") else f"{printable(node.domain)}."
    return OnnxNode(
        name=printable(node.name),
        op=f"{domain}{printable(node.op_type)}",
        inputs=tuple(text_of(name) for name in node.input),
        outputs=tuple(text_of(name) for name in node.output),
        attributes={text_of(attribute.name): _attribute(attribute) for attribute in node.attribute},
        position=position,
        path=places.path(node.op_type, node.output, _properties(node)),
    )


def _integers(graph: onnx.GraphProto) -> frozenset[str]:
    """Return the values that the file says to hold whole numbers."""
    import onnx

    kinds = (onnx.TensorProto.INT64, onnx.TensorProto.INT32, onnx.TensorProto.BOOL)
    return frozenset(
        text_of(value.name)
        for value in graph.value_info
        if value.type.tensor_type.elem_type in kinds
    )


def _properties(node: onnx.NodeProto) -> dict[str, str]:
    """Return what a node says of itself; files before version 10 of the format say nothing."""
    return {text_of(entry.key): text_of(entry.value) for entry in node.metadata_props}


def _attribute(attribute: onnx.AttributeProto) -> Attribute:  # noqa: PLR0911 - one a type
    import onnx

    kinds = onnx.AttributeProto
    match attribute.type:
        case kinds.INT:
            return int(attribute.i)
        case kinds.FLOAT:
            return float(attribute.f)
        case kinds.STRING:
            return text_of(attribute.s)
        case kinds.INTS:
            return tuple(int(i) for i in attribute.ints)
        case kinds.FLOATS:
            return tuple(float(f) for f in attribute.floats)
        case kinds.TENSOR:
            return attribute.t
        case _:
            return attribute


def _input(value: onnx.ValueInfoProto) -> OnnxInput:
    import onnx

    tensor = value.type.tensor_type
    dims = (
        tuple(int(d.dim_value) if d.HasField("dim_value") else None for d in tensor.shape.dim)
        if tensor.HasField("shape")
        else None
    )
    known = tensor.elem_type in onnx.TensorProto.DataType.values()
    element = onnx.TensorProto.DataType.Name(tensor.elem_type) if known else "UNDEFINED"
    return OnnxInput(name=text_of(value.name), dims=dims, element=element)


def _finding(code: str, message: str, span: Span, help_text: str | None = None) -> Diagnostic:
    return Diagnostic(code=code, severity="error", message=message, span=span, help=help_text)


def _fail(code: str, message: str, span: Span, help_text: str | None = None) -> NoReturn:
    raise HawqError(_finding(code, message, span, help_text))
