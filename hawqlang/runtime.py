"""Run a compiled network: ctypes alone, and NumPy where arrays are NumPy's. This file is copied beside every library.

from hawq_runtime import Model

with Model("folder") as model:
    logits = model.run(images)  # uint8 (N, H, W, C) in, int32 (N, F) out
"""

from __future__ import annotations

import ctypes
import math
import os
import sys
import threading
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Logits = npt.NDArray[np.int32]

ABI = 2
ARGUMENT, MEMORY, ISA, WEIGHTS, BUSY, THREADS = range(-1, -7, -1)
"""Codes of ``hawq_runtime.h``."""
MAX_THREADS = 256
LIBRARY, WEIGHT_FILE = "model.so", "weights.bin"
ELF, X86_64 = b"\x7fELF\x02\x01", 62
SECTIONS = ((40, 48), (58, 60), (60, 62))
"""Where an ELF header says at which byte the table of sections, the last thing in a file, begins and how long it is."""


class RuntimeFailure(RuntimeError):  # noqa: N818 - the user's word, not an error of this file
    """The library refused: no kernels for this CPU, damaged weights, or an input of another shape."""

    def __init__(self, message: str, code: int = 0) -> None:
        """Say what is wrong; ``code`` is the library's own, 0 where this file found it."""
        super().__init__(message)
        self.code = code


class _Options(ctypes.Structure):
    _fields_ = (
        ("size", ctypes.c_uint32),
        ("threads", ctypes.c_int32),
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
    if not path.is_file():
        raise RuntimeFailure(f"there is no {path}")
    why = _why_unfit(path)
    if why:
        raise RuntimeFailure(f"{path} {why}")
    try:
        library = ctypes.CDLL(str(path.resolve()))
    except OSError as error:
        raise RuntimeFailure(f"{path} cannot be loaded: {error}") from None
    if not hasattr(library, "hawq_abi"):
        raise RuntimeFailure(f"{path} is no library of this compiler")
    if library.hawq_abi() != ABI:
        raise RuntimeFailure(
            f"{path} has interface version {library.hawq_abi()}, this loader has {ABI}: "
            "use the hawq_runtime.py beside the library"
        )
    for name in ("version", "error", "last_error", "step_name", "isa", "model_isa"):
        getattr(library, f"hawq_{name}").restype = ctypes.c_char_p
    for name in ("model_isa", "model_threads", "model_close"):
        getattr(library, f"hawq_{name}").argtypes = [ctypes.c_void_p]
    library.hawq_model_close.restype = None
    address, count = ctypes.c_void_p, ctypes.c_size_t
    library.hawq_model_run.argtypes = [address, address, address, count]
    library.hawq_model_trace.argtypes = [address, address, address, address]
    library.hawq_model_profile.argtypes = [address, address, address, address]
    return library


def _why_unfit(path: Path) -> str:
    """Return why the system's loader should not see a file, empty where it may: it would crash on a truncated one."""
    with path.open("rb") as file:
        header = file.read(64)
    if header[: len(ELF)] != ELF or len(header) < 64:
        return "is no shared library for 64-bit Linux, or is damaged"
    if int.from_bytes(header[18:20], "little") != X86_64:
        return "is a library for another processor than x86-64"
    if os.uname().machine not in ("x86_64", "AMD64"):
        return f"is a library for x86-64, and this is {os.uname().machine}"
    start, size, count = (int.from_bytes(header[a:b], "little") for a, b in SECTIONS)
    return "is truncated" if path.stat().st_size < start + size * count else ""


def supported(folder: str | Path) -> tuple[str, ...]:
    """Return the instruction sets of the library in ``folder`` that this CPU can run, best first."""
    library = _open_library(Path(folder) / LIBRARY)
    found: list[str] = []
    while name := library.hawq_isa(len(found)):
        found.append(name.decode())
    return tuple(found)


class Model:
    """A loaded network. One instance runs one inference at a time; other threads of Python go on meanwhile."""

    def __init__(
        self,
        folder: str | Path,
        *,
        isa: str | None = None,
        weights: str | Path | None = None,
        threads: int = 0,
    ) -> None:
        """Load ``model.so`` and its weights.

        Args:
            folder: Holds ``model.so`` and ``weights.bin``.
            isa: Instruction set to use; ``None`` takes ``$HAWQ_ISA``, else the best of this CPU.
            weights: Weight file, where it is not beside the library.
            threads: How many compute together; 0 takes ``$HAWQ_THREADS``, else what the library was built for.

        Raises:
            RuntimeFailure: the library does not load, this CPU lacks the instruction set, or the weights are damaged.
        """
        self._load(Path(folder) / LIBRARY)
        if not -(2**31) <= threads < 2**31:
            raise RuntimeFailure(f"{threads} is no number of threads")
        options = _Options(
            ctypes.sizeof(_Options),
            threads,
            isa.encode() if isa else None,
            os.fsencode(Path(weights) if weights else Path(folder) / WEIGHT_FILE),
        )
        self._check(
            self._library.hawq_model_open(ctypes.byref(options), ctypes.byref(self._handle))
        )
        self._learn()

    def _load(self, library: Path) -> None:
        """Load the library; nothing is open yet."""
        self._handle = ctypes.c_void_p()
        self._lock, self._process = threading.Lock(), os.getpid()
        self._library = _open_library(library)

    def _learn(self) -> None:
        """Take down what the open network says of itself."""
        self.isa: str = self._library.hawq_model_isa(self._handle).decode()
        self.threads: int = self._library.hawq_model_threads(self._handle)
        self.version: str = self._library.hawq_version().decode()
        self.input_shape = self._describe(self._library.hawq_input)[1]
        self.output_shape = self._describe(self._library.hawq_output)[1]
        self.steps: tuple[str, ...] = tuple(
            self._library.hawq_step_name(i).decode() for i in range(self._library.hawq_steps())
        )

    def run(self, images: Any) -> Any:
        """Return int32 logits ``(N, F)`` of uint8 images ``(N, H, W, C)`` of any alignment and strides.

        NumPy's arrays give an array of NumPy's; any other buffer of bytes (``bytes``, ``bytearray``, ``memoryview``,
        ``array``), whose shape may also be flat, gives a ``memoryview`` of int32.

        Raises:
            RuntimeFailure: images of another type or shape, or the model is closed or busy in another thread.
        """
        numpy = _numpy_of(images)
        if numpy is not None:
            shape = (*images.shape[:1], *self.input_shape)
            images = _dense(numpy, images, shape)
            logits = numpy.empty((shape[0], *self.output_shape), dtype=numpy.int32)
            self._run(images.ctypes.data, logits.ctypes.data, shape[0])
            return logits
        data, count = self._bytes(images)
        width = math.prod(self.output_shape)
        found = (ctypes.c_int32 * (count * width))()
        self._run(data, found, count)
        flat = memoryview(found).cast("B").cast("i")
        return flat.cast("B").cast("i", (count, *self.output_shape)) if count else flat

    def trace(self, image: npt.NDArray[Any]) -> dict[str, Logits]:
        """Return every stored tensor of one image ``(H, W, C)`` by name, as int32 values."""
        import numpy as np

        image = _dense(np, image, self.input_shape)
        logits = np.empty(self.output_shape, dtype=np.int32)
        tensors: dict[str, Logits] = {}
        count: int = self._library.hawq_tensors()
        addresses = (ctypes.c_void_p * count)()
        for i in range(count):
            name, shape = self._describe(self._library.hawq_tensor, i)
            tensors[name] = np.empty(shape, dtype=np.int32)
            addresses[i] = tensors[name].ctypes.data
        with self._running() as handle:
            self._check(
                self._library.hawq_model_trace(
                    handle, image.ctypes.data, logits.ctypes.data, addresses
                )
            )
        return tensors

    def profile(self, image: npt.NDArray[Any]) -> dict[str, int]:
        """Return the nanoseconds of every step for one image."""
        import numpy as np

        image = _dense(np, image, self.input_shape)
        logits = np.empty(self.output_shape, dtype=np.int32)
        times = np.zeros(len(self.steps), dtype=np.uint64)
        with self._running() as handle:
            self._check(
                self._library.hawq_model_profile(
                    handle, image.ctypes.data, logits.ctypes.data, times.ctypes.data
                )
            )
        return {name: int(time) for name, time in zip(self.steps, times, strict=True)}

    def close(self) -> None:
        """Release the network's memory and threads, once it no longer runs."""
        with self._own_lock():
            if self._handle:
                self._library.hawq_model_close(self._handle)
                self._handle = ctypes.c_void_p()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        if hasattr(self, "_library"):
            self.close()

    def _run(self, images: Any, logits: Any, count: int) -> None:
        with self._running() as handle:
            self._check(self._library.hawq_model_run(handle, images, logits, count))

    def _bytes(self, images: Any) -> tuple[bytes, int]:
        """Return the bytes of a buffer of uint8 and how many images they are."""
        size = math.prod(self.input_shape)
        wanted = f"uint8[N, {', '.join(map(str, self.input_shape))}]"
        try:
            view = memoryview(images)
        except (TypeError, ValueError, BufferError):
            raise RuntimeFailure(f"the input is a {type(images).__name__}, not {wanted}") from None
        shape = tuple(view.shape or ())
        fits = shape[1:] == self.input_shape or (len(shape) == 1 and view.nbytes % size == 0)
        if view.format not in ("B", "<B", "c") or not fits:
            raise RuntimeFailure(
                f"the input is a buffer of {view.format}{list(shape)}, not {wanted}"
            )
        return (images if isinstance(images, bytes) else view.tobytes()), view.nbytes // size

    def _own_lock(self) -> threading.Lock:
        """Return the lock; a forked child has one of its own, since its parent's may stay held."""
        if self._process != os.getpid():
            self._lock, self._process = threading.Lock(), os.getpid()
        return self._lock

    @contextmanager
    def _running(self) -> Generator[ctypes.c_void_p]:
        """Give the open network to one caller, so that nobody closes it meanwhile."""
        lock = self._own_lock()
        if not lock.acquire(blocking=False):
            raise RuntimeFailure("the context is already running in another thread", BUSY)
        try:
            if not self._handle:
                raise RuntimeFailure("the model is closed")
            yield self._handle
        finally:
            lock.release()

    def _check(self, code: int) -> None:
        if code:
            raise RuntimeFailure(self._library.hawq_last_error().decode(errors="replace"), code)

    def _describe(self, function: Any, *index: int) -> tuple[str, tuple[int, ...]]:
        io = _Io()
        self._check(function(*index, ctypes.byref(io)))
        return io.name.decode(), tuple(io.shape[: io.rank])


def _numpy_of(array: object) -> Any:
    """Return NumPy where ``array`` is NumPy's own, without importing it for anything else."""
    numpy = sys.modules.get("numpy")
    return numpy if numpy is not None and isinstance(array, numpy.ndarray) else None


def _dense(numpy: Any, array: Any, shape: tuple[int, ...]) -> Any:
    """Return an array of uint8 in C order; what is so already is not copied."""
    if not isinstance(array, numpy.ndarray):
        raise RuntimeFailure(f"the input is a {type(array).__name__}, not uint8{list(shape)}")
    if array.dtype != numpy.uint8 or array.shape != shape:
        raise RuntimeFailure(
            f"the input is {array.dtype}{list(array.shape)}, not uint8{list(shape)}"
        )
    return numpy.ascontiguousarray(array)
