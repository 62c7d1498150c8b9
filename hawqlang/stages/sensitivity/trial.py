"""One layer as a candidate would have it, the rest of the network in float."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch

from hawqlang.base import Precision
from hawqlang.diagnostics import Diagnostic, HawqError
from hawqlang.ir.candidates import LayerSettings
from hawqlang.ir.ranges import RangeTable
from hawqlang.stages.float_model import FloatModel, evaluate
from hawqlang.stages.quantize import (
    QuantizedWeight,
    least_weight_scale,
    quantize_weight,
    stored_params,
)
from hawqlang.stages.simulate import round_to
from hawqlang.stages.structure import Form, LayerNode, layer_nodes, range_root


@dataclass(frozen=True, slots=True)
class Subject:
    """What is studied."""

    model: FloatModel
    table: RangeTable
    """Ranges of every width that a candidate reads."""
    settings: Mapping[str, LayerSettings]
    """Of every layer; its candidates are those to be rated."""


class Trials:
    """The quantized layers of every candidate that is to be rated."""

    def __init__(self, subject: Subject) -> None:
        self.model = subject.model
        self.settings = subject.settings
        graph = subject.model.graph
        self.nodes: tuple[LayerNode, ...] = tuple(
            node
            for node in layer_nodes(graph)
            if len(set(subject.settings[node.name].candidates)) > 1
        )
        """The layers that have a choice, in execution order."""
        self.names = frozenset(node.name for node in self.nodes)
        self._params = stored_params(graph, subject.table)
        self._root = range_root(graph)
        self._weights: dict[tuple[str, Precision], QuantizedWeight] = {}

    def candidates(self, node: LayerNode) -> tuple[Precision, ...]:
        """Return what a layer may take, without repeats."""
        return tuple(dict.fromkeys(self.settings[node.name].candidates))

    def corrected(self, node: LayerNode) -> bool:
        """Return whether the layer's bias will take the mean error of each channel away."""
        return self.settings[node.name].bias_correction

    def output(self, node: LayerNode, precision: Precision, x: torch.Tensor) -> torch.Tensor:
        """Return what the layer makes of ``x`` with input and weights stored at ``precision``."""
        stored = round_to(x, self._params[Form(self._root[node.x], precision.abits)])
        parameters = {**self.model.parameters, node.weight: self._weight(node, precision)}
        return evaluate(node, {node.x: stored}, parameters)

    def float_output(self, node: LayerNode, x: torch.Tensor) -> torch.Tensor:
        """Return what the layer makes of ``x`` in float."""
        return evaluate(node, {node.x: x}, self.model.parameters)

    def _weight(self, node: LayerNode, precision: Precision) -> torch.Tensor:
        """Return the real weight that the candidate's integers stand for; only those are kept."""
        key = (node.name, precision)
        if key not in self._weights:
            how = self.settings[node.name].weights
            weight = self.model.parameters[node.weight].numpy()
            bias = np.zeros(1) if node.bias is None else self.model.parameters[node.bias].numpy()
            if not (np.isfinite(weight).all() and np.isfinite(bias).all()):
                raise HawqError(not_finite(node.name, precision))
            scale = self._params[Form(self._root[node.x], precision.abits)].scale
            self._weights[key] = quantize_weight(
                weight,
                precision.wbits,
                granularity=how.granularity,
                method=how.range,
                least=least_weight_scale(bias, scale),
            )
        return torch.from_numpy(self._weights[key].real()).to(torch.float32)


def per_channel(x: torch.Tensor) -> torch.Tensor:
    """Return each channel's sum over samples and positions, float64 ``(C,)``."""
    x = x.double()
    return x.sum(0) if x.ndim == 2 else x.sum((0, 2, 3))


def along(channels: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """Return ``(C,)`` values in the shape and type in which they meet ``x``."""
    return channels.to(x.dtype).reshape(1, -1, *[1] * (x.ndim - 2))


def not_finite(layer: str, precision: Precision) -> Diagnostic:
    """Return the error of a sensitivity that the solver cannot weigh."""
    return Diagnostic(
        code="HQ420",
        severity="error",
        message=f"the sensitivity of '{layer}' at {precision} is not finite",
        help="check the layer's weights",
    )
