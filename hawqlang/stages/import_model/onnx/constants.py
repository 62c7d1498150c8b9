"""A small evaluator for the constant parts of an ONNX graph: shape arithmetic, and weights reordered at load.

Semantics are those of the ONNX operator specification; NumPy does the work. Results beyond ``LARGEST`` elements are
refused, so that a file cannot ask for all memory.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from hawqlang.cache import Array
from hawqlang.stages.import_model.onnx.model import OnnxNode, RefusedError
from hawqlang.stages.import_model.onnx.tensors import to_array

if TYPE_CHECKING:
    import onnx

LARGEST = 2**26

Operands = Sequence[Array | None]
"""``None`` for an optional input left out."""


def evaluate(node: OnnxNode, operands: Operands, opset: int, folder: Path) -> list[Array]:
    """Return the outputs of a node whose inputs are all known."""
    rule = _RULES.get(node.op)
    if rule is None:
        raise RefusedError(f"operator '{node.op}' on constants is not supported", None, "HQ320")
    try:
        outputs = rule(_Call(node, operands, opset, folder))
    except (ValueError, TypeError, IndexError, KeyError, ArithmeticError, MemoryError) as error:
        raise RefusedError("its constant inputs do not fit together") from error
    return list(outputs) if isinstance(outputs, list) else [outputs]


def can_evaluate(op: str) -> bool:
    """Return whether the evaluator knows an operator."""
    return op in _RULES


class _Call:
    """One node with its operands."""

    def __init__(self, node: OnnxNode, operands: Operands, opset: int, folder: Path) -> None:
        self.node = node
        self.operands = operands
        self.opset = opset
        self.folder = folder

    def __getitem__(self, i: int) -> Array:
        """Return the ``i``-th operand; ``IndexError`` where it was left out."""
        value = self.operands[i]
        if value is None:
            raise IndexError(i)
        return value

    def optional(self, i: int) -> Array | None:
        """Return the ``i``-th operand, ``None`` where it was left out."""
        return self.operands[i] if i < len(self.operands) else None

    def ints(self, i: int, attribute: str) -> tuple[int, ...] | None:
        """Return integers that are an operand in newer opsets and were an attribute before."""
        value = self.optional(i)
        if value is not None:
            return tuple(int(n) for n in value.reshape(-1))
        return self.node.integers(attribute)

    @property
    def all(self) -> list[Array]:
        """Return every operand."""
        return [self[i] for i in range(len(self.operands))]


def _limited(shape: Sequence[int]) -> tuple[int, ...]:
    if prod(shape) > LARGEST:
        raise RefusedError("it would give a constant beyond all reason")
    return tuple(int(n) for n in shape)


def _constant(call: _Call) -> Array:
    given = call.node.attributes
    if "value" in given:
        return to_array(cast("onnx.TensorProto", given["value"]), call.folder)
    for name, dtype in (
        ("int", np.int64),
        ("ints", np.int64),
        ("float", np.float32),
        ("floats", np.float32),
    ):
        if f"value_{name}" in given:
            return np.asarray(cast("Any", given[f"value_{name}"]), dtype=dtype)
    raise RefusedError("it holds no number or tensor")


def _constant_of_shape(call: _Call) -> Array:
    shape = _limited([int(n) for n in call[0]])
    value = call.node.attributes.get("value")
    if value is None:
        return np.zeros(shape, dtype=np.float32)
    fill = to_array(cast("onnx.TensorProto", value), call.folder)
    return np.full(shape, fill.reshape(-1)[0], dtype=fill.dtype)


def _cast(call: _Call) -> Array:
    import onnx

    return call[0].astype(onnx.helper.tensor_dtype_to_np_dtype(call.node.integer("to", 1)))


def _reshape(call: _Call) -> Array:
    return call[0].reshape(target_shape(call[0].shape, [int(n) for n in call[1]], call.node))


def target_shape(shape: Sequence[int], wanted: Sequence[int], node: OnnxNode) -> tuple[int, ...]:
    """Return the shape a Reshape gives: 0 keeps a dimension, one -1 takes the rest."""
    keep_zero = bool(node.integer("allowzero", 0))
    sizes = [shape[i] if n == 0 and not keep_zero else n for i, n in enumerate(wanted)]
    if -1 in sizes:
        known = prod(n for n in sizes if n != -1)
        if known == 0 or sizes.count(-1) > 1:
            raise RefusedError(f"it reshapes to {list(wanted)}, which is ambiguous")
        sizes[sizes.index(-1)] = prod(shape) // known
    if prod(sizes) != prod(shape) or min(sizes, default=1) < 0:
        raise RefusedError(f"it reshapes {list(shape)} to {list(wanted)}, which does not fit")
    return tuple(sizes)


def _unsqueeze(call: _Call) -> Array:
    return np.expand_dims(call[0], call.ints(1, "axes") or ())


def _squeeze(call: _Call) -> Array:
    return np.squeeze(call[0], axis=call.ints(1, "axes"))


def _flatten(call: _Call) -> Array:
    axis = call.node.integer("axis", 1)
    axis = axis + call[0].ndim if axis < 0 else axis
    return call[0].reshape(prod(call[0].shape[:axis]), -1)


def _concat(call: _Call) -> Array:
    _limited([sum(operand.size for operand in call.all)])
    return np.concatenate(call.all, axis=call.node.integer("axis", 0))


def _gather(call: _Call) -> Array:
    axis = call.node.integer("axis", 0)
    _limited([call[1].size, call[0].size // max(1, call[0].shape[axis])])
    return np.take(call[0], call[1].astype(np.int64), axis=axis)


def _slice(call: _Call) -> Array:
    return call[0][slices(call.node, call.operands[1:], call[0].ndim)]


def slices(node: OnnxNode, operands: Operands, rank: int) -> tuple[slice, ...]:
    """Return the slice of every axis; ``operands`` are starts, ends, axes and steps."""
    given = [None if o is None else [int(n) for n in o.reshape(-1)] for o in operands]
    starts, ends, axes, steps = (given + [None] * 4)[:4]
    if starts is None or ends is None:
        raise RefusedError("its bounds are not constant")
    axes = list(range(len(starts))) if axes is None else axes
    steps = [1] * len(starts) if steps is None else steps
    result = [slice(None)] * rank
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        if not -rank <= axis < rank:
            raise RefusedError(f"it slices axis {axis} of a tensor with {rank}")
        # a stop below every index, written as a huge negative number, means "to the front"
        stop = None if step < 0 and end < -(2**30) else end
        result[axis] = slice(start, stop, step)
    return tuple(result)


def _range(call: _Call) -> Array:
    start, stop, step = (call[i].reshape(-1)[0] for i in range(3))
    _limited([max(0, int((stop - start) / step) + 1)])
    return np.arange(start, stop, step, dtype=call[0].dtype)


def _expand(call: _Call) -> Array:
    shape = np.broadcast_shapes(call[0].shape, _limited([int(n) for n in call[1]]))
    return np.broadcast_to(call[0], _limited(shape))


def _divide(call: _Call) -> Array:
    a, b = call[0], call[1]
    if not np.issubdtype(a.dtype, np.integer):
        return a / b
    if not b.all():
        raise ZeroDivisionError
    return (np.abs(a) // np.abs(b)) * (np.sign(a) * np.sign(b))  # truncates, as C does


def _shape(call: _Call) -> Array:
    return np.array(shape_range(call.node, call[0].shape), dtype=np.int64)


def shape_range(node: OnnxNode, shape: Sequence[int]) -> tuple[int, ...]:
    """Return what a Shape node gives for ``shape``."""
    return tuple(shape[node.integer("start", 0) : node.integer("end", len(shape))])


def _reduced(function: Callable[..., Any]) -> Callable[[_Call], Array]:
    def rule(call: _Call) -> Array:
        keep = bool(call.node.integer("keepdims", 1))
        return np.asarray(function(call[0], axis=call.ints(1, "axes"), keepdims=keep))

    return rule


def _elementwise(function: Callable[..., Any]) -> Callable[[_Call], Array]:
    def rule(call: _Call) -> Array:
        _limited(np.broadcast_shapes(*(operand.shape for operand in call.all)))
        with np.errstate(all="ignore"):
            return np.asarray(function(*call.all))

    return rule


def _folded(function: Callable[..., Any]) -> Callable[[_Call], Array]:
    """Return the rule of an operator that takes any number of operands."""

    def rule(call: _Call) -> Array:
        result, *rest = call.all
        for operand in rest:
            result = np.asarray(function(result, operand))
        return result

    return rule


def _split(call: _Call) -> list[Array]:
    axis = call.node.integer("axis", 0)
    sizes = split_sizes(call.node, call.optional(1), call[0].shape[axis])
    return np.split(call[0], np.cumsum(sizes)[:-1], axis=axis)


def split_sizes(node: OnnxNode, operand: Array | None, size: int) -> tuple[int, ...]:
    """Return the sizes of the parts a Split gives."""
    if operand is not None:
        sizes = tuple(int(n) for n in operand.reshape(-1))
    else:
        count = node.integer("num_outputs", len(node.outputs))
        each = -(-size // max(1, count))
        equal = (*(each,) * (count - 1), size - each * (count - 1))
        sizes = node.integers("split") or equal
    if sum(sizes) != size or min(sizes) < 0 or len(sizes) != len(node.outputs):
        raise RefusedError(f"it splits {size} into {list(sizes)}")
    return sizes


_RULES: Mapping[str, Callable[[_Call], Array | list[Array]]] = {
    "Abs": _elementwise(np.abs),
    "Add": _elementwise(np.add),
    "And": _elementwise(np.logical_and),
    "Cast": _cast,
    "CastLike": lambda call: call[0].astype(call[1].dtype),
    "Ceil": _elementwise(np.ceil),
    "Concat": _concat,
    "Constant": _constant,
    "ConstantOfShape": _constant_of_shape,
    "Div": _divide,
    "Equal": _elementwise(np.equal),
    "Exp": _elementwise(np.exp),
    "Expand": _expand,
    "Flatten": _flatten,
    "Floor": _elementwise(np.floor),
    "Gather": _gather,
    "Greater": _elementwise(np.greater),
    "GreaterOrEqual": _elementwise(np.greater_equal),
    "Identity": lambda call: call[0],
    "Less": _elementwise(np.less),
    "LessOrEqual": _elementwise(np.less_equal),
    "Max": _folded(np.maximum),
    "Min": _folded(np.minimum),
    "Mul": _elementwise(np.multiply),
    "Neg": _elementwise(np.negative),
    "Not": _elementwise(np.logical_not),
    "Or": _elementwise(np.logical_or),
    "Pow": _elementwise(np.power),
    "Range": _range,
    "Reciprocal": _elementwise(np.reciprocal),
    "ReduceMax": _reduced(np.max),
    "ReduceMin": _reduced(np.min),
    "ReduceProd": _reduced(np.prod),
    "ReduceSum": _reduced(np.sum),
    "Reshape": _reshape,
    "Shape": _shape,
    "Size": lambda call: np.array(call[0].size, dtype=np.int64),
    "Slice": _slice,
    "Split": _split,
    "Sqrt": _elementwise(np.sqrt),
    "Squeeze": _squeeze,
    "Sub": _elementwise(np.subtract),
    "Transpose": lambda call: call[0].transpose(call.node.integers("perm")),
    "Unsqueeze": _unsqueeze,
    "Where": _elementwise(np.where),
}
