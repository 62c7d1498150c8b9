"""The arithmetic contract in plain Python integers and loops: slow, and too simple to be wrong."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Pads = tuple[int, int, int, int]
Pair = tuple[int, int]


def rescale(value: int, m: int, s: int) -> int:
    return (value * m + 2 ** (s - 1)) // 2**s


def clamp(value: int, lo: int, hi: int) -> int:
    return min(max(value, lo), hi)


def size(extent: int, kernel: int, stride: int, pads: int, dilation: int) -> int:
    return (extent + pads - (dilation * (kernel - 1) + 1)) // stride + 1


def convolve(
    x: Ints,
    weight: Ints,
    bias: Sequence[int],
    zero: int,
    *,
    stride: Pair,
    padding: Pads,
    dilation: Pair,
    groups: int,
) -> Ints:
    """``x`` (H, W, C), ``weight`` (OC, KH, KW, C/groups): the accumulators (OH, OW, OC)."""
    height, wide, _ = x.shape
    channels, tall, broad, depth = weight.shape
    top, left, bottom, right = padding
    rows = size(height, tall, stride[0], top + bottom, dilation[0])
    columns = size(wide, broad, stride[1], left + right, dilation[1])
    result = np.zeros((rows, columns, channels), np.int64)
    for i, j, o in itertools.product(range(rows), range(columns), range(channels)):
        total = int(bias[o])
        group = o // (channels // groups)
        for a, b, c in itertools.product(range(tall), range(broad), range(depth)):
            row = i * stride[0] - top + a * dilation[0]
            column = j * stride[1] - left + b * dilation[1]
            inside = 0 <= row < height and 0 <= column < wide
            tap = int(x[row, column, group * depth + c]) if inside else zero
            total += int(weight[o, a, b, c]) * tap
        result[i, j, o] = total
    return result


def pool(
    x: Ints, kernel: Pair, stride: Pair, padding: Pads, dilation: Pair = (1, 1)
) -> list[list[list[tuple[list[int], int, int]]]]:
    """Per output row, column and channel: the elements of the window, and its first row and column."""
    height, wide, channels = x.shape
    top, left, bottom, right = padding
    rows = size(height, kernel[0], stride[0], top + bottom, dilation[0])
    columns = size(wide, kernel[1], stride[1], left + right, dilation[1])

    def window(i: int, j: int, c: int) -> tuple[list[int], int, int]:
        first_row, first_column = i * stride[0] - top, j * stride[1] - left
        taps = [
            int(x[first_row + a * dilation[0], first_column + b * dilation[1], c])
            for a, b in itertools.product(range(kernel[0]), range(kernel[1]))
            if 0 <= first_row + a * dilation[0] < height
            and 0 <= first_column + b * dilation[1] < wide
        ]
        return taps, first_row, first_column

    return [
        [[window(i, j, c) for c in range(channels)] for j in range(columns)] for i in range(rows)
    ]
