"""Families of random layers, many to a program so that one compilation serves them all."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from hawqlang.arith import width
from hawqlang.cache import TensorStore
from hawqlang.ir.integer import IntegerProgram
from hawqlang.ops import writes
from tests.semantics.programs import Builder, Pads, Pair, WeightForm

Case = tuple[IntegerProgram, TensorStore]


def start(seed: int, shape: tuple[int, int, int] = (9, 11, 3)) -> tuple[Builder, str]:
    """A builder and its image."""
    b = Builder(np.random.default_rng(seed))
    return b, b.image(*shape)


def finish(b: Builder, x: str, name: str) -> Case:
    """End the program with logits computed from ``x``."""
    y = b.linear(b.flatten(x), 10, bits=(32,), wide=True)
    return b.program(y, name), b.store


def maps(b: Builder, image: str, depths: tuple[int, ...]) -> list[str]:
    """Maps of the image's size with the given channels, of random width and sign."""
    a = b.affine(image)
    return [
        b.conv(a, depth, (1, 1), padding=(0, 0, 0, 0), bits=(int(b.rng.integers(2, 9)),))
        for depth in depths
    ]


def pads(b: Builder, limit: Pair) -> Pads:
    """Random asymmetric padding below ``limit`` (rows, columns)."""
    top, left = (int(b.rng.integers(n)) for n in limit)
    bottom, right = (int(b.rng.integers(n)) for n in limit)
    return top, left, bottom, right


def pair(b: Builder, low: int, high: int) -> Pair:
    """Two random numbers of ``[low, high]``."""
    return int(b.rng.integers(low, high + 1)), int(b.rng.integers(low, high + 1))


def some(b: Builder, count: int, values: tuple[int, ...]) -> list[int]:
    """``count`` of the values, in random order."""
    return [int(n) for n in b.rng.choice(values, count, replace=False)]


def dense(seed: int) -> Case:
    """Dense convolutions: windows, strides, dilations, padding, channels, widths."""
    b, image = start(seed)
    xs = maps(b, image, (3, 8, 16, 21, 48))
    for _ in range(14):
        kernel = pair(b, 1, 4)
        b.conv(
            str(b.rng.choice(xs)),
            int(b.rng.choice([1, 5, 16, 24, 33, 64, 80, 130])),
            kernel,
            stride=pair(b, 1, 3),
            padding=pads(b, kernel),
            dilation=pair(b, 1, 2),
            weight_bits=int(b.rng.integers(1, 9)),
            bits=tuple(int(n) for n in b.rng.choice([2, 4, 5, 8, 32], int(b.rng.integers(1, 4)))),
            wide=bool(b.rng.integers(3) == 0),
        )
    return finish(b, xs[0], "dense")


def tiles(seed: int) -> Case:
    """Layers wide and deep enough for registers of 16 pixels by 64 bytes, with every remainder of both."""
    width_ = int(np.random.default_rng(seed).integers(4, 36))
    b, image = start(seed, (5, width_, 3))
    x = image
    for depth, channels, kernel in (
        (16, 16, (3, 3)),
        (80, 33, (3, 1)),
        (20, 40, (2, 3)),
        (128, 100, (1, 1)),
    ):
        x, y = maps(b, image, (depth, channels))
        bits = int(b.rng.choice([4, 8]))
        b.conv(x, channels, kernel, padding=pads(b, kernel), stride=pair(b, 1, 2), weight_bits=bits)
        b.conv(x, channels, (1, 1), padding=(0, 0, 0, 0), weight_bits=12 - bits, addend=y)
    b.conv(x, 32, (3, 3), bits=(8, 4, 32), weight_bits=4, wide=True)
    return finish(b, x, "tiles")


def windows(seed: int) -> Case:
    """3x3 convolutions of stride 1 on maps of odd and even sizes, one of them too large to be transformed at once."""
    rng = np.random.default_rng(seed)
    b, image = start(seed, (int(rng.integers(17, 20)), int(rng.integers(17, 20)), 3))
    (x,) = maps(b, image, (112,))
    b.conv(x, 20, bits=(8, 4))
    small = b.max_pool(x, (2, 2), stride=(2, 2), padding=(0, 0, 0, 0))
    for depth in some(b, 2, (16, 20, 33)):
        y = b.conv(small, depth, (1, 1), padding=(0, 0, 0, 0))
        b.conv(y, depth, padding=pads(b, (3, 3)), bits=(8, 32))
        b.conv(y, depth, addend=y, wide=True)
    b.constant = -127
    b.conv(small, 16, bits=(32,))
    b.constant = None
    return finish(b, small, "windows")


def grouped(seed: int) -> Case:
    """Grouped convolutions, depthwise included."""
    b, image = start(seed)
    x = image
    for depth, groups, channels in (
        (6, 3, 9),
        (8, 2, 8),
        (12, 4, 40),
        (20, 5, 35),
        (32, 8, 32),
        (32, 2, 96),
        (10, 10, 20),
        (24, 24, 72),
    ):
        (x,) = maps(b, image, (depth,))
        kernel = pair(b, 1, 3)
        b.conv(
            x,
            channels,
            kernel,
            stride=pair(b, 1, 2),
            padding=pads(b, kernel),
            groups=groups,
            weight_bits=int(b.rng.integers(1, 9)),
            bits=(8, 32),
        )
    return finish(b, x, "grouped")


def depthwise(seed: int) -> Case:
    """Depthwise convolutions, one channel each."""
    b, image = start(seed)
    (x,) = maps(b, image, (7,))
    for depth in some(b, 3, (3, 16, 17, 32, 40, 48, 64, 96, 128)):
        (x,) = maps(b, image, (depth,))
        kernel = pair(b, 1, 5)
        (addend,) = maps(b, image, (depth,)) if kernel == (1, 1) else (None,)
        b.conv(
            x,
            depth,
            kernel,
            stride=pair(b, 1, 2) if addend is None else (1, 1),
            padding=pads(b, kernel),
            dilation=pair(b, 1, 2),
            groups=depth,
            weight_bits=int(b.rng.integers(1, 9)),
            bits=(int(b.rng.integers(2, 9)), int(b.rng.choice([8, 32]))),
            addend=addend,
            wide=bool(b.rng.integers(4) == 0),
        )
        b.conv(x, depth, (3, 3), groups=depth)
        y = b.conv(x, depth, (3, 3), groups=depth, stride=(2, 2), padding=(0, 0, 1, 1))
        b.conv(y, depth, (3, 3), groups=depth, bits=(8, 4), addend=y)
    return finish(b, x, "depthwise")


def residual(seed: int) -> Case:
    """Stores with addends of every kind, and additions of stored tensors."""
    b, image = start(seed)
    x = image
    for depth in some(b, 2, (5, 16, 72)):
        x, y = maps(b, image, (depth, depth))
        raw = b.conv(x, depth, (3, 3), bits=(32,))
        for addend in (x, y, raw):
            b.conv(x, depth, (3, 3), bits=(8, 4), addend=addend)
            b.conv(x, depth, (1, 1), padding=(0, 0, 0, 0), bits=(32, 8), addend=addend, wide=True)
            b.add(addend, y, (8, 3))
        b.add(raw, raw, (8, 32))
        b.add(x, x, (32, 2))
        mean = b.avg_pool(x, (9, 11))
        flat = b.flatten(mean)
        b.linear(flat, depth, bits=(8, 32), addend=flat)
    return finish(b, x, "residual")


def wide_residual(seed: int) -> Case:
    """Operands of 9 to 32 bits: stored beside convolutions and additions, pooled, moved, padded."""
    b, image = start(seed, (6, 7, 3))
    x = b.affine(image)
    for depth, bits in ((21, 16), (5, 32)):
        y = b.conv(x, depth, (3, 3), bits=(bits,), signed=bits == 32)
        z = b.conv(x, depth, (3, 3), bits=(bits,), signed=True)
        b.conv(x, depth, (1, 1), padding=(0, 0, 0, 0), bits=(8, bits), addend=y)
        b.conv(x, depth, (3, 3), bits=(32, 16, 4), addend=z, wide=True)
        total = b.add(y, z, (bits, 8, 32))
        b.add(b.max_pool(total, (3, 2), stride=(1, 1), padding=(1, 0, 1, 1)), y, (8,))
        padded = b.pad(total, (1, 2), (1, 0, 0, 2))
        cut = b.slice(padded, (1, 0, 1), (7, 7, depth + 1), (1, 1, 1))
        b.add(cut, total, (bits, 8))
        if bits <= 16:
            b.avg_pool(total, (2, 3), stride=(2, 1), padding=(1, 0, 0, 1), bits=(8, 16, 32))
            b.affine(total, bits=12)
    return finish(b, x, "wide residual")


def affine_weights(seed: int) -> Case:
    """Weights with zero points: codes of 4 and 8 bits with sums of windows, others as they are; groups, depthwise."""
    b, image = start(seed, (7, 6, 3))
    a = b.affine(image)
    form = WeightForm(affine=True)
    for depth, bits in ((3, 8), (21, 4)):
        x = b.conv(a, depth, (3, 3), weight_bits=bits, bits=(5,), signed=bits == 4, form=form)
        for channels, weight_bits in ((5, 8), (33, 4), (20, 6), (16, 12)):
            b.conv(
                x,
                channels,
                (3, 2),
                stride=pair(b, 1, 2),
                padding=(1, 0, 2, 1),
                dilation=pair(b, 1, 2),
                weight_bits=weight_bits,
                form=form,
            )
        b.linear(b.flatten(x), 12, weight_bits=bits, form=form)
    b.conv(x, 21, (3, 3), groups=21, weight_bits=8, form=form)
    x = b.conv(a, 12, (1, 1), padding=(0, 0, 0, 0))
    b.conv(x, 24, (3, 3), groups=4, weight_bits=8, form=form)
    b.conv(x, 24, (3, 3), groups=4, weight_bits=3, bits=(4,), form=form)
    return finish(b, x, "affine weights")


def group_weights(seed: int) -> Case:
    """Groups of input channels, also such that do not divide them, with and without zero points."""
    b, image = start(seed, (6, 5, 3))
    a = b.affine(image)
    x = y = a
    for depth, size in ((24, 8), (16, 5)):
        x = b.conv(a, depth, (1, 1), padding=(0, 0, 0, 0), bits=(4,), signed=depth == 16)
        for bits, affine, most in ((4, False, 255), (8, True, 100), (3, True, 2)):
            form = WeightForm(affine=affine, group=size, most=most)
            y = b.conv(x, 19, (3, 3), stride=pair(b, 1, 2), weight_bits=bits, form=form)
    b.linear(b.flatten(y), 7, weight_bits=4, form=WeightForm(group=6))
    b.conv(x, 32, (3, 3), groups=2, weight_bits=4, form=WeightForm(group=3))
    return finish(b, x, "group weights")


def short_sums(seed: int) -> Case:
    """Layers whose products fit int16 in any order, also at the very end of it."""
    b, image = start(seed, (7, 6, 3))
    a = b.affine(image)
    form = WeightForm(accumulator="int16")
    x = b.conv(a, 24, (1, 1), padding=(0, 0, 0, 0), bits=(4,), signed=False)
    y = b.conv(x, 33, (3, 3), weight_bits=4, bits=(4,), signed=True, form=form)
    b.conv(y, 16, (3, 3), weight_bits=3, bits=(3,), signed=False, form=form, stride=(2, 1))
    b.conv(x, 20, (2, 1), padding=(1, 0, 0, 0), weight_bits=5, form=form)
    b.conv(x, 24, (3, 3), groups=24, weight_bits=8, form=form)
    b.conv(x, 8, (3, 3), groups=4, weight_bits=4, form=form)
    affine = WeightForm(affine=True, accumulator="int16")
    b.conv(x, 8, (1, 1), padding=(0, 0, 0, 0), weight_bits=4, form=affine)
    b.constant = 7
    ones = b.conv(image, 16, (1, 1), padding=(0, 0, 0, 0), bits=(4,), signed=False)
    for sign in (1, -1):
        b.constant = 7 * sign
        b.conv(ones, 16, (3, 6), padding=(1, 0, 1, 0), weight_bits=4, form=form)
        b.constant = 113 * sign
        b.conv(ones, 8, (1, 1), padding=(0, 0, 0, 0), weight_bits=8, form=form)
    b.constant = None
    return finish(b, ones, "short sums")


def halves(seed: int) -> Case:
    """Layers that read 9 to 16 bits, and layers with weights of 9 to 16 bits."""
    b, image = start(seed, (7, 6, 3))
    a = b.affine(image)
    one = (0, 0, 0, 0)
    wide = [b.affine(image, bits=16), b.conv(a, 13, bits=(16,), signed=False)]
    wide.append(b.conv(a, 32, (1, 1), padding=one, bits=(11,)))
    y = a
    for x, bits in zip(wide, (2, 8, 4), strict=True):
        y = b.conv(x, 20, stride=pair(b, 1, 2), weight_bits=bits, padding=(1, 0, 2, 1))
        b.linear(b.flatten(x), 9, weight_bits=3, bits=(32,), wide=True)
    b.conv(wide[0], 3, (3, 2), groups=3, weight_bits=4, bits=(16, 8))
    b.conv(wide[1], 8, (1, 1), padding=one, weight_bits=4, form=WeightForm(affine=True))
    b.conv(y, 17, (2, 2), weight_bits=12, bits=(9,))
    b.conv(b.conv(a, 12, bits=(3,)), 6, groups=3, weight_bits=16, bits=(16,))
    b.conv(a, 3, groups=3, weight_bits=14)
    b.conv(wide[2], 8, groups=4, weight_bits=8)
    few = b.conv(a, 2, bits=(2,))
    for sign in (1, -1):
        b.constant = sign * 127
        b.conv(wide[1], 16, bits=(32, 8), weight_bits=8)
        b.constant = sign * 32767
        b.conv(few, 16, (1, 1), padding=one, weight_bits=16, bits=(32,))
    b.constant = None
    return finish(b, wide[1], "halves")


def pools(seed: int) -> Case:
    """Pools with windows clipped at borders, ceil mode and padding that does or does not count."""
    b, image = start(seed)
    x = image
    b.max_pool(image, (2, 2), stride=(2, 2), padding=(0, 0, 0, 0))
    b.avg_pool(image, (3, 3), padding=(1, 1, 1, 1))
    for depth in some(b, 2, (3, 16, 32, 40, 64)):
        (x,) = maps(b, image, (depth,))
        b.max_pool(x, (3, 3), stride=(2, 2), padding=(1, 1, 1, 1))
        b.max_pool(x, (2, 3), stride=pair(b, 1, 3), padding=pads(b, (2, 3)))
        b.max_pool(x, (3, 2), stride=pair(b, 1, 2), padding=(2, 1, 1, 1), dilation=(2, 3))
        b.avg_pool(x, (9, 11), bits=(8, 32, 4))
        b.avg_pool(x, (3, 3), stride=(2, 2), padding=(1, 1, 1, 1), counted=(1, 1, 1, 1))
        b.avg_pool(x, (2, 4), stride=(2, 3), padding=(1, 2, 1, 3), counted=(0, 1, 1, 2))
    b.max_pool(b.conv(x, 20, (3, 3), bits=(32,)), (3, 3), stride=(2, 2), padding=(1, 1, 0, 0))
    return finish(b, x, "pools")


def moves(seed: int) -> Case:
    """Concat, pad, slice, reshape: values only change place."""
    b, image = start(seed)
    x = image
    for depth in some(b, 1, (3, 16, 37)):
        (x,) = maps(b, image, (depth,))
        y = b.max_pool(x, (3, 3), stride=(1, 1), padding=(1, 1, 1, 1))
        joined = b.concat(x, y, x)
        b.conv(joined, 24, (3, 3))
        padded = b.pad(x, (int(b.rng.integers(20)), 3), (1, 0, 2, 3))
        b.conv(padded, 24, (3, 3))
        b.slice(x, (0, 0, 0), (9, 11, depth), (2, 2, 1))
        b.slice(x, (1, 2, 1), (8, 11, depth), (3, 1, 2))
        part = b.slice(x, (0, 3, 0), (9, 4, depth), (1, 1, 1))
        b.slice(b.flatten(part), (2,), (9 * depth,), (1,))
        b.conv(b.reshape(x, (11, 3, 3 * depth)), 8, (3, 3))
        b.linear(b.flatten(x), 12)
        raw = b.conv(x, depth, (3, 3), bits=(32,))
        b.concat(raw, raw)
        b.slice(raw, (0, 1, 0), (9, 11, depth), (2, 3, 1))
        b.linear(b.reshape(b.slice(x, (0, 0, 0), (9, 11, 2), (1, 1, 1)), (198,)), 3)
    return finish(b, x, "moves")


def sharing(seed: int) -> Case:
    """Sums that overwrite an operand, on maps that tiles do not divide, and concatenations written in place."""
    b, image = start(seed)
    b.zero_point = 5
    a = b.affine(image, signed=False)
    none, ring = (0, 0, 0, 0), (1, 1, 1, 1)
    x = b.conv(a, 40, signed=False)
    y = b.conv(b.conv(x, 24), 40, addend=x, weight_bits=4, signed=False)
    y = b.conv(b.conv(y, 24), 40, (1, 1), padding=none, addend=y, signed=False)
    wide = b.conv(a, 40, bits=(16, 8))
    narrow = writes(b.ops[-1])[1]
    both = b.conv(narrow, 40, bits=(16, 8), addend=wide)
    y = b.add(b.add(y, both), b.conv(both, 40, bits=(8,)))
    parts = [
        b.conv(y, channels, (size, size), padding=padding, signed=False)
        for channels, size, padding in ((32, 1, none), (16, 3, ring), (20, 3, ring), (7, 1, none))
    ]
    z = b.conv(parts[1], 16, (3, 3), signed=False)
    inner = b.concat(*parts)
    first = b.max_pool(z, (3, 3), stride=(1, 1), padding=(1, 1, 1, 1))
    outer = b.concat(first, inner, first)
    z = b.conv(outer, 16, (3, 3))
    z = b.conv(inner, 16, (3, 3), stride=(2, 2))
    return finish(b, b.max_pool(outer, (2, 2), stride=(2, 2), padding=none), f"sharing {z}")


def affines(seed: int) -> Case:
    """Affine maps of pixels and of stored tensors, and images read without one."""
    b, image = start(seed, (7, 10, 3))
    for bits in (8, 8, 5, 32):
        b.affine(image, bits=bits)
    wide = b.conv(b.affine(image), 16, (3, 3), stride=(2, 2))
    for depth in (3, 16, 50):
        (x,) = maps(b, image, (depth,))
        for bits in (8, 4, 32):
            b.affine(x, bits=bits)
    return finish(b, wide, "affines")


def linears(seed: int) -> Case:
    """Linear layers of vectors and of flattened maps."""
    b, image = start(seed, (4, 3, 20))
    x = b.affine(image)
    flat = b.flatten(x)
    b.linear(flat, 240, addend=flat)
    for features in (1, 16, 40, 200):
        h = b.linear(flat, features, weight_bits=int(b.rng.integers(1, 9)))
        b.linear(h, 33, bits=(8, 32))
    return finish(b, x, "linears")


def codes(seed: int) -> Case:
    """An image that convolutions read as it is."""
    b, image = start(seed, (8, 8, int(np.random.default_rng(seed).integers(1, 20))))
    x = b.conv(image, 16, (3, 3))
    b.conv(image, 16, (3, 3), stride=(2, 2), padding=(0, 0, 1, 1))
    return finish(b, x, "codes")


def extremes(seed: int) -> Case:
    """The largest weights on the largest inputs: the widest sums that a layer of this depth can have."""
    b, image = start(seed, (6, 6, 64))
    xs = [image, b.max_pool(image, (1, 1), stride=(1, 1), padding=(0, 0, 0, 0))]
    for x, sign in zip(xs, (1, -1), strict=True):
        for bits in (8, 4, 1):
            b.constant = sign * width.weight_range(bits)[1]
            b.conv(x, 16, (3, 3), weight_bits=bits, bits=(32, 8))
            b.conv(x, 64, (3, 3), groups=64, weight_bits=bits, bits=(32, 8))
            b.linear(b.flatten(x), 16, weight_bits=bits, bits=(32, 8))
    b.constant = None
    return finish(b, xs[0], "extremes")


FAMILIES: dict[str, Callable[[int], Case]] = {
    "dense": dense,
    "tiles": tiles,
    "windows": windows,
    "grouped": grouped,
    "depthwise": depthwise,
    "residual": residual,
    "wide residual": wide_residual,
    "affine weights": affine_weights,
    "group weights": group_weights,
    "short sums": short_sums,
    "halves": halves,
    "pools": pools,
    "moves": moves,
    "sharing": sharing,
    "affines": affines,
    "linears": linears,
    "codes": codes,
    "extremes": extremes,
}


def network(seed: int) -> Case:
    """A network of random operators, each on a random earlier tensor, so that buffers are shared and reused."""
    b, image = start(seed, (10, 9, 3))
    found = [b.affine(image)]
    for _ in range(10):
        x = str(b.rng.choice(found[-3:]))
        height, width, depth = b.tensors[x].shape
        kernel = min(height, 3), min(width, 3)
        match int(b.rng.integers(7)):
            case 0:
                y = b.max_pool(x, kernel, stride=(1, 2), padding=(0, 0, 0, 0))
            case 1:
                y = b.avg_pool(x, kernel, stride=(2, 1), padding=(1, 0, 0, 1))
            case 2:
                y = b.conv(x, depth, kernel, padding=(1, 1, 1, 1), groups=depth)
            case 3:
                same = [t for t in found if b.tensors[t].shape == b.tensors[x].shape]
                y = b.add(x, str(b.rng.choice(same)))
            case 4:
                same = b.conv(x, depth, (1, 1), padding=(0, 0, 0, 0), weight_bits=4)
                y = b.conv(x, depth, (1, 1), padding=(0, 0, 0, 0), addend=same)
            case 5:
                y = b.concat(x, x) if depth < 100 else b.affine(x)
            case _:
                channels = int(b.rng.integers(1, 80))
                y = b.conv(x, channels, kernel, stride=pair(b, 1, 2), padding=(1, 1, 0, 1))
        found.append(y)
    return finish(b, found[-1], "network")
