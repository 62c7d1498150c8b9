"""Every kernel in emulation, of every kind of architecture, against the interpreter: every stored tensor, every bit."""

from __future__ import annotations

from itertools import count
from pathlib import Path

import numpy as np
import pytest

from hawqlang.cache import TensorStore
from hawqlang.ir.integer import IntegerProgram
from hawqlang_codegen.cuda import convolutions
from hawqlang_codegen.cuda.arch import ARCHES, Arch
from hawqlang_codegen.cuda.context import Conv, Direct
from hawqlang_codegen.cuda.plan import plan_program
from hawqlang_codegen.cuda.select import TILES, Choice, Gemm
from tests.semantics.families import FAMILIES, network
from tests.semantics.programs import Builder
from tests.unit.codegen.cuda.emulated import KINDS, assert_exact, write

QUICK = ("extremes", "sharing")


def products(seed: int) -> tuple[IntegerProgram, TensorStore]:
    """Products of every kind: nibbles and bytes, signed and not, 4- and 8-bit weights, many windows and channels."""
    b = Builder(np.random.default_rng(seed))
    x = b.affine(b.image(11, 9, 3), signed=True)
    first = b.conv(x, 40, (5, 5), stride=(2, 2), padding=(2, 1, 2, 3), bits=(8,), signed=False)
    same = (0, 0, 0, 0)
    for signed in (False, True):
        y = b.conv(first, 48, (1, 1), padding=same, weight_bits=4, bits=(4,), signed=signed)
        z = b.conv(y, 33, (3, 3), weight_bits=4, bits=(4,), signed=not signed)
        w = b.conv(z, 130, (1, 1), stride=(2, 2), padding=same, weight_bits=4, signed=signed)
        v = b.conv(w, 20, (3, 2), dilation=(2, 1), padding=(2, 1, 2, 0), weight_bits=4, bits=(4,))
        u = b.conv(v, 24, (3, 3), signed=True)
        first = b.conv(u, 40, (3, 3), stride=(1, 1), padding=(2, 2, 1, 1), bits=(8,))
    return b.program(b.linear(b.flatten(first), 70, weight_bits=4, bits=(32,)), "products"), b.store


@pytest.mark.parametrize("family", QUICK)
def test_emulation_equals_the_interpreter(family: str, tmp_path: Path) -> None:
    program, store = FAMILIES[family](7)
    write(program, store, tmp_path)
    assert_exact(program, store, tmp_path)


def test_every_tile_ring_and_split_equals_the_interpreter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    number = count()

    def each(gemm: Gemm, arch: Arch) -> Choice:
        del arch
        i = next(number)
        return Choice(TILES[i % len(TILES)], 2 + i % 3, min(1 + i % 4, gemm.steps), 0)

    monkeypatch.setattr(convolutions, "choose", each)
    program, store = products(5)
    plan = write(program, store, tmp_path, archs=KINDS[1:])
    launches = [step.launch for step in plan.steps if isinstance(step.launch, Conv)]
    assert {launch.form for launch in launches} == {"kSame", "kWidened"}
    assert {launch.operands for launch in launches} == {"kU8S8", "kS8S8", "kU4S4", "kS4S4"}
    assert {variant.parts for launch in launches for variant in launch.variants} >= {1, 2, 3}
    assert_exact(program, store, tmp_path)


def test_what_tensor_cores_do_not_serve_goes_to_the_direct_kernel() -> None:
    program, store = FAMILIES["halves"](7)
    plan = plan_program(program, store, (ARCHES["sm_80"],), 1)
    wide = {t.name for t in program.tensors if t.bits > 8}
    layers = [op for op in program.ops if op.op in ("conv2d", "linear")]
    by_name = {step.name: step.launch for step in plan.steps}
    assert wide
    for op in layers:
        if getattr(op, "x", "") in wide or getattr(op, "groups", 1) > 1:
            assert isinstance(by_name[op.name], Direct)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("family", [*sorted(FAMILIES), "network"])
def test_emulation_equals_the_interpreter_on_more_seeds(
    family: str, seed: int, tmp_path: Path
) -> None:
    make = network if family == "network" else FAMILIES[family]
    program, store = make(2000 + seed)
    write(program, store, tmp_path)
    assert_exact(program, store, tmp_path)
