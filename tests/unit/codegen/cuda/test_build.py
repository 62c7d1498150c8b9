"""What is built with which compilers, and what is said where one is missing."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from hawqlang.backend.registry import BACKENDS
from hawqlang.cache import TensorStore
from hawqlang.diagnostics import HawqError
from hawqlang.ir.integer import IntegerProgram
from hawqlang_codegen.cuda import build
from hawqlang_codegen.cuda.arch import ARCHES
from hawqlang_codegen.cuda.generate import generate
from hawqlang_codegen.cuda.plan import plan_program
from tests.semantics.programs import Builder
from tests.unit.codegen.cuda.emulated import write


def tiny() -> tuple[IntegerProgram, TensorStore]:
    """A program of two layers."""
    b = Builder(np.random.default_rng(3))
    x = b.conv(b.affine(b.image(5, 5, 3)), 8, stride=(4, 4))
    return b.program(b.linear(b.flatten(x), 4, bits=(32,)), "tiny"), b.store


def code_of(caught: pytest.ExceptionInfo[HawqError]) -> str:
    return caught.value.diagnostics[0].code


def script(folder: Path, text: str) -> Path:
    """An executable that stands in for a compiler."""
    path = folder / "compiler"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


@pytest.mark.parametrize(
    ("text", "said"),
    [(None, "was not found"), ("echo release 11.8", "release 11.8"), ("exit 1", "unknown")],
)
def test_without_a_fit_nvcc_a_warning_says_what_to_install(
    text: str | None, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    named = "no-such-compiler" if text is None else str(script(tmp_path, text))
    monkeypatch.setenv("NVCC", named)
    program, store = tiny()
    write(program, store, tmp_path)
    (warning,) = build.compile_device(tmp_path)
    assert (warning.code, warning.severity) == ("HQ806", "warning")
    assert said in warning.message
    assert "CUDA toolkit 12.0" in (warning.help or "")
    assert not (tmp_path / build.LIBRARY).exists()


def test_a_failing_nvcc_is_quoted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = 'case "$1" in --version) echo release 13.0;; *) echo "no such gpu" >&2; exit 3;; esac'
    monkeypatch.setenv("NVCC", str(script(tmp_path, text)))
    program, store = tiny()
    write(program, store, tmp_path)
    with pytest.raises(HawqError) as caught:
        build.compile_device(tmp_path)
    assert code_of(caught) == "HQ805"
    assert "no such gpu" in caught.value.diagnostics[0].notes[1]
    assert "-gencode=arch=compute_75,code=sm_75" in caught.value.diagnostics[0].notes[0]
    assert "code=compute_90" in caught.value.diagnostics[0].notes[0]


def test_without_a_cxx_compiler_nothing_can_be_proven(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(HawqError) as caught:
        build.emulate(tmp_path)
    assert code_of(caught) == "HQ804"


def test_the_same_program_gives_the_same_text_and_weights() -> None:
    archs = tuple(ARCHES.values())
    program, store = tiny()
    first = generate(plan_program(program, store, archs, 8), store)
    assert first == generate(plan_program(program, store, archs, 8), store)
    assert {source.path for source in first.sources} >= {
        "model.cu",
        "CMakeLists.txt",
        "kernels.json",
    }


def test_more_parts_than_a_kernel_joins_are_refused() -> None:
    b = Builder(np.random.default_rng(0))
    x = b.affine(b.image(3, 3, 2))
    joined = b.concat(*[x] * 13)
    program = b.program(b.linear(b.flatten(joined), 4, bits=(32,)), "wide")
    with pytest.raises(HawqError) as caught:
        plan_program(program, b.store, (ARCHES["sm_80"],), 1)
    assert code_of(caught) == "HQ703"
    assert "13 tensors" in caught.value.diagnostics[0].message


def test_a_batch_beyond_32_bit_counts_is_refused() -> None:
    program, store = tiny()
    with pytest.raises(HawqError) as caught:
        plan_program(program, store, (ARCHES["sm_80"],), 1 << 28)
    assert code_of(caught) == "HQ703"


def test_the_registry_knows_the_back_end() -> None:
    assert BACKENDS["cuda"]().name == "cuda"


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("nvcc") is None, reason="needs nvcc")
def test_nvcc_compiles_every_kernel_without_local_memory_and_floats(tmp_path: Path) -> None:
    program, store = tiny()
    backend = BACKENDS["cuda"]()
    kernels = generate(plan_program(program, store, tuple(ARCHES.values()), 1), store)
    assert backend.build(kernels, tmp_path, store) == ()
    count, problems = backend.float_instructions(tmp_path)
    assert count > 10_000
    assert problems == ()
    again = tmp_path / "again"
    assert backend.build(kernels, again, store) == ()
    for name in (build.LIBRARY, f"{build.EMULATED}/{build.LIBRARY}", build.PTX):
        assert (again / name).read_bytes() == (tmp_path / name).read_bytes()
