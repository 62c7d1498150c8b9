"""Whether this machine can stand for a target: `hawqc profile` and `latency = measured` run what they time."""

from __future__ import annotations

from hawqlang.diagnostics import Diagnostic
from hawqlang.ir.spec import Build


def not_measurable(build: Build) -> Diagnostic | None:
    """Return why a build's layers cannot be timed here, ``None`` where nothing speaks against it."""
    if build.target.device.family == "cpu":
        return None
    return Diagnostic(
        code="HQ875",
        severity="error",
        message=f"'{build.name}' is for a `{build.target.device.name}`, which this machine cannot time",
        span=build.target.span,
        help="layers are timed on CPUs; leave `latency = modelled` for other devices",
    )
