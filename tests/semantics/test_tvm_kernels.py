"""Every kernel, on every instruction set of this machine, against the interpreter: every stored tensor, every bit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hawqlang.interpret import interpret
from hawqlang_codegen.tvm.build import build
from hawqlang_codegen.tvm.generate import generate
from hawqlang_codegen.tvm.plan import plan_program
from hawqlang_codegen.tvm.run import TvmRunner, variants
from tests.semantics.families import FAMILIES, Case


def assert_exact(case: Case, folder: Path, count: int = 2) -> None:
    """Build the program and compare every stored tensor of every variant with the interpreter's."""
    program, store = case
    build(generate(plan_program(program, store), store), folder, store)
    rng = np.random.default_rng(0)
    shape = program.tensor(program.input).shape
    images = rng.integers(0, 256, (count, *shape)).astype(np.uint8)
    images[0] = rng.choice(np.array([0, 255], dtype=np.uint8), shape)
    expected = interpret(program, store, images, keep="all")
    for variant in variants(folder):
        runner = TvmRunner(folder, variant)
        for i, image in enumerate(images):
            traced = runner.trace(image)
            for name, values in expected.items():
                np.testing.assert_array_equal(traced[name], values[i], f"{variant} {name}")
        np.testing.assert_array_equal(runner.run(images), expected[program.output])
        runner.close()


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_library_equals_the_interpreter(family: str, tmp_path: Path) -> None:
    assert_exact(FAMILIES[family](7), tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_library_equals_the_interpreter_on_more_seeds(
    family: str, seed: int, tmp_path: Path
) -> None:
    assert_exact(FAMILIES[family](1000 + seed), tmp_path)
