"""How long `hawqc check` takes: one spec and two hundred, for the first time and again.

A process of its own for every figure, as a hook or an editor starts it, start-up of Python included.
"First" has a warm grammar and nothing remembered of the specs; "again" follows a check of the same
files; "one changed" follows it after one of them was touched.

    python benchmarks/check.py [--times N]
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from common import ROOT, example, write_results

MANY = 200
LIMITS = {"one": 0.3, "many": 2.0}
"""Seconds that a check may take, on a machine that does nothing else."""


def main() -> None:
    """Measure, print and write ``results/check.json``."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--times", type=int, default=7, help="runs of each figure")
    times: int = parser.parse_args().times
    with tempfile.TemporaryDirectory(prefix="hawqc-check-") as name:
        folder = Path(name)
        one, many = specs(folder)
        environment = {
            **os.environ,
            "HAWQ_CACHE": str(folder / "cache"),
            "OMP_NUM_THREADS": "1",
            "PYTHONPATH": os.pathsep.join((str(ROOT), str(ROOT / "codegen"))),
        }
        time.sleep(0.2)  # nothing is remembered of files that have just been written
        check(one, environment)  # the grammar's tables, bytecode
        found = {
            what: {
                "first": measured(path, environment, times, lambda: forget(folder)),
                "again": measured(path, environment, times, nothing),
                "one_changed": measured(path, environment, times, lambda: touch(one)),
                "limit": LIMITS[what],
            }
            for what, path in (("one", one), ("many", many))
        }
    rows = [{"files": files, **found[what]} for what, files in (("one", 1), ("many", MANY + 1))]
    for row in rows:
        print(row)
    write_results("check", rows)


def specs(folder: Path) -> tuple[Path, Path]:
    """Return a spec, and a folder that holds it and many others of the same kind."""
    many = folder / "specs"
    one = example("digits", many)
    text = one.read_text(encoding="utf-8")
    for number in range(MANY):
        changed = text.replace("51 KiB", f"{51 + number % 40} KiB")
        (many / f"digits{number}.hawq").write_text(changed, encoding="utf-8")
    return one, many


def forget(folder: Path) -> None:
    """Remove what is remembered of specs."""
    shutil.rmtree(folder / "cache" / "checks", ignore_errors=True)


def nothing() -> None:
    """Leave everything as it is."""


def touch(path: Path) -> None:
    """Make a file look changed."""
    path.touch()
    time.sleep(0.2)


def measured(
    path: Path, environment: Mapping[str, str], times: int, before: Callable[[], None]
) -> dict[str, Any]:
    """Return the median and the least of several runs, in seconds; ``before`` each is not counted."""
    check(path, environment)
    seconds: list[float] = []
    for _ in range(times):
        before()
        seconds.append(check(path, environment))
    return {"median": round(statistics.median(seconds), 3), "least": round(min(seconds), 3)}


def check(path: Path, environment: Mapping[str, str]) -> float:
    """Return how long one check takes."""
    command = [sys.executable, "-m", "hawqlang", "check", str(path), "--format", "json"]
    begin = time.perf_counter()
    done = subprocess.run(command, env=environment, capture_output=True, check=False)  # noqa: S603
    seconds = time.perf_counter() - begin
    if done.returncode != 0:
        sys.exit(done.stderr.decode())
    return seconds


if __name__ == "__main__":
    main()
