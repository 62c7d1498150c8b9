"""One case of `cpu.py`: programs as processes of their own that are timed in turns.

Every program waits without spinning while another one runs; every round times each of them a few times, after one run
that brings its data back into the caches. What a case needs (artifact, ONNX file, int8 networks of the rivals, float
logits) is made by ``prepare`` and found again.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import threading
import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from common import ROOT, hawqc
from nets import Net

HERE = Path(__file__).resolve().parent
IMAGES = 8
"""Images whose logits are compared."""
TIMES = 5
"""Timed runs of a program per round."""
ROUNDS = 3
"""At least, however long they take."""
PATIENCE = 180.0
"""Seconds after which a program that does not answer is ended."""
ONEDNN = {"vnni": "AVX512_CORE_VNNI", "avxvnni": "AVX2_VNNI", "avx2": "AVX2", "amx": "DEFAULT"}
"""What OpenVINO's kernels are limited to, by instruction set."""
OWN = "hawqc"
RIVALS = (("openvino", "int8"), ("openvino", "default"), ("onnxruntime", "int8"))
INCLUDES: Mapping[str, str] = {
    OWN: "uint8 pixels in, normalization, int32 logits out; Python call through ctypes",
    "openvino int8": "NNCF's defaults; float32 tensor in, normalized before, float32 out; Python call",
    "openvino default": "the precision it chooses by itself; float32 in and out, normalized before; Python call",
    "onnxruntime int8": "static QDQ, uint8 activations, int8 weights per channel; float32 in and out,"
    " normalized before; Python call",
}
"""What the time of each program includes."""


@dataclass(frozen=True, slots=True)
class Case:
    """What is measured together."""

    net: Net
    isa: str
    """Empty: the best that each program finds."""
    batch: int
    threads: int
    folder: Path
    """Of the network."""

    @property
    def key(self) -> dict[str, Any]:
        """Return what tells a case from others, as rows have it."""
        own = {"net": self.net.name, "isa": self.isa or "best"}
        return own | {"batch": self.batch, "threads": self.threads}

    @property
    def artifact(self) -> Path:
        """Return where the compiler writes."""
        return self.folder / f"build-{self.batch}" / self.net.name

    @property
    def library(self) -> Path:
        """Return the folder of the library."""
        manifest = json.loads((self.artifact / "manifest.json").read_text(encoding="utf-8"))
        return self.artifact / manifest["backends"][0]["folder"]

    def array(self, name: str) -> Path:
        """Return the file of an array that depends on the batch."""
        return self.folder / f"{name}-{self.batch}.npy"


class NoAnswerError(Exception):
    """A program ended or said nothing in time."""


@dataclass(slots=True)
class Program:
    """A process that runs one program, and what was measured of it."""

    name: str
    process: subprocess.Popen[str]
    words: str = ""
    times: list[float] = field(default_factory=list[float])

    def ask(self, line: str) -> Any:
        """Return the answer to one line."""
        if self.process.stdin is None:
            raise NoAnswerError(self.name)
        try:
            self.process.stdin.write(line + "\n")
            self.process.stdin.flush()
        except BrokenPipeError as error:
            raise NoAnswerError(f"{self.name} ended") from error
        return self.answer()

    def answer(self) -> Any:
        """Return the next line that is JSON; what a library prints beside it is passed over."""
        if self.process.stdout is None:
            raise NoAnswerError(self.name)
        watch = threading.Timer(PATIENCE, self.process.kill)
        watch.start()
        try:
            for line in self.process.stdout:
                if line.startswith(("[", '"')):
                    return json.loads(line)
        finally:
            watch.cancel()
        raise NoAnswerError(f"{self.name} ended with status {self.process.wait()}")

    def close(self) -> None:
        """End the process."""
        if self.process.stdin is not None:
            self.process.stdin.close()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def prepare(case: Case, precision: str, python: str) -> list[str]:
    """Make everything a case needs that is not there yet; return what could not be made.

    Raises:
        SystemExit: the compiler refuses the network.
    """
    net, folder = case.net, case.folder
    net.write_files(folder)
    _build(case, precision)
    pixels = net.images(IMAGES, seed=2)
    batch = np.resize(pixels, (case.batch, *pixels.shape[1:]))
    for name, data in (
        ("pixels", batch),
        ("floats", net.preprocess(batch)),
        ("codes", pixels),
        ("images", net.preprocess(pixels)),
        ("calibration", net.preprocess(np.load(folder / "calibration.npz")["x"])),
    ):
        np.save(case.array(name), data)
    if not case.array("logits").exists():
        np.save(case.array("logits"), _float_logits(case))
    for size in dict.fromkeys((1, case.batch)):
        net.export(folder, size)
    failed: list[str] = []
    for engine, kind in RIVALS:
        if kind != "int8":
            continue
        command = [*_command(python, _job(case, engine, kind)), "prepare"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - our own program
        if done.returncode:
            failed.append(f"{engine} {kind}: {done.stderr.strip()}")
    return failed


def _build(case: Case, precision: str) -> None:
    """Build the artifact, unless the same compiler has built it from the same spec."""
    spec = case.folder / f"{case.net.name}-{case.batch}.hawq"
    text = case.net.spec(precision, case.folder, case.batch)
    stamp, mark = _stamp(text), case.folder / f"build-{case.batch}.stamp"
    if mark.exists() and mark.read_text(encoding="utf-8") == stamp and case.artifact.exists():
        return
    spec.write_text(text, encoding="utf-8")
    hawqc("build", spec, "--out", case.artifact.parent)
    mark.write_text(stamp, encoding="utf-8")


def _stamp(text: str) -> str:
    """Return a digest of a spec and of the compiler's own files."""
    h = hashlib.sha256(text.encode())
    for folder in ("hawqlang", "codegen", "templates"):
        for path in sorted((ROOT / folder).rglob("*")):
            if path.is_file() and path.suffix != ".pyc":
                h.update(str(path.relative_to(ROOT)).encode() + path.read_bytes())
    return h.hexdigest()


def _float_logits(case: Case) -> npt.NDArray[Any]:
    """Return the float network's logits of the compared images."""
    module = case.net.make()
    state = torch.load(case.folder / f"{case.net.name}.pt", weights_only=True)
    module.load_state_dict(state)
    with torch.no_grad():
        return module.eval()(torch.from_numpy(np.load(case.array("images")))).numpy()


def _job(case: Case, engine: str, precision: str) -> Path:
    """Return the file that tells a process what to run."""
    own = engine == OWN
    batch = "" if case.batch == 1 else f".b{case.batch}"
    job = {
        "engine": engine,
        "precision": precision,
        "batch": case.batch,
        "threads": case.threads,
        "isa": case.isa,
        "onnx": str(case.folder / f"{case.net.name}{batch}.onnx"),
        "single": str(case.folder / f"{case.net.name}.onnx"),
        "pixels": str(case.array("pixels")),
        "floats": str(case.array("floats")),
        "images": str(case.array("codes" if own else "images")),
        "calibration": str(case.array("calibration")),
        "library": str(case.library) if own else "",
    }
    name = f"job-{case.isa or 'best'}-{case.batch}-{case.threads}-{engine}-{precision}.json"
    path = case.folder / name
    path.write_text(json.dumps(job), encoding="utf-8")
    return path


def _command(python: str, job: Path) -> list[str]:
    return [python, str(HERE / "rivals.py"), str(job)]


def _start(case: Case, engine: str, precision: str, python: str) -> Program:
    """Return a started program that is ready."""
    limit = {"ONEDNN_MAX_CPU_ISA": ONEDNN[case.isa]} if case.isa else {}
    job = _job(case, engine, precision)
    said = job.with_suffix(".log")
    with said.open("w", encoding="utf-8") as errors:
        process = subprocess.Popen(  # noqa: S603 - this project's own program
            _command(python, job),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            env={**os.environ, **limit},
        )
    program = Program(f"{engine} {precision}".strip(), process)
    try:
        program.answer()
        program.words = program.ask("words")
    except NoAnswerError as error:
        program.close()
        lines = said.read_text(encoding="utf-8", errors="replace").split("\n")
        words = " ".join(line.strip() for line in lines[-4:] if line.strip())
        raise NoAnswerError(f"{error}: {words}") from error
    return program


@contextmanager
def _running(case: Case, python: str, failed: list[str]) -> Generator[list[Program]]:
    """Give every program of a case; a rival that does not run is left out and named."""
    found: list[Program] = []
    try:
        found.append(_start(case, OWN, "", python))
        for engine, precision in RIVALS:
            if not _limited(engine, case.isa):
                continue
            try:
                found.append(_start(case, engine, precision, python))
            except NoAnswerError as error:
                failed.append(str(error))
        yield found
    finally:
        for program in found:
            program.close()


def _limited(engine: str, isa: str) -> bool:
    """Return whether an engine can be held to an instruction set; ONNX Runtime takes the best it finds."""
    if engine != "onnxruntime" or not isa:
        return True
    flags = Path("/proc/cpuinfo").read_text(encoding="utf-8").partition("\n\n")[0].split()
    best = "amx" if "amx_int8" in flags else "vnni" if "avx512_vnni" in flags else "avx2"
    return isa == best


def measure(case: Case, python: str, seconds: float, failed: list[str]) -> list[dict[str, Any]]:
    """Return a row per program of one prepared case.

    Raises:
        NoAnswerError: the artifact does not run.
    """
    reference = np.load(case.array("logits"))
    with _running(case, python, failed) as running:
        logits = {program.name: np.array(program.ask("logits")) for program in running}
        end, rounds = time.monotonic() + seconds, 0
        while rounds < ROUNDS or time.monotonic() < end:
            for program in running:
                program.times += program.ask(f"time {TIMES}")
            rounds += 1
    rivals = [_median(program) for program in running[1:]]
    best = min(rivals, default=float("nan"))
    return [
        case.key
        | {
            "program": program.name,
            "words": program.words,
            "median_ms": _median(program),
            "iqr_ms": float(np.subtract(*np.percentile(program.times, [75, 25]))),
            "min_ms": min(program.times),
            "of_hawqc": _median(program) / _median(running[0]),
            "of_best_rival": _median(program) / best,
            "runs": len(program.times),
            "cosine": _cosine(logits[program.name], reference),
            "load": os.getloadavg()[0],
        }
        for program in running
    ]


def _median(program: Program) -> float:
    return float(np.median(program.times))


def _cosine(a: npt.NDArray[Any], b: npt.NDArray[Any]) -> float:
    """Return the mean cosine between rows, each taken about its mean."""
    a, b = (x - x.mean(axis=1, keepdims=True) for x in (a.astype(float), b.astype(float)))
    norms = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    return float(((a * b).sum(axis=1) / norms).mean())


def table(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return a line per case: every program's median, and how many times faster hawqc is than the best rival."""
    cases: dict[tuple[Any, ...], dict[str, Any]] = {}
    for row in rows:
        key = tuple(row[name] for name in ("net", "isa", "batch", "threads"))
        cases.setdefault(key, {})[row["program"]] = row
    lines: list[dict[str, Any]] = []
    for key, found in cases.items():
        line: dict[str, Any] = dict(zip(("net", "isa", "batch", "threads"), key, strict=True))
        for name in INCLUDES:
            line[f"{name} ms"] = found[name]["median_ms"] if name in found else float("nan")
        own = found.get(OWN)
        line["faster than best rival"] = 1 / own["of_best_rival"] if own else float("nan")
        lines.append(line)
    return lines
