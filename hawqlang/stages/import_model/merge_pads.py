"""Merges zero padding into the convolution or pool that alone reads it, where that is exact.

A convolution and an average pool that counts its padding see the same zeros either way. A max pool never lets its
padding win, so an explicit zero may only become padding where no element is below zero and every window holds one.
"""

from __future__ import annotations

from hawqlang.ir.graph import AvgPool2d, Clamp, Conv2d, MaxPool2d, Operator, Pad, Pads
from hawqlang.stages.import_model.draft import Draft
from hawqlang.stages.import_model.rewrite import Rewriter


def merge_pads(draft: Draft) -> Draft:
    """Return the draft with each spatial ``Pad`` merged into its only reader where that changes nothing."""
    rewriter = Rewriter(draft)
    for node in rewriter:
        if not isinstance(node, Conv2d | AvgPool2d | MaxPool2d):
            continue
        pad = rewriter.producer(node.x)
        if isinstance(pad, Pad) and pad.channels == (0, 0) and rewriter.read_once(node.x):
            merged = _merged(node, pad, rewriter.producer(pad.x))
            if merged is not None:
                rewriter.replace(node, merged)
                rewriter.bypass(pad)
    return rewriter.draft()


def _merged(
    node: Conv2d | AvgPool2d | MaxPool2d, pad: Pad, above: Operator | None
) -> Operator | None:
    padding = _sum(node.padding, pad.padding)
    if isinstance(node, Conv2d):
        return node.replace(padding=padding)
    if max(padding) >= min(node.kernel):
        return None  # a window of a pool must hold an element
    match node:
        case AvgPool2d():
            return node.replace(padding=padding, counted=_sum(node.counted, pad.padding))
        case MaxPool2d():
            positive = isinstance(above, Clamp) and above.low is not None and above.low >= 0.0
            return node.replace(padding=padding) if positive and node.dilation == (1, 1) else None


def _sum(a: Pads, b: Pads) -> Pads:
    return (a[0] + b[0], a[1] + b[1], a[2] + b[2], a[3] + b[3])
