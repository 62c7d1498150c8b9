"""Arithmetic of sliding windows: how many fit, and the padding that ceil mode and TensorFlow's SAME stand for."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from hawqlang.ir.graph import Pads

Pair = tuple[int, int]


def pair(value: int | Pair) -> Pair:
    """Return ``(value, value)`` for a number."""
    return (value, value) if isinstance(value, int) else value


def pads(value: int | Pads) -> Pads:
    """Return the same padding on every side for a number."""
    return (value, value, value, value) if isinstance(value, int) else value


def window_count(size: int, kernel: int, stride: int, dilation: int) -> int:
    """Return how many windows fit into ``size`` elements, padding included."""
    return (size - dilation * (kernel - 1) - 1) // stride + 1


def ceil_padding(size: int, window: tuple[int, int, int], before: int, after: int) -> int:
    """Return the padding after the last element that makes a ceil-mode pool a plain one.

    ``window`` is (kernel, stride, dilation). A window that would start in the padding after the data is dropped, as in
    PyTorch.
    """
    kernel, stride, dilation = window
    reach = dilation * (kernel - 1) + 1
    count = -((reach - size - before - after) // stride) + 1
    if (count - 1) * stride >= size + before:
        count -= 1
    return max(0, (count - 1) * stride + reach - size - before)


def uniform_windows(size: int, count: int) -> Pair | None:
    """Return kernel and stride of adaptive pooling along an axis; ``None`` where its windows are not all alike.

    Window ``i`` of ``count`` begins at ``floor(i · size / count)`` and ends before ``ceil((i + 1) · size / count)``.
    """
    if not 0 < count <= size:
        return None
    starts = [i * size // count for i in range(count)]
    kernels = {-(-(i + 1) * size // count) - start for i, start in enumerate(starts)}
    strides = {after - before for before, after in pairwise(starts)} or {size}
    if len(kernels) > 1 or len(strides) > 1:
        return None
    return kernels.pop(), strides.pop()


def same_padding(
    size: Sequence[int], kernel: Pair, stride: Pair, dilation: Pair = (1, 1), *, upper: bool = True
) -> Pads:
    """Return the padding that gives ``ceil(size / stride)`` windows, as TensorFlow's ``SAME``.

    Where it cannot be even, the extra element goes to the bottom and right (``upper``), else to the top and left.
    """
    totals = [
        max(0, (-(-n // s) - 1) * s + d * (k - 1) + 1 - n)
        for n, k, s, d in zip(size, kernel, stride, dilation, strict=True)
    ]
    (top, bottom), (left, right) = (
        (total // 2, total - total // 2) if upper else (total - total // 2, total // 2)
        for total in totals
    )
    return (top, left, bottom, right)
