"""The text of a first spec for somebody's own network: its input and layers read from the ONNX file.

What cannot be known is written down as a guess, with an arrow in the comment beside it.
"""

from __future__ import annotations

import os
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from math import ceil
from pathlib import Path
from typing import Literal, TypeAlias

from hawqlang.base import NOWHERE, Precision
from hawqlang.diagnostics import Diagnostic, HawqError, ToolError
from hawqlang.ir.layers import LayerTable
from hawqlang.ir.literals import string_text
from hawqlang.ir.spec import ImageInput, Input, Model, OnnxSource, TensorInput
from hawqlang.stages.resolve.devices import device

GoalWord: TypeAlias = Literal["size", "work", "speed", "accuracy"]
GOALS: tuple[GoalWord, ...] = ("size", "work", "speed", "accuracy")
"""What a first spec can be after."""

SHOWN = 60
"""Layers that are listed at most."""

_IMAGES, _LABELS = ("x", "images", "data", "inputs"), ("y", "labels", "targets")


@dataclass(frozen=True, slots=True)
class Wishes:
    """What a first spec is to say."""

    name: str
    model: Path
    folder: Path
    """Where the spec will lie: its paths are relative to it."""
    calibration: Path | None = None
    evaluation: Path | None = None
    labels: Path | None = None
    """Of folders of pictures: the CSV with columns `file` and `label`."""
    device: str = "cpu.x86_64"
    goal: GoalWord = "size"
    pixels: tuple[int, int] | None = None
    """Height and width, where the file leaves them open."""


def starter(wishes: Wishes) -> str:
    """Return the text of a spec.

    Raises:
        HawqError: The network or the data cannot be read.
        ToolError: The input's size is not known.
    """
    from hawqlang.stages.import_model import import_statistics, import_structure
    from hawqlang.stages.import_model.layer_table import layer_table

    source = OnnxSource(path=str(wishes.model))
    entering = _input(wishes)
    model = Model(
        name=wishes.name,
        source=source,
        weights=None,
        input=entering,
        span=NOWHERE,
        source_span=NOWHERE,
        input_span=None,
    )
    table = layer_table(import_structure(model))
    parts = [
        ["hawq 1"],
        list(_introduction(wishes)),
        list(_model(wishes, entering)),
        list(_dataset(wishes, entering, made_up=bool(import_statistics(model)))),
        [
            "target machine {",
            f"  device = {wishes.device}  # `hawqc targets` lists what there is",
            "}",
        ],
        list(_quantize(wishes, table)),
        list(_layers(table)),
    ]
    return "\n\n".join("\n".join(part) for part in parts) + "\n"


# ---- what the network takes ----------------------------------------------------------------------


def _input(wishes: Wishes) -> Input:
    from hawqlang.stages.import_model.onnx.load import load

    whole = load(str(wishes.model), NOWHERE).input.dims
    if whole is None:
        raise _open_size(wishes.model)
    dims = whole[1:]
    if len(dims) == 3 and dims[0] in (1, 3):
        height, width = wishes.pixels or (dims[1], dims[2])
        if height is None or width is None:
            raise _open_size(wishes.model)
        channels = int(dims[0] or 3)
        return ImageInput(
            height=height,
            width=width,
            channels=channels,
            mean=(Fraction(0),) * channels,
            std=(Fraction(1),) * channels,
        )
    known = tuple(d for d in dims if d is not None)
    if len(known) < len(dims):
        raise _open_size(wishes.model)
    return TensorInput(dims=known, low=Fraction(0), high=Fraction(1))


def _open_size(model: Path) -> ToolError:
    return ToolError(
        Diagnostic(
            code="HQ882",
            severity="error",
            message=f"'{model}' leaves the size of its input open",
            help="give it: `--pixels 224x224`; or export the network with a fixed size",
        )
    )


# ---- parts of the text ---------------------------------------------------------------------------


def _introduction(wishes: Wishes) -> Iterator[str]:
    file = f"{wishes.name}.hawq"
    yield f"# A first spec for {wishes.model.name}: work down the lines marked with an arrow."
    yield "#"
    yield f"#   hawqc check {file}      finds every mistake; proves that the constraints can be met"
    yield f"#   hawqc plan  {file}      shows the bits each layer gets, and the slack of every constraint"
    yield f"#   hawqc build {file}      writes build/{wishes.name}/: the library, its manifest, the card"
    yield f"#   hawqc show  {file}      prints it with every default written out"


def _model(wishes: Wishes, entering: Input) -> Iterator[str]:
    yield f"model {wishes.name} {{"
    yield f"  source = onnx({_path(wishes.model, wishes)})"
    match entering:
        case ImageInput():
            size = f"{entering.height}, {entering.width}"
            count = entering.channels
            channels = "" if count == 3 else f", channels = {count}"
            zeros, ones = ", ".join("0" * count), ", ".join("1" * count)
            yield "  # Integer pixels enter, the network sees (pixel / 255 - mean) / std, channel by channel."
            yield (
                f"  input  = image({size}{channels}, mean = [{zeros}], std = [{ones}])"
                "  # <- the normalization of its training"
            )
        case TensorInput():
            dims = ", ".join(map(str, entering.dims))
            yield f"  input  = tensor([{dims}], low = 0, high = 1)  # <- the range of its values"
    yield "}"


def _dataset(wishes: Wishes, entering: Input, *, made_up: bool) -> Iterator[str]:
    yield "dataset samples {"
    if wishes.calibration is None and not made_up:
        yield "  # This network has no batch norm left to make samples from: it cannot be built without some."
        yield '  # An .npz file with `x`, or a folder: images("photos/", resize = 256, crop = 224)'
        yield '  calibration = arrays("calibration.npz")  # <- samples like those of training, a few hundred'
    elif wishes.calibration is None:
        yield "  # Made from what the network's batch norms remember of its training; real samples are better:"
        yield '  # arrays("calibration.npz"), or images("photos/", resize = 256, crop = 224)'
        yield "  calibration = zero_shot(64)  # <- samples like those of training, a few hundred"
    else:
        data = _data(wishes.calibration, wishes, entering, labelled=False)
        yield f"  calibration = {data}  # <- samples like those of training, a few hundred"
    if wishes.evaluation is not None:
        data = _data(wishes.evaluation, wishes, entering, labelled=True)
        yield f"  evaluation  = {data}  # <- samples that training never saw"
    yield "}"


def _data(path: Path, wishes: Wishes, entering: Input, *, labelled: bool) -> str:
    if path.is_dir():
        crop = entering.height if isinstance(entering, ImageInput) else 224
        arguments = [_path(path, wishes)]
        if labelled and wishes.labels is not None:
            arguments.append(f"labels = {_path(wishes.labels, wishes)}")
        return f"images({', '.join(arguments)}, resize = {ceil(crop * 8 / 7)}, crop = {crop})"
    members = _members(path)
    arguments = [_path(path, wishes)]
    for key, known in (("images", _IMAGES), ("labels", _LABELS)):
        found = next((name for name in known if name in members), known[0])
        arguments += [f'{key} = "{found}"'] if found != known[0] else []
    return f"arrays({', '.join(arguments)})"


def _members(path: Path) -> frozenset[str]:
    try:
        with zipfile.ZipFile(path) as archive:
            return frozenset(name.removesuffix(".npy") for name in archive.namelist())
    except (OSError, zipfile.BadZipFile):
        raise HawqError(
            Diagnostic(
                code="HQ883",
                severity="error",
                message=f"'{path}' is neither a folder of pictures nor an .npz file",
                help="give a folder, or what `numpy.savez` wrote",
            )
        ) from None


def _path(path: Path, wishes: Wishes) -> str:
    """Return a path as the spec writes it: relative to the spec."""
    return string_text(
        os.path.relpath(path.resolve(), wishes.folder.resolve()).replace(os.sep, "/")
    )


def _quantize(wishes: Wishes, table: LayerTable) -> Iterator[str]:
    yield f"quantize {wishes.name} on machine with samples {{"
    yield "  # What a layer may be: wXaY is X-bit weights on a tensor of Y-bit integers."
    yield f"  precision = {_candidates(wishes)}"
    yield ""
    constraints = list(_constraints(wishes, table))
    if wishes.goal == "speed":
        yield "  # Of the fastest allocations, up to 5 % slower ones included, the one with the smallest loss."
        yield "  minimize latency within 5%, perturbation"
    elif wishes.goal != "accuracy":
        yield "  # Of all allocations that satisfy the constraints, one proven to have the smallest loss is taken."
        yield "  minimize perturbation"
    if constraints:
        yield "  subject to {"
        width = max(len(name) for name, _, _ in constraints)
        for name, text, why in constraints:
            yield f"    {f'{name}:':<{width + 1}} {text}  # {why}"
        yield "  }"
    yield ""
    yield "  emit card"
    yield "}"


def _candidates(wishes: Wishes) -> str:
    match wishes.goal:
        case "accuracy":
            return "w8a8"
        case "work":
            return "[w4a4, w4a8, w8a8]"
        case "speed":
            native = device(wishes.device).native
            return "[w4a4, w8a8]" if Precision(wbits=4, abits=4) in native else "w8a8"
        case "size":
            return "[w4a8, w8a8]"


def _constraints(wishes: Wishes, table: LayerTable) -> Iterator[tuple[str, str, str]]:
    choice = _candidates(wishes).startswith("[")
    if choice and wishes.goal == "size":
        share = _reachable([layer.params for layer in table.layers], Fraction(1, 2))
        yield "fits", f"size <= {share}% of size(w8a8)", "<- what the weights may take up"
    if choice and wishes.goal == "work":
        share = _reachable([layer.macs for layer in table.layers], Fraction(1, 4))
        yield "work", f"bops <= {share}% of bops(w8a8)", "<- products of bits"
    if choice:
        yield "ends", "precision(first, last) == w8a8", "the ends of a network suffer most"
    if choice and table.shared_input:
        yield "tied", "same precision across shared_input", "layers that read one tensor agree"
    if wishes.evaluation is not None and (
        wishes.labels is not None or not wishes.evaluation.is_dir()
    ):
        yield (
            "good",
            "accuracy_drop <= 1%",
            "percentage points, checked by running the integer program",
        )


def _reachable(weights: list[int], narrow: Fraction) -> int:
    """Return a share, in percent, halfway from what is possible with both ends wide to everything wide."""
    ends = weights[0] + (weights[-1] if len(weights) > 1 else 0)
    total = max(1, sum(weights))
    least = (ends + narrow * (total - ends)) / total
    return min(100, 5 * ceil((least + 1) / 2 * 20))


def _layers(table: LayerTable) -> Iterator[str]:
    yield '# The layers, as selectors call them ("layer1.*", first, conv):'
    yield "#"
    width = max((len(layer.name) for layer in table.layers), default=0)
    for layer in table.layers[:SHOWN]:
        size = f"{layer.params:>12,} weights {layer.macs:>15,} MACs"
        yield f"#   {layer.name:<{width}}  {layer.kind:<9} {size}"
    if len(table.layers) > SHOWN:
        yield f"#   and {len(table.layers) - SHOWN} more; `hawqc plan` lists all"
