"""What the lowering passes hand on: the request, and a program that gains numbers pass by pass."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt

from hawqlang.arith.width import INT32_MAX, INT32_MIN
from hawqlang.base import Precision
from hawqlang.cache import TensorStore
from hawqlang.ir.candidates import LayerSettings
from hawqlang.ir.graph import (
    Add,
    AvgPool2d,
    BatchNorm,
    Concat,
    Conv2d,
    Flatten,
    Graph,
    Linear,
    MaxPool2d,
    Multiply,
    Pad,
    Rearrange,
    Resample,
    Slice,
    Table,
    Take,
)
from hawqlang.ir.ranges import RangeTable
from hawqlang.ir.spec import Input
from hawqlang.ops import Addend, Op
from hawqlang.ops.window import populations
from hawqlang.stages.lower.entry import entry_params
from hawqlang.stages.lower.errors import missing_values
from hawqlang.stages.quantize import QuantizedWeight, QuantParams
from hawqlang.stages.structure import Form

Floats = npt.NDArray[np.floating[Any]]
Float64 = npt.NDArray[np.float64]
Int64 = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class LowerSettings:
    """What a build says about the integer program, beside precisions."""

    input: Input
    layers: Mapping[str, LayerSettings] = field(default_factory=dict[str, LayerSettings])
    """Of layers with weights; a layer that is absent has the defaults."""
    residual: int = 8
    """Bits of a stored tensor that an addition reads."""

    def layer(self, name: str) -> LayerSettings:
        """Return the settings of a layer, the defaults where it has none."""
        found = self.layers.get(name)
        return LayerSettings(layer=name, precision=()) if found is None else found


@dataclass(frozen=True, slots=True)
class Tuned:
    """Parameters that a correction or fine-tuning step decided on, by layer."""

    biases: Mapping[str, Floats] = field(default_factory=dict[str, Floats])
    """Real biases ``(OC,)`` instead of the graph's."""
    weights: Mapping[str, QuantizedWeight] = field(default_factory=dict[str, QuantizedWeight])
    """Integer weights in the graph's layout instead of rounding the graph's to nearest."""


@dataclass(frozen=True, slots=True)
class Request:
    """The arguments of ``lower``."""

    graph: Graph
    ranges: RangeTable
    precisions: Mapping[str, Precision]
    settings: LowerSettings
    tuned: Tuned
    store: TensorStore

    def parameter(self, name: str) -> Float64:
        """Return a parameter's values."""
        found = next(p for p in self.graph.parameters if p.name == name)
        if found.ref is None:
            raise missing_values(name)
        return np.asarray(self.store.get(found.ref), np.float64)


@dataclass(frozen=True, slots=True)
class Slot:
    """A stored tensor: what it holds, in whose range, how wide."""

    value: str
    """The graph's value it stands for."""
    root: str
    """The value whose range it takes."""
    bits: int
    """1 to 16; 32 for logits, residual operands that are never clipped, and partial sums."""
    low: float | None = None
    """A clamp of ``value`` that a later operator of the graph asks for and that was moved here."""
    high: float | None = None
    sum_bits: int | None = None
    """Of an int32 partial sum: the width of the sum at whose scale it is; the sum's range is that of ``root``."""


@dataclass(frozen=True, slots=True)
class Result:
    """One tensor that a step stores, clamped to ``[low, high]`` in real units before it is rounded."""

    slot: Slot
    low: float | None = None
    high: float | None = None
    addends: tuple[Slot, ...] = ()
    """Stored operands of a residual addition: both for an ``Add``, the other one for a convolution."""


Move = MaxPool2d | Flatten | Slice | Pad | Rearrange | Take
"""What computes nothing and reads one tensor."""
Worker = Conv2d | Linear | BatchNorm | Add | Concat | AvgPool2d | Table | Multiply | Resample | Move
"""Every operator of the graph but the clamp."""


@dataclass(frozen=True, slots=True)
class Step:
    """One node of the graph at work; ``None`` is the input's normalisation. Clamps are part of what they read."""

    node: Worker | None
    reads: tuple[Slot, ...]
    results: tuple[Result, ...]


@dataclass(frozen=True, slots=True)
class Terms:
    """Of affine and group weights: ``integers = (q − zero)·multiple``."""

    zero: Int64 | None
    """``(OC, groups)``."""
    multiple: Int64 | None
    """``(OC, groups)``."""
    group: npt.NDArray[np.int32] | None
    """Of each input channel, in stored order; ``None`` for one group."""


@dataclass(frozen=True, slots=True)
class IntegerLayer:
    """Integers of a layer with weights, channels in stored order."""

    q: npt.NDArray[np.integer[Any]]
    """Codes ``(OC, KH, KW, IC/groups)`` or ``(OF, IF)``."""
    integers: npt.NDArray[np.integer[Any]]
    """What is summed, as ``q``: the codes themselves unless they are affine or in groups."""
    terms: Terms | None
    bits: int
    scale: Float64
    """Of the weights, per output channel."""
    bias: Int64
    """Zero point of the input folded in; empty before ``absorb_bias``."""
    bound: Int64
    """Largest ``|acc|`` per output channel, bias included; empty before ``check_accumulators``."""


Order = tuple[int, ...]
"""``order[i]`` is the model's channel (or feature) that is stored as number ``i``."""


@dataclass(frozen=True, slots=True)
class Draft:
    """A program on its way."""

    request: Request
    steps: tuple[Step, ...] = ()
    """In execution order."""
    orders: Mapping[str, Order] = field(default_factory=dict[str, Order])
    """Of values that are not stored in the model's order."""
    forms: Mapping[Form, QuantParams] = field(default_factory=dict[Form, QuantParams])
    layers: Mapping[str, IntegerLayer] = field(default_factory=dict[str, IntegerLayer])
    int32_scales: Mapping[str, float] = field(default_factory=dict[str, float])
    """Of values stored at 32 bits, by the root of their range: the logits, residual operands."""
    names: Mapping[Slot, str] = field(default_factory=dict[Slot, str])
    addends: Mapping[tuple[Slot, Slot], Addend] = field(
        default_factory=dict[tuple[Slot, Slot], Addend]
    )
    """By stored sum and operand."""
    ops: tuple[Op, ...] = ()

    def params(self, slot: Slot) -> QuantParams:
        """Return how a slot is stored."""
        if slot == self.pixels:
            return entry_params(self.request.settings.input)
        if slot.sum_bits is not None:
            return _int32(self.params(replace(slot, bits=slot.sum_bits, sum_bits=None)).scale)
        if slot.bits == 32:
            return _int32(self.int32_scales[slot.root])
        return self.forms[Form(slot.root, slot.bits)]

    def slots(self) -> tuple[Slot, ...]:
        """Return every stored tensor in order of definition; the program's own input first."""
        first = (self.pixels,)
        return first + tuple(r.slot for step in self.steps for r in step.results)

    @property
    def pixels(self) -> Slot:
        """Return the program's input: uint8 pixels or codes."""
        return Slot(self.request.graph.input.name, "", 8)


def _int32(scale: float) -> QuantParams:
    return QuantParams(scale, 0, INT32_MIN, INT32_MAX, signed=True)


def scale_of(params: QuantParams) -> Fraction:
    """Return a scale at its exact value."""
    return Fraction(params.scale)


def largest(params: QuantParams) -> int:
    """Return ``max|q - z|`` over the values a type can hold."""
    return max(params.qmax - params.zero_point, params.zero_point - params.qmin)


def counts(draft: Draft, node: AvgPool2d) -> tuple[int, ...]:
    """Return the distinct numbers of elements that the windows of an average pool count, ascending."""
    _, height, wide = draft.request.graph.shape(node.x)
    windows = (node.kernel, node.stride, node.padding, node.counted)
    return tuple(int(n) for n in np.unique(populations((height, wide), *windows)))
