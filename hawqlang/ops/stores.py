"""How an operator's int32 value becomes a stored tensor: requantization with an optional second addend.

    y = clamp(zero_point + R(acc) + A, lo, hi)            R(v) = (int64(v)·m + 2^(s−1)) >> s

``A`` is 0, or ``R`` of a stored operand ``q − z`` with its own ``(m, s)``, or an int32 tensor already at y's scale.
"""

from __future__ import annotations

from hawqlang.base import Frozen, TensorRef

INT32_MIN = -(2**31)
INT32_MAX = 2**31 - 1


class Addend(Frozen):
    """The second operand of a residual addition.

    ``multiplier`` and ``shift`` scale a stored operand of at most 8 bits (``m < 2^22``, ``1 <= s <= 30``: one 32-bit
    multiply). An int32 operand is at y's scale already and has ``multiplier = 1``, ``shift = 0``, ``zero_point = 0``.
    """

    x: str
    zero_point: int
    multiplier: int
    shift: int


class Store(Frozen):
    """One stored result. A tensor whose readers want different widths has one ``Store`` per width."""

    output: str
    multiplier: TensorRef
    """int32 ``[n]``, ``0 <= m < 2^31``; ``n`` is the channels, or 1 (or window populations for average pooling)."""
    shift: TensorRef
    """uint8 ``[n]``, ``1 <= s <= 62``."""
    zero_point: int
    lo: int
    hi: int
    addend: Addend | None = None
