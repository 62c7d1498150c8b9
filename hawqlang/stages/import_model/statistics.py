"""What the batch norms of a network remember of its training data: mean and deviation of every channel.

A batch norm ``gamma · (x - mean) / sqrt(var + epsilon) + beta`` gives, on data like that it was trained on, channels
of mean ``beta`` and deviation ``|gamma| · sqrt(var / (var + epsilon))``. Folding keeps this in no weight of its own,
so it is read from the recipes, where a folded weight still knows its norm.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hawqlang.ir.graph import BatchNorm, Conv2d, Linear
from hawqlang.stages.import_model.draft import Draft
from hawqlang.stages.import_model.materialise import Read, exact
from hawqlang.stages.import_model.recipes import Filled, FoldedWeight, Norm

Float64 = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class ChannelStatistics:
    """The distribution of one value of the graph on the training data, per channel."""

    value: str
    """A folded layer's result before its activation, or what a batch norm of its own gives."""
    mean: Float64
    """``(C,)``."""
    deviation: Float64
    """``(C,)``, standard deviations over samples and positions."""


def channel_statistics(draft: Draft, read: Read) -> tuple[ChannelStatistics, ...]:
    """Return the statistics of every value that a batch norm made, in execution order.

    Args:
        draft: The normalised network; its parameters still say which norm was folded into them.
        read: Gives stored tensors.
    """
    found = ((value, _moments(norms, read)) for value, norms in _norms(draft))
    return tuple(ChannelStatistics(value, *moments) for value, moments in found if moments)


def _norms(draft: Draft) -> Iterator[tuple[str, tuple[Norm, ...]]]:
    """Yield every value that norms made, with these, the last first."""
    recipes = draft.parameters
    for node in draft.nodes:
        match node:
            case Conv2d() | Linear():
                norms: list[Norm] = []
                recipe = recipes[node.weight]
                while isinstance(recipe, FoldedWeight):
                    norms.append(recipe.norm)
                    recipe = recipe.weight
                yield node.output, tuple(norms)
            case BatchNorm():
                norm = Norm(
                    name=node.name,
                    gamma=recipes[node.gamma] if node.gamma else None,
                    beta=recipes[node.beta] if node.beta else None,
                    mean=recipes[node.mean],
                    var=recipes[node.var],
                    epsilon=node.epsilon,
                )
                yield node.output, (norm,)
            case _:
                pass


def _moments(norms: tuple[Norm, ...], read: Read) -> tuple[Float64, Float64] | None:
    """Return mean and deviation after norms, the last first; ``None`` where none of them saw data.

    A multiplication by constants is a norm of mean 0 and variance 1 in this representation: it moves and scales what
    the norm before it gives.
    """
    if not norms:
        return None
    norm = norms[0]
    gamma = np.ones(norm.var.shape) if norm.gamma is None else exact(norm.gamma, read)
    beta = np.zeros(norm.var.shape) if norm.beta is None else exact(norm.beta, read)
    variance = exact(norm.var, read)
    if not (isinstance(norm.mean, Filled) and isinstance(norm.var, Filled)):
        return beta, np.abs(gamma) * np.sqrt(variance / (variance + norm.epsilon))
    inner = _moments(norms[1:], read)
    if inner is None:
        return None
    factor = gamma / np.sqrt(variance + norm.epsilon)
    return (inner[0] - exact(norm.mean, read)) * factor + beta, inner[1] * np.abs(factor)
