"""Forms of kernels by measurement: alternatives tried in the network itself, and a database of what was found.

In each round every shape of work takes its next alternative, the library is built for this machine's instruction set,
and inferences of it and of the modelled library are timed in turns, step by step. What is kept is the ratio of both
times per shape, so that a slow hour or a hot core does not matter. A round that was cut short leaves nothing; finished
ones are in the database, so a tuning that was killed goes on where it was.
"""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path

from pydantic import ValidationError

from hawqlang.base import Frozen
from hawqlang.cache import write_atomic
from hawqlang.progress import Advance
from hawqlang.resources import data_dir
from hawqlang_codegen.tvm.machine import cpu_model
from hawqlang_codegen.tvm.select import Choice, Work, alternatives

TUNING = "tuning"
"""Folder of the databases in the cache."""
NOISE = 0.03
"""Ratios this near to the best are equal; of equals the one that the model likes best is taken."""

Measure = Callable[[Mapping[Work, Choice]], Mapping[Work, float]]
"""Returns, per shape of work, the time of a choice over that of the modelled one."""
Clock = Callable[[], float]


class Ratios(Frozen):
    """What was measured on one machine with one generation of kernels."""

    format_version: int = 1
    cpu: str
    isa: str
    generation: str
    ratios: dict[str, dict[str, float]]
    """Of each work, by choice."""


@dataclass(slots=True)
class Database:
    """Measured ratios, in a file where one is given."""

    cpu: str
    isa: str
    path: Path | None = None
    ratios: dict[str, dict[str, float]] = field(default_factory=dict[str, dict[str, float]])

    def find(self, work: Work, choice: Choice) -> float | None:
        """Return the ratio of a choice, ``None`` where it was not measured."""
        return self.ratios.get(_key(work), {}).get(str(choice))

    def put(self, work: Work, choice: Choice, ratio: float) -> None:
        """Keep the ratio of a choice."""
        self.ratios.setdefault(_key(work), {})[str(choice)] = ratio

    def save(self) -> None:
        """Write the file whole or not at all; one that cannot be written costs time, never the result."""
        if self.path is None:
            return
        found = Ratios(cpu=self.cpu, isa=self.isa, generation=generation(), ratios=self.ratios)
        with suppress(OSError):
            write_atomic(self.path, found.model_dump_json(indent=1).encode())


def open_database(folder: Path | None, isa: str, cpu: str | None = None) -> Database:
    """Return the database of a CPU and an instruction set; an unreadable or foreign file counts as empty.

    Args:
        folder: Of the databases; ``None`` keeps nothing.
        isa: The instruction set.
        cpu: Its model's name; this machine's unless given.
    """
    cpu = cpu or cpu_model()
    if folder is None:
        return Database(cpu, isa)
    name = re.sub(r"[^A-Za-z0-9]+", "-", cpu).strip("-").lower()
    path = folder / f"{name}-{isa}-{generation()[:12]}.json"
    try:
        found = Ratios.model_validate_json(path.read_bytes())
    except (OSError, ValidationError):
        return Database(cpu, isa, path)
    if (found.cpu, found.isa, found.generation) != (cpu, isa, generation()):
        return Database(cpu, isa, path)
    sound = {
        work: {choice: ratio for choice, ratio in of.items() if 0 < ratio < float("inf")}
        for work, of in found.ratios.items()
    }
    return Database(cpu, isa, path, sound)


def tune(
    works: Sequence[Work],
    database: Database,
    measure: Measure,
    seconds: float,
    advance: Advance,
    clock: Clock = time.monotonic,
) -> dict[Work, Choice]:
    """Return the best choice of every work that has been measured.

    Args:
        works: The shapes of a network.
        database: What is known; takes what is measured.
        measure: Times one choice per work.
        seconds: No round begins after so many.
        advance: Told how many rounds are done.
        clock: Seconds that only grow.
    """
    end = clock() + seconds
    options = {work: alternatives(work, database.isa) for work in dict.fromkeys(works)}
    rounds = max(map(len, options.values()), default=1)
    for rank in range(1, rounds):
        trial = {
            work: found[rank]
            for work, found in options.items()
            if rank < len(found) and database.find(work, found[rank]) is None
        }
        if trial:
            if clock() >= end:
                break
            for work, ratio in measure(trial).items():
                database.put(work, trial[work], ratio)
            database.save()
        advance(rank, rounds - 1)
    return {
        work: best(work, found, database)
        for work, found in options.items()
        if any(database.find(work, choice) is not None for choice in found)
    }


def best(work: Work, options: Sequence[Choice], database: Database) -> Choice:
    """Return the choice to take: of those within the noise of the fastest, the model's favourite."""
    ratios = {options[0]: 1.0}
    for choice in options[1:]:
        ratio = database.find(work, choice)
        if ratio is not None:
            ratios[choice] = ratio
    limit = min(ratios.values()) * (1 + NOISE)
    return next(choice for choice, ratio in ratios.items() if ratio <= limit)


def generation() -> str:
    """Return a digest of all that makes a kernel's speed but its shape: templates and TVM."""
    h = hashlib.sha256(version("apache-tvm").encode())
    for path in sorted((data_dir("templates") / "tvm").glob("*.j2")):
        h.update(path.name.encode() + path.read_bytes())
    return h.hexdigest()


def _key(work: Work) -> str:
    return hashlib.sha256(repr(work).encode()).hexdigest()[:24]
