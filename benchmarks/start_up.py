"""Time and memory from the start of a process to its first result, beside ONNX Runtime.

    python benchmarks/start_up.py [--net resnet18] [--artifact FOLDER] [--rounds 15] [--work FOLDER]

Every round starts every program once, each as a process of its own on one pinned core, with the files in the page
cache. The clock runs until the first class is printed; memory is the process's peak, with what it maps of files.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from common import ROOT, hawqc, show, write_results
from nets import NETS, Net
from networks import IMAGES, export, quantized

MIB = 2**10
"""``ru_maxrss`` counts KiB."""
NOTHING = "print(0)"
PLAIN = """
from hawq_runtime import Model
with Model('.') as model, open('image', 'rb') as file:
    logits = model.run(file.read()).tolist()[0]
print(logits.index(max(logits)))
"""
NUMPY = """
import numpy as np
from hawq_runtime import Model
with Model('.') as model:
    print(model.run(np.fromfile('image', dtype=np.uint8).reshape(1, *model.input_shape)).argmax())
"""
ONNX = """
import numpy as np, onnxruntime as ort
options = ort.SessionOptions()
options.intra_op_num_threads = 1
session = ort.InferenceSession('{path}', options, providers=['CPUExecutionProvider'])
print(session.run(None, {{'image': np.load('float.npy')}})[0].argmax())
"""


@dataclass(frozen=True, slots=True)
class Start:
    """One process: seconds to its first line, peak memory."""

    seconds: float
    rss_mib: float


def started(command: Sequence[str], folder: Path) -> Start:
    """Return what one fresh process took; ``SystemExit`` where it fails."""
    begin = time.perf_counter()
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE) as process:  # noqa: S603 - our own programs
        lines = iter(process.stdout or ())
        line = next(lines, b"")
        seconds = time.perf_counter() - begin
        for _ in lines:
            pass
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0 or not line:
        sys.exit(f"{' '.join(command)} failed")
    return Start(seconds, usage.ru_maxrss / MIB)


def library(net: Net, work: Path) -> Path:
    """Return the folder of a network's library, built."""
    folder = work / net.name
    net.write_files(folder, IMAGES)
    spec = folder / f"{net.name}.hawq"
    spec.write_text(net.spec("w8a8", folder), encoding="utf-8")
    return Path(hawqc("build", spec, "--out", folder / "build")["builds"][0]["dir"]) / "tvm"


def rival(net: Net, work: Path) -> Path:
    """Return the network in ONNX Runtime's int8."""
    folder = work / net.name
    net.write_files(folder, IMAGES)
    return quantized(export(net, folder), net.preprocess(np.load(folder / "calibration.npz")["x"]))


def programs(net: Net, own: Path, onnx: Path, folder: Path) -> dict[str, list[str]]:
    """Write what the programs need into ``folder`` and return their commands."""
    for name in ("model.so", "weights.bin", "hawq_runtime.py", "hawq_runtime.h", "example.cpp"):
        shutil.copy(own / name, folder)
    pixels = net.images(1, seed=2)
    (folder / "image").write_bytes(pixels.tobytes())
    np.save(folder / "float.npy", net.preprocess(pixels))
    compiler = [os.environ.get("CXX", "c++"), "-std=c++17", "-O2", "-I.", "example.cpp", "model.so"]
    subprocess.run(  # noqa: S603 - the bundle's own example
        [*compiler, "-Wl,-rpath,$ORIGIN", "-o", "example"], cwd=folder, check=True
    )
    python = [sys.executable, "-c"]
    return {
        "hawqc from C++": ["./example", "image"],
        "hawqc from Python": [*python, PLAIN],
        "hawqc from Python with NumPy": [*python, NUMPY],
        "onnxruntime int8 from Python": [*python, ONNX.format(path=onnx)],
        "Python alone": [*python, NOTHING],
    }


def row(name: str, starts: Sequence[Start]) -> dict[str, Any]:
    """Return the result of one program."""
    milliseconds = [1e3 * start.seconds for start in starts]
    return {
        "program": name,
        "median_ms": float(np.median(milliseconds)),
        "least_ms": min(milliseconds),
        "peak_rss_mib": float(np.median([start.rss_mib for start in starts])),
        "runs": len(starts),
    }


def main() -> None:
    """Measure one network and write ``results/start_up.json``."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--net", choices=sorted(NETS), default="resnet18")
    parser.add_argument("--artifact", type=Path, help="a folder with its library, built before")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--work", type=Path, default=ROOT / "build" / "benchmarks")
    options = parser.parse_args()
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    net, work = NETS[options.net], options.work.resolve()
    own = options.artifact.resolve() if options.artifact else library(net, work)
    folder = work / "start_up"
    folder.mkdir(parents=True, exist_ok=True)
    commands = programs(net, own, rival(net, work), folder)
    starts: dict[str, list[Start]] = {name: [] for name in commands}
    for _ in range(options.rounds):
        for name, command in commands.items():
            starts[name].append(started(command, folder))
    rows = [{"net": net.name, **row(name, found)} for name, found in starts.items()]
    show(rows)
    print(f"wrote {write_results('start_up', rows)}")


if __name__ == "__main__":
    main()
