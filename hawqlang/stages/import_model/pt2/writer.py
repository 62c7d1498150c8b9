"""Writer: collects the nodes that ATen calls become, and the constants that these need."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NoReturn, cast

import numpy as np

from hawqlang.stages.import_model.onnx.model import (
    Attribute,
    Initializer,
    OnnxNode,
    RefusedError,
    printable,
)
from hawqlang.stages.import_model.pt2.program import (
    Argument,
    AtenNode,
    Meta,
    Other,
    Program,
    Ref,
    Scalar,
    Symbol,
)


@dataclass(frozen=True, slots=True)
class Call:
    """An ATen call whose arguments are asked for by type; what does not fit is refused."""

    node: AtenNode
    metas: Mapping[str, Meta]
    batch: frozenset[str]
    """Symbols known to be the batch."""

    @property
    def overload(self) -> str:
        """Return the last part of the target, such as ``default``."""
        return self.node.target.rpartition(".")[2]

    def given(self, name: str) -> bool:
        """Return whether an argument stands there and is not ``None``."""
        return self.node.arguments.get(name) is not None

    def whole(self, name: str, default: int) -> int:
        """Return an integer."""
        value = self.node.arguments.get(name, default)
        return value if isinstance(value, int) else self._mistyped(name, "an integer")

    def flag(self, name: str, *, default: bool) -> bool:
        """Return a truth value."""
        return bool(self.whole(name, int(default)))

    def number(self, name: str, default: float) -> float:
        """Return a number."""
        value = self.node.arguments.get(name, default)
        return float(value) if isinstance(value, int | float) else self._mistyped(name, "a number")

    def text(self, name: str, default: str) -> str:
        """Return a string."""
        value = self.node.arguments.get(name, default)
        return value if isinstance(value, str) else self._mistyped(name, "a string")

    def integers(self, name: str, default: tuple[int, ...] | None = None) -> tuple[int, ...]:
        """Return a list of integers; one integer counts as a list of one."""
        value = self.node.arguments.get(name)
        if value is None:
            return default if default is not None else self._mistyped(name, "a list of integers")
        items = value if isinstance(value, tuple) else (value,)
        found = tuple(n for n in items if isinstance(n, int))
        return found if len(found) == len(items) else self._mistyped(name, "a list of integers")

    def pair(self, name: str, default: tuple[int, int] | None = None) -> tuple[int, int]:
        """Return two integers, for height and width; one counts for both."""
        found = self.integers(name, default) or default or ()
        if len(found) == 1:
            return found[0], found[0]
        return (found[0], found[1]) if len(found) == 2 else self._mistyped(name, "two integers")

    def shape(self, name: str) -> tuple[int, ...]:
        """Return a shape whose first number may be the batch, which is written as 0."""
        value = self.node.arguments.get(name)
        items = value if isinstance(value, tuple) else ()
        found: list[int] = []
        for i, item in enumerate(items):
            if i == 0 and isinstance(item, Symbol) and item.name in self.batch:
                found.append(0)
            elif isinstance(item, int):
                found.append(item)
            else:
                raise RefusedError(
                    "its shape follows from the size of its input",
                    "only the batch may be dynamic: export with a fixed height and width",
                )
        return tuple(found)

    def dims(self, name: str) -> tuple[int | None, ...]:
        """Return the sizes of a tensor argument, the batch included; ``None`` where they are symbolic."""
        ref = self.node.arguments.get(name)
        meta = self.metas.get(ref.name) if isinstance(ref, Ref) else None
        if meta is None:
            raise RefusedError(f"the sizes of its {name} are not known")
        return meta.sizes

    def parts(self) -> list[Ref]:
        """Return the tensors that the call gives, all of known sizes."""
        found = tensors(self.node.outputs)
        if any(ref.name not in self.metas for ref in found):
            raise RefusedError("the sizes of its parts are not known")
        return found

    def rank(self, name: str) -> int:
        """Return the number of axes of a tensor argument."""
        return len(self.dims(name))

    def _mistyped(self, name: str, kind: str) -> NoReturn:
        raise RefusedError(f"its argument '{printable(name)}' is not {kind}")


@dataclass(slots=True)
class Writer:
    """What the rules write to."""

    program: Program
    nodes: list[OnnxNode] = field(default_factory=list[OnnxNode])
    constants: dict[str, Initializer] = field(default_factory=dict[str, Initializer])
    values: dict[str, str] = field(default_factory=dict[str, str])
    """The node-level name of every tensor; what runs in place gives a tensor a new one."""
    places: Counter[tuple[str, str]] = field(default_factory=Counter[tuple[str, str]])
    current: AtenNode | None = None

    def value(self, argument: Argument) -> str:
        """Return the name of a tensor argument; ``""`` for one left out, a constant's for a number."""
        match argument:
            case None:
                return ""
            case Ref(name):
                return self.values.get(name, f"%{name}")
            case bool() | int() | float():
                return self.constant(np.float32(argument))
            case Symbol():
                raise RefusedError("it computes with the size of its input")
            case Other() | str() | tuple():
                raise RefusedError("an argument is not a tensor")

    def constant(self, content: np.number | Sequence[int]) -> str:
        """Return the name of a new constant; whole numbers are int64."""
        array = (
            np.asarray(content) if isinstance(content, np.number) else np.array(content, np.int64)
        )
        name = f"%constant_{len(self.constants)}"
        self.constants[name] = Initializer(array.shape, lambda: array)
        return name

    def emit(
        self,
        op: str,
        inputs: Sequence[Argument],
        attributes: Mapping[str, Attribute] | None = None,
        *,
        constants: Sequence[Sequence[int]] = (),
        outputs: int | None = None,
    ) -> None:
        """Write the node that the current call becomes.

        Args:
            op: ONNX operator.
            inputs: Its inputs; those left out at the end are dropped.
            attributes: Its attributes.
            constants: Whole numbers that are further inputs.
            outputs: How many of the call's results it gives; ``None`` for all.
        """
        names = [self.value(x) for x in inputs]
        names += [self.constant(numbers) for numbers in constants]
        while names and not names[-1]:
            names.pop()
        self._append(op, tuple(names), attributes or {}, results=outputs)

    def refuse(self, error: RefusedError | None) -> None:
        """Write the current call as one that cannot be read; ``None``: its operator is unknown."""
        node = self._node()
        refs = [
            item
            for argument in node.arguments.values()
            for item in (argument if isinstance(argument, tuple) else (argument,))
        ]
        names = tuple(self.value(ref) for ref in refs if isinstance(ref, Ref))
        self._append(node.target, names, {}, error=error)

    def _append(
        self,
        op: str,
        names: tuple[str, ...],
        attributes: Mapping[str, Attribute],
        *,
        results: int | None = None,
        error: RefusedError | None = None,
    ) -> None:
        node = self._node()
        place = (node.scope, op)
        count = self.places[place]
        self.places[place] += 1
        leaf = f"{op}_{count}" if count else op
        self.nodes.append(
            OnnxNode(
                name=node.name,
                path=f"/{node.scope}/{leaf}" if node.scope else f"/{leaf}",
                op=op,
                inputs=names,
                outputs=tuple(self.value(x) for x in tensors(node.outputs)[:results]),
                attributes=attributes,
                position=len(self.nodes) + 1,
                shown=node.target,
                refused=error,
            )
        )

    def _node(self) -> AtenNode:
        return cast("AtenNode", self.current)


def tensors(scalars: Sequence[Scalar]) -> list[Ref]:
    """Return the tensors among arguments."""
    return [scalar for scalar in scalars if isinstance(scalar, Ref)]
