"""Measure a build's layers for a file that `latency = profile(…)` reads."""

from __future__ import annotations

from hawqlang.diagnostics import HawqError
from hawqlang.ir.profile import Profile
from hawqlang.ir.spec import Build
from hawqlang.session import Session
from hawqlang.stages import latency
from hawqlang.stages.analyse import Report, examine
from hawqlang.stages.measurable import not_measurable


def profile(build: Build, session: Session, report: Report) -> Profile:
    """Return the latencies of a build's layers on this machine.

    Raises:
        HawqError: the model or its data are at fault, or its layers cannot be timed here.
    """
    refused = not_measurable(build)
    if refused is not None:
        raise HawqError(refused)
    return latency.profile(build, examine(build, session, report), session)
