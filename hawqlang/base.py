"""The values everything else is made of: frozen models, source spans, references to stored arrays."""

from __future__ import annotations

from typing import Any, Self

from pydantic import BaseModel, ConfigDict


class Frozen(BaseModel):
    """Base of every value that crosses a step or a disk: immutable, strict, closed to unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, defer_build=True)

    def replace(self, **changes: Any) -> Self:
        """Return a copy with ``changes`` applied and validated again (``model_copy`` does not validate)."""
        fields = {name: getattr(self, name) for name in type(self).model_fields}
        return type(self)(**(fields | changes))


class Span(Frozen):
    """A piece of source text: lines and columns count from 1, columns in code points, end exclusive."""

    file: str
    """Path as shown to the reader; ``""`` where a value was made by the compiler itself."""
    line: int
    column: int
    end_line: int
    end_column: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


NOWHERE = Span(file="", line=0, column=0, end_line=0, end_column=0)
"""The span of a value that no source text wrote."""


class TensorRef(Frozen):
    """A stored array, named by the digest of its dtype, shape and bytes (see ``hawqlang.cache.TensorStore``)."""

    digest: str
    shape: tuple[int, ...]
    dtype: str
    """NumPy name, little endian, e.g. ``"int8"``, ``"int32"``, ``"float32"``."""


class Precision(Frozen):
    """A layer's precision: weight bits and input-activation bits, ``w4a8``; 1 to 16 each."""

    wbits: int
    abits: int

    def __hash__(self) -> int:
        return hash((self.wbits, self.abits))

    def __str__(self) -> str:
        return f"w{self.wbits}a{self.abits}"
