"""A front as the JSON object that scripts rely on (LANGUAGE, section 10)."""

from __future__ import annotations

from typing import Any

from hawqlang.ir.front import Front, FrontPoint

FORMAT_VERSION = 1


def front_json(front: Front) -> dict[str, Any]:
    """Return the front as ``hawqc pareto --format json`` prints it; numbers in base units."""
    chosen = front.chosen
    return {
        "format_version": FORMAT_VERSION,
        "quantize": front.build,
        "x": front.x.metric,
        "y": front.y.metric,
        "sense": {"x": front.x.sense, "y": front.y.sense},
        "unit": {"x": front.x.unit, "y": front.y.unit},
        "status": front.status(),
        "resolution": float(front.resolution),
        "relaxed": list(front.relaxed),
        "at_build": list(front.at_build),
        "points": [_point(point) | {"chosen": front.is_chosen(point)} for point in front.points],
        "chosen": None if chosen is None else _point(chosen),
    }


def _point(point: FrontPoint) -> dict[str, Any]:
    return {
        "x": float(point.x),
        "y": float(point.y),
        "status": "optimal" if point.proven else "feasible",
        "gap": point.gap,
        "layers": {name: str(precision) for name, precision in point.layers},
    }
