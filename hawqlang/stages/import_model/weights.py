"""Reads weight files: a PyTorch state_dict or ``.safetensors``. Nothing in them is ever executed.

Tensors stay on disk until they are asked for, where the format allows it.
"""

from __future__ import annotations

import hashlib
import pickle
import warnings
import zipfile
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, cast

from hawqlang.base import Span
from hawqlang.cache import Array
from hawqlang.diagnostics import Diagnostic, HawqError
from hawqlang.ir.spec import WeightFile
from hawqlang.stages.import_model.recipes import Shape, Stored
from hawqlang.stages.import_model.zoo.network import Spelling

SHOWN = 4
"""Keys named in a message before the rest is only counted."""

_WRAPPERS = ("state_dict", "model", "model_state_dict")
_PREFIX = "module."


@dataclass(frozen=True, slots=True)
class Weights:
    """Tensors by key, each read when it is asked for."""

    shapes: Mapping[str, Shape]
    read: Callable[[str], Array]


class _Tensor(Protocol):
    """What is used of a ``torch.Tensor``."""

    shape: Iterable[int]
    is_quantized: bool
    layout: object

    def is_floating_point(self) -> bool: ...
    def detach(self) -> _Tensor: ...
    def float(self) -> _Tensor: ...
    def numpy(self) -> Array: ...


def open_weights(file: WeightFile) -> Weights:
    """Return the tensors of a weight file after checking that it is one, and the one that was meant."""
    path = Path(file.path)
    _check_file(path, file)
    return _safetensors(path, file) if path.suffix == ".safetensors" else _torch(path, file)


def match(
    weights: Weights,
    wanted: Iterable[Stored],
    spellings: Sequence[Spelling],
    span: Span,
    *,
    ignored: tuple[str, ...] = (),
) -> Weights:
    """Return ``weights`` under the keys of ``wanted``.

    A spelling maps a wanted key to the one a public file may use for it; the one that fits best is taken. A
    ``module.`` prefix, ``num_batches_tracked`` and keys that begin with one of ``ignored`` do not count. Missing,
    unexpected and misshapen tensors are errors.
    """
    names = {_bare(key, weights.shapes): key for key in weights.shapes}
    needed = {recipe.key: recipe.shape for recipe in wanted}
    spelling = min(spellings, key=lambda s: sum(s(key) not in names for key in needed))
    spelled = {key: spelling(key) for key in needed}
    missing = [name for name in spelled.values() if name not in names]
    used = set(spelled.values())
    unexpected = [
        name
        for name in names
        if name not in used
        and not name.endswith("num_batches_tracked")
        and not name.startswith(ignored)
    ]
    if missing or unexpected:
        raise HawqError(_unfit(missing, unexpected, len(needed), span))
    found = {key: names[name] for key, name in spelled.items()}
    findings = [
        Diagnostic(
            code="HQ308",
            severity="error",
            message=f"'{found[key]}' has shape {_shape(weights.shapes[found[key]])}, "
            f"but the network needs {_shape(shape)}",
            span=span,
            help=_shape_help(key),
        )
        for key, shape in needed.items()
        if weights.shapes[found[key]] != shape
    ]
    if findings:
        raise HawqError(*findings[:SHOWN])
    return Weights(shapes=needed, read=lambda key: weights.read(found[key]))


def _bare(key: str, keys: Mapping[str, Shape]) -> str:
    return key.removeprefix(_PREFIX) if all(k.startswith(_PREFIX) for k in keys) else key


def _shape(shape: Shape) -> str:
    return "x".join(map(str, shape)) or "scalar"


def _shape_help(key: str) -> str:
    last = key.rsplit(".", 1)[-1]
    return (
        "weights of another width, depth or number of classes: see the arguments of zoo(…), such as classes"
        if last in ("weight", "bias")
        else "weights of another network"
    )


def _unfit(missing: list[str], unexpected: list[str], needed: int, span: Span) -> Diagnostic:
    def listed(keys: list[str]) -> str:
        rest = len(keys) - SHOWN
        return ", ".join(keys[:SHOWN]) + (f" and {rest} more" if rest > 0 else "")

    notes: list[str] = []
    if missing:
        notes.append(f"missing from the file: {listed(missing)}")
    if unexpected:
        notes.append(f"in the file, but not in the network: {listed(unexpected)}")
    return Diagnostic(
        code="HQ307",
        severity="error",
        message=f"the weights do not fit the network: {len(missing)} of its {needed} tensors missing, "
        f"{len(unexpected)} unexpected",
        span=span,
        notes=tuple(notes),
        help="check that file and network are the same architecture",
    )


def _check_file(path: Path, file: WeightFile) -> None:
    if not path.exists():
        raise HawqError(_error("HQ301", f"there is no weight file '{file.path}'", file.span))
    if not path.is_file():
        raise HawqError(_error("HQ303", f"'{file.path}' is not a file", file.span))
    if file.sha256 is None:
        return
    try:
        with path.open("rb") as stream:
            found = hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise HawqError(_unreadable(file, error.strerror or "it cannot be read")) from error
    if found != file.sha256.lower():
        raise HawqError(
            Diagnostic(
                code="HQ305",
                severity="error",
                message=f"'{file.path}' is not the file the spec means: its sha256 differs",
                span=file.span,
                notes=(f"declared {file.sha256.lower()}", f"found    {found}"),
                help="get the declared file, or write the sha256 of this one if it is trusted",
            )
        )


def _torch(path: Path, file: WeightFile) -> Weights:
    tensors = _state_dict(_load(path, file), file)

    def read(key: str) -> Array:
        tensor = tensors[key].detach()
        return tensor.float().numpy()

    return Weights(
        shapes={key: tuple(int(n) for n in tensor.shape) for key, tensor in tensors.items()},
        read=read,
    )


def _load(path: Path, file: WeightFile) -> object:
    """Return what ``torch.load`` makes of the file without running anything in it."""
    import torch

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return torch.load(
                path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path)
            )
    except pickle.UnpicklingError as error:
        if "global" in str(error).lower():
            raise HawqError(
                Diagnostic(
                    code="HQ304",
                    severity="error",
                    message=f"'{file.path}' holds more than tensors: reading it would run code",
                    span=file.span,
                    help="save the state_dict alone: torch.save(model.state_dict(), path), or use .safetensors",
                )
            ) from error
        raise HawqError(_unreadable(file, "it is no PyTorch state_dict")) from error
    except Exception as error:  # a damaged file may fail in any way
        raise HawqError(_unreadable(file, "it is damaged or no PyTorch state_dict")) from error


def _state_dict(content: object, file: WeightFile) -> Mapping[str, _Tensor]:
    """Return the tensors of a state_dict, also where a checkpoint wraps it."""
    import torch

    if isinstance(content, Mapping):
        wrapped = cast("Mapping[object, object]", content)
        for key in _WRAPPERS:
            inner = wrapped.get(key)
            if isinstance(inner, Mapping):
                wrapped = cast("Mapping[object, object]", inner)
                break
        if wrapped and all(
            isinstance(k, str) and isinstance(v, torch.Tensor) for k, v in wrapped.items()
        ):
            tensors = cast("Mapping[str, _Tensor]", wrapped)
            _check_types({k: _type_of(v) for k, v in tensors.items()}, file)
            return tensors
    raise HawqError(_unreadable(file, "it is no mapping from names to tensors"))


def _type_of(tensor: _Tensor) -> str | None:
    """Return why a tensor cannot be a weight; ``None`` where it can."""
    import torch

    if tensor.is_quantized:
        return "is quantized already"
    if tensor.layout is not torch.strided:
        return "is sparse"
    return None if tensor.is_floating_point() else "does not hold floating-point numbers"


def _check_types(faults: Mapping[str, str | None], file: WeightFile) -> None:
    findings = [
        Diagnostic(
            code="HQ309",
            severity="error",
            message=f"'{key}' of '{file.path}' {fault}",
            span=file.span,
            help="export the float32 weights; quantizing them is what the compiler does",
        )
        for key, fault in faults.items()
        if fault is not None and not key.endswith("num_batches_tracked")
    ]
    if findings:
        raise HawqError(*findings[:SHOWN])


class _Part(Protocol):
    """What is used of a tensor that safetensors has not read yet."""

    def get_shape(self) -> list[int]: ...
    def get_dtype(self) -> str: ...


class _Opened(Protocol):
    """What is used of an open safetensors file."""

    def keys(self) -> list[str]: ...
    def get_slice(self, name: str) -> _Part: ...
    def get_tensor(self, name: str) -> _Tensor: ...


@contextmanager
def _open_safetensors(path: Path) -> Generator[_Opened]:
    import safetensors

    with safetensors.safe_open(path, framework="pt") as opened:  # pyright: ignore[reportUnknownVariableType]
        yield cast("_Opened", opened)


def _safetensors(path: Path, file: WeightFile) -> Weights:
    floats = {"F16", "F32", "F64", "BF16"}
    try:
        with _open_safetensors(path) as opened:
            parts = {key: opened.get_slice(key) for key in opened.keys()}  # noqa: SIM118
            shapes = {key: tuple(part.get_shape()) for key, part in parts.items()}
            types = {key: part.get_dtype() for key, part in parts.items()}
    except Exception as error:  # a damaged file may fail in any way
        raise HawqError(_unreadable(file, "it is damaged or no safetensors file")) from error
    fault = "does not hold floating-point numbers"
    _check_types({key: None if kind in floats else fault for key, kind in types.items()}, file)

    def read(key: str) -> Array:
        with _open_safetensors(path) as opened:
            return opened.get_tensor(key).float().numpy()

    return Weights(shapes=shapes, read=read)


def _error(code: str, message: str, span: Span) -> Diagnostic:
    return Diagnostic(code=code, severity="error", message=message, span=span)


def _unreadable(file: WeightFile, why: str) -> Diagnostic:
    return Diagnostic(
        code="HQ303",
        severity="error",
        message=f"cannot read weights from '{file.path}': {why}",
        span=file.span,
        help="give a state_dict saved by torch.save, or a .safetensors file",
    )
