"""Biases join the accumulator's scale and take in the zero point of the input.

bias' = round(b / (s_w[c]·s_x)) - z_x·Σ q_w
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from hawqlang.ir.graph import Conv2d, Linear
from hawqlang.stages.lower.draft import Draft, IntegerLayer
from hawqlang.stages.lower.quantize_weights import layer_bias


def absorb_bias(draft: Draft) -> Draft:
    """Return the draft with the integer bias of every layer."""
    layers = dict(draft.layers)
    for step in draft.steps:
        node = step.node
        if isinstance(node, Conv2d | Linear):
            x = draft.params(step.reads[0])
            bias = layer_bias(draft, node)
            order = draft.orders.get(node.output)
            bias = bias if order is None else bias[list(order)]
            layers[node.name] = _absorbed(layers[node.name], bias, x.scale, x.zero_point)
    return replace(draft, layers=layers)


def _absorbed(layer: IntegerLayer, bias: np.ndarray, scale: float, zero_point: int) -> IntegerLayer:
    sums = layer.integers.astype(np.int64).reshape(layer.q.shape[0], -1).sum(axis=1)
    whole = np.rint(bias / (layer.scale * scale))
    whole = np.clip(whole, -(2.0**62), 2.0**62)
    return replace(layer, bias=whole.astype(np.int64) - zero_point * sums)
