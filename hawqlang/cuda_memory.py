"""Memory, streams and calls of the CUDA run time, through cuda-python; memory of other libraries through DLPack.

``cuda_runtime`` is written in it, and the two are copied beside every library together.
"""

from __future__ import annotations

import ctypes
import math
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from hawqlang.runtime import MEMORY, RuntimeFailure

if TYPE_CHECKING:
    import numpy.typing as npt

CPU, CUDA = 1, 2
"""Kinds of devices, as DLPack numbers them."""
SIGNED, UNSIGNED = 0, 1
"""Kinds of elements, as DLPack numbers them."""
TO_DEVICE, TO_HOST = "cudaMemcpyHostToDevice", "cudaMemcpyDeviceToHost"
NO_MEMORY = 2
"""Code of the CUDA run time."""


class CudaFailure(RuntimeFailure):
    """Something keeps the network from running; ``remedy`` says what helps."""

    def __init__(self, message: str, remedy: str, code: int = 0) -> None:
        super().__init__(message, code)
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.args[0]}. {self.remedy}"


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
            raise no_driver(str(error)) from None
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


class Borrowed:
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
    if 0 in shape:
        return True
    for i in reversed(range(view.rank)):
        if view.strides and shape[i] > 1 and view.strides[i] != step:
            return False
        step *= shape[i]
    return True


def has_bindings() -> bool:
    """Return whether cuda-python is installed."""
    return bool(find_spec("cuda") and find_spec("cuda.bindings"))


def _bindings() -> Any:
    try:
        found: Any = import_module("cuda.bindings.runtime")
    except ImportError:
        raise CudaFailure(
            "cuda-python is not installed", "`pip install cuda-python` brings it."
        ) from None
    return found


def no_driver(why: str) -> CudaFailure:
    """Return what to say where no GPU can be reached at all."""
    return CudaFailure(
        f"there is no NVIDIA driver on this machine ({why})",
        "Install the driver of the GPU, or run where there is one.",
    )
