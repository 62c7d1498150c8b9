"""Residual addition of two stored tensors (one that follows a convolution is a ``Store`` of the convolution)."""

from __future__ import annotations

from typing import Literal

from hawqlang.base import Frozen
from hawqlang.ops.stores import Addend


class AddStore(Frozen):
    """``y = clamp(zero_point + R(a) + R(b), lo, hi)``."""

    output: str
    a: Addend
    b: Addend
    zero_point: int
    lo: int
    hi: int


class Add(Frozen):
    """Elementwise sum; the operands' names stand in every store's addends, since widths may differ."""

    op: Literal["add"] = "add"
    name: str
    stores: tuple[AddStore, ...]
