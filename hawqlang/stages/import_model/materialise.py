"""Evaluates the recipes of a draft's parameters and stores the results: the end of the import.

Arithmetic is float64, rounded once to float32. One parameter is in memory at a time.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import assert_never

import numpy as np
import numpy.typing as npt

from hawqlang.base import Span, TensorRef
from hawqlang.cache import Array, TensorStore
from hawqlang.diagnostics import Diagnostic, HawqError
from hawqlang.ir.graph import Graph
from hawqlang.ir.operands import parameters
from hawqlang.stages.import_model.draft import Draft
from hawqlang.stages.import_model.recipes import (
    Filled,
    FoldedBias,
    FoldedWeight,
    Norm,
    Recipe,
    Repeated,
    Reshaped,
    Scaled,
    Stored,
    SubPixel,
    Transposed,
)

Read = Callable[[str], Array]
"""Gives the floating-point array stored under a key."""

Float64 = npt.NDArray[np.float64]


def materialise(draft: Draft, read: Read, store: TensorStore, span: Span) -> Graph:
    """Return the graph of a draft with every parameter evaluated and stored as float32.

    ``span`` is where the weights were named. NaN and infinity are refused, in what is read and in what is folded.
    """
    findings: list[Diagnostic] = []
    stored: dict[str, TensorRef] = {}
    for node in draft.nodes:
        for name in parameters(node):
            try:
                stored[name] = store.put(_evaluate(draft.parameters[name], read))
            except _NotFiniteError as error:
                findings.append(_not_finite(node.name, error, span))
                break
    if findings:
        raise HawqError(*findings)
    return draft.graph(stored)


class _NotFiniteError(ValueError):
    """``what`` holds or gives ``count`` values that are NaN or infinite."""

    def __init__(self, what: str, count: int, size: int, help_text: str) -> None:
        super().__init__(what)
        self.what = what
        self.count = count
        self.size = size
        self.help_text = help_text


def _not_finite(layer: str, error: _NotFiniteError, span: Span) -> Diagnostic:
    return Diagnostic(
        code="HQ306",
        severity="error",
        message=f"layer '{layer}': {error.what} {error.count} of {error.size} values that are NaN or infinite",
        span=span,
        help=error.help_text,
    )


def _evaluate(recipe: Recipe, read: Read) -> npt.NDArray[np.float32]:
    """Return a parameter as float32."""
    if isinstance(recipe, Stored):
        return _stored(recipe, read).astype(np.float32, copy=False)
    with np.errstate(all="ignore"):  # what becomes of it is checked below
        unrounded = exact(recipe, read)
        value = unrounded.astype(np.float32)
    bad = value.size - int(np.isfinite(value).sum())
    if bad:
        norm = recipe.norm.name if isinstance(recipe, FoldedWeight | FoldedBias) else None
        what = "its parameters give" if norm is None else f"folding batch norm '{norm}' gives"
        raise _NotFiniteError(
            what, bad, value.size, "a running variance must not be negative; export the model again"
        )
    return value


def _stored(recipe: Stored, read: Read) -> Array:
    array = read(recipe.key)
    bad = array.size - int(np.isfinite(array).sum())
    if bad:
        raise _NotFiniteError(
            f"'{recipe.key}' holds",
            bad,
            array.size,
            "train or export the model again; such weights cannot be quantized",
        )
    return array


def exact(recipe: Recipe, read: Read) -> Float64:  # noqa: PLR0911 - one return a recipe
    """Return what a recipe makes of the stored tensors, in float64."""
    match recipe:
        case Stored():
            return _stored(recipe, read).astype(np.float64)
        case Filled():
            return np.full(recipe.shape, recipe.value)
        case Transposed():
            return exact(recipe.of, read).T
        case Reshaped():
            value = exact(recipe.of, read)
            return (
                np.broadcast_to(value.reshape(-1), recipe.shape)
                if value.size == 1
                else value.reshape(recipe.shape)
            )
        case Scaled():
            value = exact(recipe.of, read)
            return recipe.factor / value if recipe.inverse else value * recipe.factor
        case Repeated():
            return np.repeat(exact(recipe.of, read), recipe.times)
        case SubPixel():
            return _sub_pixel(exact(recipe.of, read), recipe)
        case FoldedWeight():
            weight = exact(recipe.weight, read)
            factor = _factor(recipe.norm, read)
            return weight * factor.reshape(-1, *(1,) * (weight.ndim - 1))
        case FoldedBias():
            norm = recipe.norm
            bias = 0.0 if recipe.bias is None else exact(recipe.bias, read)
            shifted = (bias - exact(norm.mean, read)) * _factor(norm, read)
            return shifted if norm.beta is None else shifted + exact(norm.beta, read)
        case _:
            assert_never(recipe)


def _sub_pixel(weight: Float64, recipe: SubPixel) -> Float64:
    """Return the weights of every phase: ``w[g·ic + i, oc, r + (j_last − a)·s]`` at tap ``a``."""
    rows, columns = recipe.stride
    incoming, outgoing, tall, wide = weight.shape
    _, _, taps_down, taps_across = recipe.shape
    padded = np.zeros((incoming, outgoing, taps_down * rows, taps_across * columns))
    padded[:, :, :tall, :wide] = weight
    split = padded.reshape(recipe.groups, -1, outgoing, taps_down, rows, taps_across, columns)[
        :, :, :, ::-1, :, ::-1
    ]
    return split.transpose(0, 2, 4, 6, 1, 3, 5).reshape(recipe.shape)


def _factor(norm: Norm, read: Read) -> Float64:
    factor = 1.0 / np.sqrt(exact(norm.var, read) + norm.epsilon)
    return factor if norm.gamma is None else factor * exact(norm.gamma, read)
