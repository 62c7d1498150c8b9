"""Find the stored arrays that a value refers to."""

from __future__ import annotations

from typing import cast

from hawqlang.base import Frozen, TensorRef


def references(value: object) -> list[TensorRef]:
    """Return every ``TensorRef`` inside a frozen value, in field order, repeats included."""
    match value:
        case TensorRef():
            return [value]
        case Frozen():
            fields = type(value).model_fields
            return [ref for name in fields for ref in references(getattr(value, name))]
        case tuple():
            items = cast("tuple[object, ...]", value)
            return [ref for item in items for ref in references(item)]
        case _:
            return []
