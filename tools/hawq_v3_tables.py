"""Write the layer tables of specs/examples/hawq_v3 from the facts that HAWQ-V3's authors published.

    python tools/hawq_v3_tables.py FACTS.json

FACTS holds, per network under "models", lists with one entry a layer: "layers" (names), "params_millions",
"macs_millions", "hutchinson_trace_mean", "weight_error_sq" and "latency_ms" (by "w4", "w8" and by "w4a4", "w8a8"), and
"tied_pairs" (positions of layers that share their bits). They are the numbers of the notebook ILP.ipynb beside the
paper. A sensitivity is the trace times the squared error of the weights, as in the paper.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parent.parent / "specs" / "examples" / "hawq_v3"
BITS = {"w4a4": "w4", "w8a8": "w8"}
MILLION = {"resnet18": 2**20, "resnet50": 10**6}
"""What the authors call a million parameters differs between their two networks."""


def layer_name(name: str) -> str:
    """Return the authors' module name without what its quantization added to it.

    >>> layer_name("stage2.unit1.quant_identity_convbn"), layer_name("stage1.unit1.quant_convbn2")
    ('stage2.unit1.identity_conv', 'stage1.unit1.conv2')
    """
    return name.replace("quant_", "").replace("convbn", "conv")


def table(network: str, facts: dict[str, Any]) -> dict[str, Any]:
    """Return the layer table of one network."""
    names = [layer_name(str(name)) for name in facts["layers"]]
    layers: list[dict[str, Any]] = []
    for i, name in enumerate(names):
        trace = facts["hutchinson_trace_mean"][i]
        errors, times = facts["weight_error_sq"], facts["latency_ms"]
        layers.append(
            {
                "name": name,
                "kind": "conv",
                "params": round(facts["params_millions"][i] * MILLION[network]),
                "macs": round(facts["macs_millions"][i] * 10**6),
                "sensitivity": {at: trace * errors[own][i] for at, own in BITS.items()},
                "latency_us": {at: round(times[at][i] * 1000, 5) for at in BITS},
            }
        )
    pairs: list[list[int]] = facts["tied_pairs"]
    ties = [[names[i] for i in pair] for pair in pairs]
    return {"format_version": 1, "layers": layers, "ties": ties}


def written(content: dict[str, Any]) -> str:
    """Return a table as text, one line a layer."""
    layers = ",\n  ".join(json.dumps(layer) for layer in content["layers"])
    ties = ",\n  ".join(json.dumps(tie) for tie in content["ties"])
    return f'{{"format_version": 1,\n "layers": [\n  {layers}],\n "ties": [\n  {ties}]}}\n'


def main() -> None:
    """Write both tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("facts", type=Path, metavar="FACTS.json")
    facts = json.loads(parser.parse_args().facts.read_text(encoding="utf-8"))
    for network, own in facts["models"].items():
        text = written(table(network, own))
        (FOLDER / f"{network}.layers.json").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
