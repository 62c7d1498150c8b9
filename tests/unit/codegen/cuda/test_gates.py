"""What is looked for in device code: floating point, local memory, products that are not on tensor cores."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from hawqlang_codegen.cuda import gates
from hawqlang_codegen.cuda.build import find_nvcc

LISTING = """
code for sm_80
\t\tFunction : conv_igemm_1
        /*0000*/                   IMAD.MOV.U32 R1, RZ, RZ, c[0x0][0x28] ;
        /*0010*/              @!P0 HFMA2.MMA R4, -RZ, RZ, 0, 0 ;
        /*0020*/                   IMMA.16832.S8.S8 R4, R8.ROW, R10.COL, R4 ;
"""
PLANTED = """        /*0030*/                   {}
"""


def test_integer_code_on_tensor_cores_passes() -> None:
    assert gates.check_sass(LISTING) == gates.Finding(3, ())


@pytest.mark.parametrize(
    "instruction",
    [
        "FFMA R5, R0, R5, 1 ;",
        "@P1 FADD.FTZ R9, -RZ, -R4 ;",
        "I2F.U32.RP R0, R3 ;",
        "F2I.FTZ.U32.TRUNC.NTZ R3, R0 ;",
        "MUFU.RCP R0, R0 ;",
        "HFMA2.MMA R4, R5, R6, R7 ;",
        "HMMA.16816.F32 R4, R8, R10, R4 ;",
        "DSETP.GT.AND P0, PT, R2, RZ, PT ;",
        "FSEL R5, RZ, 1, !P0 ;",
    ],
)
def test_a_floating_point_instruction_is_found(instruction: str) -> None:
    found = gates.check_sass(LISTING + PLANTED.format(instruction))
    assert len(found.problems) == 1
    assert found.problems[0].startswith("sm_80 conv_igemm_1: ")


def test_local_memory_is_found() -> None:
    found = gates.check_sass(LISTING + PLANTED.format("STL [R1+0x4], R6 ;"))
    assert found.problems == ("sm_80 conv_igemm_1: STL [R1+0x4], R6",)


def test_products_that_are_not_on_tensor_cores_are_found() -> None:
    plain = "".join(
        f"        /*{16 * i:04x}*/                   IMAD R1, R2, R3, R4 ;\n"
        for i in range(gates.EMPTY + 1)
    )
    listing = f"code for sm_90\n\t\tFunction : conv_igemm_2\n{plain}"
    assert gates.check_sass(listing).problems == (
        "sm_90 conv_igemm_2: no products on tensor cores",
    )


def test_floating_point_in_ptx_is_found_and_moves_are_not() -> None:
    text = "\tmov.f32 %f1, 0f00000000;\n\tld.global.f32 %f2, [%rd1];\n\tadd.s32 %r1, %r2, %r3;\n"
    assert gates.check_ptx(text) == gates.Finding(3, ())
    found = gates.check_ptx(
        text + "\t@%p1 fma.rn.f32 %f3, %f1, %f2, %f1;\n\tcvt.rn.f64.s32 %fd1, %r1;\n"
    )
    assert [problem.split()[1] for problem in found.problems] == ["fma.rn.f32", "cvt.rn.f64.s32"]


@pytest.mark.slow
@pytest.mark.skipif(find_nvcc() is None, reason="needs nvcc")
def test_a_kernel_that_divides_with_floats_is_found(tmp_path: Path) -> None:
    source = tmp_path / "planted.cu"
    source.write_text('extern "C" __global__ void planted(float* x) { x[0] = x[1] * 2.0f; }\n')
    subprocess.run(
        [find_nvcc() or "", "-ptx", "-arch=compute_80", "planted.cu"], cwd=tmp_path, check=True
    )
    found = gates.check_ptx((tmp_path / "planted.ptx").read_text())
    assert any("f32" in problem for problem in found.problems)
