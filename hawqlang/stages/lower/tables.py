"""The entries of tables: a function at every code of its input, as codes of its result.

    entry[q] = clamp(z_y + floor(f(s_x·(q − z_x)) / s_y + 1/2), lo, hi)

Scales are taken at their exact values and ``f`` as :mod:`hawqlang.arith.functions` says, so that entries depend on no
machine. Ties go up, as everywhere.
"""

from __future__ import annotations

from fractions import Fraction
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from hawqlang.arith import functions
from hawqlang.arith.functions import Function
from hawqlang.ir.graph import Table
from hawqlang.stages.lower.draft import Draft, scale_of
from hawqlang.stages.quantize import QuantParams

Clamp = tuple[int, int]
"""Smallest and largest code of a result."""


def table_entries(
    draft: Draft, node: Table, x: QuantParams, y: QuantParams, clamp: Clamp
) -> npt.NDArray[np.int32]:
    """Return codes ``(1, 2^b)``, or ``(C, 2^b)`` in stored order where channels differ, from ``qmin`` on."""
    half, scale = Fraction(1, 2), scale_of(y)
    low, high = clamp
    rows = [
        [min(max(y.zero_point + (v / scale + half).__floor__(), low), high) for v in row]
        for row in _values(draft, node, x)
    ]
    return np.array(rows, np.int32)


def table_reach(draft: Draft, node: Table, x: QuantParams) -> Fraction:
    """Return the largest ``|f|`` over the codes of its input."""
    return max(abs(v) for row in _values(draft, node, x) for v in row)


def _values(draft: Draft, node: Table, x: QuantParams) -> list[tuple[Fraction, ...]]:
    """Return ``f`` at every code, one row per table."""
    if node.slope is None:
        return [_row(node.function, x, None)]
    slopes = draft.request.parameter(node.slope)
    order = draft.orders.get(node.output)
    slopes = slopes if order is None else slopes[list(order)]
    return [_row(node.function, x, Fraction(float(p))) for p in slopes]


@lru_cache(maxsize=4096)
def _row(function: Function, x: QuantParams, p: Fraction | None) -> tuple[Fraction, ...]:
    codes = range(x.qmin, x.qmax + 1)
    return tuple(functions.value(function, scale_of(x) * (q - x.zero_point), p) for q in codes)
