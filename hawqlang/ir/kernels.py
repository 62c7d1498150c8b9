"""KernelSet: everything a back end generated before any compiler runs."""

from __future__ import annotations

from hawqlang.base import Frozen, TensorRef


class Source(Frozen):
    """One generated text file."""

    path: str
    """Relative to the back end's folder."""
    text: str
    template: str


class Blob(Frozen):
    """One generated binary file (packed weights): a uint8 array."""

    path: str
    data: TensorRef


class KernelForm(Frozen):
    """Which of several forms a step's kernel takes: tiles, order of loops."""

    step: str
    form: str
    """In the back end's words."""
    measured: bool
    """Whether measurements chose it, on the machine that built; else a model did."""


class KernelSet(Frozen):
    """Rendered sources and blobs of one back end."""

    backend: str
    sources: tuple[Source, ...]
    blobs: tuple[Blob, ...]
    arena_bytes: int
    arena_lower_bound_bytes: int
    """The largest set of simultaneously live tensors."""
    notes: tuple[str, ...] = ()
    forms: tuple[KernelForm, ...] = ()
