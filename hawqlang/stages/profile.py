"""Measure what every layer takes on this machine, at every precision that it may have.

One library a precision: every layer that may have it does, the others take their first. Each is run step by step,
and a layer's time is the median of its step. The next layer's reading of what a layer wrote is in it, and so is the
cache as the network leaves it.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from hawqlang.backend.protocol import Backend
from hawqlang.backend.registry import BACKENDS
from hawqlang.base import Precision
from hawqlang.diagnostics import Diagnostic, HawqError
from hawqlang.ir.profile import Profile, ProfiledLayer
from hawqlang.ir.spec import Build
from hawqlang.session import Session
from hawqlang.stages.analyse import Examined, Report, examine
from hawqlang.stages.legality import legality
from hawqlang.stages.lower import LowerSettings, lower
from hawqlang.stages.measure import step_times

BACKEND = "tvm"
ROUNDS = 51


def profile(build: Build, session: Session, report: Report) -> Profile:
    """Return the latencies of a build's layers on this machine.

    Raises:
        HawqError: the model or its data are at fault, or the target is no CPU (HQ875).
    """
    if build.target.device.family != "cpu":
        raise HawqError(_no_cpu(build))
    known = examine(build, session, report)
    backend = BACKENDS[BACKEND]()
    allowed = _allowed(known)
    times: dict[str, dict[str, float]] = {name: {} for name in allowed}
    machine = ""
    for precision in dict.fromkeys(p for own in allowed.values() for p in own):
        chosen = {n: precision if precision in own else own[0] for n, own in allowed.items()}
        with session.step("profile", f"time {precision}"):
            machine, found = _timed(build, known, chosen, backend, session)
        for name, own in allowed.items():
            if precision in own and name in found:
                times[name][str(precision)] = found[name] / 1e3 * build.target.batch
    return Profile(
        device=build.target.device.name,
        machine=machine,
        batch=build.target.batch,
        threads=build.target.threads,
        layers=tuple(ProfiledLayer(name=n, latency_us=t) for n, t in times.items() if t),
    )


def _allowed(known: Examined) -> dict[str, tuple[Precision, ...]]:
    """Return what every layer may take: its candidates, without those that its accumulator does not hold."""
    network = known.network
    refused = legality(network.model, network.ranges, known.layers)
    return {
        name: tuple(p for p in own.precision if refused(name, p) is None)
        for name, own in known.layers.items()
    }


def _timed(
    build: Build,
    known: Examined,
    chosen: Mapping[str, Precision],
    backend: Backend,
    session: Session,
) -> tuple[str, dict[str, float]]:
    """Return the machine, and the nanoseconds of every step of the library of an allocation."""
    network, store = known.network, session.cache.tensors
    settings = LowerSettings(network.input, known.layers, build.residual)
    program, _ = lower(network.graph, network.ranges, chosen, settings, store)
    shape = program.tensor(program.input).shape
    image = np.random.default_rng(build.seed).integers(0, 256, shape, dtype=np.uint8)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        backend.build(backend.generate(program, build.target, store), folder, store)
        runner = backend.load(folder)
        try:
            return runner.variant, step_times(runner, image, ROUNDS)
        finally:
            runner.close()


def _no_cpu(build: Build) -> Diagnostic:
    return Diagnostic(
        code="HQ875",
        severity="error",
        message=f"'{build.name}' is for a `{build.target.device.name}`, which this machine cannot time",
        span=build.target.span,
        help="profiles are of CPUs; leave `latency = modelled` for other devices",
    )
