"""The loader in Python: whatever it is given, an answer or a message."""

from __future__ import annotations

import array
import shutil
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hawqlang.diagnostics import HawqError
from hawqlang.runtime import Model, RuntimeFailure
from hawqlang_codegen.tvm.build import c_compiler
from hawqlang_codegen.tvm.run import TvmRunner
from tests.unit.codegen.tvm.conftest import Built

SHAPE = (12, 10, 3)


NO_IMAGES: tuple[Any, ...] = (
    *(None, 3, 2.5, "images", [[1, 2], [3, 4]], {}, object()),
    *(np.zeros(SHAPE, np.uint8), np.zeros((1, *SHAPE), np.int8), np.zeros((1, *SHAPE), bool)),
    *(np.zeros((1, *SHAPE), ">i2"), np.zeros((1, *SHAPE), ">f8"), np.zeros((), np.uint8)),
    *(np.zeros((1, *SHAPE), object), np.zeros((1, *SHAPE), "S1"), np.zeros(0, np.uint8)),
    *(np.zeros((2, 3, 10, 12), np.uint8), np.zeros((1, 1, *SHAPE), np.uint8)),
    *(np.zeros((1, *SHAPE), "M8[s]"), np.zeros((1, *SHAPE), [("a", "u1")])),
    *(b"x", b"x" * 361, bytearray(359), array.array("i", [0] * 360), memoryview(b"ab")),
    memoryview(bytes(360)).cast("B", (1, 3, 10, 12)),
)


@pytest.mark.parametrize("number", range(len(NO_IMAGES)))
def test_what_is_no_image_is_refused_with_words(built: Built, number: int) -> None:
    with Model(built.folder) as model, pytest.raises(RuntimeFailure, match=r"the input is .*uint8"):
        model.run(NO_IMAGES[number])


def test_arrays_of_every_layout_in_memory_give_the_same_logits(built: Built) -> None:
    images, padded = built.images, np.zeros((5, 24, 20, 6), np.uint8)
    padded[:, ::2, ::2, ::2] = images
    fortran, masked = np.asfortranarray(images), np.ma.MaskedArray(images)
    reversed_ = np.ascontiguousarray(images[::-1, ::-1])[::-1, ::-1]
    with Model(built.folder) as model:
        for same in (padded[:, ::2, ::2, ::2], fortran, reversed_, masked):
            np.testing.assert_array_equal(model.run(same), built.logits)
        one = np.broadcast_to(images[0], images.shape)
        np.testing.assert_array_equal(model.run(one), built.logits[:1].repeat(5, axis=0))


def test_plain_buffers_give_plain_logits(built: Built) -> None:
    data = built.images.tobytes()
    shaped = memoryview(data).cast("B", built.images.shape)
    with Model(built.folder) as model:
        for buffer in (data, bytearray(data), memoryview(data), array.array("B", data), shaped):
            logits = model.run(buffer)
            assert logits.shape == built.logits.shape
            assert logits.tolist() == built.logits.tolist()
        assert model.run(b"").tolist() == []


def test_the_loader_imports_nothing_but_the_standard_library(built: Built, tmp_path: Path) -> None:
    for name in ("model.so", "weights.bin", "hawq_runtime.py"):
        shutil.copy(built.folder / name, tmp_path)
    (tmp_path / "images").write_bytes(built.images.tobytes())
    script = (
        "import sys\n"
        "from hawq_runtime import Model\n"
        "with Model('.') as m: print(m.run(open('images', 'rb').read()).tolist())\n"
        "assert not {'numpy', 'torch', 'tvm', 'tvm_ffi', 'pydantic', 'hawqlang'} & set(sys.modules)\n"
    )
    command = [sys.executable, "-I", "-c", f"import sys; sys.path.insert(0, '.')\n{script}"]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip() == str(built.logits.tolist())


def test_what_a_loaded_library_refuses_is_a_diagnostic(built: Built) -> None:
    runner = TvmRunner(built.folder, None)
    calls = (
        (runner.run, built.images[:, 1:]),
        (runner.trace, built.images),
        (runner.profile, built.images[0, 0]),
    )
    for call, images in calls:
        with pytest.raises(HawqError, match="HQ809") as caught:
            call(images)
        assert "not uint8" in caught.value.diagnostics[0].message
    runner.close()
    with pytest.raises(HawqError, match="the model is closed"):
        runner.run(built.images)


@pytest.mark.parametrize("threads", ["0", "many"])
def test_a_wrong_number_of_threads_is_a_diagnostic_that_names_the_variable(
    built: Built, monkeypatch: pytest.MonkeyPatch, threads: str
) -> None:
    monkeypatch.setenv("HAWQ_THREADS", threads)
    assert "HAWQ_THREADS, where set, is a number from 1 to 256" in refused(built.folder)


def copy(built: Built, folder: Path) -> Path:
    """The three files that are deployed."""
    for name in ("model.so", "weights.bin"):
        shutil.copy(built.folder / name, folder)
    return folder


def refused(folder: Path) -> str:
    """The diagnostic of a folder that does not load, and what it advises."""
    with pytest.raises(HawqError) as caught:
        TvmRunner(folder, None)
    (found,) = caught.value.diagnostics
    assert found.code == "HQ803"
    return f"{found.message} | {found.help}"


def test_each_kind_of_damage_to_the_weights_has_its_words(built: Built, tmp_path: Path) -> None:
    folder = copy(built, tmp_path)
    weights = folder / "weights.bin"
    data = weights.read_bytes()
    weights.write_bytes(data[:-8])
    assert "truncated or of another model" in refused(folder)
    weights.write_bytes(b"")
    assert "0 bytes, not" in refused(folder)
    weights.write_bytes(data[:-64] + bytes([data[-64] ^ 1]) + data[-63:])
    assert "of another model: digest" in refused(folder)
    weights.write_bytes(bytes([data[0] ^ 1]) + data[1:])
    assert "damaged: its checksum" in refused(folder)
    weights.unlink()
    assert "No such file" in refused(folder)
    weights.mkdir()
    assert "put the weights.bin of the same build" in refused(folder)


def test_a_library_that_is_missing_or_none_has_its_words(built: Built, tmp_path: Path) -> None:
    assert "there is no" in refused(tmp_path)
    folder = copy(built, tmp_path)
    library = folder / "model.so"
    data = library.read_bytes()
    library.write_bytes(b"")
    assert "no shared library" in refused(folder)
    library.write_bytes(b"MZ" + data[2:])
    assert "no shared library" in refused(folder)
    library.write_bytes(data[:18] + struct.pack("<H", 183) + data[20:])
    assert "for another processor than x86-64" in refused(folder)
    for size in (64, 5000, len(data) // 2, len(data) - 1):
        library.write_bytes(data[:size])
        assert "is truncated" in refused(folder)


def test_a_library_of_another_interface_or_of_others_has_its_words(
    built: Built, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hawqlang.runtime.ABI", 999)
    assert "interface version 2, this loader has 999" in refused(copy(built, tmp_path))
    source, other = tmp_path / "other.c", tmp_path / "other"
    source.write_text("int answer(void) { return 42; }\n")
    other.mkdir()
    command = [*c_compiler(), "-shared", "-o", str(other / "model.so"), str(source)]
    subprocess.run(command, check=True)
    assert "no library of this compiler" in refused(other)
