"""Samples from an ``.npz`` file, streamed out of the archive without unpacking it as a whole."""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from math import prod
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from hawqlang.base import Span
from hawqlang.ir.spec import ArraysData, ImageInput, Input, TensorInput
from hawqlang.stages.data.samples import (
    Labels,
    UInt8,
    check_count,
    check_labels,
    finding,
    sample_shape,
    shown_shape,
)

DEFAULT_LABELS = "y"
"""The name labels have where the spec gives none; such labels may be absent."""

CHUNK = 64
"""Samples read at once while looking for some of them."""


@dataclass(frozen=True, slots=True)
class _Member:
    """One array of an archive, as its header describes it."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]


@dataclass(frozen=True)
class ArraySamples:
    """The first ``count`` samples of an array."""

    path: Path
    images: str
    member: _Member
    kind: Input
    count: int
    labels: Labels | None
    span: Span

    def __len__(self) -> int:
        """Return how many samples there are."""
        return self.count

    @property
    def digest(self) -> str:
        """The file's bytes, which of its arrays is read and how far."""
        return self._digest

    @cached_property
    def _digest(self) -> str:
        with self.path.open("rb") as stream:
            content = hashlib.file_digest(stream, "sha256").hexdigest()
        parts = (content, self.images, self.count, sample_shape(self.kind), self.labels is None)
        return hashlib.sha256(repr(parts).encode()).hexdigest()

    def batches(self, size: int) -> Iterator[UInt8]:
        """Yield all samples in order, ``size`` at a time."""
        bytes_each = prod(self.member.shape[1:]) * self.member.dtype.itemsize
        with _opened(self.path, self.images, self.span) as (stream, _):
            for start in range(0, self.count, size):
                n = min(size, self.count - start)
                data = _read(stream, n * bytes_each, self.path, self.span)
                raw = np.frombuffer(data, dtype=self.member.dtype)
                yield self._codes(raw.reshape(n, *self.member.shape[1:]))

    def take(self, indices: Sequence[int]) -> UInt8:
        """Return the samples at ``indices``, in that order."""
        result = np.zeros((len(indices), *sample_shape(self.kind)), dtype=np.uint8)
        wanted: dict[int, list[int]] = {}
        for place, i in enumerate(indices):
            wanted.setdefault(range(self.count)[i], []).append(place)
        last = max(wanted, default=-1)
        start = 0
        for batch in self.batches(CHUNK):
            if start > last:
                break
            for i in range(start, start + len(batch)):
                result[wanted.get(i, [])] = batch[i - start]
            start += len(batch)
        return result

    def _codes(self, raw: npt.NDArray[Any]) -> UInt8:
        """Return what is stored as uint8 samples."""
        if isinstance(self.kind, ImageInput):
            return raw.reshape(len(raw), *sample_shape(self.kind))
        if raw.dtype == np.uint8:
            return raw
        if not np.isfinite(raw).all():
            raise finding("HQ409", f"'{self.path}' holds NaN or infinity", self.span)
        return to_codes(raw, self.kind)


def to_codes(values: npt.NDArray[Any], kind: TensorInput) -> UInt8:
    """Return the uint8 codes nearest to real values; the declared range is widened to include 0."""
    low, high = min(float(kind.low), 0.0), max(float(kind.high), 0.0)
    scale = (high - low) / 255
    zero_point = min(255, max(0, round(-low / scale)))
    return np.clip(np.rint(values / scale) + zero_point, 0, 255).astype(np.uint8)


def open_arrays(data: ArraysData, kind: Input, classes: int | None) -> ArraySamples:
    """Return the samples of an array; none of them is read yet."""
    path = Path(data.path)
    with _opened(path, data.images, data.span) as (_, member):
        pass
    _check_member(data, member, kind)
    what = f"array '{data.images}' of '{data.path}'"
    count = check_count(member.shape[0], data.count, what, data.span)
    return ArraySamples(
        path=path,
        images=data.images,
        member=member,
        kind=kind,
        count=count,
        labels=_labels(data, path, member.shape[0], count, classes),
        span=data.span,
    )


def _check_member(data: ArraysData, member: _Member, kind: Input) -> None:
    shape = sample_shape(kind)
    image = isinstance(kind, ImageInput)
    floats = np.issubdtype(member.dtype, np.floating)
    if member.dtype != np.uint8 and (image or not floats):
        raise finding(
            "HQ405",
            f"array '{data.images}' of '{data.path}' holds {member.dtype}, not uint8",
            data.span,
            "pixels are whole numbers from 0 to 255; what the network sees of them is said by "
            "image(…)"
            if image
            else "give uint8 codes, or real numbers as float32",
        )
    fits = member.shape[1:] == shape
    gray = image and shape[-1] == 1 and member.shape[1:] == shape[:-1]
    if not (fits or gray):
        order = "count, height, width, channels" if image else "count, then the tensor's dims"
        raise finding(
            "HQ406",
            f"array '{data.images}' of '{data.path}' has shape {shown_shape(member.shape)}, "
            f"but the network takes {shown_shape(shape)}",
            data.span,
            f"the order is {order}",
        )


def _labels(
    data: ArraysData, path: Path, stored: int, count: int, classes: int | None
) -> Labels | None:
    if data.labels is None:
        return None
    if data.labels == DEFAULT_LABELS and data.labels not in _names(path, data.span):
        return None
    with _opened(path, data.labels, data.span) as (stream, member):
        if member.shape != (stored,):
            raise finding(
                "HQ407",
                f"array '{data.labels}' of '{data.path}' has shape {shown_shape(member.shape)}, "
                f"but there are {stored} samples",
                data.span,
                "labels are one number per sample",
            )
        content = _read(stream, stored * member.dtype.itemsize, path, data.span)
    return check_labels(np.frombuffer(content, dtype=member.dtype)[:count], classes, data.span)


def _names(path: Path, span: Span) -> list[str]:
    try:
        with zipfile.ZipFile(path) as archive:
            return [name.removesuffix(".npy") for name in archive.namelist()]
    except FileNotFoundError as error:
        raise finding("HQ401", f"data file '{path}' is not there", span) from error
    except Exception as error:  # a damaged archive may fail in any way
        raise finding("HQ404", f"'{path}' is not an .npz file", span) from error


@contextmanager
def _opened(path: Path, name: str, span: Span) -> Generator[tuple[IO[bytes], _Member]]:
    """Open an array of an archive for reading from its first element."""
    names = _names(path, span)
    if name not in names:
        listed = ", ".join(f"'{n}'" for n in sorted(names)[:8] if n.isprintable())
        raise finding(
            "HQ402", f"'{path}' has no array '{name}'", span, f"it has {listed}" if listed else None
        )
    with zipfile.ZipFile(path) as archive:
        try:
            stream = archive.open(f"{name}.npy")
        except Exception as error:  # a damaged archive may fail in any way
            raise _damaged(path, span) from error
        with stream:
            yield stream, _header(stream, path, name, span)


def _header(stream: IO[bytes], path: Path, name: str, span: Span) -> _Member:
    try:
        version = np.lib.format.read_magic(stream)
        read = (
            np.lib.format.read_array_header_1_0
            if version == (1, 0)
            else np.lib.format.read_array_header_2_0
        )
        shape, fortran, dtype = read(stream)
    except Exception as error:  # a damaged archive may fail in any way
        raise _damaged(path, span) from error
    if dtype.hasobject or dtype.kind not in "biuf":
        raise finding(
            "HQ405",
            f"array '{name}' of '{path}' holds {dtype.kind!r} objects, not numbers",
            span,
            "only arrays of numbers are read: pickled objects could run code",
        )
    if fortran and len(shape) > 1:
        raise finding(
            "HQ405",
            f"array '{name}' of '{path}' is stored column by column",
            span,
            "save it in C order: numpy.ascontiguousarray",
        )
    if not shape:
        raise finding("HQ406", f"array '{name}' of '{path}' is a single number", span)
    return _Member(shape=tuple(int(n) for n in shape), dtype=dtype)


def _read(stream: IO[bytes], size: int, path: Path, span: Span) -> bytes:
    try:
        data = stream.read(size)
    except Exception as error:  # a damaged archive may fail in any way
        raise _damaged(path, span) from error
    if len(data) != size:
        raise _damaged(path, span)
    return data


def _damaged(path: Path, span: Span) -> Exception:
    return finding("HQ404", f"'{path}' is damaged", span, "get the file again")
