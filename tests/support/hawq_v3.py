"""The 18 allocation problems of HAWQ-V3 as builds: one resource limited at a time."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path
from typing import Any

from hawqlang.ir.layers import Layer, LayerTable
from hawqlang.ir.spec import Build, Compare, Linear, Metric, Term
from tests.support.allocation import (
    SPAN,
    W4,
    W8,
    build,
    metric_form,
    named,
    same,
    word,
)

LEVELS = {"high": Fraction(3, 4), "medium": Fraction(1, 2), "low": Fraction(1, 4)}
RESOURCES: tuple[Metric, ...] = ("size", "bops", "latency")


def table(model: dict[str, Any]) -> LayerTable:
    """Return the layers of one network; a million parameters are a million."""
    layers: list[Layer] = []
    for i, name in enumerate(model["layers"]):
        trace = model["hutchinson_trace_mean"][i]
        error, latency = model["weight_error_sq"], model["latency_ms"]
        layers.append(
            Layer(
                name=name,
                kind="conv",
                params=round(model["params_millions"][i] * 2**20),
                macs=round(model["macs_millions"][i] * 10**6),
                sensitivity=((W4, trace * error["w4"][i]), (W8, trace * error["w8"][i])),
                latency_us=(
                    (W4, latency["w4a4"][i] * 1000),
                    (W8, latency["w8a8"][i] * 1000),
                ),
            )
        )
    ties = tuple(tuple(model["layers"][i] for i in pair) for pair in model["tied_pairs"])
    return LayerTable(layers=tuple(layers), shared_input=ties, from_file=True)


def limited(resource: Metric, level: Fraction) -> Build:
    """Return the build that limits one resource to a share of the way from all 4 to all 8 bits."""
    low, high = metric_form(resource, 1 - level, at=W4), metric_form(resource, level, at=W8)
    terms: tuple[Term, ...] = (*low.terms, *high.terms)
    limit = Linear(dimension=low.dimension, terms=terms)
    return build(
        [
            named("fits", Compare(op="<=", left=metric_form(resource), right=limit, span=SPAN)),
            named("tied", same(word("shared_input"))),
        ],
        precision=(W4, W8),
    )


def networks(folder: Path) -> dict[str, LayerTable]:
    """Return the layer tables of the authors' networks."""
    data = json.loads((folder / "hawq_v3_ilp.json").read_text(encoding="utf-8"))
    return {name: table(model) for name, model in data["models"].items()}
