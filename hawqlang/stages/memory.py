"""What a long step remembers of its parts, so that a killed build goes on where it stopped."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from hawqlang.base import Frozen, TensorRef
from hawqlang.cache import Array, Cache, TensorStore, digest
from hawqlang.ir.tuning import FittedBlock, FittedLayer


class Kept(Frozen):
    """An array that a part of a step gave."""

    array: TensorRef


@dataclass(frozen=True, slots=True)
class Memory:
    """Finished parts in the content-addressed cache."""

    cache: Cache
    key: str
    """Digest of all that the step depends on."""

    @property
    def store(self) -> TensorStore:
        """The arrays."""
        return self.cache.tensors

    def of(self, *parts: object) -> Memory:
        """Return the memory of one attempt among several."""
        return Memory(self.cache, digest(self.key, *parts))

    def layer(self, name: str, fit: Callable[[], FittedLayer]) -> FittedLayer:
        """Return what a layer was settled at; ``fit`` finds it where that is not known."""
        return self.cache.step(digest("fit layer", self.key, name), FittedLayer, fit)

    def block(self, name: str, fit: Callable[[], FittedBlock]) -> FittedBlock:
        """Return what the block that ends at value ``name`` was settled at."""
        return self.cache.step(digest("fit block", self.key, name), FittedBlock, fit)

    def array(self, name: str, make: Callable[[], Array]) -> Array:
        """Return the array called ``name``; ``make`` makes it where it is not known."""

        def kept() -> Kept:
            return Kept(array=self.store.put(make()))

        found = self.cache.step(digest("array", self.key, name), Kept, kept)
        return self.store.get(found.array)
