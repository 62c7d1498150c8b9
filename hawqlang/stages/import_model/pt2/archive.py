"""Opens an archive of ``torch.export``: a zip of JSON and of tensors as raw bytes. Nothing in it is executed.

The writer of the format stores every entry uncompressed, so whatever is compressed is refused: no entry is larger than
the file. Tensors are read one at a time, when they are asked for.
"""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from math import prod
from pathlib import Path

import numpy as np

from hawqlang.base import Span
from hawqlang.cache import Array
from hawqlang.diagnostics import Diagnostic, HawqError
from hawqlang.stages.import_model.onnx.model import Initializer, RefusedError, printable
from hawqlang.stages.import_model.pt2.fields import (
    Json,
    MalformedError,
    listed,
    single,
    table,
    text,
    whole,
)

LARGEST_JSON = 64 * 2**20
"""Bytes of the largest description that is read; a network of a thousand layers takes 4 MiB."""

MOST_ENTRIES = 100_000

NEWEST_SCHEMA = 8
"""Major version of the description; others may mean something else by the same words."""

_MODEL = "models/model.json"
_WEIGHTS = ("data/weights/", "model_weights_config.json")
_CONSTANTS = ("data/constants/", "model_constants_config.json")
_STRIDED = 7

DTYPES: Mapping[int, str] = {
    1: "u1",
    2: "i1",
    3: "<i2",
    4: "<i4",
    5: "<i8",
    6: "<f2",
    7: "<f4",
    8: "<f8",
    12: "?",
    13: "bfloat16",
}
"""NumPy's words for the numbers of the format's element types."""


Place = Path | bytes
"""A file, or its content."""


@dataclass(frozen=True, slots=True)
class Archive:
    """An archive, opened and checked."""

    program: Json
    """The description of the network."""
    tensors: Mapping[str, Initializer]
    """Parameters, buffers and constants by their names in the module."""


def open_archive(path_text: str, span: Span) -> Archive:
    """Return what an archive holds; a file that is none is an error."""
    path = Path(path_text)
    if not path.exists():
        raise HawqError(_error("HQ301", f"there is no model file '{path_text}'", span))
    return parsed(path, f"'{path_text}'", span)


def parsed(place: Place, called: str, span: Span) -> Archive:
    """Return what an archive holds that lies on disk or in memory; messages name it as ``called`` says."""
    try:
        with _opened(place) as archive:
            entries = _entries(archive, _length(place))
            root = _root(entries)
            program = _json(archive, entries, f"{root}{_MODEL}")
            configs = {
                folder: _json(archive, entries, f"{root}{folder}{name}")
                for folder, name in (_WEIGHTS, _CONSTANTS)
            }
            order = archive.read(f"{root}byteorder") if f"{root}byteorder" in entries else b""
        _check_version(program, order)
        tensors = {
            name: _tensor(place, f"{root}{folder}", entries, name, entry)
            for folder, config in configs.items()
            for name, entry in table(config.get("config"), "config").items()
        }
    except _UnsuitableError as error:
        message = f"{called} is not an archive of torch.export that can be read: {error}"
        raise HawqError(_error("HQ341", message, span, error.help_text)) from error
    except MalformedError as error:
        message = f"{called} is damaged: {error}"
        raise HawqError(_error("HQ341", message, span)) from error
    return Archive(program, tensors)


class _UnsuitableError(Exception):
    """The file is no archive, or one of another kind."""

    def __init__(self, message: str, help_text: str | None = None) -> None:
        super().__init__(message)
        self.help_text = (
            help_text or "write it with torch.export.save(torch.export.export(…), path)"
        )


@contextmanager
def _opened(place: Place) -> Generator[zipfile.ZipFile]:
    """Yield the open zip; whatever is wrong with it becomes one kind of error."""
    try:
        with zipfile.ZipFile(_file(place)) as archive:
            yield archive
    except (zipfile.BadZipFile, NotImplementedError, EOFError, RuntimeError) as error:
        raise _UnsuitableError("it is no zip file, or a damaged one") from error
    except OSError as error:
        raise _UnsuitableError(error.strerror or "it cannot be opened") from error


def _file(place: Place) -> Path | io.BytesIO:
    return place if isinstance(place, Path) else io.BytesIO(place)


def _length(place: Place) -> int:
    try:
        return place.stat().st_size if isinstance(place, Path) else len(place)
    except OSError as error:
        raise _UnsuitableError(error.strerror or "it cannot be opened") from error


def _entries(archive: zipfile.ZipFile, length: int) -> dict[str, zipfile.ZipInfo]:
    found = {info.filename: info for info in archive.infolist()}
    if len(found) != len(archive.infolist()) or len(found) > MOST_ENTRIES:
        raise _UnsuitableError("it has entries of one name, or too many of them")
    compressed = any(
        info.compress_type != zipfile.ZIP_STORED or info.file_size != info.compress_size
        for info in found.values()
    )
    if compressed:
        raise _UnsuitableError("its entries are compressed, which torch.export never does")
    if sum(info.file_size for info in found.values()) > length:
        raise _UnsuitableError("its entries overlap")
    return found


def _root(entries: Mapping[str, zipfile.ZipInfo]) -> str:
    """Return the folder that everything lies in, with a stroke at its end."""
    names = [name for name in entries if name.endswith(f"/{_MODEL}") or name == _MODEL]
    if len(names) == 1:
        return names[0].removesuffix(_MODEL)
    if any(name.rsplit("/", 1)[-1] == "serialized_exported_program.json" for name in entries):
        raise _UnsuitableError(
            "it is of the format before torch 2.9",
            "load it with torch.export.load and save it again with a newer torch",
        )
    if any(name.endswith("/data.pkl") for name in entries):
        raise _UnsuitableError("it holds a pickle: a whole model or a state_dict, not a network")
    raise _UnsuitableError("it holds no network, or several" if names else "it holds no network")


def _json(archive: zipfile.ZipFile, entries: Mapping[str, zipfile.ZipInfo], name: str) -> Json:
    info = entries.get(name)
    short = printable(name.rsplit("/", 1)[-1])
    if info is None:
        raise MalformedError(f"it has no {short}")
    if info.file_size > LARGEST_JSON:
        raise MalformedError(f"its {short} is larger than {LARGEST_JSON // 2**20} MiB")
    try:
        return table(json.loads(archive.read(info)), short)
    except (ValueError, RecursionError) as error:
        if isinstance(error, MalformedError):
            raise
        raise MalformedError(f"its {short} is not valid JSON") from error


def _check_version(program: Json, order: bytes) -> None:
    major = whole(table(program.get("schema_version"), "schema_version").get("major"), "major")
    if major != NEWEST_SCHEMA:
        raise _UnsuitableError(
            f"its description is of version {major}; version {NEWEST_SCHEMA} is read",
            "load it with torch.export.load and save it again with torch 2.13",
        )
    if order not in (b"", b"little"):
        raise _UnsuitableError("its numbers are stored with the most significant byte first")


def _tensor(
    place: Place, folder: str, entries: Mapping[str, zipfile.ZipInfo], name: str, content: object
) -> Initializer:
    """Return a tensor with what reads it; its size is checked against the entry's."""
    called = f"tensor '{printable(name)}'"
    entry = table(content, called)
    if entry.get("use_pickle"):
        raise _UnsuitableError(
            f"{called} is stored as a pickle",
            "export plain tensors: subclasses and quantized tensors are not read",
        )
    meta = table(entry.get("tensor_meta"), f"meta data of {called}")
    shape, strides = (
        tuple(_size(size, called) for size in listed(meta.get(key), f"{key} of {called}"))
        for key in ("sizes", "strides")
    )
    offset = _size(meta.get("storage_offset"), called)
    kind = DTYPES.get(whole(meta.get("dtype"), f"type of {called}"))
    if kind is None or meta.get("layout") != _STRIDED:
        raise _UnsuitableError(f"{called} is sparse, quantized or of an unknown type")
    if len(shape) != len(strides):
        raise MalformedError(f"{called} has {len(shape)} sizes and {len(strides)} strides")
    info = entries.get(f"{folder}{text(entry.get('path_name'), f'place of {called}')}")
    width = 2 if kind == "bfloat16" else np.dtype(kind).itemsize
    last = offset + sum((n - 1) * step for n, step in zip(shape, strides, strict=True))
    if info is None or (prod(shape) > 0 and (last + 1) * width > info.file_size):
        raise MalformedError(f"{called} is cut off")
    if prod(shape) * width > info.file_size or info.file_size % width:
        raise MalformedError(f"{called} does not fit what is stored of it")
    return Initializer(shape, partial(_read, place, info, kind, (shape, strides, offset)))


def _size(content: object, called: str) -> int:
    tag, value = single(content, f"a size of {called}")
    size = whole(value, f"a size of {called}")
    if tag != "as_int" or size < 0:
        raise MalformedError(f"{called} has a size that is no number")
    return size


def _read(
    place: Place,
    info: zipfile.ZipInfo,
    kind: str,
    view: tuple[tuple[int, ...], tuple[int, ...], int],
) -> Array:
    """Return a tensor's array; what it takes of the stored numbers has been checked."""
    shape, strides, offset = view
    try:
        with zipfile.ZipFile(_file(place)) as archive:
            data = archive.read(info)
    except (zipfile.BadZipFile, OSError, EOFError, RuntimeError) as error:
        raise RefusedError("a tensor of the archive is damaged", None, "HQ341") from error
    numbers = _bfloat16(data) if kind == "bfloat16" else np.frombuffer(data, dtype=kind)
    step = numbers.itemsize
    picked = np.lib.stride_tricks.as_strided(
        numbers[offset:], shape, [n * step for n in strides], writeable=False
    )
    return np.ascontiguousarray(picked)


def _bfloat16(data: bytes) -> Array:
    """Return bfloat16 numbers as the float32 numbers they are the upper halves of."""
    return (np.frombuffer(data, dtype="<u2").astype(np.uint32) << 16).view(np.float32)


def _error(code: str, message: str, span: Span, help_text: str | None = None) -> Diagnostic:
    return Diagnostic(code=code, severity="error", message=message, span=span, help=help_text)
