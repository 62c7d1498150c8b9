"""Per-channel affine requantization of a stored tensor: the input's normalisation, unfolded batch norm, clamps.

y = clamp(zero_point + ((int64(q)·m[c] + add[c]) >> s[c]), lo, hi)
"""

from __future__ import annotations

from typing import Literal

from hawqlang.base import Frozen, TensorRef


class Affine(Frozen):
    """One reader width of an affine map; ``−2^31 < m < 2^31``."""

    op: Literal["affine"] = "affine"
    name: str
    x: str
    output: str
    multiplier: TensorRef
    """int32 ``(C,)`` or ``(1,)``."""
    shift: TensorRef
    """uint8, as ``multiplier``."""
    add: TensorRef
    """int64, as ``multiplier``: offset, zero point of ``x`` and rounding constant."""
    zero_point: int
    lo: int
    hi: int
