"""Text forms of programs, graphs, ranges and plans."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from hawqlang.base import NOWHERE, Precision
from hawqlang.cache import TensorStore
from hawqlang.ir.graph import Graph
from hawqlang.ir.plan import BitPlan, ConflictMember, ConstraintResult, LayerChoice, Suggestion
from hawqlang.ir.printer import graph_text, plan_text, program_text, ranges_text
from hawqlang.ir.ranges import RangeTable, TensorRange
from hawqlang.stages.lower import LowerSettings, lower
from hawqlang.stages.structure import forms, layer_nodes, nonnegative
from tests.conftest import Golden
from tests.unit.stages.lower.harness import image
from tests.unit.stages.lower.test_networks import (
    inception,
    late_clamps,
    preactivation,
    signed_sums,
)
from tests.unit.stages.nets import residual_net

W8A8, W4A4 = Precision(wbits=8, abits=8), Precision(wbits=4, abits=4)
NETS: dict[str, Callable[[], tuple[Graph, TensorStore]]] = {
    "residual": residual_net,
    "inception": inception,
    "preactivation": preactivation,
    "late_clamps": late_clamps,
    "signed_sums": signed_sums,
}


def fixed_ranges(graph: Graph, precisions: dict[str, Precision]) -> RangeTable:
    """Return ranges that no floating-point kernel has touched, so that the text is the same everywhere."""
    abits = {name: precision.abits for name, precision in precisions.items()}
    needed = {f for wanted in forms(graph, abits, 8).values() for f in wanted if f.bits <= 8}
    positive = nonnegative(graph)
    return RangeTable(
        ranges=tuple(
            TensorRange(
                tensor=form.root,
                bits=form.bits,
                low=0.0 if form.root in positive else -1.25,
                high=2.5,
            )
            for form in sorted(needed)
        ),
        method="minmax",
        samples=64,
    )


@pytest.mark.parametrize("name", NETS)
def test_a_program_prints_the_same_everywhere(name: str, golden: Golden) -> None:
    graph, store = NETS[name]()
    layers = layer_nodes(graph)
    precisions = {node.name: (W8A8, W4A4)[i % 2] for i, node in enumerate(layers)}
    _, height, wide = graph.input.shape
    settings = LowerSettings(input=image(height, wide))
    table = fixed_ranges(graph, precisions)
    program, _ = lower(graph, table, precisions, settings, store)
    golden.check(f"program/{name}.txt", program_text(program, store))
    golden.check(f"graph/{name}.txt", graph_text(graph))


def test_ranges_print_per_tensor_and_width() -> None:
    table = RangeTable(
        ranges=(
            TensorRange(tensor="x", bits=8, low=-2.125, high=2.5),
            TensorRange(tensor="relu", bits=4, low=0.0, high=1 / 3, scheme="symmetric"),
        ),
        method="percentile(99.99%)",
        samples=128,
    )
    assert ranges_text(table) == (
        "ranges percentile(99.99%) affine from 128 samples\n"
        "  x @8: [-2.125, 2.5]\n"
        "  relu @4: [0, 0.333333333] symmetric\n"
    )


def test_a_plan_prints_layers_constraints_and_conflicts() -> None:
    choice = LayerChoice(
        name="conv1",
        kind="conv",
        precision=W4A4,
        candidates=(W4A4, W8A8),
        params=432,
        macs=442368,
        sensitivity=((W4A4, 0.5),),
        latency_us=(),
    )
    fits = ConstraintResult(
        name="fits", text="size <= 6 MiB", value=100.0, bound=128.0, slack=28.0, unit="B"
    )
    good = ConstraintResult(
        name="good",
        text="accuracy_drop <= 1%",
        value=None,
        bound=None,
        slack=None,
        holds=None,
    )
    plan = BitPlan(
        build="net_on_cpu",
        status="optimal",
        gap=0.0,
        objective=(("perturbation", 0.25),),
        metrics=(("size_bytes", 216.0),),
        layers=(choice,),
        constraints=(fits, good),
        conflict=(ConflictMember(name="tight", span=NOWHERE, text="size <= 1 B"),),
        suggestions=(Suggestion(constraint="tight", text="size <= 216 B", value=216.0),),
        notes=("a note",),
    )
    assert plan_text(plan) == (
        "plan net_on_cpu: optimal gap 0\n"
        "  goal perturbation = 0.25\n"
        "  size_bytes = 216\n"
        "  layer conv1 (conv) w4a4 of w4a4, w8a8 params=432 macs=442368\n"
        "  constraint fits: size <= 6 MiB: holds value=100 bound=128\n"
        "  constraint good: accuracy_drop <= 1%: at build\n"
        "  conflict tight: size <= 1 B\n"
        "  suggestion tight: size <= 216 B\n"
        "  note: a note\n"
    )
