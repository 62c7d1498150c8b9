"""Convolutions and linear layers as calls of kernels."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from hawqlang.arith import pack, width
from hawqlang.diagnostics import Diagnostic, HawqError
from hawqlang.ops import Conv2d, Linear
from hawqlang_codegen.tvm.context import Conv, Depthwise, plane
from hawqlang_codegen.tvm.layout import LANES, WORD, Layout, round_up
from hawqlang_codegen.tvm.packing import (
    dense_weights,
    depthwise_weights,
    group_windows,
    joined_taps,
    nibbles,
    padded_bias,
)
from hawqlang_codegen.tvm.select import (
    NARROW_PIXELS,
    WIDENED_PIXELS,
    choose_columns,
    choose_narrow_tile,
    choose_tile,
)
from hawqlang_codegen.tvm.site import (
    SCRATCH,
    BuiltStore,
    Call,
    Pointer,
    Site,
    build_store,
    store_scale,
)

Int8 = npt.NDArray[np.int8]
DEPTHWISE_LANES = (64, 32, 16)
"""Channels a depthwise kernel may compute together."""
NIBBLE_BITS = 4
"""Weights up to this width stand two to a byte; as the upper half of a byte they count 2^4 times."""
RESIDENT = 32 * 1024
"""Weights up to this many bytes stay in the first-level cache while the pixels stream past."""

PREFETCH = 8 * 1024
"""Bytes by which larger weights are fetched ahead of their use."""


def conv2d(op: Conv2d, site: Site) -> list[Call]:
    """Return the call that computes a convolution."""
    packed = site.constant(op.weight).astype(np.uint8)
    weights = pack.unpack_weights(packed, op.weight_bits, op.weight_shape)
    x = site.layout(op.x)
    out = site.layout(op.stores[0].output)
    bias = site.constant(op.bias).astype(np.int64)
    bias = bias - x.bias * weights.astype(np.int64).reshape(weights.shape[0], -1).sum(axis=1)
    _prove(op, weights, bias, site)
    geometry = _Geometry(
        x=x,
        size=(out.height, out.width),
        stride=op.stride,
        dilation=op.dilation,
        before=(op.padding[0], op.padding[1]),
    )
    if op.groups > 1 and op.weight_shape[0] == op.groups == x.channels:
        return [_depthwise(op, geometry, weights, bias, site)]
    return [_call(op, geometry, weights, bias, site)]


def linear(op: Linear, site: Site) -> list[Call]:
    """Return the call that computes a linear layer: a convolution whose window is the whole input."""
    x = site.layout(op.x)
    packed = site.constant(op.weight).astype(np.uint8)
    rows = pack.unpack_weights(packed, op.weight_bits, op.weight_shape)
    weights = rows.reshape(rows.shape[0], x.height, x.width, x.channels)
    bias = site.constant(op.bias).astype(np.int64)
    bias = bias - x.bias * rows.astype(np.int64).sum(axis=1)
    _prove(op, weights, bias, site)
    geometry = _Geometry(x=x, size=(1, 1), stride=(1, 1), dilation=(1, 1), before=(0, 0))
    return [_call(op, geometry, weights, bias, site)]


class _Geometry:
    """How output pixels and taps map to the input's words."""

    def __init__(
        self,
        *,
        x: Layout,
        size: tuple[int, int],
        stride: tuple[int, int],
        dilation: tuple[int, int],
        before: tuple[int, int],
    ) -> None:
        self.layout = x
        self.size = size
        row, pixel = x.row // WORD, x.pixel // WORD
        self.step = (stride[0] * row, stride[1] * pixel)
        self.dilation = (dilation[0] * row, dilation[1] * pixel)
        origin = x.origin // WORD - before[0] * row - before[1] * pixel
        self.plane = replace(
            plane(x), dtype="int32", elements=x.size // WORD, origin=origin, row=row, pixel=pixel
        )


def _depthwise(
    op: Conv2d, geometry: _Geometry, weights: Int8, bias: npt.NDArray[np.int64], site: Site
) -> Call:
    x = geometry.layout
    lanes = next(n for n in DEPTHWISE_LANES if x.pixel % n == 0)
    height, breadth = geometry.size
    _, tall, wide, _ = weights.shape
    built = [build_store(store, site, x.pixel) for store in op.stores]
    kernel = Depthwise(
        height=height,
        width=breadth,
        vectors=x.pixel // LANES,
        lanes=lanes,
        kernel=(tall, wide),
        quads=-(-tall // WORD),
        x=replace(plane(x), origin=geometry.plane.origin * WORD),
        step=(geometry.step[0] * WORD, geometry.step[1] * WORD),
        dilation=(geometry.dilation[0] * WORD, geometry.dilation[1] * WORD),
        columns=choose_columns(breadth, 4),
        narrow_columns=choose_columns(breadth, 2),
        stores=tuple(b.form for b in built),
    )
    packed = depthwise_weights(weights, lanes, x.pixel)
    constants = (site.data(packed), site.data(padded_bias(bias, x.pixel)))
    return Call(kernel, (site.tensor(op.x), *constants, *_flat(built)))


def _call(
    op: Conv2d | Linear,
    geometry: _Geometry,
    weights: Int8,
    bias: npt.NDArray[np.int64],
    site: Site,
) -> Call:
    groups = op.groups if isinstance(op, Conv2d) else 1
    channels, tall, wide, depth = weights.shape
    height, breadth = geometry.size
    half = _fits_nibbles(op, weights, bias, site)
    steps = tall * wide * -(-depth // WORD)
    tile = choose_tile(height, breadth, channels, steps, nibbles=half)
    table: tuple[Pointer, ...] = ()
    if groups > 1:
        tile = replace(tile, vectors=1)
        windows = group_windows(weights, groups, LANES, geometry.layout.pixel)
        weights, table = windows.weights, (site.data(windows.start),)
    words = -(-weights.shape[3] // WORD)
    packed = dense_weights(weights, tile.vectors)
    if geometry.dilation[1] == words:
        packed = joined_taps(packed)
    if half:
        packed = nibbles(packed).view(np.int8)
    blocks, _, taps, steps = packed.shape[:4]
    padded = blocks * tile.vectors * LANES
    scaled = NIBBLE_BITS if half else 0
    built = [build_store(store, site, padded, scaled) for store in op.stores]
    kernel = Conv(
        height=height,
        width=breadth,
        vectors=round_up(channels, LANES) // LANES,
        blocks=blocks,
        kernel=(tall, wide),
        words=2 * steps if half else steps,
        taps=taps,
        x=geometry.plane,
        step=geometry.step,
        dilation=geometry.dilation,
        nibbles=half,
        windowed=groups > 1,
        tile=tile,
        narrow_tile=choose_narrow_tile(height, breadth, WIDENED_PIXELS if half else NARROW_PIXELS),
        madd_tile=choose_narrow_tile(height, breadth, NARROW_PIXELS),
        pixels_outside=packed.size <= RESIDENT,
        prefetch=0 if packed.size <= RESIDENT else PREFETCH,
        stores=tuple(b.form for b in built),
    )
    constants = (SCRATCH, site.data(packed), site.data(padded_bias(bias << scaled, padded)))
    return Call(kernel, (site.tensor(op.x), *constants, *table, *_flat(built)))


def _largest_sum(
    op: Conv2d | Linear, weights: Int8, bias: npt.NDArray[np.int64], site: Site
) -> int:
    """Return the largest magnitude of any partial sum in a kernel, which reads every tensor as unsigned codes."""
    bits = site.tensors[op.x].bits
    return int(width.accumulator_bound(weights, bits, signed=False, bias=bias).max())


def _prove(op: Conv2d | Linear, weights: Int8, bias: npt.NDArray[np.int64], site: Site) -> None:
    """Raise HQ702 where a sum could leave int32 on its way, though the finished one would fit."""
    largest = _largest_sum(op, weights, bias, site)
    if largest > width.INT32_MAX:
        raise HawqError(
            Diagnostic(
                code="HQ702",
                severity="error",
                message=f"the partial sums of '{op.name}' can reach {largest} in the CPU kernel,"
                " which int32 does not hold",
                help="give the layer fewer weight or activation bits",
            )
        )


def _fits_nibbles(
    op: Conv2d | Linear, weights: Int8, bias: npt.NDArray[np.int64], site: Site
) -> bool:
    """Return whether weights can stay two to a byte: 16 times every sum fits int32, and every shift has room."""
    if op.weight_bits > NIBBLE_BITS:
        return False
    if _largest_sum(op, weights, bias, site) << NIBBLE_BITS > width.INT32_MAX:
        return False
    return all(store_scale(store, site, NIBBLE_BITS).fits for store in op.stores)


def _flat(built: list[BuiltStore]) -> tuple[Pointer, ...]:
    return tuple(pointer for store in built for pointer in store.pointers)
