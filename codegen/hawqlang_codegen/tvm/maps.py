"""Elementwise maps, pools and moves as calls of kernels."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from hawqlang.ops import (
    Add,
    AddStore,
    Affine,
    AvgPool2d,
    Concat,
    MaxPool2d,
    Pad,
    Reshape,
    Slice,
)
from hawqlang.ops.avgpool2d import population_map
from hawqlang_codegen.tvm.context import (
    AddMaps,
    AddStoreForm,
    AffineMap,
    AvgPool,
    MaxPool,
    Move,
    PixelAffine,
    Renumber,
    Window,
    plane,
)
from hawqlang_codegen.tvm.layout import LANES, WORD, Layout, round_up
from hawqlang_codegen.tvm.packing import SCALARS
from hawqlang_codegen.tvm.sharing import overwrites
from hawqlang_codegen.tvm.site import (
    Call,
    Pointer,
    Site,
    addend_kind,
    operand_numbers,
    population_store,
)

LOWEST = {1: 0, 2: -(2**15), 4: -(2**31)}
"""The smallest stored value, by bytes of an element."""


def affine(op: Affine, site: Site) -> list[Call]:
    """Return the call that computes a per-channel affine map."""
    x, out = site.layout(op.x), site.layout(op.output)
    few = out.pixel == WORD
    count = LANES if few else out.pixel
    vectors = [site.constant(ref) for ref in (op.multiplier, op.shift, op.add)]
    m, s, add = (np.broadcast_to(v.astype(np.int64), (x.channels,)) for v in vectors)
    add = add - x.bias * m
    if few:
        spread = np.minimum(np.arange(LANES) % WORD, x.channels - 1)
        m, s, add = m[spread], s[spread], add[spread]
    scalars = np.array(
        [op.lo + out.bias, op.hi + out.bias, op.zero_point + out.bias], dtype=np.int64
    )
    block = np.zeros(3 * count + SCALARS, dtype=np.int64)
    for i, values in enumerate((m, s, add)):
        block[i * count : i * count + values.size] = values
    block[3 * count : 3 * count + scalars.size] = scalars
    pointers = (site.tensor(op.x), site.data(block), site.tensor(op.output))
    if few:
        kernel = PixelAffine(
            height=out.height,
            width=out.width,
            x=plane(x),
            out=plane(out),
            shuffle=tuple(
                lane // WORD * x.pixel + min(lane % WORD, x.channels - 1) for lane in range(LANES)
            ),
        )
        return [Call(kernel, pointers)]
    return [
        Call(
            AffineMap(
                height=out.height,
                width=out.width,
                chunks=count // LANES,
                x=plane(x),
                out=plane(out),
                channels=count,
            ),
            pointers,
        )
    ]


def add(op: Add, site: Site) -> list[Call]:
    """Return the call that adds two stored tensors."""
    out = site.layout(op.stores[0].output)
    pointers: list[Pointer] = []
    for store in op.stores:
        pointers += [
            site.data(_add_numbers(store, site)),
            site.tensor(store.output),
            site.tensor(store.a.x),
            site.tensor(store.b.x),
        ]
    kernel = AddMaps(
        height=out.height,
        width=out.width,
        chunks=-(-out.channels // LANES),
        stores=tuple(_add_form(store, site) for store in op.stores),
    )
    return [Call(kernel, tuple(pointers))]


def _add_form(store: AddStore, site: Site) -> AddStoreForm:
    kinds = (addend_kind(store.a, site), addend_kind(store.b, site))
    return AddStoreForm(
        out=plane(site.layout(store.output)),
        kinds=kinds,
        operands=(plane(site.layout(store.a.x)), plane(site.layout(store.b.x))),
        wide="int32" in kinds or "scaled64" in kinds,
        in_place=overwrites(store, site.layouts.buffer),
    )


def _add_numbers(store: AddStore, site: Site) -> np.ndarray[tuple[int], np.dtype[np.int32]]:
    bias = site.layout(store.output).bias
    clamp = (store.lo + bias, store.hi + bias, store.zero_point + bias)
    operands = [operand_numbers(addend, site) for addend in (store.a, store.b)]
    first = [word for numbers in operands for word in numbers[:3]]
    rest = [word for numbers in operands for word in (*numbers[3:], 0, 0)[:2]]
    words = [*clamp, *first, *rest]
    return np.array([*words, *[0] * (SCALARS - len(words))], dtype=np.int32)


def max_pool(op: MaxPool2d, site: Site) -> list[Call]:
    """Return the call that computes a max pool."""
    x, out = site.layout(op.x), site.layout(op.output)
    span = round_up(out.channels, LANES)
    lanes = next(n for n in (64, 32, 16) if span % n == 0)
    kernel = MaxPool(
        height=out.height,
        width=out.width,
        chunks=span // lanes,
        lanes=lanes,
        window=Window(
            size=(x.height, x.width),
            kernel=op.kernel,
            stride=op.stride,
            before=(op.padding[0], op.padding[1]),
            dilation=op.dilation,
        ),
        x=plane(x),
        out=plane(out),
        lowest=LOWEST[x.element],
    )
    return [Call(kernel, (site.tensor(op.x), site.tensor(op.output)))]


def avg_pool(op: AvgPool2d, site: Site) -> list[Call]:
    """Return the call that computes an average pool; a table holds each window's dyadic number."""
    x, out = site.layout(op.x), site.layout(op.stores[0].output)
    shape = (x.height, x.width, x.channels)
    which = np.searchsorted(op.populations, population_map(op, shape)).astype(np.int32)
    count = len(op.populations)
    built = [population_store(store, site, count, count) for store in op.stores]
    kernel = AvgPool(
        height=out.height,
        width=out.width,
        chunks=-(-out.channels // LANES),
        window=Window(
            size=(x.height, x.width),
            kernel=op.kernel,
            stride=op.stride,
            before=(op.padding[0], op.padding[1]),
            dilation=(1, 1),
        ),
        x=plane(x),
        zero=x.zero,
        populations=count,
        stores=tuple(b.form for b in built),
    )
    stores = tuple(pointer for b in built for pointer in b.pointers)
    return [Call(kernel, (site.tensor(op.x), site.data(which), *stores))]


def move(op: Concat | Pad | Slice | Reshape, site: Site) -> list[Call]:
    """Return the copies that put values where an operator wants them."""
    match op:
        case Concat():
            return concat(op, site)
        case Pad():
            return pad(op, site)
        case Slice():
            return crop(op, site)
        case Reshape():
            return reshape(op, site)


def concat(op: Concat, site: Site) -> list[Call]:
    """Return one copy per part that was not written in place."""
    out = site.layout(op.output)
    calls: list[Call] = []
    channel = 0
    for name in op.inputs:
        x, pointers = site.layout(name), (site.tensor(name), site.tensor(op.output))
        if pointers[0] != pointers[1] or x.channel != out.channel + channel:
            calls.append(_copy(x, out, (0, 0, channel), pointers))
        channel += x.channels
    return calls


def pad(op: Pad, site: Site) -> list[Call]:
    """Return the copy into a buffer that was filled with the zero point before."""
    at = (op.padding[0], op.padding[1], op.channels[0])
    pointers = (site.tensor(op.x), site.tensor(op.output))
    return [_copy(site.layout(op.x), site.layout(op.output), at, pointers)]


def _copy(x: Layout, out: Layout, at: tuple[int, int, int], pointers: tuple[Pointer, ...]) -> Call:
    y, column, channel = at
    target = plane(out)
    target = replace(
        target, origin=target.origin + y * target.row + column * target.pixel + channel
    )
    kernel = Move(
        height=x.height,
        width=x.width,
        channels=x.channels,
        channel_step=1,
        x=plane(x),
        out=target,
    )
    return Call(kernel, pointers)


def crop(op: Slice, site: Site) -> list[Call]:
    """Return the copy of every ``step``-th element."""
    x, out = plane(site.layout(op.x)), plane(site.layout(op.output))
    (y, column, channel), (dy, dx, dc) = (
        (0,) * (3 - len(values)) + tuple(values) for values in (op.start, op.step)
    )
    start = x.origin + y * x.row + column * x.pixel + channel
    layout = site.layout(op.output)
    kernel = Move(
        height=layout.height,
        width=layout.width,
        channels=layout.channels,
        channel_step=dc,
        x=replace(x, origin=start, row=x.row * dy, pixel=x.pixel * dx),
        out=out,
    )
    return [Call(kernel, (site.tensor(op.x), site.tensor(op.output)))]


def reshape(op: Reshape, site: Site) -> list[Call]:
    """Return the copy that a reshape needs; none where the result stays in its input's buffer."""
    if site.layouts.buffer[op.output] == site.layouts.buffer[op.x]:
        return []
    x, out = site.layout(op.x), site.layout(op.output)
    kernel = Renumber(
        total=x.height * x.width * x.channels,
        x=plane(x),
        x_shape=(x.height, x.width, x.channels),
        out=plane(out),
        out_shape=(out.height, out.width, out.channels),
    )
    return [Call(kernel, (site.tensor(op.x), site.tensor(op.output)))]
