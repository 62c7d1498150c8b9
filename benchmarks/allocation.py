"""Bit allocation beside HiGHS at gap 0 on the same problems, in the same run.

For every instance the processor time of ``candidates`` + ``allocate`` (proven optimum, uniqueness,
plan) and that of HiGHS on the same integer program are taken, one thread each. What HiGHS finds is checked in exact
integers and compared: `same` says whether both reached the same optimum. Of problems that cannot be
met, the conflict is explained (minimal, with the nearest bounds); HiGHS only finds that there is none.
The slowest problem of each row is then allocated once more in a process of its own, for its peak
memory (libraries included).

    python benchmarks/allocation.py [--quick] [--only NAME]
"""

from __future__ import annotations

import argparse
import math
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from fractions import Fraction
from pathlib import Path

from allocation_instances import conflict, hawq_v3, instance
from common import ROOT, write_results

from hawqlang.ir.layers import LayerTable
from hawqlang.ir.spec import Build
from hawqlang.stages.allocate.encoding import assemble, encode_all, objective
from hawqlang.stages.allocate.highs import Relaxation
from hawqlang.stages.allocate.solve import allocate
from hawqlang.stages.allocate.space import space
from hawqlang.stages.candidates import candidates
from hawqlang.stages.candidates.metrics import facts

HALF = Fraction(1, 2)


@dataclass(frozen=True, slots=True)
class Case:
    """One problem of a row of the table."""

    row: str
    name: str
    build: Build
    table: LayerTable


@dataclass(frozen=True, slots=True)
class Measured:
    """One problem, solved twice."""

    row: str
    name: str
    layers: int
    status: str
    gap: float
    seconds: float
    highs_seconds: float
    same: bool
    conflict: int
    """Members of the conflicts, where there is no allocation."""
    peak_mb: float | None = None
    """Of the slowest of each row: the most memory a process of its own held, in 10^6 bytes."""


def cases(*, quick: bool) -> Iterator[Case]:
    """Yield the problems of every row of the table."""
    for name, build, table in hawq_v3():
        yield Case("HAWQ-V3's 18", name, build, table)
    seeds = range(1 if quick else 3)
    shares = (HALF,) if quick else (Fraction(3, 10), HALF, Fraction(7, 10))
    plan = [
        ("up to 105 layers, up to 5 candidates", network, count)
        for network in ("resnet18", "resnet50", "resnet101", "mobilenetv2", "vit_b")
        for count in (2, 3, 5)
    ]
    plan += [("224 to 500 layers, 5 candidates", n, 5) for n in ("llm", "synthetic500")]
    plan += [
        ("9 candidates, or 3 on 224 layers and more", n, c)
        for n, c in (
            ("resnet50", 9),
            ("mobilenetv2", 9),
            ("vit_b", 9),
            ("llm", 9),
            ("llm", 3),
            ("synthetic500", 3),
        )
    ]
    plan += [("2000 layers, 5 candidates", "synthetic2000", 5)]
    for named in (50, 140):
        for seed in seeds:
            row = f"conflict and slack, {named} named constraints"
            yield Case(row, f"resnet101, {named} constraints, seed {seed}", *conflict(named, seed))
    for row, network, count in plan:
        for share in shares:
            for seed in seeds:
                name = f"{network}, {count} candidates, {float(share):.1f}, seed {seed}"
                yield Case(row, name, *instance(network, count, share, seed))


def measure(case: Case) -> Measured:
    """Return the times and the answers of both solvers."""
    start = time.process_time()
    offered = candidates(case.build, case.table, None)
    plan = allocate(case.build, case.table, offered)
    ours = time.process_time() - start

    where = space(facts(case.build, case.table, offered))
    goal = objective(where, case.build.objective[0])
    merged = assemble(where, encode_all(where), (), [goal])
    if merged is None:
        sys.exit(f"{case.name}: a tie cannot hold")
    cost = merged.fold(goal.forms[0].integral().parts)
    start = time.process_time()
    point = Relaxation(merged.problem, cost).best_integer(10**6)
    theirs = time.process_time() - start
    chosen = plan.allocation()
    found = point is not None and merged.problem.satisfied(point)
    same = found == bool(chosen)
    if chosen and found:
        reached = sum(own.at(chosen[own.layer]).perturbation or 0 for own in offered.layers)
        same = goal.forms[0].at(merged.expand(point or ())) == reached
    return Measured(
        row=case.row,
        name=case.name,
        layers=len(case.table.layers),
        status=plan.status,
        gap=plan.gap or 0.0,
        seconds=round(ours, 4),
        highs_seconds=round(theirs, 4),
        same=same,
        conflict=len(plan.conflict),
    )


def peak(name: str) -> float:
    """Return the peak memory of a process that allocates one problem, in 10^6 bytes."""
    command = [sys.executable, __file__, "--peak", name]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)  # noqa: S603
    return float(done.stdout)


def _show_peak(arguments: argparse.Namespace) -> None:
    one = next(c for c in cases(quick=False) if c.name == arguments.peak)
    allocate(one.build, one.table, candidates(one.build, one.table, None))
    # Not getrusage: what that calls the peak may be the parent's, from before the program started.
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    print(int(status.partition("VmHWM:")[2].split()[0]) * 1024 / 10**6)


def main() -> None:
    """Measure, print the table, write the numbers."""
    arguments = _arguments()
    if arguments.peak:
        _show_peak(arguments)
        return
    measure(Case("", "warm-up", *instance("resnet18", 2, HALF, 0)))
    found: list[Measured] = []
    for case in cases(quick=arguments.quick):
        if arguments.only and arguments.only not in case.name:
            continue
        one = measure(case)
        found.append(one)
        print(
            f"{one.name:50} {one.status:9} gap {one.gap:.1e}  {one.seconds:7.3f} s"
            f"  HiGHS {one.highs_seconds:7.3f} s  {'same' if one.same else 'DIFFERS'}",
            flush=True,
        )
    for row in dict.fromkeys(one.row for one in found):
        slowest = max((one for one in found if one.row == row), key=lambda one: one.seconds)
        where = found.index(slowest)
        found[where] = replace(slowest, peak_mb=round(peak(slowest.name), 1))
    _summary(found)
    if not arguments.only:
        write_results("allocation", [asdict(one) for one in found])


def _summary(found: list[Measured]) -> None:
    print(
        "\n| problems | count | proven | median | 95 % | slowest | HiGHS gap 0, median | ratio | peak |"
    )
    print("| --- | --- | --- | --- | --- | --- | --- | --- | --- |")
    for row in dict.fromkeys(one.row for one in found):
        own = [one for one in found if one.row == row]
        times = sorted(one.seconds for one in own)
        median, theirs = statistics.median(times), statistics.median(o.highs_seconds for o in own)
        proven = sum(one.status in {"optimal", "infeasible"} for one in own)
        most = max(one.peak_mb or 0 for one in own)
        late = times[math.ceil(0.95 * len(times)) - 1]
        print(
            f"| {row} | {len(own)} | {proven} | {median:.3f} s | {late:.3f} s"
            f" | {times[-1]:.3f} s | {theirs:.3f} s | {median / theirs:.1f} | {most:.0f} MB |"
        )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one share and one seed")
    parser.add_argument("--only", default="", help="problems whose name holds this; writes nothing")
    parser.add_argument("--peak", default="", help="allocate this problem; print the peak memory")
    return parser.parse_args()


if __name__ == "__main__":
    main()
