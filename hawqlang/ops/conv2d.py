"""Convolution, grouped and depthwise included: int32 accumulation, then ``Store``."""

from __future__ import annotations

from typing import Literal

from hawqlang.base import Frozen, TensorRef
from hawqlang.ops.stores import Store


class Conv2d(Frozen):
    """``acc[oc] = bias[oc] + Σ w·q_x``; a padded tap counts as the input's zero point."""

    op: Literal["conv2d"] = "conv2d"
    name: str
    x: str
    weight: TensorRef
    """Packed at ``weight_bits`` (see ``arith.pack``); unpacked int8 ``(OC, KH, KW, IC/groups)``."""
    weight_bits: int
    weight_shape: tuple[int, int, int, int]
    bias: TensorRef
    """int32 ``(OC,)``, the zero point folded in: ``bias − z_x · Σ q_w``."""
    stride: tuple[int, int]
    padding: tuple[int, int, int, int]
    """(top, left, bottom, right)."""
    dilation: tuple[int, int]
    groups: int
    stores: tuple[Store, ...]
