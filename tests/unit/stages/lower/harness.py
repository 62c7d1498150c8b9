"""Lowers small float networks and holds every operator of the result to the float network it came from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from hawqlang.base import Precision
from hawqlang.cache import TensorStore
from hawqlang.interpret import interpret
from hawqlang.ir.candidates import LayerSettings
from hawqlang.ir.check_integer import verify_program
from hawqlang.ir.graph import Graph
from hawqlang.ir.integer import IntegerProgram
from hawqlang.ir.operands import inputs
from hawqlang.ir.ranges import RangeTable, TensorRange
from hawqlang.ir.scales import ScaleTable, TensorScale
from hawqlang.ir.spec import ImageInput, Input
from hawqlang.ops import (
    Add,
    Addend,
    AddStore,
    Affine,
    AvgPool2d,
    Conv2d,
    Linear,
    Multiply,
    Op,
    Resample,
    Store,
    Table,
    reads,
    writes,
)
from hawqlang.stages.calibrate import input_interval
from hawqlang.stages.float_model import FloatModel, evaluate, preprocess
from hawqlang.stages.lower import PASSES, LowerSettings, Tuned, lower
from hawqlang.stages.lower.draft import Draft, Request
from hawqlang.stages.quantize import quantize_weight
from hawqlang.stages.structure import forms, layer_nodes, producers

W8A8 = Precision(wbits=8, abits=8)
Array = npt.NDArray[Any]


def image(height: int, wide: int, channels: int = 3, **more: Any) -> ImageInput:
    """An input with the usual kind of normalisation."""
    given: dict[str, Any] = {
        "mean": tuple(Fraction(45 + 3 * c, 100) for c in range(channels)),
        "std": tuple(Fraction(22 + c, 100) for c in range(channels)),
    }
    return ImageInput(height=height, width=wide, channels=channels, **(given | more))


def on_grid(graph: Graph, store: TensorStore, precisions: Mapping[str, Precision]) -> Graph:
    """Return the graph with weights that their precision represents exactly."""
    bits = {node.weight: precisions[node.name].wbits for node in layer_nodes(graph)}
    parameters = tuple(
        p
        if p.name not in bits or p.ref is None
        else p.replace(
            ref=store.put(quantize_weight(store.get(p.ref), bits[p.name]).real().astype(np.float32))
        )
        for p in graph.parameters
    )
    return graph.replace(parameters=parameters)


@dataclass(frozen=True)
class Lowered:
    """A program beside the network it came from, and samples for both."""

    graph: Graph
    program: IntegerProgram
    scales: ScaleTable
    store: TensorStore
    source: Input
    samples: Array
    draft: Draft

    def integers(self) -> dict[str, Array]:
        return interpret(self.program, self.store, self.samples, keep="all")

    def real_logits(self) -> Array:
        """What the float network says of the samples."""
        with torch.inference_mode():
            found = FloatModel(self.graph, self.store).forward(self.seen())
        return found.numpy().astype(np.float64)

    def seen(self) -> torch.Tensor:
        """The samples as the network sees them."""
        samples = self.samples
        if not isinstance(self.source, ImageInput) and samples.ndim == 4:
            samples = samples.transpose(0, 3, 1, 2)
        return preprocess(samples, self.source)

    def logits(self) -> Array:
        """The program's logits in real units."""
        return self.integers()[self.program.output] * self.scales.scale(self.program.output)

    def relative_error(self) -> float:
        """Root mean square of the logits' error over that of the logits."""
        real = self.real_logits()
        return float(np.sqrt(np.mean((self.logits() - real) ** 2) / np.mean(real**2)))

    def dequantized(self, arrays: Mapping[str, Array], tensor: str) -> torch.Tensor:
        """A stored tensor as the value it stands for, in the network's own axis and channel order."""
        row = next(s for s in self.scales.scales if s.tensor == tensor)
        real = (arrays[tensor].astype(np.float64) - row.zero_point) * row.scale
        real = real.transpose(0, 3, 1, 2) if real.ndim == 4 else real
        order = self.draft.orders.get(row.value)
        if order is not None:
            restored = np.empty_like(real)
            restored[:, list(order)] = real
            real = restored
        return torch.from_numpy(np.ascontiguousarray(real))

    def assert_every_operator_means_its_node(self) -> None:
        """Every stored tensor is within one step of the float operators applied to what its op reads."""
        arrays = self.integers()
        made_by = producers(self.graph)
        weights = {
            p.name: torch.from_numpy(np.array(self.store.get(p.ref), np.float64))
            for p in self.graph.parameters
            if p.ref is not None
        }
        named = {row.tensor: row for row in self.scales.scales}

        def real(value: str, known: dict[str, torch.Tensor]) -> torch.Tensor:
            if value not in known:
                node = made_by[value]
                sources = {name: real(name, known) for name in inputs(node)}
                known[value] = evaluate(node, sources, weights)
            return known[value]

        slots = {name: slot for slot, name in self.draft.names.items()}
        for op in self.program.ops:
            for name in writes(op):
                known = self._known(op, name, arrays, named)
                if isinstance(op, Conv2d | Linear):
                    own = next(node.output for node in self.graph.nodes if node.name == op.name)
                    x = {named[op.x].value: self.dequantized(arrays, op.x)}
                    known |= {own: real(own, x)}
                slot = slots[name]
                low = -np.inf if slot.low is None else slot.low
                high = np.inf if slot.high is None else slot.high
                wanted = real(slot.value, known).clip(low, high)
                self._assert_close(name, arrays, wanted, self._tolerance(op, name))

    def _known(
        self, op: Op, name: str, arrays: Mapping[str, Array], named: Mapping[str, TensorScale]
    ) -> dict[str, torch.Tensor]:
        """What one result of an operator is made of, by the value it stands for; not a layer's own input."""
        match _store(op, name):
            case Store(addend=Addend(x=x)):
                parts: tuple[str, ...] = (x,)
            case AddStore(a=a, b=b):
                parts = (a.x, b.x)
            case _:
                parts = () if isinstance(op, Conv2d | Linear) else reads(op)
        if isinstance(op, AvgPool2d | Multiply | Resample):
            parts = reads(op)
        if self.program.input in parts and self.program.input not in named:
            return {self.graph.input.name: self.seen().double()}
        return {named[part].value: self.dequantized(arrays, part) for part in parts}

    def _tolerance(self, op: Op, name: str) -> float:
        """Steps that a stored value may be off: half for each rounding, and the bias's own.

        A move is exact, but the end of a clamp that was moved before it is rounded.
        """
        store = _store(op, name)
        match store:
            case Store():
                m, s = self.store.get(store.multiplier), self.store.get(store.shift)
                bias = float((m / 2.0**s).max()) if isinstance(op, Conv2d | Linear) else 0.0
                return 0.5 + 0.5 * bias + (0.5 if store.addend else 0.0)
            case AddStore():
                return 1.0
            case Affine():
                return 0.5
            case None if isinstance(op, Table):
                return 0.5
            case None:
                clamps = any(node.op == "clamp" for node in self.graph.nodes)
                return 0.5 if clamps else 0.0

    def _assert_close(
        self, name: str, arrays: Mapping[str, Array], expected: torch.Tensor, steps: float
    ) -> None:
        tensor, scale = self.program.tensor(name), self.scales.scale(name)
        got = self.dequantized(arrays, name).numpy()
        low, high = ((end - tensor.zero_point) * scale for end in tensor.range)
        wanted = np.clip(expected.numpy(), low, high)
        off = np.abs(got - wanted).max() / scale
        allowed = steps + 0.01 + 1e-5 * np.abs(wanted).max() / scale
        assert off <= allowed, f"{name} is {off:.3f} steps off, not {allowed:.3f}"


def _store(op: Op, name: str) -> Store | AddStore | Affine | None:
    match op:
        case Conv2d() | Linear() | AvgPool2d() | Add() | Multiply() | Resample():
            return next(store for store in op.stores if store.output == name)
        case Affine():
            return op
        case _:
            return None


def ranges_of(
    graph: Graph,
    store: TensorStore,
    source: Input,
    seen: torch.Tensor,
    needed: set[tuple[str, int]],
) -> RangeTable:
    """Return exact ranges over the samples; the input's from its declaration."""
    roots = {root for root, _ in needed}
    with torch.inference_mode():
        run = FloatModel(graph, store).run(seen, keep=roots)
    rows: list[TensorRange] = []
    for root, bits in sorted(needed):
        low, high = (
            input_interval(source)
            if root == graph.input.name
            else (float(run.kept[root].min()), float(run.kept[root].max()))
        )
        row = TensorRange(tensor=root, bits=bits, low=min(low, 0.0), high=max(high, 0.0))
        rows.append(row)
    return RangeTable(ranges=tuple(rows), method="minmax", samples=seen.shape[0])


def lowered(
    net: tuple[Graph, TensorStore],
    source: Input | None = None,
    precisions: Mapping[str, Precision] | None = None,
    *,
    layers: Mapping[str, LayerSettings] | None = None,
    tuned: Tuned | None = None,
    count: int = 4,
    exact_weights: bool = True,
    residual: int = 8,
) -> Lowered:
    """Calibrate on random samples, lower and verify."""
    graph, store = net
    if source is None:
        channels, height, wide = graph.input.shape
        source = image(height, wide, channels)
    chosen = {node.name: W8A8 for node in layer_nodes(graph)} | dict(precisions or {})
    graph = on_grid(graph, store, chosen) if exact_weights else graph
    shape = graph.input.shape
    samples = np.random.default_rng(7).integers(
        0, 256, (count, *shape[1:], *shape[:1]), dtype=np.uint8
    )
    settings = LowerSettings(input=source, layers=layers or {}, residual=residual)
    part = Lowered.__new__(Lowered)
    object.__setattr__(part, "source", source)
    object.__setattr__(part, "samples", samples)
    abits = {name: precision.abits for name, precision in chosen.items()}
    needed = {
        (form.root, form.bits)
        for wanted in forms(graph, abits, residual).values()
        for form in wanted
        if form.bits < 32
    }
    table = ranges_of(graph, store, source, part.seen(), needed)
    program, scales = lower(graph, table, chosen, settings, store, tuned)
    verify_program(program, store)
    draft = Draft(Request(graph, table, chosen, settings, tuned or Tuned(), store))
    for step in PASSES:
        draft = step(draft)
    return Lowered(graph, program, scales, store, source, samples, draft)
