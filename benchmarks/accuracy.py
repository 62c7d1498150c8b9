"""FP32 beside the integer library, on the same images: paired top-1 of the real networks.

    python benchmarks/accuracy.py --data FOLDER [--specs cifar_resnet20 squeezenet]

FOLDER holds the real weights and images that the specs of ``specs/examples`` name. The CIFAR
networks are also evaluated on the larger set of images that went through JPEG: lower in level,
but with a smaller error of the difference.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from common import ROOT, example, hawqc, show, write_results

SPECS = (
    "digits",
    "cifar_resnet20",
    "cifar_resnet20_mixed",
    "cifar_resnet20_zero_shot",
    "cifar_resnet32",
    "cifar_resnet44",
    "squeezenet",
    "mobilenet_v1",
)
JPEG = "cifar10/test_jpeg_dev4500.npz"


def measure(name: str, data: Path, out: Path) -> list[dict[str, Any]]:
    """Return a row per evaluation set for one spec."""
    spec = example(name, out / "specs")
    settings = ("--set", f"data={data}") if "param data" in spec.read_text("utf-8") else ()
    built = hawqc("build", spec, *settings, "--out", out)["builds"][0]
    metrics = built["plan"]["metrics"]
    sets: dict[str, tuple[str, ...]] = {"declared": ()}
    if name.startswith("cifar"):
        sets["jpeg"] = ("--data", str(data / JPEG))
    rows: list[dict[str, Any]] = []
    for label, arguments in sets.items():
        result = hawqc("eval", built["dir"], *arguments)
        rows.append(
            {
                "spec": name,
                "images": label,
                "n": result["n"],
                "fp32": 100 * result["fp32_accuracy"],
                "integer": 100 * result["accuracy"],
                "difference": 100 * (result["accuracy"] - result["fp32_accuracy"]),
                "agreement": 100 * result["agreement"],
                "size_kib": metrics["size_bytes"] / 1024,
            }
        )
    return rows


def main() -> None:
    """Build, evaluate and write ``results/accuracy.json``."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--specs", nargs="+", choices=SPECS, default=list(SPECS))
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "benchmarks" / "accuracy")
    options = parser.parse_args()
    rows: list[dict[str, Any]] = []
    for name in options.specs:
        rows += measure(name, options.data.resolve(), options.out.resolve())
    show(rows)
    print(f"wrote {write_results('accuracy', rows)}")


if __name__ == "__main__":
    main()
