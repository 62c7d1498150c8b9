"""Weights become integers, in the layout and channel order of the program.

    q_w = clamp(round_half_even(w / s_w[c]), ±(2^(b-1) - 1))

A channel whose weights have all but vanished beside its bias gets a scale at which the bias still fits.
"""

from __future__ import annotations

from dataclasses import replace
from typing import assert_never

import numpy as np

from hawqlang.ir.graph import Conv2d, Linear
from hawqlang.ir.spec import WeightSettings
from hawqlang.stages.lower.draft import Draft, Float64, Int64, IntegerLayer, Step
from hawqlang.stages.lower.errors import not_finite, unsupported_width, weight_setting
from hawqlang.stages.quantize import QuantizedWeight, least_weight_scale, quantize_weight


def quantize_weights(draft: Draft) -> Draft:
    """Return the draft with integer weights of every layer that runs."""
    layers = {
        step.node.name: _layer(draft, step, step.node)
        for step in draft.steps
        if isinstance(step.node, Conv2d | Linear)
    }
    return replace(draft, layers=layers)


def layer_bias(draft: Draft, node: Conv2d | Linear) -> Float64:
    """Return a layer's real bias ``(OC,)`` in the model's order, corrections applied."""
    request = draft.request
    if node.name in request.tuned.biases:
        found = np.asarray(request.tuned.biases[node.name], np.float64)
    elif node.bias is not None:
        found = request.parameter(node.bias)
    else:
        found = np.zeros(request.graph.shape(node.output)[0])
    if not np.isfinite(found).all():
        raise not_finite(node.name)
    return found


def _layer(draft: Draft, step: Step, node: Conv2d | Linear) -> IntegerLayer:
    bits = draft.request.precisions[node.name].wbits
    weight = draft.request.tuned.weights.get(node.name)
    if weight is None:
        weight = _rounded(draft, step, node, bits)
    inner, outer = draft.orders.get(node.x), draft.orders.get(node.output)
    q, scale = weight.q.astype(np.int8), weight.scale
    if outer is not None:
        q, scale = q[list(outer)], scale[list(outer)]
    elif inner is not None:
        q = q[:, list(inner)]
    match node:
        case Conv2d():
            q = q.transpose(0, 2, 3, 1)
        case Linear():
            pass
        case _:
            assert_never(node)
    empty: Int64 = np.zeros(0, np.int64)
    return IntegerLayer(np.ascontiguousarray(q), bits, scale, bias=empty, bound=empty)


def _rounded(draft: Draft, step: Step, node: Conv2d | Linear, bits: int) -> QuantizedWeight:
    """Return the graph's own weights rounded to nearest."""
    if not 2 <= bits <= 8:
        raise unsupported_width(f"weights of '{node.name}'", bits, 2)
    settings = draft.request.settings.weights(node.name)
    _check_settings(node.name, settings)
    weight = draft.request.parameter(node.weight)
    if not np.isfinite(weight).all():
        raise not_finite(node.name)
    least = least_weight_scale(layer_bias(draft, node), draft.params(step.reads[0]).scale)
    return quantize_weight(
        weight, bits, granularity=settings.granularity, method=settings.range, least=least
    )


def _check_settings(name: str, settings: WeightSettings) -> None:
    if not isinstance(settings.granularity, str):
        raise weight_setting(name, f"group({settings.granularity.size})")
    if settings.scheme != "symmetric":
        raise weight_setting(name, f"{settings.scheme} weights")
