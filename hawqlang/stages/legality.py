"""Why a layer may not run at a precision: no such integers, or sums that its accumulator does not hold."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from hawqlang.arith.width import INT32_MAX, LIMITS, accumulator_bound, weight_range
from hawqlang.base import Precision
from hawqlang.ir.candidates import LayerSettings
from hawqlang.ir.ranges import RangeTable
from hawqlang.stages.candidates.table import Legality
from hawqlang.stages.float_model import FloatModel
from hawqlang.stages.quantize import (
    LARGEST_INTEGER,
    Float64,
    least_weight_scale,
    quantize_layer,
    stored_params,
)
from hawqlang.stages.structure import Form, LayerNode, layer_nodes, range_root


def legality(
    model: FloatModel, ranges: RangeTable, layers: Mapping[str, LayerSettings]
) -> Legality:
    """Return what says why a layer may not run at a precision; ``None`` where it may.

    The bounds are those that lowering proves of the same weights: of the products in any order for
    the layer's accumulator, of products and bias for int32. An allocation of legal precisions is
    therefore never refused later, unless a tuning step changes the weights. Where `overflow_aware` training is asked
    for, sums may be too large here: it makes them fit.

    Args:
        model: The float network.
        ranges: Of everything that may be stored.
        layers: The settings of every layer.
    """
    nodes = {node.name: node for node in layer_nodes(model.graph)}
    stored = stored_params(model.graph, ranges)
    roots = range_root(model.graph)

    def reason(name: str, precision: Precision) -> str | None:
        node, own = nodes[name], layers[name]
        method = "none" if own.finetune is None else own.finetune.method
        if precision.wbits < 2 and not (own.finetune is not None and own.finetune.levels):
            return "weights of 1 bit have no 0 and come from training: `finetune = mean_field(…)`"
        weight = model.parameters[node.weight].double().numpy()
        if _fits_any(weight.shape, precision, own):
            return None
        x = stored[Form(roots[node.x], precision.abits)]
        bias = _bias(model, node, weight.shape[0])
        quantized = quantize_layer(weight, precision, own, least_weight_scale(bias, x.scale))
        whole = quantized.integers()
        largest = int(np.abs(whole.astype(np.int64)).max())
        if largest > LARGEST_INTEGER:
            return f"its weights reach {largest} with their zero points, kernels hold {LARGEST_INTEGER}"
        sums = accumulator_bound(whole, precision.abits, signed=x.signed)
        worst, limit = int(sums.max()), LIMITS[own.accumulator]
        if worst > limit and not (method == "overflow_aware" and own.accumulator != "int32"):
            return f"its sums reach {worst}, {own.accumulator} ends at {limit}"
        added = np.rint(bias / (quantized.scale * x.scale))
        total = whole.astype(np.float64).reshape(len(whole), -1).sum(axis=1)
        worst = int((sums + np.abs(added - x.zero_point * total)).max())
        if x.signed and precision.abits <= 8:
            # CPU kernels read signed bytes as unsigned ones, shifted by half their range.
            shift = x.zero_point + 2 ** (precision.abits - 1)
            codes = accumulator_bound(whole, precision.abits, signed=False)
            worst = max(worst, int((codes + np.abs(added - shift * total)).max()))
        return None if worst <= INT32_MAX else f"its sums reach {worst}, int32 ends at {INT32_MAX}"

    return reason


def _fits_any(shape: tuple[int, ...], precision: Precision, own: LayerSettings) -> bool:
    """Return whether sums fit whatever the weights are, with room for any bias of that size."""
    if own.weights.scheme != "symmetric" or not isinstance(own.weights.granularity, str):
        return False
    most = math.prod(shape[1:]) * weight_range(precision.wbits)[1] * 2**precision.abits
    return own.accumulator == "int32" and 2 * most <= INT32_MAX


def _bias(model: FloatModel, node: LayerNode, channels: int) -> Float64:
    if node.bias is None:
        return np.zeros(channels)
    return model.parameters[node.bias].double().numpy()
