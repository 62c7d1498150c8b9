"""The integer-only gate."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hawqlang_codegen.tvm.disassemble import (
    float_instructions,
    innermost_loops,
    instructions,
    is_float,
    spills,
)
from hawqlang_codegen.tvm.generate import kernels_text
from hawqlang_codegen.tvm.isa import ISAS, Isa
from hawqlang_codegen.tvm.plan import plan_program
from hawqlang_codegen.tvm.worker import compile_one
from tests.semantics.programs import Builder

PLANTED = """
from tvm.script import ir as I
from tvm.script import tirx as T


@I.ir_module(s_tir=True)
class Kernels:
    @T.prim_func(s_tir=True)
    def planted(a: T.handle("{dtype}"), o: T.handle("{dtype}")):
        T.func_attr({{"tirx.noalias": True, "calling_conv": 1}})
        A = T.decl_buffer((16,), "{dtype}", data=a)
        O = T.decl_buffer((16,), "{dtype}", data=o)
        for i in T.vectorized(16):
            O[i] = A[i] * A[i]
"""


@pytest.mark.parametrize(
    "mnemonic",
    [
        *("addps", "vmulpd", "vfmadd231ps", "vfnmsub132sd", "divss", "sqrtsd", "vrsqrt14ps"),
        *("cvtdq2ps", "vcvttps2dq", "cvtsi2sd", "vcmpps", "cmpeqsd", "ucomiss", "vmaxps", "minsd"),
        *(
            "roundps",
            "vrndscaleps",
            "haddps",
            "vdpps",
            "vdpbf16ps",
            "fld",
            "fmul",
            "fistp",
            "vaddph",
        ),
    ],
)
def test_floating_point_is_recognised(mnemonic: str) -> None:
    assert is_float(mnemonic)


@pytest.mark.parametrize(
    "mnemonic",
    [
        *("vmovaps", "movss", "vxorps", "andnpd", "vshufps", "vunpcklps", "vblendvps", "vpermilps"),
        *(
            "vbroadcastss",
            "vinsertf128",
            "vextractf64x4",
            "vpmuldq",
            "vpdpbusd",
            "vpaddd",
            "pmaddwd",
        ),
        *(
            "vpmaxsd",
            "vpackusdw",
            "vpsravd",
            "add",
            "imul",
            "cmp",
            "vmovshdup",
            "vpcmpd",
            "vpermt2ps",
        ),
        *("vpminsd", "cmpxchg", "maxs", "shufps", "movmskps", "vptestmd", "subq", "packssdw"),
    ],
)
def test_moves_logic_and_integers_are_not_floating_point(mnemonic: str) -> None:
    assert not is_float(mnemonic)


@pytest.mark.parametrize("isa", ISAS, ids=lambda isa: isa.name)
@pytest.mark.parametrize(("dtype", "planted"), [("float32", True), ("int32", False)])
def test_a_planted_float_kernel_is_found(
    tmp_path: Path, isa: Isa, dtype: str, planted: bool
) -> None:
    compile_one(PLANTED.format(dtype=dtype), isa.target, tmp_path / "kernels.o")
    count, found = float_instructions(tmp_path / "kernels.o")
    assert count > 3
    assert bool(found) is planted
    assert all("vmulps" in text for text in found)


def test_avx_vnni_is_read_although_the_disassembler_does_not_know_it() -> None:
    code = bytes.fromhex("c4e2 7550c2  c4a2 6d50 84 90 00010000  c5f458c2  0fff")
    found = [(at, name) for at, name, _ in instructions(code, 0x10)]
    assert found[:3] == [(0x10, "vpdpbusd"), (0x15, "vpdpbusd"), (0x1F, "vaddps")]
    assert "nop" not in {name for _, name in found}


def test_bytes_that_are_no_instruction_are_reported() -> None:
    names = [name for _, name, _ in instructions(bytes.fromhex("06 90"), 0)]
    assert names == [".byte", "nop"]


CROWDED = """
from tvm.script import ir as I
from tvm.script import tirx as T


@I.ir_module(s_tir=True)
class Kernels:
    @T.prim_func(s_tir=True)
    def crowded(a: T.handle("int16"), b: T.handle("int16"), o: T.handle("int32"), n: T.int32):
        T.func_attr({{"tirx.noalias": True, "calling_conv": 1}})
        A = T.decl_buffer((4096,), "int16", data=a)
        B = T.decl_buffer((4096,), "int16", data=b)
        O = T.decl_buffer((256,), "int32", data=o)
        acc = T.alloc_buffer(({sums} * 8,), "int32")
        for p in T.unroll({sums}):
            acc[T.ramp(p * 8, 1, 8)] = T.broadcast(0, 8)
        for k in range(n):
            for p in T.unroll({sums}):
                acc[T.ramp(p * 8, 1, 8)] = acc[T.ramp(p * 8, 1, 8)] + T.call_llvm_pure_intrin(
                    "int32x8", "llvm.x86.avx2.pmadd.wd", A[T.ramp(k * 16, 1, 16)], B[T.ramp(p * 16 + k, 1, 16)]
                )
        for p in T.unroll({sums}):
            O[T.ramp(p * 8, 1, 8)] = acc[T.ramp(p * 8, 1, 8)]
"""


@pytest.mark.parametrize(("sums", "crowded"), [(20, True), (10, False)])
def test_sums_that_registers_have_no_room_for_are_found(
    tmp_path: Path, sums: int, crowded: bool
) -> None:
    compile_one(CROWDED.format(sums=sums), ISAS[-1].target, tmp_path / "kernels.o")
    loops, found = spills(tmp_path / "kernels.o")
    assert loops >= 1
    assert bool(found) is crowded


def test_a_loop_is_found_wherever_its_parts_stand() -> None:
    around = [(0, "mov", ""), (1, "add", ""), (2, "jmp", "0x6"), (3, "sub", ""), (4, "jne", "0x1")]
    within = [(5, "ret", ""), (6, "vpmaddwd", ""), (7, "jne", "0x6"), (8, "jmp", "0x3")]
    assert innermost_loops(around + within) == [[6, 7]]
    assert innermost_loops([(0, "nop", ""), *around[1:2], (2, "je", "0x1")]) == [[1, 2]]
    assert innermost_loops([*around[:2], (2, "jmp", "rax"), (3, "ret", "")]) == []


CROWDED_SETS = {"avx2": 15}
"""Accesses to the stack in loops of products that 16 registers do not spare: a strided convolution with weights of 4
bits keeps two vectors there, a 5x5 depthwise one five."""


@pytest.mark.parametrize("isa", ISAS, ids=lambda isa: isa.name)
def test_no_loop_of_products_spills(tmp_path: Path, isa: Isa) -> None:
    b = Builder(np.random.default_rng(3))
    x = b.conv(b.affine(b.image(14, 14, 3)), 64, signed=False)
    y = b.conv(x, 96, addend=None)
    b.conv(x, 64, addend=x)
    b.conv(y, 64, (1, 1), padding=(0, 0, 0, 0))
    b.conv(y, 33, stride=(2, 2))
    b.conv(x, 48, stride=(2, 2), weight_bits=4)
    for size in (3, 5):
        b.conv(x, 64, (size, size), groups=64)
    b.conv(b.conv(x, 32, bits=(16,)), 32, groups=32)
    plan = plan_program(b.program(b.linear(b.flatten(y), 40, bits=(32,))), b.store)
    compile_one(kernels_text(plan, isa), isa.target, tmp_path / "kernels.o")
    loops, found = spills(tmp_path / "kernels.o")
    assert loops >= (1 if isa.base else 3)
    assert len(found) <= CROWDED_SETS.get(isa.name, 0), found
