"""Sliding windows over ``(N, H, W, C)`` maps: sizes and views shared by convolution and pooling."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from hawqlang.ops.frame import Array

Pair = tuple[int, int]
Pads = tuple[int, int, int, int]


def output_size(size: Pair, kernel: Pair, stride: Pair, padding: Pads, dilation: Pair) -> Pair:
    """Return ``(OH, OW)``; 0 or less where the window does not fit into the padded map."""
    top, left, bottom, right = padding
    tall = size[0] + top + bottom - dilation[0] * (kernel[0] - 1) - 1
    wide = size[1] + left + right - dilation[1] * (kernel[1] - 1) - 1
    return tall // stride[0] + 1, wide // stride[1] + 1


def pad(x: Array, padding: Pads, value: int) -> Array:
    """Return ``x`` with ``value`` around it."""
    top, left, bottom, right = padding
    return np.pad(x, ((0, 0), (top, bottom), (left, right), (0, 0)), constant_values=value)


def windows(x: npt.NDArray[Any], kernel: Pair, stride: Pair, dilation: Pair) -> npt.NDArray[Any]:
    """Return a view ``(N, OH, OW, KH, KW, C)`` of a padded map: every window, nothing copied."""
    extent = (dilation[0] * (kernel[0] - 1) + 1, dilation[1] * (kernel[1] - 1) + 1)
    view = np.lib.stride_tricks.sliding_window_view(x, extent, axis=(1, 2))
    strided = view[:, :: stride[0], :: stride[1], :, :: dilation[0], :: dilation[1]]
    return strided.transpose(0, 1, 2, 4, 5, 3)


def populations(
    size: Pair, kernel: Pair, stride: Pair, padding: Pads, counted: Pads
) -> npt.NDArray[np.int64]:
    """Return how many elements each window of an average pool counts: int64 ``(OH, OW)``.

    Elements of the map count, and of its padding those that lie within ``counted``.
    """
    out = output_size(size, kernel, stride, padding, (1, 1))
    extents: list[npt.NDArray[np.int64]] = []
    for axis in (0, 1):
        start = np.arange(out[axis], dtype=np.int64) * stride[axis] - padding[axis]
        stop = np.minimum(start + kernel[axis], size[axis] + counted[axis + 2])
        extents.append(np.maximum(stop - np.maximum(start, -counted[axis]), 0))
    return np.multiply.outer(extents[0], extents[1])
