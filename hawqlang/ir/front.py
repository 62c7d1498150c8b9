"""Front: the allocations of a build that no other beats in both of two metrics."""

from __future__ import annotations

from fractions import Fraction
from typing import Literal

from hawqlang.base import Frozen, Precision
from hawqlang.ir.spec import Metric


class Axis(Frozen):
    """A metric along which allocations are compared."""

    metric: Metric
    sense: Literal["minimize", "maximize"]
    unit: Literal["B", "s", "MACs", "BOPS", "", "%"]


class Corner(Frozen):
    """The best allocation within one budget, as it is kept in the cache."""

    precisions: tuple[Precision, ...]
    """One a layer, in execution order; empty where no allocation was found."""
    proven: bool
    """No other allocation is at least as good in both metrics and better in one."""
    gap: float
    """Proven relative distance from the best; 0 when proven."""


class FrontPoint(Frozen):
    """One allocation of a front."""

    x: Fraction
    """In base units, exact; so is ``y``."""
    y: Fraction
    proven: bool
    """No other allocation is at least as good in both metrics and better in one."""
    gap: float
    """Where not proven: how much better it could be within its budget, relative."""
    layers: tuple[tuple[str, Precision], ...]


class AxisBound(Frozen):
    """A bound of the spec that lies on an axis."""

    constraint: str
    text: str
    axis: Literal["x", "y"]
    value: Fraction
    relaxed: bool
    """Whether the front was made without it."""


class Front(Frozen):
    """The front of two metrics.

    For every allocation there is a point that is no worse in ``y`` and worse in ``x`` by less than
    ``resolution``; at resolution 0 the points are all allocations that no other beats.
    """

    build: str
    x: Axis
    y: Axis
    points: tuple[FrontPoint, ...]
    """By ``x``, the best first."""
    chosen: FrontPoint | None
    """What the spec itself chooses; ``None`` where it cannot be met."""
    resolution: Fraction
    """In units of ``x``."""
    bounds: tuple[AxisBound, ...] = ()
    relaxed: tuple[str, ...] = ()
    """Names of the constraints left out."""
    at_build: tuple[str, ...] = ()
    """Names of those on the accuracy, which only a build can decide."""

    def status(self) -> Literal["optimal", "feasible"]:
        """Return whether every point is proven."""
        return "optimal" if all(point.proven for point in self.points) else "feasible"

    def is_chosen(self, point: FrontPoint) -> bool:
        """Return whether the spec's own choice is as good as this point."""
        chosen = self.chosen
        return chosen is not None and (chosen.x, chosen.y) == (point.x, point.y)
