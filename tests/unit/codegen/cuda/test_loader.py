"""`CudaModel` on the emulated library through a fake run time: what it computes, calls, and refuses."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from hawqlang import cuda_memory, cuda_runtime
from hawqlang.cuda_memory import CPU, CudaFailure, DeviceArray, stream_address
from hawqlang.cuda_runtime import CudaModel
from hawqlang.diagnostics import HawqError
from hawqlang.interpret import logits
from hawqlang.runtime import MEMORY
from hawqlang_codegen.cuda import run
from hawqlang_codegen.cuda.build import EMULATED, LIBRARY, emulate, loaders
from tests.unit.codegen.cuda.emulated import write
from tests.unit.codegen.cuda.fake_device import STREAM, FakeRuntime, FakeTensor
from tests.unit.codegen.cuda.test_build import tiny


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("tiny")
    write(*tiny(), made, archs=("sm_80",))
    emulate(made, "-O0")
    return made


@pytest.fixture
def runtime() -> FakeRuntime:
    return FakeRuntime()


def opened(folder: Path, runtime: FakeRuntime, **options: Any) -> CudaModel:
    place = folder / EMULATED / LIBRARY
    return CudaModel(place, bindings=runtime, images=4, **options)


def pixels(count: int) -> npt.NDArray[np.uint8]:
    shape = tiny()[0].tensor("image").shape
    return np.random.default_rng(count).integers(0, 256, (count, *shape)).astype(np.uint8)


def expected(images: npt.NDArray[np.uint8]) -> npt.NDArray[Any]:
    return logits(*tiny(), images)


def refused(what: Any) -> CudaFailure:
    with pytest.raises(CudaFailure) as caught:
        what()
    assert caught.value.remedy.endswith(".")
    return caught.value


@pytest.mark.parametrize("count", [1, 4, 9])
def test_arrays_of_the_host_are_copied_as_many_at_a_time_as_there_is_room(
    count: int, folder: Path, runtime: FakeRuntime
) -> None:
    with opened(folder, runtime) as model:
        before = len(runtime.alive)
        np.testing.assert_array_equal(model.run(pixels(count)), expected(pixels(count)))
        assert runtime.names.count("cudaMemcpyAsync") == 2 * -(-count // 4)
        assert len(runtime.alive) == before


def test_no_images_give_no_logits(folder: Path, runtime: FakeRuntime) -> None:
    with opened(folder, runtime) as model:
        assert model.run(pixels(0)).shape == (0, 4)


def test_a_tensor_of_the_device_is_read_where_it_is_and_given_back(
    folder: Path, runtime: FakeRuntime
) -> None:
    tensor = FakeTensor(pixels(3))
    model = opened(folder, runtime)
    found = model.run(tensor)
    assert isinstance(found, DeviceArray)
    assert found.__cuda_array_interface__["shape"] == (3, 4)
    assert found.__cuda_array_interface__["typestr"] == "<i4"
    assert "cudaMemcpyAsync" not in runtime.names
    assert runtime.names[-1] == "cudaStreamSynchronize"
    assert tensor.streams == [STREAM]
    np.testing.assert_array_equal(found.numpy(), expected(pixels(3)))
    found.close()
    model.close()
    assert (tensor.lent, tensor.returned) == (1, 1)
    assert runtime.names[-1] == "cudaStreamDestroy"
    assert not runtime.alive


def test_a_given_stream_and_output_are_used_and_not_waited_for(
    folder: Path, runtime: FakeRuntime
) -> None:
    tensor, out = FakeTensor(pixels(2)), FakeTensor(np.zeros((2, 4), np.int32))
    with opened(folder, runtime) as model:
        runtime.calls.clear()
        assert model.run(tensor, out=out, stream=SimpleNamespace(cuda_stream=77)) is out
        assert "cudaStreamSynchronize" not in runtime.names
    assert tensor.streams == out.streams == [77]
    np.testing.assert_array_equal(out.array, expected(pixels(2)))


def test_a_recorded_run_is_replayed_with_one_call(folder: Path, runtime: FakeRuntime) -> None:
    with opened(folder, runtime) as model:
        source = model.empty(2)
        source.copy_from(pixels(2))
        runtime.calls.clear()
        graph = model.capture(source)
        names = runtime.names
        begin, end = names.index("cudaStreamBeginCapture"), names.index("cudaStreamEndCapture")
        assert "cudaMalloc" not in names[begin:end]
        np.testing.assert_array_equal(graph.logits.numpy(), expected(pixels(2)))
        runtime.calls.clear()
        graph.replay()
        assert runtime.calls == [
            ("cudaGraphLaunch", f"ready graph of {STREAM} 0", STREAM),
            ("cudaStreamSynchronize", STREAM),
        ]
        runtime.calls.clear()
        graph.replay(stream=9)
        assert runtime.calls == [("cudaGraphLaunch", f"ready graph of {STREAM} 0", 9)]
        graph.close()
        assert runtime.names[-1] == "cudaGraphExecDestroy"


def test_activations_may_lie_in_given_memory(folder: Path, runtime: FakeRuntime) -> None:
    with opened(folder, runtime) as model:
        size = model.workspace_bytes
    space = np.zeros(size + 256, np.uint8)
    start = (-space.ctypes.data) % 256
    tensor = FakeTensor(space[start : start + size])
    with opened(folder, runtime, workspace=tensor) as model:
        np.testing.assert_array_equal(model.run(pixels(4)), expected(pixels(4)))
    assert space.any()
    small = FakeTensor(space[start : start + size - 1])
    assert str(size) in refused(lambda: opened(folder, runtime, workspace=small)).remedy


def test_without_cuda_python_it_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cuda", None)
    error = refused(lambda: CudaModel(folder / EMULATED / LIBRARY))
    assert "pip install cuda-python" in error.remedy
    assert str(error) == f"{error.args[0]}. {error.remedy}"


def test_without_a_driver_it_is_said(folder: Path) -> None:
    error = refused(lambda: opened(folder, FakeRuntime(driver=0)))
    assert "no NVIDIA driver" in str(error)

    class Missing:
        def __getattr__(self, name: str) -> Any:
            def function(*_: Any) -> Any:
                raise RuntimeError("Failed to dlopen libcuda.so.1")

            return function

    error = refused(lambda: CudaModel(folder / EMULATED / LIBRARY, bindings=Missing()))
    assert "libcuda.so.1" in str(error)


def test_a_driver_older_than_the_library_is_refused(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    built_with(monkeypatch, 13000)
    error = refused(lambda: opened(folder, FakeRuntime(driver=12040)))
    assert "serves CUDA 12.4, the library needs 13.0" in str(error)
    assert "toolkit up to 12.4" in error.remedy
    opened(folder, FakeRuntime(driver=13010)).close()


def built_with(monkeypatch: pytest.MonkeyPatch, toolkit: int) -> None:
    """Let the library say that it holds code for devices."""
    answers(monkeypatch, hawq_cuda_toolkit=toolkit)


def always(value: Any) -> Callable[..., Any]:
    """A function that returns the same whatever it is given."""

    def function(*_: Any) -> Any:
        return value

    return function


def answers(monkeypatch: pytest.MonkeyPatch, **functions: int) -> None:
    """Let functions of the library return what they are given."""
    declare = cuda_runtime.declare

    def declared(library: Any) -> None:
        declare(library)
        for name, value in functions.items():
            setattr(library, name, always(value))

    monkeypatch.setattr(cuda_runtime, "declare", declared)


def test_a_device_that_is_not_there_is_counted(folder: Path) -> None:
    assert "this process sees 0" in str(refused(lambda: opened(folder, FakeRuntime(devices=0))))
    error = refused(lambda: opened(folder, FakeRuntime(devices=2), device=2))
    assert "no device 2: this process sees 2" in str(error)


def test_a_library_for_newer_devices_names_both(
    folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    built_with(monkeypatch, 13000)
    (tmp_path / LIBRARY).write_bytes((folder / EMULATED / LIBRARY).read_bytes())
    (tmp_path / "weights.bin").write_bytes((folder / "weights.bin").read_bytes())
    (tmp_path / "kernels.json").write_text(json.dumps({"architectures": ["sm_80", "sm_90"]}))
    error = refused(lambda: CudaModel(tmp_path, bindings=FakeRuntime(arch=75)))
    assert "built for sm_80, sm_90, and the device is sm_75" in str(error)
    assert "arch = [sm_75]" in error.remedy
    CudaModel(tmp_path, bindings=FakeRuntime(arch=89)).close()


def test_too_little_memory_says_what_is_needed(
    folder: Path, runtime: FakeRuntime, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened(folder, runtime) as model:
        runtime.fails["cudaMalloc"] = 2
        assert refused(lambda: model.run(FakeTensor(pixels(1)))).code == MEMORY
    answers(monkeypatch, hawq_cuda_open=MEMORY)
    error = refused(lambda: opened(folder, FakeRuntime(memory=8 << 20)))
    assert error.code == MEMORY
    assert "2.0 MiB free of 8.0 MiB" in str(error)
    assert "activations of 4 images" in str(error)
    assert "fewer `images`" in error.remedy


WRONG = {
    "float32": lambda: FakeTensor(pixels(2).astype(np.float32)),
    "int8": lambda: FakeTensor(pixels(2).astype(np.int8)),
    "gaps": lambda: FakeTensor(pixels(4)[::2]),
    "another order": lambda: FakeTensor(np.moveaxis(pixels(2), 3, 1)),
    "shape [2, 5, 5]": lambda: FakeTensor(np.ascontiguousarray(pixels(2)[..., 0])),
    "5 images, and there is room for 1 to 4": lambda: FakeTensor(pixels(5)),
    "0 images": lambda: FakeTensor(pixels(0)),
    "on the CPU": lambda: FakeTensor(pixels(2), kind=CPU),
    "on device 1, and the model on device 0": lambda: FakeTensor(pixels(2), device=1),
    "a list": lambda: [1, 2],
    "float64[2, 5, 5, 3]": lambda: pixels(2).astype(np.float64),
}


@pytest.mark.parametrize("said", WRONG)
def test_an_unfit_input_is_refused_in_words(said: str, folder: Path, runtime: FakeRuntime) -> None:
    with opened(folder, runtime) as model:
        given = WRONG[said]()
        assert said in str(refused(lambda: model.run(given)))
        if isinstance(given, FakeTensor):
            assert given.lent == given.returned


def test_an_unfit_output_is_refused(folder: Path, runtime: FakeRuntime) -> None:
    with opened(folder, runtime) as model:
        for out in (np.zeros((3, 4), np.int32), np.zeros((2, 4), np.int64)):
            error = refused(lambda out=out: model.run(FakeTensor(pixels(2)), out=FakeTensor(out)))
            assert "int32[2, 4]" in error.remedy
        refused(lambda: model.run(pixels(2), out=FakeTensor(np.zeros((2, 4), np.int32))))


def test_a_failing_call_is_named_with_its_words(folder: Path, runtime: FakeRuntime) -> None:
    with opened(folder, runtime) as model:
        runtime.fails["cudaMemcpyAsync"] = 700
        assert "cudaMemcpyAsync failed: error 700 (700)" in str(
            refused(lambda: model.run(pixels(1)))
        )
        runtime.fails.clear()


def test_streams_of_every_library_are_understood() -> None:
    assert stream_address(5) == 5
    assert stream_address(SimpleNamespace(cuda_stream=6)) == 6
    assert stream_address(SimpleNamespace(ptr=7)) == 7
    assert stream_address(SimpleNamespace(__cuda_stream__=lambda: (0, 8))) == 8
    assert "no CUDA stream" in str(refused(lambda: stream_address("first")))


def test_what_lies_beside_a_library_imports_neither_the_compiler_nor_frameworks(
    tmp_path: Path,
) -> None:
    for name, text in loaders().items():
        (tmp_path / name).write_bytes(text)
    script = (
        "import sys, hawq_cuda; found = [m for m in ('hawqlang', 'torch', 'tvm', 'numpy') if m in sys.modules];"
        "print(hawq_cuda.CudaModel.__name__, found)"
    )
    ran = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert ran.stdout.split() == ["CudaModel", "[]"]


def test_a_runner_says_why_there_is_only_the_emulation(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "was not built" in run.missing(folder)
    (tmp_path / LIBRARY).write_bytes((folder / EMULATED / LIBRARY).read_bytes())
    monkeypatch.setattr(run, "has_cuda_python", lambda: False)
    assert "no device" in run.missing(tmp_path)
    monkeypatch.setattr(run, "has_cuda_python", lambda: True)
    monkeypatch.setattr(cuda_memory, "cuda_python", lambda: FakeRuntime(driver=0))
    assert "no NVIDIA driver" in run.missing(tmp_path)


def test_a_runner_of_a_device_drives_it_through_the_loader(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = FakeRuntime()
    (tmp_path / LIBRARY).write_bytes((folder / EMULATED / LIBRARY).read_bytes())
    (tmp_path / "weights.bin").write_bytes((folder / "weights.bin").read_bytes())
    monkeypatch.setattr(run, "has_cuda_python", lambda: True)
    monkeypatch.setattr(run, "variants", always(("sm_80",)))
    monkeypatch.setattr(cuda_memory, "cuda_python", lambda: fake)
    runner = run.CudaRunner(tmp_path, None)
    np.testing.assert_array_equal(runner.run(pixels(3)), expected(pixels(3)))
    assert (runner.slow, runner.missing) == (False, "")
    fake.fails["cudaMalloc"] = 2
    with pytest.raises(HawqError) as caught:
        runner.run(pixels(1))
    assert caught.value.diagnostics[0].code == "HQ809"
    assert "fewer images" in (caught.value.diagnostics[0].help or "")
    fake.fails.clear()
    runner.close()
