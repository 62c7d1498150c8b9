"""The CUDA run time as a record of calls over host memory, and tensors that claim to lie on a device.

With it the loader drives the emulated library, whose "device memory" is the host's.
"""

from __future__ import annotations

import ctypes
import re
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt

from hawqlang.cuda_memory import CUDA

STREAM = 0x5000
OK = 0


CONSTANTS = {
    "cudaMemcpyKind": SimpleNamespace(cudaMemcpyHostToDevice=1, cudaMemcpyDeviceToHost=2),
    "cudaDeviceAttr": SimpleNamespace(
        cudaDevAttrComputeCapabilityMajor="major", cudaDevAttrComputeCapabilityMinor="minor"
    ),
    "cudaStreamCaptureMode": SimpleNamespace(cudaStreamCaptureModeThreadLocal=1),
}


class FakeRuntime:
    """Functions of ``cuda.bindings.runtime``; each returns its code first, as those do."""

    def __init__(
        self, *, driver: int = 13000, devices: int = 1, arch: int = 80, memory: int = 1 << 40
    ) -> None:
        self.driver, self.devices, self.arch, self.memory = driver, devices, arch, memory
        self.calls: list[tuple[Any, ...]] = []
        self.alive: dict[int, npt.NDArray[np.uint8]] = {}
        self.fails: dict[str, int] = {}

    def __getattr__(self, name: str) -> Any:
        if not name.startswith("cuda"):
            raise AttributeError(name)
        if name in CONSTANTS:
            return CONSTANTS[name]
        own = re.sub("([A-Z])", r"_\1", name.removeprefix("cuda")).lower()
        answer: Callable[..., tuple[Any, ...]] = getattr(self, own, lambda *_: (OK,))

        def function(*arguments: Any) -> tuple[Any, ...]:
            self.calls.append((name, *arguments))
            if name in self.fails:
                return (self.fails[name], None)
            return answer(*arguments)

        return function

    @property
    def names(self) -> list[str]:
        """The functions called, in order."""
        return [call[0] for call in self.calls]

    def _driver_get_version(self) -> tuple[int, int]:
        return OK, self.driver

    def _get_device_count(self) -> tuple[int, int]:
        return (OK, self.devices) if self.devices else (100, 0)

    def _device_get_attribute(self, what: str, device: int) -> tuple[int, int]:
        del device
        return OK, self.arch // 10 if what == "major" else self.arch % 10

    def _get_error_string(self, code: int) -> tuple[int, bytes]:
        return OK, f"error {code}".encode()

    def _mem_get_info(self) -> tuple[int, tuple[int, int]]:
        return OK, (self.memory // 4, self.memory)

    def _stream_create(self) -> tuple[int, int]:
        return OK, STREAM

    def _stream_end_capture(self, stream: int) -> tuple[int, str]:
        return OK, f"graph of {stream}"

    def _graph_instantiate(self, graph: str, flags: int) -> tuple[int, str]:
        return OK, f"ready {graph} {flags}"

    def _malloc(self, size: int) -> tuple[int, int]:
        if size > self.memory:
            return 2, 0
        block = np.full(size + 256, 0xA5, np.uint8)
        start = block.ctypes.data + (-block.ctypes.data) % 256
        self.alive[start] = block
        return OK, start

    def _free(self, address: int) -> tuple[int]:
        del self.alive[address]
        return (OK,)

    def _memcpy_async(self, to: int, source: int, size: int, *_: Any) -> tuple[int]:
        ctypes.memmove(to, source, size)
        return (OK,)


class _Managed(ctypes.Structure):
    """``DLManagedTensor``."""

    _fields_ = (
        ("data", ctypes.c_void_p),
        ("device_kind", ctypes.c_int32),
        ("device", ctypes.c_int32),
        ("rank", ctypes.c_int32),
        ("code", ctypes.c_uint8),
        ("bits", ctypes.c_uint8),
        ("lanes", ctypes.c_uint16),
        ("shape", ctypes.c_void_p),
        ("strides", ctypes.c_void_p),
        ("offset", ctypes.c_uint64),
        ("context", ctypes.c_void_p),
        ("deleter", ctypes.CFUNCTYPE(None, ctypes.c_void_p)),
    )


CODES = {"i": 0, "u": 1, "f": 2}


class FakeTensor:
    """An array that says it is on a device; counts how often it was lent and given back."""

    def __init__(self, array: npt.NDArray[Any], *, kind: int = CUDA, device: int = 0) -> None:
        self.array, self.where = array, (kind, device)
        self.lent = self.returned = 0
        self.streams: list[int | None] = []

    def __dlpack_device__(self) -> tuple[int, int]:
        return self.where

    def __dlpack__(self, *, stream: int | None = None) -> Any:
        self.lent += 1
        self.streams.append(stream)
        rank = self.array.ndim
        numbers = ctypes.c_int64 * max(rank, 1)
        size = self.array.itemsize
        self._axes = numbers(*self.array.shape), numbers(*(s // size for s in self.array.strides))

        def give_back(_: int) -> None:
            self.returned += 1

        self._managed = _Managed(
            data=self.array.ctypes.data,
            device_kind=self.where[0],
            device=self.where[1],
            rank=rank,
            code=CODES[self.array.dtype.kind],
            bits=8 * size,
            lanes=1,
            shape=ctypes.addressof(self._axes[0]),
            strides=ctypes.addressof(self._axes[1]),
            offset=0,
            context=None,
            deleter=ctypes.CFUNCTYPE(None, ctypes.c_void_p)(give_back),
        )
        make = ctypes.pythonapi.PyCapsule_New
        make.restype = ctypes.py_object
        make.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p]
        self._name = ctypes.c_char_p(b"dltensor")
        return make(ctypes.addressof(self._managed), self._name, None)
