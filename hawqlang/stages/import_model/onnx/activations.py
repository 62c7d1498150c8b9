"""Rules of the ONNX operators that are functions of one tensor, and of products of two."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from hawqlang.arith import functions
from hawqlang.arith.functions import Function
from hawqlang.stages.import_model.onnx import computing
from hawqlang.stages.import_model.onnx.model import OnnxNode, RefusedError
from hawqlang.stages.import_model.onnx.translator import Flow, Translator
from hawqlang.stages.import_model.recipes import Filled

SELU_ALPHA = 1.67326319217681884765625
SELU_GAMMA = 1.05070102214813232421875
"""The defaults of ONNX, as float32."""

FUNCTIONS: Mapping[str, Callable[[OnnxNode], Function]] = {
    "Abs": lambda _: functions.ABS,
    "Celu": lambda n: functions.elu(n.number("alpha", 1.0), inner=n.number("alpha", 1.0)),
    "Elu": lambda n: functions.elu(n.number("alpha", 1.0)),
    "Erf": lambda _: functions.ERF,
    "Exp": lambda _: functions.EXP,
    "Gelu": lambda n: functions.gelu(tanh=n.text("approximate", "none") == "tanh"),
    "HardSigmoid": lambda n: functions.hard_sigmoid(n.number("alpha", 0.2), n.number("beta", 0.5)),
    "HardSwish": lambda _: functions.hard_swish(),
    "LeakyRelu": lambda n: functions.leaky_relu(n.number("alpha", 0.01)),
    "Mish": lambda _: functions.MISH,
    "Selu": lambda n: functions.elu(n.number("alpha", SELU_ALPHA), n.number("gamma", SELU_GAMMA)),
    "Sigmoid": lambda _: functions.SIGMOID,
    "Softplus": lambda _: functions.SOFTPLUS,
    "Softsign": lambda _: functions.SOFTSIGN,
    "Tanh": lambda _: functions.TANH,
}
"""What an operator computes of each element."""


def function(t: Translator, node: OnnxNode, name: str) -> Flow:
    """Write a function of each element."""
    flow = t.flow(node)
    return replace(flow, value=t.builder.table(name, flow.value, FUNCTIONS[node.op](node)))


def prelu(t: Translator, node: OnnxNode, name: str) -> Flow:
    """Write ``max(x, 0) + slope · min(x, 0)`` with a slope per channel."""
    flow = t.flow(node)
    slope = t.constant(node, 1, "slope")
    number = t.embedded(slope)
    if number is not None:
        table = t.builder.table(name, flow.value, functions.leaky_relu(number))
        return replace(flow, value=table)
    recipe = t.per_channel(slope, flow.dims)
    return t.result(t.builder.table(name, t.tensor(flow), functions.PRELU, recipe))


def power(t: Translator, node: OnnxNode, name: str) -> Flow:
    """Write a power whose exponent is 2 or 3."""
    exponent = t.scalar(node, 1, "exponent")
    if exponent not in (2.0, 3.0):
        raise RefusedError(f"its exponent is {exponent}", "2 and 3 are supported")
    flow = t.flow(node)
    product: Function = ("x", "x", "mul") if exponent == 2.0 else ("x", "x", "x", "mul", "mul")
    return replace(flow, value=t.builder.table(name, flow.value, product))


def negated(t: Translator, node: OnnxNode, name: str) -> Flow:
    """Write ``−x`` as a batch norm, which may fold."""
    return t.result(_negative(t, name, t.tensor(t.flow(node))))


def subtract(t: Translator, node: OnnxNode, name: str) -> Flow:
    """Write ``a − b`` as the sum of ``a`` and ``−b``, or the subtraction of a constant."""
    if not (t.is_flow(node, 0) and t.is_flow(node, 1)):
        return computing.affine(t, node, name)
    a, b = t.flow(node, 0), t.flow(node, 1)
    negative = replace(t.result(_negative(t, f"{name}.negative", t.tensor(b))), dims=b.dims)
    return computing.sum_of(t, name, a, negative)


def _negative(t: Translator, name: str, x: str) -> str:
    channels = (t.builder.shapes[x][0],)
    t.builder.uniform[name] = (-1.0, 0.0)
    return t.builder.batch_norm_of(
        name,
        x,
        gamma=Filled(-1.0, channels),
        beta=None,
        mean=Filled(0.0, channels),
        var=Filled(1.0, channels),
        epsilon=0.0,
    )


def multiply(t: Translator, node: OnnxNode, name: str) -> Flow:
    """Write a product of two tensors, of which either may have axes of length 1, or one with a constant."""
    if not (t.is_flow(node, 0) and t.is_flow(node, 1)):
        return computing.affine(t, node, name)
    a, b = t.flow(node, 0), t.flow(node, 1)
    last = a.channels_last and b.channels_last
    if last:
        a, b = t.channels_first(a), t.channels_first(b)
    computing.common_shape(t, a, b)
    found = t.result(t.builder.multiply(name, _operand(t, a), _operand(t, b)))
    if not last:
        return found
    channels, height, width = found.dims
    return replace(found, dims=(height, width, channels), channels_last=True)


def _operand(t: Translator, flow: Flow) -> str:
    """Return the value of an operand; a vector serves as one number per channel."""
    shape = t.builder.shapes[flow.value]
    if not flow.order and len(shape) == 1 and flow.dims == (*shape, 1, 1):
        return flow.value
    return t.tensor(flow)
