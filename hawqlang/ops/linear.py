"""Fully connected layer: int32 accumulation over the input flattened in HWC order, then ``Store``."""

from __future__ import annotations

from typing import Literal

from hawqlang.base import Frozen, TensorRef
from hawqlang.ops.stores import Store


class Linear(Frozen):
    """``acc[of] = bias[of] + Σ w·q_x``; weights are permuted at compile time from the model's CHW order to HWC."""

    op: Literal["linear"] = "linear"
    name: str
    x: str
    weight: TensorRef
    """Packed at ``weight_bits``; unpacked int8 ``(OF, IF)``."""
    weight_bits: int
    weight_shape: tuple[int, int]
    bias: TensorRef
    """int32 ``(OF,)``, the zero point folded in."""
    stores: tuple[Store, ...]
