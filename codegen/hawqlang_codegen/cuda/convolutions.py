"""Convolutions and linear layers as launches.

Tensor cores serve one group, inputs of at most 8 bits and weights that fit int8. Weights that fit 4 bits stand two to a
byte: beside nibbles they are multiplied as such, beside bytes they are widened in registers to 16 times themselves, if
the proven bound of the sum has room for that. Everything else is computed by the direct kernel.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hawqlang.arith import width
from hawqlang.ir.integer import IntegerProgram
from hawqlang.ops import Conv2d, Linear
from hawqlang_codegen.cuda import context, packing
from hawqlang_codegen.cuda.context import Launch, Variant
from hawqlang_codegen.cuda.layout import NIBBLE_BITS, VECTOR, WORD, Layout, Readers
from hawqlang_codegen.cuda.select import STEP_BYTES, Gemm, choose
from hawqlang_codegen.cuda.site import IntArray, Site, store_forms
from hawqlang_codegen.tvm.layout import round_up

MOST_TAP_ROWS = 14
MOST_TAP_COLUMNS = 30
"""A row's taps are bits of a word, with room for the taps that fill up the last step."""


def readers(program: IntegerProgram, weights: dict[str, IntArray]) -> Readers:
    """Return which operators tensor cores compute, and which of them on nibbles."""
    bits = {tensor.name: (tensor.bits, tensor.signed) for tensor in program.tensors}
    products: set[str] = set()
    nibbles: set[str] = set()
    for op in program.ops:
        if not isinstance(op, Conv2d | Linear) or not _on_tensor_cores(
            op, weights[op.name], program
        ):
            continue
        products.add(op.name)
        own, signed = bits[op.x]
        room = 2 * NIBBLE_BITS if signed else NIBBLE_BITS
        if own <= NIBBLE_BITS and _fits_widened(weights[op.name], own, room, signed=signed):
            nibbles.add(op.name)
    return Readers(frozenset(products), frozenset(nibbles))


def _on_tensor_cores(op: Conv2d | Linear, weights: IntArray, program: IntegerProgram) -> bool:
    if op.x == program.input or program.tensor(op.x).bits > 8 or not packing.fits(weights, 8):
        return False
    if isinstance(op, Linear):
        return True
    _, tall, wide, _ = op.weight_shape
    return op.groups == 1 and tall <= MOST_TAP_ROWS and wide <= MOST_TAP_COLUMNS


def _fits_widened(weights: IntArray, bits: int, room: int, *, signed: bool) -> bool:
    """Return whether weights are nibbles and their sums fit int32 when ``2^room`` times as large."""
    if not packing.fits(weights, NIBBLE_BITS):
        return False
    bound = int(width.accumulator_bound(weights, bits, signed=signed).max())
    return bound << room <= width.INT32_MAX


@dataclass(frozen=True, slots=True)
class _Layer:
    """A convolution, or a linear layer as one of a single pixel."""

    op: Conv2d | Linear
    site: Site
    weights: IntArray
    """``(OC, KH, KW, IC/groups)``."""
    x: Layout
    out_size: tuple[int, int]
    window: context.Window
    groups: int


def conv2d(op: Conv2d, weights: IntArray, site: Site, wishes: Readers) -> Launch:
    """Return the launch that computes a convolution."""
    out = site.layout(op.stores[0].output)
    layer = _Layer(
        op=op,
        site=site,
        weights=weights,
        x=site.layout(op.x),
        out_size=(out.height, out.width),
        window=context.Window(
            kernel=(op.weight_shape[1], op.weight_shape[2]),
            stride=op.stride,
            dilation=op.dilation,
            padding=(op.padding[0], op.padding[1]),
        ),
        groups=op.groups,
    )
    return _product(layer) if op.name in wishes.products else _direct(layer)


def linear(op: Linear, weights: IntArray, site: Site, wishes: Readers) -> Launch:
    """Return the launch that computes a linear layer: a convolution of one pixel."""
    once = (1, 1)
    layer = _Layer(
        op=op,
        site=site,
        weights=weights.reshape(weights.shape[0], 1, 1, -1),
        x=site.layout(op.x),
        out_size=once,
        window=context.Window(kernel=once, stride=once, dilation=once, padding=(0, 0)),
        groups=1,
    )
    return _product(layer) if op.name in wishes.products else _direct(layer)


def _product(layer: _Layer) -> Launch:
    site, x = layer.site, layer.x
    tensor = site.tensors[layer.op.x]
    rows = packing.rows_of(layer.weights, x.depth_bytes * 8 // x.bits)
    widened = not x.nibbles and _fits_widened(
        layer.weights, tensor.bits, NIBBLE_BITS, signed=tensor.signed
    )
    pack = packing.widened_of if widened else packing.bytes_of
    packed = packing.nibbles_of(rows) if x.nibbles else pack(rows)
    steps = packed.shape[1] // (STEP_BYTES // 2 if widened else STEP_BYTES)
    pixels = layer.out_size[0] * layer.out_size[1]
    channels = layer.weights.shape[0]
    gemm = Gemm(pixels * site.images, channels, steps, nibbles=x.nibbles, widened=widened)
    chosen = variants(gemm, site)
    most = max(variant.parts for variant in chosen)
    zero = tensor.zero_point & (0xF if x.nibbles else 0xFF)
    filled = np.full(16, zero * 0x11 if x.nibbles else zero, np.uint8)
    return context.Conv(
        x=site.number[layer.op.x],
        weights=site.data(packed),
        fill=site.data(filled),
        size=(x.height, x.width),
        out_size=layer.out_size,
        out_channels=channels,
        window=layer.window,
        pixel_bytes=x.pixel_bytes,
        depth_bytes=x.depth_bytes,
        steps=steps,
        weight_row=packed.shape[1],
        operands=("kS4S4" if x.signed else "kU4S4")
        if x.nibbles
        else ("kS8S8" if x.signed else "kU8S8"),
        form="kWidened" if widened else "kSame",
        words=x.pixel_bytes == WORD,
        variants=chosen,
        scratch=f"{layer.op.name} (parts of sums)" if most > 1 else "",
        scratch_bytes=most * pixels * round_up(channels, VECTOR) * 4 if most > 1 else 0,
        stores=_stores(layer),
    )


def variants(gemm: Gemm, site: Site) -> tuple[Variant, ...]:
    """Return the kernels that compute a matrix product, architectures with the same one together."""
    rows: dict[tuple[str, int], list[int]] = {}
    for i, arch in enumerate(site.archs):
        choice = choose(gemm, arch)
        tile = choice.tile
        text = f"Tile<{tile.rows}, {tile.columns}, {tile.warp_rows}, {choice.stages}>"
        rows.setdefault((text, choice.parts), []).append(i)
    return tuple(Variant(tuple(own), text, parts) for (text, parts), own in rows.items())


def _direct(layer: _Layer) -> Launch:
    site, op = layer.site, layer.op
    channels, _, _, depth = layer.weights.shape
    packed = packing.direct_of(layer.weights)
    own = layer.groups > 1 and layer.groups == channels == layer.x.channels
    return context.Direct(
        x=site.number[op.x],
        weights=site.data(packed),
        out_size=layer.out_size,
        out_channels=channels,
        vectors=round_up(channels, VECTOR) // VECTOR,
        window=layer.window,
        depth=depth,
        group_channels=channels // layer.groups,
        zero=site.tensors[op.x].zero_point,
        reads="kOwn" if own else "kGroup" if layer.groups > 1 else "kAll",
        bytes=packed.dtype == np.int8,
        stores=_stores(layer),
    )


def _stores(layer: _Layer) -> tuple[context.StoreForm, ...]:
    bias = layer.site.constant(layer.op.bias).astype(np.int64)
    return store_forms(layer.op.name, layer.op.stores, bias, layer.site)
