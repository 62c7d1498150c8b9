"""Kernels for AMX, bit for bit: on the instructions where there are any, everywhere on emulated registers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hawqlang.interpret import interpret
from hawqlang_codegen.tvm.build import build
from hawqlang_codegen.tvm.disassemble import code_sections, instructions
from hawqlang_codegen.tvm.generate import generate, has_kernel, kernels_text
from hawqlang_codegen.tvm.isa import ISAS
from hawqlang_codegen.tvm.plan import Plan, plan_program
from hawqlang_codegen.tvm.run import TvmRunner, variants
from hawqlang_codegen.tvm.worker import compile_one
from tests.semantics.families import FAMILIES, Case
from tests.support.tiles import emulated

AMX, VNNI = (next(isa for isa in ISAS if isa.name == name) for name in ("amx", "vnni"))


def tiled(plan: Plan) -> list[str]:
    return [kernel.name for kernel in plan.kernels if has_kernel(AMX, kernel.context)]


def assert_exact(case: Case, folder: Path) -> Plan:
    """Compare every stored tensor of the emulated library with the interpreter's."""
    program, store = case
    plan = plan_program(program, store)
    build(emulated(generate(plan, store, isas=(AMX, VNNI))), folder, store)
    if "amx" not in variants(folder):
        pytest.skip("emulated tiles need AVX-512 with VNNI beside them")
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (2, *program.tensor(program.input).shape)).astype(np.uint8)
    images[1] = 255
    expected = interpret(program, store, images, keep="all")
    runner = TvmRunner(folder, "amx")
    for i, image in enumerate(images):
        traced = runner.trace(image)
        for name, values in expected.items():
            np.testing.assert_array_equal(traced[name], values[i], name)
    runner.close()
    return plan


@pytest.mark.parametrize("family", ["tiles", "grouped", "affine weights"])
def test_tile_kernels_equal_the_interpreter(family: str, tmp_path: Path) -> None:
    assert len(tiled(assert_exact(FAMILIES[family](7), tmp_path))) >= 4


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize(
    "family", [name for name in sorted(FAMILIES) if name not in ("affines", "moves", "pools")]
)
def test_tile_kernels_equal_the_interpreter_on_more_seeds(
    family: str, seed: int, tmp_path: Path
) -> None:
    assert_exact(FAMILIES[family](2000 + seed), tmp_path)


def test_the_object_uses_tiles_and_nothing_else_new(tmp_path: Path) -> None:
    program, store = FAMILIES["tiles"](7)
    plan = plan_program(program, store)
    library = tmp_path / "kernels.o"
    compile_one(kernels_text(plan, AMX), AMX.target, library)
    found: list[str] = []
    for _, address, code in code_sections(library.read_bytes()):
        found += [name for _, name, _ in instructions(code, address)]
    assert found.count("ldtilecfg") == len(tiled(plan))
    for name in ("tileloadd", "tdpbusd", "tilestored"):
        assert found.count(name) >= len(tiled(plan))
    assert ".byte" not in found
