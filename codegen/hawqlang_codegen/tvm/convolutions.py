"""Convolutions and linear layers as calls of kernels.

Products of bytes serve tensors of at most 8 bits and weights that fit int8; weights of 4 bits stand two to a byte.
Everything wider takes products of 16 bits. Affine codes are multiplied as they are where only their distance to the
zero point is too wide: ``Σ(q − z)·x = Σ q·x − z·Σ x`` with the sums of windows computed before.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from hawqlang.arith import pack, width
from hawqlang.diagnostics import Diagnostic, HawqError
from hawqlang.ops import Conv2d, Linear
from hawqlang_codegen.tvm.context import (
    RESIDENT,
    Conv,
    Depthwise,
    WideDepthwise,
    WindowSums,
    plane,
)
from hawqlang_codegen.tvm.layout import ALIGNMENT, LANES, WORD, Layout, round_up
from hawqlang_codegen.tvm.packing import (
    dense_weights,
    depthwise_weights,
    group_windows,
    joined_taps,
    nibbles,
    padded_bias,
    planes,
    wide_depthwise_weights,
)
from hawqlang_codegen.tvm.select import Work, choose_columns
from hawqlang_codegen.tvm.site import (
    SCRATCH,
    BuiltStore,
    Call,
    Pointer,
    Site,
    build_store,
    store_scale,
)

IntArray = npt.NDArray[np.integer[Any]]
Int64 = npt.NDArray[np.int64]
DEPTHWISE_LANES = (64, 32, 16)
"""Channels a depthwise kernel may compute together."""
DEPTHWISE_REGISTERS = 11
"""Of 16: those for sums of pixels and for the weights of a row of taps."""
NIBBLE_BITS = 4
"""Weights up to this width stand two to a byte; as the upper half of a byte they count 2^4 times."""
HALVES = 2
"""Channels of a 32-bit word where products are of 16 bits."""
MOST_PLANES = 3
"""Bytes that make the widest weight of 8 bits with a zero point: ±255."""


@dataclass(frozen=True, slots=True)
class _Layer:
    """A layer as kernels see it: on codes as they are stored."""

    op: Conv2d | Linear
    site: Site
    weights: IntArray
    """What codes are multiplied with, ``(OC, KH, KW, IC/groups)``."""
    bias: Int64
    """With the stored bias of the input folded in."""
    x: Layout
    size: tuple[int, int]
    """Output rows and columns."""
    stride: tuple[int, int] = (1, 1)
    dilation: tuple[int, int] = (1, 1)
    before: tuple[int, int] = (0, 0)
    """Padding above and to the left."""
    slope: Int64 | None = None
    """Per output channel, times the sum of the window; ``None`` without such a term."""

    @property
    def groups(self) -> int:
        """Return the groups of a convolution."""
        return self.op.groups if isinstance(self.op, Conv2d) else 1

    @property
    def largest(self) -> int:
        """Return the largest magnitude of any partial sum, in codes as they are stored."""
        most = max(abs(code + self.x.bias) for code in self.site.tensors[self.op.x].range)
        rows = _rows(self.weights)
        sums = np.abs(rows).sum(axis=1) * most
        if self.slope is not None:
            sums += np.abs(self.slope) * rows.shape[1] * most
        return int((sums + np.abs(self.bias)).max())


def conv2d(op: Conv2d, site: Site) -> list[Call]:
    """Return the calls that compute a convolution."""
    weights = site.weights(op)
    x, out = site.layout(op.x), site.layout(op.stores[0].output)
    layer = _Layer(
        op=op,
        site=site,
        weights=weights,
        bias=_bias(op, weights, x, site),
        x=x,
        size=(out.height, out.width),
        stride=op.stride,
        dilation=op.dilation,
        before=(op.padding[0], op.padding[1]),
    )
    _prove(layer)
    if op.groups > 1 and op.weight_shape[0] == op.groups == x.channels:
        narrow = x.element == 1 and planes(weights) <= MOST_PLANES
        return [_depthwise(layer) if narrow else _wide_depthwise(layer)]
    return _calls(layer)


def linear(op: Linear, site: Site) -> list[Call]:
    """Return the calls that compute a linear layer: a convolution whose window is the whole input."""
    x = site.layout(op.x)
    rows = site.weights(op)
    weights = rows.reshape(rows.shape[0], x.height, x.width, x.channels)
    layer = _Layer(op, site, weights, _bias(op, weights, x, site), x, size=(1, 1))
    _prove(layer)
    return _calls(layer)


def _bias(op: Conv2d | Linear, weights: IntArray, x: Layout, site: Site) -> Int64:
    return site.constant(op.bias).astype(np.int64) - x.bias * _rows(weights).sum(axis=1)


def _rows(weights: IntArray) -> Int64:
    return weights.astype(np.int64).reshape(weights.shape[0], -1)


def _fits_bytes(weights: IntArray) -> bool:
    return int(weights.min()) >= -(2**7) and int(weights.max()) < 2**7


def _calls(layer: _Layer) -> list[Call]:
    """Return the calls of a layer that mixes channels."""
    if layer.x.element > 1:
        return [_halves(layer)]
    shifted = _shifted(layer)
    if shifted is not None:
        return _with_window_sums(shifted)
    return [_bytes(layer) if _fits_bytes(layer.weights) else _halves(layer)]


def _shifted(layer: _Layer) -> _Layer | None:
    """Return an affine layer on its codes and the sums of windows, ``None`` where that gains nothing.

    It does where codes take half the room of what they stand for: a byte instead of two, half a byte instead of one.
    """
    op, site = layer.op, layer.site
    if op.terms is None or op.terms.zero is None or op.terms.multiple is not None:
        return None
    zero = site.constant(op.terms.zero).astype(np.int64)
    if layer.groups > 1 or zero.shape[1] > 1:
        return None
    packed = site.constant(op.weight).astype(np.uint8)
    codes = pack.unpack_weights(packed, op.weight_bits, op.weight_shape)
    half = op.weight_bits <= NIBBLE_BITS and not _fits_nibble(layer.weights)
    if op.weight_bits > 8 or not (half or not _fits_bytes(layer.weights)):
        return None
    found = replace(layer, weights=codes.reshape(layer.weights.shape), slope=-zero[:, 0])
    return found if found.largest <= width.INT32_MAX else None


def _fits_nibble(weights: IntArray) -> bool:
    return int(weights.min()) >= -(2**3) and int(weights.max()) < 2**3


class _Geometry:
    """How output pixels and taps map to the input's words of ``word`` channels."""

    def __init__(self, layer: _Layer, word: int) -> None:
        x = layer.x
        row, pixel = x.row // word, x.pixel // word
        self.step = (layer.stride[0] * row, layer.stride[1] * pixel)
        self.dilation = (layer.dilation[0] * row, layer.dilation[1] * pixel)
        origin = x.origin // word - layer.before[0] * row - layer.before[1] * pixel
        elements = x.size // x.element // word
        self.plane = replace(
            plane(x), dtype="int32", elements=elements, origin=origin, row=row, pixel=pixel
        )


def _depthwise(layer: _Layer) -> Call:
    x, site, weights = layer.x, layer.site, layer.weights
    lanes = next(n for n in DEPTHWISE_LANES if x.pixel % n == 0)
    height, breadth = layer.size
    _, tall, wide, _ = weights.shape
    geometry = _Geometry(layer, 1)
    built = [build_store(store, site, x.pixel) for store in layer.op.stores]
    count = planes(weights)
    kernel = Depthwise(
        height=height,
        width=breadth,
        vectors=x.pixel // LANES,
        lanes=lanes,
        kernel=(tall, wide),
        quads=-(-tall // WORD),
        x=replace(plane(x), origin=geometry.plane.origin),
        step=geometry.step,
        dilation=geometry.dilation,
        columns=choose_columns(breadth, 4 if wide <= 3 and count == 1 else 3),
        narrow_columns=choose_columns(breadth, 2),
        madd_columns=choose_columns(breadth, max(1, DEPTHWISE_REGISTERS - wide)),
        stores=tuple(b.form for b in built),
        planes=count,
    )
    packed = depthwise_weights(weights, lanes, x.pixel, count)
    constants = (SCRATCH, site.data(packed), site.data(padded_bias(layer.bias, x.pixel)))
    return Call(kernel, (site.tensor(layer.op.x), *constants, *_flat(built)))


def _wide_depthwise(layer: _Layer) -> Call:
    x, site = layer.x, layer.site
    geometry = _Geometry(layer, 1)
    built = [build_store(store, site, x.pixel) for store in layer.op.stores]
    kernel = WideDepthwise(
        height=layer.size[0],
        width=layer.size[1],
        vectors=x.pixel // LANES,
        kernel=(layer.weights.shape[1], layer.weights.shape[2]),
        x=replace(plane(x), origin=geometry.plane.origin),
        step=geometry.step,
        dilation=geometry.dilation,
        stores=tuple(b.form for b in built),
    )
    packed = wide_depthwise_weights(layer.weights, x.pixel)
    constants = (site.data(packed), site.data(padded_bias(layer.bias, x.pixel)))
    return Call(kernel, (site.tensor(layer.op.x), *constants, *_flat(built)))


def _with_window_sums(layer: _Layer) -> list[Call]:
    """Return the call that sums the windows into working memory, and the layer's own, which reads them there."""
    x, site = layer.x, layer.site
    own = _bytes(layer)
    if not isinstance(own.kernel, Conv):
        raise TypeError(own.kernel.kind)
    pixels = x.rows * (x.left + x.width + x.right)
    at = round_up(max(own.kernel.scratch, 4 * pixels), ALIGNMENT)
    row = x.row // x.pixel
    sums = WindowSums(
        height=layer.size[0],
        width=layer.size[1],
        pixels=pixels,
        channels=x.channels,
        x=plane(x),
        origin=(x.top - layer.before[0]) * row + x.left - layer.before[1],
        step=(layer.stride[0] * row, layer.stride[1]),
        dilation=(layer.dilation[0] * row, layer.dilation[1]),
        kernel=(layer.weights.shape[1], layer.weights.shape[2]),
        at=at,
    )
    mask = (np.arange(round_up(x.channels, LANES)) < x.channels).astype(np.int32)
    place = replace(SCRATCH, offset=at)
    kernel = replace(own.kernel, sums_at=at)
    pointers = [place if pointer == SUMS else pointer for pointer in own.pointers]
    first = Call(sums, (site.tensor(layer.op.x), SCRATCH, site.data(mask), place))
    return [first, Call(kernel, tuple(pointers))]


SUMS = Pointer("scratch", "sums", 0)
"""Stands for the sums of windows until their place is known."""


def _halves(layer: _Layer) -> Call:
    """Return the call of a layer on products of 16 bits; bytes are widened first."""
    return _dense(layer, HALVES, half=False)


def _bytes(layer: _Layer) -> Call:
    return _dense(layer, WORD, half=_fits_nibbles(layer))


def _dense(layer: _Layer, word: int, *, half: bool) -> Call:
    site, op, weights = layer.site, layer.op, layer.weights
    geometry = _Geometry(layer, word)
    channels, tall, wide, depth = weights.shape
    height, breadth = (1, layer.size[0] * layer.size[1]) if _one_row(layer) else layer.size
    steps = tall * wide * -(-depth // word)
    work = Work(
        height=height,
        width=breadth,
        channels=channels,
        kernel=(tall, wide),
        stride=layer.stride,
        words=steps,
        nibbles=half,
        halves=word == HALVES,
        grouped=layer.groups > 1,
        stores=len(op.stores),
        summed=any(store.addend is not None for store in op.stores),
    )
    choice = site.choose(op.name, work)
    tile = choice.tile
    weights = weights.astype(np.int8 if word == WORD else np.int16)
    table: tuple[Pointer, ...] = ()
    if layer.groups > 1:
        tile = replace(tile, vectors=1)
        windows = group_windows(weights, layer.groups, LANES, layer.x.pixel, word)
        weights, table = windows.weights, (site.data(windows.start),)
    words = -(-weights.shape[3] // word)
    packed = dense_weights(weights, tile.vectors, word)
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
        windowed=layer.groups > 1,
        tile=tile,
        narrow_tile=choice.narrow_tile,
        madd_tile=choice.madd_tile,
        pixels_outside=(packed.size <= RESIDENT) != choice.exchanged,
        short=word == WORD and _fits_short(layer),
        roomy=4 * layer.largest <= width.INT32_MAX,
        prefetch=0 if packed.size <= RESIDENT else choice.ahead,
        stores=tuple(b.form for b in built),
        kind="conv" if word == WORD else "conv16",
        widened=word == HALVES and layer.x.element == 1,
    )
    constants = (SCRATCH, site.data(packed), site.data(padded_bias(layer.bias << scaled, padded)))
    if layer.slope is not None:
        slope = padded_bias(layer.slope << scaled, padded)
        table = (*table, site.data(slope), SUMS)
    return Call(kernel, (site.tensor(op.x), *constants, *table, *_flat(built)))


def _one_row(layer: _Layer) -> bool:
    """Return whether output pixel n reads input pixel n alone and no tensor has a gap between rows: one long row."""
    if layer.weights.shape[1:3] != (1, 1) or layer.stride != (1, 1):
        return False
    names = [layer.op.x, *(store.output for store in layer.op.stores)]
    names += [store.addend.x for store in layer.op.stores if store.addend is not None]
    layouts = [layer.site.layout(name) for name in names]
    return all((x.height, x.width) == layer.size and x.row == x.width * x.pixel for x in layouts)


def _prove(layer: _Layer) -> None:
    """Raise HQ702 where a sum could leave int32 on its way, though the finished one would fit."""
    if layer.largest > width.INT32_MAX:
        raise HawqError(
            Diagnostic(
                code="HQ702",
                severity="error",
                message=f"the partial sums of '{layer.op.name}' can reach {layer.largest} in the CPU kernel,"
                " which int32 does not hold",
                help="give the layer fewer weight or activation bits",
            )
        )


def _fits_nibbles(layer: _Layer) -> bool:
    """Return whether weights can stay two to a byte: 16 times every sum fits int32, and every shift has room."""
    if layer.op.weight_bits > NIBBLE_BITS or not _fits_nibble(layer.weights):
        return False
    if layer.largest << NIBBLE_BITS > width.INT32_MAX:
        return False
    return all(store_scale(s, layer.site, NIBBLE_BITS).fits for s in layer.op.stores)


def _fits_short(layer: _Layer) -> bool:
    """Return whether the spec asks for sums in int16 and the kernel's fit, on codes that it reads as unsigned."""
    if layer.op.accumulator != "int16":
        return False
    bits = layer.site.tensors[layer.op.x].bits
    sums = width.accumulator_bound(layer.weights, bits, signed=False)
    return int(sums.max()) <= width.LIMITS["int16"]


def _flat(built: list[BuiltStore]) -> tuple[Pointer, ...]:
    return tuple(pointer for store in built for pointer in store.pointers)
