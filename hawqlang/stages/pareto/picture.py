"""A front as a picture: the places of everything in it, for whatever draws it.

Places are whole numbers from the top left corner. The staircase says what is proven: an allocation
on its other side is nearer to it in x than the resolution.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise

from hawqlang import units
from hawqlang.ir.front import Axis, Front, FrontPoint
from hawqlang.stages.pareto.scale import Scale, scale

WIDTH, HEIGHT = 9600, 6000
LEFT, RIGHT, TOP, BOTTOM = 1200, 9300, 700, 5200
"""The frame in which points lie."""

TURN = 6600
"""Text beside a place further right than this stands on its left."""

Place = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Mark:
    """A tick or the line of a bound: where on its axis, and its text."""

    at: int
    text: str


@dataclass(frozen=True, slots=True)
class Dot:
    """One allocation."""

    x: int
    y: int
    text: str
    proven: bool
    chosen: bool


@dataclass(frozen=True, slots=True)
class Picture:
    """Context of ``report/pareto.svg.j2``."""

    width: int
    height: int
    left: int
    right: int
    top: int
    bottom: int
    turn: int
    title: str
    x_title: str
    y_title: str
    x_ticks: tuple[Mark, ...]
    y_ticks: tuple[Mark, ...]
    x_bounds: tuple[Mark, ...]
    y_bounds: tuple[Mark, ...]
    stairs: tuple[Place, ...]
    dots: tuple[Dot, ...]
    chosen: Dot | None
    """What the spec itself chooses, on the front or off it."""


def picture(front: Front) -> Picture:
    """Return where everything of a front lies in its picture."""
    shown = [*front.points, *(() if front.chosen is None else (front.chosen,))]
    x_scale = scale(front.x, _values(front, "x", [point.x for point in shown]))
    y_scale = scale(front.y, _values(front, "y", [point.y for point in shown]))
    places = [_place(x_scale, y_scale, point) for point in front.points]
    chosen = front.chosen
    return Picture(
        width=WIDTH,
        height=HEIGHT,
        left=LEFT,
        right=RIGHT,
        top=TOP,
        bottom=BOTTOM,
        turn=TURN,
        title=f"{front.build}: {words(front)}",
        x_title=x_scale.title,
        y_title=y_scale.title,
        x_ticks=tuple(Mark(_across(x_scale, tick.at), tick.text) for tick in x_scale.ticks),
        y_ticks=tuple(Mark(_down(y_scale, tick.at), tick.text) for tick in y_scale.ticks),
        x_bounds=_marks(front, "x", x_scale),
        y_bounds=_marks(front, "y", y_scale),
        stairs=_stairs(places),
        dots=tuple(
            Dot(*place, coordinates(front, point), point.proven, front.is_chosen(point))
            for place, point in zip(places, front.points, strict=True)
        ),
        chosen=None
        if chosen is None
        else Dot(
            *_place(x_scale, y_scale, chosen),
            f"chosen: {coordinates(front, chosen)}",
            chosen.proven,
            chosen=True,
        ),
    )


def words(front: Front) -> str:
    """Return how much of the front the points are, in words."""
    count = len(front.points)
    what = f"{count} non-dominated point{'s' * (count != 1)}"
    if front.status() != "optimal":
        what += ", not all proven"
    if front.resolution == 0:
        return f"{what}: the whole front"
    return f"{what}, resolution {quantity(front.x, front.resolution)} of {front.x.metric}"


def quantity(axis: Axis, number: Fraction) -> str:
    """Return a value of an axis for people."""
    return units.quantity(float(number), axis.unit)


def coordinates(front: Front, point: FrontPoint) -> str:
    """Return both values of a point for people."""
    return f"{quantity(front.x, point.x)}, {quantity(front.y, point.y)}"


def _values(front: Front, side: str, values: Sequence[Fraction]) -> list[float]:
    """Return the values that an axis has to show: points, and bounds not far from them."""
    found = [float(value) for value in values]
    low, high = min(found), max(found)
    reach = (high - low) / 2
    bounds = [float(bound.value) for bound in front.bounds if bound.axis == side]
    return found + [one for one in bounds if low - reach <= one <= high + reach and one > 0]


def _across(own: Scale, value: float) -> int:
    return round(LEFT + own.part(value) * (RIGHT - LEFT))


def _down(own: Scale, value: float) -> int:
    return round(BOTTOM - own.part(value) * (BOTTOM - TOP))


def _place(x_scale: Scale, y_scale: Scale, point: FrontPoint) -> Place:
    return _across(x_scale, float(point.x)), _down(y_scale, float(point.y))


def _marks(front: Front, side: str, own: Scale) -> tuple[Mark, ...]:
    place, axis = (_across, front.x) if side == "x" else (_down, front.y)
    return tuple(
        Mark(place(own, float(bound.value)), f"{bound.constraint}: {quantity(axis, bound.value)}")
        for bound in front.bounds
        if bound.axis == side and own.low <= bound.value <= own.high
    )


def _stairs(places: Sequence[Place]) -> tuple[Place, ...]:
    """Return the line along the front: a budget between two points buys what the better one is."""
    corners = [corner for here, after in pairwise(places) for corner in (here, (after[0], here[1]))]
    return (*corners, *places[-1:])
