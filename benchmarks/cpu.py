"""Latency of artifacts beside OpenVINO and ONNX Runtime, interleaved in one run, and where the time goes.

    python benchmarks/cpu.py --rivals ENVIRONMENT/bin/python [--nets resnet18 …] [--isas vnni avx2]
                             [--batch 1 8] [--threads 1] [--seconds 20] [--layers]

Every program is a process of its own, on the same cores, that waits without spinning while another
one runs; every round times each of them a few times, after one run that brings its data back into
the caches. Look at ratios within a run, never at milliseconds of different runs.

What a time includes: each runtime's own Python call. ``hawqc`` is given uint8 pixels and normalizes
them itself; the others are given the finished float32 tensor, so that their time has no conversion
in it. OpenVINO's int8 comes from NNCF's defaults, ONNX Runtime's from static quantization (QDQ,
uint8 activations, int8 weights per channel). ``--isas avx2`` also limits OpenVINO, by
``ONEDNN_MAX_CPU_ISA``; ONNX Runtime cannot be limited and is left out there. Weights are random:
the cosine between a program's logits and the float network's shows that all ran the same network.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from common import ROOT, hawqc, show, write_results
from layers import layer_rows, share_rows
from nets import NETS, Net

HERE = Path(__file__).resolve().parent
IMAGES = 8
"""Images whose logits are compared."""
TIMES = 5
"""Timed runs of a program per round."""
ONEDNN = {"vnni": "AVX512_CORE_VNNI", "avxvnni": "AVX2_VNNI", "avx2": "AVX2", "amx": "DEFAULT"}
"""What OpenVINO's kernels are limited to, by instruction set."""
OWN = "hawqc"


@dataclass(slots=True)
class Program:
    """A process that runs one program, and what was measured of it."""

    name: str
    process: subprocess.Popen[str]
    times: list[float] = field(default_factory=list[float])

    def ask(self, line: str) -> Any:
        """Return the answer to one line."""
        if self.process.stdin is None or self.process.stdout is None:
            raise BrokenPipeError(self.name)
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        return self.answer()

    def answer(self) -> Any:
        """Return the next line that is JSON; what a library prints beside it is passed over."""
        if self.process.stdout is None:
            raise BrokenPipeError(self.name)
        for line in self.process.stdout:
            if line.startswith(("[", '"')):
                return json.loads(line)
        raise BrokenPipeError(f"{self.name} ended with status {self.process.wait()}")

    def close(self) -> None:
        """End the process."""
        if self.process.stdin is not None:
            self.process.stdin.close()
        self.process.wait()


@dataclass(frozen=True, slots=True)
class Case:
    """What is measured together."""

    net: Net
    isa: str
    batch: int
    threads: int
    library: Path
    work: Path


def start(
    name: str, job: dict[str, Any], python: str, case: Case, environment: dict[str, str]
) -> Program:
    """Return a started program that is ready; its int8 network is made first where it is absent."""
    path = case.work / f"job-{name.replace(' ', '-')}.json"
    path.write_text(json.dumps(job), encoding="utf-8")
    command = [python, str(HERE / "rivals.py"), str(path)]
    quiet = {"stderr": subprocess.DEVNULL, "env": {**os.environ, **environment}}
    subprocess.run([*command, "prepare"], stdout=subprocess.DEVNULL, check=True, **quiet)  # noqa: S603 - this project's own program
    process = subprocess.Popen(  # noqa: S603 - this project's own program
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, **quiet
    )
    program = Program(name, process)
    program.answer()
    return program


def programs(case: Case, python: str) -> list[Program]:
    """Return every program of a case, started; a rival that does not run is left out and named."""
    files = {
        key: str(case.work / f"{key}.npy") for key in ("pixels", "floats", "images", "calibration")
    }
    net = case.net
    pixels = net.images(IMAGES, seed=2)
    batch = np.resize(pixels, (case.batch, *pixels.shape[1:]))
    np.save(files["pixels"], batch)
    np.save(files["floats"], net.preprocess(batch))
    np.save(files["images"], net.preprocess(pixels))
    np.save(case.work / "codes.npy", pixels)
    calibration = np.load(case.work.parent / "calibration.npz")["x"]
    np.save(files["calibration"], net.preprocess(calibration))
    onnx = net.export(case.work.parent, case.batch)
    common = {**files, "batch": case.batch, "threads": case.threads, "onnx": str(onnx), "isa": ""}
    own = {**common, "images": str(case.work / "codes.npy"), "isa": case.isa}
    own |= {"engine": "hawqc", "precision": "", "library": str(case.library)}
    limit = {"ONEDNN_MAX_CPU_ISA": ONEDNN[case.isa]} if case.isa else {}
    found = [start(OWN, own, python, case, {})]
    rivals = [("openvino", "int8"), ("openvino", "default")]
    if case.isa in ("", "vnni", "amx"):
        rivals.append(("onnxruntime", "int8"))
    for engine, precision in rivals:
        job = {**common, "engine": engine, "precision": precision}
        try:
            found.append(start(f"{engine} {precision}", job, python, case, limit))
        except (BrokenPipeError, subprocess.CalledProcessError) as error:
            print(f"{case.net.name}: left out, it does not run: {error}")
    return found


def measure(case: Case, python: str, seconds: float) -> list[dict[str, Any]]:
    """Return a row per program of one case."""
    running = programs(case, python)
    reference = float_logits(case)
    found = {program.name: np.array(program.ask("logits")) for program in running}
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        for program in running:
            program.times += program.ask(f"time {TIMES}")
    for program in running:
        program.close()
    base = float(np.median(running[0].times))
    best = min(float(np.median(program.times)) for program in running[1:])
    return [
        {
            "net": case.net.name,
            "isa": case.isa or "best",
            "batch": case.batch,
            "threads": case.threads,
            "program": program.name,
            "median_ms": float(np.median(program.times)),
            "iqr_ms": float(np.subtract(*np.percentile(program.times, [75, 25]))),
            "min_ms": min(program.times),
            "of_hawqc": float(np.median(program.times)) / base,
            "of_best_rival": float(np.median(program.times)) / best,
            "runs": len(program.times),
            "cosine": cosine(found[program.name], reference),
        }
        for program in running
    ]


def float_logits(case: Case) -> npt.NDArray[Any]:
    """Return the float network's logits of the compared images."""
    module = case.net.make()
    state = torch.load(case.work.parent / f"{case.net.name}.pt", weights_only=True)
    module.load_state_dict(state)
    with torch.no_grad():
        return module.eval()(torch.from_numpy(np.load(case.work / "images.npy"))).numpy()


def cosine(a: npt.NDArray[Any], b: npt.NDArray[Any]) -> float:
    """Return the mean cosine between rows, each taken about its mean."""
    a, b = (x - x.mean(axis=1, keepdims=True) for x in (a.astype(float), b.astype(float)))
    norms = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    return float(((a * b).sum(axis=1) / norms).mean())


def built(net: Net, precision: str, folder: Path) -> Path:
    """Return the artifact of a network, built by the compiler."""
    net.write_files(folder)
    spec = folder / f"{net.name}.hawq"
    spec.write_text(net.spec(precision, folder), encoding="utf-8")
    answer = hawqc("build", spec, "--out", folder / "build")
    return Path(answer["builds"][0]["dir"])


def library_folder(artifact: Path) -> Path:
    """Return where an artifact's library lies."""
    manifest = json.loads((artifact / "manifest.json").read_text(encoding="utf-8"))
    return artifact / manifest["backends"][0]["folder"]


def main() -> None:
    """Measure what is asked for and write ``results/cpu.json``, with ``--layers`` also ``results/layers.json``."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--nets", nargs="+", choices=sorted(NETS), default=list(NETS))
    parser.add_argument("--isas", nargs="+", choices=["", *ONEDNN], default=[""])
    parser.add_argument("--batch", nargs="+", type=int, default=[1])
    parser.add_argument("--threads", nargs="+", type=int, default=[1])
    parser.add_argument("--precision", default="w8a8")
    parser.add_argument("--seconds", type=float, default=20.0, help="per case")
    parser.add_argument(
        "--rivals", default=sys.executable, help="Python of the rivals' environment"
    )
    parser.add_argument("--layers", action="store_true", help="also show where the time goes")
    parser.add_argument("--work", type=Path, default=ROOT / "build" / "benchmarks")
    options = parser.parse_args()
    torch.set_num_threads(1)
    cores = sorted(os.sched_getaffinity(0))
    rows: list[dict[str, Any]] = []
    layers: list[dict[str, Any]] = []
    for name in options.nets:
        folder = options.work.resolve() / name
        artifact = built(NETS[name], options.precision, folder)
        library = library_folder(artifact)
        for isa in options.isas:
            for threads in options.threads:
                os.sched_setaffinity(0, cores[-threads:])
                for batch in options.batch:
                    work = folder / f"{isa or 'best'}-{batch}"
                    work.mkdir(parents=True, exist_ok=True)
                    case = Case(NETS[name], isa, batch, threads, library, work)
                    rows += measure(case, options.rivals, options.seconds)
                if options.layers and threads == 1:
                    found = layer_rows(artifact, library, isa)
                    show(found)
                    layers += [{"net": name, **row} for row in found]
                    show(share_rows(found))
                os.sched_setaffinity(0, cores)
    show(rows)
    print(f"wrote {write_results('cpu', rows)}")
    if layers:
        print(f"wrote {write_results('layers', layers)}")


if __name__ == "__main__":
    main()
