"""Elementwise maps, pools and moves as launches."""

from __future__ import annotations

import numpy as np

from hawqlang.ops import (
    Add,
    Affine,
    AvgPool2d,
    Concat,
    MaxPool2d,
    Pad,
    Reshape,
    Slice,
)
from hawqlang.ops.avgpool2d import population_map
from hawqlang_codegen.cuda import context
from hawqlang_codegen.cuda.context import Launch
from hawqlang_codegen.cuda.layout import VECTOR
from hawqlang_codegen.cuda.site import MOST_STORES, Site, operand, store_forms, unserved
from hawqlang_codegen.tvm.layout import round_up
from hawqlang_codegen.tvm.sharing import overwrites

MOST_PARTS = 12
"""As ``kMaxParts`` in maps.cuh."""
MOST_POPULATIONS = 256


def affine(op: Affine, site: Site) -> Launch:
    """Return the launch that computes a per-channel affine map."""
    channels = site.layout(op.x).channels
    rows = np.zeros(
        round_up(channels, VECTOR), [("add", "<i8"), ("multiplier", "<i4"), ("shift", "<i4")]
    )
    for field, ref in (("add", op.add), ("multiplier", op.multiplier), ("shift", op.shift)):
        rows[field][:channels] = site.constant(ref)
    return context.Affine(
        x=site.number[op.x],
        out=site.number[op.output],
        channels=site.data(rows),
        zero=op.zero_point,
        lo=op.lo,
        hi=op.hi,
    )


def add(op: Add, site: Site) -> Launch:
    """Return the launch that adds two stored tensors."""
    if len(op.stores) > MOST_STORES:
        raise unserved(
            op.name, f"it is stored in {len(op.stores)} widths, and kernels store {MOST_STORES}"
        )
    return context.Add(
        tuple(
            context.Sum(
                out=site.number[store.output],
                in_place=overwrites(store, site.layouts.buffer),
                a=operand(store.a, site),
                b=operand(store.b, site),
                zero=store.zero_point,
                lo=store.lo,
                hi=store.hi,
            )
            for store in op.stores
        )
    )


def max_pool(op: MaxPool2d, site: Site) -> Launch:
    """Return the launch that computes the maxima of windows."""
    window = context.Window(op.kernel, op.stride, op.dilation, (op.padding[0], op.padding[1]))
    return context.MaxPool(x=site.number[op.x], out=site.number[op.output], window=window)


def avg_pool(op: AvgPool2d, site: Site) -> Launch:
    """Return the launch that computes the means of windows."""
    if len(op.populations) > MOST_POPULATIONS:
        raise unserved(
            op.name, f"its windows count {len(op.populations)} different numbers of elements"
        )
    x = site.tensors[op.x]
    out = site.layout(op.stores[0].output)
    which = np.searchsorted(op.populations, population_map(op, x.shape)).astype(np.uint8)
    return context.AvgPool(
        x=site.number[op.x],
        window=context.Window(op.kernel, op.stride, (1, 1), (op.padding[0], op.padding[1])),
        which=site.data(which),
        out_size=(out.height, out.width),
        zero=x.zero_point,
        stores=store_forms(op.name, op.stores, np.zeros(len(op.populations), np.int64), site),
    )


def move(op: Concat | Pad | Slice, site: Site) -> Launch | None:
    """Return the launch that moves elements; none where all are in their place."""
    if isinstance(op, Concat) and len(op.inputs) > MOST_PARTS:
        raise unserved(op.name, f"it joins {len(op.inputs)} tensors, and the kernel {MOST_PARTS}")
    parts = _parts(op, site)
    if all(part.placed for part in parts):
        return None
    return context.Gather(
        out=site.number[op.output],
        in_place=any(part.placed for part in parts),
        fill=site.tensors[op.output].zero_point,
        parts=parts,
    )


def _parts(op: Concat | Pad | Slice, site: Site) -> tuple[context.Part, ...]:
    channels = site.layout(op.output).channels
    match op:
        case Concat():
            ends = np.cumsum([0, *(site.layout(name).channels for name in op.inputs)])
            return tuple(
                context.Part(
                    site.number[name],
                    int(a),
                    int(b),
                    (0, 0, 0),
                    (1, 1, 1),
                    placed=_is_placed(name, int(a), op, site),
                )
                for name, a, b in zip(op.inputs, ends[:-1], ends[1:], strict=True)
            )
        case Pad():
            start = (-op.padding[0], -op.padding[1], -op.channels[0])
            return (context.Part(site.number[op.x], 0, channels, start, (1, 1, 1), placed=False),)
        case Slice():
            lead = 3 - len(op.start)
            start = extent_like(op.start, lead, 0)
            step = extent_like(op.step, lead, 1)
            return (context.Part(site.number[op.x], 0, channels, start, step, placed=False),)


def _is_placed(name: str, first: int, op: Concat, site: Site) -> bool:
    """Return whether a tensor was written where channel ``first`` of the concatenation begins."""
    x, out = site.layout(name), site.layout(op.output)
    buffer = site.layouts.buffer
    return buffer[name] == buffer[op.output] and x.channel == out.channel + first


def extent_like(values: tuple[int, ...], lead: int, neutral: int) -> tuple[int, int, int]:
    """Return ``values`` for ``(H, W, C)``, where a vector has no height and width."""
    a, b, c = (*[neutral] * lead, *values)
    return a, b, c


def reshape(op: Reshape, site: Site) -> Launch | None:
    """Return the copy that a reshape needs; none where the result stays in its input's buffer."""
    if site.layouts.buffer[op.output] == site.layouts.buffer[op.x]:
        return None
    return context.Renumber(x=site.number[op.x], out=site.number[op.output])
