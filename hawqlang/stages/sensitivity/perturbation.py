"""What quantization changes: squared distances of weights and inputs, and the loss they predict.

    Omega = Tr(H_W)/n_W * ||Q(W) - W||^2 + Tr(H_X)/n_X * E ||Q(X) - X||^2

The first term is HAWQ-V3's; the second belongs to it where candidates differ in activation bits
(HAWQ-V2), else w8a4 and w8a8 would cost the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import torch

from hawqlang.base import Precision
from hawqlang.ir.candidates import LayerSettings
from hawqlang.ir.ranges import RangeTable
from hawqlang.stages.batches import Stream, chunk_size
from hawqlang.stages.float_model import FloatModel
from hawqlang.stages.quantize import quantize_layer, stored_params
from hawqlang.stages.sensitivity.forward import run
from hawqlang.stages.sensitivity.hessian_trace import Traces, Wanted
from hawqlang.stages.simulate import round_to
from hawqlang.stages.structure import Form, LayerNode, layer_nodes, range_root


@dataclass(frozen=True, slots=True)
class Errors:
    """Squared quantization errors by layer and width."""

    weights: Mapping[tuple[str, int], float]
    """``||Q(W) - W||^2``."""
    inputs: Mapping[tuple[str, int], float]
    """``||Q(X) - X||^2`` of one sample, averaged over samples."""


def undecided(settings: Mapping[str, LayerSettings]) -> Wanted:
    """Return the layers that have a choice, and those of them with a choice of activation bits."""
    several = {name: s.candidates for name, s in settings.items() if len(set(s.candidates)) > 1}
    return Wanted(
        weights=tuple(several),
        inputs=tuple(n for n, c in several.items() if len({p.abits for p in c}) > 1),
    )


def quantization_errors(
    model: FloatModel,
    table: RangeTable,
    settings: Mapping[str, LayerSettings],
    samples: Stream,
) -> Errors:
    """Return the errors of every layer that has a choice, at the widths it may take."""
    wanted = undecided(settings)
    return Errors(
        weights=_weight_errors(model, settings, wanted),
        inputs=_input_errors(model, table, settings, samples),
    )


def _weight_errors(
    model: FloatModel, settings: Mapping[str, LayerSettings], wanted: Wanted
) -> dict[tuple[str, int], float]:
    found: dict[tuple[str, int], float] = {}
    for node in layer_nodes(model.graph):
        if node.name not in wanted.weights:
            continue
        weight = model.parameters[node.weight].double().numpy()
        own = settings[node.name]
        for bits in sorted({p.wbits for p in own.candidates}):
            widest = max(p.abits for p in own.candidates if p.wbits == bits)
            quantized = quantize_layer(weight, Precision(wbits=bits, abits=widest), own)
            found[node.name, bits] = float(np.square(quantized.real() - weight).sum())
    return found


def _input_errors(
    model: FloatModel,
    table: RangeTable,
    settings: Mapping[str, LayerSettings],
    samples: Stream,
) -> dict[tuple[str, int], float]:
    params = stored_params(model.graph, table)
    root = range_root(model.graph)
    wanted = undecided(settings).inputs
    total: dict[tuple[str, int], float] = {}
    count = 0

    def read(node: LayerNode, x: torch.Tensor) -> torch.Tensor:
        if node.name in wanted:
            for bits in sorted({p.abits for p in settings[node.name].candidates}):
                stored = round_to(x, params[Form(root[node.x], bits)])
                error = float((stored - x).square_().sum(dtype=torch.float64))
                total[node.name, bits] = total.get((node.name, bits), 0.0) + error
        return x

    if wanted:
        with torch.inference_mode():
            for chunk in samples.batches(chunk_size(model.graph)):
                run(model, chunk, read=read)
                count += len(chunk)
    return {key: value / count for key, value in total.items()}


def omega(
    layer: str, candidates: Iterable[Precision], traces: Traces, errors: Errors
) -> tuple[tuple[Precision, float], ...]:
    """Return each candidate's predicted loss increase."""
    weight = traces.weights[layer].mean
    inputs = traces.inputs[layer].mean if layer in traces.inputs else 0.0
    return tuple(
        (
            p,
            weight * errors.weights[layer, p.wbits]
            + inputs * errors.inputs.get((layer, p.abits), 0.0),
        )
        for p in candidates
    )
