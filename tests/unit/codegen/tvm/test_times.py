"""What `latency = measured` asks of the back end: one library for this machine, and which steps do equal work."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np

from hawqlang.backend.protocol import Times
from hawqlang.ir.spec import Device, Target
from hawqlang_codegen.tvm.backend import BACKEND
from hawqlang_codegen.tvm.machine import likely_sets
from tests.semantics.programs import Builder
from tests.support.allocation import SPAN
from tests.unit.codegen.tvm.conftest import Built

DEVICE = Device(
    name="cpu.native",
    family="cpu",
    native=(),
    rates=(),
    bandwidth=Fraction(1),
    cache=None,
    launch=Fraction(0),
)
TARGET = Target(name="here", device=DEVICE, batch=1, threads=1, latency="measured", span=SPAN)


def test_steps_of_equal_kernels_have_one_digest_whatever_their_weights() -> None:
    assert isinstance(BACKEND, Times)
    b = Builder(np.random.default_rng(5))
    x = b.conv(b.affine(b.image(8, 8, 3), bits=8, signed=True), 16, (3, 3))
    for bits in (8, 8, 4):
        x = b.conv(x, 16, (3, 3), weight_bits=bits)
    program = b.program(b.linear(b.flatten(b.avg_pool(x, (8, 8))), 10, bits=(32,)), "four")
    found = BACKEND.kernels(program, b.store)
    assert list(found) == [op.name for op in program.ops]
    stem, first, second, third = (found[op.name] for op in program.ops if op.op == "conv2d")
    assert first == second
    assert len({stem, first, third}) == 3


def test_a_library_for_this_machine_holds_its_set_and_times_every_step(
    built: Built, tmp_path: Path
) -> None:
    assert isinstance(BACKEND, Times)
    runner = BACKEND.library(built.program, TARGET, built.store, tmp_path)
    try:
        assert runner.variant in {isa.name for isa in likely_sets()}
        sets = {path.stem.removeprefix("kernels_") for path in tmp_path.glob("kernels_*.py")}
        assert sets <= {isa.name for isa in likely_sets()}
        times = runner.profile(built.images[0])
        assert list(times) == [op.name for op in built.program.ops]
        np.testing.assert_array_equal(runner.run(built.images), built.logits)
    finally:
        runner.close()


def test_the_machine_and_the_kernels_that_were_timed_have_names() -> None:
    assert isinstance(BACKEND, Times)
    cpu, generation = BACKEND.timed_on()
    assert cpu
    assert generation
    assert (cpu, generation) == BACKEND.timed_on()
