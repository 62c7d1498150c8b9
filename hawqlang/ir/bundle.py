"""Manifest: what an artifact folder is, where it came from, and the digest of every file in it."""

from __future__ import annotations

import hashlib
from typing import Literal

from hawqlang.base import Frozen
from hawqlang.ir.kernels import KernelForm
from hawqlang.ir.spec import Dataset, Input, Model, Target

MANIFEST = "manifest.json"
ALLOCATION = "allocation.json"
EVALUATION = "evaluation.json"
PROGRAM = "reference/program.json"
CONSTANTS = "reference/constants.npz"


class FileEntry(Frozen):
    """One file of the artifact, path relative to its folder, with ``/``."""

    path: str
    sha256: str
    size_bytes: int


class Port(Frozen):
    """The input or output: shape without batch, and the real value behind a code: ``scale · (q − zero_point)``."""

    shape: tuple[int, ...]
    dtype: Literal["uint8", "int32"]
    scale: float
    zero_point: int


class BackendEntry(Frozen):
    """One back end's folder."""

    name: str
    folder: str
    arena_bytes: int
    arena_lower_bound_bytes: int
    forms: tuple[KernelForm, ...] = ()
    """Of the kernels of which there are several."""


class OpNumbers(Frozen):
    """The dyadic numbers of one stored tensor: ``m / 2^s`` per channel (or one for all)."""

    op: str
    tensor: str
    multiplier: tuple[int, ...]
    shift: tuple[int, ...]


class Manifest(Frozen):
    """The first file to read in an artifact."""

    format_version: Literal[1] = 1
    compiler: str
    build: str
    spec: str
    """The resolved spec, every import, default and override written out."""
    sources: tuple[tuple[str, str], ...]
    """The ``.hawq`` files it came from (base names) and their sha256."""
    inputs: tuple[tuple[str, str], ...]
    """Digests of everything else that went in: model, weights, calibration data."""
    model: Model
    """Paths are relative to the artifact folder."""
    dataset: Dataset | None
    target: Target
    network_input: Input
    input: Port
    output: Port
    seed: int
    backends: tuple[BackendEntry, ...]
    dyadic: tuple[OpNumbers, ...]
    files: tuple[FileEntry, ...]
    digest: str = ""
    """sha256 of this manifest with an empty digest."""

    def sealed(self) -> Manifest:
        """Return the manifest with its own digest filled in."""
        return self.replace(digest=self._own_digest())

    def intact(self) -> bool:
        """Return whether the manifest is what was sealed."""
        return self.digest == self._own_digest()

    def _own_digest(self) -> str:
        blank = self.replace(digest="")
        return hashlib.sha256(blank.model_dump_json().encode()).hexdigest()
