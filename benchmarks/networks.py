"""Latency of finished artifacts beside ONNX Runtime, in one run, interleaved.

    python benchmarks/networks.py [--nets resnet18 resnet50] [--seconds 20] [--work FOLDER]

Batch 1, one thread, one pinned core. Every round runs every program, so that a drift of the machine
hits all alike; look at ratios, not at milliseconds. Beside each latency stands the cosine between a
program's logits and those of the float network: it shows that all of them ran the same network.
"""

from __future__ import annotations

import argparse
import json
import os
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime as ort
import torch
from common import ROOT, hawqc, show, write_results
from nets import NETS, Net, Pixels
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

from hawqlang.runtime import Model

Floats = npt.NDArray[np.float32]
Program = Callable[[Pixels], npt.NDArray[Any]]
"""uint8 images [N, H, W, 3] to logits [N, classes], up to a common factor."""

OWN, INT8, FP32 = "hawqc", "onnxruntime int8", "onnxruntime fp32"
WARM_UP = 5
IMAGES = 16


class Reader(CalibrationDataReader):
    """Feeds calibration images one by one."""

    def __init__(self, images: Floats) -> None:
        self._images: Iterator[Floats] = iter(images)

    def get_next(self) -> dict[str, Floats] | None:
        """Return the next input, or nothing when all were seen."""
        image = next(self._images, None)
        return None if image is None else {"image": image[None]}


def export(net: Net, folder: Path) -> Path:
    """Return the network as an ONNX file with batch 1 and its batch norms folded."""
    path = folder / f"{net.name}.onnx"
    module = net.make()
    module.load_state_dict(torch.load(folder / f"{net.name}.pt", weights_only=True))
    image = torch.zeros(1, 3, net.side, net.side)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            module.eval(),
            (image,),
            str(path),
            opset_version=17,
            dynamo=False,
            input_names=["image"],
            output_names=["logits"],
        )
    return path


def quantized(source: Path, images: Floats) -> Path:
    """Return the network as statically quantized QDQ: uint8 activations, int8 weights per channel."""
    prepared, path = source.with_suffix(".prepared.onnx"), source.with_suffix(".int8.onnx")
    quant_pre_process(str(source), str(prepared), skip_symbolic_shape=True)
    quantize_static(
        str(prepared),
        str(path),
        Reader(images),
        quant_format=QuantFormat.QDQ,
        per_channel=True,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
    )
    return path


def opened(artifact: Path) -> Model:
    """Return the artifact's library."""
    manifest = json.loads((artifact / "manifest.json").read_text(encoding="utf-8"))
    return Model(artifact / manifest["backends"][0]["folder"])


def session(path: Path) -> Callable[[Floats], npt.NDArray[Any]]:
    """Return an ONNX Runtime session of one thread that does not spin between runs."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    options.add_session_config_entry("session.force_spinning_stop", "1")
    opened = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return lambda image: opened.run(None, {"image": image})[0]


def interleaved(
    programs: dict[str, Callable[[], object]], seconds: float
) -> dict[str, list[float]]:
    """Return milliseconds per run: each round warms a program's caches once, then times it once."""
    for run in programs.values():
        for _ in range(WARM_UP):
            run()
    times: dict[str, list[float]] = {name: [] for name in programs}
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        for name, run in programs.items():
            run()
            begin = time.perf_counter()
            run()
            times[name].append(1e3 * (time.perf_counter() - begin))
    return times


def cosine(a: npt.NDArray[Any], b: npt.NDArray[Any]) -> float:
    """Return the mean cosine between rows, each taken about its mean."""
    a, b = (x - x.mean(axis=1, keepdims=True) for x in (a.astype(float), b.astype(float)))
    norms = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    return float(((a * b).sum(axis=1) / norms).mean())


def logits(run: Callable[[Any], npt.NDArray[Any]], images: Any) -> npt.NDArray[Any]:
    """Return the logits of several images, run one by one."""
    return np.concatenate([run(images[i : i + 1]) for i in range(len(images))])


def measure(net: Net, precision: str, seconds: float, work: Path) -> list[dict[str, Any]]:
    """Return a row per program for one network."""
    folder = work / net.name
    net.write_files(folder, IMAGES)
    spec = folder / f"{net.name}.hawq"
    spec.write_text(net.spec(precision, folder), encoding="utf-8")
    built = hawqc("build", spec, "--out", folder / "build")
    pixels = net.images(IMAGES, seed=2)
    floats = net.preprocess(pixels)
    float_file = export(net, folder)
    calibration = net.preprocess(np.load(folder / "calibration.npz")["x"])
    own = opened(Path(built["builds"][0]["dir"]))
    fp32, int8 = session(float_file), session(quantized(float_file, calibration))
    reference = logits(fp32, floats)
    found = {OWN: own.run(pixels), INT8: logits(int8, floats), FP32: reference}
    one_pixels, one_float = pixels[:1], floats[:1]
    times = interleaved(
        {
            OWN: lambda: own.run(one_pixels),
            INT8: lambda: int8(one_float),
            FP32: lambda: fp32(one_float),
        },
        seconds,
    )
    base = float(np.median(times[OWN]))
    return [
        {
            "net": net.name,
            "precision": precision if name == OWN else "",
            "program": name,
            "median_ms": float(np.median(values)),
            "p10_ms": float(np.percentile(values, 10)),
            "p90_ms": float(np.percentile(values, 90)),
            "ratio": float(np.median(values)) / base,
            "runs": len(values),
            "cosine": cosine(found[name], reference),
        }
        for name, values in times.items()
    ]


def main() -> None:
    """Measure the networks asked for and write ``results/networks.json``."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--nets", nargs="+", choices=sorted(NETS), default=list(NETS))
    parser.add_argument("--precision", default="w8a8")
    parser.add_argument("--seconds", type=float, default=20.0, help="per network")
    parser.add_argument("--work", type=Path, default=ROOT / "build" / "benchmarks")
    options = parser.parse_args()
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    torch.set_num_threads(1)
    rows: list[dict[str, Any]] = []
    for name in options.nets:
        rows += measure(NETS[name], options.precision, options.seconds, options.work.resolve())
    show(rows)
    print(f"wrote {write_results('networks', rows)}")


if __name__ == "__main__":
    main()
