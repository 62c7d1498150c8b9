"""The compiler on one screen: every step, in order, for one build of a spec.

    parse → resolve → import_model → calibrate → sensitivity → candidates → allocate
          → tune → lower → codegen → build → verify → report

Each step is a function in ``hawqlang.stages`` from values to a value. What is costly and depends on data is kept in
the cache under the digests of all it depends on, so a changed constraint is solved again without calibrating again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from hawqlang.base import Precision
from hawqlang.diagnostics import HawqError
from hawqlang.ir.attempt import Attempt
from hawqlang.ir.bundle import Manifest
from hawqlang.ir.plan import BitPlan
from hawqlang.ir.profile import Profile
from hawqlang.ir.sensitivity import SensitivityTable
from hawqlang.ir.spec import Build, Spec
from hawqlang.session import Session
from hawqlang.stages.accuracy import accuracy_constraints, with_accuracy
from hawqlang.stages.allocate.given import given
from hawqlang.stages.allocate.reasons import explained
from hawqlang.stages.allocate.solve import allocate
from hawqlang.stages.analyse import Analysis, Report, analyse
from hawqlang.stages.attempts import attempted, none_accurate
from hawqlang.stages.bundle import staging
from hawqlang.stages.deferred import refuse_deferred
from hawqlang.stages.footprint import packed_bytes
from hawqlang.stages.realise import Place, Realised, finish, realise

Allocation = Mapping[str, Precision]


@dataclass(frozen=True, slots=True)
class Artifact:
    """What a build left behind."""

    folder: Path
    manifest: Manifest
    plan: BitPlan
    realised: Realised
    refused: tuple[Allocation, ...]
    """Those that were tried before this one."""
    sensitivities: SensitivityTable | None
    """What the allocation rests on."""
    profile: Profile | None
    """Likewise, where the target's latencies are measured."""


def _anything(_: Artifact) -> None:
    """Approve of whatever was built."""


@dataclass(frozen=True, slots=True)
class Terms:
    """What a lock or a saved plan asks of a build."""

    sensitivities: SensitivityTable | None = None
    """Used instead of measuring."""
    profile: Profile | None = None
    """Likewise, where the target's latencies are measured."""
    refused: tuple[Allocation, ...] = ()
    """Allocations known to fail: what ``given`` was chosen after."""
    given: Allocation | None = None
    """Exactly this is built, and no other allocation is tried."""
    approve: Callable[[Artifact], None] = _anything
    """Called before the artifact takes its place; nothing is left where it raises."""


FREE = Terms()
"""Nothing is asked."""


def plan_build(
    build: Build, session: Session, report: Report, terms: Terms = FREE
) -> tuple[Analysis, BitPlan]:
    """Return the analysis of a build's model and its optimal allocation.

    The plan's status says whether there is an allocation at all; its diagnostics say why not.

    Raises:
        HawqError: the model, its weights or its data are at fault.
    """
    analysis = analyse(build, session, report, terms.sensitivities, terms.profile)
    return analysis, _allocated(analysis, terms.refused, session)


def explain_plan(
    analysis: Analysis,
    plan: BitPlan,
    session: Session,
    terms: Terms = FREE,
    priced: Collection[str] = (),
) -> BitPlan:
    """Return a plan with the reason of every layer, the price of its next step, the runner-up, and its packed bytes.

    Args:
        analysis: what the plan was made from.
        plan: one without an allocation comes back as it is.
        session: shows progress.
        terms: what the plan was made under.
        priced: layers to price even where there are very many; else all are.
    """
    with session.step("explain", "price the next step of every layer"):
        found = explained(
            analysis.build,
            analysis.table,
            analysis.candidates,
            plan,
            priced=priced,
            exclude=terms.refused,
        )
    return found.replace(artifact_bytes=packed_bytes(analysis, found, session))


def compile_build(
    spec: Spec, build: Build, folder: Path, session: Session, report: Report, terms: Terms = FREE
) -> Artifact:
    """Write the artifact of one build to ``folder`` and return what it holds.

    An allocation that fails an accuracy constraint is excluded with everything below it (every layer at equal or
    lower precision), and the next best is tried, up to the spec's ``attempts``.

    Raises:
        HawqError: the spec, its files or its data are at fault, nothing satisfies the constraints (HQ501), or no
            attempt meets the accuracy constraints (HQ840).
    """
    refuse_deferred(spec, build)
    analysis = analyse(build, session, report, terms.sensitivities, terms.profile)
    tried: list[BitPlan] = []
    attempts: list[Attempt] = []
    several = accuracy_constraints(build) and terms.given is None
    while len(tried) < (build.attempts if several else 1):
        begin = time.perf_counter()
        plan = _chosen(analysis, [one.allocation() for one in tried], terms, session)
        if not plan.layers and tried:
            raise HawqError(none_accurate(build, attempts, exhausted=plan.status == "infeasible"))
        if not plan.layers:
            raise HawqError(*plan.diagnostics)
        tried.append(plan)
        with staging(folder) as made:
            realised = realise(analysis, plan, made.path, session, report)
            attempts.append(attempted(tried, realised.decided, time.perf_counter() - begin))
            if attempts[-1].holds:
                decided = with_accuracy(plan, realised.decided)
                found = replace(realised, attempts=tuple(attempts))
                place = Place(made.path, folder)
                manifest = finish(spec, analysis, decided, found, place, session)
                refused = tuple(one.allocation() for one in tried[:-1]) or terms.refused
                measured = (analysis.sensitivities, analysis.profile)
                artifact = Artifact(folder, manifest, decided, found, refused, *measured)
                terms.approve(artifact)
                made.commit()
                return artifact
    raise HawqError(none_accurate(build, attempts, exhausted=False))


def _chosen(
    analysis: Analysis, refused: Sequence[Allocation], terms: Terms, session: Session
) -> BitPlan:
    """Return the allocation to build: the one that is given, else the best of those not refused."""
    if terms.given is None:
        return _allocated(analysis, refused, session)
    with session.step("allocate", "check the planned allocation"):
        return given(
            analysis.build,
            analysis.table,
            analysis.candidates,
            terms.given,
            exclude=terms.refused,
        )


def _allocated(analysis: Analysis, refused: Sequence[Allocation], session: Session) -> BitPlan:
    with session.step("allocate", "choose and prove every layer's precision"):
        return allocate(analysis.build, analysis.table, analysis.candidates, exclude=refused)
