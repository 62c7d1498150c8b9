"""Integer ranges: what a type holds, what an accumulator can reach, the smallest type that is wide enough.

    |acc[c]| <= |bias[c]| + Σ|w[c]|·max|x|

holds for every input and every order of partial sums, so it is the certificate, not an estimate (A2Q, arXiv
2308.13504, section 3, states the same bound as a condition on ``‖w‖₁``).
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

IntArray = npt.NDArray[np.integer[Any]]
Int64 = npt.NDArray[np.int64]
Accumulator = Literal["int16", "int24", "int32"]

INT32_MIN = -(2**31)
INT32_MAX = 2**31 - 1

LIMITS: dict[Accumulator, int] = {"int16": 2**15 - 1, "int24": 2**23 - 1, "int32": INT32_MAX}
"""Largest magnitude of each accumulator type, narrowest first."""


def type_range(bits: int, *, signed: bool) -> tuple[int, int]:
    """Return the smallest and largest value of ``bits``-wide integers."""
    if signed:
        return -(1 << (bits - 1)), (1 << (bits - 1)) - 1
    return 0, (1 << bits) - 1


def weight_range(bits: int) -> tuple[int, int]:
    """Return the symmetric range of ``bits``-wide weights: ``±(2^(b−1) − 1)``, and ``±1`` for one bit."""
    largest = max((1 << (bits - 1)) - 1, 1)
    return -largest, largest


def level_bits(levels: Collection[int]) -> int:
    """Return the fewest weight bits that hold all levels; 1 for ``{-1, 1}`` alone."""
    if set(levels) == {-1, 1}:
        return 1
    return max(1, *(abs(level) for level in levels)).bit_length() + 1


def largest_magnitude(bits: int, *, signed: bool) -> int:
    """Return ``max|x|`` of ``bits``-wide integers."""
    low, high = type_range(bits, signed=signed)
    return max(-low, high)


def storage_dtype(bits: int, *, signed: bool) -> np.dtype[np.integer[Any]]:
    """Return the NumPy type that holds one value of a tensor: 8 or 16 bits of its sign, int32 for 32."""
    if bits > 16:
        return np.dtype(np.int32)
    if bits > 8:
        return np.dtype(np.int16) if signed else np.dtype(np.uint16)
    return np.dtype(np.int8) if signed else np.dtype(np.uint8)


def saturate(value: IntArray, low: int, high: int) -> IntArray:
    """Return ``min(max(value, low), high)``."""
    return np.clip(value, low, high)


def accumulator_bound(
    weights: IntArray, bits: int, *, signed: bool, bias: IntArray | None = None
) -> Int64:
    """Return per output channel the largest ``|acc|`` over all inputs and all orders of partial sums.

    Args:
        weights: quantized, output channels first; the other axes are what one accumulator sums over.
        bits: width of the input tensor.
        signed: of the input tensor.
        bias: int32 per output channel, where it is added into the accumulator.
    """
    rows = np.abs(weights.astype(np.int64)).reshape(weights.shape[0], -1).sum(axis=1)
    bound = rows * largest_magnitude(bits, signed=signed)
    return bound if bias is None else bound + np.abs(bias.astype(np.int64))


def smallest_accumulator(bound: int) -> Accumulator | None:
    """Return the narrowest accumulator that holds ``±bound``; ``None`` where none does."""
    return next((name for name, limit in LIMITS.items() if bound <= limit), None)
