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
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from hawqlang.runtime import LIBRARY, MEMORY, WEIGHT_FILE, Model, RuntimeFailure

if TYPE_CHECKING:
    import numpy.typing as npt

CPU, CUDA = 1, 2
"""Kinds of devices, as DLPack numbers them."""
SIGNED, UNSIGNED = 0, 1
"""Kinds of elements, as DLPack numbers them."""
ALIGNMENT = 256
KERNELS = "kernels.json"
TO_DEVICE, TO_HOST = "cudaMemcpyHostToDevice", "cudaMemcpyDeviceToHost"
MAJOR, MINOR = "cudaDevAttrComputeCapabilityMajor", "cudaDevAttrComputeCapabilityMinor"
NO_DEVICE, NO_MEMORY = 100, 2
"""Codes of the CUDA run time."""


class CudaFailure(RuntimeFailure):
    """Something keeps the network from running; ``remedy`` says what helps."""

    def __init__(self, message: str, remedy: str, code: int = 0) -> None:
        super().__init__(message, code)
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.args[0]}. {self.remedy}"


class _Options(ctypes.Structure):
    """``hawq_cuda_options``."""

    _fields_ = (
        ("size", ctypes.c_uint32),
        ("images", ctypes.c_int32),
        ("isa", ctypes.c_char_p),
        ("weights", ctypes.c_char_p),
        ("workspace", ctypes.c_void_p),
    )


class _Tensor(ctypes.Structure):
    """``DLTensor``."""

    _fields_ = (
        ("data", ctypes.c_void_p),
        ("device_kind", ctypes.c_int32),
        ("device", ctypes.c_int32),
        ("rank", ctypes.c_int32),
        ("code", ctypes.c_uint8),
        ("bits", ctypes.c_uint8),
        ("lanes", ctypes.c_uint16),
        ("shape", ctypes.POINTER(ctypes.c_int64)),
        ("strides", ctypes.POINTER(ctypes.c_int64)),
        ("offset", ctypes.c_uint64),
    )


class Driver:
    """The few functions of the CUDA run time that a network needs."""

    def __init__(self, bindings: Any = None) -> None:
        """Take ``cuda.bindings.runtime``, or a module with the same functions.

        Raises:
            CudaFailure: cuda-python is not installed.
        """
        self.bindings = _bindings() if bindings is None else bindings

    def call(self, name: str, *arguments: Any) -> Any:
        """Return what a function gives, without its code.

        Raises:
            CudaFailure: it gave a code other than 0, or there is no driver.
        """
        try:
            code, *values = getattr(self.bindings, name)(*arguments)
        except RuntimeError as error:  # cuda-python, where the driver's library is missing
            raise _no_driver(str(error)) from None
        if int(code):
            raise self._failure(name, int(code), code)
        return values[0] if len(values) == 1 else tuple(values)

    def flag(self, kind: str, name: str) -> Any:
        """Return a constant of an enumeration."""
        return getattr(getattr(self.bindings, kind), name)

    def copy(self, to: int, source: int, size: int, direction: str, stream: int) -> None:
        """Copy between host and device in a stream's order."""
        kind = self.flag("cudaMemcpyKind", direction)
        self.call("cudaMemcpyAsync", to, source, size, kind, stream)

    def _failure(self, name: str, number: int, code: Any) -> CudaFailure:
        if number == NO_MEMORY:
            return CudaFailure(
                "the device has no memory left", "Free some, or run fewer images at once.", MEMORY
            )
        said = self.bindings.cudaGetErrorString(code)[1]
        words = said.decode(errors="replace") if isinstance(said, bytes) else str(said)
        return CudaFailure(
            f"{name} failed: {words} ({number})",
            "Earlier kernels of this process may have failed: start it anew.",
            number,
        )


class DeviceArray:
    """Values on the device, dense, in memory of its own; other libraries take them as they are."""

    def __init__(self, driver: Driver, shape: tuple[int, ...], kind: str, stream: int) -> None:
        """Reserve memory.

        Args:
            driver: The run time.
            shape: Sizes of the axes.
            kind: Type of the elements as NumPy writes it: ``|u1`` or ``<i4``.
            stream: In whose order it is written and copied.
        """
        self.shape, self.kind, self.stream = shape, kind, stream
        self.size = math.prod(shape) * int(kind[2:])
        self._driver = driver
        self.address = int(driver.call("cudaMalloc", max(self.size, 1)))

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        return {
            "shape": self.shape,
            "typestr": self.kind,
            "data": (self.address, False),
            "strides": None,
            "stream": self.stream,
            "version": 3,
        }

    def numpy(self) -> npt.NDArray[Any]:
        """Return a copy in host memory, once all that was asked for before is done."""
        import numpy as np

        found = np.empty(self.shape, self.kind)
        self._driver.copy(found.ctypes.data, self.address, self.size, TO_HOST, self.stream)
        self._driver.call("cudaStreamSynchronize", self.stream)
        return found

    def copy_from(self, values: npt.NDArray[Any]) -> None:
        """Overwrite the values with those of an array of the same shape and type."""
        import numpy as np

        if values.shape != self.shape or values.dtype != np.dtype(self.kind):
            raise CudaFailure(
                f"the array is {values.dtype}{list(values.shape)}",
                f"Give {np.dtype(self.kind)}{list(self.shape)}.",
            )
        dense = np.ascontiguousarray(values)
        self._driver.copy(self.address, dense.ctypes.data, self.size, TO_DEVICE, self.stream)
        self._driver.call("cudaStreamSynchronize", self.stream)

    def close(self) -> None:
        """Give the memory back."""
        if self.address:
            self._driver.call("cudaFree", self.address)
            self.address = 0

    def __del__(self) -> None:
        if getattr(self, "address", 0):
            self.close()


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
        self._declare()
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

    def _declare(self) -> None:
        library = self._library
        if not hasattr(library, "hawq_cuda_open"):
            raise CudaFailure("this is no library for GPUs", "Open it with hawq_runtime.Model.")
        library.hawq_cuda_workspace.restype = ctypes.c_size_t
        library.hawq_cuda_weights.restype = ctypes.c_size_t
        library.hawq_cuda_run.argtypes = [ctypes.c_void_p] * 3 + [ctypes.c_int, ctypes.c_void_p]

    def _check_machine(self, folder: Path) -> None:
        """Raise where driver or device cannot run the library."""
        driver, toolkit = self.driver, int(self._library.hawq_cuda_toolkit())
        version = int(driver.call("cudaDriverGetVersion"))
        if version == 0:
            raise _no_driver("the run time finds none")
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

    def _given_workspace(self, workspace: Any) -> _Borrowed:
        borrowed = _Borrowed(workspace, "the workspace", self.device, None)
        size = math.prod(borrowed.shape) * borrowed.bits // 8
        if size < self.workspace_bytes or borrowed.address % ALIGNMENT or not borrowed.dense:
            raise borrowed.refused(
                f"the workspace has {size} bytes at {borrowed.address:#x}",
                f"Give {self.workspace_bytes} dense bytes at a multiple of {ALIGNMENT}.",
            )
        return borrowed

    def _input(self, images: Any, stream: int) -> _Borrowed:
        found = _Borrowed(images, "the input", self.device, stream)
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

    def _logits(self, out: Any, count: int, stream: int) -> _Borrowed | DeviceArray:
        if isinstance(out, DeviceArray):
            shape, fits = out.shape, out.kind == "<i4"
            found: _Borrowed | DeviceArray = out
        else:
            found = _Borrowed(out, "`out`", self.device, stream)
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


class _Borrowed:
    """Memory of another library's tensor, held until this is gone."""

    def __init__(self, tensor: Any, what: str, device: int, stream: int | None) -> None:
        """Take a tensor through DLPack, its values ready in the order of ``stream``.

        Raises:
            CudaFailure: it is none, or on another device.
        """
        if isinstance(tensor, DeviceArray):
            self._of, self.what, self.shape, self.address = (
                tensor,
                what,
                tensor.shape,
                tensor.address,
            )
            self.code, self.bits = (
                (SIGNED if tensor.kind[1] == "i" else UNSIGNED),
                8 * int(tensor.kind[2:]),
            )
            self.dense, self._release = True, None
            return
        if not hasattr(tensor, "__dlpack__"):
            raise CudaFailure(
                f"{what} is a {type(tensor).__name__}",
                "Give an array of NumPy's, or a CUDA tensor with `__dlpack__` (torch, CuPy, JAX).",
            )
        kind, number = (int(part) for part in tensor.__dlpack_device__())
        if kind != CUDA:
            where = "the CPU" if kind == CPU else f"a device of kind {kind}"
            raise CudaFailure(
                f"{what} is on {where}", "Move it to the GPU, or give an array of NumPy's."
            )
        if number != device:
            raise CudaFailure(
                f"{what} is on device {number}, and the model on device {device}",
                "Move it, or open the model there.",
            )
        capsule = tensor.__dlpack__(stream=stream)
        view, self._release = _opened(capsule)
        self._of, self.what = tensor, what
        self.shape = tuple(view.shape[i] for i in range(view.rank))
        self.address = (view.data or 0) + view.offset
        self.code, self.bits = view.code, view.bits * view.lanes
        self.dense = _is_dense(self.shape, view)

    def demand(self, code: int, bits: int, wanted: str) -> None:
        """Raise unless elements are of a type and without gaps between them."""
        if (self.code, self.bits) != (code, bits):
            kinds = {SIGNED: "int", UNSIGNED: "uint", 2: "float", 4: "bfloat", 6: "bool"}
            kind = kinds.get(self.code, "of another kind, ")
            raise self.refused(f"{self.what} is {kind}{self.bits}", f"Give {wanted}.")
        if not self.dense:
            raise self.refused(
                f"{self.what} has gaps or another order of axes",
                "Make it contiguous, channels last: `x.permute(0, 2, 3, 1).contiguous()` of a torch tensor.",
            )

    def refused(self, message: str, remedy: str) -> CudaFailure:
        """Give the memory back; return what to say of it."""
        self.close()
        return CudaFailure(message, remedy)

    def close(self) -> None:
        """Give the memory back."""
        release, self._release = self._release, None
        if release is not None:
            release()

    def __del__(self) -> None:
        if hasattr(self, "_release"):
            self.close()


def stream_address(stream: Any) -> int:
    """Return the address of a stream: itself, or what torch, CuPy and cuda.core say of theirs."""
    if hasattr(stream, "__cuda_stream__"):
        return int(stream.__cuda_stream__()[1])
    for name in ("cuda_stream", "ptr"):
        if hasattr(stream, name):
            return int(getattr(stream, name))
    try:
        return int(stream)
    except (TypeError, ValueError):
        raise CudaFailure(
            f"a {type(stream).__name__} is no CUDA stream",
            "Give its address, or a stream of torch, CuPy or cuda.core.",
        ) from None


def _opened(capsule: Any) -> tuple[_Tensor, Callable[[], None]]:
    """Return the tensor inside a DLPack capsule, and what gives it back."""
    python = ctypes.pythonapi
    python.PyCapsule_GetPointer.restype = ctypes.c_void_p
    python.PyCapsule_GetPointer.argtypes = [ctypes.py_object, ctypes.c_char_p]
    python.PyCapsule_SetName.argtypes = [ctypes.py_object, ctypes.c_char_p]
    address = python.PyCapsule_GetPointer(capsule, b"dltensor")
    python.PyCapsule_SetName(capsule, b"used_dltensor")
    view = _Tensor.from_address(address)
    deleter = ctypes.c_void_p.from_address(
        address + ctypes.sizeof(_Tensor) + ctypes.sizeof(ctypes.c_void_p)
    ).value

    def release() -> None:
        if deleter:
            ctypes.CFUNCTYPE(None, ctypes.c_void_p)(deleter)(address)

    return view, release


def _is_dense(shape: tuple[int, ...], view: _Tensor) -> bool:
    step = 1
    for i in reversed(range(view.rank)):
        if view.strides and shape[i] > 1 and view.strides[i] != step:
            return False
        step *= shape[i]
    return True


def _bindings() -> Any:
    try:
        from cuda.bindings import runtime  # pyright: ignore[reportMissingImports]
    except ImportError:
        raise CudaFailure(
            "cuda-python is not installed", "`pip install cuda-python` brings it."
        ) from None
    return runtime


def _no_driver(why: str) -> CudaFailure:
    return CudaFailure(
        f"there is no NVIDIA driver on this machine ({why})",
        "Install the driver of the GPU, or run where there is one.",
    )


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
