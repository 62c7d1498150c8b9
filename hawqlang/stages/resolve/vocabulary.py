"""What every word of the language means: statements, metrics, selectors, types, and the words that settings take.

Together with ``keys`` (what blocks hold) and ``functions`` this is all that an editor shows. Tests hold every table to
the one that resolving uses.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from hawqlang.stages.resolve.functions import (
    ACTIVATION_RANGES,
    DATA,
    FINETUNES,
    GRANULARITIES,
    INPUTS,
    LATENCIES,
    SENSITIVITIES,
    SOURCES,
    WEIGHT_FILES,
    WEIGHT_RANGES,
    Signature,
)

STATEMENTS: Mapping[str, str] = MappingProxyType(
    {
        "hawq": "The version of the language: the first statement of every file.",
        "import": "Brings another file's params, models, datasets and targets into scope.",
        "param": "A literal that `--set name=value` overrides; without a default it is required.",
        "model": "A network, its weights, and what enters it.",
        "dataset": "Where calibration, evaluation and training samples come from.",
        "target": "The hardware, and how its latency is known.",
        "quantize": "One thing to build: a model on a target, with the data it needs.",
    }
)
"""What may stand at the top of a file."""

CLAUSES: Mapping[str, str] = MappingProxyType(
    {
        "minimize": "Metrics to make small, in order of priority; `within 2%` lets a goal slip for the next.",
        "maximize": "Metrics to make large, in order of priority.",
        "subject": "Constraints: named statements that hold for every allocation.",
        "layer": "Settings for some layers only; of several blocks that set a key, the last wins.",
        "emit": "What to generate. Without code among it, the back end of the target's device.",
    }
)
"""What a ``quantize`` block may hold beside its settings."""

METRIC_DOCS: Mapping[str, str] = MappingProxyType(
    {
        "size": "Bytes of all weights, `Σ weights · wbits / 8`, without biases and scales.",
        "bops": "Bit operations of one sample, `Σ MACs · wbits · abits`.",
        "macs": "Multiply-accumulates of one sample.",
        "latency": "Time of one run with the target's batch.",
        "perturbation": "Predicted increase of the loss, from the sensitivities.",
        "switches": "Changes of precision between neighbours in execution order.",
        "peak_memory": "The largest sum of live activation bytes; upper bounds and `minimize` only.",
        "average_wbits": "Bits of weights, averaged over weights.",
        "average_abits": "Bits of inputs, averaged over the elements that layers read.",
        "accuracy": "Top-1 of the integer program on the evaluation data, checked at build.",
        "accuracy_drop": "Top-1 of FP32 minus that of the integer program, in percentage points; checked at build.",
    }
)

SELECTOR_DOCS: Mapping[str, str] = MappingProxyType(
    {
        "first": "The first layer with weights, in execution order.",
        "last": "The last layer with weights, in execution order.",
        "all": "Every layer with weights.",
        "conv": "Convolutions, depthwise ones included.",
        "linear": "Dense layers.",
        "depthwise": "Convolutions whose groups equal their input channels.",
        "pointwise": "1×1 convolutions.",
        "downsample": "The only layer of a shortcut branch, found by structure.",
        "residual": "Per addition, the layers whose outputs meet in it.",
        "shared_input": "Layers that read the same tensor.",
        "kernel": "Layers with this kernel: `kernel(3, 3)`.",
        "channels": "Layers by their output channels: `channels >= 256`.",
    }
)

PROPERTY_DOCS: Mapping[str, str] = MappingProxyType(
    {
        "precision": "The precision of layers, such as `w4a8`.",
        "wbits": "Bits of the weights of layers.",
        "abits": "Bits of the inputs of layers.",
    }
)

OPERATOR_DOCS: Mapping[str, str] = MappingProxyType(
    {
        "and": "Both conditions; between selectors, their intersection.",
        "or": "At least one of both conditions.",
        "not": "The condition does not hold.",
        "implies": "Where the left condition holds, the right one does.",
        "except": "Takes away everything that follows.",
        "where": "The layers that are counted: `count(all where wbits == 4)`.",
        "of": "A share: `80% of latency(w8a8)`.",
        "same": "A tie: `same precision across residual`.",
        "each": "A rule about each layer by itself: `each conv: wbits == 4 implies abits >= 4`.",
        "count": "The number of layers: `count(conv where wbits == 4)`.",
        "fp32": "The unquantized layer, where a baseline is meant: `size(fp32)`.",
    }
)

TYPE_DOCS: Mapping[str, str] = MappingProxyType(
    {
        "int": "A whole number.",
        "float": "A plain number.",
        "bool": "`true` or `false`.",
        "string": "A string in double quotes.",
        "size": "Bytes, such as `6 MiB`.",
        "time": "Such as `2 ms`.",
        "work": "MACs or BOPS, such as `3 GMACs`.",
        "ratio": "Such as `75%`.",
        "precision": "Such as `w4a8`.",
    }
)

EMIT_DOCS: Mapping[str, str] = MappingProxyType(
    {
        "tvm": "A library for CPUs, generated through TVM.",
        "cuda": "Kernels for NVIDIA GPUs.",
        "c": "Portable C.",
        "onnx": "An ONNX file with integer operators.",
        "card": "The quantization card, `card.md`.",
        "report": "The HTML report.",
    }
)

WORDS: Mapping[tuple[str, str], Mapping[str, str]] = MappingProxyType(
    {
        ("quantize", "accumulator"): {
            "int32": "Sums of 32 bits.",
            "int24": "Sums of 24 bits.",
            "int16": "Sums of 16 bits.",
        },
        ("quantize", "effort"): {
            "fast": "Ranges from statistics, weights rounded to nearest.",
            "balanced": "Weights refitted layer by layer on the quantized input.",
            "best": "Goes on by gradient, block by block and as a whole.",
        },
        ("quantize", "residual"): {
            "8": "8 bits.",
            "16": "16 bits.",
            "32": "32 bits: nothing is clipped.",
        },
        ("weights", "scheme"): {
            "symmetric": "No zero point.",
            "affine": "A zero point per channel.",
        },
        ("weights", "rounding"): {
            "nearest": "Each weight to the nearest step.",
            "adaptive": "Weights together, by the error of the layer's output.",
            "stochastic": "Up or down by chance, in proportion.",
        },
        ("activations", "granularity"): {"per_tensor": "One step size for the whole tensor."},
        ("activations", "scheme"): {
            "affine": "A zero point.",
            "symmetric": "No zero point.",
        },
        ("input", "order"): {"rgb": "Red first.", "bgr": "Blue first."},
    }
)
"""Settings, and arguments of the function in a setting, that take one of a few words."""

FUNCTIONS: Mapping[tuple[str, str], Mapping[str, Signature]] = MappingProxyType(
    {
        ("model", "source"): SOURCES,
        ("model", "weights"): WEIGHT_FILES,
        ("model", "input"): INPUTS,
        ("dataset", "calibration"): DATA,
        ("dataset", "evaluation"): DATA,
        ("dataset", "training"): DATA,
        ("target", "latency"): LATENCIES,
        ("quantize", "sensitivity"): SENSITIVITIES,
        ("quantize", "finetune"): FINETUNES,
        ("weights", "granularity"): GRANULARITIES,
        ("weights", "range"): WEIGHT_RANGES,
        ("activations", "range"): ACTIVATION_RANGES,
    }
)
"""Settings whose value is a call, or its bare name."""

BOOLEANS = frozenset({"bias_correction", "distill"})
"""Settings and arguments that take `true` or `false`."""

PRECISIONS = frozenset({"precision", "native"})
"""Settings that take precisions."""


def of_layer(block: str) -> str:
    """Return the block whose settings a block shares: ``layer`` has those of ``quantize``."""
    return "quantize" if block == "layer" else block


def functions_of(block: str, key: str) -> Mapping[str, Signature]:
    """Return the functions that a setting takes."""
    return FUNCTIONS.get((of_layer(block), key), {})


def words_of(block: str, key: str) -> Mapping[str, str]:
    """Return the words that a setting takes, with what they mean; empty where any value may stand."""
    return WORDS.get((of_layer(block), key), {})
