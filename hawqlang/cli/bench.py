"""`hawqc bench`: the latency of an artifact, whole and per step, beside the float network."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.table import Table

from hawqlang.cli.artifacts import open_artifact, open_timed
from hawqlang.cli.common import (
    ArtifactArgument,
    Format,
    FormatOption,
    guarded,
    print_json,
    stderr,
    stdout,
)
from hawqlang.cli.progress import Terminal
from hawqlang.diagnostics import HawqError
from hawqlang.ir.bundle import Manifest
from hawqlang.stages.measure import Latency, interleaved, step_times

INTEGER = "hawqc integer"


@guarded
def bench(
    folder: ArtifactArgument,
    seconds: Annotated[float, typer.Option(metavar="S", help="How long to measure.")] = 3.0,
    format_: FormatOption = Format.text,
) -> None:
    """Measure latency on this machine: the whole network, each step, and the float baselines at hand."""
    manifest = open_artifact(folder)
    runner = open_timed(folder, manifest)
    progress = Terminal(stderr)
    rng = np.random.default_rng(manifest.seed)
    batch, threads = manifest.target.batch, manifest.target.threads
    pixels = rng.integers(0, 256, (batch, *manifest.input.shape), dtype=np.uint8)
    programs: dict[str, Callable[[], object]] = {INTEGER: lambda: runner.run(pixels)}
    programs |= _float_baselines(manifest, pixels, progress)
    setting = f"batch {batch}, {threads} thread{'s' if threads > 1 else ''}"
    with progress.step(f"measure for {seconds:g} s, {setting}, in turns"):
        latencies = interleaved(programs, seconds)
    layers = _layers(folder, step_times(runner, pixels[0]))
    if format_ is Format.json:
        print_json(_json(manifest, latencies, layers))
    else:
        _print(f"{folder}, {runner.variant}, {setting}", latencies, layers)


def _layers(folder: Path, nanoseconds: dict[str, float]) -> list[dict[str, Any]]:
    """Return measured and modelled time per step."""
    plan = json.loads((folder / "allocation.json").read_text(encoding="utf-8"))
    modelled = {
        layer["name"]: layer["latency_us"].get(layer["precision"]) for layer in plan["layers"]
    }
    return [
        {"name": name, "us": ns / 1e3, "modelled_us": modelled.get(name)}
        for name, ns in nanoseconds.items()
    ]


def _float_baselines(
    manifest: Manifest, pixels: np.ndarray[Any, Any], progress: Terminal
) -> dict[str, Callable[[], object]]:
    """Return the float network in torch, and in ONNX Runtime where that is installed and the model is ONNX."""
    import torch

    from hawqlang.cache import Cache
    from hawqlang.resources import cache_dir
    from hawqlang.stages.float_model import FloatModel, preprocess
    from hawqlang.stages.import_model import import_model

    torch.set_num_threads(manifest.target.threads)
    try:
        cache = Cache(cache_dir())
        model = FloatModel(import_model(manifest.model, cache.tensors), cache.tensors)
    except HawqError as error:
        progress.note(f"without the float network: {error.diagnostics[0].message}")
        return {}
    x = preprocess(pixels, manifest.network_input)
    found: dict[str, Callable[[], object]] = {"torch fp32": lambda: model.forward(x)}
    if manifest.model.source.kind == "onnx":
        session = _onnxruntime(manifest.model.source.path, manifest.target.threads)
        if session is None:
            progress.note("without ONNX Runtime: it is not installed")
        elif isinstance(fixed := session.get_inputs()[0].shape[0], int) and fixed != len(pixels):
            progress.note("without ONNX Runtime: the model's batch is fixed")
        else:
            feed = {session.get_inputs()[0].name: x.numpy()}
            found["ONNX Runtime fp32"] = lambda: session.run(None, feed)
    return found


def _onnxruntime(path: str, threads: int) -> Any | None:
    try:
        import onnxruntime as ort
    except ImportError:
        return None
    options: Any = ort.SessionOptions()  # pyright: ignore[reportUnknownVariableType]
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    return ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def _json(
    manifest: Manifest, latencies: dict[str, Latency], layers: list[dict[str, Any]]
) -> dict[str, Any]:
    own = latencies[INTEGER]
    return {
        "format_version": 1,
        "build": manifest.build,
        "latency_ms": {"median": own.median, "p10": own.p10, "p90": own.p90},
        "threads": manifest.target.threads,
        "batch": manifest.target.batch,
        "baselines_ms": {n: v.median for n, v in latencies.items() if n != INTEGER},
        "layers": layers,
    }


def _print(title: str, latencies: dict[str, Latency], layers: list[dict[str, Any]]) -> None:
    stdout.print(f"[bold]{title}[/bold]")
    own = latencies[INTEGER].median
    whole = Table(box=None, pad_edge=False, header_style="bold")
    whole.add_column("program")
    for column in ("median", "p10", "p90", "ratio"):
        whole.add_column(column, justify="right")
    for name, v in latencies.items():
        times = (f"{t:.3f} ms" for t in (v.median, v.p10, v.p90))
        whole.add_row(name, *times, f"{v.median / own:.2f}×")
    stdout.print(whole)
    steps = Table(box=None, pad_edge=False, header_style="bold")
    steps.add_column("step")
    steps.add_column("measured", justify="right")
    steps.add_column("modelled", justify="right")
    for layer in layers:
        modelled = layer["modelled_us"]
        steps.add_row(
            layer["name"],
            f"{layer['us']:.1f} us",
            "" if modelled is None else f"{modelled:.1f} us",
        )
    stdout.print(steps)
