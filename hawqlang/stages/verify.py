"""Prove an artifact: bit-exact against the interpreter, integer-only, overflow-free, unchanged.

The interpreter runs the program that the artifact carries. Every back end, in every variant that
this machine can
execute, must store the same bits in every tensor, for adversarial inputs and for real ones.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from hawqlang.backend.protocol import Backend, Runner
from hawqlang.backend.registry import BACKENDS
from hawqlang.cache import TensorStore
from hawqlang.certificate import UnprovenError, certificate
from hawqlang.interpret import interpret
from hawqlang.ir.bundle import BackendEntry, Manifest
from hawqlang.ir.integer import IntegerProgram
from hawqlang.ir.spec import Input
from hawqlang.ir.verdict import BackendVerdict, Difference, Verdict
from hawqlang.ops import Frame, macs, writes
from hawqlang.progress import Progress
from hawqlang.stages.bundle import changed_files, read_reference
from hawqlang.stages.data import Samples, channels_last

Array = npt.NDArray[Any]
Pixels = npt.NDArray[np.uint8]


SLOW_WORK = 400_000_000
"""Multiply-accumulates over all inputs that an emulation is given: a second or two."""


@dataclass(frozen=True, slots=True)
class NamedInput:
    """One input of the network, uint8 ``(H, W, C)``, and what a report calls it."""

    name: str
    pixels: Pixels


@dataclass(frozen=True, slots=True)
class RealInputs:
    """Inputs from a data set, read as they are needed."""

    cases: Iterable[NamedInput] = ()
    count: int = 0


@dataclass(slots=True)
class _Subject:
    """A loaded variant of a back end and what was seen of it so far."""

    entry: BackendEntry
    runner: Runner
    difference: Difference | None = None
    inputs: int = 0
    tensors: int = 0
    most: int | None = None
    """Inputs that it is given, where they take long; the last of the adversarial ones come first."""


def adversarial_inputs(shape: tuple[int, ...], seed: int) -> Iterator[NamedInput]:
    """Yield the inputs that reach the ends of every range: constant, alternating and random pixels."""
    index: Array = np.indices(shape[:2], dtype=np.int64).sum(axis=0)
    board: Array = ((index % 2) * 255).astype(np.uint8)
    board = board[..., None] if len(shape) > 2 else board
    rng = np.random.default_rng(seed)
    yield NamedInput("all zeros", np.zeros(shape, np.uint8))
    yield NamedInput("all 255", np.full(shape, 255, np.uint8))
    yield NamedInput("checkerboard", np.broadcast_to(board, shape).copy())
    yield NamedInput("random", rng.integers(0, 256, shape, dtype=np.uint8))


def real_inputs(sets: Mapping[str, Samples], kind: Input, count: int | None) -> RealInputs:
    """Return the first ``count`` samples of every set, or all of them."""
    wanted = {role: len(s) if count is None else min(count, len(s)) for role, s in sets.items()}

    def cases() -> Iterator[NamedInput]:
        for role, number in wanted.items():
            for index in range(number):
                pixels = channels_last(sets[role].take((index,)), kind)[0]
                yield NamedInput(f"{role}[{index}]", pixels)

    return RealInputs(cases(), sum(wanted.values()))


def verify(folder: Path, manifest: Manifest, inputs: RealInputs, progress: Progress) -> Verdict:
    """Return what holds of the artifact in ``folder``; stop comparing a variant at its first difference.

    Args:
        folder: the artifact.
        manifest: its manifest.
        inputs: real inputs, compared after the adversarial ones.
        progress: shows the inputs as they are done.
    """
    changed = changed_files(folder)
    program, store = read_reference(folder)
    most = max(1, SLOW_WORK // max(_work(program, store), 1))
    subjects = [s for entry in manifest.backends for s in _load(folder, entry, most)]
    adversarial = tuple(adversarial_inputs(program.tensor(program.input).shape, manifest.seed))[
        ::-1
    ]
    total = len(adversarial) + inputs.count
    try:
        with progress.step(f"compare {total} inputs bit for bit") as advance:
            for done, case in enumerate(chain(adversarial, inputs.cases)):
                expected = interpret(program, store, case.pixels[None], keep="all")
                for subject in subjects:
                    if subject.most is None or done < min(subject.most, len(adversarial)):
                        _compare(subject, program, case, expected)
                advance(done + 1, total)
    finally:
        for subject in subjects:
            subject.runner.close()
    with progress.step("disassemble and look for float instructions"):
        floats = {
            entry.name: BACKENDS[entry.name]().float_instructions(folder / entry.folder)
            for entry in manifest.backends
        }
    differences = [s.difference for s in subjects if s.difference is not None]
    return Verdict(
        backends=tuple(
            BackendVerdict(
                backend=s.entry.name,
                variant=s.runner.variant,
                bit_exact=s.difference is None and s.inputs > 0,
                inputs=s.inputs,
                tensors=s.tensors,
                integer_only=not floats[s.entry.name][1],
                float_instructions=floats[s.entry.name][1][:8],
                instructions=floats[s.entry.name][0],
            )
            for s in subjects
        ),
        overflow_free=_overflow_free(program, store),
        hashes=not changed,
        changed_files=changed,
        first_difference=differences[0] if differences else None,
    )


def holds(verdict: Verdict) -> bool:
    """Return whether everything that was to be proven is."""
    return (
        verdict.overflow_free
        and verdict.hashes
        and bool(verdict.backends)
        and all(b.bit_exact and b.integer_only for b in verdict.backends)
    )


def _load(folder: Path, entry: BackendEntry, most: int) -> Iterator[_Subject]:
    backend: Backend = BACKENDS[entry.name]()
    for variant in backend.variants(folder / entry.folder):
        runner = backend.load(folder / entry.folder, variant)
        yield _Subject(entry, runner, most=most if runner.slow else None)


def _work(program: IntegerProgram, store: TensorStore) -> int:
    """Return the multiply-accumulates of one input."""
    frame = Frame({}, {tensor.name: tensor for tensor in program.tensors}, store.get)
    return sum(macs(op, frame) for op in program.ops)


def _compare(
    subject: _Subject, program: IntegerProgram, case: NamedInput, expected: Mapping[str, Array]
) -> None:
    """Compare every stored tensor of one input; remember the first difference in program order."""
    if subject.difference is not None:
        return
    got = subject.runner.trace(case.pixels)
    traced = got.get(program.output)
    logits = traced if subject.runner.slow else subject.runner.run(case.pixels[None])[0]
    producers = _producers(program)
    for tensor in program.tensors:
        if tensor.name == program.input:
            continue
        pairs = [(expected[tensor.name][0], got.get(tensor.name))]
        if tensor.name == program.output:
            pairs.append((expected[tensor.name][0], logits))
        for want, have in pairs:
            index = _first_difference(want, have)
            if index is None:
                continue
            subject.difference = Difference(
                backend=f"{subject.entry.name} {subject.runner.variant}",
                input=case.name,
                op=producers.get(tensor.name, "?"),
                tensor=tensor.name,
                index=index,
                expected=int(want[index]) if have is not None else 0,
                got=int(have[index]) if have is not None and have.shape == want.shape else 0,
            )
            return
    subject.inputs += 1
    subject.tensors = len(program.tensors) - 1


def _first_difference(want: Array, have: Array | None) -> tuple[int, ...] | None:
    """Return the index of the first unequal element; a missing or misshapen tensor differs at its start."""
    if have is None or have.shape != want.shape:
        return (0,) * want.ndim
    if np.array_equal(want, have):
        return None
    return tuple(int(i) for i in np.argwhere(want != have)[0])


def _producers(program: IntegerProgram) -> dict[str, str]:
    """Return for each tensor the op that stores it."""
    found: dict[str, str] = {}
    for op in program.ops:
        for name in writes(op):
            found[name] = op.name
    return found


def _overflow_free(program: IntegerProgram, store: TensorStore) -> bool:
    """Return whether the bounds, computed again from the constants, are those that the program records."""
    try:
        return certificate(program, store) == program.bounds
    except UnprovenError:
        return False
