"""What the translation of one operator sees and gives."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from hawqlang.base import TensorRef
from hawqlang.ops import Addend, QTensor, Store
from hawqlang_codegen.tvm.blob import BlobBuilder
from hawqlang_codegen.tvm.context import AddendKind, Kernel, StoreForm, plane
from hawqlang_codegen.tvm.layout import Layout, Layouts
from hawqlang_codegen.tvm.packing import (
    Rescale,
    StoreScalars,
    narrow_block,
    rescale,
    wide_block,
)


@dataclass(frozen=True, slots=True)
class Pointer:
    """An argument of a kernel: a tensor's buffer in the arena, constants in the blob, or working memory."""

    space: Literal["arena", "blob", "scratch"]
    tensor: str
    """Owner of the buffer; empty outside the arena."""
    offset: int
    """Bytes from the start of the buffer, or of the blob."""


SCRATCH = Pointer("scratch", "", 0)


@dataclass(frozen=True, slots=True)
class Call:
    """One kernel with its arguments."""

    kernel: Kernel
    pointers: tuple[Pointer, ...]


@dataclass(frozen=True, slots=True)
class Site:
    """The program around an operator."""

    tensors: Mapping[str, QTensor]
    layouts: Layouts
    blob: BlobBuilder
    constant: Callable[[TensorRef], npt.NDArray[np.integer[Any]]]

    def layout(self, name: str) -> Layout:
        """Return how tensor ``name`` lies in memory."""
        return self.layouts.of[name]

    def tensor(self, name: str) -> Pointer:
        """Return a pointer to the buffer of tensor ``name``."""
        return Pointer("arena", self.layouts.buffer[name], 0)

    def data(self, array: npt.NDArray[Any]) -> Pointer:
        """Return a pointer to constants, which are added to the blob."""
        return Pointer("blob", "", self.blob.add(array))


@dataclass(frozen=True, slots=True)
class BuiltStore:
    """A store's form for the template and its arguments for the call."""

    form: StoreForm
    pointers: tuple[Pointer, ...]


def store_scale(store: Store, site: Site, scaled: int = 0) -> Rescale:
    """Return a store's dyadic numbers per channel, for accumulators ``2^scaled`` times the program's."""
    multiplier, shift = site.constant(store.multiplier), site.constant(store.shift)
    return rescale(multiplier, shift, site.layout(store.output).channels, scaled)


def build_store(store: Store, site: Site, channels: int, scaled: int = 0) -> BuiltStore:
    """Return form and arguments of a store whose parameters stand per channel, padded to ``channels``.

    Args:
        store: What to store.
        site: The program.
        channels: Length of the parameter vectors in the kernel.
        scaled: The kernel's accumulators are ``2^scaled`` times the program's.
    """
    layout = site.layout(store.output)
    scale = store_scale(store, site, scaled)
    kind = addend_kind(store.addend, site)
    wide = not scale.narrow or (kind == "int32" and layout.element == 4)
    scalars = store_scalars(store, layout, site)
    block = (wide_block if wide else narrow_block)(scale, scalars, channels)
    return _built(store, site, scale, block, wide=wide, channels=channels)


def population_store(store: Store, site: Site, count: int, channels: int) -> BuiltStore:
    """Return form and arguments of a store with one dyadic number per window population."""
    scale = rescale(site.constant(store.multiplier), site.constant(store.shift), count)
    scalars = store_scalars(store, site.layout(store.output), site)
    block = wide_block(scale, scalars, channels)
    return _built(store, site, scale, block, wide=True, channels=channels)


def _built(
    store: Store,
    site: Site,
    scale: Rescale,
    block: npt.NDArray[np.int32],
    *,
    wide: bool,
    channels: int,
) -> BuiltStore:
    form = StoreForm(
        wide=wide,
        folded=not wide and scale.folded,
        out=plane(site.layout(store.output)),
        addend_kind=addend_kind(store.addend, site),
        addend=None if store.addend is None else plane(site.layout(store.addend.x)),
        channels=channels,
    )
    operand = () if store.addend is None else (site.tensor(store.addend.x),)
    return BuiltStore(form, (site.data(block), site.tensor(store.output), *operand))


def addend_kind(addend: Addend | None, site: Site) -> AddendKind:
    """Return how an addend is stored."""
    if addend is None:
        return "none"
    return "int32" if site.layout(addend.x).element == 4 else "stored"


def operand_numbers(addend: Addend, site: Site) -> tuple[int, int, int]:
    """Return ``(m, r, s)`` with ``R(q − z) = (stored·m + r) >> s``; ``(0, 0, 0)`` for an int32 operand."""
    layout = site.layout(addend.x)
    if layout.element == 4:
        return 0, 0, 0
    zero = addend.zero_point + layout.bias
    if addend.shift == 0:
        return 1, -zero, 0
    half = 1 << (addend.shift - 1)
    return addend.multiplier, half - zero * addend.multiplier, addend.shift


def store_scalars(store: Store, layout: Layout, site: Site) -> StoreScalars:
    """Return a store's clamp, zero point and addend in stored terms."""
    m, r, s = (0, 0, 0) if store.addend is None else operand_numbers(store.addend, site)
    return StoreScalars(
        lo=store.lo + layout.bias,
        hi=store.hi + layout.bias,
        zero=store.zero_point + layout.bias,
        multiplier=m,
        rounding=r,
        shift=s,
    )
