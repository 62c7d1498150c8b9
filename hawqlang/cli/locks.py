"""What `check`, `plan` and `build` share of locks and saved plans."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hawqlang.cli.common import show, split_build, stderr, stdout
from hawqlang.cli.specs import chosen_builds, read_builds, read_spec
from hawqlang.diagnostics import Diagnostic, HawqError, ToolError
from hawqlang.ir.changes import Changes
from hawqlang.ir.lock import Entry, Lock, Origin, SavedPlan
from hawqlang.ir.spec import Build, Spec

if TYPE_CHECKING:
    from hawqlang.ir.plan import BitPlan
    from hawqlang.ir.profile import Profile
    from hawqlang.ir.sensitivity import SensitivityTable
    from hawqlang.pipeline import Artifact, Terms
    from hawqlang.stages.analyse import Analysis


@dataclass(frozen=True, slots=True)
class Order:
    """What a command is asked to do: builds of a spec, as the spec says or as a saved plan does."""

    spec: Spec
    builds: tuple[Build, ...]
    path: Path
    """The saved plan, where there is one."""
    plan: SavedPlan | None = None


def read_order(argument: str, settings: list[str] | None, *, trust: bool) -> Order:
    """Return what ``FILE[:NAME]`` asks for; FILE is a spec, or a plan that ``hawqc plan -o`` saved."""
    path, name = split_build(argument)
    if path.suffix != ".json":
        spec, builds = read_builds(argument, settings, trust=trust)
        return Order(spec, builds, path)
    from hawqlang.stages.lock.saved import read_plan, settings_of, spec_of

    if not path.is_file():
        raise ToolError(
            Diagnostic(
                code="HQ823",
                severity="error",
                message=f"cannot open '{path}'",
                help="give the path of a .hawq file, or of a plan that `hawqc plan -o` saved",
            )
        )
    if settings:
        raise ToolError(
            Diagnostic(
                code="HQ868",
                severity="error",
                message=f"'{path}' is a saved plan: it has its own settings",
                help="leave `--set` out, or plan again with it",
            )
        )
    plan = read_plan(path)
    own = [f"{key}={value}" for key, value in settings_of(plan).items()]
    spec = read_spec(spec_of(path, plan), own, trust=trust)
    planned = [build for build, _ in plan.builds]
    names = planned if name is None else [name]
    builds = tuple(build for one in names for build in chosen_builds(spec, one))
    if name is not None and name not in planned:
        raise HawqError(_not_planned(path, name, planned))
    return Order(spec, builds, path, plan)


def _not_planned(path: Path, name: str, planned: Sequence[str]) -> Diagnostic:
    return Diagnostic(
        code="HQ865",
        severity="error",
        message=f"'{path}' has no plan for '{name}'",
        help="it has " + ", ".join(f"`{one}`" for one in planned),
    )


@dataclass(frozen=True, slots=True)
class Held:
    """The lock of a spec, as it is while a command runs."""

    spec: Spec
    path: Path
    lock: Lock
    locked: bool

    def check_origin(self, build: Build, now: Origin) -> None:
        """Refuse inputs that are not those of the lock, where the lock binds."""
        from hawqlang.stages.lock.locked import origin_refusal

        if self.locked:
            _raise(origin_refusal(self.path, build, self.lock.entry(build.name), now))

    def check(self, build: Build, now: Entry) -> None:
        """Refuse a result that is not that of the lock, where the lock binds."""
        from hawqlang.stages.lock.locked import refusal

        if self.locked:
            _raise(refusal(self.path, build, self.lock.entry(build.name), now))

    def keep(self, build: Build, entry: Entry) -> None:
        """Put a build's entry into the lock, unless the lock binds; tell when that changed it."""
        from hawqlang.stages.lock.keep import Unwritable, keep

        if self.locked:
            return
        kept = keep(self.path, build.name, entry, {one.name for one in self.spec.builds})
        if isinstance(kept, Unwritable):
            show((kept.warning,))
        elif kept:
            stderr.print(f"  lock written: {self.path}", markup=False, soft_wrap=True)


def hold(spec: Spec, *, locked: bool) -> Held:
    """Return the lock of a spec; a damaged one is an error (HQ860, HQ861)."""
    from hawqlang.stages.lock.keep import read_lock
    from hawqlang.stages.lock.origin import lock_path

    path = lock_path(spec)
    return Held(spec, path, read_lock(path), locked)


def locked_findings(spec: Spec, builds: Sequence[Build]) -> Iterator[Diagnostic]:
    """Yield how the inputs of builds differ from those in the lock; nothing is measured."""
    from hawqlang.stages.lock.locked import origin_refusal
    from hawqlang.stages.lock.origin import origin

    try:
        held = hold(spec, locked=True)
        for build in builds:
            entry = held.lock.entry(build.name)
            found = origin_refusal(held.path, build, entry, origin(spec, build))
            if found is not None:
                yield found
    except HawqError as error:
        yield from error.diagnostics


def plan_terms(held: Held, build: Build, now: Origin) -> Terms:
    """Return what a lock asks of a plan: its sensitivities, and without what failed in the very same build."""
    from hawqlang.pipeline import Terms
    from hawqlang.stages.lock.locked import origin_refusal

    entry = held.lock.entry(build.name)
    same = entry is not None and origin_refusal(held.path, build, entry, now) is None
    return Terms(
        sensitivities=recorded_sensitivities(held.path, entry, now, build),
        profile=latencies_of_lock(held.path, entry, now, build),
        refused=entry.refusals() if entry is not None and same else (),
    )


def recorded_sensitivities(
    path: Path, entry: Entry | None, now: Origin, build: Build
) -> SensitivityTable | None:
    """Return the sensitivities that a lock or saved plan records for a build; tell where they were edited."""
    from hawqlang.stages.lock.entry import edited, recorded

    found = recorded(entry, now, build)
    if found is not None and edited(entry):
        show((_edited("sensitivities", path, build),))
    return found


def latencies_of_lock(path: Path, entry: Entry | None, now: Origin, build: Build) -> Profile | None:
    """Return the measured latencies that a lock or saved plan records; tell where they were edited."""
    from hawqlang.stages.lock.entry import edited_latencies, recorded_latencies

    found = recorded_latencies(entry, now, build)
    if found is not None and edited_latencies(entry):
        show((_edited("latencies", path, build),))
    return found


def plan_entry(now: Origin, analysis: Analysis, found: BitPlan, terms: Terms) -> Entry:
    """Return a plan with an allocation as a lock would record it."""
    from hawqlang.stages.lock.entry import planned

    return planned(now, found, analysis.sensitivities, terms.refused, analysis.profile)


def artifact_entry(now: Origin, artifact: Artifact) -> Entry:
    """Return what a lock records of a build."""
    from hawqlang.stages.lock.entry import built, planned

    entry = planned(now, artifact.plan, artifact.sensitivities, artifact.refused, artifact.profile)
    return built(entry, artifact.manifest, artifact.realised.evaluation)


def changes_since(held: Held, build: Build, now: Entry) -> Changes | None:
    """Return what a plan would change of the allocation in the lock; ``None`` where there is none."""
    from hawqlang.stages.lock.changes import compare, of_layers, standing

    before = held.lock.entry(build.name)
    if before is None:
        return None
    return of_layers(compare(build.name, standing(before), standing(now)))


def print_since(changes: Changes | None) -> None:
    """Print what would change since the lock; nothing where there is no lock."""
    from hawqlang.diagnostics.render import printable
    from hawqlang.stages.lock.words import since

    if changes is None:
        return
    if changes.none():
        stdout.print("no change since the lock")
        return
    stdout.print("since the lock:")
    for line in since(changes):
        stdout.print(f"  {printable(line)}", markup=False, soft_wrap=True)


def since_json(changes: Changes | None) -> dict[str, Any] | None:
    """Return the same as JSON: the keys of ``hawqc diff`` for one build."""
    from hawqlang.stages.diff.report import changed_json, metrics_json

    if changes is None:
        return None
    return {"changed": changed_json(changes), "metrics": metrics_json(changes)}


def _edited(what: str, path: Path, build: Build) -> Diagnostic:
    return Diagnostic(
        code="HQ873",
        severity="warning",
        message=f"the {what} of '{build.name}' in '{path}' are not those that were measured",
        help="they are used as they stand; build with `--no-cache` to measure them again",
    )


def _raise(diagnostic: Diagnostic | None) -> None:
    if diagnostic is not None:
        raise HawqError(diagnostic)
