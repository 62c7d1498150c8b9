"""What the benchmarks share: the compiler as a process, a description of the machine, results."""

from __future__ import annotations

import json
import math
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
EXAMPLES = ROOT / "specs" / "examples"
RESULTS = Path(__file__).resolve().parent / "results"
PACKAGES = ("hawqc", "apache-tvm", "torch", "numpy", "onnxruntime", "z3-solver")


def hawqc(*arguments: str | Path, environment: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Return what ``hawqc ARGUMENTS --format json`` prints; ``SystemExit`` when it fails."""
    command = [sys.executable, "-m", "hawqlang", *map(str, arguments), "--format", "json"]
    done = subprocess.run(  # noqa: S603 - this project's own program
        command,
        env={**os.environ, **(environment or {})},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)}\nended with status {done.returncode}:\n{done.stderr}")
    return json.loads(done.stdout)


def example(name: str, folder: Path) -> Path:
    """Return a copy of a shipped spec in ``folder``, with its files and without a lock: everything is measured."""
    folder.mkdir(parents=True, exist_ok=True)
    copy = folder / f"{name}.hawq"
    shutil.copyfile(EXAMPLES / copy.name, copy)
    if (EXAMPLES / name).is_dir():
        shutil.copytree(EXAMPLES / name, folder / name, dirs_exist_ok=True)
    forget(copy)
    return copy


def forget(spec: Path) -> None:
    """Remove the lock beside a spec: what it records would not be measured again."""
    Path(f"{spec}.lock").unlink(missing_ok=True)


def machine() -> dict[str, Any]:
    """Return what a number depends on beside the code: processor, system, versions, date."""
    versions: dict[str, str] = {}
    for name in PACKAGES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            versions[name] = "absent"
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M"),
        "cpu": _cpu_name(),
        "cpus": len(os.sched_getaffinity(0)),
        "threads_per_core": _threads_per_core(),
        "load": [round(one, 1) for one in os.getloadavg()],
        "system": platform.platform(),
        "python": platform.python_version(),
        "versions": versions,
        "commit": _commit(),
    }


def _cpu_name() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor()


def _threads_per_core() -> int:
    """Return how many of the system's CPUs share a core with the first; 1 where it does not say."""
    path = Path("/sys/devices/system/cpu/cpu0/topology/thread_siblings_list")
    try:
        text = path.read_text(encoding="utf-8").strip()
    except OSError:
        return 1
    spans = (part.partition("-") for part in text.split(","))
    return sum(int(last or first) - int(first) + 1 for first, _, last in spans)


def _commit() -> str:
    done = subprocess.run(
        ["git", "describe", "--always", "--dirty"],  # noqa: S607 - whichever git the user has
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout.strip()


def write_results(
    name: str, rows: Sequence[Mapping[str, Any]], about: Mapping[str, str] | None = None
) -> Path:
    """Write ``results/NAME.json`` with the machine's description and what the rows mean; return its path."""
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.json"
    lines = ",\n  ".join(json.dumps(_finite(row), allow_nan=False) for row in rows)
    words = "" if about is None else f' "about": {json.dumps(dict(about))},\n'
    text = f'{{\n "machine": {json.dumps(machine())},\n{words} "rows": [\n  {lines}\n ]\n}}\n'
    path.write_text(text, encoding="utf-8")
    return path


def _finite(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row with null where a number is not known."""
    unknown = {key for key, value in row.items() if isinstance(value, float) and math.isnan(value)}
    return {key: None if key in unknown else value for key, value in row.items()}


def show(rows: Sequence[Mapping[str, Any]]) -> None:
    """Print rows as a table; every row has the keys of the first."""
    if not rows:
        return
    cells = [[key, *(_text(row[key]) for row in rows)] for key in rows[0]]
    widths = [max(map(len, column)) for column in cells]
    for line in zip(*cells, strict=True):
        print("  ".join(text.rjust(width) for text, width in zip(line, widths, strict=True)))


def _text(value: object) -> str:
    return f"{value:.3f}" if isinstance(value, float) else str(value)
