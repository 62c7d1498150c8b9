"""What the translation of one operator sees: the program around it, and the constants it leaves behind."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from hawqlang.base import TensorRef
from hawqlang.diagnostics import Diagnostic, HawqError
from hawqlang.ops import Addend, Conv2d, Frame, Linear, QTensor, Store
from hawqlang_codegen.cuda.arch import Arch
from hawqlang_codegen.cuda.context import Constant, Operand, StoreForm
from hawqlang_codegen.cuda.layout import Layout, Layouts
from hawqlang_codegen.tvm.blob import BlobBuilder
from hawqlang_codegen.tvm.layout import round_up
from hawqlang_codegen.tvm.packing import NARROW_SHIFT, rescale
from hawqlang_codegen.tvm.sharing import overwrites

IntArray = npt.NDArray[np.integer[Any]]
Int64 = npt.NDArray[np.int64]
MOST_STORES = 8
"""As ``kMaxStores`` in tensor.cuh."""
CHANNEL_BLOCK = 128
"""Parameters are padded to the widest tile."""


@dataclass(frozen=True, slots=True)
class Site:
    """The program around an operator."""

    tensors: Mapping[str, QTensor]
    number: Mapping[str, int]
    layouts: Layouts
    blob: BlobBuilder
    constant: Callable[[TensorRef], IntArray]
    archs: tuple[Arch, ...]
    images: int
    """The batch for which tiles are chosen."""

    def layout(self, name: str) -> Layout:
        """Return how tensor ``name`` lies in memory."""
        return self.layouts.of[name]

    def weights(self, op: Conv2d | Linear) -> IntArray:
        """Return the integers of a layer's weight."""
        frame = Frame({}, self.tensors, self.constant)
        return frame.weights(op.weight, op.weight_bits, op.weight_shape, op.terms)

    def data(self, array: npt.NDArray[Any]) -> Constant:
        """Return where constants stand in the blob, to which they are added."""
        return Constant(self.blob.add(array), array.nbytes)


def store_forms(
    name: str, stores: tuple[Store, ...], bias: Int64, site: Site
) -> tuple[StoreForm, ...]:
    """Return how an operator's value is stored, once per width.

    Args:
        name: Of the operator.
        stores: What to store.
        bias: Added to the sum: one per channel, or per population of an average pool.
        site: The program.

    Raises:
        HawqError: more widths than the kernels take (HQ703).
    """
    if len(stores) > MOST_STORES:
        raise unserved(
            name, f"it is stored in {len(stores)} widths, and kernels store {MOST_STORES}"
        )
    return tuple(_store_form(store, bias, site) for store in stores)


def _store_form(store: Store, bias: Int64, site: Site) -> StoreForm:
    scale = rescale(site.constant(store.multiplier), site.constant(store.shift), bias.size)
    rows = np.zeros((round_up(bias.size, CHANNEL_BLOCK), 4), np.int32)
    rows[:, 3] = 1
    rows[: bias.size, 0] = bias
    rows[: bias.size, 1] = scale.multiplier
    if scale.narrow:
        rows[: bias.size, 2] = np.int64(1) << (scale.shift - NARROW_SHIFT)
        rows[: bias.size, 3] = scale.shift - 32
    else:
        rows[: bias.size, 3] = scale.shift
    return StoreForm(
        out=site.number[store.output],
        in_place=overwrites(store, site.layouts.buffer),
        channels=site.data(rows),
        wide=not scale.narrow,
        zero=store.zero_point,
        lo=store.lo,
        hi=store.hi,
        addend=None if store.addend is None else operand(store.addend, site),
    )


def operand(addend: Addend, site: Site) -> Operand:
    """Return a second operand as kernels take it."""
    return Operand(site.number[addend.x], addend.zero_point, addend.multiplier, addend.shift)


def unserved(name: str, why: str) -> HawqError:
    """Return the diagnostic of an operator that no kernel computes (HQ703)."""
    return HawqError(
        Diagnostic(
            code="HQ703",
            severity="error",
            message=f"no CUDA kernel serves '{name}': {why}",
            help="`emit tvm` generates code for the CPU without this limit",
        )
    )
