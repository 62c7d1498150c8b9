"""The nodes, stored tensors, input and output of a network's file as plain values."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn, cast

from hawqlang.cache import Array

Attribute = int | float | str | tuple[int, ...] | tuple[float, ...] | tuple[str, ...] | object


class RefusedError(Exception):
    """An operator, or a form of one, that the compiler does not have; becomes a diagnostic at its node."""

    def __init__(self, message: str, help_text: str | None = None, code: str = "HQ321") -> None:
        super().__init__(message)
        self.message = message
        self.help_text = help_text
        self.code = code


@dataclass(frozen=True, slots=True)
class OnnxNode:
    """One node of the file."""

    name: str
    """Its name in the file, made printable; may be empty or repeated."""
    op: str
    """Operator type; with its domain in front where that is not ONNX's own."""
    inputs: tuple[str, ...]
    """``""`` for an optional input left out."""
    outputs: tuple[str, ...]
    attributes: Mapping[str, Attribute]
    position: int
    """Its place in the file, from 1."""
    path: str = ""
    """Where it stands, as ``/scope/…/operator``, for exporters that say so elsewhere than in the name."""
    shown: str = ""
    """What a message calls the operator; ``""`` stands for ``op``."""
    refused: RefusedError | None = None
    """Why this form of it cannot be read, where that is known beforehand."""

    @property
    def located(self) -> str:
        """Return the name that says where the node stands, as far as it is known."""
        return self.path or self.name

    @property
    def operator(self) -> str:
        """Return what a message calls the operator."""
        return self.shown or self.op

    def integer(self, name: str, default: int) -> int:
        """Return an integer attribute."""
        value = self.attributes.get(name, default)
        return value if isinstance(value, int) else self._mistyped(name, "an integer")

    def number(self, name: str, default: float) -> float:
        """Return a floating-point attribute."""
        value = self.attributes.get(name, default)
        return float(value) if isinstance(value, float | int) else self._mistyped(name, "a number")

    def text(self, name: str, default: str) -> str:
        """Return a string attribute."""
        value = self.attributes.get(name, default)
        return value if isinstance(value, str) else self._mistyped(name, "a string")

    def integers(self, name: str) -> tuple[int, ...] | None:
        """Return a list of integers, ``None`` where the attribute is not given."""
        value = self.attributes.get(name)
        if value is None:
            return None
        if not isinstance(value, tuple):
            self._mistyped(name, "a list of integers")
        items = cast("tuple[object, ...]", value)
        numbers = tuple(item for item in items if isinstance(item, int))
        return numbers if len(numbers) == len(items) else self._mistyped(name, "a list of integers")

    def _mistyped(self, name: str, kind: str) -> NoReturn:
        raise RefusedError(f"its attribute '{name}' is not {kind}")


@dataclass(frozen=True, slots=True)
class OnnxInput:
    """The graph's input; ``None`` stands for a symbolic or unknown dimension."""

    name: str
    dims: tuple[int | None, ...] | None
    element: str


@dataclass(frozen=True, slots=True)
class Initializer:
    """A tensor that the file holds."""

    shape: tuple[int, ...]
    read: Callable[[], Array]
    embedded: bool = True
    """Whether it stands in the file itself, and not in external data that may be missing."""


@dataclass(frozen=True, slots=True)
class OnnxModel:
    """A file, opened and checked."""

    path: Path
    opset: int
    nodes: tuple[OnnxNode, ...]
    initializers: Mapping[str, Initializer]
    input: OnnxInput
    output: str


def text_of(field: str | bytes) -> str:
    """Return a string field; one that is not UTF-8 is given as bytes and is made readable."""
    return field if isinstance(field, str) else field.decode("utf-8", errors="replace")


def printable(text: str | bytes) -> str:
    """Return text of a model file as it may stand in a message: every invisible character replaced."""
    return "".join(c if c.isprintable() else "?" for c in text_of(text))
