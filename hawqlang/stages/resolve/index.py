"""What resolving learns beside the spec: which word refers to what, for whoever shows a spec instead of building it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from hawqlang.base import Span
from hawqlang.ir import spec, syntax
from hawqlang.stages.resolve.declared import Declared

if TYPE_CHECKING:
    from hawqlang.stages.resolve.amounts import Amount
    from hawqlang.stages.resolve.files import SourceFile


@dataclass(frozen=True, slots=True)
class Use:
    """A word that stands for a declaration."""

    span: Span
    declared: Declared


@dataclass(frozen=True, slots=True)
class Side:
    """One side of a comparison of metrics, as an amount."""

    span: Span
    amount: Amount
    literal: bool
    """Whether it is written as a plain quantity, which says all there is to say."""


@dataclass(frozen=True, slots=True)
class Selected:
    """A selector where it is written; the parts of a larger one are recorded too."""

    span: Span
    selector: spec.Selector


@dataclass(slots=True)
class Index:
    """Everything learned in one run. It is filled as far as resolving gets, also where a spec has errors."""

    uses: list[Use] = field(default_factory=list[Use])
    sides: list[Side] = field(default_factory=list[Side])
    selectors: list[Selected] = field(default_factory=list[Selected])
    files: tuple[SourceFile, ...] = ()
    """Every file read, imports first."""
    names: dict[str, Declared] = field(default_factory=dict[str, Declared])
    """Every declared name of the spec."""
    nodes: dict[str, syntax.Param | syntax.Declaration] = field(
        default_factory=dict[str, syntax.Param | syntax.Declaration]
    )
    """What declares it."""
    visible: dict[str, frozenset[str]] = field(default_factory=dict[str, frozenset[str]])
    """The names that each file sees, by the file as shown."""
    params: dict[str, spec.ParamValue] = field(default_factory=dict[str, spec.ParamValue])
    models: dict[str, spec.Model] = field(default_factory=dict[str, spec.Model])
    targets: dict[str, spec.Target] = field(default_factory=dict[str, spec.Target])
    builds: dict[str, spec.Build] = field(default_factory=dict[str, spec.Build])
    """What could be resolved by itself, whatever else is wrong."""
