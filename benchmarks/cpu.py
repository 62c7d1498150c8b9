"""Latency of artifacts beside OpenVINO and ONNX Runtime, interleaved in one run, and where the time goes.

    python benchmarks/cpu.py --rivals ENVIRONMENT/bin/python --prepare     # builds and quantizes; any machine load
    python benchmarks/cpu.py --rivals ENVIRONMENT/bin/python [--resume]    # times; wants quiet cores

Every network is timed at every batch and number of threads on the instruction set that each program finds best; at the
first batch and number of threads also held to ``--isas``. Look at ratios within a case, never at milliseconds of
different runs.

What a time includes: each runtime's own Python call. ``hawqc`` is given uint8 pixels and normalizes them itself; the
others are given the finished float32 tensor, so that their time has no conversion in it. ``--isas avx2`` also limits
OpenVINO, by ``ONEDNN_MAX_CPU_ISA`` and to float32 beside int8; ONNX Runtime cannot be limited and stands only beside
the CPU's own best set. Weights are random: the cosine between a program's logits and the float network's shows that all
ran the same network.

Results are written after every case, so a run that is stopped is continued by ``--resume``, which keeps the cases of
the same libraries. A network or a rival that fails is named and left out.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import sys
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from subprocess import CalledProcessError
from typing import Any

import torch
from common import RESULTS, ROOT, show, write_results
from contest import INCLUDES, ONEDNN, OWN, Case, NoAnswerError, measure, prepare, table
from layers import layer_rows, share_row
from nets import NETS

from hawqlang.diagnostics import HawqError

FAILURES = (NoAnswerError, CalledProcessError, HawqError, OSError, ValueError, KeyError, SystemExit)
"""What one network may end with without ending the others."""


@dataclass(slots=True)
class Results:
    """What was measured so far."""

    rows: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    layers: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    shares: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    failures: list[str] = field(default_factory=list[str])

    def write(self) -> None:
        """Write everything."""
        about = {f"time of {name}": words for name, words in INCLUDES.items()}
        about |= {f"failed {i}": words for i, words in enumerate(self.failures, 1)}
        about["faster than best rival"] = (
            "the least median of the rivals over hawqc's; in rows 1 / of_best_rival"
        )
        write_results("cpu", self.rows, about)
        write_results("layers", self.layers)
        write_results("cpu_shares", self.shares)

    def failed(self, what: str, error: object) -> None:
        """Say and keep that something failed."""
        text = str(error).strip()
        last = text.splitlines()[-1] if text else type(error).__name__
        self.failures.append(f"{what}: {last}")
        print(f"  left out: {what}: {last}", flush=True)


def cases(options: argparse.Namespace, name: str) -> Iterator[Case]:
    """Yield what is timed of a network."""
    folder = options.work.resolve() / name
    for batch in options.batch:
        for threads in options.threads:
            yield Case(NETS[name], "", batch, threads, folder)
    for isa in options.isas:
        yield Case(NETS[name], isa, options.batch[0], options.threads[0], folder)


def prepare_all(options: argparse.Namespace, results: Results) -> list[str]:
    """Make what is missing for every network and return those that can be timed."""
    ready: list[str] = []
    for name in options.nets:
        try:
            for batch in options.batch:
                case = Case(NETS[name], "", batch, 1, options.work.resolve() / name)
                for problem in prepare(case, options.precision, options.rivals):
                    results.failed(f"{name}, batch {batch}", problem)
            ready.append(name)
            print(f"{name} is ready", flush=True)
        except FAILURES as error:
            results.failed(name, error)
    return ready


def recalled(options: argparse.Namespace, name: str) -> list[dict[str, Any]]:
    """Return the rows of an earlier run of a results file."""
    path = RESULTS / f"{name}.json"
    if not options.resume or not path.exists():
        return []
    return json.loads(path.read_text(encoding="utf-8"))["rows"]


def library_digest(case: Case) -> str:
    """Return what tells a library from that of another compiler."""
    return hashlib.sha256((case.library / "model.so").read_bytes()).hexdigest()[:16]


def time_case(case: Case, options: argparse.Namespace, results: Results) -> None:
    """Time one case, unless an earlier run did."""
    library = library_digest(case)
    wanted = case.key | {"library": library}
    if any(wanted.items() <= row.items() for row in results.rows):
        return
    results.rows = [row for row in results.rows if not case.key.items() <= row.items()]
    failed: list[str] = []
    with held_to(case.threads):
        rows = measure(case, options.rivals, options.seconds, failed)
        results.rows += [row | {"library": library} for row in rows]
        for problem in failed:
            results.failed(f"{case.key}", problem)
        if options.layers and (case.batch, case.threads) == (1, 1) and not repeats(case, results):
            time_layers(case, results)


@contextmanager
def held_to(count: int) -> Generator[None]:
    """Hold this process and those it starts to so many cores."""
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, cores[-count:])
    try:
        yield
    finally:
        os.sched_setaffinity(0, cores)


def repeats(case: Case, results: Results) -> bool:
    """Return whether a limited case runs on the very set that the unlimited one chose."""
    free = {"net": case.net.name, "isa": "best", "program": OWN}
    chosen = {row["words"] for row in results.rows if free.items() <= row.items()}
    return bool(case.isa) and any(words.endswith(f" {case.isa}") for words in chosen)


def time_layers(case: Case, results: Results) -> None:
    """Add every layer's share of the peak, and what the network's time is spent on."""
    own = {"net": case.net.name, "isa": case.isa or "best"}
    found = layer_rows(case.artifact, case.library, case.isa)
    for kept in (results.layers, results.shares):
        kept[:] = [row for row in kept if not own.items() <= row.items()]
    results.layers += [own | row for row in found]
    results.shares.append(own | share_row(found))


def options_of(arguments: list[str] | None = None) -> argparse.Namespace:
    """Return the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--nets", nargs="+", choices=sorted(NETS), default=list(NETS))
    parser.add_argument("--isas", nargs="*", choices=[*ONEDNN], default=["vnni", "avx2"])
    parser.add_argument("--batch", nargs="+", type=int, default=[1, 8])
    parser.add_argument("--threads", nargs="+", type=int, default=[1, 2])
    parser.add_argument("--precision", default="w8a8")
    parser.add_argument("--seconds", type=float, default=10.0, help="of timing per case, about")
    parser.add_argument("--minutes", type=float, default=25.0, help="no case begins after so long")
    parser.add_argument(
        "--rivals", default=sys.executable, help="Python of the rivals' environment"
    )
    parser.add_argument("--prepare", action="store_true", help="make what is needed; time nothing")
    parser.add_argument("--resume", action="store_true", help="keep what an earlier run timed")
    parser.add_argument("--no-layers", dest="layers", action="store_false", help="whole networks")
    parser.add_argument("--work", type=Path, default=ROOT / "build" / "benchmarks")
    return parser.parse_args(arguments)


def main() -> None:
    """Measure what is asked for; write ``results/cpu.json``, ``layers.json`` and ``cpu_shares.json``."""
    options = options_of()
    torch.set_num_threads(1)
    results = Results()
    ready = prepare_all(options, results)
    if options.prepare:
        return
    results.rows = recalled(options, "cpu")
    results.layers, results.shares = recalled(options, "layers"), recalled(options, "cpu_shares")
    end = time.monotonic() + 60 * options.minutes
    for name in ready:
        begin = time.monotonic()
        for case in cases(options, name):
            if time.monotonic() > end:
                results.failed(str(case.key), f"not begun within {options.minutes:g} minutes")
                continue
            try:
                time_case(case, options, results)
            except FAILURES as error:
                results.failed(str(case.key), error)
            results.write()
        print(f"\n{name}, {time.monotonic() - begin:.0f} s")
        of_net = [row for row in results.rows if row["net"] == name]
        show([{k: v for k, v in line.items() if k != "net"} for line in table(of_net)])
        show([row for row in results.shares if row["net"] == name])
        sys.stdout.flush()
    print()
    show(table(results.rows))
    print()
    show(results.shares)
    for program, words in INCLUDES.items():
        print(f"{program}: {words}")
    for words in results.failures:
        print(f"left out: {words}")
    print(f"wrote {RESULTS}/cpu.json, layers.json, cpu_shares.json")


if __name__ == "__main__":
    main()
