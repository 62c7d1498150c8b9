"""Rules for files that are quantized already: QuantizeLinear and DequantizeLinear around float operators.

The float network is recovered, and quantizing it is left to the compiler: weights are what their integers stand for,
and the roundings between layers are taken out. One thing a rounding may do beside rounding is kept: tools drop a ReLU
in front of a QuantizeLinear whose range begins at 0, so a range from 0 is a ReLU, and one up to 6 a ReLU6.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from hawqlang.cache import Array
from hawqlang.ir.graph import Add, AvgPool2d, Clamp, Concat, Flatten, MaxPool2d, Pad, Slice
from hawqlang.ir.operands import inputs
from hawqlang.stages.import_model.builder import Builder
from hawqlang.stages.import_model.onnx.model import OnnxNode, RefusedError
from hawqlang.stages.import_model.onnx.translator import Operand, Translator

NOTE = "the file is quantized already: its float network was recovered, and is quantized anew"

_SIX = 6.0
_NEAR = 1e-3
"""How near to 6 a range has to end, relative to it."""


def quantize(t: Translator, node: OnnxNode, name: str) -> Operand:
    """Pass on the tensor that is rounded here, clamped where the range of the integers was an activation."""
    if not t.is_flow(node, 0):
        return t.known_unrounded(node.outputs[0], t.constant(node, 0, "tensor"))
    if NOTE not in t.builder.notes:
        t.builder.notes.append(NOTE)
    flow = t.flow(node)
    scale, zero = t.array(node, 1, "scale"), t.array(node, 2, "zero point")
    if scale is None or scale.size != 1:
        raise RefusedError("it rounds a tensor per channel", "only weights may be quantized so")
    low, high = _range(float(scale.reshape(-1)[0]), zero)
    if low < 0 or _nonnegative(t.builder, flow.value):
        return flow
    upper = _SIX if abs(high - _SIX) < _NEAR * _SIX else None
    return replace(flow, value=t.builder.clamp(name, flow.value, 0.0, upper))


def dequantize(t: Translator, node: OnnxNode, name: str) -> Operand:
    """Pass on the tensor whose rounding ends here; integers that are stored become what they stand for."""
    del name
    if t.is_flow(node, 0):
        return t.flow(node)
    stored = t.constant(node, 0, "tensor")
    original = t.unrounded.get(stored.key)
    if original is not None:
        return original
    if NOTE not in t.builder.notes:
        t.builder.notes.append(NOTE)
    scale = t.array(node, 1, "scale")
    if scale is None:
        raise RefusedError("it has no scale")
    values = dequantized(t.read(stored.key), scale, t.array(node, 2, "zero point"), node)
    return t.known(node.outputs[0], values)


def dequantized(codes: Array, scale: Array, zero: Array | None, node: OnnxNode) -> Array:
    """Return ``(codes - zero) · scale`` as float32, per tensor, channel or block."""
    if node.integer("block_size", 0):
        raise RefusedError(
            "it dequantizes in blocks", "one scale per tensor or channel is supported"
        )
    shifted = codes.astype(np.int64)
    if scale.ndim == 1 and scale.size > 1:
        axis = node.integer("axis", 1) % codes.ndim
        shape = [1] * codes.ndim
        shape[axis] = scale.size
        scale = scale.reshape(shape)
        zero = None if zero is None else zero.reshape(shape)
    shifted = shifted if zero is None else shifted - zero.astype(np.int64)
    return np.asarray(shifted.astype(np.float64) * scale.astype(np.float64), dtype=np.float32)


def _range(scale: float, zero: Array | None) -> tuple[float, float]:
    """Return the least and the largest real number that the integers stand for."""
    kind: npt.DTypeLike = np.uint8 if zero is None else zero.dtype
    bounds = np.iinfo(kind)
    shift = 0 if zero is None else int(zero.reshape(-1)[0])
    return (int(bounds.min) - shift) * scale, (int(bounds.max) - shift) * scale


def _nonnegative(builder: Builder, value: str) -> bool:
    """Return whether a value cannot be negative."""
    nodes = {node.output: node for node in builder.nodes}
    seen: set[str] = set()
    left = [value]
    while left:
        name = left.pop()
        if name in seen:
            continue
        seen.add(name)
        match nodes.get(name):
            case Clamp(low=low) if low is not None and low >= 0:
                pass
            case (
                MaxPool2d() | AvgPool2d() | Flatten() | Slice() | Pad() | Concat() | Add()
            ) as node:
                left += inputs(node)
            case _:
                return False
    return True
