"""What the translation of one operator sees and gives."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from hawqlang.base import TensorRef
from hawqlang.ops import Addend, Conv2d, Frame, Linear, QTensor, Store
from hawqlang_codegen.tvm.blob import BlobBuilder
from hawqlang_codegen.tvm.context import AddendKind, Kernel, StoreForm, plane
from hawqlang_codegen.tvm.layout import Layout, Layouts
from hawqlang_codegen.tvm.packing import (
    NARROW_SHIFT,
    Rescale,
    StoreScalars,
    narrow_block,
    rescale,
    wide_block,
)
from hawqlang_codegen.tvm.select import Choice, Work, modelled
from hawqlang_codegen.tvm.sharing import overwrites


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
class Chosen:
    """The form that a step's kernel takes, and whether measurements say so."""

    step: str
    work: Work
    choice: Choice
    measured: bool


@dataclass(frozen=True, slots=True)
class Site:
    """The program around an operator."""

    tensors: Mapping[str, QTensor]
    layouts: Layouts
    blob: BlobBuilder
    constant: Callable[[TensorRef], npt.NDArray[np.integer[Any]]]
    measured: Mapping[Work, Choice] = field(default_factory=dict[Work, Choice])
    """Choices that measurements made; the model makes the others."""
    chosen: list[Chosen] = field(default_factory=list["Chosen"])
    """Every choice so far, in order."""

    def choose(self, step: str, work: Work) -> Choice:
        """Return the form of a step's kernel, and note it."""
        choice = self.measured.get(work)
        found = Chosen(step, work, choice or modelled(work), measured=choice is not None)
        self.chosen.append(found)
        return found.choice

    def layout(self, name: str) -> Layout:
        """Return how tensor ``name`` lies in memory."""
        return self.layouts.of[name]

    def weights(self, op: Conv2d | Linear) -> npt.NDArray[np.integer[Any]]:
        """Return the integers of a layer's weight."""
        frame = Frame({}, self.tensors, self.constant)
        return frame.weights(op.weight, op.weight_bits, op.weight_shape, op.terms)

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
    wide = not scale.narrow or (kind == "int32" and layout.element == 4) or kind == "scaled64"
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
    out = site.layout(store.output)
    form = StoreForm(
        wide=wide,
        folded=not wide and scale.folded(store.zero_point + out.bias),
        out=plane(out),
        addend_kind=addend_kind(store.addend, site),
        addend=None if store.addend is None else plane(site.layout(store.addend.x)),
        channels=channels,
        in_place=overwrites(store, site.layouts.buffer),
    )
    operand = () if store.addend is None else (site.tensor(store.addend.x),)
    return BuiltStore(form, (site.data(block), site.tensor(store.output), *operand))


def addend_kind(addend: Addend | None, site: Site) -> AddendKind:
    """Return how an addend is stored and scaled."""
    if addend is None:
        return "none"
    element = site.layout(addend.x).element
    if element == 1:
        return "stored"
    if addend.shift == 0:
        return "int32"
    return "scaled" if addend.shift + _room(element) >= NARROW_SHIFT else "scaled64"


def _room(element: int) -> int:
    """Return how far a value ``q − z`` of that many bytes can be shifted to the left within int32."""
    return 14 if element == 2 else 0


def operand_numbers(addend: Addend, site: Site) -> tuple[int, ...]:
    """Return the words that scale an operand: multiplier, rounding, shift; beyond 8 bits zero point and left shift.

    Up to 8 bits ``R(q − z) = (stored·m + r) >> s`` with the zero point in ``r``. Beyond, ``v = (stored − zero) << k``
    becomes ``(high(v·m) + r) >> s`` in 32 bits, or ``(v·m + 2^(s−1)) >> s`` in 64. A partial sum has zeros.
    """
    layout, m, s = site.layout(addend.x), addend.multiplier, addend.shift
    zero = addend.zero_point + layout.bias
    match addend_kind(addend, site):
        case "stored" if s == 0:
            return 1, -zero, 0
        case "stored":
            return m, (1 << (s - 1)) - zero * m, s
        case "scaled":
            left = max(NARROW_SHIFT - s, 0)
            return m, 1 << (s + left - NARROW_SHIFT), s + left - 32, zero, left
        case "scaled64":
            return m, 0, s, zero, 0
        case "int32" | "none":
            return 0, 0, 0


def store_scalars(store: Store, layout: Layout, site: Site) -> StoreScalars:
    """Return a store's clamp, zero point and addend in stored terms."""
    return StoreScalars(
        lo=store.lo + layout.bias,
        hi=store.hi + layout.bias,
        zero=store.zero_point + layout.bias,
        operand=() if store.addend is None else operand_numbers(store.addend, site),
    )
