"""The range that weights are quantized in, row by row: a row is what shares one scale."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, assert_never

import numpy as np
import numpy.typing as npt

from hawqlang.ir.spec import Automatic, Ema, Entropy, MinMax, Mse, Percentile, Range

Float64 = npt.NDArray[np.float64]
Ends = tuple[Float64, Float64]
"""The smallest and largest real value of each row."""

MSE_CANDIDATES = 80
"""Clipping ratios tried by the MSE search, equally spaced in ``(MSE_SMALLEST, 1]``."""

MSE_SMALLEST = 0.2

MSE_ROUNDS = 2
"""Alternations between the two ends of an affine range."""


def weight_range(
    rows: Float64, bits: int, method: Range, scheme: Literal["symmetric", "affine"]
) -> Ends:
    """Return the range of each row; it includes 0, and a symmetric one is centred there.

    Args:
        rows: ``(n, m)`` real weights.
        bits: Width, 2 to 16; only MSE depends on it.
        method: Extremes, a percentile of the values (of the magnitudes where symmetric) or least squared error.
        scheme: Of the grid.
    """
    if scheme == "symmetric":
        clip = _clip(np.abs(rows), rows, 2 ** (bits - 1) - 1, method)
        return -clip, clip
    low = np.minimum(rows.min(axis=1), 0.0)
    high = np.maximum(rows.max(axis=1), 0.0)
    match method:
        case MinMax():
            return low, high
        case Percentile():
            p = float(method.p)
            least = np.quantile(rows, 1 - p, axis=1, method="lower")
            most = np.quantile(rows, p, axis=1, method="higher")
            return np.minimum(least, 0.0), np.maximum(most, 0.0)
        case Mse():
            return _affine_mse(rows, low, high, bits)
        case Entropy() | Ema() | Automatic():
            raise _unknown(method)
        case _:
            assert_never(method)


def affine_grid(low: Float64, step: Float64, bits: int) -> npt.NDArray[np.int64]:
    """Return the zero points of ranges that begin at ``low``: ``clamp(round(q_min - low/step))``, q signed."""
    half = 2 ** (bits - 1)
    return np.clip(np.rint(-half - low / step), -half, half - 1).astype(np.int64)


def _clip(magnitude: Float64, rows: Float64, limit: int, method: Range) -> Float64:
    """Return the magnitude that maps to ``limit``, for each row."""
    match method:
        case MinMax():
            return magnitude.max(axis=1)
        case Percentile():
            return np.quantile(magnitude, float(method.p), axis=1, method="higher")
        case Mse():
            return _mse_clip(rows, magnitude.max(axis=1), limit)
        case Entropy() | Ema() | Automatic():
            raise _unknown(method)
        case _:
            assert_never(method)


def _unknown(method: Range) -> ValueError:
    return ValueError(f"weights have no range method {method.kind}")


def _mse_clip(rows: Float64, largest: Float64, limit: int) -> Float64:
    """Return the clip of each row that minimises ``Σ(Q(w) - w)²``, by a search over ratios."""

    def error(ratio: float) -> Float64:
        scale = np.where(largest > 0, largest * ratio / limit, 1.0)[:, None]
        return np.square(np.clip(np.rint(rows / scale), -limit, limit) * scale - rows).sum(axis=1)

    return largest * _best_ratio(error, len(rows))


def _affine_mse(rows: Float64, low: Float64, high: Float64, bits: int) -> Ends:
    """Return the ends of each row that minimise ``Σ(Q(w) - w)²``: both together, then each in turn."""
    half = 2 ** (bits - 1)

    def error(least: Float64, most: Float64) -> Float64:
        width = most - least
        step = np.where(width > 0, width, 1.0)[:, None] / (2 * half - 1)
        zero = affine_grid(least[:, None], step, bits)
        q = np.clip(np.rint(rows / step) + zero, -half, half - 1)
        return np.square((q - zero) * step - rows).sum(axis=1)

    both = _best_ratio(lambda ratio: error(low * ratio, high * ratio), len(rows))
    least, most = low * both, high * both
    for _ in range(MSE_ROUNDS):
        fixed = least
        most = high * _best_ratio(lambda ratio, a=fixed: error(a, high * ratio), len(rows))
        fixed = most
        least = low * _best_ratio(lambda ratio, b=fixed: error(low * ratio, b), len(rows))
    return least, most


def _best_ratio(error: Callable[[float], npt.NDArray[np.floating[Any]]], count: int) -> Float64:
    """Return, for each row, the ratio of least error; of equal ones the largest."""
    best = np.ones(count)
    least = np.full(count, np.inf)
    for ratio in np.linspace(1.0, MSE_SMALLEST, MSE_CANDIDATES, endpoint=False):
        found = error(float(ratio))
        better = found < least
        least = np.where(better, found, least)
        best = np.where(better, ratio, best)
    return best
