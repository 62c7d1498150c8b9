"""IntegerProgram: integer operators from uint8 pixels to int32 logits. No field of it is a float.

Tensors are ``(H, W, C)`` or ``(F,)`` without the batch axis, NHWC in memory. A tensor of ``bits``
up to 16 holds
``[0, 2^bits − 1]`` where unsigned, else ``[−2^(bits−1), 2^(bits−1) − 1]``; 32 bits are plain int32.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from hawqlang.base import Frozen
from hawqlang.ops import (
    Add,
    Affine,
    AvgPool2d,
    Concat,
    Conv2d,
    Linear,
    MaxPool2d,
    Multiply,
    Pad,
    QTensor,
    Rearrange,
    Resample,
    Reshape,
    Slice,
    Table,
    Take,
)

__all__ = ["Bound", "IntegerOp", "IntegerProgram", "QTensor"]

IntegerOp = Annotated[
    Affine
    | Conv2d
    | Linear
    | Add
    | MaxPool2d
    | AvgPool2d
    | Concat
    | Pad
    | Slice
    | Reshape
    | Table
    | Multiply
    | Rearrange
    | Take
    | Resample,
    Field(discriminator="op"),
]


class Bound(Frozen):
    """Proof that an accumulator fits: ``largest`` bounds ``|acc|`` over all inputs and orders of partial sums."""

    op: str
    channel: int
    """The worst channel."""
    largest: int
    limit: int


class IntegerProgram(Frozen):
    """A whole network. ``input`` is uint8 ``(H, W, C)`` pixels (RGB) or codes, ``output`` int32 logits ``(F,)``."""

    name: str
    input: str
    output: str
    tensors: tuple[QTensor, ...]
    ops: tuple[IntegerOp, ...]
    bounds: tuple[Bound, ...]

    def tensor(self, name: str) -> QTensor:
        """Return the tensor called ``name``."""
        return next(t for t in self.tensors if t.name == name)
