"""Checks specs for `hawqc check`: several at once, and each only when something it depends on has changed."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from hawqlang.cli import remembered
from hawqlang.cli.remembered import Request
from hawqlang.diagnostics import Diagnostic, HawqError, ToolError

if TYPE_CHECKING:
    from hawqlang.ir.spec import Spec

ALONE = 8
"""So many specs are checked sooner by one process than others are started."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What checking a spec found."""

    diagnostics: tuple[Diagnostic, ...]
    misuse: bool = False
    """Whether nothing could be checked, because of how the command was called."""


def check_all(requests: Sequence[Request]) -> list[Outcome]:
    """Return what checking each spec found, in their order."""
    outcomes = [None if one.locked else remembered.recall(one) for one in requests]
    left = [one for one, outcome in zip(requests, outcomes, strict=True) if outcome is None]
    found = iter(_check_each(left))
    return [
        Outcome(diagnostics) if diagnostics is not None else next(found) for diagnostics in outcomes
    ]


def _check_each(requests: Sequence[Request]) -> list[Outcome]:
    workers = min(len(os.sched_getaffinity(0)), len(requests) // ALONE)
    if workers < 2 or not sys.platform.startswith("linux"):
        return [check_one(one) for one in requests]
    from concurrent.futures import ProcessPoolExecutor
    from multiprocessing import get_context

    for module in ("hawqlang.stages.feasibility", "hawqlang.stages.resolve"):
        import_module(module)  # once, before the process is copied
    with ProcessPoolExecutor(workers, get_context("fork")) as pool:
        return list(pool.map(check_one, requests, chunksize=ALONE // 2))


def check_one(request: Request) -> Outcome:
    """Return what checking a spec found; what was found is remembered."""
    from hawqlang.stages.resolve import resolve

    moment = remembered.moment()
    try:
        resolution = resolve(
            Path(request.path),
            overrides=dict(request.overrides),
            root=None if request.root is None else Path(request.root),
            trust=request.trust,
        )
        found = [*resolution.diagnostics]
        if resolution.spec is not None:
            found += _of_builds(resolution.spec, request)
    except ToolError as error:
        return Outcome(error.diagnostics, misuse=True)
    except HawqError as error:
        return Outcome(error.diagnostics)
    outcome = Outcome(tuple(dict.fromkeys(found)))
    if resolution.spec is not None and not request.locked:
        read = (*resolution.sources, *map(str, resolution.files))
        remembered.keep(request, resolution.spec, read, outcome.diagnostics, moment)
    return outcome


def _of_builds(spec: Spec, request: Request) -> Iterator[Diagnostic]:
    if not spec.builds and request.name is None:
        from hawqlang.diagnostics.ignore import apply_ignores

        yield from apply_ignores((), spec.ignores, judge="5")
        return
    from hawqlang.cli.specs import chosen_builds
    from hawqlang.stages.feasibility import findings

    builds = chosen_builds(spec, request.name)
    yield from findings(spec, builds)
    if request.locked:
        from hawqlang.cli.locks import locked_findings

        yield from locked_findings(spec, builds)
