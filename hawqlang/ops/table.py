"""Table: any function of one stored tensor of at most 8 bits, entry by entry.

y = table[q − q_min]      or      y = table[c][q − q_min]
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import numpy as np

from hawqlang.base import Frozen, TensorRef
from hawqlang.ops.frame import Array, Frame, Shape

WIDEST = 8
"""Bits of the widest input."""


class Table(Frozen):
    """One reader width of an elementwise function; a clamp after it is part of the entries."""

    op: Literal["table"] = "table"
    name: str
    x: str
    output: str
    table: TensorRef
    """int32 ``(1, 2^b)``, or ``(C, 2^b)`` where channels differ: codes of the output, the first for ``q_min``."""


def reads(op: Table) -> tuple[str, ...]:
    """Return the tensors that ``op`` reads."""
    return (op.x,)


def writes(op: Table) -> tuple[str, ...]:
    """Return the tensors that ``op`` writes."""
    return (op.output,)


def shapes(op: Table, frame: Frame) -> dict[str, Shape]:
    """Return the shape of the result: that of the input."""
    return {op.output: frame.tensors[op.x].shape}


def problems(op: Table, frame: Frame) -> Iterator[str]:
    """Yield what makes ``op`` illegal."""
    x, output, table = frame.tensors[op.x], frame.tensors[op.output], frame.constant(op.table)
    if x.bits > WIDEST:
        yield f"{x.name} is wider than {WIDEST} bits"
    elif table.shape not in ((1, 1 << x.bits), (x.shape[-1], 1 << x.bits)):
        yield f"a table of {table.shape} does not fit {x.bits} bits and {x.shape[-1]} channels"
    low, high = output.range
    if not low <= int(table.min()) <= int(table.max()) <= high:
        yield f"entries {table.min()}..{table.max()} are not within [{low}, {high}]"


def evaluate(op: Table, frame: Frame) -> dict[str, Array]:
    """Return the entry of every element."""
    x, table = frame.tensors[op.x], frame.constant(op.table)
    index = frame.arrays[op.x].astype(np.intp) - x.range[0]
    channel = np.arange(x.shape[-1], dtype=np.intp) % table.shape[0]
    return {op.output: table[channel, index].astype(frame.tensors[op.output].dtype)}
