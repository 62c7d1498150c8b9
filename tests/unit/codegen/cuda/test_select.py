"""Which tile a layer gets: one that fills the device, and a split sum where there are too few tiles."""

from __future__ import annotations

import pytest

from hawqlang.diagnostics import HawqError
from hawqlang_codegen.cuda import convolutions
from hawqlang_codegen.cuda.arch import ARCHES, Arch, chosen
from hawqlang_codegen.cuda.generate import emulated
from hawqlang_codegen.cuda.plan import plan_program
from hawqlang_codegen.cuda.select import LEAST_STEPS, TILES, Choice, Gemm, choose
from tests.unit.codegen.cuda.test_build import tiny


def gemm(rows: int, columns: int, steps: int) -> Gemm:
    """A product of bytes."""
    return Gemm(rows, columns, steps, nibbles=False, widened=False)


@pytest.mark.parametrize("arch", ARCHES)
def test_large_products_take_large_tiles_and_whole_sums(arch: str) -> None:
    found = choose(gemm(64 * 56 * 56, 256, 36), ARCHES[arch])
    assert found.tile.rows * found.tile.columns >= 128 * 64
    assert found.parts == 1


def test_a_deep_layer_at_batch_1_is_split() -> None:
    found = choose(gemm(7 * 7, 512, 72), ARCHES["sm_80"])
    assert found.parts > 1
    assert 72 // found.parts >= LEAST_STEPS


def test_a_linear_layer_of_one_row_is_spread_over_many_blocks() -> None:
    found = choose(gemm(1, 1000, 8), ARCHES["sm_90"])
    assert -(-1000 // found.tile.columns) * found.parts >= 16


def test_no_block_takes_more_shared_memory_than_it_gets_without_asking() -> None:
    for arch in ARCHES.values():
        for tile in TILES:
            assert tile.shared(arch.stages, widened=False) <= 48 << 10


def test_more_work_never_costs_less() -> None:
    arch = ARCHES["sm_75"]
    costs = [choose(gemm(rows, 128, 18), arch).cycles for rows in (49, 196, 784, 3136, 12544)]
    assert costs == sorted(costs)


def test_architectures_are_sorted() -> None:
    archs = chosen(("sm_90", "sm_86", "sm_80", "sm_75"))
    assert [arch.name for arch in archs] == ["sm_75", "sm_80", "sm_86", "sm_90"]
    assert chosen(()) == tuple(ARCHES.values())


def test_each_architecture_with_tiles_of_its_own_is_emulated(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def by_name(gemm: Gemm, arch: Arch) -> Choice:
        del gemm
        return Choice(TILES[arch.name == "sm_89"], arch.stages, 1, 0)

    monkeypatch.setattr(convolutions, "choose", by_name)
    plan = plan_program(*tiny(), tuple(ARCHES.values()), 1)
    assert [arch.name for arch in plan.archs] == [*ARCHES]
    assert emulated(plan) == (True, True, False, False, True, True)


def test_an_unknown_architecture_is_named() -> None:
    with pytest.raises(HawqError) as caught:
        chosen(("sm_80", "sm_70"))
    assert caught.value.diagnostics[0].code == "HQ704"
    assert "sm_70" in caught.value.diagnostics[0].message
