"""Whole networks in emulation: concatenations, depthwise layers, residual sums, mixed precisions, batches."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hawqlang.base import Precision
from hawqlang.ops import Concat
from hawqlang_codegen.cuda.arch import ARCHES
from hawqlang_codegen.cuda.context import Conv, Gather
from hawqlang_codegen.cuda.plan import plan_program
from tests.semantics.programs import Builder
from tests.support.zoo_programs import zoo_program
from tests.unit.codegen.cuda.emulated import assert_exact, write
from tests.unit.codegen.tvm.inception import inception

SMALLEST = 75
"""Rows and columns below which a map of Inception has none left."""
W4A4 = Precision(wbits=4, abits=4)
W4A8 = Precision(wbits=4, abits=8)


def test_inception_copies_nothing_on_a_device() -> None:
    b = Builder(np.random.default_rng(0), zero_point=0)
    program = inception(b, SMALLEST)
    plan = plan_program(program, b.store, (ARCHES["sm_80"],), 8)
    assert sum(isinstance(op, Concat) for op in program.ops) == 15
    assert not [step.name for step in plan.steps if isinstance(step.launch, Gather)]


def test_residual_sums_of_a_mixed_network_overwrite_their_operands() -> None:
    program, store = zoo_program("cifar_resnet20", others=(W4A4, W4A8))
    plan = plan_program(program, store, (ARCHES["sm_80"],), 8)
    launches = [step.launch for step in plan.steps if isinstance(step.launch, Conv)]
    assert sum(any(store.in_place for store in launch.stores) for launch in launches) >= 7
    assert {launch.operands[2] for launch in launches} == {"4", "8"}
    assert {launch.form for launch in launches} == {"kSame", "kWidened"}


@pytest.mark.slow
def test_inception_equals_the_interpreter(tmp_path: Path) -> None:
    b = Builder(np.random.default_rng(1), zero_point=0)
    program = inception(b, SMALLEST)
    write(program, b.store, tmp_path, archs=("sm_80",), images=1)
    assert_exact(program, b.store, tmp_path, optimize="-O2")


@pytest.mark.slow
@pytest.mark.parametrize("arch", ["sm_75", "sm_80", "sm_86", "sm_90"])
def test_mobilenet_v2_equals_the_interpreter(arch: str, tmp_path: Path) -> None:
    program, store = zoo_program("mobilenet_v2", W4A8, rng=np.random.default_rng(2))
    write(program, store, tmp_path, archs=(arch,), images=1)
    assert_exact(program, store, tmp_path, optimize="-O2")


@pytest.mark.slow
@pytest.mark.parametrize("images", [8, 64])
def test_a_mixed_network_equals_the_interpreter_at_every_batch(images: int, tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    program, store = zoo_program("cifar_resnet20", others=(W4A4, W4A8), rng=rng)
    write(program, store, tmp_path, images=images)
    assert_exact(program, store, tmp_path, count=images + 1, optimize="-O2")
