"""The authors' own 18 problems, and generated ones, against another solver."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.optimize import (
    Bounds,
    LinearConstraint,
    milp,  # pyright: ignore[reportUnknownVariableType]
)
from typer.testing import CliRunner

from benchmarks.allocation_instances import HAWQ_V3, hawq_v3, instance
from hawqlang.base import Precision
from hawqlang.cli.app import make_app
from hawqlang.ir.candidates import Candidate
from hawqlang.ir.layers import LayerTable
from hawqlang.ir.spec import Build, MetricTerm
from hawqlang.stages.allocate.solve import allocate
from hawqlang.stages.candidates import candidates
from hawqlang.stages.candidates.metrics import facts, value
from hawqlang.stages.candidates.predicates import holds, linear
from hawqlang.stages.import_model.layer_file import read_layer_table
from tools.hawq_v3_tables import MILLION, table, written

PERTURBATION = MetricTerm(metric="perturbation")


def amount(metric: str, one: Candidate) -> float:
    known = {
        "size": Fraction(one.size_bits, 8),
        "bops": Fraction(one.bops),
        "latency": one.latency,
        "perturbation": one.perturbation,
    }
    return float(known[metric] or 0)


def minimised(cost: NDArray[np.float64], limits: list[LinearConstraint]) -> NDArray[np.float64]:
    found: Any = milp(
        cost,
        integrality=np.ones(len(cost)),
        bounds=Bounds(0, 1),
        constraints=limits,
        options={"mip_rel_gap": 0},
    )
    return np.asarray(found.x, dtype=np.float64)


def best_by_highs(spec: Build, table: LayerTable) -> Fraction:
    """Return the least perturbation of a problem of sums and ties by HiGHS at gap 0.

    The point it finds in floats is checked and priced exactly.
    """
    offered = candidates(spec, table, None)
    known = facts(spec, table, offered)
    count, width = len(table.layers), len(spec.precision)
    flat = [one for own in offered.layers for one in own.candidates]
    limits = [LinearConstraint(np.kron(np.eye(count), np.ones(width)), 1, 1)]
    for constraint in spec.constraints:
        if constraint.predicate.kind == "compare":
            term = constraint.predicate.left.terms[0].of
            assert isinstance(term, MetricTerm)
            cap = float(linear(known, constraint.predicate.right, ()))
            row = np.array([amount(term.metric, one) / cap for one in flat])
            limits.append(LinearConstraint(row, -np.inf, 1))
    for group in table.shared_input:
        for other in group[1:]:
            link = np.zeros((width, count, width))
            link[np.arange(width), known.index[group[0]], np.arange(width)] = 1
            link[np.arange(width), known.index[other], np.arange(width)] = -1
            limits.append(LinearConstraint(link.reshape(width, -1), 0, 0))
    cost = np.array([amount("perturbation", one) for one in flat])
    chosen = minimised(cost / cost.max(), limits).reshape(count, width).argmax(axis=1)
    allocation = tuple(spec.precision[int(k)] for k in chosen)
    assert all(holds(known, one.predicate, allocation) for one in spec.constraints)
    return value(known, PERTURBATION, allocation)


def proven_optimum(spec: Build, table: LayerTable) -> Fraction:
    offered = candidates(spec, table, None)
    plan = allocate(spec, table, offered)
    assert plan.status == "optimal"
    assert plan.gap == 0
    known = facts(spec, table, offered)
    return value(known, PERTURBATION, tuple(plan.allocation().values()))


def test_the_specs_of_hawq_v3_hold_its_18_problems() -> None:
    names = [name for name, _, _ in hawq_v3()]
    assert names == [
        f"{network}, {metric}, {level}"
        for network in ("resnet18", "resnet50")
        for metric in ("size", "bops", "latency")
        for level in ("high", "medium", "low")
    ]


@pytest.mark.parametrize("name", ["resnet18", "resnet50"])
def test_a_table_of_hawq_v3_is_what_its_tool_writes(data_dir: Path, name: str) -> None:
    facts = json.loads((data_dir / "hawq_v3_ilp.json").read_text(encoding="utf-8"))["models"]
    committed = (HAWQ_V3 / f"{name}.layers.json").read_text(encoding="utf-8")
    assert committed == written(table(name, facts[name]))


@pytest.mark.parametrize("name", ["resnet18", "resnet50"])
def test_the_totals_of_a_table_are_the_published_ones(data_dir: Path, name: str) -> None:
    """In the authors' units: BOPS in 64ths of a million, latency in milliseconds."""
    facts = json.loads((data_dir / "hawq_v3_ilp.json").read_text(encoding="utf-8"))["models"]
    layers = read_layer_table(HAWQ_V3 / f"{name}.layers.json").layers
    totals = facts[name]["totals"]
    for bits, key in ((4, "all4"), (8, "all8")):
        own = Precision(wbits=bits, abits=bits)
        work = sum(layer.macs * bits * bits for layer in layers) / 1024 / 10**6
        time = sum(dict(layer.latency_us)[own] for layer in layers) / 1000
        size = sum(layer.params * bits for layer in layers) / 8 / MILLION[name]
        assert work == pytest.approx(totals["bops"][key])
        assert time == pytest.approx(totals["latency"][key])
        assert size == pytest.approx(totals["modelsize"][key])


def test_checking_the_specs_of_hawq_v3_finds_nothing() -> None:
    files = sorted(str(path) for path in HAWQ_V3.glob("*.hawq"))
    assert (
        CliRunner()
        .invoke(make_app(), ["check", *files])
        .output.endswith(f"{len(files)} files checked: no findings\n")
    )


@pytest.mark.parametrize("number", range(18))
def test_each_problem_of_hawq_v3_is_solved_to_the_proven_optimum(number: int) -> None:
    _, spec, table = list(hawq_v3())[number]

    assert proven_optimum(spec, table) == best_by_highs(spec, table)


@pytest.mark.parametrize(
    ("network", "count", "share", "seed"),
    [
        ("resnet18", 2, Fraction(1, 2), 0),
        ("resnet18", 9, Fraction(3, 10), 1),
        ("resnet50", 5, Fraction(1, 2), 2),
        ("resnet50", 9, Fraction(3, 10), 1),
        ("mobilenetv2", 3, Fraction(7, 10), 0),
        ("mobilenetv2", 5, Fraction(3, 10), 0),
        ("vit_b", 3, Fraction(1, 2), 0),
        ("synthetic100", 5, Fraction(1, 2), 0),
    ],
)
def test_a_generated_problem_is_solved_as_well_as_by_highs(
    network: str, count: int, share: Fraction, seed: int
) -> None:
    spec, table = instance(network, count, share, seed)

    ours, theirs = proven_optimum(spec, table), best_by_highs(spec, table)

    # Both are exact sums; HiGHS stops within its own tolerance of the optimum.
    assert ours <= theirs
    assert float(theirs - ours) <= 1e-6 * float(ours)
