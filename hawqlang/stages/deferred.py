"""Settings that are understood but whose engine this version does not have: noted by check, refused by build."""

from __future__ import annotations

from hawqlang.diagnostics import Diagnostic, HawqError, Severity
from hawqlang.ir.spec import Build, Spec

CODE = "HQ830"


def deferred(spec: Spec, build: Build, severity: Severity) -> tuple[Diagnostic, ...]:
    """Return one diagnostic per deferred setting of a build, in the order written."""
    return tuple(
        Diagnostic(
            code=CODE,
            severity=severity,
            message=f"`{setting.what}` is understood, but this version cannot build it yet",
            span=setting.span,
            help="`hawqc build` stops here; remove the setting to build with the default",
        )
        for setting in spec.deferred
        if setting.build == build.name
    )


def refuse_deferred(spec: Spec, build: Build) -> None:
    """Raise where a build asks for what this version does not have, before any work is done."""
    found = deferred(spec, build, "error")
    if found:
        raise HawqError(*found)
