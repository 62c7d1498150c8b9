"""The simulation of the integer network, differentiable: what is trained is what will be deployed.

Every rounding of :class:`hawqlang.stages.simulate.Simulation` takes place here too and passes its gradient straight
through; a stored tensor's step is learned like a weight's. Zero points stay as calibrated, and the input's range, which
is that of its pixels, is never touched.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence

import numpy as np
import torch

from hawqlang.ir.graph import Add, Clamp
from hawqlang.ir.ranges import RangeTable, TensorRange
from hawqlang.stages.finetune.bounded import BoundedStep
from hawqlang.stages.finetune.levels import NearestLevel
from hawqlang.stages.finetune.quantizers import WeightQuantizer, moved
from hawqlang.stages.finetune.straight import stored, straight_through
from hawqlang.stages.float_model import FloatModel
from hawqlang.stages.quantize import Float64, QuantizedWeight
from hawqlang.stages.simulate import Deployment, Key, Lookup, Simulation
from hawqlang.stages.structure import LOGITS_BITS, Form, LayerNode, layer_nodes

Begin = Callable[[LayerNode, QuantizedWeight, torch.Tensor], WeightQuantizer]
"""Gives the weight of a layer in training from its node, its integers and the real weight to start from."""


STEP_FACTOR = 10.0
"""Steps and biases learn at this multiple of the rate of weights."""


MOST_RESIZED = 4.0
"""How much a channel may grow or shrink when it is settled."""


class Trainable(Simulation):
    """A quantized network with weights, biases and steps that learn."""

    def __init__(
        self,
        model: FloatModel,
        table: RangeTable,
        deployment: Deployment,
        layers: Collection[str],
        begin: Begin,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        """Begin with what ``deployment`` gives.

        Args:
            model: The float network.
            table: Ranges of everything that is stored.
            deployment: Precision, settings, and weights and biases that were fitted before.
            layers: Those that learn; the others keep their integers.
            begin: Makes a layer's weight in training.
            dtype: Of all arithmetic.
        """
        super().__init__(model, table, deployment, dtype)
        self._table = table
        self.quantizers: dict[str, WeightQuantizer] = {}
        self.biases: dict[str, torch.Tensor] = {}
        self._scales: dict[str, torch.Tensor] = {}
        self._given: dict[str, torch.Tensor] = {}
        for node in layer_nodes(model.graph):
            self._scales[node.name] = torch.from_numpy(np.array(self.weights[node.name].scale)).to(
                dtype
            )
            if node.name in deployment.biases or node.bias is not None:
                given = deployment.biases.get(node.name, self.own_bias(node))
                self._given[node.name] = torch.from_numpy(np.array(given, np.float64)).to(dtype)
            if node.name in layers:
                drawn = deployment.settings[node.name].weights.rounding == "stochastic"
                fitted = drawn or node.name in deployment.weights
                start = self.weight(node.name) if fitted else self._parameters[node.weight]
                self.quantizers[node.name] = begin(node, self.weights[node.name], start)
                bias = torch.from_numpy(self.bias(node.name)).to(dtype)
                self.biases[node.name] = bias.requires_grad_()
        stored = {form for forms in self.forms.values() for form in forms}
        self.log_steps: dict[Form, torch.Tensor] = {
            form: torch.tensor(self.params[form].scale, dtype=dtype).log().requires_grad_()
            for form in sorted(stored)
            if form.bits != LOGITS_BITS and form.root != self.graph.input.name and self._live(form)
        }
        self._current: dict[str, tuple[torch.Tensor, torch.Tensor | None]] = {}
        self._device = torch.device("cpu")
        self._wanted: Mapping[str, torch.Tensor] = {}

    def to(self, device: torch.device) -> None:
        """Move everything to a device; only before training begins."""
        self._device = device
        self._real = {
            name: (w.to(device), None if b is None else b.to(device))
            for name, (w, b) in self._real.items()
        }
        self._parameters = {name: p.to(device) for name, p in self._parameters.items()}
        self._scales = {name: scale.to(device) for name, scale in self._scales.items()}
        self._given = {name: bias.to(device) for name, bias in self._given.items()}
        for quantizer in self.quantizers.values():
            quantizer.to(device)
        self.biases = {name: moved(bias, device) for name, bias in self.biases.items()}
        self.log_steps = {form: moved(step, device) for form, step in self.log_steps.items()}

    def rates(self) -> list[tuple[float, list[torch.Tensor]]]:
        """Return everything that learns, by its rate in units of that of weights; always in the same order."""
        own = list(self.quantizers.values())
        steps = [leaf for q in own for leaf in q.steps()]
        return [
            *((q.factor, q.weights()) for q in own),
            (STEP_FACTOR, [*steps, *self.biases.values(), *self.log_steps.values()]),
        ]

    def leaves(self) -> list[torch.Tensor]:
        """Return everything that learns, always in the same order."""
        return [leaf for _, leaves in self.rates() for leaf in leaves]

    def advance(self, share: float) -> None:
        """Prepare for the next step of a training of which ``share``, from 0 to 1, is done."""
        for quantizer in self.quantizers.values():
            quantizer.advance(share)

    def run(self, x: torch.Tensor) -> torch.Tensor:
        """Return the logits ``(N, F)`` of a batch, differentiable."""
        for node in layer_nodes(self.graph):
            self._prepare(node)
        return super().run(x)

    def unsettled(self) -> list[str]:
        """Return the outputs of layers whose weights change at once when training begins."""
        found: list[str] = []
        for node in layer_nodes(self.graph):
            own = self.quantizers.get(node.name)
            if isinstance(own, NearestLevel) or (isinstance(own, BoundedStep) and own.shortened):
                found.append(node.output)
        return found

    def settle(self, x: torch.Tensor, wanted: Mapping[str, torch.Tensor]) -> None:
        """Give layers outputs with the mean and spread, by channel, of the float network's.

        Layer by layer in one pass, each on what those before it give by then: batch norm, estimated anew and folded.

        Args:
            x: A batch as the network sees it.
            wanted: What the float network gives for it, by the names of the layers' outputs.
        """
        with torch.no_grad():
            self._wanted = wanted
            self.run(x)
            self._wanted = {}

    def accumulate(self, layer: str, lookup: Lookup) -> torch.Tensor:
        """Return the unrounded result of the layer whose output is called ``layer``."""
        found = super().accumulate(layer, lookup)
        name = self._producers[layer].name
        own = self.quantizers.get(name)
        if layer not in self._wanted or own is None:
            return found
        spread, mean = _moments(found)
        wanted_spread, wanted_mean = _moments(self._wanted[layer])
        by = (wanted_spread / spread.clamp(min=1e-12)).clamp(1 / MOST_RESIZED, MOST_RESIZED)
        own.resize(by)
        bias = self.biases[name]
        bias.copy_(wanted_mean + by * (bias - mean))
        self._prepare(next(node for node in layer_nodes(self.graph) if node.name == name))
        return super().accumulate(layer, lookup)

    def parameters(self, layer: str) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Return the weight and bias of a layer as they are in this pass, differentiable."""
        return self._current[layer]

    def store(self, x: torch.Tensor, form: Form) -> torch.Tensor:
        """Return ``x`` rounded to a form, differentiable in ``x`` and in the form's step."""
        if form.bits == LOGITS_BITS:
            return x
        return self._rounded([(x, None)], form)

    def exported_weights(self) -> dict[str, QuantizedWeight]:
        """Return the integers and scales of the layers that learn."""
        return {name: quantizer.exported() for name, quantizer in self.quantizers.items()}

    def exported_biases(self) -> dict[str, Float64]:
        """Return the biases of the layers that learn, whole multiples of their accumulators' steps."""
        nodes = {node.name: node for node in layer_nodes(self.graph)}
        found: dict[str, Float64] = {}
        with torch.no_grad():
            for name, bias in self.biases.items():
                step = self.quantizers[name].step() * self._step(self.input_form(nodes[name]))
                exact = step.double().cpu().numpy()
                found[name] = np.rint((bias / step).double().cpu().numpy()) * exact
        return found

    def exported_ranges(self) -> tuple[TensorRange, ...]:
        """Return the ranges whose steps are those that were learned."""
        rows: list[TensorRange] = []
        for form, log_step in self.log_steps.items():
            row, params = self._table.find(form.root, form.bits), self.params[form]
            scale = float(log_step.detach().exp())
            symmetric = params.signed and (row.scheme or self._table.scheme) == "symmetric"
            low = -params.qmax if symmetric else params.qmin - params.zero_point
            rows.append(
                row.replace(low=low * scale, high=(params.qmax - params.zero_point) * scale)
            )
        return tuple(rows)

    def _prepare(self, node: LayerNode) -> None:
        """Make the weight and bias of a layer for this pass."""
        quantizer = self.quantizers.get(node.name)
        if quantizer is None:
            weight, scale = self._real[node.name][0], self._scales[node.name]
        else:
            weight, scale = quantizer.real(), quantizer.step()
        bias = self._given.get(node.name) if quantizer is None else self.biases[node.name]
        if bias is not None:
            step = scale * self._step(self.input_form(node))
            whole = bias / step
            bias = straight_through(whole, whole.round()) * step
        self._current[node.name] = (weight, bias)

    def _live(self, form: Form) -> bool:
        """Return whether a range holds more than 0, so that its step means something."""
        row = self._table.find(form.root, form.bits)
        return row.high > row.low

    def _step(self, form: Form) -> torch.Tensor:
        """Return the step of a stored tensor."""
        if form in self.log_steps:
            return self.log_steps[form].exp()
        return torch.tensor(self.params[form].scale, dtype=self.dtype, device=self._device)

    def _add(self, node: Add, form: Form, lookup: Lookup) -> torch.Tensor:
        """Return the sum on the grid of its form, each addend rounded there."""
        keys = [self.addend(node, name) for name in (node.a, node.b)]
        if form.bits == LOGITS_BITS:
            return lookup(keys[0]) + lookup(keys[1])
        return self._rounded([(lookup(key), self._grid(key)) for key in keys], form)

    def _grid(self, key: Key) -> torch.Tensor | None:
        """Return the step of the grid that an addend is on; ``None`` for an unrounded one."""
        if key.form is None or key.form.bits == LOGITS_BITS:
            return None
        return self._step(key.form).detach()

    def _rounded(
        self, addends: Sequence[tuple[torch.Tensor, torch.Tensor | None]], form: Form
    ) -> torch.Tensor:
        params = self.params[form]
        least, most = params.qmin - params.zero_point, params.qmax - params.zero_point
        return stored(addends, self._step(form), least, most)

    def _clamp(self, node: Clamp, form: Form, x: torch.Tensor) -> torch.Tensor:
        """Return stored values clamped between the bounds' own stored values."""
        params = self.params.get(form)
        floored = node.low == 0 and params is not None and params.qmin == params.zero_point
        low = None if node.low is None or floored else self._bound(node.low, form, x)
        high = None if node.high is None else self._bound(node.high, form, x)
        return x if low is None and high is None else x.clamp(low, high)

    def _bound(self, bound: float, form: Form, x: torch.Tensor) -> torch.Tensor:
        """Return the stored value of a clamp's bound, where ``x`` is."""
        with torch.no_grad():
            return self.store(x.new_full((), bound), form)


def _moments(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return standard deviation and mean of every channel of ``(N, C, ...)``."""
    return torch.std_mean(x.transpose(0, 1).flatten(1), 1)
