"""Kernels for AMX, bit for bit: on the instructions where there are any, everywhere on emulated registers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hawqlang.interpret import interpret
from hawqlang_codegen.tvm.build import build
from hawqlang_codegen.tvm.context import Conv, Tiles
from hawqlang_codegen.tvm.disassemble import code_sections, instructions, product_loops, spills
from hawqlang_codegen.tvm.generate import generate, has_kernel, kernels_text
from hawqlang_codegen.tvm.isa import ISAS
from hawqlang_codegen.tvm.plan import Plan, plan_program
from hawqlang_codegen.tvm.run import TvmRunner, variants
from hawqlang_codegen.tvm.worker import compile_one
from tests.semantics.families import FAMILIES, Case, finish, start
from tests.support.tiles import emulated

AMX, VNNI = (next(isa for isa in ISAS if isa.name == name) for name in ("amx", "vnni"))


def tiled(plan: Plan) -> list[str]:
    return [kernel.name for kernel in plan.kernels if has_kernel(AMX, kernel.context)]


def forms(plan: Plan) -> list[Tiles]:
    contexts = [kernel.context for kernel in plan.kernels]
    found = [context.tiles for context in contexts if isinstance(context, Conv)]
    return [tiles for tiles in found if tiles is not None]


def assert_exact(case: Case, folder: Path, *, exchanged: bool = False, threads: int = 1) -> Plan:
    """Compare every stored tensor of the emulated library with the interpreter's."""
    program, store = case
    plan = plan_program(program, store)
    if exchanged:
        others = {one.work: replace(one.choice, exchanged=True) for one in plan.chosen}
        plan = plan_program(program, store, others)
    build(emulated(generate(plan, store, threads=threads, isas=(AMX, VNNI))), folder, store)
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


def weights_of_every_size() -> Case:
    """Weights for each cache and for none, on maps with more rows of tiles than threads share, and with fewer."""
    b, image = start(5, (25, 6, 48))
    x = b.conv(image, 64, signed=False)
    y = b.conv(x, 64, weight_bits=4)
    b.conv(x, 64, (1, 1), padding=(0, 0, 0, 0), addend=y)
    z = b.max_pool(x, (7, 1), stride=(6, 1), padding=(0, 0, 0, 0))
    b.conv(z, 544)
    return finish(b, b.conv(z, 1100, weight_bits=4), "sizes")


@pytest.mark.parametrize(("exchanged", "threads"), [(False, 1), (True, 3)])
def test_the_order_of_loops_changes_nothing(exchanged: bool, threads: int, tmp_path: Path) -> None:
    plan = assert_exact(weights_of_every_size(), tmp_path, exchanged=exchanged, threads=threads)
    assert {tiles.pixels_outside for tiles in forms(plan)} == {False, True}
    assert {tiles.ahead > 0 for tiles in forms(plan)} == {False, True}


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize(
    "family", [name for name in sorted(FAMILIES) if name not in ("affines", "moves", "pools")]
)
def test_tile_kernels_equal_the_interpreter_on_more_seeds(
    family: str, seed: int, tmp_path: Path
) -> None:
    assert_exact(FAMILIES[family](2000 + seed), tmp_path)


def test_the_object_uses_tiles_beside_vectors_and_nothing_else_new(tmp_path: Path) -> None:
    program, store = FAMILIES["tiles"](7)
    plan = plan_program(program, store)
    library = tmp_path / "kernels.o"
    compile_one(kernels_text(plan, AMX), AMX.target, library)
    found: list[str] = []
    loops: list[set[str]] = []
    for _, address, code in code_sections(library.read_bytes()):
        listing = list(instructions(code, address))
        names = [name for _, name, _ in listing]
        loops += [{name for _, name, _ in body} for body in product_loops(listing)]
        found += names
    assert found.count("ldtilecfg") == len(tiled(plan))
    for name in ("tileloadd", "tdpbusd", "tilestored"):
        assert found.count(name) >= len(tiled(plan))
    assert ".byte" not in found
    beside = [names for names in loops if {"tdpbusd", "vpmuldq"} <= names]
    assert len(beside) >= len([tiles for tiles in forms(plan) if tiles.beside <= 2]) >= 3
    assert spills(library)[1] == ()
