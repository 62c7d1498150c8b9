"""FP32 beside the integer library and other tools, on the same images: paired top-1 of real networks.

    python benchmarks/accuracy.py [--data FOLDER] [--networks resnet20 squeezenet] [--budgets w8a8 w4a4]
        [--effort balanced best]

FOLDER (default: the environment variable HAWQ_DATA) holds the real weights and images that the specs of
``specs/examples`` name, and in ``peer_baselines.json`` what other tools reached on them. Each budget is built from the
declarations of the example spec: calibration images as there, none of which is evaluated. The CIFAR networks are
evaluated on images that went through JPEG: lower in level, but with a smaller error of the difference.

With ``--effort`` every row is measured at each of the given efforts, and the results are written to
``results/accuracy_effort.json``.
"""

from __future__ import annotations

import argparse
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common import EXAMPLES, ROOT, forget, hawqc, show, write_results

JPEG = "cifar10/test_jpeg_dev4500.npz"


@dataclass(frozen=True, slots=True)
class Network:
    """One network of the table."""

    spec: str
    """The example whose model and dataset it takes."""
    peers: str
    """What ``peer_baselines.json`` calls it."""
    wide: tuple[str, ...] = ("first", "last")
    """Layers that stay at 8 bits throughout the uniform budgets."""
    fixed: str = "first, last"
    """Layers that stay at 8 bits in the mixed ones."""
    images: str | None = None
    """Evaluation set instead of the spec's."""


NETWORKS = {
    "resnet20": Network("cifar_resnet20", "cifar10_resnet20", images=JPEG),
    "resnet32": Network("cifar_resnet32", "cifar10_resnet32", images=JPEG),
    "resnet44": Network("cifar_resnet44", "cifar10_resnet44", images=JPEG),
    "squeezenet": Network("squeezenet", "imagenet_squeezenet1_1", fixed="first"),
    "mobilenet": Network(
        "mobilenet_v1",
        "imagenet_mobilenet_v1_0.25_224",
        wide=("first", "last", "depthwise"),
        fixed="first",
    ),
}
UNIFORM = ("w8a8", "w4a8", "w4a4")
MIXED = {"mixed72": 72, "mixed58": 58}
"""Share of the 8-bit weights' size, in percent."""
PEERS = {"mixed72": ("mp72", "amp72", "eb5.8"), "mixed58": ("mp58", "amp58", "eb4.65")}
"""What the other tools call the same budgets."""


def block(network: Network, budget: str, effort: str | None) -> str:
    """Return the settings of a quantize block."""
    lines = [] if effort is None else [f"effort = {effort}"]
    if budget in MIXED:
        lines += [
            "precision = [w4a4, w4a8, w8a8]",
            "subject to {",
            f"fits: size <= {MIXED[budget]}% of size(w8a8)",
            f"ends: precision({network.fixed}) == w8a8",
            "}",
        ]
    else:
        lines.append(f"precision = {budget}")
        if budget != "w8a8":
            lines += [f"layer {', '.join(network.wide)} {{", "precision = w8a8", "}"]
    return "\n".join([*lines, "emit tvm, card"])


def written(name: str, budget: str, effort: str | None, folder: Path) -> Path:
    """Write the spec of one row and return its path."""
    network = NETWORKS[name]
    text = (EXAMPLES / f"{network.spec}.hawq").read_text("utf-8")
    declarations, _, rest = text.partition("\nquantize ")
    head = rest.split("{", 1)[0].split(" as ")[0].strip()
    path = folder / f"{name}_{budget}.hawq"
    body = block(network, budget, effort)
    path.write_text(
        f"{declarations}\nquantize {head} as {name}_{budget} {{\n{body}\n}}\n", encoding="utf-8"
    )
    forget(path)
    return path


def measure(
    name: str, budget: str, effort: str | None, options: argparse.Namespace
) -> dict[str, Any]:
    """Return the row of one network at one budget."""
    data, out = options.data.resolve(), options.out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    spec = written(name, budget, effort, out)
    built = hawqc("build", spec, "--set", f"data={data}", "--out", out)["builds"][0]
    images = NETWORKS[name].images
    result = hawqc("eval", built["dir"], *(() if images is None else ("--data", data / images)))
    tuned = built["seconds"].get("tune", 0.0)
    return row(
        name,
        budget,
        f"hawqc {effort or ''}".strip(),
        {
            "n": result["n"],
            "top1": 100 * result["accuracy"],
            "delta": 100 * (result["accuracy"] - result["fp32_accuracy"]),
            "delta_se": 100 * result["drop_stderr"],
            "agree": 100 * result["agreement"],
            "weight_bytes": built["plan"]["metrics"]["size_bytes"],
            "tool_s": tuned + built["seconds"].get("calibrate", 0.0),
            "peak": built["peak_rss_bytes"].get("tune"),
        },
    )


def row(name: str, budget: str, tool: str, found: dict[str, Any]) -> dict[str, Any]:
    """Return one line of the table."""
    size = found.get("weight_bytes")
    return {
        "network": name,
        "budget": budget,
        "tool": tool,
        "n": found["n"],
        "top1": found["top1"],
        "difference": found["delta"],
        "stderr": found["delta_se"],
        "agreement": found.get("agree") or float("nan"),
        "KiB": float("nan") if size is None else size / 1024,
        "seconds": found.get("tool_s") or float("nan"),
        "GiB": (found.get("peak") or float("nan")) / 2**30,
    }


def peer_rows(name: str, budget: str, data: Path) -> list[dict[str, Any]]:
    """Return what the other tools reached, best first."""
    path = data / "peer_baselines.json"
    if not path.is_file():
        return []
    names = PEERS.get(budget, (budget, "int8") if budget == "w8a8" else (budget,))
    found = [
        row(name, budget, f"{r['peer']} {r['config']}", r)
        for r in json.loads(path.read_text("utf-8"))["accuracy"]
        if r["model"] == NETWORKS[name].peers
        and (r["config"] in names or r["config"].split("_")[0] in names)
        and "lossless" not in r["split"]
    ]
    return sorted(found, key=lambda r: -r["difference"])


def main() -> None:
    """Build, evaluate and write ``results/accuracy.json``."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    folder = os.environ.get("HAWQ_DATA")
    parser.add_argument("--data", type=Path, default=folder, required=folder is None)
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=list(NETWORKS))
    budgets = (*UNIFORM, *MIXED)
    parser.add_argument("--budgets", nargs="+", choices=budgets, default=list(budgets))
    parser.add_argument("--effort", nargs="+", choices=("fast", "balanced", "best"))
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "benchmarks" / "accuracy")
    options = parser.parse_args()
    options.data = Path(options.data)
    efforts: list[str | None] = [None] if options.effort is None else options.effort
    rows: list[dict[str, Any]] = []
    for name in options.networks:
        for budget in options.budgets:
            own = [measure(name, budget, effort, options) for effort in efforts]
            found = [*own, *peer_rows(name, budget, options.data)]
            show(found)
            rows += found
    show(rows)
    title = "accuracy" if options.effort is None else "accuracy_effort"
    print(f"wrote {write_results(title, rows)}")


if __name__ == "__main__":
    main()
