"""Max pooling on quantized values; padding never wins."""

from __future__ import annotations

from typing import Literal

from hawqlang.base import Frozen


class MaxPool2d(Frozen):
    """Input and output share scale, zero point and width."""

    op: Literal["max_pool2d"] = "max_pool2d"
    name: str
    x: str
    output: str
    kernel: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int, int, int]
    dilation: tuple[int, int]
