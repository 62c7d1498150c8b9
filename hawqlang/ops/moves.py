"""Operators that move values and compute nothing: concat, pad, slice, reshape. Scale, zero point, width are kept."""

from __future__ import annotations

from typing import Literal

from hawqlang.base import Frozen


class Concat(Frozen):
    """Concatenation along channels; every input already has the output's scale."""

    op: Literal["concat"] = "concat"
    name: str
    inputs: tuple[str, ...]
    output: str


class Pad(Frozen):
    """Padding of an ``(H, W, C)`` tensor with its zero point."""

    op: Literal["pad"] = "pad"
    name: str
    x: str
    output: str
    channels: tuple[int, int]
    padding: tuple[int, int, int, int]


class Slice(Frozen):
    """``x[start:stop:step]`` on every axis, in the program's HWC order."""

    op: Literal["slice"] = "slice"
    name: str
    x: str
    output: str
    start: tuple[int, ...]
    stop: tuple[int, ...]
    step: tuple[int, ...]


class Reshape(Frozen):
    """The same elements in the same (HWC) order under another shape."""

    op: Literal["reshape"] = "reshape"
    name: str
    x: str
    output: str
