"""Random networks of every operator: each means its node, and every back end agrees with the interpreter."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hawqlang.base import Precision
from hawqlang.interpret import interpret
from hawqlang.ops import Frame, problems
from hawqlang.stages.structure import layer_nodes
from hawqlang_codegen.tvm.build import build
from hawqlang_codegen.tvm.generate import generate
from hawqlang_codegen.tvm.isa import ISAS
from hawqlang_codegen.tvm.plan import plan_program
from hawqlang_codegen.tvm.run import TvmRunner, variants
from tests.support.random_networks import random_network
from tests.unit.stages.lower.harness import Lowered, image, lowered

COMPILED = tuple(isa for isa in ISAS if isa.name in ("vnni", "avx2"))


def random_program(seed: int) -> Lowered:
    """A random network at random precisions, lowered."""
    graph, grower = random_network(seed)
    precisions = {
        node.name: Precision(
            wbits=int(grower.rng.integers(2, 9)), abits=int(grower.rng.integers(2, 9))
        )
        for node in layer_nodes(graph)
    }
    _, height, wide = graph.input.shape
    return lowered((graph, grower.net.store), image(height, wide), precisions)


@pytest.mark.parametrize("seed", range(60))
def test_every_operator_of_a_random_network_means_its_node(seed: int) -> None:
    found = random_program(seed)
    found.assert_every_operator_means_its_node()
    frame = Frame({}, {t.name: t for t in found.program.tensors}, found.store.get)
    assert [p for op in found.program.ops for p in problems(op, frame)] == []


def assert_libraries_are_exact(found: Lowered, folder: Path) -> None:
    """Every tensor that a library stores, on every instruction set of this machine, equals the interpreter's."""
    build(
        generate(plan_program(found.program, found.store), found.store, isas=COMPILED),
        folder,
        found.store,
    )
    expected = interpret(found.program, found.store, found.samples, keep="all")
    for variant in variants(folder):
        runner = TvmRunner(folder, variant)
        for i, sample in enumerate(found.samples):
            for name, values in runner.trace(sample).items():
                np.testing.assert_array_equal(values, expected[name][i], f"{variant} {name}")
        runner.close()


@pytest.mark.parametrize("seed", [4, 6])
def test_libraries_of_random_networks_are_exact(seed: int, tmp_path: Path) -> None:
    assert_libraries_are_exact(random_program(seed), tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(100, 140))
def test_libraries_of_more_random_networks_are_exact(seed: int, tmp_path: Path) -> None:
    assert_libraries_are_exact(random_program(seed), tmp_path)
