"""What is built with which compilers, and what is said where one is missing."""

from __future__ import annotations

import re
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
from tests.unit.codegen.cuda.emulated import script, write


def tiny() -> tuple[IntegerProgram, TensorStore]:
    """A program of two layers."""
    b = Builder(np.random.default_rng(3))
    x = b.conv(b.affine(b.image(5, 5, 3)), 8, stride=(4, 4))
    return b.program(b.linear(b.flatten(x), 4, bits=(32,)), "tiny"), b.store


def code_of(caught: pytest.ExceptionInfo[HawqError]) -> str:
    return caught.value.diagnostics[0].code


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
    write(program, store, tmp_path, archs=("sm_75",))
    with pytest.raises(HawqError) as caught:
        build.compile_device(tmp_path)
    assert code_of(caught) == "HQ805"
    assert "no such gpu" in caught.value.diagnostics[0].notes[1]
    assert (
        "-gencode=arch=compute_75,code=[sm_75,compute_75]" in caught.value.diagnostics[0].notes[0]
    )
    assert not (tmp_path / build.LIBRARY).exists()


def compiled(log: Path) -> list[str]:
    """The sources that were compiled since the log was last read."""
    lines = log.read_text().splitlines()
    log.write_text("")
    return sorted(re.findall(r"-c \S*/(\S+)", "\n".join(lines)))


def test_kernels_are_compiled_once_each_for_the_architectures_that_use_it(
    fake_nvcc: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program, store = tiny()
    folder, cache = tmp_path / "net", tmp_path / "cache"
    write(program, store, folder)
    products = sorted(path.name for path in folder.glob("product_*.cu"))
    assert products
    assert build.compile_device(folder, cache) == ()
    lines = fake_nvcc.read_text().splitlines()
    for line in lines:
        if "product_" in line and "-c " in line:
            assert ("sm_75" in line) != ("sm_80" in line or "sm_90" in line)
        if "maps.cu" in line:
            assert all(arch in line for arch in ("sm_75", "sm_80", "sm_90"))
    assert compiled(fake_nvcc) == sorted([*products, "maps.cu", "model.cu"])
    first = (folder / build.LIBRARY).read_bytes()
    assert (folder / build.PTX / "maps.ptx").read_text() == "// PTX\n"

    again = tmp_path / "again"
    write(program, store, again)
    assert build.compile_device(again, cache) == ()
    assert compiled(fake_nvcc) == ["model.cu"]
    assert (again / build.LIBRARY).read_bytes() == first
    assert (again / build.PTX / "maps.ptx").read_text() == "// PTX\n"

    monkeypatch.setenv("RELEASE", "13.1")
    assert build.compile_device(again, cache) == ()
    assert len(compiled(fake_nvcc)) == len(products) + 2
    (again / "tensor.cuh").write_text((again / "tensor.cuh").read_text() + "// changed\n")
    assert build.compile_device(again, cache) == ()
    assert len(compiled(fake_nvcc)) == len(products) + 2


def test_networks_with_layers_of_a_kind_share_their_kernels() -> None:
    program, store = tiny()
    archs = (ARCHES["sm_80"],)
    b = Builder(np.random.default_rng(9))
    x = b.conv(b.affine(b.image(5, 5, 3)), 8, stride=(4, 4))
    for _ in range(5):
        x = b.conv(x, 8)
    deeper = b.program(b.linear(b.flatten(x), 4, bits=(32,)), "deeper")
    own = {s.path: s.text for s in generate(plan_program(program, store, archs, 1), store).sources}
    its = {
        s.path: s.text for s in generate(plan_program(deeper, b.store, archs, 1), b.store).sources
    }
    shared = [path for path in own if path.startswith("product_") and path in its]
    assert shared
    assert all(own[path] == its[path] for path in shared)
    assert len([path for path in its if path.startswith("product_")]) < 6


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
    for name in (build.LIBRARY, f"{build.EMULATED}/{build.LIBRARY}", f"{build.PTX}/maps.ptx"):
        assert (again / name).read_bytes() == (tmp_path / name).read_bytes()
