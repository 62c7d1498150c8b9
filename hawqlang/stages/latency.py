"""Measure what every layer takes on this machine, at every precision that it may have.

One library a precision: every layer that may have it does, the others take their first. Each is run step by step,
and a layer's time is the median of its step. The next layer's reading of what a layer wrote is in it, and so is the
cache as the network leaves it.

Passes over a library are repeated until two agree; of those the smaller time counts, since other work on the machine
only ever adds. For ``latency = measured`` a time is kept under the kernels that the layer runs, the CPU, and the
generation of kernels: layers of equal kernels have one time, and so have those of another network.
"""

from __future__ import annotations

import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import numpy as np

from hawqlang import __version__
from hawqlang.backend.protocol import Runner, Times
from hawqlang.backend.registry import BACKENDS
from hawqlang.base import Frozen, Precision
from hawqlang.cache import digest
from hawqlang.diagnostics import Diagnostic, HawqError
from hawqlang.ir.integer import IntegerProgram
from hawqlang.ir.profile import Profile, ProfiledLayer
from hawqlang.ir.spec import Build
from hawqlang.progress import Advance
from hawqlang.session import Session
from hawqlang.stages.legality import legality
from hawqlang.stages.lower import LowerSettings, lower
from hawqlang.stages.measurable import not_measurable
from hawqlang.stages.measure import step_times
from hawqlang.stages.network import Examined

BACKEND = "tvm"
ROUNDS = 51
"""Inferences of a pass over a library, unless they take long."""
FEWEST = 5
SECONDS = 2.0
"""That a pass may take."""
PASSES = 6
"""At most, of one library: 12 seconds."""
NOISE = 0.1
"""Share of the time by which two passes may differ."""
DIGITS = 4
"""Of a time, significant: more would be noise in a lock."""

Report = Callable[[Diagnostic], None]
Allowed = Mapping[str, tuple[Precision, ...]]


class KernelTime(Frozen):
    """What the kernels of one layer take for one image."""

    nanoseconds: float
    machine: str
    """Instruction set that ran."""


@dataclass(frozen=True, slots=True)
class _Found:
    """What a library's steps took."""

    machine: str
    nanoseconds: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class _Bench:
    """Where libraries of one build are made and timed."""

    build: Build
    known: Examined
    allowed: Allowed
    backend: Times
    session: Session

    def program(self, precision: Precision) -> IntegerProgram:
        """Return the network with every layer at a precision that may have it."""
        network, layers = self.known.network, self.known.layers
        settings = LowerSettings(network.input, layers, self.build.residual)
        chosen = {n: precision if precision in own else own[0] for n, own in self.allowed.items()}
        store = self.session.cache.tensors
        program, _ = lower(network.graph, network.ranges, chosen, settings, store)
        return program

    def time(self, program: IntegerProgram, advance: Advance) -> _Found:
        """Return what the steps of a program's library take.

        Raises:
            HawqError: no C compiler (HQ801), a CPU that cannot run it (HQ803), or times that do not settle (HQ877).
        """
        store, backend = self.session.cache.tensors, self.backend
        shape = program.tensor(program.input).shape
        image = np.random.default_rng(self.build.seed).integers(0, 256, shape, dtype=np.uint8)
        with tempfile.TemporaryDirectory() as scratch:
            runner = backend.library(program, self.build.target, store, Path(scratch))
            try:
                found = settled(passes(runner, image, advance))
            finally:
                runner.close()
        if found is None:
            raise HawqError(_noisy(self.build))
        return _Found(runner.variant, found)

    def profile(self, times: Callable[[Precision], _Found], cpu: str) -> Profile:
        """Return every layer's times at the precisions that it may have."""
        target = self.build.target
        rows: dict[str, dict[str, float]] = {name: {} for name in self.allowed}
        machine = ""
        for precision in dict.fromkeys(p for own in self.allowed.values() for p in own):
            found = times(precision)
            machine = found.machine
            for name, own in self.allowed.items():
                if precision in own and name in found.nanoseconds:
                    took = found.nanoseconds[name] / 1e3 * target.batch
                    rows[name][str(precision)] = float(f"{took:.{DIGITS}g}")
        return Profile(
            device=target.device.name,
            machine=machine,
            cpu=cpu,
            batch=target.batch,
            threads=target.threads,
            layers=tuple(ProfiledLayer(name=n, latency_us=t) for n, t in rows.items() if t),
        )


def profile(build: Build, known: Examined, session: Session) -> Profile:
    """Return the latencies of a build's layers on this machine, all of them measured now.

    Raises:
        HawqError: the target is no CPU (HQ875) or cannot be run here (HQ803), there is no C compiler (HQ801), or the
            machine is too busy (HQ877).
    """
    bench = _bench(build, known, session)

    def times(precision: Precision) -> _Found:
        with session.step("profile", f"time {precision}") as advance:
            return bench.time(bench.program(precision), advance)

    return bench.profile(times, bench.backend.timed_on()[0])


def measured_latencies(
    build: Build, known: Examined, session: Session, report: Report, recorded: Profile | None
) -> Profile:
    """Return the latencies of a build's layers, measured where nothing has recorded or kept them.

    Args:
        build: what asks for them.
        known: its network.
        session: the cache, the progress.
        report: takes the warning that recorded times are of another machine.
        recorded: what the lock says of the same network and settings.

    Raises:
        HawqError: as ``profile``.
    """
    bench = _bench(build, known, session)
    cpu, generation = bench.backend.timed_on()
    if recorded is not None and covers(recorded, bench.allowed):
        if recorded.cpu != cpu:
            report(_elsewhere(build, recorded.cpu, cpu))
        return recorded
    target, network = build.target, known.network
    place = (__version__, cpu, generation, target.threads)
    parts = (network.digest(), sorted(known.layers.items()), build.residual, target.batch)
    key = digest("latencies", *place, *parts, sorted(bench.allowed.items()))

    def times(precision: Precision) -> _Found:
        with session.step("profile", f"time {precision}") as advance:
            return _kept(bench, place, precision, advance)

    return session.cache.step(key, Profile, lambda: bench.profile(times, cpu))


def _kept(bench: _Bench, place: object, precision: Precision, advance: Advance) -> _Found:
    """Return the times of a precision: those of kernels timed before, else measured and kept."""
    program, cache = bench.program(precision), bench.session.cache
    kernels = bench.backend.kernels(program, cache.tensors)
    wanted = {
        n: kernels[n] for n, own in bench.allowed.items() if precision in own and n in kernels
    }
    keys = {kernel: digest("kernel time", place, kernel) for kernel in wanted.values()}
    times = {kernel: cache.load(key, KernelTime) for kernel, key in keys.items()}
    if any(time is None for time in times.values()):
        found = bench.time(program, advance)
        together: dict[str, list[float]] = defaultdict(list)
        for name, kernel in wanted.items():
            together[kernel].append(found.nanoseconds[name])
        for kernel, of in together.items():
            if times[kernel] is None:
                time = KernelTime(nanoseconds=median(of), machine=found.machine)
                times[kernel] = time
                with suppress(OSError):
                    cache.save(keys[kernel], time)
    known = {kernel: time for kernel, time in times.items() if time is not None}
    machine = next(iter(known.values())).machine
    return _Found(machine, {name: known[kernel].nanoseconds for name, kernel in wanted.items()})


def covers(recorded: Profile, allowed: Allowed) -> bool:
    """Return whether a profile has every candidate of every layer."""
    rows = {layer.name: layer.latency_us for layer in recorded.layers}
    return all(str(p) in rows.get(name, {}) for name, own in allowed.items() for p in own)


def passes(runner: Runner, image: np.ndarray, advance: Advance) -> Iterable[Mapping[str, float]]:
    """Yield the steps' median nanoseconds, pass after pass."""
    once = sum(runner.profile(image).values()) / 1e9
    rounds = max(FEWEST, min(ROUNDS, int(SECONDS / max(once, 1e-9))))
    for number in range(PASSES):
        yield step_times(runner, image, rounds)
        advance(number + 1, PASSES)


def settled(found: Iterable[Mapping[str, float]]) -> dict[str, float] | None:
    """Return the smaller times of the first two passes in a row that agree, ``None`` where none do."""
    before: Mapping[str, float] | None = None
    for now in found:
        if before is not None:
            apart = sum(abs(before[step] - time) for step, time in now.items())
            least = {step: min(before[step], time) for step, time in now.items()}
            if apart <= NOISE * sum(least.values()):
                return least
        before = now
    return None


def _bench(build: Build, known: Examined, session: Session) -> _Bench:
    refused = not_measurable(build)
    if refused is not None:
        raise HawqError(refused)
    backend = BACKENDS[BACKEND]()
    if not isinstance(backend, Times):
        raise TypeError(backend.name)
    return _Bench(build, known, _allowed(known), backend, session)


def _allowed(known: Examined) -> Allowed:
    """Return what every layer may take: its candidates, without those that its accumulator does not hold."""
    network = known.network
    refused = legality(network.model, network.ranges, known.layers)
    return {
        name: tuple(p for p in own.precision if refused(name, p) is None)
        for name, own in known.layers.items()
    }


def _noisy(build: Build) -> Diagnostic:
    return Diagnostic(
        code="HQ877",
        severity="error",
        message=f"the layers of '{build.name}' could not be timed: in {PASSES} passes no two in a row agree within"
        f" {NOISE:.0%}",
        span=build.target.span,
        help="measure again when this machine does less, or use `latency = modelled`",
    )


def _elsewhere(build: Build, there: str, here: str) -> Diagnostic:
    return Diagnostic(
        code="HQ876",
        severity="warning",
        message=f"the latencies of '{build.name}' were measured on another machine: {there or 'an unknown one'}",
        span=build.target.span,
        notes=(f"this is {here}",),
        help="they decide, so that every machine builds the same; `hawqc build --no-cache` measures here",
    )
