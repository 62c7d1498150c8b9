"""Rules of the ONNX operators that change height and width: resize, depth to space, transposed convolution."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from fractions import Fraction
from math import ceil, floor

from hawqlang.ir.graph import Tap
from hawqlang.stages.import_model.onnx.model import OnnxNode, RefusedError
from hawqlang.stages.import_model.onnx.translator import Flow, Translator
from hawqlang.stages.import_model.onnx.windows import pair_of
from hawqlang.stages.import_model.recipes import Repeated, SubPixel

HALF = Fraction(1, 2)
Axis = tuple[int, int, Fraction]
"""Length before and after, and their declared ratio."""

POSITIONS: Mapping[str, Callable[[int, Axis], Fraction]] = {
    "half_pixel": lambda i, a: (i + HALF) / a[2] - HALF,
    "pytorch_half_pixel": lambda i, a: (i + HALF) / a[2] - HALF if a[1] > 1 else Fraction(0),
    "asymmetric": lambda i, a: i / a[2],
    "align_corners": lambda i, a: Fraction(i * (a[0] - 1), a[1] - 1) if a[1] > 1 else Fraction(0),
}
"""Where an output stands among the inputs, by ``coordinate_transformation_mode``."""

NEAREST: Mapping[str, Callable[[Fraction], int]] = {
    "round_prefer_floor": lambda x: ceil(x - HALF),
    "round_prefer_ceil": lambda x: floor(x + HALF),
    "floor": floor,
    "ceil": ceil,
}


def resize(t: Translator, node: OnnxNode, name: str) -> Flow:
    """Write a nearest resize as chosen rows and columns, a linear one as an interpolation between them."""
    x = t.feature_map(t.flow(node))
    axes = _axes(t, node, t.builder.shapes[x])
    how = node.text("coordinate_transformation_mode", "half_pixel")
    if how not in POSITIONS or node.integer("antialias", 0):
        raise RefusedError(f"it resizes by '{how}', or smooths what it makes smaller")
    places = [[POSITIONS[how](i, axis) for i in range(axis[1])] for axis in axes]
    mode = node.text("mode", "nearest")
    if mode == "nearest":
        rounding = NEAREST[node.text("nearest_mode", "round_prefer_floor")]
        chosen = [
            None
            if axis[0] == axis[1] and all(p == i for i, p in enumerate(found))
            else tuple(min(max(rounding(p), 0), axis[0] - 1) for p in found)
            for axis, found in zip(axes, places, strict=True)
        ]
        return t.result(t.builder.take(name, x, [None, *chosen]))
    if mode != "linear":
        raise RefusedError(f"its mode is '{mode}'", "nearest and linear are supported")
    rows, columns = (
        [_tap(p, axis[0]) for p in found] for axis, found in zip(axes, places, strict=True)
    )
    return t.result(t.builder.resample(name, x, rows, columns))


def _tap(place: Fraction, length: int) -> Tap:
    inside = min(max(place, Fraction(0)), Fraction(length - 1))
    first = floor(inside)
    return first, min(first + 1, length - 1), float(inside - first)


def _axes(t: Translator, node: OnnxNode, shape: tuple[int, ...]) -> list[Axis]:
    """Return height and width; batch and channels must stay."""
    scales, sizes = t.array(node, 2, "scales"), t.array(node, 3, "sizes")
    axes = [axis % 4 for axis in node.integers("axes") or range(4)]
    if sizes is not None and sizes.size:
        if node.text("keep_aspect_ratio_policy", "stretch") != "stretch":
            raise RefusedError("it keeps the aspect ratio", "give the size itself")
        written = [int(n) for n in sizes.reshape(-1)]
        found = {
            axis: (shape[axis - 1], n, Fraction(n, shape[axis - 1]))
            for axis, n in zip(axes, written, strict=True)
            if axis > 0
        }
    elif scales is not None and scales.size:
        factors = [Fraction(float(n)) for n in scales.reshape(-1)]
        found = {
            axis: (shape[axis - 1], floor(shape[axis - 1] * factor), factor)
            for axis, factor in zip(axes, factors, strict=True)
            if axis > 0
        }
    else:
        raise RefusedError("it has neither scales nor sizes")
    if 1 in found and found[1][0] != found[1][1]:
        raise RefusedError("it resizes the channels")
    return [found.get(axis, (shape[axis - 1], shape[axis - 1], Fraction(1))) for axis in (2, 3)]


def depth_to_space(t: Translator, node: OnnxNode, name: str) -> Flow:
    """Write blocks of channels as blocks of pixels."""
    x = t.feature_map(t.flow(node))
    channels, height, width = t.builder.shapes[x]
    b = node.integer("blocksize", 1)
    if b < 1 or channels % (b * b):
        raise RefusedError(f"its blocks of {b} do not divide {channels} channels")
    depth = channels // (b * b)
    if node.text("mode", "DCR") == "DCR":
        view, order = (b, b, depth, height, width), (2, 3, 0, 4, 1)
    else:
        view, order = (depth, b, b, height, width), (0, 3, 1, 4, 2)
    return t.result(t.builder.rearrange(name, x, view, order, (depth, height * b, width * b)))


def space_to_depth(t: Translator, node: OnnxNode, name: str) -> Flow:
    """Write blocks of pixels as blocks of channels."""
    x = t.feature_map(t.flow(node))
    channels, height, width = t.builder.shapes[x]
    b = node.integer("blocksize", 1)
    if b < 1 or height % b or width % b:
        raise RefusedError(f"its blocks of {b} do not divide {height}x{width} pixels")
    view = (channels, height // b, b, width // b, b)
    shape = (channels * b * b, height // b, width // b)
    return t.result(t.builder.rearrange(name, x, view, (2, 4, 0, 1, 3), shape))


def transposed_conv(t: Translator, node: OnnxNode, name: str) -> Flow:
    """Write a transposed convolution as a convolution that gives every phase, whose channels become pixels.

    Output ``o`` lies at ``t = o + p = q·s + r``: phase ``r`` reads the taps ``r, r + s, …`` of inputs ``q, q − 1, …``.
    """
    x = t.feature_map(t.flow(node))
    weight = t.constant(node, 1, "weight")
    bias = t.optional(node, 2, "bias")
    if len(weight.shape) != 4 or pair_of(node, "dilations") != (1, 1):
        raise RefusedError("it is dilated, or not over two axes")
    stride, groups = pair_of(node, "strides"), node.integer("group", 1)
    recipe = SubPixel(weight.recipe, stride, groups)
    kernel, taps = weight.shape[2:], recipe.shape[2:]
    before, out = _extent(t, node, x, (kernel[0], kernel[1]), stride)
    size = t.builder.shapes[x][1:]
    steps = [-(-(n + b) // s) for n, b, s in zip(out, before, stride, strict=True)]
    beyond = [max(q - n, 0) for q, n in zip(steps, size, strict=True)]
    phases = stride[0] * stride[1]
    value = t.builder.conv_of(
        name,
        x,
        weight=recipe,
        bias=None if bias is None else Repeated(bias.recipe, phases),
        stride=(1, 1),
        padding=(taps[0] - 1, taps[1] - 1, beyond[0], beyond[1]),
        dilation=(1, 1),
        groups=groups,
    )
    channels, rows, columns = t.builder.shapes[value]
    depth = channels // phases
    if phases > 1:
        view = (depth, *stride, rows, columns)
        shape = (depth, rows * stride[0], columns * stride[1])
        value = t.builder.rearrange(f"{name}.pixels", value, view, (0, 3, 1, 4, 2), shape)
    start, stop = (0, *before), (depth, before[0] + out[0], before[1] + out[1])
    if (start, stop) != ((0, 0, 0), t.builder.shapes[value]):
        value = t.builder.slice(f"{name}.inside", value, start, stop, (1, 1, 1))
    return t.result(value)


def _extent(
    t: Translator, node: OnnxNode, x: str, kernel: tuple[int, int], stride: tuple[int, int]
) -> tuple[tuple[int, int], tuple[int, int]]:
    """Return the padding before the output, and the output's size."""
    size = t.builder.shapes[x][1:]
    extra = node.integers("output_padding") or (0, 0)
    full = [s * (n - 1) + k for n, k, s in zip(size, kernel, stride, strict=True)]
    mode, asked = node.text("auto_pad", "NOTSET"), node.integers("output_shape")
    if mode == "NOTSET" and not asked:
        pads = node.integers("pads") or (0, 0, 0, 0)
        out = [
            f + e - pads[i] - pads[i + 2] for i, (f, e) in enumerate(zip(full, extra, strict=True))
        ]
        return (pads[0], pads[1]), (out[0], out[1])
    if mode == "VALID" and not asked:
        return (0, 0), (full[0] + extra[0], full[1] + extra[1])
    out = asked[-2:] if asked else [n * s for n, s in zip(size, stride, strict=True)]
    totals = [f + e - n for f, e, n in zip(full, extra, out, strict=True)]
    before = [n // 2 if mode == "SAME_UPPER" else n - n // 2 for n in totals]
    if min(totals) < 0:
        raise RefusedError(f"its output of {list(out)} is larger than its windows reach")
    return (before[0], before[1]), (out[0], out[1])
