"""Registers of kernels against what their tiles were planned with."""

from __future__ import annotations

import pytest

from hawqlang_codegen.cuda import resources
from hawqlang_codegen.cuda.arch import ARCHES
from hawqlang_codegen.cuda.select import REGISTERS_EACH, TILES, Tile, resident

KERNEL = "_ZN4hawq10conv_igemmINS_4TileILi{0}ELi{1}ELi{2}ELi3EEELNS_8OperandsE0ELNS_7WeightsE{3}ELb0EEEvNS_8ConvArgsE"
LISTING = """
Fatbin elf code:
================
arch = {arch}
code version = [1,8]

Resource usage:
 Common:
  GLOBAL:0
 Function {kernel}:
  REG:{registers} STACK:{stack} SHARED:0 LOCAL:{local} CONSTANT[0]:1200 TEXTURE:0 SURFACE:0 SAMPLER:0
"""


def listing(
    kernel: str, registers: int, *, arch: str = "sm_80", stack: int = 0, local: int = 0
) -> str:
    return LISTING.format(arch=arch, kernel=kernel, registers=registers, stack=stack, local=local)


@pytest.mark.parametrize("tile", TILES, ids=str)
@pytest.mark.parametrize("widened", [0, 1])
def test_the_registers_planned_pass_and_the_next_ones_may_not(widened: int, tile: Tile) -> None:
    rows, columns, warp_rows = tile.rows, tile.columns, tile.warp_rows
    kernel = KERNEL.format(rows, columns, warp_rows, widened)
    assert resources.problems(listing(kernel, REGISTERS_EACH)) == ()
    threads = rows // warp_rows * columns // 32 * 32
    planned = resident(tile, ARCHES["sm_80"], 3, widened=bool(widened))
    too_many = resources.REGISTERS // (threads * planned) + 1
    (said,) = resources.problems(listing(kernel, too_many))
    assert said.startswith(f"sm_80 {kernel}: {too_many} registers")
    assert f"{planned} were planned" in said


@pytest.mark.parametrize(("stack", "local"), [(16, 0), (0, 8)])
def test_local_memory_is_refused(stack: int, local: int) -> None:
    (said,) = resources.problems(listing("_ZN4hawq3addENS_7AddArgsE", 32, stack=stack, local=local))
    assert f"{stack + local} bytes of local memory" in said


def test_kernels_without_tensor_cores_leave_room_for_two_blocks() -> None:
    kernel = "_ZN4hawq3addENS_7AddArgsE"
    assert resources.problems(listing(kernel, 128)) == ()
    (said,) = resources.problems(listing(kernel, 129, arch="sm_75"))
    assert "room for 1 blocks of 256 threads, 2 were planned" in said
