"""Content-addressed store for arrays and step results: the only durable state; deleting it only costs time.

Every entry is written to a temporary file and renamed, so a killed process leaves nothing
half-written, and is checked
against its digest when read, so a damaged entry is dropped instead of believed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from hawqlang.atomic import write_atomic
from hawqlang.base import Frozen, TensorRef
from hawqlang.references import references

if TYPE_CHECKING:
    import numpy.typing as npt

    Array: TypeAlias = npt.NDArray[Any]

Noun = TypeVar("Noun", bound=Frozen)


def __getattr__(name: str) -> Any:
    """Return the type of arrays; numpy is imported where arrays are, `check` does without."""
    if name == "Array":
        import numpy.typing as npt

        return npt.NDArray[Any]
    raise AttributeError(name)


def digest(*parts: object) -> str:
    """Return the sha256 of the parts: ``Frozen`` values by their JSON, bytes as they are, others by ``repr``."""
    h = hashlib.sha256()
    for part in parts:
        match part:
            case bytes():
                data = part
            case Frozen():
                data = part.model_dump_json().encode()
            case _:
                data = repr(part).encode()
        h.update(len(data).to_bytes(8, "little"))
        h.update(data)
    return h.hexdigest()


class TensorStore:
    """Arrays under the digest of their dtype, shape and bytes; with a folder on disk, else in memory."""

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder
        self._memory: dict[str, Array] = {}

    @property
    def folder(self) -> Path | None:
        """Return where the arrays are kept; ``None`` in memory."""
        return self._folder

    def put(self, array: Array) -> TensorRef:
        """Store an array (C order, little endian) and return its reference."""
        import numpy as np

        array = np.asarray(array, dtype=array.dtype.newbyteorder("<"), order="C")
        header = json.dumps([array.dtype.name, array.shape]).encode()
        body = array.tobytes()
        key = hashlib.sha256(header + b"\n" + body).hexdigest()
        ref = TensorRef(
            digest=key, shape=tuple(int(n) for n in array.shape), dtype=array.dtype.name
        )
        if self._folder is None:
            frozen = array.copy()
            frozen.setflags(write=False)
            self._memory[key] = frozen
        elif not self._path(key).is_file():
            write_atomic(self._path(key), header + b"\n" + body)
        return ref

    def get(self, ref: TensorRef) -> Array:
        """Return the array behind ``ref``, read-only; ``KeyError`` where it is absent or damaged."""
        if self._folder is None:
            return self._memory[ref.digest]
        path = self._path(ref.digest)
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            raise KeyError(ref.digest) from None
        if hashlib.sha256(data).hexdigest() != ref.digest:
            path.unlink(missing_ok=True)
            raise KeyError(ref.digest)
        import numpy as np

        start = data.index(b"\n") + 1
        return np.frombuffer(data, dtype=np.dtype(ref.dtype), offset=start).reshape(ref.shape)

    def __contains__(self, ref: TensorRef) -> bool:
        if self._folder is None:
            return ref.digest in self._memory
        return self._path(ref.digest).is_file()

    def _path(self, key: str) -> Path:
        folder = self._folder or Path()
        return folder / key[:2] / key


class Cache:
    """Step results under ``digest(step, inputs…)``, beside the arrays they refer to."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self.tensors = TensorStore(None if folder is None else folder / "tensors")
        self._memory: dict[str, bytes] = {}

    def load(self, key: str, kind: type[Noun]) -> Noun | None:
        """Return the stored result under ``key``, or ``None`` when absent, unreadable or missing one of its arrays."""
        if self._folder is None:
            data = self._memory.get(key)
        else:
            path = self._folder / "steps" / key[:2] / key
            data = path.read_bytes() if path.is_file() else None
        if data is None:
            return None
        try:
            value = kind.model_validate_json(data)
        except ValueError:
            return None
        return value if all(ref in self.tensors for ref in references(value)) else None

    def save(self, key: str, value: Frozen) -> None:
        """Store a step's result."""
        data = value.model_dump_json().encode()
        if self._folder is None:
            self._memory[key] = data
        else:
            write_atomic(self._folder / "steps" / key[:2] / key, data)

    def step(self, key: str, kind: type[Noun], compute: Callable[[], Noun]) -> Noun:
        """Return the result under ``key``, computing and storing it when it is not there.

        A cache that cannot be written costs time, never the result.
        """
        found = self.load(key, kind)
        if found is not None:
            return found
        value = compute()
        with suppress(OSError):
            self.save(key, value)
        return value
