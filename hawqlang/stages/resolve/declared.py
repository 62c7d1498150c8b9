"""What a name of a spec stands for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from hawqlang.ir import syntax

Kind: TypeAlias = Literal["param", "model", "dataset", "target"]


@dataclass(frozen=True, slots=True)
class Declared:
    """A name of the namespace and the place that declares it."""

    kind: Kind
    name: syntax.Name
    file: str
    """The file that declares it, as shown to the reader."""
