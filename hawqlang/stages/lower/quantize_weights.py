"""Weights become integers, in the layout and channel order of the program.

    q_w = clamp(round_half_even(w / s_w[c]), ±(2^(b-1) - 1))

A channel whose weights have all but vanished beside its bias gets a scale at which the bias still fits.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from hawqlang.ir.graph import Conv2d, Linear
from hawqlang.stages.lower.draft import Draft, Float64, Int64, IntegerLayer, Step, Terms
from hawqlang.stages.lower.errors import not_finite, unsupported_width
from hawqlang.stages.quantize import (
    QuantizedWeight,
    group_of,
    least_weight_scale,
    quantize_layer,
)


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
    if outer is not None:
        weight = _with_outputs(weight, list(outer))
    q, whole = weight.q, weight.integers()
    index = group_of(q.shape[1], weight.group)
    if outer is None and inner is not None:
        q, whole, index = q[:, list(inner)], whole[:, list(inner)], index[list(inner)]
    if isinstance(node, Conv2d):
        q, whole = q.transpose(0, 2, 3, 1), whole.transpose(0, 2, 3, 1)
    terms = Terms(weight.zero, weight.multiple, index if weight.group else None)
    plain = weight.zero is None and weight.multiple is None
    empty: Int64 = np.zeros(0, np.int64)
    return IntegerLayer(
        q=np.ascontiguousarray(q),
        integers=np.ascontiguousarray(whole),
        terms=None if plain else terms,
        bits=bits,
        scale=weight.scale,
        bias=empty,
        bound=empty,
    )


def _with_outputs(weight: QuantizedWeight, order: list[int]) -> QuantizedWeight:
    """Return a weight with its output channels in another order."""
    return replace(
        weight,
        q=weight.q[order],
        scale=weight.scale[order],
        zero=None if weight.zero is None else weight.zero[order],
        multiple=None if weight.multiple is None else weight.multiple[order],
    )


def _rounded(draft: Draft, step: Step, node: Conv2d | Linear, bits: int) -> QuantizedWeight:
    """Return the graph's own weights rounded as the layer's settings say."""
    if not 2 <= bits <= 16:
        raise unsupported_width(f"weights of '{node.name}'", bits, 2)
    weight = draft.request.parameter(node.weight)
    if not np.isfinite(weight).all():
        raise not_finite(node.name)
    least = least_weight_scale(layer_bias(draft, node), draft.params(step.reads[0]).scale)
    settings = draft.request.settings.layer(node.name)
    return quantize_layer(weight, draft.request.precisions[node.name], settings, least)
