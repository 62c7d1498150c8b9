"""Every kernel, on every instruction set of this machine, against the interpreter: every stored tensor, every bit."""

from __future__ import annotations

import signal
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hawqlang.backend.protocol import Array
from hawqlang.interpret import interpret
from hawqlang.runtime import Model
from hawqlang_codegen.tvm.build import LIBRARY, build, kernel_files
from hawqlang_codegen.tvm.context import Conv, Depthwise, Kernel
from hawqlang_codegen.tvm.disassemble import float_instructions, spills
from hawqlang_codegen.tvm.generate import generate
from hawqlang_codegen.tvm.isa import ISAS, Isa
from hawqlang_codegen.tvm.plan import Plan, plan_program
from hawqlang_codegen.tvm.run import TvmRunner, variants
from tests.semantics.families import FAMILIES, Case, network
from tests.semantics.guards import statuses
from tests.semantics.places import PLACES

ALL = {**FAMILIES, **PLACES}


def assert_exact(case: Case, folder: Path, *, batch: int = 1, isas: tuple[Isa, ...] = ISAS) -> Plan:
    """Build the program and compare every stored tensor of every variant with the interpreter's."""
    program, store = case
    plan = plan_program(program, store)
    build(generate(plan, store, batch=batch, isas=isas), folder, store)
    rng = np.random.default_rng(0)
    shape = program.tensor(program.input).shape
    images = rng.integers(0, 256, (3, *shape)).astype(np.uint8)
    images[1] = rng.choice(np.array([0, 255], dtype=np.uint8), shape)
    images[2] = 255
    expected = interpret(program, store, images, keep="all")
    for variant in variants(folder):
        runner = TvmRunner(folder, variant)
        for i, image in enumerate(images):
            traced = runner.trace(image)
            for name, values in expected.items():
                np.testing.assert_array_equal(traced[name], values[i], f"{variant} {name}")
        np.testing.assert_array_equal(runner.run(images), expected[program.output])
        runner.close()
        assert_equal_on_threads(folder, variant, images, expected)
    return plan


def assert_equal_on_threads(
    folder: Path, variant: str, images: Array, expected: Mapping[str, Array]
) -> None:
    """Threads that share an image store what one alone does."""
    for threads in (2, 5):
        with Model(folder, isa=variant, threads=threads) as model:
            for name, values in model.trace(images[0]).items():
                np.testing.assert_array_equal(
                    values, expected[name][0], f"{variant}, {threads} threads, {name}"
                )


HELD = ("affine weights", "depthwise", "windows")
"""Families whose loops of products are looked at for vectors on the stack."""


def crowded(isa: Isa, kernel: Kernel) -> int:
    """How many vectors the loop of products may keep on the stack, with 16 registers.

    AVX-VNNI: LLVM reads the two or three bytes of a depthwise weight ahead of their products. AVX2: with weights of 4
    bits and few channels a loop is so short that LLVM merges it with its neighbours. One pixel fewer would avoid both
    and take longer.
    """
    if isa.wide:
        return 0
    if isinstance(kernel, Depthwise) and isa.products == "dot":
        return 3 if kernel.planes > 1 else 0
    short = isinstance(kernel, Conv) and kernel.nibbles and kernel.words < 16
    return 5 if short and isa.products == "madd" else 0


def assert_integer_and_confined(plan: Plan, folder: Path) -> None:
    """The library has no floating-point instruction, keeps sums of products in registers, and leaves no buffer."""
    count, floats = float_instructions(folder / LIBRARY)
    assert count > 1000
    assert floats == ()
    for source, isa in kernel_files(folder):
        if isa.base or plan.program.name not in HELD:
            continue
        loops, spilled = spills(source.with_suffix(".o"))
        assert loops > 0
        assert len(spilled) <= 2 * sum(crowded(isa, kernel.context) for kernel in plan.kernels), (
            spilled
        )
    names = variants(folder)
    assert statuses(plan, folder, names, at_end=True) == {0}
    assert statuses(plan, folder, names, at_end=False) == {0}


@pytest.mark.parametrize("family", sorted(ALL))
def test_library_equals_the_interpreter(family: str, tmp_path: Path) -> None:
    plan = assert_exact(ALL[family](7), tmp_path)
    assert_integer_and_confined(plan, tmp_path)


def test_a_run_that_leaves_a_buffer_is_caught(tmp_path: Path) -> None:
    program, store = FAMILIES["codes"](7)
    plan = plan_program(program, store)
    build(generate(plan, store), tmp_path, store)
    names = variants(tmp_path)
    assert statuses(plan, tmp_path, names, at_end=True, short=1088) == {-signal.SIGSEGV}


@settings(max_examples=2, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(seed=st.integers(0, 2**32))
def test_random_networks_equal_the_interpreter(
    seed: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    assert_exact(network(seed), tmp_path_factory.mktemp("network"))


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("family", [*sorted(ALL), "network"])
def test_library_equals_the_interpreter_on_more_seeds(
    family: str, seed: int, tmp_path: Path
) -> None:
    make = network if family == "network" else ALL[family]
    plan = assert_exact(make(1000 + seed), tmp_path)
    assert_integer_and_confined(plan, tmp_path)
