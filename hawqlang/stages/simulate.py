"""The integer network in float: the same tensors stored in the same forms, without the integers.

Each layer reads its input at its own width; a tensor whose readers want different widths is rounded
once for each, from the same unrounded value. The result of a convolution enters an addition
unrounded and is rounded there, on the grid of the sum, as every addend is. Moves and clamps act on
stored values. What is stored at 32 bits, the logits and perhaps residual operands, is not
quantized. What remains different from integer execution: scale
ratios are real numbers instead of dyadic ones, and sums carry the rounding of ``dtype``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, assert_never

import numpy as np
import torch

from hawqlang.base import Precision
from hawqlang.ir.candidates import LayerSettings
from hawqlang.ir.graph import (
    Add,
    AvgPool2d,
    BatchNorm,
    Clamp,
    Concat,
    Conv2d,
    Flatten,
    Linear,
    MaxPool2d,
    Multiply,
    Operator,
    Pad,
    Rearrange,
    Resample,
    Slice,
    Table,
    Take,
)
from hawqlang.ir.operands import inputs
from hawqlang.ir.ranges import RangeTable
from hawqlang.stages.float_model import FloatModel, evaluate
from hawqlang.stages.quantize import (
    Float64,
    QuantizedWeight,
    QuantParams,
    least_weight_scale,
    quantize_layer,
    stored_params,
)
from hawqlang.stages.structure import (
    BYTE_BITS,
    LOGITS_BITS,
    Form,
    LayerNode,
    enters_unrounded,
    forms,
    inner_width,
    layer_nodes,
    producers,
    range_root,
)


class Key(NamedTuple):
    """A tensor of the simulation: a value in one of its forms, or unrounded (``None``)."""

    value: str
    form: Form | None


Lookup = Callable[[Key], torch.Tensor]
"""Gives the tensor behind a key: reals, whether stored or not."""


@dataclass(frozen=True, slots=True)
class Deployment:
    """What decides the quantized network, beside its ranges."""

    precision: Mapping[str, Precision]
    """Of every layer with weights."""
    settings: Mapping[str, LayerSettings]
    residual: int = 8
    biases: Mapping[str, Float64] = field(default_factory=dict[str, Float64])
    """Corrected biases by layer; the others keep their own."""
    weights: Mapping[str, QuantizedWeight] = field(default_factory=dict[str, QuantizedWeight])
    """Integer weights by layer that were found otherwise; the others are rounded to nearest."""


def round_to(x: torch.Tensor, params: QuantParams) -> torch.Tensor:
    """Return the stored reals nearest to ``x``: ties up, then saturation."""
    q = x.mul(1 / params.scale).add_(0.5).floor_()
    q.clamp_(params.qmin - params.zero_point, params.qmax - params.zero_point)
    return q.mul_(params.scale)


class Simulation:
    """A quantized network that runs on batches of float samples."""

    def __init__(
        self,
        model: FloatModel,
        table: RangeTable,
        deployment: Deployment,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        graph = model.graph
        self.graph = graph
        self.dtype = dtype
        self.params: dict[Form, QuantParams] = stored_params(graph, table)
        """How each form is stored."""
        self.deployment = deployment
        abits = {name: p.abits for name, p in deployment.precision.items()}
        self.forms = forms(graph, abits, deployment.residual)
        self.root = range_root(graph)
        self.unrounded = enters_unrounded(graph)
        self.weights: dict[str, QuantizedWeight] = {}
        """Of each layer, integers and scales."""
        self._parameters = {n: p.to(dtype) for n, p in model.parameters.items()}
        self._producers = producers(graph)
        self._real: dict[str, tuple[torch.Tensor, torch.Tensor | None]] = {}
        for node in layer_nodes(graph):
            self._quantize(node)
        self.dead = _dead_after(self)
        """By node name, the values that nothing needs once the node has run."""

    def input_form(self, node: LayerNode) -> Form:
        """Return the form in which a layer reads its input."""
        return Form(self.root[node.x], self.deployment.precision[node.name].abits)

    def run(self, x: torch.Tensor) -> torch.Tensor:
        """Return the logits ``(N, F)`` of a batch as the network sees it."""
        state: dict[Key, torch.Tensor] = dict(self.enter(x))

        def lookup(key: Key) -> torch.Tensor:
            return state[key] if key.form is not None else self.accumulate(key.value, lookup)

        for node in self.graph.nodes:
            state.update(self.compute(node, lookup))
            for name in self.dead.get(node.name, ()):
                for form in self.forms[name]:
                    state.pop(Key(name, form), None)
        logits = state[self.logits]
        state.clear()  # `lookup` refers to itself: what it holds would live until garbage is collected
        return logits

    @property
    def logits(self) -> Key:
        """Return the key of the network's result."""
        return Key(self.graph.output, Form(self.graph.output, LOGITS_BITS))

    def enter(self, x: torch.Tensor) -> dict[Key, torch.Tensor]:
        """Return the input in each of its forms."""
        name = self.graph.input.name
        return {Key(name, form): self.store(x.to(self.dtype), form) for form in self.forms[name]}

    def compute(self, node: Operator, lookup: Lookup) -> dict[Key, torch.Tensor]:
        """Return a node's result in each of its forms; none where additions alone read it."""
        return {
            Key(node.output, form): self._compute(node, form, lookup)
            for form in self.forms[node.output]
        }

    def accumulate(self, layer: str, lookup: Lookup) -> torch.Tensor:
        """Return the unrounded result of the layer whose output is called ``layer``."""
        node = self._producers[layer]
        if not isinstance(node, Conv2d | Linear):
            raise KeyError(layer)
        weight, bias = self.parameters(node.name)
        named = {node.weight: weight} if bias is None else {node.weight: weight, node.name: bias}
        x = lookup(Key(node.x, self.input_form(node)))
        renamed = node.replace(bias=None if bias is None else node.name)
        return evaluate(renamed, {node.x: x}, named)

    def parameters(self, layer: str) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Return the weight and bias that a layer computes with, as reals."""
        return self._real[layer]

    def store(self, x: torch.Tensor, form: Form) -> torch.Tensor:
        """Return ``x`` rounded to a form: ties up, then saturation; 32 bits stay as they are."""
        if form.bits == LOGITS_BITS:
            return x
        return round_to(x, self.params[form])

    def encode(self, x: torch.Tensor, form: Form) -> torch.Tensor:
        """Return stored reals as the integers they stand for, in the narrowest type; reals at 32 bits."""
        if form.bits == LOGITS_BITS:
            return x
        params = self.params[form]
        q = x.div(params.scale).round_().add_(params.zero_point)
        if params.qmin >= 0 and params.qmax < 256:
            return q.to(torch.uint8)
        return q.to(torch.int8 if form.bits <= 8 else torch.int32)

    def decode(self, q: torch.Tensor, form: Form) -> torch.Tensor:
        """Return the reals that stored integers stand for."""
        if form.bits == LOGITS_BITS:
            return q
        params = self.params[form]
        return q.to(self.dtype).sub_(params.zero_point).mul_(params.scale)

    def weight(self, layer: str) -> torch.Tensor:
        """Return the real weight that a layer's integers stand for."""
        return self._real[layer][0]

    def bias(self, layer: str) -> Float64:
        """Return a layer's bias as its accumulator holds it; zeros where it has none."""
        weight, bias = self._real[layer]
        return np.zeros(weight.shape[0]) if bias is None else bias.double().numpy().copy()

    def trained(self, node: LayerNode) -> torch.Tensor:
        """Return a layer's float weight."""
        return self._parameters[node.weight]

    def own_bias(self, node: LayerNode) -> Float64:
        """Return a layer's float bias; zeros where it has none."""
        if node.bias is None:
            return np.zeros(self._parameters[node.weight].shape[0])
        return self._parameters[node.bias].double().numpy().copy()

    def set_bias(self, layer: str, bias: Float64) -> None:
        """Replace a layer's bias, rounded to the scale of its accumulator."""
        node = next(node for node in layer_nodes(self.graph) if node.name == layer)
        step = self.weights[layer].scale * self.params[self.input_form(node)].scale
        real = torch.from_numpy(np.rint(bias / step) * step).to(self.dtype)
        self._real[layer] = (self._real[layer][0], real)

    def set_layer(self, layer: str, weight: QuantizedWeight, bias: Float64) -> None:
        """Replace a layer's integer weight and its bias, which is rounded to the new accumulator."""
        self.weights[layer] = weight
        real = torch.from_numpy(weight.real()).to(self.dtype)
        self._real[layer] = (real, self._real[layer][1])
        self.set_bias(layer, bias)

    def _quantize(self, node: LayerNode) -> None:
        """Quantize a layer's weight and bias."""
        bias = self.deployment.biases.get(node.name)
        if bias is None and node.bias is not None:
            bias = self._parameters[node.bias].double().numpy()
        x_scale = self.params[self.input_form(node)].scale
        weight = self.deployment.weights.get(node.name)
        if weight is None:
            weight = quantize_layer(
                self._parameters[node.weight].numpy(),
                self.deployment.precision[node.name],
                self.deployment.settings[node.name],
                least=0.0 if bias is None else least_weight_scale(bias, x_scale),
            )
        self.weights[node.name] = weight
        self._real[node.name] = (torch.from_numpy(weight.real()).to(self.dtype), None)
        if bias is not None:
            self.set_bias(node.name, bias)

    def _compute(self, node: Operator, form: Form, lookup: Lookup) -> torch.Tensor:
        """Return a node's result in one form."""
        match node:
            case Conv2d() | Linear():
                return self.store(self.accumulate(node.output, lookup), form)
            case Add():
                return self._add(node, form, lookup)
            case Table() | Multiply():
                stored = {
                    name: lookup(Key(name, Form(self.root[name], BYTE_BITS)))
                    for name in inputs(node)
                }
                return self.store(evaluate(node, stored, self._parameters), form)
            case AvgPool2d() | BatchNorm() | Resample():
                bits = inner_width(form.bits, logits=form.root == self.graph.output)
                x = lookup(Key(node.x, Form(self.root[node.x], bits)))
                return self.store(evaluate(node, {node.x: x}, self._parameters), form)
            case Clamp():
                return self._clamp(node, form, lookup(Key(node.x, form)))
            case Concat() | MaxPool2d() | Flatten() | Slice() | Pad() | Rearrange() | Take():
                stored = {name: lookup(Key(name, form)) for name in inputs(node)}
                return evaluate(node, stored, self._parameters)
            case _:
                assert_never(node)

    def _add(self, node: Add, form: Form, lookup: Lookup) -> torch.Tensor:
        """Return the sum on the grid of its form, each addend rounded there."""
        keys = [self.addend(node, name) for name in (node.a, node.b)]
        if form.bits == LOGITS_BITS:
            return lookup(keys[0]) + lookup(keys[1])
        params = self.params[form]
        least, most = params.qmin - params.zero_point, params.qmax - params.zero_point
        a, b = (self._on_grid(key, lookup(key), params.scale) for key in keys)
        return a.add_(b).clamp_(least, most).mul_(params.scale)

    def _on_grid(self, key: Key, x: torch.Tensor, scale: float) -> torch.Tensor:
        """Return an addend in whole steps of ``scale``; a stored one as its integers times a ratio.

        Ties are common among those, where one scale is half the other, and go up as all ties do.
        """
        if key.form is None or key.form.bits == LOGITS_BITS:
            return x.mul(1 / scale).add_(0.5).floor_()
        own = self.params[key.form].scale
        return x.div(own).round_().mul_(own / scale).add_(0.5).floor_()

    def addend(self, node: Add, name: str) -> Key:
        """Return what an addition takes for its operand ``name``."""
        if (node.name, name) in self.unrounded:
            return Key(name, None)
        return Key(name, Form(self.root[name], self.deployment.residual))

    def _clamp(self, node: Clamp, form: Form, x: torch.Tensor) -> torch.Tensor:
        """Return stored values clamped between the bounds' own stored values."""
        low, high = (
            None if bound is None else self._stored_bound(bound, form)
            for bound in (node.low, node.high)
        )
        return x if low is None and high is None else x.clamp(low, high)

    def _stored_bound(self, bound: float, form: Form) -> float:
        """Return the stored value nearest to a clamp's bound."""
        return float(self.store(torch.tensor([bound], dtype=torch.float64), form))


def _dead_after(simulation: Simulation) -> dict[str, tuple[str, ...]]:
    """Return, by node name, the values whose forms nothing needs once the node has run.

    An addition computes the layers whose accumulators it takes, so it needs their inputs.
    """
    graph = simulation.graph
    sources = {node.output: node.x for node in layer_nodes(graph)}
    last: dict[str, str] = {}
    for node in graph.nodes:
        needed = [*inputs(node), node.output]
        needed += [sources[x] for x in inputs(node) if (node.name, x) in simulation.unrounded]
        last.update(dict.fromkeys(needed, node.name))
    last.pop(graph.output, None)
    dead: dict[str, list[str]] = {}
    for value, name in last.items():
        dead.setdefault(name, []).append(value)
    return {name: tuple(values) for name, values in dead.items()}
