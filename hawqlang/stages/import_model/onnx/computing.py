"""Rules of the ONNX operators that compute: with weights, and element by element.

Each refuses what it cannot express exactly (``operators.py`` says what a rule is).
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from hawqlang.stages.import_model.onnx.model import OnnxNode, RefusedError
from hawqlang.stages.import_model.onnx.translator import Flow, Operand, Translator
from hawqlang.stages.import_model.onnx.windows import padding_of, pair_of
from hawqlang.stages.import_model.recipes import Filled, Recipe, Scaled, Transposed

# ---- operators with weights --------------------------------------------------------------------------------


def conv(t: Translator, node: OnnxNode, name: str) -> Flow:
    """Write a convolution over height and width with constant weights."""
    x = t.feature_map(t.flow(node))
    weight = t.constant(node, 1, "weight")
    bias = t.optional(node, 2, "bias")
    if len(weight.shape) != 4:
        raise RefusedError(
            f"it is a convolution over {len(weight.shape) - 2} axes", "two axes are supported"
        )
    kernel = (weight.shape[2], weight.shape[3])
    if node.integers("kernel_shape") not in (None, kernel):
        raise RefusedError("its kernel_shape differs from its weight")
    stride, dilation = pair_of(node, "strides"), pair_of(node, "dilations")
    value = t.builder.conv_of(
        name,
        x,
        weight=weight.recipe,
        bias=None if bias is None else bias.recipe,
        stride=stride,
        padding=padding_of(t, node, x, (kernel, stride, dilation)),
        dilation=dilation,
        groups=node.integer("group", 1),
    )
    return t.result(value)


def gemm(t: Translator, node: OnnxNode, name: str) -> Flow:
    """Write ``alpha · x W + beta · c`` as a linear layer, the factors in its parameters."""
    if node.integer("transA", 0):
        raise RefusedError("it transposes its input", "transA = 0 is supported")
    x = t.vector(t.flow(node))
    stored = t.constant(node, 1, "weight").recipe
    weight: Recipe = stored if node.integer("transB", 0) else Transposed(stored)
    alpha, beta = node.number("alpha", 1.0), node.number("beta", 1.0)
    offset = t.optional(node, 2, "bias")
    bias = None if offset is None else t.per_channel(offset, (weight.shape[0],))
    value = t.builder.linear_of(
        name,
        x,
        weight if alpha == 1.0 else Scaled(weight, alpha),
        bias if bias is None or beta == 1.0 else Scaled(bias, beta),
    )
    return t.result(value)


def matmul(t: Translator, node: OnnxNode, name: str) -> Flow:
    """Write a product with a constant matrix as a linear layer; a bias added later folds in."""
    if not t.is_flow(node, 0):
        raise RefusedError("it multiplies a constant by a tensor", "tensor · constant is supported")
    weight = t.constant(node, 1, "second factor")
    if len(weight.shape) != 2:
        raise RefusedError("its second factor is not a matrix")
    x = t.vector(t.flow(node))
    return t.result(t.builder.linear_of(name, x, Transposed(weight.recipe), None))


def _decimal(value: float) -> float:
    """Return the shortest decimal that a float32 stands for: 1e-5 of a network is 9.99999974e-06 in its file."""
    return float(str(np.float32(value)))


def batch_norm(t: Translator, node: OnnxNode, name: str) -> Flow:
    """Write a batch norm in inference form."""
    if node.integer("training_mode", 0) or len([o for o in node.outputs if o]) > 1:
        raise RefusedError("it is in training mode", "call model.eval() before the export")
    x = t.tensor(t.flow(node))
    gamma, beta, mean, var = (
        t.constant(node, i, what).recipe
        for i, what in enumerate(("scale", "bias", "mean", "variance"), start=1)
    )
    value = t.builder.batch_norm_of(
        name,
        x,
        gamma=gamma,
        beta=beta,
        mean=mean,
        var=var,
        epsilon=_decimal(node.number("epsilon", 1e-5)),
    )
    return t.result(value)


# ---- elementwise ------------------------------------------------------------------------------------------


def add(t: Translator, node: OnnxNode, name: str) -> Flow:
    """Write a sum of two tensors of one shape, or the addition of a constant."""
    if t.is_flow(node, 0) and t.is_flow(node, 1):
        a, b = t.flow(node, 0), t.flow(node, 1)
        return sum_of(t, name, a, b)
    return affine(t, node, name)


def sum_of(t: Translator, name: str, a: Flow, b: Flow) -> Flow:
    """Write a sum; along an axis of length 1 an operand is repeated."""
    if a.dims != b.dims:
        shape = common_shape(t, a, b)
        a, b = (widened(t, f"{name}.{side}", flow, shape) for side, flow in (("a", a), ("b", b)))
    return t.result(t.builder.add(name, t.tensor(a), t.tensor(b)))


def common_shape(t: Translator, a: Flow, b: Flow) -> tuple[int, ...]:
    """Return the shape that two tensors of one rank broadcast to, batch axis left out."""
    pairs = list(zip(a.dims, b.dims, strict=False))
    if len(a.dims) != len(b.dims) or any(m != n and min(m, n) != 1 for m, n in pairs):
        raise RefusedError(
            f"it combines tensors of shapes {t.batched(a)} and {t.batched(b)}",
            "shapes must be equal, or 1 where they differ",
        )
    return tuple(max(pair) for pair in pairs)


def widened(t: Translator, name: str, flow: Flow, shape: tuple[int, ...]) -> Flow:
    """Return a flow repeated along its axes of length 1 until it has a shape."""
    if flow.dims == shape:
        return flow
    indices = [None if m == n else (0,) * n for m, n in zip(flow.dims, shape, strict=True)]
    return t.result(t.builder.take(name, t.tensor(flow), indices))


def affine(t: Translator, node: OnnxNode, name: str) -> Flow:
    """Write ``x + c``, ``x - c``, ``c - x``, ``x · c`` or ``x / c`` as a batch norm, which may fold."""
    if t.is_flow(node, 0) and t.is_flow(node, 1):
        raise RefusedError(
            f"{node.op} of two tensors the network computes is not supported",
            "addition, subtraction and multiplication are",
            "HQ320",
        )
    left = t.is_flow(node, 0)
    flow = t.flow(node, 0 if left else 1)
    x = t.tensor(flow)
    constant = t.per_channel(t.constant(node, 1 if left else 0, "operand"), flow.dims)
    shape = (flow.dims[0],)
    gamma: Recipe | None = None
    beta: Recipe | None = None
    match node.op, left:
        case "Add", _:
            beta = constant
        case "Sub", True:
            beta = Scaled(constant, -1.0)
        case "Sub", False:
            gamma, beta = Filled(-1.0, shape), constant
        case "Mul", _:
            gamma = constant
        case "Div", True:
            gamma = Scaled(constant, 1.0, inverse=True)
        case _:
            raise RefusedError("it divides a constant by a tensor")
    number = t.embedded(t.constant(node, 1 if left else 0, "operand"))
    if number is not None and np.isfinite(number):
        _note_uniform(t, name, node.op, number, left=left)
    value = t.builder.batch_norm_of(
        name,
        x,
        gamma=gamma,
        beta=beta,
        mean=Filled(0.0, shape),
        var=Filled(1.0, shape),
        epsilon=0.0,
    )
    return t.result(value)


def _note_uniform(t: Translator, name: str, op: str, c: float, *, left: bool) -> None:
    """Record slope and offset of an operation with one number, so that it may become part of a table."""
    found = {"Add": (1.0, c), "Sub": (1.0, -c) if left else (-1.0, c), "Mul": (c, 0.0)}
    if op == "Div" and c != 0.0:
        t.builder.uniform[name] = (1.0 / c, 0.0)
    elif op in found:
        t.builder.uniform[name] = found[op]


def relu(t: Translator, node: OnnxNode, name: str) -> Flow:
    """Write ``max(x, 0)``."""
    return _clamped(t, node, name, (0.0, None))


def clip(t: Translator, node: OnnxNode, name: str) -> Flow:
    """Write a clamp whose bounds are inputs (opset 11 and newer) or left out."""
    low, high = (
        t.scalar(node, i, what) if i < len(node.inputs) else _given(node, what)
        for i, what in ((1, "min"), (2, "max"))
    )
    return _clamped(t, node, name, (low, high))


def bound(t: Translator, node: OnnxNode, name: str) -> Flow:
    """Write ``Max(x, c)`` and ``Min(x, c)`` as clamps."""
    if len(node.inputs) != 2 or t.is_flow(node, 0) == t.is_flow(node, 1):
        raise RefusedError(f"{node.op} of two tensors the network computes is not supported")
    constant = 1 if t.is_flow(node, 0) else 0
    bound = t.scalar(node, constant, "bound")
    bounds = (bound, None) if node.op == "Max" else (None, bound)
    return _clamped(t, node, name, bounds, 1 - constant)


def _clamped(
    t: Translator, node: OnnxNode, name: str, bounds: tuple[float | None, float | None], i: int = 0
) -> Flow:
    low, high = bounds
    low = None if low is None or low == -np.inf else low
    high = None if high is None or high == np.inf else high
    if any(bound is not None and not np.isfinite(bound) for bound in (low, high)):
        raise RefusedError(f"its bounds {low} and {high} let nothing through")
    flow = t.flow(node, i)
    return replace(flow, value=t.builder.clamp(name, flow.value, low, high))


def same(t: Translator, node: OnnxNode, name: str) -> Operand:
    """Pass on what computes nothing: identity, a cast between floats."""
    del name
    return t.tail(node)


def cast_like(t: Translator, node: OnnxNode, name: str) -> Operand:
    """Pass on a tensor, or a constant, that takes the float type of another."""
    del name
    return t.tail(node) if t.is_flow(node, 0) else t.constant(node, 0, "tensor")


def dropout(t: Translator, node: OnnxNode, name: str) -> list[Operand]:
    """Pass on the input: in inference, dropout does nothing."""
    training = t.array(node, 2, "training mode")
    if training is not None and training.any():
        raise RefusedError("it is in training mode", "call model.eval() before the export")
    t.builder.notes.append(f"dropout '{name}' removed")
    return [t.flow(node), *([None] * (len(node.outputs) - 1))]


def softmax(t: Translator, node: OnnxNode, name: str) -> Flow:
    """Pass on the logits, remembering the softmax: at the end of the network it is dropped."""
    flow = t.flow(node)
    rank = len(flow.dims) + 1
    axis = node.integer("axis", -1 if t.model.opset >= 13 else 1) % rank
    classes = rank - 1 if flow.channels_last else 1
    if axis != classes and not (t.model.opset < 13 and axis == 1):
        raise RefusedError(f"it runs over axis {axis}, which is not that of the classes")
    return replace(flow, softmax=name)


def choice(t: Translator, node: OnnxNode, name: str) -> list[Operand]:
    """Pass on the logits, remembering that their largest were chosen: at the end of the network that is dropped."""
    flow = t.tail(node)
    axis = node.integer("axis", -1 if node.op == "TopK" else 0) % (len(flow.dims) + 1)
    last = len(flow.dims) if flow.channels_last else 1
    if axis != last or not node.integer("largest", 1):
        raise RefusedError(f"it chooses along axis {axis}, or the smallest")
    return [replace(flow, choice=name)] * len(node.outputs)


def log(t: Translator, node: OnnxNode, name: str) -> Flow:
    """Pass on the logits behind a softmax."""
    del name
    flow = t.tail(node)
    if flow.softmax is not None:
        return flow
    raise RefusedError(
        "operator 'Log' is not supported", "it is dropped after a final softmax", "HQ320"
    )


def _given(node: OnnxNode, attribute: str) -> float | None:
    return node.number(attribute, 0.0) if attribute in node.attributes else None
