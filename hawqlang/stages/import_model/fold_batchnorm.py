"""Folds batch norm into the convolution or linear layer before it.

With ``f = gamma / sqrt(var + epsilon)`` per output channel::

    gamma · (W x + b − mean) / sqrt(var + epsilon) + beta  =  (W · f) x + (b − mean) · f + beta

evaluated in float64 and rounded once to float32 (``materialise.py``). A batch norm stays where its input has another
reader or comes from anything else.
"""

from __future__ import annotations

from hawqlang.ir.graph import BatchNorm, Conv2d, Linear
from hawqlang.stages.import_model.draft import Draft
from hawqlang.stages.import_model.recipes import FoldedBias, FoldedWeight, Norm
from hawqlang.stages.import_model.rewrite import Rewriter


def fold_batchnorm(draft: Draft) -> Draft:
    """Return the draft with every batch norm folded that can be."""
    rewriter = Rewriter(draft)
    for node in rewriter:
        if not isinstance(node, BatchNorm):
            continue
        layer = rewriter.producer(node.x)
        if isinstance(layer, Conv2d | Linear) and rewriter.read_once(node.x):
            _fold(rewriter, layer, node)
    return rewriter.draft()


def _fold(rewriter: Rewriter, layer: Conv2d | Linear, node: BatchNorm) -> None:
    recipes = rewriter.parameters
    norm = Norm(
        name=node.name,
        gamma=recipes.pop(node.gamma) if node.gamma else None,
        beta=recipes.pop(node.beta) if node.beta else None,
        mean=recipes.pop(node.mean),
        var=recipes.pop(node.var),
        epsilon=node.epsilon,
    )
    bias = recipes.get(layer.bias) if layer.bias else None
    bias_name = layer.bias or f"{layer.name}.bias"
    recipes[layer.weight] = FoldedWeight(weight=recipes[layer.weight], norm=norm)
    recipes[bias_name] = FoldedBias(bias=bias, norm=norm)
    rewriter.replace(layer, layer.replace(bias=bias_name))
    rewriter.bypass(node)
