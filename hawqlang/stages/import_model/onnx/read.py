"""Reads an ONNX file: its nodes one after the other, constants folded, everything refused reported together."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from hawqlang.cache import Array
from hawqlang.diagnostics import Diagnostic, HawqError
from hawqlang.ir.graph import Conv2d, Linear
from hawqlang.ir.spec import ImageInput, Model, OnnxSource
from hawqlang.stages.import_model.builder import Builder, ShapeError
from hawqlang.stages.import_model.draft import INPUT, Draft
from hawqlang.stages.import_model.inputs import input_shape
from hawqlang.stages.import_model.onnx.constants import can_evaluate
from hawqlang.stages.import_model.onnx.load import load
from hawqlang.stages.import_model.onnx.model import (
    OnnxInput,
    OnnxModel,
    OnnxNode,
    RefusedError,
    printable,
)
from hawqlang.stages.import_model.onnx.names import node_names, weight_origins
from hawqlang.stages.import_model.onnx.operators import RULES
from hawqlang.stages.import_model.onnx.translator import Constant, Flow, Operand, Translator, fold
from hawqlang.stages.import_model.recipes import Shape, stored_in

SHOWN = 12
"""Operators refused one by one before the rest is only counted."""

_CONTROL = "only networks that compute the same operators for every input can be compiled"
_FLOAT = "give the float network, or quantize in QDQ format: its float network is recovered"

DEQUANTIZING = ("QuantizeLinear", "DequantizeLinear")
"""Operators whose rules read constants too: what is rounded and what is stored rounded."""

INSTEAD = {
    "If": _CONTROL,
    "Loop": _CONTROL,
    "Scan": _CONTROL,
    "InstanceNormalization": "batch norm is supported",
    "LayerNormalization": "batch norm is supported",
    "QLinearConv": _FLOAT,
    "QLinearMatMul": _FLOAT,
    "ConvInteger": _FLOAT,
    "MatMulInteger": _FLOAT,
}
"""What is supported in place of some operators that are not."""


def read_onnx(
    model: Model, source: OnnxSource, batch: int
) -> tuple[Draft, Callable[[str], Array], frozenset[str]]:
    """Return the draft of a file, the reader of its constants, and the names of its initializers."""
    return read_nodes(model, load(source.path, model.source_span), batch)


def read_nodes(
    model: Model, opened: OnnxModel, batch: int
) -> tuple[Draft, Callable[[str], Array], frozenset[str]]:
    """Return what ``read_onnx`` does, of a file that is open."""
    shape = input_shape(model)
    entering, batch = _enter(opened.input, model, shape, batch)
    translator = Translator(
        model=opened,
        builder=Builder(name=model.name, input_shape=shape),
        batch=batch,
    )
    for name, tensor in opened.initializers.items():
        translator.values[name] = Constant(key=name, shape=tensor.shape)
    translator.values[opened.input.name] = entering
    _translate(translator, model)
    output = _leave(translator, model)
    translator.builder.notes += _shared(translator.builder)
    draft = translator.builder.finish(output)

    def read(key: str) -> Array:
        try:
            return _floats(translator.read(key), key)
        except RefusedError as error:
            raise HawqError(
                Diagnostic(
                    code=error.code,
                    severity="error",
                    message=error.message,
                    span=model.source_span,
                    help=error.help_text,
                )
            ) from error

    return draft, read, frozenset(opened.initializers)


def _floats(array: Array, key: str) -> Array:
    """Return the numbers of a parameter; integers and complex numbers are none that could be quantized."""
    if array.dtype.kind == "f":
        return array
    if array.dtype.name == "bfloat16":
        return array.astype(np.float32)
    raise RefusedError(
        f"parameter '{printable(key)}' is of type {array.dtype.name}, not of floating point",
        "export the float32 weights; quantizing them is what the compiler does",
        "HQ309",
    )


def _shared(builder: Builder) -> list[str]:
    """Return a note for every tensor that is the weight of several layers."""
    readers: dict[str, list[str]] = {}
    for node in builder.nodes:
        if isinstance(node, Conv2d | Linear):
            for stored in stored_in([builder.parameters[node.weight]]):
                readers.setdefault(stored.key, []).append(node.name)
    return [
        f"'{printable(key)}' is the weight of {', '.join(names)}: each has a copy, quantized on its own"
        for key, names in readers.items()
        if len(names) > 1
    ]


def _alive(opened: OnnxModel) -> frozenset[int]:
    """Return the positions of the nodes that the output depends on."""
    needed = {opened.output}
    alive: set[int] = set()
    for node in reversed(opened.nodes):
        if needed & set(node.outputs):
            alive.add(node.position)
            needed |= {name for name in node.inputs if name}
    return frozenset(alive)


def _enter(entry: OnnxInput, model: Model, shape: Shape, batch: int) -> tuple[Flow, int]:
    """Return the input as the file sees it and the number its batch counts as, after comparing it with the spec's."""
    if entry.element not in ("FLOAT", "FLOAT16", "DOUBLE", "BFLOAT16"):
        raise HawqError(
            _input_error(
                model,
                f"its input '{printable(entry.name)}' takes {entry.element.lower()} instead of floats",
                "export the float network without the steps that prepare its input",
            )
        )
    dims = entry.dims or (None,) * (len(shape) + 1)
    fixed_batch, rest = (dims[0], dims[1:]) if dims else (None, ())
    if _fits(rest, shape):
        return Flow(value=INPUT, dims=shape), fixed_batch or batch
    if len(shape) == 3 and isinstance(model.input, ImageInput):
        last = (shape[1], shape[2], shape[0])
        if _fits(rest, last):
            return Flow(value=INPUT, dims=last, channels_last=True), fixed_batch or batch
    found = "x".join("?" if n is None else str(n) for n in dims)
    declared = "x".join(map(str, shape))
    raise HawqError(
        _input_error(
            model,
            f"it takes batch and {found.partition('x')[2] or 'nothing'}, but the spec declares {declared}",
            "declare the input the file was exported with, channels first: "
            "image(height, width, channels = …)",
        )
    )


def _fits(dims: tuple[int | None, ...], shape: Shape) -> bool:
    return len(dims) == len(shape) and all(
        found in (None, wanted) for found, wanted in zip(dims, shape, strict=True)
    )


def _input_error(model: Model, message: str, help_text: str) -> Diagnostic:
    return Diagnostic(
        code="HQ312",
        severity="error",
        message=f"the input does not fit the network of model '{model.name}': {message}",
        span=model.input_span or model.source_span,
        help=help_text,
    )


def _translate(translator: Translator, model: Model) -> None:
    """Write every node; all that are refused are reported together, without what only follows from them."""
    opened = translator.model
    names = node_names(opened.nodes, weight_origins(opened.nodes, opened.initializers))
    findings: list[Diagnostic] = []
    alive = _alive(opened)
    for node, name in zip(opened.nodes, names, strict=True):
        if node.position not in alive:
            continue
        outputs: list[Operand] = []
        try:
            outputs = _outputs(translator, node, name)
        except RefusedError as error:
            findings.append(_refusal(translator, model, node, error))
        except ShapeError as error:
            refused = RefusedError(str(error), None, "HQ312")
            findings.append(_refusal(translator, model, node, refused))
        except (ValueError, TypeError, LookupError, ArithmeticError):  # a malformed node
            refused = RefusedError("its attributes and inputs do not fit together")
            findings.append(_refusal(translator, model, node, refused))
        for i, output in enumerate(node.outputs):
            translator.values[output] = outputs[i] if i < len(outputs) else None
    if findings:
        raise HawqError(*_limited(findings, model))


def _outputs(translator: Translator, node: OnnxNode, name: str) -> list[Operand]:
    """Return what a node gives; nothing where an input was refused before."""
    _check_order(translator, node)
    inputs = [x for x in node.inputs if x]
    if any(translator.values[x] is None for x in inputs):
        return []
    if node.refused is not None:
        raise node.refused
    depends = any(isinstance(translator.values[x], Flow) for x in inputs)
    if not depends and can_evaluate(node.op):
        return list(fold(translator, node))
    rule = RULES.get(node.op)
    if rule is None or not (depends or node.op in DEQUANTIZING):
        raise RefusedError(f"operator '{node.operator}' is not supported", _instead(node), "HQ320")
    outputs = rule(translator, node, name)
    return outputs if isinstance(outputs, list) else [outputs]


def _check_order(translator: Translator, node: OnnxNode) -> None:
    """Refuse a node that reads what comes later, or gives what is there already."""
    for x in node.inputs:
        if x and x not in translator.values:
            raise RefusedError(
                f"it reads '{printable(x)}', which nothing before it gives",
                "the file is damaged, has a cycle or its nodes are not in order: export the network again",
            )
    for x in node.outputs:
        if x and x in translator.values:
            raise RefusedError(
                f"it gives '{printable(x)}', which something before it gives already",
                "the file is damaged: export the network again",
            )


def _instead(node: OnnxNode) -> str | None:
    """Return what to do about an operator that is not read."""
    if "." in node.op and not node.op.startswith("aten."):
        return "replace custom operators by those of ONNX itself, or of PyTorch, before the export"
    return INSTEAD.get(node.op)


def _refusal(
    translator: Translator, model: Model, node: OnnxNode, error: RefusedError
) -> Diagnostic:
    opened = translator.model
    called = f"node '{node.name}'" if node.name else f"node {node.position}"

    def described(name: str) -> str:
        operand = translator.values.get(name)
        shape = (
            translator.batched(operand)
            if isinstance(operand, Flow)
            else getattr(operand, "shape", None)
        )
        return f"'{printable(name)}'" + (f" of shape {shape}" if shape is not None else "")

    reads = ", ".join(described(name) for name in node.inputs if name) or "nothing"
    gives = ", ".join(f"'{printable(name)}'" for name in node.outputs)
    return Diagnostic(
        code=error.code,
        severity="error",
        message=f"{called} ({node.operator}): {error.message}",
        span=model.source_span,
        notes=(f"operator {node.position} of {len(opened.nodes)}; reads {reads}; gives {gives}",),
        help=error.help_text,
    )


def _limited(findings: list[Diagnostic], model: Model) -> list[Diagnostic]:
    rest = findings[SHOWN:]
    if not rest:
        return findings
    summary = Diagnostic(
        code="HQ320",
        severity="error",
        message=f"{len(rest)} more operators of '{model.name}' are not supported",
        span=model.source_span,
    )
    return [*findings[:SHOWN], summary]


def _leave(translator: Translator, model: Model) -> str:
    """Return the value that holds the logits, a vector; a final softmax is dropped with a note."""
    output = translator.values.get(translator.model.output)
    if not isinstance(output, Flow):
        raise HawqError(_output_error(model, "does not depend on its input"))
    if output.softmax is not None:
        translator.builder.notes.append(
            f"final softmax '{output.softmax}' dropped: it does not change which class is first"
        )
    if output.choice is not None:
        translator.builder.notes.append(
            f"final '{output.choice}' dropped: the artifact gives the logits that it chose from"
        )
    flow = translator.channels_first(output)
    if len(flow.dims) == 3 and flow.dims[1:] == (1, 1):
        flow = Flow(value=flow.value, dims=flow.dims[:1], named=f"{flow.named}.flatten")
    if len(flow.dims) != 1:
        raise HawqError(
            _output_error(model, f"has shape {translator.batched(flow)}, not one vector per sample")
        )
    return translator.vector(flow)


def _output_error(model: Model, what: str) -> Diagnostic:
    return Diagnostic(
        code="HQ325",
        severity="error",
        message=f"the output of model '{model.name}' {what}",
        span=model.source_span,
        help="networks that give one logit per class are supported",
    )
