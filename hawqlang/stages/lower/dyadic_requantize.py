"""Steps become integer operators: every real scale turns into a multiplier and a shift.

    m/2^s ~ s_w[c]·s_x / s_y        average pool: s_x / (n·s_y) for a window of n elements

From here on nothing is a float.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from typing import TypeVar, assert_never

import numpy as np
import numpy.typing as npt

from hawqlang.arith import dyadic, pack
from hawqlang.ir import graph
from hawqlang.ops import (
    Add,
    AddStore,
    Affine,
    AvgPool2d,
    Concat,
    Conv2d,
    Linear,
    MaxPool2d,
    Multiply,
    Op,
    Pad,
    Rearrange,
    Resample,
    Reshape,
    Slice,
    Store,
    Table,
    Take,
    WeightTerms,
    writes,
)
from hawqlang.ops.resample import weight_bits
from hawqlang.stages.lower.affine_maps import RealMap, batch_norm_map, input_map, integer_map
from hawqlang.stages.lower.draft import Draft, IntegerLayer, Result, Step, counts, scale_of
from hawqlang.stages.lower.errors import ratio_too_large
from hawqlang.stages.lower.tables import table_entries

T = TypeVar("T")


def dyadic_requantize(draft: Draft) -> Draft:
    """Return the draft with its operators."""
    ops = [op for step in draft.steps for op in _ops(draft, step)]
    return replace(draft, ops=tuple(_uniquely_named(ops)))


def _ops(draft: Draft, step: Step) -> Iterator[Op]:  # noqa: C901 - one case an operator
    match step.node:
        case None:
            real = input_map(draft)
            wanted = [r for r in step.results if draft.names[r.slot] != draft.names[draft.pixels]]
            yield from (_affine(draft, draft.pixels.value, step, r, real) for r in wanted)
        case graph.Conv2d() as node:
            yield _conv(draft, node, step)
        case graph.Linear() as node:
            yield _linear(draft, node, step)
        case graph.Add() as node:
            yield Add(name=node.name, stores=tuple(_sum(draft, r) for r in step.results))
        case graph.AvgPool2d() as node:
            yield _avgpool(draft, node, step)
        case graph.BatchNorm() as node:
            real = batch_norm_map(draft, node, draft.params(step.reads[0]))
            yield from (_affine(draft, node.name, step, r, real) for r in step.results)
        case graph.Table() as node:
            yield from (_table(draft, node, step, r) for r in step.results)
        case graph.Multiply() as node:
            yield _multiply(draft, node, step)
        case graph.Resample() as node:
            yield _resample(draft, node, step)
        case graph.Rearrange() | graph.Take():
            yield _replace(draft, step.node, step)
        case graph.Concat() | graph.MaxPool2d() | graph.Slice() | graph.Pad() | graph.Flatten():
            yield _move(draft, step.node, step)
        case _:
            assert_never(step.node)


def _conv(draft: Draft, node: graph.Conv2d, step: Step) -> Conv2d:
    layer, put = draft.layers[node.name], draft.request.store.put
    channels, tall, wide, depth = layer.q.shape
    return Conv2d(
        name=node.name,
        x=draft.names[step.reads[0]],
        weight=put(_packed(layer)),
        weight_bits=layer.bits,
        weight_shape=(channels, tall, wide, depth),
        bias=put(layer.bias.astype(np.int32)),
        stride=node.stride,
        padding=node.padding,
        dilation=node.dilation,
        groups=node.groups,
        stores=_layer_stores(draft, node.name, step),
        terms=_terms(draft, layer),
        accumulator=draft.request.settings.layer(node.name).accumulator,
    )


def _linear(draft: Draft, node: graph.Linear, step: Step) -> Linear:
    layer, put = draft.layers[node.name], draft.request.store.put
    features, inputs = layer.q.shape
    return Linear(
        name=node.name,
        x=draft.names[step.reads[0]],
        weight=put(_packed(layer)),
        weight_bits=layer.bits,
        weight_shape=(features, inputs),
        bias=put(layer.bias.astype(np.int32)),
        stores=_layer_stores(draft, node.name, step),
        terms=_terms(draft, layer),
        accumulator=draft.request.settings.layer(node.name).accumulator,
    )


def _packed(layer: IntegerLayer) -> npt.NDArray[np.uint8]:
    """Return a layer's codes packed; affine ones use the whole range of their width."""
    if layer.terms is None or layer.terms.zero is None:
        return pack.pack_weights(layer.q, layer.bits)
    return pack.pack(layer.q, layer.bits, signed=True)


def _terms(draft: Draft, layer: IntegerLayer) -> WeightTerms | None:
    put, terms = draft.request.store.put, layer.terms
    if terms is None:
        return None
    return WeightTerms(
        zero=None if terms.zero is None else put(terms.zero.astype(np.int16)),
        multiple=None if terms.multiple is None else put(terms.multiple.astype(np.uint8)),
        group=None if terms.group is None else put(terms.group),
    )


def _layer_stores(draft: Draft, name: str, step: Step) -> tuple[Store, ...]:
    x = scale_of(draft.params(step.reads[0]))
    scales = [Fraction(float(scale)) * x for scale in draft.layers[name].scale]
    return tuple(_store(draft, result, scales) for result in step.results)


def _avgpool(draft: Draft, node: graph.AvgPool2d, step: Step) -> AvgPool2d:
    distinct = counts(draft, node)
    x = scale_of(draft.params(step.reads[0]))
    scales = [x / n for n in distinct]
    return AvgPool2d(
        name=node.name,
        x=draft.names[step.reads[0]],
        kernel=node.kernel,
        stride=node.stride,
        padding=node.padding,
        counted=node.counted,
        populations=distinct,
        stores=tuple(_store(draft, result, scales) for result in step.results),
    )


def _table(draft: Draft, node: graph.Table, step: Step, result: Result) -> Table:
    x, y = draft.params(step.reads[0]), draft.params(result.slot)
    entries = table_entries(draft, node, x, y, _clamp(draft, result))
    return Table(
        name=node.name,
        x=draft.names[step.reads[0]],
        output=draft.names[result.slot],
        table=draft.request.store.put(entries),
    )


def _multiply(draft: Draft, node: graph.Multiply, step: Step) -> Multiply:
    a, b = step.reads if len(step.reads) == 2 else step.reads * 2
    scales = [scale_of(draft.params(a)) * scale_of(draft.params(b))]
    return Multiply(
        name=node.name,
        a=draft.names[a],
        b=draft.names[b],
        stores=tuple(_store(draft, result, scales) for result in step.results),
    )


def _resample(draft: Draft, node: graph.Resample, step: Step) -> Resample:
    """Return an interpolation; weights are exact where so few bits hold them, else rounded to what fits."""
    put, most = draft.request.store.put, weight_bits(step.reads[0].bits)
    weights = [Fraction(tap[2]) for tap in (*node.rows, *node.columns)]
    whole = (n for n in range(most) if all((w * (1 << n)).denominator == 1 for w in weights))
    bits = next(whole, most)

    def taps(given: tuple[graph.Tap, ...]) -> npt.NDArray[np.int32]:
        rows = [(first, second, round(Fraction(w) * (1 << bits))) for first, second, w in given]
        return np.array(rows, np.int32)

    scales = [scale_of(draft.params(step.reads[0])) / (1 << 2 * bits)]
    return Resample(
        name=node.name,
        x=draft.names[step.reads[0]],
        rows=put(taps(node.rows)),
        columns=put(taps(node.columns)),
        bits=bits,
        stores=tuple(_store(draft, result, scales) for result in step.results),
    )


def _replace(draft: Draft, node: graph.Rearrange | graph.Take, step: Step) -> Op:
    x, output = draft.names[step.reads[0]], draft.names[step.results[0].slot]
    match node:
        case graph.Rearrange() if _stays(node, draft.request.graph.shape(node.x)):
            return Reshape(name=node.name, x=x, output=output)
        case graph.Rearrange():
            return Rearrange(name=node.name, x=x, output=output, view=node.view, order=node.order)
        case graph.Take():
            put = draft.request.store.put
            refs = tuple(
                None if chosen is None else put(np.array(chosen, np.int32))
                for chosen in channels_last(node.indices)
            )
            return Take(name=node.name, x=x, output=output, indices=refs)


def _stays(node: graph.Rearrange, shape: tuple[int, ...]) -> bool:
    """Return whether every element keeps its place in HWC order: a vector seen as a map of one pixel."""
    places = np.arange(math.prod(shape), dtype=np.int32).reshape(channels_last(shape))
    model = np.moveaxis(places, -1, 0).reshape(node.view).transpose(node.order)
    moved = np.moveaxis(model.reshape(node.shape), 0, -1)
    return bool((moved.reshape(-1) == places.reshape(-1)).all())


def _store(draft: Draft, result: Result, scales: list[Fraction]) -> Store:
    """Return the store of an accumulator with one real scale per channel or window population."""
    y = draft.params(result.slot)
    name = draft.names[result.slot]
    try:
        multipliers, shifts = dyadic.choose_all(scale / scale_of(y) for scale in scales)
    except dyadic.RatioTooLargeError:
        raise ratio_too_large(name, float(max(scales) / scale_of(y))) from None
    put = draft.request.store.put
    lo, hi = _clamp(draft, result)
    addend = draft.addends[result.slot, result.addends[0]] if result.addends else None
    return Store(
        output=name,
        multiplier=put(multipliers),
        shift=put(shifts),
        zero_point=y.zero_point,
        lo=lo,
        hi=hi,
        addend=addend,
    )


def _sum(draft: Draft, result: Result) -> AddStore:
    lo, hi = _clamp(draft, result)
    a, b = (draft.addends[result.slot, slot] for slot in result.addends)
    zero_point = draft.params(result.slot).zero_point
    return AddStore(output=draft.names[result.slot], a=a, b=b, zero_point=zero_point, lo=lo, hi=hi)


def _affine(draft: Draft, name: str, step: Step, result: Result, real: RealMap) -> Affine:
    y = draft.params(result.slot)
    try:
        numbers = integer_map(name, real, y)
    except dyadic.RatioTooLargeError:
        steepest = max(abs(a) for a in real.slope) * scale_of(real.x) / scale_of(y)
        raise ratio_too_large(name, float(steepest)) from None
    lo, hi = _clamp(draft, result)
    put = draft.request.store.put
    return Affine(
        name=name,
        x=draft.names[step.reads[0]],
        output=draft.names[result.slot],
        multiplier=put(numbers.multiplier),
        shift=put(numbers.shift),
        add=put(numbers.add),
        zero_point=y.zero_point,
        lo=lo,
        hi=hi,
    )


def _clamp(draft: Draft, result: Result) -> tuple[int, int]:
    """Return the smallest and largest code of a result: its type's, narrowed by the clamp in real units."""
    y = draft.params(result.slot)

    def code(bound: float | None, otherwise: int) -> int:
        if bound is None:
            return otherwise
        nearest = y.zero_point + (Fraction(bound) / scale_of(y) + Fraction(1, 2)).__floor__()
        return min(max(nearest, y.qmin), y.qmax)

    return code(result.low, y.qmin), code(result.high, y.qmax)


def _move(
    draft: Draft,
    node: graph.Concat | graph.MaxPool2d | graph.Slice | graph.Pad | graph.Flatten,
    step: Step,
) -> Op:
    x, output = draft.names[step.reads[0]], draft.names[step.results[0].slot]
    match node:
        case graph.Concat():
            parts = tuple(draft.names[slot] for slot in step.reads)
            op = Concat(name=node.name, inputs=parts, output=output)
        case graph.MaxPool2d():
            op = MaxPool2d(
                name=node.name,
                x=x,
                output=output,
                kernel=node.kernel,
                stride=node.stride,
                padding=node.padding,
                dilation=node.dilation,
            )
        case graph.Slice():
            start, stop, step_ = (channels_last(v) for v in (node.start, node.stop, node.step))
            op = Slice(name=node.name, x=x, output=output, start=start, stop=stop, step=step_)
        case graph.Pad():
            op = Pad(
                name=node.name, x=x, output=output, channels=node.channels, padding=node.padding
            )
        case graph.Flatten():
            op = Reshape(name=node.name, x=x, output=output)
        case _:
            assert_never(node)
    return op


def channels_last(axes: tuple[T, ...]) -> tuple[T, ...]:
    """Return a tuple over ``(C, H, W)`` as one over ``(H, W, C)``; a vector's stays as it is."""
    return (*axes[1:], axes[0])


def _uniquely_named(ops: list[Op]) -> Iterator[Op]:
    """Yield the operators; those of one node take the name of what they write."""
    count = Counter(op.name for op in ops)
    for op in ops:
        yield op if count[op.name] == 1 else op.replace(name=writes(op)[0])
