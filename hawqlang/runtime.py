"""Run a compiled network: NumPy and ctypes alone. This file is copied beside every library.

from hawq_runtime import Model

with Model("folder") as model:
    logits = model.run(images)  # uint8 (N, H, W, C) in, int32 (N, F) out
"""

from __future__ import annotations

import ctypes
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

ABI = 1
Array = npt.NDArray[Any]


class RuntimeFailure(RuntimeError):  # noqa: N818 - the user's word, not an error of this file
    """The library refused: no kernels for this CPU, damaged weights, or an input of another shape."""


class _Options(ctypes.Structure):
    _fields_ = (
        ("size", ctypes.c_uint32),
        ("isa", ctypes.c_char_p),
        ("weights", ctypes.c_char_p),
    )


class _Io(ctypes.Structure):
    _fields_ = (
        ("name", ctypes.c_char_p),
        ("element", ctypes.c_int32),
        ("rank", ctypes.c_int32),
        ("shape", ctypes.c_int64 * 4),
    )


def _open_library(path: Path) -> ctypes.CDLL:
    try:
        library = ctypes.CDLL(str(path.resolve()))
    except OSError as error:
        raise RuntimeFailure(f"{path} cannot be loaded: {error}") from None
    for name in ("hawq_version", "hawq_error", "hawq_step_name", "hawq_isa", "hawq_model_isa"):
        getattr(library, name).restype = ctypes.c_char_p
    for name in ("hawq_model_isa", "hawq_model_close"):
        getattr(library, name).argtypes = [ctypes.c_void_p]
    library.hawq_model_close.restype = None
    address, count = ctypes.c_void_p, ctypes.c_size_t
    library.hawq_model_run.argtypes = [address, address, address, count]
    library.hawq_model_trace.argtypes = [address, address, address, address]
    library.hawq_model_profile.argtypes = [address, address, address, address]
    if library.hawq_abi() != ABI:
        raise RuntimeFailure(f"{path} has another interface version")
    return library


def supported(folder: str | Path) -> tuple[str, ...]:
    """Return the instruction sets of the library in ``folder`` that this CPU can run, best first."""
    library = _open_library(Path(folder) / "model.so")
    found: list[str] = []
    while name := library.hawq_isa(len(found)):
        found.append(name.decode())
    return tuple(found)


class Model:
    """A loaded network. One instance runs one inference at a time."""

    def __init__(
        self, folder: str | Path, *, isa: str | None = None, weights: str | Path | None = None
    ) -> None:
        """Load ``model.so`` and its weights.

        Args:
            folder: Holds ``model.so`` and ``weights.bin``.
            isa: Instruction set to use; ``None`` takes ``$HAWQ_ISA``, else the best of this CPU.
            weights: Weight file, where it is not beside the library.

        Raises:
            RuntimeFailure: the library does not load, this CPU lacks the instruction set, or the weights are damaged.
        """
        self._handle = ctypes.c_void_p()
        self._library = _open_library(Path(folder) / "model.so")
        options = _Options(
            ctypes.sizeof(_Options),
            isa.encode() if isa else None,
            str(Path(weights) if weights else Path(folder) / "weights.bin").encode(),
        )
        self._check(
            self._library.hawq_model_open(ctypes.byref(options), ctypes.byref(self._handle))
        )
        self.isa: str = self._library.hawq_model_isa(self._handle).decode()
        self.version: str = self._library.hawq_version().decode()
        self.input_shape = self._describe(self._library.hawq_input)[1]
        self.output_shape = self._describe(self._library.hawq_output)[1]
        self.steps: tuple[str, ...] = tuple(
            self._library.hawq_step_name(i).decode() for i in range(self._library.hawq_steps())
        )

    def run(self, images: Array) -> npt.NDArray[np.int32]:
        """Return int32 logits ``(N, F)`` of uint8 images ``(N, H, W, C)`` of any alignment and strides."""
        images = self._images(images, (images.shape[0], *self.input_shape))
        logits = np.empty((images.shape[0], *self.output_shape), dtype=np.int32)
        self._check(
            self._library.hawq_model_run(
                self._open_handle(), images.ctypes.data, logits.ctypes.data, images.shape[0]
            )
        )
        return logits

    def trace(self, image: Array) -> dict[str, npt.NDArray[np.int32]]:
        """Return every stored tensor of one image ``(H, W, C)`` by name, as int32 values."""
        image = self._images(image, self.input_shape)
        logits = np.empty(self.output_shape, dtype=np.int32)
        tensors: dict[str, npt.NDArray[np.int32]] = {}
        count: int = self._library.hawq_tensors()
        addresses = (ctypes.c_void_p * count)()
        for i in range(count):
            name, shape = self._describe(self._library.hawq_tensor, i)
            tensors[name] = np.empty(shape, dtype=np.int32)
            addresses[i] = tensors[name].ctypes.data
        self._check(
            self._library.hawq_model_trace(
                self._open_handle(), image.ctypes.data, logits.ctypes.data, addresses
            )
        )
        return tensors

    def profile(self, image: Array) -> dict[str, int]:
        """Return the nanoseconds of every step for one image."""
        image = self._images(image, self.input_shape)
        logits = np.empty(self.output_shape, dtype=np.int32)
        times = np.zeros(len(self.steps), dtype=np.uint64)
        self._check(
            self._library.hawq_model_profile(
                self._open_handle(), image.ctypes.data, logits.ctypes.data, times.ctypes.data
            )
        )
        return {name: int(time) for name, time in zip(self.steps, times, strict=True)}

    def close(self) -> None:
        """Release the network's memory."""
        if self._handle:
            self._library.hawq_model_close(self._handle)
            self._handle = ctypes.c_void_p()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        self.close()

    def _open_handle(self) -> ctypes.c_void_p:
        if not self._handle:
            raise RuntimeFailure("the model is closed")
        return self._handle

    def _check(self, code: int) -> None:
        if code:
            raise RuntimeFailure(self._library.hawq_error(code).decode())

    def _describe(self, function: Any, *index: int) -> tuple[str, tuple[int, ...]]:
        io = _Io()
        self._check(function(*index, ctypes.byref(io)))
        return io.name.decode(), tuple(io.shape[: io.rank])

    @staticmethod
    def _images(images: Array, shape: tuple[int, ...]) -> npt.NDArray[np.uint8]:
        if images.dtype != np.uint8 or images.shape != shape:
            raise RuntimeFailure(
                f"the input is {images.dtype}{list(images.shape)}, not uint8{list(shape)}"
            )
        return np.ascontiguousarray(images)
