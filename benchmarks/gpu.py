"""Latency of an artifact's CUDA library on the device of this machine, by batch and by step.

python benchmarks/gpu.py build/NAME --batches 1 8 64

Prints one JSON object: per batch the median, 10th and 90th percentile of a run in microseconds, device memory in and
out, captured in a CUDA graph where cuda-python is installed, and per step the median at batch 1 beside the tile that
the library chose. Nothing is compared here: rivals belong in a run of their own with the same clock settings.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

WARM_UP = 20
ROUNDS = 200


class Options(ctypes.Structure):
    """``hawq_cuda_options``."""

    _fields_ = (
        ("size", ctypes.c_uint32),
        ("images", ctypes.c_int32),
        ("isa", ctypes.c_char_p),
        ("weights", ctypes.c_char_p),
        ("workspace", ctypes.c_void_p),
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("artifact", type=Path)
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 8, 32])
    arguments = parser.parse_args()
    folder = arguments.artifact / "cuda"
    result = {
        "artifact": str(arguments.artifact),
        "batches": {n: run_times(folder, n) for n in arguments.batches},
        "steps": step_times(folder),
    }
    print(json.dumps(result, indent=1))


def run_times(folder: Path, images: int) -> dict[str, float]:
    """Return the latency of a run of so many images in microseconds, on device memory."""
    driver = _driver()
    library = ctypes.CDLL(str((folder / "model.so").resolve()))
    library.hawq_cuda_run.argtypes = [ctypes.c_void_p] * 3 + [ctypes.c_int, ctypes.c_void_p]
    library.hawq_model_close.argtypes = [ctypes.c_void_p]
    library.hawq_input_bytes.restype = library.hawq_output_values.restype = ctypes.c_size_t
    handle = ctypes.c_void_p()
    options = Options(ctypes.sizeof(Options), images, None, None, None)
    if library.hawq_cuda_open(ctypes.byref(options), ctypes.byref(handle)):
        library.hawq_last_error.restype = ctypes.c_char_p
        raise SystemExit(library.hawq_last_error().decode())
    source = driver.malloc(images * library.hawq_input_bytes())
    target = driver.malloc(images * library.hawq_output_values() * 4)
    run = driver.captured(
        lambda stream: library.hawq_cuda_run(handle, source, target, images, stream)
    )
    times = [driver.microseconds(run) for _ in range(WARM_UP + ROUNDS)][WARM_UP:]
    library.hawq_model_close(handle)
    low, middle, high = np.percentile(times, (10, 50, 90))
    return {"median": float(middle), "p10": float(low), "p90": float(high)}


def step_times(folder: Path) -> dict[str, float]:
    """Return the median microseconds of every step at batch 1, the launch included."""
    from hawqlang.runtime import Model

    with Model(folder) as model:
        image = np.zeros(model.input_shape, np.uint8)
        found = [model.profile(image) for _ in range(WARM_UP + ROUNDS)][WARM_UP:]
        return {name: float(np.median([t[name] for t in found])) / 1e3 for name in model.steps}


class _Driver:
    """The few functions of the CUDA run time that a measurement needs, through cuda-python."""

    def __init__(self, runtime: Any) -> None:
        self.runtime = runtime
        self.stream = self.call("cudaStreamCreate")

    def call(self, name: str, *arguments: object) -> Any:
        code, *results = getattr(self.runtime, name)(*arguments)
        if int(code):
            raise SystemExit(f"{name}: {code}")
        return results[0] if len(results) == 1 else results

    def malloc(self, size: int) -> int:
        return int(self.call("cudaMalloc", size))

    def captured(self, launch: Callable[[int], int]) -> Callable[[], None]:
        """Return a function that replays a launch from a graph."""
        mode = self.runtime.cudaStreamCaptureMode.cudaStreamCaptureModeGlobal
        self.call("cudaStreamBeginCapture", self.stream, mode)
        if launch(int(self.stream)):
            raise SystemExit("the library did not run")
        graph = self.call("cudaStreamEndCapture", self.stream)
        ready = self.call("cudaGraphInstantiate", graph, 0)
        return lambda: self.call("cudaGraphLaunch", ready, self.stream)

    def microseconds(self, run: Callable[[], None]) -> float:
        self.call("cudaStreamSynchronize", self.stream)
        start = time.perf_counter_ns()
        run()
        self.call("cudaStreamSynchronize", self.stream)
        return (time.perf_counter_ns() - start) / 1e3


def _driver() -> _Driver:
    try:
        from cuda.bindings import runtime  # pyright: ignore[reportMissingImports]
    except ImportError:
        raise SystemExit("cuda-python is missing: pip install hawqc[cuda]") from None
    return _Driver(runtime)


if __name__ == "__main__":
    main()
