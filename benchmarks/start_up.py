"""Time and memory from the start of a process to its first result, beside ONNX Runtime.

    python benchmarks/start_up.py [--net resnet18] [--library FOLDER] [--rounds 15] [--work FOLDER]

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
"""The kernel counts memory in KiB."""
C_PLUS_PLUS = """
#include <algorithm>
#include <cstdio>
#include <fstream>
#include <iostream>
#include <iterator>
#include <string>
#include "hawq_runtime.h"

int main()
{
    std::ifstream file("image", std::ios::binary);
    const std::vector<char> image{std::istreambuf_iterator<char>(file), {}};
    hawq::Model model;
    const auto logits = model.run(reinterpret_cast<const std::uint8_t *>(image.data()), image.size());
    std::printf("%td\\n", std::max_element(logits.begin(), logits.end()) - logits.begin());
    std::fflush(stdout);
    std::ifstream status("/proc/self/status");
    std::cout << status.rdbuf();
}
"""
PEAK = """
sys.stdout.flush()
print(open('/proc/self/status').read())
"""
"""Memory since the program began: what the system counts for a child includes its parent's before."""
NOTHING = "import sys; print(0)"
PLAIN = """
import sys
from hawq_runtime import Model
with Model('.') as model, open('image', 'rb') as file:
    logits = model.run(file.read()).tolist()[0]
print(logits.index(max(logits)))
"""
NUMPY = """
import sys
import numpy as np
from hawq_runtime import Model
with Model('.') as model:
    print(model.run(np.fromfile('image', dtype=np.uint8).reshape(1, *model.input_shape)).argmax())
"""
ONNX = """
import sys
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
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603 - our own
        lines = iter(process.stdout or ())
        first = next(lines, "")
        seconds = time.perf_counter() - begin
        peak = [line.split()[1] for line in lines if line.startswith("VmHWM")]
    if process.returncode != 0 or not first or not peak:
        sys.exit(f"{' '.join(command)} failed")
    return Start(seconds, int(peak[0]) / MIB)


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


def programs(
    net: Net, own: Path, onnx: Path, folder: Path, under: Sequence[str]
) -> dict[str, list[str]]:
    """Write what the programs need into ``folder`` and return their commands."""
    for name in ("model.so", "weights.bin", "hawq_runtime.py", "hawq_runtime.h"):
        shutil.copy(own / name, folder)
    pixels = net.images(1, seed=2)
    (folder / "image").write_bytes(pixels.tobytes())
    np.save(folder / "float.npy", net.preprocess(pixels))
    (folder / "first.cpp").write_text(C_PLUS_PLUS, encoding="utf-8")
    compiler = [os.environ.get("CXX", "c++"), "-std=c++17", "-O2", "-I.", "first.cpp", "model.so"]
    subprocess.run(  # noqa: S603 - our own program
        [*compiler, "-Wl,-rpath,$ORIGIN", "-o", "first"], cwd=folder, check=True
    )
    python = [*under, sys.executable, "-c"]
    return {
        "hawqc from C++": [*under, "./first"],
        "hawqc from Python": [*python, PLAIN + PEAK],
        "hawqc from Python with NumPy": [*python, NUMPY + PEAK],
        "onnxruntime int8 from Python": [*python, ONNX.format(path=onnx) + PEAK],
        "Python alone": [*python, NOTHING + PEAK],
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
    parser.add_argument("--library", type=Path, help="its folder, where it was built before")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument(
        "--under", default="", help="what starts every process, such as 'chrt -f 20'"
    )
    parser.add_argument("--work", type=Path, default=ROOT / "build" / "benchmarks")
    options = parser.parse_args()
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    net, work = NETS[options.net], options.work.resolve()
    own = options.library.resolve() if options.library else library(net, work)
    folder = work / "start_up"
    folder.mkdir(parents=True, exist_ok=True)
    commands = programs(net, own, rival(net, work), folder, options.under.split())
    starts: dict[str, list[Start]] = {name: [] for name in commands}
    for _ in range(options.rounds):
        for name, command in commands.items():
            starts[name].append(started(command, folder))
    rows = [{"net": net.name, **row(name, found)} for name, found in starts.items()]
    show(rows)
    print(f"wrote {write_results('start_up', rows)}")


if __name__ == "__main__":
    main()
