"""One program of a comparison as a process: it loads, says so, and then times runs when it is told to.

    python benchmarks/rivals.py JOB.json [prepare]

The job names an engine and its files; ``prepare`` quantizes the network into files of its own and
ends. Lines on the standard input are answered by one line of JSON: ``time N`` by N durations in
milliseconds, ``logits`` by the logits of the job's images, ``words`` by what runs: version and
arithmetic. Nothing spins in between, so that
processes which share a core do not disturb each other. This file needs what
``requirements-rivals.txt`` lists, and for ``hawqc`` NumPy alone: it loads the run time that lies
beside the artifact's library.
"""

from __future__ import annotations

import importlib.util
import json
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Run = Callable[[], Array]


@dataclass(frozen=True, slots=True)
class Loaded:
    """A program that is ready."""

    run: Run
    """Of the prepared batch."""
    logits: Callable[[Array], Array]
    """Of any batch of that size."""
    words: str
    """Version and arithmetic."""


def hawqc(job: dict[str, Any]) -> Loaded:
    """Return the artifact: uint8 pixels in, normalization included."""
    folder = Path(job["library"])
    spec = importlib.util.spec_from_file_location("hawq_runtime", folder / "hawq_runtime.py")
    if spec is None or spec.loader is None:
        raise FileNotFoundError(folder / "hawq_runtime.py")
    runtime = importlib.util.module_from_spec(spec)
    sys.modules["hawq_runtime"] = runtime
    spec.loader.exec_module(runtime)
    options = {"threads": job["threads"]} if job["threads"] > 1 else {}
    model = runtime.Model(folder, isa=job["isa"] or None, **options)
    pixels = np.load(job["pixels"])
    return Loaded(lambda: model.run(pixels), model.run, f"int8, {model.isa}")


def onnxruntime(job: dict[str, Any]) -> Loaded:
    """Return an ONNX Runtime session that does not spin between runs; int8 is QDQ with uint8 activations."""
    import onnxruntime as ort

    path = _onnxruntime_int8(job) if job["precision"] == "int8" else Path(job["onnx"])
    options = ort.SessionOptions()
    options.intra_op_num_threads = job["threads"]
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    options.add_session_config_entry("session.force_spinning_stop", "1")
    session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    image = np.load(job["floats"])
    return Loaded(
        lambda: session.run(None, {"image": image})[0],
        lambda x: session.run(None, {"image": x})[0],
        f"{ort.__version__}, int8 QDQ" if job["precision"] == "int8" else ort.__version__,
    )


def _onnxruntime_int8(job: dict[str, Any]) -> Path:
    """Return the network quantized for one image, with the batch written into it afterwards."""
    path, single = _quantized(job, ".ort-int8.onnx")
    if not single.exists():
        _quantize_onnxruntime(Path(job["single"]), single, _calibration(job))
    if not path.exists():
        import onnx

        model = onnx.load(single)
        for port in (*model.graph.input, *model.graph.output):
            port.type.tensor_type.shape.dim[0].dim_value = job["batch"]
        model.graph.ClearField("value_info")
        onnx.save(model, path)
    return path


def _quantize_onnxruntime(source: Path, path: Path, images: list[Array]) -> None:
    """Write a network that is quantized by what it computes on images."""
    from onnxruntime.quantization import (
        CalibrationDataReader,
        QuantFormat,
        QuantType,
        quantize_static,
    )
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Reader(CalibrationDataReader):
        def __init__(self) -> None:
            self._batches: Iterator[Array] = iter(images)

        def get_next(self) -> dict[str, Array] | None:
            batch = next(self._batches, None)
            return None if batch is None else {"image": batch}

    prepared = source.with_suffix(".prepared.onnx")
    quant_pre_process(str(source), str(prepared), skip_symbolic_shape=True)
    quantize_static(
        str(prepared),
        str(path),
        Reader(),
        quant_format=QuantFormat.QDQ,
        per_channel=True,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
    )


def openvino(job: dict[str, Any]) -> Loaded:
    """Return an OpenVINO request tuned for latency: default precision, or int8 by NNCF."""
    import openvino as ov

    core = ov.Core()
    path = _openvino_int8(job) if job["precision"] == "int8" else Path(job["onnx"])
    hints = {"INFERENCE_NUM_THREADS": job["threads"], "PERFORMANCE_HINT": "LATENCY"}
    if job["isa"] not in ("", "amx"):  # has no bfloat16, though OpenVINO sees that this CPU does
        hints["INFERENCE_PRECISION_HINT"] = "f32"
    compiled = core.compile_model(core.read_model(path), "CPU", hints)
    request = compiled.create_infer_request()
    floats = compiled.get_property("INFERENCE_PRECISION_HINT").get_type_name()
    kind = f"int8 and {floats}" if job["precision"] == "int8" else floats
    output = request.model_outputs[0]
    image = np.load(job["floats"])
    return Loaded(
        lambda: request.infer({0: image}, share_inputs=True)[output],
        lambda x: request.infer({0: x}, share_inputs=True)[output].copy(),
        f"{ov.__version__.partition('-')[0]}, {kind}",
    )


def _openvino_int8(job: dict[str, Any]) -> Path:
    """Return the network quantized for one image, reshaped to the batch."""
    path, single = _quantized(job, ".nncf.xml")
    if not single.exists():
        import nncf
        import openvino as ov

        images = _calibration(job)
        model = ov.Core().read_model(job["single"])
        quantized = nncf.quantize(model, nncf.Dataset(images), subset_size=len(images))
        ov.save_model(quantized, single, compress_to_fp16=False)
    if not path.exists():
        import openvino as ov

        model = ov.Core().read_model(single)
        model.reshape([job["batch"], *model.inputs[0].shape[1:]])
        ov.save_model(model, path, compress_to_fp16=False)
    return path


def _quantized(job: dict[str, Any], suffix: str) -> tuple[Path, Path]:
    """Return the files of the quantized network for the job's batch and for one image."""
    return Path(job["onnx"]).with_suffix(suffix), Path(job["single"]).with_suffix(suffix)


def _calibration(job: dict[str, Any]) -> list[Array]:
    """Return the calibration images one by one."""
    return list(np.load(job["calibration"])[:, None])


ENGINES: dict[str, Callable[[dict[str, Any]], Loaded]] = {
    "hawqc": hawqc,
    "onnxruntime": onnxruntime,
    "openvino": openvino,
}

INT8: dict[str, Callable[[dict[str, Any]], Path]] = {
    "onnxruntime": _onnxruntime_int8,
    "openvino": _openvino_int8,
}
"""How an engine's int8 network is made."""


def times(run: Run, count: int) -> list[float]:
    """Return milliseconds of ``count`` runs, after one that brings the program's data back into the caches."""
    run()
    found: list[float] = []
    for _ in range(count):
        begin = time.perf_counter()
        run()
        found.append(1e3 * (time.perf_counter() - begin))
    return found


def main() -> None:
    """Serve one job."""
    warnings.simplefilter("ignore")
    job = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    if "prepare" in sys.argv[2:]:
        if job["precision"] == "int8" and job["engine"] in INT8:
            INT8[job["engine"]](job)
        return
    program = ENGINES[job["engine"]](job)
    images = np.load(job["images"])
    program.run()
    print(json.dumps("ready"), flush=True)
    for line in sys.stdin:
        match line.split():
            case ["time", count]:
                answer: Any = times(program.run, int(count))
            case ["words"]:
                answer = program.words
            case ["logits"]:
                rows = [
                    program.logits(images[i : i + job["batch"]])
                    for i in range(0, len(images), job["batch"])
                ]
                answer = np.concatenate(rows).astype(float).tolist()
            case other:
                sys.exit(f"not understood: {other}")
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
