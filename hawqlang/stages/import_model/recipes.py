"""How a parameter's value follows from the tensors of a weight source, without reading any of them.

Front ends and passes work on recipes alone, so a graph imported without weights has the same names and shapes as one
imported with them. ``materialise.py`` evaluates a recipe, one parameter at a time.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import assert_never

Shape = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Stored:
    """The tensor a weight source holds under ``key``."""

    key: str
    shape: Shape


@dataclass(frozen=True, slots=True)
class Filled:
    """A tensor with one value everywhere."""

    value: float
    shape: Shape


@dataclass(frozen=True, slots=True)
class Transposed:
    """The transpose of a matrix."""

    of: Recipe

    @property
    def shape(self) -> Shape:
        """Return the shape after transposition."""
        return self.of.shape[::-1]


@dataclass(frozen=True, slots=True)
class Reshaped:
    """The same elements in the same order, broadcast from one element where ``shape`` holds more."""

    of: Recipe
    shape: Shape


@dataclass(frozen=True, slots=True)
class Scaled:
    """``of · factor``, or ``1 / of`` times ``factor`` where ``inverse``."""

    of: Recipe
    factor: float
    inverse: bool = False

    @property
    def shape(self) -> Shape:
        """Return the unchanged shape."""
        return self.of.shape


@dataclass(frozen=True, slots=True)
class Norm:
    """Batch norm statistics, one number per channel; ``name`` is the operator's own name, for messages."""

    name: str
    gamma: Recipe | None
    beta: Recipe | None
    mean: Recipe
    var: Recipe
    epsilon: float


@dataclass(frozen=True, slots=True)
class FoldedWeight:
    """``weight · gamma / sqrt(var + epsilon)`` along axis 0."""

    weight: Recipe
    norm: Norm

    @property
    def shape(self) -> Shape:
        """Return the unchanged shape."""
        return self.weight.shape


@dataclass(frozen=True, slots=True)
class FoldedBias:
    """``(bias - mean) · gamma / sqrt(var + epsilon) + beta``; a missing bias counts as 0."""

    bias: Recipe | None
    norm: Norm

    @property
    def shape(self) -> Shape:
        """Return one element per channel."""
        return self.norm.mean.shape


@dataclass(frozen=True, slots=True)
class SubPixel:
    """The weight ``(OC·sh·sw, IC/g, jh, jw)`` of a convolution that gives every phase of a transposed one.

    ``of`` is the transposed convolution's, ``(IC, OC/g, KH, KW)``. Phase ``r`` of output channel ``oc`` reads its taps
    ``r, r + s, …``, the last of them first; a tap beyond the kernel is 0.
    """

    of: Recipe
    stride: tuple[int, int]
    groups: int

    @property
    def shape(self) -> Shape:
        """Return the shape of the convolution's weight."""
        incoming, outgoing, *kernel = self.of.shape
        taps = (-(-k // s) for k, s in zip(kernel, self.stride, strict=True))
        channels = outgoing * self.groups * self.stride[0] * self.stride[1]
        return (channels, incoming // self.groups, *taps)


@dataclass(frozen=True, slots=True)
class Repeated:
    """Every element of a vector ``times`` times in a row."""

    of: Recipe
    times: int

    @property
    def shape(self) -> Shape:
        """Return the longer shape."""
        return (self.of.shape[0] * self.times,)


Recipe = (
    Stored
    | Filled
    | Transposed
    | Reshaped
    | Scaled
    | FoldedWeight
    | FoldedBias
    | SubPixel
    | Repeated
)


def stored_in(recipes: Iterable[Recipe | None]) -> list[Stored]:
    """Return every stored tensor that recipes are made of."""
    found: list[Stored] = []
    for recipe in recipes:
        match recipe:
            case Stored():
                found.append(recipe)
            case Transposed() | Reshaped() | Scaled() | SubPixel() | Repeated():
                found += stored_in([recipe.of])
            case FoldedWeight(first, norm) | FoldedBias(first, norm):
                found += stored_in([first, norm.gamma, norm.beta, norm.mean, norm.var])
            case Filled() | None:
                pass
            case _:
                assert_never(recipe)
    return found
