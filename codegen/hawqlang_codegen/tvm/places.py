"""Tables, products, rearrangements, chosen indices and interpolations as calls of kernels."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np

from hawqlang.ops import Multiply, Rearrange, Resample, Table, Take
from hawqlang_codegen.tvm.context import (
    MultiplyMaps,
    Plane,
    Rearrangement,
    ResampleMap,
    Scatter,
    TableMap,
    TakeMap,
    plane,
)
from hawqlang_codegen.tvm.layout import LANES, Layout
from hawqlang_codegen.tvm.site import Call, Site, build_store


def table(op: Table, site: Site) -> list[Call]:
    """Return the call that looks every element up; entries stand as the output stores them."""
    x, out = site.layout(op.x), site.layout(op.output)
    entries = site.constant(op.table).astype(np.int64) + out.bias
    kernel = TableMap(
        height=out.height,
        width=out.width,
        channels=out.channels,
        entries=entries.shape[1],
        apart=entries.shape[0] > 1,
        x=plane(x),
        out=plane(out),
    )
    data = site.data(entries.astype(out.dtype))
    return [Call(kernel, (site.tensor(op.x), data, site.tensor(op.output)))]


def multiply(op: Multiply, site: Site) -> list[Call]:
    """Return the call that multiplies two stored tensors."""
    out = site.layout(op.stores[0].output)
    operands = site.layout(op.a), site.layout(op.b)
    chunks = -(-out.channels // LANES)
    built = [build_store(store, site, chunks * LANES) for store in op.stores]
    kernel = MultiplyMaps(
        height=out.height,
        width=out.width,
        chunks=chunks,
        operands=(_still(operands[0], out), _still(operands[1], out)),
        zeros=(operands[0].zero, operands[1].zero),
        single=(
            operands[0].channels < out.channels,
            operands[1].channels < out.channels,
        ),
        stores=tuple(b.form for b in built),
    )
    stores = tuple(pointer for b in built for pointer in b.pointers)
    return [Call(kernel, (site.tensor(op.a), site.tensor(op.b), *stores))]


def _still(x: Layout, out: Layout) -> Plane:
    """Return how an operand is walked: along an axis that it does not have it stands still."""
    found = plane(x)
    return replace(
        found,
        row=found.row if x.height == out.height else 0,
        pixel=found.pixel if x.width == out.width else 0,
    )


def take(op: Take, site: Site) -> list[Call]:
    """Return the call that copies chosen rows, columns and channels."""
    x, out = site.layout(op.x), site.layout(op.output)
    refs = (None,) * (3 - len(op.indices)) + tuple(op.indices)
    steps, sizes = (x.row, x.pixel, 1), (out.height, out.width, out.channels)
    offsets = [
        (np.arange(size) if ref is None else site.constant(ref).astype(np.int64)) * step
        for ref, step, size in zip(refs, steps, sizes, strict=True)
    ]
    kernel = TakeMap(
        height=out.height,
        width=out.width,
        channels=out.channels,
        chosen=(refs[0] is not None, refs[1] is not None, refs[2] is not None),
        x=plane(x),
        out=plane(out),
    )
    data = site.data(np.concatenate(offsets).astype(np.int32))
    return [Call(kernel, (site.tensor(op.x), data, site.tensor(op.output)))]


def resample(op: Resample, site: Site) -> list[Call]:
    """Return the call that interpolates."""
    x, out = site.layout(op.x), site.layout(op.stores[0].output)
    chunks = -(-out.channels // LANES)
    built = [build_store(store, site, chunks * LANES) for store in op.stores]
    tables = [
        site.constant(ref).astype(np.int64) * np.array([step, step, 1])
        for ref, step in ((op.rows, x.row), (op.columns, x.pixel))
    ]
    kernel = ResampleMap(
        height=out.height,
        width=out.width,
        chunks=chunks,
        whole=1 << op.bits,
        zero=x.zero << 2 * op.bits,
        x=plane(x),
        stores=tuple(b.form for b in built),
    )
    data = site.data(np.concatenate(tables).astype(np.int32))
    stores = tuple(pointer for b in built for pointer in b.pointers)
    return [Call(kernel, (site.tensor(op.x), data, *stores))]


# ---- rearrangement --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Axis:
    """One loop of a rearrangement."""

    size: int
    x_stride: int
    out_stride: int


def rearrange(op: Rearrange, site: Site) -> list[Call]:
    """Return the call that permutes axes: nested loops, or a table of places where shapes share no axes."""
    x, out = site.layout(op.x), site.layout(op.output)
    pointers = (site.tensor(op.x), site.tensor(op.output))
    axes = _axes(op, x, out)
    if axes is None:
        kernel = Scatter(
            total=out.height * out.width * out.channels,
            x=plane(x),
            out=plane(out),
            out_shape=(out.height, out.width, out.channels),
        )
        return [Call(kernel, (pointers[0], site.data(_places(op, x, out)), pointers[1]))]
    loops = _joined(sorted(axes, key=lambda a: -a.out_stride))
    kernel = Rearrangement(
        sizes=tuple(a.size for a in loops),
        x_strides=tuple(a.x_stride for a in loops),
        out_strides=tuple(a.out_stride for a in loops),
        x=plane(x),
        out=plane(out),
    )
    return [Call(kernel, pointers)]


def _axes(op: Rearrange, x: Layout, out: Layout) -> list[_Axis] | None:
    """Return loops that walk both tensors at fixed strides, ``None`` where there are none.

    The axes of the view are split wherever an axis of either tensor begins; that is possible where the products of
    their lengths divide one another.
    """
    parts = [[n] for n in op.view]
    cut = _split([n for part in parts for n in part], _model_shape(x))
    if cut is None:
        return None
    parts = cut
    permuted = [parts[axis] for axis in op.order]
    whole = _split([n for part in permuted for n in part], _model_shape(out))
    if whole is None:
        return None
    pieces = iter(whole)
    halved = [[next(pieces) for _ in part] for part in permuted]
    refined: list[list[int]] = [[] for _ in parts]
    for axis, split in zip(op.order, halved, strict=True):
        refined[axis] = [n for piece in split for n in piece]
    x_strides = _strides([n for part in refined for n in part], x)
    out_sizes = [n for axis in op.order for n in refined[axis]]
    out_strides = _strides(out_sizes, out)
    ends = np.cumsum([0, *(len(part) for part in refined)])
    order = [i for axis in op.order for i in range(ends[axis], ends[axis + 1])]
    return [
        _Axis(size, x_strides[i], stride)
        for size, i, stride in zip(out_sizes, order, out_strides, strict=True)
        if size > 1
    ]


def _model_shape(layout: Layout) -> tuple[int, int, int]:
    return layout.channels, layout.height, layout.width


def _split(sizes: list[int], shape: Iterable[int]) -> list[list[int]] | None:
    """Return every size as factors so that the axes of ``shape`` begin where factors do; ``None`` if none do."""
    left = [n for n in shape if n > 1]
    found: list[list[int]] = []
    room = left.pop(0) if left else 1
    for whole in sizes:
        size, factors = whole, list[int]()
        while size > 1:
            factor = min(size, room)
            if size % factor or room % factor:
                return None
            factors.append(factor)
            size, room = size // factor, room // factor
            if room == 1 and left:
                room = left.pop(0)
        found.append(factors or [1])
    return found


def _strides(sizes: list[int], layout: Layout) -> list[int]:
    """Return the stride of every axis of a row-major CHW shape, each within C, H or W."""
    _, height, width = _model_shape(layout)
    found: list[int] = []
    below = 1
    for size in reversed(sizes):
        if below < width:
            found.append(below * layout.pixel)
        elif below < width * height:
            found.append(below // width * layout.row)
        else:
            found.append(below // (width * height))
        below *= size
    return found[::-1]


def _joined(axes: list[_Axis]) -> list[_Axis]:
    """Return the loops, neighbours made one that walk both tensors without a gap; at least one."""
    found: list[_Axis] = []
    for axis in axes:
        above = found[-1] if found else None
        if (
            above is not None
            and above.x_stride == axis.size * axis.x_stride
            and above.out_stride == axis.size * axis.out_stride
        ):
            found[-1] = _Axis(above.size * axis.size, axis.x_stride, axis.out_stride)
        else:
            found.append(axis)
    return found or [_Axis(1, 1, 1)]


def _places(op: Rearrange, x: Layout, out: Layout) -> np.ndarray[tuple[int], np.dtype[np.int32]]:
    """Return, for every element of the output in HWC order, where it stands in the input's buffer."""
    y, column, channel = np.ogrid[: x.height, : x.width, : x.channels]
    stored = plane(x).origin + y * x.row + column * x.pixel + channel
    model = np.moveaxis(stored, -1, 0).reshape(op.view).transpose(op.order)
    moved = np.moveaxis(model.reshape(_model_shape(out)), 0, -1)
    return moved.reshape(-1).astype(np.int32)
