"""Folds batch norm into the convolution or linear layer before it.

With ``f = gamma / sqrt(var + epsilon)`` per output channel::

    gamma · (W x + b − mean) / sqrt(var + epsilon) + beta  =  (W · f) x + (b − mean) · f + beta

evaluated in float64 and rounded once to float32 (``materialise.py``). A batch norm stays where its input has another
reader or comes from anything else; behind a transposed convolution it reaches the convolution through its pixels.
"""

from __future__ import annotations

from hawqlang.ir.graph import BatchNorm, Conv2d, Linear, Rearrange, Slice
from hawqlang.stages.import_model.draft import Draft
from hawqlang.stages.import_model.recipes import (
    Filled,
    FoldedBias,
    FoldedWeight,
    Norm,
    Recipe,
    Repeated,
)
from hawqlang.stages.import_model.rewrite import Rewriter


def fold_batchnorm(draft: Draft) -> Draft:
    """Return the draft with every batch norm folded that can be."""
    rewriter = Rewriter(draft)
    for node in rewriter:
        if not isinstance(node, BatchNorm):
            continue
        layer, phases = _computed_by(rewriter, node.x)
        if layer is not None:
            _fold(rewriter, layer, node, phases)
    return rewriter.draft()


def _computed_by(rewriter: Rewriter, value: str) -> tuple[Conv2d | Linear | None, int]:
    """Return the layer whose result a value holds and nothing else reads, and in how many of its channels each is.

    Behind a transposed convolution that is one per phase of its stride: channels became pixels, and edges were cut.
    """
    phases = 1
    while rewriter.read_once(value):
        match rewriter.producer(value):
            case Conv2d() | Linear() as layer:
                return layer, phases
            case Slice(x=x, start=(0, *_), step=(1, 1, 1)) if (
                rewriter.shapes[x][0] == (rewriter.shapes[value][0])
            ):
                value = x
            case Rearrange(x=x, view=(_, tall, wide, _, _), order=(0, 3, 1, 4, 2)) if phases == 1:
                value, phases = x, tall * wide
            case _:
                return None, 1
    return None, 1


def _fold(rewriter: Rewriter, layer: Conv2d | Linear, node: BatchNorm, phases: int) -> None:
    recipes = rewriter.parameters

    def taken(name: str) -> Recipe:
        own = recipes.pop(name)
        if isinstance(own, Filled):
            return Filled(own.value, (own.shape[0] * phases,))
        return own if phases == 1 else Repeated(own, phases)

    norm = Norm(
        name=node.name,
        gamma=taken(node.gamma) if node.gamma else None,
        beta=taken(node.beta) if node.beta else None,
        mean=taken(node.mean),
        var=taken(node.var),
        epsilon=node.epsilon,
    )
    bias = recipes.get(layer.bias) if layer.bias else None
    bias_name = layer.bias or f"{layer.name}.bias"
    recipes[layer.weight] = FoldedWeight(weight=recipes[layer.weight], norm=norm)
    recipes[bias_name] = FoldedBias(bias=bias, norm=norm)
    rewriter.replace(layer, layer.replace(bias=bias_name))
    rewriter.bypass(node)
