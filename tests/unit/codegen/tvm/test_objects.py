"""Kernels compiled once: objects found by content, whatever network, order or process they come from."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from hawqlang_codegen.tvm.generate import kernels_text
from hawqlang_codegen.tvm.isa import ISAS
from hawqlang_codegen.tvm.objects import Unit, compile_units, units
from hawqlang_codegen.tvm.plan import Plan, plan_program
from tests.unit.codegen.tvm.conftest import small_program

ISA = ISAS[-1]


@pytest.fixture(scope="module")
def plan() -> Plan:
    return plan_program(*small_program())


@pytest.fixture
def wanted(plan: Plan, tmp_path: Path) -> list[Unit]:
    """The first kernels of a small network for AVX2."""
    return split(plan, tmp_path)[:3]


def split(plan: Plan, folder: Path) -> list[Unit]:
    source = folder / f"kernels_{ISA.name}.py"
    source.write_text(kernels_text(plan, ISA), encoding="utf-8")
    return units(source, ISA, folder)


def test_every_kernel_becomes_a_module_of_its_own(plan: Plan, tmp_path: Path) -> None:
    found = split(plan, tmp_path)
    assert len(found) == len(plan.kernels)
    for unit, kernel in zip(found, plan.kernels, strict=True):
        assert unit.text.count("@T.prim_func") == 1
        assert f"def {kernel.name}_{ISA.name}(" in unit.text
    assert len({unit.path for unit in found}) == len(found)


def test_a_kernel_does_not_depend_on_the_network_around_it(plan: Plan, tmp_path: Path) -> None:
    other = replace(
        plan,
        program=plan.program.replace(name="other"),
        kernels=tuple(replace(k, users=("elsewhere",)) for k in reversed(plan.kernels)),
    )
    (tmp_path / "other").mkdir()
    keys = {unit.key for unit in split(plan, tmp_path)}
    assert keys == {unit.key for unit in split(other, tmp_path / "other")}


def test_an_object_depends_on_text_and_instruction_set(wanted: list[Unit]) -> None:
    first = wanted[0]
    changed = replace(first, text=first.text.replace("T.grid(", "T.grid(1 * ", 1))
    keys = {first.key, changed.key, *(replace(first, isa=isa).key for isa in ISAS)}
    assert len(keys) == len(ISAS) + 1


def test_objects_are_compiled_once(wanted: list[Unit], tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    assert compile_units(wanted[:2], cache) == 2
    first = [unit.path.read_bytes() for unit in wanted[:2]]
    for unit in wanted[:2]:
        unit.path.unlink()
    assert compile_units(wanted, cache) == 1
    assert [unit.path.read_bytes() for unit in wanted[:2]] == first


def test_a_damaged_object_is_compiled_again(wanted: list[Unit], tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    compile_units(wanted[:1], cache)
    good = wanted[0].path.read_bytes()
    (entry,) = cache.rglob("*.o")
    entry.write_bytes(entry.read_bytes()[:-1] + b"?")
    assert compile_units(wanted[:1], cache) == 1
    assert wanted[0].path.read_bytes() == good


def test_processes_write_the_same_objects(wanted: list[Unit], tmp_path: Path) -> None:
    compile_units(wanted[:2], None)
    alone = [unit.path.read_bytes() for unit in wanted[:2]]
    for unit in wanted[:2]:
        unit.path.unlink()
    assert compile_units(wanted[:2], None, processes=2) == 2
    assert [unit.path.read_bytes() for unit in wanted[:2]] == alone


def test_what_a_process_says_is_not_lost(wanted: list[Unit]) -> None:
    broken = replace(wanted[0], text=wanted[0].text.replace("T.grid(", "T.nothing(", 1))
    with pytest.raises(RuntimeError, match="nothing"):
        compile_units([broken], None, processes=2)
