"""Dyadic numbers ``m / 2**s`` and the one rounding rule.

    R(v)    = (int64(v)·m + 2^(s−1)) >> s          arithmetic shift: ties go up, −2.5 → −2 and 2.5 → 3
    RQ(acc) = clamp(z + R(acc), lo, hi)

``m`` is normalised to ``[2^30, 2^31)``, so a ratio ``r`` in ``[2^−32, 2^30)`` is met with a relative error of at most
``2^−31`` (Jacob et al., arXiv 1712.05877, section 2.2; HAWQ-V3, arXiv 2011.10680, section 3.1). Smaller ratios keep
``s = 62`` and a smaller ``m``.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt

Int64 = npt.NDArray[np.int64]
IntArray = npt.NDArray[np.integer[Any]]

MULTIPLIER_BITS = 31
"""``m < 2^31``: a 32-bit accumulator times ``m`` stays within 63 bits."""
MULTIPLIER_LIMIT = 1 << MULTIPLIER_BITS
MAX_SHIFT = 62
OPERAND_BITS = 8
"""Up to this width a stored operand is scaled by one 32-bit multiply."""
OPERAND_MULTIPLIER_BITS = 22
"""``m < 2^22``: a stored operand of at most 8 bits (``|q − z| <= 255``) times ``m`` plus ``2^29`` stays below 2^31."""
OPERAND_MAX_SHIFT = 30
DIRECT_SHIFT = 31
"""From this shift on the ratio is below 1, so that the result of a 32-bit value needs no proof of its own."""


class RatioTooLargeError(ValueError):
    """A ratio that no multiplier and shift of at least 1 can express: a scale ratio of 2^20 or 2^30 and more."""


@dataclass(frozen=True, slots=True)
class Dyadic:
    """``multiplier / 2**shift``."""

    multiplier: int
    shift: int

    @property
    def value(self) -> Fraction:
        """Return the number itself."""
        return Fraction(self.multiplier, 1 << self.shift)

    @property
    def error(self) -> Fraction:
        """Return a bound on the distance to the ratio it was chosen for: half a unit of the multiplier."""
        return Fraction(1, 1 << (self.shift + 1))


def choose(ratio: Fraction | float, *, max_shift: int = MAX_SHIFT) -> Dyadic:
    """Return the dyadic number nearest to ``ratio`` with ``|m| < 2^31`` and ``1 <= s <= 62``.

    Args:
        ratio: an exact fraction, or a float64 taken at its exact value. Negative only for affine maps.
        max_shift: at most 62; less where an offset at the same shift has to fit int64 too.

    Raises:
        RatioTooLargeError: ``|ratio|`` is 2^30 or more.
    """
    return _choose(Fraction(ratio), MULTIPLIER_BITS, max_shift)


def choose_operand(ratio: Fraction | float, bits: int = 8) -> Dyadic:
    """Return the dyadic number nearest to ``ratio`` for a stored operand of a residual addition.

    Up to 8 bits ``m < 2^22`` and ``1 <= s <= 30``: one 32-bit multiply. A wider operand has room for more digits than
    those, and takes the general form of ``choose``.

    Raises:
        RatioTooLargeError: ``ratio`` is 2^21 or more; 2^30 for an operand of more than 8 bits.
    """
    if bits > OPERAND_BITS:
        return choose(ratio)
    return _choose(Fraction(ratio), OPERAND_MULTIPLIER_BITS, OPERAND_MAX_SHIFT)


def choose_all(ratios: Iterable[Fraction]) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.uint8]]:
    """Return multipliers (int32 ``[n]``) and shifts (uint8 ``[n]``), one pair per ratio."""
    chosen = [choose(ratio) for ratio in ratios]
    multipliers = np.array([d.multiplier for d in chosen], dtype=np.int32)
    return multipliers, np.array([d.shift for d in chosen], dtype=np.uint8)


def _choose(ratio: Fraction, multiplier_bits: int, max_shift: int) -> Dyadic:
    if ratio == 0:
        return Dyadic(0, max_shift)
    shift = min(multiplier_bits - 1 - _floor_log2(abs(ratio)), max_shift)
    if shift < 1:
        raise RatioTooLargeError(f"the ratio {float(ratio):.6g} needs a shift of {shift}")
    multiplier = round(ratio * (1 << shift))
    if abs(multiplier) == 1 << multiplier_bits:
        multiplier //= 2
        shift -= 1
    if shift < 1:
        raise RatioTooLargeError(f"the ratio {float(ratio):.6g} needs a shift of {shift}")
    return Dyadic(multiplier, shift)


def _floor_log2(ratio: Fraction) -> int:
    guess = ratio.numerator.bit_length() - ratio.denominator.bit_length()
    return guess if Fraction(2) ** guess <= ratio else guess - 1


def apply(value: IntArray, multiplier: IntArray | int, shift: IntArray | int) -> Int64:
    """Return ``R(value)``, elementwise with broadcasting: THE rounding rule.

    Args:
        value: integers with ``|value·m| < 2^62``, which every proven accumulator satisfies.
        multiplier: ``|m| < 2^31``.
        shift: ``1 <= s <= 62``.
    """
    s = np.asarray(shift, dtype=np.int64)
    scaled = np.multiply(value, np.asarray(multiplier, dtype=np.int64), dtype=np.int64)
    scaled += np.left_shift(np.int64(1), s - 1)
    scaled >>= s
    return scaled


def apply_exact(value: int, multiplier: int, shift: int) -> int:
    """Return ``R(value)`` in unbounded integers: what ``apply`` has to equal, and what the proofs use."""
    return (value * multiplier + (1 << (shift - 1))) >> shift


def result_bound(bound: int, multiplier: int, shift: int) -> int:
    """Return the largest ``|R(v)|`` over ``|v| <= bound``: ``R`` is monotone, so the ends decide."""
    return max(
        abs(apply_exact(bound, multiplier, shift)), abs(apply_exact(-bound, multiplier, shift))
    )
