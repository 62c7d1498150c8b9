"""What an operator sees when it runs: stored tensors by name, their types, and its constants."""

from __future__ import annotations

from collections.abc import Callable, Mapping
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

    def weights(self, packed: TensorRef, bits: int, shape: Shape) -> npt.NDArray[np.int8]:
        """Return a layer's weights unpacked."""
        return pack.unpack_weights(self.constant(packed).astype(np.uint8), bits, shape)
