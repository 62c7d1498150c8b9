"""What an operator sees when it runs: stored tensors by name, their types, and its constants."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from hawqlang.arith import pack, width
from hawqlang.base import Frozen, TensorRef

Array = npt.NDArray[np.integer[Any]]
Shape = tuple[int, ...]


class QTensor(Frozen):
    """A stored tensor of the program."""

    name: str
    shape: tuple[int, ...]
    bits: int
    """1 to 16, or 32."""
    signed: bool
    zero_point: int
    """0 for 32 bits."""

    @property
    def range(self) -> tuple[int, int]:
        """Return the smallest and largest value the type can hold."""
        return width.type_range(self.bits, signed=self.signed)

    @property
    def dtype(self) -> np.dtype[np.integer[Any]]:
        """Return the NumPy type of one value: a sub-byte value stands in a byte of its own."""
        return width.storage_dtype(self.bits, signed=self.signed)

    @property
    def kind(self) -> tuple[int, bool, int]:
        """Return what two tensors must share for values to move between them: width, sign, zero point."""
        return self.bits, self.signed, self.zero_point


class WeightTerms(Frozen):
    """What makes integers of a layer's codes where those are not the integers themselves: ``(q − zero)·multiple``."""

    zero: TensorRef | None = None
    """int16 ``(OC, groups)``: zero points of affine weights."""
    multiple: TensorRef | None = None
    """uint8 ``(OC, groups)``: the scale of each group in units of its channel's."""
    group: TensorRef | None = None
    """int32 ``(IC,)``: the group of each input channel, in stored order; ``None`` where there is one group."""


@dataclass(frozen=True, slots=True)
class Frame:
    """Tensors at one step of execution, with a batch axis in front: ``(N, H, W, C)`` or ``(N, F)``."""

    arrays: Mapping[str, Array]
    tensors: Mapping[str, QTensor]
    constant: Callable[[TensorRef], Array]
    """Returns the array behind a reference: ``TensorStore.get``."""

    def centred(self, name: str, zero_point: int) -> npt.NDArray[np.int64]:
        """Return ``q − z`` of a stored tensor."""
        return self.arrays[name].astype(np.int64) - zero_point

    def weights(
        self, packed: TensorRef, bits: int, shape: Shape, terms: WeightTerms | None = None
    ) -> Array:
        """Return the integers of a layer's weight: what is multiplied with activations and summed."""
        codes = pack.unpack_weights(self.constant(packed).astype(np.uint8), bits, shape)
        if terms is None:
            return codes
        index = np.zeros(shape[-1], np.int64)
        if terms.group is not None:
            index = self.constant(terms.group).astype(np.int64)
        found = codes.astype(np.int64)
        per_weight = (shape[0], *[1] * (len(shape) - 2), shape[-1])
        if terms.zero is not None:
            found -= self.constant(terms.zero)[:, index].reshape(per_weight)
        if terms.multiple is not None:
            found *= self.constant(terms.multiple)[:, index].reshape(per_weight)
        return found

    def weight_problems(
        self, packed: TensorRef, bits: int, shape: Shape, terms: WeightTerms | None
    ) -> Iterator[str]:
        """Yield what is wrong with a layer's packed weights and their terms."""
        if not 1 <= bits <= 16:
            yield f"weights of {bits} bits"
        if self.constant(packed).shape != (pack.packed_size(math.prod(shape), bits),):
            yield "packed weights have the wrong size"
        if terms is None:
            return
        groups = 1
        if terms.group is not None:
            index = self.constant(terms.group)
            if index.shape != (shape[-1],) or int(index.min()) != 0:
                yield f"groups of {index.shape} input channels, not of {shape[-1]}"
            groups = int(index.max()) + 1
        for name, ref in (("zero points", terms.zero), ("multiples", terms.multiple)):
            if ref is not None and self.constant(ref).shape != (shape[0], groups):
                yield f"{self.constant(ref).shape} {name} for {shape[0]} channels in {groups} groups"
        if terms.multiple is not None and int(self.constant(terms.multiple).min()) < 1:
            yield "a group's multiple is 0"
