"""The compiler on one screen: every step, in order, for one build of a spec.

    parse → resolve → import_model → calibrate → sensitivity → candidates → allocate
          → tune → lower → codegen → build → verify → report

Each step is a function in ``hawqlang.stages`` from values to a value. What is costly and depends on data is kept in
the cache under the digests of all it depends on, so a changed constraint is solved again without calibrating again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from hawqlang.diagnostics import Diagnostic, HawqError
from hawqlang.ir.plan import BitPlan
from hawqlang.ir.spec import Build, Spec
from hawqlang.session import Session
from hawqlang.stages.accuracy import accuracy_constraints, with_accuracy
from hawqlang.stages.analyse import Analysis, analyse
from hawqlang.stages.bundle import staging
from hawqlang.stages.realise import Realised, realise

Report = Callable[[Diagnostic], None]
"""Takes warnings as they are found."""


@dataclass(frozen=True, slots=True)
class Artifact:
    """What a build left behind."""

    folder: Path
    plan: BitPlan
    realised: Realised
    attempts: tuple[str, ...]
    """What became of each allocation that was tried, in words."""


def plan_build(build: Build, session: Session, report: Report) -> tuple[Analysis, BitPlan]:
    """Return the analysis of a build's model and its optimal allocation.

    Raises:
        HawqError: the spec, its files or its data are at fault, or no allocation satisfies it (HQ501).
    """
    analysis = analyse(build, session, report)
    return analysis, allocate(analysis, session, ())


def compile_build(
    spec: Spec, build: Build, folder: Path, session: Session, report: Report
) -> Artifact:
    """Write the artifact of one build to ``folder`` and return what it holds.

    An allocation that fails an accuracy constraint is excluded with everything below it (every layer at equal or
    lower precision), and the next best is tried, up to the spec's ``attempts``.

    Raises:
        HawqError: as ``plan_build``; also where no attempt meets the accuracy constraints (HQ840).
    """
    refuse_deferred(spec, build)
    analysis = analyse(build, session, report)
    checked = accuracy_constraints(build)
    excluded: list[BitPlan] = []
    attempts: list[str] = []
    for _ in range(build.attempts if checked else 1):
        plan = allocate(analysis, session, tuple(excluded))
        with staging(folder) as made:
            realised = realise(spec, analysis, plan, made.path, session)
            failed = [result for result in realised.decided if not result.holds]
            attempts.append(_outcome(plan, realised))
            if not failed:
                realised.finish(with_accuracy(plan, realised.decided), tuple(attempts))
                made.commit()
                return Artifact(folder, plan, realised, tuple(attempts))
        excluded.append(plan)
    raise HawqError(_none_left(build, checked[0].name, attempts))
