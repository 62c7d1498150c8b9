"""What is known of this machine's CPU before a library asks it."""

from __future__ import annotations

from pathlib import Path

import pytest

from hawqlang_codegen.tvm import machine
from hawqlang_codegen.tvm.isa import ISAS


def on(path: Path, flags: str, patch: pytest.MonkeyPatch) -> None:
    path.write_text(
        "processor\t: 0\ncpu family\t: 6\nmodel\t\t: 143\nmodel name\t: Some CPU\nstepping\t: 8\n"
        f"flags\t\t: {flags}\n\nprocessor\t: 1\nmodel name\t: Another\n"
    )
    patch.setattr(machine, "CPU", path)
    patch.delenv("HAWQ_ISA", raising=False)


@pytest.mark.parametrize(
    ("flags", "sets"),
    [
        ("avx2 avx512f avx512_vnni amx_int8", ["amx", "vnni"]),
        ("avx2 avx_vnni avx512_vnni", ["vnni"]),
        ("avx2 avx_vnni", ["avxvnni"]),
        ("sse2 avx2", ["avx2"]),
        ("sse2", [isa.name for isa in ISAS]),
    ],
)
def test_what_the_cpu_shows_is_compiled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, flags: str, sets: list[str]
) -> None:
    on(tmp_path / "cpuinfo", flags, monkeypatch)
    assert [isa.name for isa in machine.likely_sets()] == sets


def test_a_cpu_whose_instructions_are_hidden_is_another_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    on(tmp_path / "cpuinfo", "avx2 avx512_vnni amx_int8", monkeypatch)
    whole = machine.cpu_identity()
    assert whole == "Some CPU 6 143 8 amx_int8 avx512_vnni avx2"
    on(tmp_path / "cpuinfo", "avx2 avx512_vnni", monkeypatch)
    assert machine.cpu_identity() != whole
    monkeypatch.setenv("HAWQ_ISA", "avx2")
    assert machine.cpu_identity().endswith(" as avx2")
    assert machine.likely_sets() == ISAS


def test_a_system_that_says_nothing_gets_every_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "CPU", tmp_path / "none")
    assert machine.likely_sets() == ISAS
    assert machine.cpu_model() == "unknown 0 0 0"
