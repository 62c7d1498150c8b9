"""Text forms of the nouns: one line per operator, the same bytes for the same value, readable in a review."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import assert_never

from hawqlang.base import TensorRef
from hawqlang.cache import TensorStore
from hawqlang.ir import graph as g
from hawqlang.ir.graph import Graph
from hawqlang.ir.integer import Bound, IntegerProgram
from hawqlang.ir.operands import inputs
from hawqlang.ir.plan import BitPlan
from hawqlang.ir.ranges import RangeTable
from hawqlang.ops import (
    Add,
    Addend,
    AddStore,
    Affine,
    AvgPool2d,
    Concat,
    Conv2d,
    Frame,
    Linear,
    MaxPool2d,
    Multiply,
    Op,
    Pad,
    QTensor,
    Rearrange,
    Resample,
    Reshape,
    Slice,
    Store,
    Table,
    Take,
    macs,
)

DIGEST_LENGTH = 12
"""Hexadecimal digits of a constant's digest that are printed."""


# ---- integer programs ----------------------------------------------------------------------------------------------


def program_text(program: IntegerProgram, store: TensorStore) -> str:
    """Return an integer program as text: ``program.txt`` of an artifact.

    An operator's line says what it reads and how; below it stands what it stores, with type, shape, zero point, clamp
    and the span of multipliers and shifts, and the proof of its range.
    """
    tensors = {tensor.name: tensor for tensor in program.tensors}
    frame = Frame({}, tensors, store.get)
    bounds: dict[str, list[Bound]] = {}
    for bound in program.bounds:
        bounds.setdefault(bound.op, []).append(bound)
    lines = [
        f"program {program.name}",
        f"  input  {_typed(tensors[program.input])}",
        f"  output {_typed(tensors[program.output])}",
        "",
    ]
    for op in program.ops:
        lines += _op_lines(op, frame, bounds.get(op.name, []))
    return "\n".join(lines) + "\n"


def _typed(tensor: QTensor) -> str:
    kind = "i32" if tensor.bits == 32 else f"{'s' if tensor.signed else 'u'}{tensor.bits}"
    zero = f" z={tensor.zero_point}" if tensor.zero_point else ""
    return f"{tensor.name} : {kind}[{_by(tensor.shape)}]{zero}"


def _by(sizes: Iterable[int]) -> str:
    return "x".join(str(size) for size in sizes)


def _op_lines(op: Op, frame: Frame, bounds: list[Bound]) -> list[str]:  # noqa: C901 - one case an operator
    match op:
        case Conv2d():
            lines = [_conv(op, frame), *_stores(op.stores, frame)]
        case Linear():
            weights = f"w{op.weight_bits}[{_by(op.weight_shape)}]"
            head = f"  linear {op.name} ({op.x}) {weights} {_constants(op)} macs={macs(op, frame)}"
            lines = [head, *_stores(op.stores, frame)]
        case AvgPool2d():
            counts = ",".join(str(n) for n in op.populations)
            head = f"  avg_pool2d {op.name} ({op.x}) {_window(op)} n={counts}"
            if any(op.counted):
                head += f" counted={_commas(op.counted)}"
            lines = [head, *_stores(op.stores, frame)]
        case Add():
            lines = [f"  add {op.name}", *(_sum(store, frame) for store in op.stores)]
        case Affine():
            lines = [f"  affine {op.name} ({op.x})", _affine(op, frame)]
        case MaxPool2d():
            lines = [f"  max_pool2d {op.name} ({op.x}) {_window(op)}", _moved(op.output, frame)]
        case Multiply():
            lines = [f"  multiply {op.name} ({op.a}, {op.b})", *_stores(op.stores, frame)]
        case Resample():
            taps = f"rows={_digest(op.rows)} columns={_digest(op.columns)} bits={op.bits}"
            lines = [f"  resample {op.name} ({op.x}) {taps}", *_stores(op.stores, frame)]
        case Table():
            head = f"  table {op.name} ({op.x}) entries={_digest(op.table)}"
            lines = [head, _moved(op.output, frame)]
        case Concat() | Pad() | Slice() | Reshape() | Rearrange() | Take():
            lines = [f"  {_move(op)}", _moved(op.output, frame)]
        case _:
            assert_never(op)
    lines += [f"    bound {b.largest} of {b.limit} in channel {b.channel}" for b in bounds]
    return lines


def _commas(values: Iterable[int]) -> str:
    return ",".join(str(value) for value in values)


def _conv(op: Conv2d, frame: Frame) -> str:
    channels, tall, wide, depth = op.weight_shape
    parts = [f"  conv2d {op.name} ({op.x}) w{op.weight_bits}[{channels}x{tall}x{wide}x{depth}]"]
    if op.stride != (1, 1):
        parts.append(f"stride={_by(op.stride)}")
    if any(op.padding):
        parts.append(f"pad={_commas(op.padding)}")
    if op.dilation != (1, 1):
        parts.append(f"dilation={_by(op.dilation)}")
    if op.groups != 1:
        parts.append(f"groups={op.groups}")
    return " ".join((*parts, _constants(op), f"macs={macs(op, frame)}"))


def _constants(op: Conv2d | Linear) -> str:
    parts = [f"weight={_digest(op.weight)}"]
    if op.terms is not None:
        refs = (("zero", op.terms.zero), ("multiple", op.terms.multiple), ("group", op.terms.group))
        parts += [f"{name}={_digest(ref)}" for name, ref in refs if ref is not None]
    parts.append(f"bias={_digest(op.bias)}")
    if op.accumulator != "int32":
        parts.append(f"sums={op.accumulator}")
    return " ".join(parts)


def _digest(ref: TensorRef) -> str:
    return ref.digest[:DIGEST_LENGTH]


def _window(op: MaxPool2d | AvgPool2d) -> str:
    text = f"{_by(op.kernel)} stride={_by(op.stride)}"
    if any(op.padding):
        text += f" pad={_commas(op.padding)}"
    if isinstance(op, MaxPool2d) and op.dilation != (1, 1):
        text += f" dilation={_by(op.dilation)}"
    return text


def _stores(stores: tuple[Store, ...], frame: Frame) -> list[str]:
    return [_store(store, frame) for store in stores]


def _store(store: Store, frame: Frame) -> str:
    numbers = _dyadic(store.multiplier, store.shift, frame)
    line = f"    -> {_typed(frame.tensors[store.output])} {_clamp(store)} {numbers}"
    return line if store.addend is None else f"{line} + {_addend(store.addend)}"


def _clamp(store: Store | AddStore | Affine) -> str:
    return f"in [{store.lo}, {store.hi}]"


def _dyadic(multiplier: TensorRef, shift: TensorRef, frame: Frame) -> str:
    m, s = frame.constant(multiplier), frame.constant(shift)
    count = "" if m.size == 1 else f" x{m.size}"
    return (
        f"m={_span(int(m.min()), int(m.max()))} s={_span(int(s.min()), int(s.max()))}{count}"
        f" {_digest(multiplier)}"
    )


def _span(low: int, high: int) -> str:
    return str(low) if low == high else f"{low}..{high}"


def _addend(addend: Addend) -> str:
    if addend.shift == 0:
        return addend.x
    value = f"({addend.x} - {addend.zero_point})" if addend.zero_point else addend.x
    return f"{value}*{addend.multiplier}>>{addend.shift}"


def _sum(store: AddStore, frame: Frame) -> str:
    total = f"{_addend(store.a)} + {_addend(store.b)}"
    return f"    -> {_typed(frame.tensors[store.output])} {_clamp(store)} {total}"


def _affine(op: Affine, frame: Frame) -> str:
    numbers = _dyadic(op.multiplier, op.shift, frame)
    output = _typed(frame.tensors[op.output])
    return f"    -> {output} {_clamp(op)} {numbers} add={_digest(op.add)}"


def _move(op: Concat | Pad | Slice | Reshape | Rearrange | Take) -> str:
    match op:
        case Concat():
            text = f"concat {op.name} ({', '.join(op.inputs)})"
        case Pad():
            text = f"pad {op.name} ({op.x}) pad={_commas(op.padding)}"
            text += f" channels={_commas(op.channels)}" if any(op.channels) else ""
        case Slice():
            axes = zip(op.start, op.stop, op.step, strict=True)
            text = f"slice {op.name} ({op.x})[{', '.join(f'{a}:{b}:{c}' for a, b, c in axes)}]"
        case Reshape():
            text = f"reshape {op.name} ({op.x})"
        case Rearrange():
            text = f"rearrange {op.name} ({op.x}) {_by(op.view)} order={_commas(op.order)}"
        case Take():
            axes = (":" if ref is None else _digest(ref) for ref in op.indices)
            text = f"take {op.name} ({op.x})[{', '.join(axes)}]"
        case _:
            assert_never(op)
    return text


def _moved(output: str, frame: Frame) -> str:
    return f"    -> {_typed(frame.tensors[output])}"


# ---- graphs, ranges, plans -----------------------------------------------------------------------------------------


def graph_text(graph: Graph) -> str:
    """Return a float graph as text: one line per operator with the shape of its result."""
    shapes = {value.name: value.shape for value in graph.values}
    lines = [f"graph {graph.name}", f"  input  {graph.input.name} : [{_by(graph.input.shape)}]"]
    lines += [f"  output {graph.output} : [{_by(shapes[graph.output])}]", ""]
    lines += [f"  {_node(node, shapes)}" for node in graph.nodes]
    lines += [f"  note: {note}" for note in graph.notes]
    return "\n".join(lines) + "\n"


def _node(node: g.Operator, shapes: Mapping[str, tuple[int, ...]]) -> str:
    name = "" if node.name == node.output else f" {node.name}"
    details = _details(node)
    reads = ", ".join(inputs(node))
    text = f"{node.output} : [{_by(shapes[node.output])}] = {node.op}{name} ({reads})"
    return f"{text} {details}" if details else text


def _details(node: g.Operator) -> str:
    """Return the fields of a node that are not names of tensors and differ from the default."""
    hidden = {"name", "output", "op", "x", "a", "b", "inputs", "weight", "bias"}
    hidden |= {"gamma", "beta", "mean", "var", "slope"}
    fields = type(node).model_fields
    shown = {
        key: getattr(node, key)
        for key, field in fields.items()
        if key not in hidden and getattr(node, key) != field.default
    }
    if isinstance(node, g.Conv2d | g.Linear) and node.bias is not None:
        shown["bias"] = node.bias
    return " ".join(f"{key}={_plain(value)}" for key, value in shown.items())


def _plain(value: object) -> str:
    return str(value).strip("()").replace(" ", "")


def ranges_text(table: RangeTable) -> str:
    """Return a range table as text: per tensor and width its real range."""
    lines = [f"ranges {table.method} {table.scheme} from {table.samples} samples"]
    for row in table.ranges:
        scheme = f" {row.scheme}" if row.scheme else ""
        lines.append(f"  {row.tensor} @{row.bits}: [{row.low:.9g}, {row.high:.9g}]{scheme}")
    return "\n".join(lines) + "\n"


def plan_text(plan: BitPlan) -> str:
    """Return a bit plan as text: what was decided per layer, and how every constraint stands."""
    gap = "" if plan.gap is None else f" gap {plan.gap:.6g}"
    lines = [f"plan {plan.build}: {plan.status}{gap}"]
    lines += [f"  goal {name} = {value:.9g}" for name, value in plan.objective]
    lines += [f"  {name} = {value:.9g}" for name, value in plan.metrics]
    lines += [
        f"  layer {layer.name} ({layer.kind}) {layer.precision} of "
        f"{', '.join(str(p) for p in layer.candidates)} params={layer.params} macs={layer.macs}"
        for layer in plan.layers
    ]
    for row in plan.constraints:
        state = {True: "holds", False: "fails", None: "at build"}[row.holds]
        numbers = "" if row.value is None else f" value={row.value:.9g}"
        numbers += "" if row.bound is None else f" bound={row.bound:.9g}"
        lines.append(f"  constraint {row.name}: {row.text}: {state}{numbers}")
    lines += [f"  conflict {member.name}: {member.text}" for member in plan.conflict]
    lines += [f"  suggestion {item.constraint}: {item.text}" for item in plan.suggestions]
    lines += [f"  note: {note}" for note in plan.notes]
    return "\n".join(lines) + "\n"
