"""The network that gradients work on: what the closed form chose, every rounding in place and differentiable.

Rates are relative, so that one number suits every layer: of a weight in steps of its grid, of a bias in standard
deviations of what its layer gives, of a step in its logarithm.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import torch

from hawqlang.arith.width import LIMITS, largest_magnitude
from hawqlang.ir.ranges import RangeTable
from hawqlang.ir.tuning import FittedLayer, LayerBias
from hawqlang.stages.batches import Stream, chunk_size
from hawqlang.stages.finetune.bounded import BoundedStep
from hawqlang.stages.finetune.quantizers import LearnedStep, WeightQuantizer
from hawqlang.stages.finetune.trainable import Begin, Trainable
from hawqlang.stages.float_model import FloatModel
from hawqlang.stages.memory import Memory
from hawqlang.stages.quantize import QuantizedWeight, stored_params, weight_limit
from hawqlang.stages.simulate import Deployment, Simulation
from hawqlang.stages.structure import Form, LayerNode, layer_nodes, range_root
from hawqlang.stages.tuned_weights import given_weight, kept_weight

WEIGHTS = 10.0
"""Rate of weights, beside that of steps and biases."""

DROP = 0.5
"""Share of elements that stay unrounded where roundings are dropped."""

SPREAD = 16
"""Samples that standard deviations are taken of."""

Groups = list[tuple[float, list[torch.Tensor]]]
"""Leaves with their rates."""


def deployed(before: Deployment, start: Mapping[str, FittedLayer], memory: Memory) -> Deployment:
    """Return a deployment with the weights and biases that were found."""
    get = memory.store.get
    return Deployment(
        before.precision,
        before.settings,
        before.residual,
        biases={n: get(row.bias.bias) for n, row in start.items() if row.bias is not None},
        weights={
            n: given_weight(memory.store, row.weight)
            for n, row in start.items()
            if row.weight is not None
        },
    )


class Learner(Trainable):
    """A quantized network in which some layers learn."""

    def __init__(
        self,
        model: FloatModel,
        table: RangeTable,
        deployment: Deployment,
        free: Collection[str],
        samples: Stream,
    ) -> None:
        """Begin with what ``deployment`` gives; ``samples`` tell how large each layer's results are."""
        super().__init__(model, table, deployment, free, _begin(model, table, deployment))
        self.model = model
        self._spreads = _spreads(model, samples)
        self.generator: torch.Generator | None = None
        """Draws the elements that stay unrounded; ``None``: all are rounded."""

    def rates(self) -> Groups:
        """Return everything that learns, by its rate; always in the same order."""
        return self.groups(list(self.quantizers), list(self.log_steps))

    def groups(self, layers: Sequence[str], forms: Sequence[Form]) -> Groups:
        """Return what some layers and some steps learn, by its rate."""
        found: Groups = [(1.0, [self.log_steps[form] for form in forms])]
        for name in layers:
            own = self.quantizers[name]
            grid = float(own.step().detach().mean())
            found.append((WEIGHTS * grid, own.weights()))
            found.append((1.0, own.steps()))
            if self.deployment.settings[name].bias_correction:
                found.append((self._spreads[name], [self.biases[name]]))
        return [(rate, leaves) for rate, leaves in found if leaves]

    def prepare(self, layers: Sequence[LayerNode]) -> None:
        """Make the weights and biases of some layers for the next pass."""
        for node in layers:
            self._prepare(node)

    def rows(
        self, start: Mapping[str, FittedLayer], layers: Collection[str], memory: Memory
    ) -> tuple[FittedLayer, ...]:
        """Return some layers as they would be deployed now."""
        weights, biases = self.exported_weights(), self.exported_biases()
        return tuple(
            start[name].replace(
                weight=kept_weight(memory.store, name, weights[name]),
                bias=LayerBias(layer=name, bias=memory.store.put(biases[name])),
            )
            for name in layers
        )

    def _rounded(
        self, addends: Sequence[tuple[torch.Tensor, torch.Tensor | None]], form: Form
    ) -> torch.Tensor:
        """Return a sum as it is stored, in training perhaps some of its elements unrounded (Wei et al., "QDrop")."""
        found = super()._rounded(addends, form)
        if self.generator is None or form.bits >= 8:
            return found
        params, step = self.params[form], self._step(form)
        whole = addends[0][0] if len(addends) == 1 else addends[0][0] + addends[1][0]
        low, high = params.qmin - params.zero_point, params.qmax - params.zero_point
        free = (whole / step).clamp(low, high) * step
        chosen = torch.rand(found.shape, generator=self.generator) < DROP
        return torch.where(chosen, free, found)


def give(simulation: Simulation, fitted: FittedLayer, memory: Memory) -> None:
    """Give a layer what was found for it, its bias rounded to what its input's scale is by now."""
    node = next(n for n in layer_nodes(simulation.graph) if n.name == fitted.layer)
    weight = simulation.weights[node.name]
    if fitted.weight is not None:
        weight = given_weight(memory.store, fitted.weight)
    own = simulation.own_bias(node)
    bias = own if fitted.bias is None else memory.store.get(fitted.bias.bias)
    simulation.set_layer(node.name, weight, bias)


def _begin(model: FloatModel, table: RangeTable, deployment: Deployment) -> Begin:
    """Return what makes a layer's weight in training."""
    signed, roots = stored_params(model.graph, table), range_root(model.graph)

    def begin(node: LayerNode, given: QuantizedWeight, start: torch.Tensor) -> WeightQuantizer:
        precision = deployment.precision[node.name]
        limit = weight_limit(precision.wbits)
        accumulator = deployment.settings[node.name].accumulator
        if accumulator == "int32":
            return LearnedStep(start, given, limit)
        form = Form(roots[node.x], precision.abits)
        largest = largest_magnitude(precision.abits, signed=signed[form].signed)
        return BoundedStep(start, given, limit, LIMITS[accumulator] // largest)

    return begin


def _spreads(model: FloatModel, samples: Stream) -> dict[str, float]:
    """Return the mean standard deviation of the channels that each layer gives, by its name."""
    nodes = layer_nodes(model.graph)
    x = next(iter(samples.first(SPREAD).batches(min(SPREAD, chunk_size(model.graph)))))
    kept = model.run(x, keep=[node.output for node in nodes]).kept
    return {
        node.name: float(kept[node.output].transpose(0, 1).flatten(1).std(1).mean().clamp_min(1e-6))
        for node in nodes
    }
