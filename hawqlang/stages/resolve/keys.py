"""What a block may hold: every setting and block with what it takes, what it is without it, and what it means.

Resolving accepts exactly these; editors complete and explain them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal


@dataclass(frozen=True, slots=True)
class Key:
    """A setting or a block."""

    takes: str
    """What its value is, with the unit."""
    doc: str
    default: str = ""
    """What it is where it is not written; empty where nothing is, or where it has to be."""
    form: Literal["setting", "block", "either"] = "setting"
    required: bool = False


def _table(**keys: Key) -> Mapping[str, Key]:
    return MappingProxyType(keys)


_WEIGHTS = Key(
    "a block", "How weights become integers: granularity, scheme, range, rounding.", form="block"
)
_ACTIVATIONS = Key(
    "a block", "How activations become integers: granularity, scheme, range.", form="block"
)
_PRECISION = Key(
    "a list of precisions, or one",
    "The candidates that every layer may take; the allocation chooses one of them for each.",
)
_ACCUMULATOR = Key(
    "`int32`, `int24` or `int16`",
    "The type of sums. The compiler proves for every layer that no reachable sum overflows it, and drops the"
    " candidates that could.",
    "int32",
)
_CORRECTION = Key(
    "`true` or `false`",
    "Whether biases are fitted to what quantization changes on average; kept only where held-out samples confirm it.",
    "true",
)
_FINETUNE = Key(
    "`none` or a method of training",
    "Trains the network in a differentiable copy of its integer form, on the training data of the dataset.",
    "none",
)

KEYS: Mapping[str, Mapping[str, Key]] = MappingProxyType(
    {
        "model": _table(
            source=Key(
                "a source of a model",
                "Where the network comes from.",
                form="setting",
                required=True,
            ),
            weights=Key(
                "`file(path)`",
                "The weights: `.safetensors`, or a PyTorch state_dict. ONNX files and pt2 archives have their own.",
            ),
            input=Key(
                "`image(…)` or `tensor(…)`",
                "What enters the network, with its normalisation, which is folded into the integer graph.",
            ),
        ),
        "dataset": _table(
            calibration=Key(
                "a source of data",
                "Samples that ranges, sensitivities and corrections are found on.",
            ),
            evaluation=Key("a source of data with labels", "Samples that accuracy is measured on."),
            training=Key("a source of data with labels", "Samples that `finetune` trains on."),
        ),
        "target": _table(
            device=Key(
                "a device of the catalogue, or a block",
                "The hardware: a name such as `cpu.x86_64`, or rates and bandwidth described in place.",
                form="either",
                required=True,
            ),
            batch=Key("a whole number", "Samples in one run.", "1"),
            threads=Key("a whole number", "Threads that share a run, on CPUs.", "1"),
            latency=Key(
                "`modelled`, `measured` or `profile(path)`",
                "Where latencies come from: the model of the device, or measurements.",
                "modelled",
            ),
        ),
        "device": _table(
            native=Key(
                "a list of precisions",
                "What the hardware multiplies in one instruction.",
                required=True,
            ),
            bandwidth=Key("a rate such as `320 GB/s`", "Bandwidth of the memory.", required=True),
            cache=Key("a size such as `4 MiB`", "Size of the last cache."),
            launch=Key("a time such as `5 us`", "What starting a kernel takes.", "0 s"),
            arch=Key("a word such as `sm_75`", "What a back end compiles for."),
            rates=Key(
                "a block of `w8a8 = 65 TMACs/s`",
                "The rate of every native precision.",
                form="block",
                required=True,
            ),
        ),
        "quantize": _table(
            precision=_PRECISION,
            weights=_WEIGHTS,
            activations=_ACTIVATIONS,
            residual=Key(
                "`8`, `16` or `32`", "Bits of a stored tensor that an addition reads.", "8"
            ),
            accumulator=_ACCUMULATOR,
            bias_correction=_CORRECTION,
            sensitivity=Key(
                "a method",
                "How the loss of every choice of precision is estimated; only where a layer has a choice.",
                "kl",
            ),
            effort=Key(
                "`fast`, `balanced` or `best`",
                "How hard ranges and rounding are optimised. Where it is not written: `balanced` if a layer may"
                " have fewer than 8 bits, else `fast`.",
            ),
            finetune=_FINETUNE,
            attempts=Key(
                "a whole number", "How many allocations an accuracy constraint may try.", "8"
            ),
            seed=Key("a whole number", "Everything random derives from it.", "0"),
        ),
        "layer": _table(
            precision=_PRECISION,
            weights=_WEIGHTS,
            activations=_ACTIVATIONS,
            accumulator=_ACCUMULATOR,
            bias_correction=_CORRECTION,
            finetune=_FINETUNE,
        ),
        "weights": _table(
            granularity=Key("a granularity", "What shares a step size.", "per_channel"),
            scheme=Key("`symmetric` or `affine`", "Whether there is a zero point.", "symmetric"),
            range=Key("a range", "Which values the integers reach.", "minmax"),
            rounding=Key(
                "`nearest`, `adaptive` or `stochastic`",
                "How weights are rounded. Where it is not written: `adaptive` unless `effort = fast`.",
            ),
        ),
        "activations": _table(
            granularity=Key("`per_tensor`", "What shares a step size.", "per_tensor"),
            scheme=Key("`affine` or `symmetric`", "Whether there is a zero point.", "affine"),
            range=Key(
                "a range",
                "Which values the integers reach. Where it is not written, the width decides: `mse` below 8 bits,"
                " a percentile that clips outliers alone from there on.",
            ),
        ),
        "emit tvm": _table(
            cpu=Key(
                "a CPU name, or `native`",
                "The CPU to generate code for; the device's unless written.",
            )
        ),
        "emit cuda": _table(
            arch=Key(
                "a list such as `[sm_80]`",
                "Architectures to generate code for; the device's unless written.",
            )
        ),
        "emit onnx": _table(opset=Key("a whole number", "The operator set of the file.", "21")),
        "emit c": _table(),
        "emit card": _table(),
        "emit report": _table(),
    }
)
"""By block; the options of ``emit`` under what is emitted. Keys of ``rates`` are precisions."""


def settings_of(block: str) -> tuple[str, ...]:
    """Return the names of the settings that a block may hold."""
    return tuple(name for name, key in KEYS[block].items() if key.form != "block")


def blocks_of(block: str) -> tuple[str, ...]:
    """Return the names of the blocks that a block may hold."""
    return tuple(name for name, key in KEYS[block].items() if key.form != "setting")
