"""Resolving a spec again after an edit: builds that nobody touched, in a spec that otherwise means the same, are kept.

What a build resolves to depends on its node and on what its file sees: names, params and declarations. Where these are
equal and the node is the very same, everything that resolving it did is done again without resolving it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from hawqlang.base import Span
from hawqlang.diagnostics import Diagnostic
from hawqlang.ir import spec, syntax
from hawqlang.stages.resolve.index import Index
from hawqlang.stages.resolve.report import Recorder, RejectedError, Sink, replay
from hawqlang.stages.resolve.scope import Context

RUNS = 3
"""So many states of what is around builds are kept."""


@dataclass(frozen=True, slots=True)
class _Kept:
    """What resolving a node did."""

    node: syntax.QuantizeDecl
    found: spec.Build | None
    told: tuple[Diagnostic | RejectedError, ...]
    used: frozenset[str]
    deferrals: tuple[tuple[str, Span], ...]
    index: Index

    def again(self, ctx: Context) -> spec.Build | None:
        """Do it again and return the build."""
        replay(self.told, ctx.sink)
        ctx.used.update(self.used)
        ctx.deferrals.extend(self.deferrals)
        ctx.index.uses += self.index.uses
        ctx.index.sides += self.index.sides
        ctx.index.selectors += self.index.selectors
        return self.found


@dataclass(slots=True)
class _Run:
    """The builds of runs in which everything around them was the same."""

    around: tuple[object, ...]
    kept: dict[int, _Kept] = field(default_factory=dict[int, _Kept])
    """By identity of the node, which stays alive here."""


@dataclass(slots=True)
class Memory:
    """The builds of the last runs of one main file."""

    _runs: list[_Run] = field(default_factory=list[_Run])
    """The last one first. A statement that is half typed changes what is known around all builds, until it is whole."""
    _before: dict[int, _Kept] = field(default_factory=dict[int, _Kept])

    def begin(self, sink: Sink, ctx: Context, declared: object) -> None:
        """Start a run; where anything around builds differs from the last ones, nothing of them is kept."""
        around = (
            sink.partial,
            ctx.file,
            ctx.folder,
            ctx.names,
            ctx.elsewhere,
            ctx.params,
            ctx.trust,
            ctx.fence,
            declared,
        )
        same = next((run for run in self._runs if run.around == around), None)
        others = [run for run in self._runs if run is not same]
        self._before = {} if same is None else same.kept
        self._runs = [_Run(around), *others[: RUNS - 1]]

    def build(
        self,
        node: syntax.QuantizeDecl,
        ctx: Context,
        resolve: Callable[[syntax.QuantizeDecl, Context], spec.Build],
    ) -> spec.Build | None:
        """Return what a node resolves to, ``None`` where it is wrong."""
        kept = self._before.get(id(node))
        if kept is None:
            kept = _resolved(node, ctx, resolve)
        self._runs[0].kept[id(node)] = kept
        return kept.again(ctx)


def _resolved(
    node: syntax.QuantizeDecl,
    ctx: Context,
    resolve: Callable[[syntax.QuantizeDecl, Context], spec.Build],
) -> _Kept:
    sink, used, index = Recorder(partial=ctx.sink.partial), set[str](), Index()
    own = replace(ctx, sink=sink, used=used, deferrals=[], index=index)
    found = sink.attempt(resolve, node, own)
    return _Kept(node, found, tuple(sink.told), frozenset(used), tuple(own.deferrals), index)
