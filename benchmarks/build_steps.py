"""Time and memory of a build, step by step: cold, and again with everything cached.

    python benchmarks/build_steps.py [--data FOLDER] [--nets resnet18 resnet50] [--work FOLDER]

Every build is a process of its own. A step's memory is the peak of the process up to the step's
end, so it tells which step raised it. Without ``--data`` (a folder of real weights and images)
only what needs none is built.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from common import ROOT, example, forget, show, write_results
from nets import NETS

MIB = 2**20
REAL = ("cifar_resnet20", "cifar_resnet20_mixed", "squeezenet", "mobilenet_v1")


@dataclass(frozen=True, slots=True)
class Job:
    """A spec to build, with the arguments it needs."""

    name: str
    arguments: tuple[str, ...]


def build(job: Job, label: str, cache: Path, out: Path) -> dict[str, Any]:
    """Return one build's wall time, steps, and memory."""
    command = [sys.executable, "-m", "hawqlang", "build", *job.arguments, "--out", str(out)]
    begin = time.perf_counter()
    with (
        tempfile.TemporaryFile("w+", encoding="utf-8") as result,
        tempfile.TemporaryFile("w+", encoding="utf-8") as words,
    ):
        process = subprocess.Popen(  # noqa: S603 - this project's own program
            [*command, "--format", "json"],
            env={**os.environ, "HAWQ_CACHE": str(cache)},
            stdout=result,
            stderr=words,
        )
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - begin
        process.returncode = os.waitstatus_to_exitcode(status)
        result.seek(0)
        words.seek(0)
        if process.returncode != 0:
            sys.exit(f"{' '.join(command)}\nended with {process.returncode}:\n{words.read()}")
        printed = json.load(result)["builds"][0]
    return {
        "build": job.name,
        "cache": label,
        "wall_s": wall,
        "cpu_s": usage.ru_utime + usage.ru_stime,
        "peak_mib": usage.ru_maxrss / 1024,
        "steps": [
            {"step": name, "seconds": seconds, "peak_mib": printed["peak_rss_bytes"][name] / MIB}
            for name, seconds in printed["seconds"].items()
        ],
    }


def jobs(nets: list[str], data: Path | None, work: Path) -> list[Job]:
    """Return what to build; random weights are written first."""
    found = [Job("digits", (str(example("digits", work / "digits")),))]
    for name in nets:
        folder = work / name
        NETS[name].write_files(folder)
        spec = folder / f"{name}.hawq"
        spec.write_text(NETS[name].spec("w8a8", folder), encoding="utf-8")
        forget(spec)
        found.append(Job(name, (str(spec),)))
    if data is not None:
        settings = ("--set", f"data={data}")
        found += [Job(name, (str(example(name, work / name)), *settings)) for name in REAL]
    return found


def main() -> None:
    """Build everything twice and write ``results/build_steps.json``."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--nets", nargs="*", choices=sorted(NETS), default=["resnet18", "resnet50"])
    parser.add_argument("--data", type=Path)
    parser.add_argument("--work", type=Path, default=ROOT / "build" / "benchmarks")
    options = parser.parse_args()
    torch.set_num_threads(1)
    work = options.work.resolve()
    data = None if options.data is None else options.data.resolve()
    rows: list[dict[str, Any]] = []
    for job in jobs(options.nets, data, work):
        with tempfile.TemporaryDirectory() as cache:
            for label in ("cold", "warm"):
                row = build(job, label, Path(cache), work / "steps")
                rows.append(row)
                show([{k: row[k] for k in ("build", "cache", "wall_s", "cpu_s", "peak_mib")}])
                show(row["steps"])
    print(f"wrote {write_results('build_steps', rows)}")


if __name__ == "__main__":
    main()
