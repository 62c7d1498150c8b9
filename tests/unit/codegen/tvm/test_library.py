"""The finished library: loading, refusing, running."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from hawqlang.backend.registry import BACKENDS
from hawqlang.diagnostics import HawqError
from hawqlang.runtime import Model, RuntimeFailure, supported
from hawqlang_codegen.tvm.build import baseline, build, c_compiler, link
from hawqlang_codegen.tvm.generate import generate
from hawqlang_codegen.tvm.plan import plan_program
from hawqlang_codegen.tvm.run import TvmRunner, variants
from tests.unit.codegen.tvm.conftest import Built, small_program


def test_logits_of_a_batch_equal_the_interpreter_on_every_variant(built: Built) -> None:
    for variant in variants(built.folder):
        runner = TvmRunner(built.folder, variant)
        assert runner.variant == variant
        np.testing.assert_array_equal(runner.run(built.images), built.logits)
        runner.close()


def test_an_empty_batch_gives_no_logits(built: Built) -> None:
    with Model(built.folder) as model:
        assert model.run(built.images[:0]).shape == (0, 10)


@pytest.mark.parametrize("offset", [1, 3, 17])
def test_images_of_any_alignment_are_accepted(built: Built, offset: int) -> None:
    raw = np.zeros(built.images.size + 64, dtype=np.uint8)
    view = raw[offset : offset + built.images.size].reshape(built.images.shape)
    view[:] = built.images
    with Model(built.folder) as model:
        np.testing.assert_array_equal(model.run(view), built.logits)


def test_images_of_any_strides_are_accepted(built: Built) -> None:
    planar = np.ascontiguousarray(built.images.transpose(0, 3, 1, 2))
    with Model(built.folder) as model:
        np.testing.assert_array_equal(model.run(planar.transpose(0, 2, 3, 1)), built.logits)


def test_images_of_another_shape_or_type_are_refused(built: Built) -> None:
    with Model(built.folder) as model:
        with pytest.raises(RuntimeFailure, match="not uint8"):
            model.run(built.images[:, 1:])
        with pytest.raises(RuntimeFailure, match="float32"):
            model.run(built.images.astype(np.float32))


def test_a_closed_model_refuses_to_run(built: Built) -> None:
    model = Model(built.folder)
    model.close()
    model.close()
    with pytest.raises(RuntimeFailure, match="closed"):
        model.run(built.images)


def test_the_environment_chooses_the_instruction_set(
    built: Built, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HAWQ_ISA", "avx2")
    with Model(built.folder) as model:
        assert model.isa == "avx2"
        np.testing.assert_array_equal(model.run(built.images), built.logits)


def test_an_unknown_instruction_set_is_refused(built: Built) -> None:
    with pytest.raises(HawqError) as caught:
        TvmRunner(built.folder, "sse9")
    assert caught.value.diagnostics[0].code == "HQ803"
    assert "HAWQ_ISA" in caught.value.diagnostics[0].message


def test_the_best_supported_instruction_set_is_the_default(
    built: Built, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HAWQ_ISA", raising=False)
    with Model(built.folder) as model:
        assert model.isa == supported(built.folder)[0]


def damaged(built: Built, folder: Path) -> Path:
    """A copy of the artifact to damage."""
    shutil.copytree(built.folder, folder / "copy")
    return folder / "copy"


@pytest.mark.parametrize("where", [0, 1000, -100, -64, -50])
def test_a_changed_byte_in_the_weights_is_refused(built: Built, tmp_path: Path, where: int) -> None:
    folder = damaged(built, tmp_path)
    data = bytearray((folder / "weights.bin").read_bytes())
    data[where] ^= 1
    (folder / "weights.bin").write_bytes(data)
    with pytest.raises(RuntimeFailure, match="weight file"):
        Model(folder)


def test_truncated_missing_and_foreign_weights_are_refused(built: Built, tmp_path: Path) -> None:
    folder = damaged(built, tmp_path)
    data = (folder / "weights.bin").read_bytes()
    (folder / "weights.bin").write_bytes(data[:-8])
    with pytest.raises(RuntimeFailure, match="weight file"):
        Model(folder)
    (folder / "weights.bin").unlink()
    with pytest.raises(HawqError, match="HQ803"):
        TvmRunner(folder, None)
    program, store = small_program(seed=4)
    other = plan_program(program, store).blob.data
    (folder / "weights.bin").write_bytes(other)
    with pytest.raises(RuntimeFailure, match="weight file"):
        Model(folder)
    with Model(folder, weights=built.folder / "weights.bin") as model:
        np.testing.assert_array_equal(model.run(built.images), built.logits)


def test_a_missing_library_is_a_diagnostic(tmp_path: Path) -> None:
    with pytest.raises(HawqError, match="HQ803"):
        variants(tmp_path)


def test_a_missing_compiler_is_a_diagnostic(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CC", "no-such-compiler")
    program, store = small_program()
    with pytest.raises(HawqError) as caught:
        build(generate(plan_program(program, store), store), tmp_path, store)
    assert caught.value.diagnostics[0].code == "HQ801"
    assert "no-such-compiler" in caught.value.diagnostics[0].notes[0]


def test_without_a_compiler_the_package_ziglang_serves_or_is_advised(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    there = {"ziglang": False}

    def find_spec(name: str) -> object | None:
        return object() if there.get(name) else None

    monkeypatch.setattr("importlib.util.find_spec", find_spec)
    with pytest.raises(HawqError) as caught:
        c_compiler()
    assert "pip install ziglang" in (caught.value.diagnostics[0].help or "")
    assert "the Python package ziglang" in caught.value.diagnostics[0].notes[0]
    there["ziglang"] = True
    assert c_compiler()[:4] == [sys.executable, "-m", "ziglang", "cc"]
    assert baseline(c_compiler()) == "-march=x86_64"


@pytest.mark.slow
def test_the_compiler_of_ziglang_links_the_same_library(
    built: Built, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if importlib.util.find_spec("ziglang") is None:
        pytest.skip("the package ziglang is not installed")
    folder = damaged(built, tmp_path)
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    link(c_compiler(), folder)
    for threads in (1, 3):
        with Model(folder, threads=threads) as model:
            np.testing.assert_array_equal(model.run(built.images), built.logits)


def test_a_failing_compiler_is_a_diagnostic_with_its_words(
    built: Built, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = damaged(built, tmp_path)
    (folder / "model_table.h").write_text('#error "out of order"\n')
    monkeypatch.delenv("CC", raising=False)
    with pytest.raises(HawqError) as caught:
        link(c_compiler(), folder)
    assert caught.value.diagnostics[0].code == "HQ802"
    assert "out of order" in caught.value.diagnostics[0].notes[1]


def test_the_copied_loader_needs_numpy_and_nothing_of_the_compiler(built: Built) -> None:
    script = (
        "import sys, numpy as np\n"
        "from hawq_runtime import Model\n"
        "with Model('.') as m: print(m.run(np.zeros((1, 12, 10, 3), np.uint8)).shape)\n"
        "assert not any(n.split('.')[0] in ('hawqlang', 'tvm', 'pydantic') for n in sys.modules)\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", script], cwd=built.folder, capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "(1, 10)"


def test_profile_names_every_step(built: Built) -> None:
    with Model(built.folder) as model:
        times = model.profile(built.images[0])
    assert list(times) == [op.name for op in built.program.ops]


def test_two_builds_give_the_same_bytes(built: Built, tmp_path: Path) -> None:
    program, store = small_program()
    build(generate(plan_program(program, store), store), tmp_path, store)
    names = sorted(path.name for path in built.folder.iterdir() if path.is_file())
    assert names == sorted(path.name for path in tmp_path.iterdir())
    for name in names:
        assert (tmp_path / name).read_bytes() == (built.folder / name).read_bytes(), name


def test_the_backend_is_registered_and_loads_what_it_built(built: Built) -> None:
    backend = BACKENDS["tvm"]()
    runner = backend.load(built.folder)
    np.testing.assert_array_equal(runner.run(built.images), built.logits)
    runner.close()
    count, floats = backend.float_instructions(built.folder)
    assert count > 1000
    assert floats == ()


def test_contexts_are_independent_and_one_context_runs_once_at_a_time(built: Built) -> None:
    images, expected = built.images.repeat(40, axis=0), built.logits.repeat(40, axis=0)
    with Model(built.folder) as shared:

        def own() -> bool:
            with Model(built.folder) as model:
                return bool(np.array_equal(model.run(images), expected))

        def together() -> bool:
            try:
                return bool(np.array_equal(shared.run(images), expected))
            except RuntimeFailure as error:
                return "already running" in str(error)

        with ThreadPoolExecutor(4) as pool:
            jobs = [pool.submit(work) for work in (own, together) * 10]
            assert all(job.result() for job in jobs)
        np.testing.assert_array_equal(shared.run(built.images), built.logits)
