"""Run a compiled network on an NVIDIA GPU: ctypes and cuda-python alone. This file is copied beside every library.

from hawq_cuda import CudaModel

with CudaModel("folder", images=8) as model:
    logits = model.run(images)              # NumPy in, NumPy out
    logits = model.run(tensor)              # a CUDA tensor of torch, CuPy, JAX, ...: nothing leaves the device
    graph = model.capture(tensor, logits)   # recorded once,
    graph.replay()                          # launched with one call

What is on the device comes in through DLPack, and goes out as an array with ``__cuda_array_interface__``, which
``torch.as_tensor(logits, device="cuda")`` and ``cupy.asarray(logits)`` take without a copy.
"""

from __future__ import annotations

import ctypes
import json
import math
import os
from pathlib import Path
from typing import Any, Self

from hawqlang.cuda_memory import (
    SIGNED,
    TO_DEVICE,
    TO_HOST,
    UNSIGNED,
    Borrowed,
    CudaFailure,
    DeviceArray,
    Driver,
    no_driver,
    stream_address,
)
from hawqlang.runtime import LIBRARY, MEMORY, WEIGHT_FILE, Model

ALIGNMENT = 256
KERNELS = "kernels.json"
MAJOR, MINOR = "cudaDevAttrComputeCapabilityMajor", "cudaDevAttrComputeCapabilityMinor"
NO_DEVICE = 100
"""Code of the CUDA run time."""


class _Options(ctypes.Structure):
    """``hawq_cuda_options``."""

    _fields_ = (
        ("size", ctypes.c_uint32),
        ("images", ctypes.c_int32),
        ("isa", ctypes.c_char_p),
        ("weights", ctypes.c_char_p),
        ("workspace", ctypes.c_void_p),
    )


def declare(library: ctypes.CDLL) -> None:
    """Give the functions of ``hawq_cuda.h`` their types.

    Raises:
        CudaFailure: the library has none of them.
    """
    if not hasattr(library, "hawq_cuda_open"):
        raise CudaFailure("this is no library for GPUs", "Open it with hawq_runtime.Model.")
    library.hawq_cuda_workspace.restype = ctypes.c_size_t
    library.hawq_cuda_weights.restype = ctypes.c_size_t
    library.hawq_cuda_run.argtypes = [ctypes.c_void_p] * 3 + [ctypes.c_int, ctypes.c_void_p]


class Graph:
    """One run on fixed memory, recorded: its launches cost one call."""

    def __init__(
        self, driver: Driver, recorded: Any, stream: int, logits: Any, holds: tuple[Any, ...]
    ) -> None:
        """Make a recorded graph ready.

        Args:
            driver: The run time.
            recorded: What was captured.
            stream: Where it runs unless told otherwise.
            logits: What it writes.
            holds: Memory that must outlive it.
        """
        self._driver, self._stream, self._holds, self.logits = driver, stream, holds, logits
        self._ready = driver.call("cudaGraphInstantiate", recorded, 0)
        driver.call("cudaGraphDestroy", recorded)

    def replay(self, stream: Any = None) -> None:
        """Run on what the input's memory holds now; returns before it is done where a stream is given."""
        chosen = self._stream if stream is None else stream_address(stream)
        self._driver.call("cudaGraphLaunch", self._ready, chosen)
        if stream is None:
            self._driver.call("cudaStreamSynchronize", chosen)

    def close(self) -> None:
        """Give the graph back."""
        if self._ready is not None:
            self._driver.call("cudaGraphExecDestroy", self._ready)
            self._ready, self._holds = None, ()


class CudaModel(Model):
    """A network on one device. One instance runs one inference at a time."""

    def __init__(
        self,
        folder: str | Path,
        *,
        images: int = 0,
        device: int = 0,
        workspace: Any = None,
        isa: str | None = None,
        bindings: Any = None,
    ) -> None:
        """Load ``model.so`` and its weights, which go to the device.

        Args:
            folder: Holds ``model.so``, ``weights.bin`` and ``kernels.json``; or the path of ``model.so``.
            images: Most images of one run; 0 takes the batch that the network was built for.
            device: Number of the device, as this process sees them.
            workspace: Memory on the device for activations, ``workspace_bytes`` of it; ``None`` allocates.
            isa: Which kernels, where they are not those of the device.
            bindings: ``cuda.bindings.runtime``, or a module with the same functions; imported unless given.

        Raises:
            CudaFailure: no driver, no device, kernels for other devices, or too little memory.
            RuntimeFailure: the library does not load, or the weights are damaged.
        """
        place = Path(folder)
        library = place if place.is_file() else place / LIBRARY
        self.driver, self.device = Driver(bindings), device
        self._held: tuple[Any, ...] = ()
        self._stream = 0
        self._load(library)
        declare(self._library)
        self._check_machine(library.parent)
        self.driver.call("cudaSetDevice", device)
        self.images = images or int(self._library.hawq_cuda_batch())
        if not 0 < self.images < 1 << 31:
            raise CudaFailure(f"{images} is no number of images", "Give one from 1 on.")
        self._workspace = None if workspace is None else self._given_workspace(workspace)
        weights = library.parent / WEIGHT_FILE
        options = _Options(
            ctypes.sizeof(_Options),
            self.images,
            isa.encode() if isa else None,
            os.fsencode(weights) if weights.is_file() else None,
            None if self._workspace is None else self._workspace.address,
        )
        opened = self._library.hawq_cuda_open(ctypes.byref(options), ctypes.byref(self._handle))
        if opened == MEMORY:
            raise self._too_large()
        self._check(opened)
        self._learn()
        self._stream = int(self.driver.call("cudaStreamCreate"))

    @property
    def workspace_bytes(self) -> int:
        """Return the bytes of activations of ``images`` images."""
        return self._library.hawq_cuda_workspace(self.images)

    def run(self, images: Any, *, out: Any = None, stream: Any = None) -> Any:
        """Return int32 logits ``(N, F)`` of uint8 images ``(N, H, W, C)``.

        Args:
            images: An array of NumPy's, which is copied to the device and gives one of NumPy's; or a dense tensor on
                the device with ``__dlpack__``, of at most ``images`` images, which gives one on the device.
            out: Dense int32 tensor ``(N, F)`` on the device for the logits; made unless given.
            stream: Order of the work: a CUDA stream's address, or an object of torch, CuPy or cuda.core that has one.
                Without it the run is done on return; with it, it may be still to come.

        Raises:
            CudaFailure: a tensor of another type or shape, with gaps, or on another device.
            RuntimeFailure: the model is closed, or busy in another thread.
        """
        order = self._stream if stream is None else stream_address(stream)
        if _is_numpy(images):
            if out is not None:
                raise CudaFailure("`out` is for tensors on the device", "Leave it out.")
            return self._run_copied(images, order)
        source = self._input(images, order)
        result = self._output(source.shape[0], order) if out is None else out
        target = self._logits(result, source.shape[0], order)
        self._launch(source, target, order)
        self._held = (source, target)
        if stream is None:
            self.driver.call("cudaStreamSynchronize", order)
        return result

    def capture(self, images: Any, out: Any = None) -> Graph:
        """Return a recorded run on the memory of ``images`` and ``out``, whose values later ones may replace."""
        source = self._input(images, self._stream)
        result = self._output(source.shape[0], self._stream) if out is None else out
        target = self._logits(result, source.shape[0], self._stream)
        mode = self.driver.flag("cudaStreamCaptureMode", "cudaStreamCaptureModeThreadLocal")
        self.driver.call("cudaStreamBeginCapture", self._stream, mode)
        try:
            self._launch(source, target, self._stream)
        finally:
            recorded = self.driver.call("cudaStreamEndCapture", self._stream)
        return Graph(self.driver, recorded, self._stream, result, (source, target, self))

    def empty(self, images: int) -> DeviceArray:
        """Return memory on the device for so many images."""
        return DeviceArray(self.driver, (images, *self.input_shape), "|u1", self._stream)

    def close(self) -> None:
        """Release the network's memory and stream, once it no longer runs."""
        stream, self._stream, self._held = getattr(self, "_stream", 0), 0, ()
        if stream:
            self.driver.call("cudaStreamSynchronize", stream)
        super().close()
        if stream:
            self.driver.call("cudaStreamDestroy", stream)

    def __enter__(self) -> Self:
        return self

    def _check_machine(self, folder: Path) -> None:
        """Raise where driver or device cannot run the library."""
        driver, toolkit = self.driver, int(self._library.hawq_cuda_toolkit())
        version = int(driver.call("cudaDriverGetVersion"))
        if version == 0:
            raise no_driver("the run time finds none")
        if version // 1000 < toolkit // 1000:
            raise CudaFailure(
                f"the driver is too old: it serves CUDA {_shown(version)}, the library needs {_shown(toolkit)}",
                f"Install a newer driver, or build the library with a CUDA toolkit up to {_shown(version)}.",
            )
        count = self._devices()
        if not 0 <= self.device < count:
            raise CudaFailure(
                f"there is no device {self.device}: this process sees {count}",
                "Choose another `device`, or see what CUDA_VISIBLE_DEVICES says.",
            )
        major, minor = (
            int(
                driver.call(
                    "cudaDeviceGetAttribute", driver.flag("cudaDeviceAttr", name), self.device
                )
            )
            for name in (MAJOR, MINOR)
        )
        built = _architectures(folder)
        if built and toolkit and 10 * major + minor < min(int(name[3:]) for name in built):
            raise CudaFailure(
                f"the library was built for {', '.join(built)}, and the device is sm_{major}{minor}",
                f"Build it again with `emit cuda {{ arch = [sm_{major}{minor}] }}`.",
            )

    def _devices(self) -> int:
        try:
            return int(self.driver.call("cudaGetDeviceCount"))
        except CudaFailure as error:
            if error.code != NO_DEVICE:
                raise
            return 0

    def _too_large(self) -> CudaFailure:
        free, total = self.driver.call("cudaMemGetInfo")
        weights, activations = int(self._library.hawq_cuda_weights()), self.workspace_bytes
        return CudaFailure(
            f"the device has {_mebibytes(free)} free of {_mebibytes(total)}: weights take "
            f"{_mebibytes(weights)}, activations of {self.images} images {_mebibytes(activations)}",
            "Open it for fewer `images`, or free memory on the device.",
            MEMORY,
        )

    def _given_workspace(self, workspace: Any) -> Borrowed:
        borrowed = Borrowed(workspace, "the workspace", self.device, None)
        size = math.prod(borrowed.shape) * borrowed.bits // 8
        if size < self.workspace_bytes or borrowed.address % ALIGNMENT or not borrowed.dense:
            raise borrowed.refused(
                f"the workspace has {size} bytes at {borrowed.address:#x}",
                f"Give {self.workspace_bytes} dense bytes at a multiple of {ALIGNMENT}.",
            )
        return borrowed

    def _input(self, images: Any, stream: int) -> Borrowed:
        found = Borrowed(images, "the input", self.device, stream)
        found.demand(UNSIGNED, 8, f"uint8[N, {', '.join(map(str, self.input_shape))}]")
        if len(found.shape) != 1 + len(self.input_shape) or found.shape[1:] != self.input_shape:
            raise found.refused(
                f"the input has shape {list(found.shape)}",
                f"Give images of {list(self.input_shape)}, channels last, with a batch axis before.",
            )
        if not 0 < found.shape[0] <= self.images:
            raise found.refused(
                f"the input has {found.shape[0]} images, and there is room for 1 to {self.images}",
                f"Open the model with `images = {max(found.shape[0], 1)}`, or give fewer at once.",
            )
        return found

    def _logits(self, out: Any, count: int, stream: int) -> Borrowed | DeviceArray:
        if isinstance(out, DeviceArray):
            shape, fits = out.shape, out.kind == "<i4"
            found: Borrowed | DeviceArray = out
        else:
            found = Borrowed(out, "`out`", self.device, stream)
            found.demand(SIGNED, 32, f"int32[{count}, {', '.join(map(str, self.output_shape))}]")
            shape, fits = found.shape, True
        if not fits or shape != (count, *self.output_shape):
            said = f"`out` has shape {list(shape)}", f"Give int32{[count, *self.output_shape]}."
            raise CudaFailure(*said) if isinstance(found, DeviceArray) else found.refused(*said)
        return found

    def _output(self, count: int, stream: int) -> DeviceArray:
        return DeviceArray(self.driver, (count, *self.output_shape), "<i4", stream)

    def _launch(self, source: Any, target: Any, stream: int) -> None:
        with self._running() as handle:
            self.driver.call("cudaSetDevice", self.device)
            count = source.shape[0]
            self._check(
                self._library.hawq_cuda_run(handle, source.address, target.address, count, stream)
            )

    def _run_copied(self, images: Any, stream: int) -> Any:
        """Return logits in host memory: so many images at a time as there is room for."""
        import numpy as np

        shape = images.shape[1:]
        if images.dtype != np.uint8 or shape != self.input_shape:
            raise CudaFailure(
                f"the input is {images.dtype}{list(images.shape)}",
                f"Give uint8[N, {', '.join(map(str, self.input_shape))}].",
            )
        logits = np.empty((len(images), *self.output_shape), np.int32)
        room = min(self.images, max(len(images), 1))
        source, target = self.empty(room), self._output(room, stream)
        source.stream = stream
        try:
            for first in range(0, len(images), room):
                part = np.ascontiguousarray(images[first : first + room])
                source.shape = part.shape
                into = logits[first : first + room]
                self.driver.copy(source.address, part.ctypes.data, part.nbytes, TO_DEVICE, stream)
                self._launch(source, target, stream)
                self.driver.copy(into.ctypes.data, target.address, into.nbytes, TO_HOST, stream)
                self.driver.call("cudaStreamSynchronize", stream)
        finally:
            source.close()
            target.close()
        return logits


def _architectures(folder: Path) -> tuple[str, ...]:
    """Return what a library was built for; nothing where its table of kernels is not beside it."""
    try:
        table: Any = json.loads((folder / KERNELS).read_text(encoding="utf-8"))
    except OSError:
        return ()
    return tuple(table["architectures"])


def _shown(version: int) -> str:
    return f"{version // 1000}.{version % 1000 // 10}"


def _mebibytes(size: int) -> str:
    return f"{size / (1 << 20):.1f} MiB"


def _is_numpy(array: object) -> bool:
    return type(array).__module__.partition(".")[0] == "numpy"
