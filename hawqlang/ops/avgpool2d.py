"""Average pooling: ``R`` of ``Σ(q − z)`` with ``1/n`` inside the dyadic number; no division."""

from __future__ import annotations

from typing import Literal

from hawqlang.base import Frozen
from hawqlang.ops.stores import Store


class AvgPool2d(Frozen):
    """One dyadic number per distinct window population ``n`` (borders, ceil mode)."""

    op: Literal["avg_pool2d"] = "avg_pool2d"
    name: str
    x: str
    kernel: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int, int, int]
    counted: tuple[int, int, int, int]
    """The part of ``padding`` that counts as zeros in ``n``."""
    populations: tuple[int, ...]
    """Distinct ``n``, ascending; each store's multipliers and shifts are in this order."""
    stores: tuple[Store, ...]
