"""Training after quantization: what each method reaches on ResNet20 for CIFAR-10, as an integer library, in one table.

    python benchmarks/finetune.py [--data FOLDER] [--rows binary binary-straight …] [--epochs N] [--out FOLDER]

FOLDER (default: the environment variable HAWQ_DATA) holds the real weights and images that ``specs/examples`` name.
Trained on 5,085 training images, each row is evaluated on the same 4,500 test images that went through JPEG: lower in
level, but with a smaller error of the paired difference. First and last layer have 8 bits and 32-bit sums. The rows
``…-straight`` have the same levels as those of ``mean_field``, trained straight through (BinaryConnect, ternary weight
networks); a spec cannot ask for that, so they are made from the library. Each row runs in a process of its own, one
after the other; what was trained before, also in part, comes from the cache. Rows that were not asked for keep what
``results/finetune.json`` has of them.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import resource
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from common import RESULTS, ROOT, forget, show, write_results

SPEC = """hawq 1
param data: string
param train: string

model resnet20 {
  source  = zoo("cifar_resnet20")
  weights = file(data + "/weights/cifar10_resnet20.pt")
  input   = image(32, 32, mean = [0.485, 0.456, 0.406], std = [0.229, 0.224, 0.225])
}

dataset cifar10 {
  calibration = arrays(data + "/cifar10/train_calib2000.npz", images = "images", labels = "labels", count = 512)
  training    = arrays(train, images = "images", labels = "labels")
  evaluation  = arrays(data + "/cifar10/test_jpeg_dev4500.npz", images = "images", labels = "labels")
}

target host {
  device = cpu.x86_64
}

quantize resnet20 on host with cifar10 as trained {
  precision   = PRECISION
  finetune    = METHOD
  accumulator = SUMS

  layer first, last {
    precision   = w8a8
    accumulator = int32
  }

  emit tvm, card
}
"""

PARTS = ("train_calib2000", "train_extra3085")


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table."""

    precision: str
    epochs: int
    method: str
    """As a spec says it, ``EPOCHS`` for their number."""
    accumulator: str = "int32"
    straight: bool = False
    """Levels are trained straight through instead."""


BINARY = "mean_field(levels = [-1, 1], epochs = EPOCHS, distill = true)"
TERNARY = "mean_field(levels = [-1, 0, 1], epochs = EPOCHS, distill = true)"
NARROW = "overflow_aware(epochs = EPOCHS, distill = true)"

ROWS = {
    "w4a4": Row("w4a4", 0, "none"),
    "w4a4-qat": Row("w4a4", 2, "qat(epochs = EPOCHS, distill = true)"),
    "binary": Row("w1a8", 8, BINARY),
    "binary-straight": Row("w1a8", 8, BINARY, straight=True),
    "ternary": Row("w2a8", 4, TERNARY),
    "ternary-straight": Row("w2a8", 4, TERNARY, straight=True),
    "w4a4-int16": Row("w4a4", 1, NARROW, "int16"),
    "w4a8-int16": Row("w4a8", 6, NARROW, "int16"),
}


def images(data: Path, out: Path) -> Path:
    """Return the file of all training images."""
    path = out / "train.npz"
    if not path.is_file():
        parts = [np.load(data / "cifar10" / f"{part}.npz") for part in PARTS]
        pixels, labels = (np.concatenate([p[k] for p in parts]) for k in ("images", "labels"))
        np.savez(path, images=pixels, labels=labels)
    return path


def percent(share: float | None) -> float:
    """Return a share in percent; not a number where it is not known."""
    return math.nan if share is None else 100 * share


def measure(name: str, epochs: int, data: Path, out: Path) -> dict[str, Any]:
    """Build and evaluate one row in this process."""
    from hawqlang.cache import Cache
    from hawqlang.pipeline import compile_build
    from hawqlang.resources import cache_dir
    from hawqlang.session import Session
    from hawqlang.stages.resolve import resolve_file

    row = ROWS[name]
    path = out / f"{name}.hawq"
    text = SPEC.replace("PRECISION", row.precision).replace("SUMS", row.accumulator)
    path.write_text(text.replace("METHOD", row.method.replace("EPOCHS", str(epochs))), "utf-8")
    forget(path)
    given = {"data": str(data), "train": str(images(data, out))}
    spec, found = resolve_file(path, overrides=given)
    if spec is None:
        sys.exit("\n".join(one.message for one in found))
    build = spec.builds[0]
    if row.straight and build.finetune is not None:
        build = build.replace(finetune=build.finetune.replace(method="qat"))
    session = Session(Cache(cache_dir()))
    begin = time.process_time()
    made = compile_build(
        spec, build, out / name, session, lambda one: print(one.message, file=sys.stderr)
    )
    spent = time.process_time() - begin
    result, training = made.realised.evaluation, made.realised.tuning.training
    if result is None:
        sys.exit("not evaluated")
    return {
        "row": name,
        "precision": row.precision,
        "accumulator": row.accumulator,
        "epochs": epochs,
        "best": 0 if training is None else training.best,
        "n": result.n,
        "fp32": percent(result.fp32_accuracy),
        "top1": percent(result.accuracy),
        "difference": -percent(result.drop),
        "stderr": percent(result.drop_stderr),
        "agreement": percent(result.agreement),
        "weights_KiB": dict(made.plan.metrics)["size_bytes"] / 1024,
        "losses": [] if training is None else [round(e, 3) for e in training.errors],
        "tune_s": session.seconds.get("tune", 0.0),
        "cpu_s": spent,
        "peak_MiB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def known() -> dict[str, dict[str, Any]]:
    """Return the rows of the last results."""
    path = RESULTS / "finetune.json"
    text = path.read_text("utf-8") if path.is_file() else '{"rows": []}'
    rows: list[dict[str, Any]] = json.loads(text)["rows"]
    return {row["row"]: row for row in rows}


def main() -> None:
    """Build and evaluate what is asked for, and write ``results/finetune.json``."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    folder = os.environ.get("HAWQ_DATA")
    parser.add_argument("--data", type=Path, default=folder, required=folder is None)
    parser.add_argument("--rows", nargs="+", choices=ROWS, default=list(ROWS))
    parser.add_argument("--epochs", type=int, help="instead of each row's own")
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "benchmarks" / "finetune")
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    data, out = Path(options.data).resolve(), options.out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    for name in options.rows:
        epochs = ROWS[name].epochs if options.epochs is None else options.epochs
        if options.here:
            print(json.dumps(measure(name, epochs, data, out)))
            continue
        command = [sys.executable, __file__, "--here", "--rows", name, "--epochs", str(epochs)]
        command += ["--data", str(data), "--out", str(out)]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)  # noqa: S603 - this very file
        found = known() | {name: json.loads(done.stdout)}
        rows = [found[one] for one in ROWS if one in found]
        show([{k: v for k, v in row.items() if k != "losses"} for row in rows])
        print(f"wrote {write_results('finetune', rows)}", flush=True)


if __name__ == "__main__":
    main()
