"""The C interface of an emulated library: host and device functions, batches, what is refused."""

from __future__ import annotations

import ctypes
from pathlib import Path

import numpy as np
import pytest

from hawqlang.diagnostics import HawqError
from hawqlang.interpret import logits
from hawqlang_codegen.cuda.build import EMULATED, LIBRARY, emulate
from hawqlang_codegen.cuda.run import CudaRunner, variants
from tests.unit.codegen.cuda.emulated import pictures, write
from tests.unit.codegen.cuda.test_build import tiny


class Options(ctypes.Structure):
    """``hawq_cuda_options``."""

    _fields_ = (
        ("size", ctypes.c_uint32),
        ("images", ctypes.c_int32),
        ("isa", ctypes.c_char_p),
        ("weights", ctypes.c_char_p),
        ("workspace", ctypes.c_void_p),
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("tiny")
    write(*tiny(), made)
    emulate(made, "-O0")
    return made


@pytest.fixture
def library(folder: Path) -> ctypes.CDLL:
    found = ctypes.CDLL(str(folder / EMULATED / LIBRARY))
    found.hawq_cuda_workspace.restype = ctypes.c_size_t
    found.hawq_last_error.restype = ctypes.c_char_p
    found.hawq_cuda_run.argtypes = [ctypes.c_void_p] * 3 + [ctypes.c_int, ctypes.c_void_p]
    found.hawq_model_close.argtypes = [ctypes.c_void_p]
    return found


def opened(library: ctypes.CDLL, options: Options) -> tuple[int, ctypes.c_void_p]:
    handle = ctypes.c_void_p()
    return library.hawq_cuda_open(ctypes.byref(options), ctypes.byref(handle)), handle


@pytest.mark.parametrize("images", [1, 3])
def test_a_batch_on_the_callers_memory_gives_the_same_logits(
    images: int, library: ctypes.CDLL
) -> None:
    program, store = tiny()
    pixels = pictures(program, 3)[:images]
    memory = np.zeros(library.hawq_cuda_workspace(3) + 256, np.uint8)
    start = memory.ctypes.data + (-memory.ctypes.data) % 256
    code, handle = opened(library, Options(ctypes.sizeof(Options), 3, None, None, start))
    assert code == 0
    found = np.zeros((images, *program.tensor(program.output).shape), np.int32)
    assert library.hawq_cuda_run(handle, pixels.ctypes.data, found.ctypes.data, images, None) == 0
    np.testing.assert_array_equal(found, logits(program, store, pixels))
    library.hawq_model_close(handle)


def test_more_images_than_there_is_room_for_are_refused(library: ctypes.CDLL) -> None:
    code, handle = opened(library, Options(ctypes.sizeof(Options), 2, None, None, None))
    assert code == 0
    space = np.zeros(4096, np.uint8).ctypes.data
    assert library.hawq_cuda_run(handle, space, space, 3, None) == -1
    assert library.hawq_last_error() == b"bad argument"
    library.hawq_model_close(handle)


def test_damaged_weights_and_unknown_variants_are_refused(
    folder: Path, library: ctypes.CDLL, tmp_path: Path
) -> None:
    blob = bytearray((folder / "weights.bin").read_bytes())
    blob[70] ^= 1
    damaged = tmp_path / "weights.bin"
    damaged.write_bytes(blob)
    options = Options(ctypes.sizeof(Options), 1, None, bytes(damaged), None)
    assert opened(library, options)[0] == -4
    assert opened(library, Options(ctypes.sizeof(Options), 1, b"sm_99", None, None))[0] == -3
    assert opened(library, Options(8, 1, None, None, None))[0] == -1


def test_one_variant_stands_for_each_kind_of_architecture(folder: Path) -> None:
    assert variants(folder) == ("emulated-sm_75", "emulated-sm_80", "emulated-sm_90")
    runner = CudaRunner(folder, None)
    assert (runner.variant, runner.slow) == ("emulated-sm_75", True)
    image = pictures(tiny()[0], 3)[0]
    assert list(runner.profile(image)) == [op.name for op in tiny()[0].ops]
    runner.close()


def test_a_library_that_does_not_open_is_a_diagnostic(tmp_path: Path) -> None:
    (tmp_path / EMULATED).mkdir()
    (tmp_path / EMULATED / LIBRARY).write_bytes(b"no library")
    with pytest.raises(HawqError) as caught:
        variants(tmp_path)
    assert caught.value.diagnostics[0].code == "HQ803"
