"""The one file of constants beside the library: packed weights and requantization parameters.

    checksum = Σ word[i]·(2i + 1) mod 2^64 over little-endian 64-bit words

An odd factor is invertible modulo 2^64, so every change of a single word shows.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from hawqlang_codegen.tvm.layout import ALIGNMENT

Array = npt.NDArray[Any]
FOOTER = 64
"""Bytes at the end: identity (16), checksum (8), zeros."""


@dataclass(slots=True)
class BlobBuilder:
    """Collects arrays at aligned offsets; equal arrays are kept once."""

    parts: list[bytes] = field(default_factory=list[bytes])
    size: int = 0
    known: dict[bytes, int] = field(default_factory=dict[bytes, int])

    def add(self, array: Array) -> int:
        """Return the offset in bytes at which ``array`` (C order, little endian) will stand."""
        data = np.ascontiguousarray(array).tobytes()
        key = hashlib.sha256(data).digest()
        if key not in self.known:
            padding = bytes(-len(data) % ALIGNMENT)
            self.known[key] = self.size
            self.parts += [data, padding]
            self.size += len(data) + len(padding)
        return self.known[key]

    def finish(self) -> Blob:
        """Return the file's bytes."""
        body = b"".join(self.parts)
        identity = hashlib.sha256(body).digest()[:16]
        total = checksum(np.frombuffer(body, dtype=np.uint8))
        footer = identity + total.to_bytes(8, "little")
        return Blob(body + footer + bytes(FOOTER - len(footer)), identity, total)


@dataclass(frozen=True, slots=True)
class Blob:
    """The finished file, its identity and the checksum of all but the footer."""

    data: bytes
    identity: bytes
    checksum: int


def checksum(body: npt.NDArray[np.uint8]) -> int:
    """Return the checksum of bytes whose number is a multiple of 8."""
    words = body.view("<u8")
    factors = np.arange(words.size, dtype=np.uint64) * np.uint64(2) + np.uint64(1)
    return int((words * factors).sum(dtype=np.uint64))
