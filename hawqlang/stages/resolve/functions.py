"""The functions of the language by what they give, with their arguments and what these mean."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Signature:
    """The arguments of a function: ``positional`` by position or name, ``named`` by name only."""

    positional: tuple[str, ...] = ()
    named: tuple[str, ...] = ()
    required: tuple[str, ...] = ()
    open: bool = False
    """Whether any further argument may be given by name."""
    example: str = ""
    doc: str = ""
    arguments: Mapping[str, str] = field(default_factory=dict[str, str])
    """What every argument is, with unit and default."""


_SAMPLES = {
    "samples": "how many calibration samples are used; unless written, as many as a bound on work allows"
}
_MODEL_PATH = {"path": "the file, relative to this one"}

_PYTHON = Signature(
    ("factory",),
    required=("factory",),
    open=True,
    example='python("package.module:factory")',
    doc="What a Python function returns. It runs code: refused without `--trust`.",
    arguments={"factory": '`"package.module:function"`'},
)

SOURCES: Mapping[str, Signature] = {
    "onnx": Signature(
        ("path",),
        required=("path",),
        example='onnx("net.onnx")',
        doc="An ONNX file.",
        arguments=_MODEL_PATH,
    ),
    "pt2": Signature(
        ("path",),
        required=("path",),
        example='pt2("net.pt2")',
        doc="A `torch.export` archive.",
        arguments=_MODEL_PATH,
    ),
    "zoo": Signature(
        ("name",),
        required=("name",),
        open=True,
        example='zoo("resnet18")',
        doc="A network definition that ships with the compiler and takes the usual public weights.",
        arguments={"name": "the network"},
    ),
    "python": _PYTHON,
    "layers": Signature(
        ("path",),
        required=("path",),
        example='layers("net.json")',
        doc="A table of layers instead of a network: enough for `check`, `plan` and `pareto`.",
        arguments={"path": "the JSON file, relative to this one"},
    ),
}

WEIGHT_FILES: Mapping[str, Signature] = {
    "file": Signature(
        ("path",),
        ("sha256",),
        required=("path",),
        example='file("net.safetensors")',
        doc="A file of weights; a state_dict is read without running code.",
        arguments={
            "path": "`.safetensors`, or a PyTorch state_dict",
            "sha256": "64 hexadecimal digits that the file must have",
        },
    ),
}

INPUTS: Mapping[str, Signature] = {
    "image": Signature(
        ("h", "w"),
        ("channels", "mean", "std", "scale", "order"),
        required=("h", "w"),
        example="image(224, 224)",
        doc="Integer pixels 0 to 255; the network sees `(pixel · scale − mean) / std`.",
        arguments={
            "h": "height in pixels",
            "w": "width in pixels",
            "channels": "3 unless written",
            "mean": "one number per channel, 0 unless written",
            "std": "one number per channel, 1 unless written",
            "scale": "1/255 unless written",
            "order": "`rgb` or `bgr`: the network's order; pixels always enter as RGB",
        },
    ),
    "tensor": Signature(
        ("dims",),
        ("low", "high"),
        required=("dims", "low", "high"),
        example="tensor([3, 32, 32], low = -1, high = 1)",
        doc="A tensor in the model's own order of axes; the artifact takes uint8 codes for it.",
        arguments={
            "dims": "its dimensions, without batch",
            "low": "its smallest value",
            "high": "its largest value",
        },
    ),
}

DATA: Mapping[str, Signature] = {
    "images": Signature(
        ("folder",),
        ("labels", "resize", "crop", "count"),
        required=("folder",),
        example='images("photos/", resize = 256, crop = 224)',
        doc="A folder of images.",
        arguments={
            "folder": "relative to this file",
            "labels": "a CSV file with the columns `file` and `label`",
            "resize": "pixels of the short side",
            "crop": "pixels of the square cut from the middle",
            "count": "how many images; `all` unless written",
        },
    ),
    "arrays": Signature(
        ("path",),
        ("images", "labels", "count"),
        required=("path",),
        example='arrays("data.npz")',
        doc="Arrays of a NumPy archive.",
        arguments={
            "path": "the `.npz` file, relative to this one",
            "images": 'name of the array of samples, `"x"` unless written',
            "labels": 'name of the array of labels, `"y"` unless written',
            "count": "how many samples; `all` unless written",
        },
    ),
    "zero_shot": Signature(
        ("count",),
        ("steps",),
        required=("count",),
        example="zero_shot(256, steps = 200)",
        doc="Samples made from the network's own batch-norm statistics: no data leaves anybody's hands.",
        arguments={"count": "how many samples", "steps": "of optimisation, 200 unless written"},
    ),
    "python": _PYTHON,
}

LATENCIES: Mapping[str, Signature] = {
    "modelled": Signature(
        example="modelled", doc="From the rates and the bandwidth of the device."
    ),
    "measured": Signature(example="measured", doc="Measured on the machine that plans or builds."),
    "profile": Signature(
        ("path",),
        required=("path",),
        example='profile("profile.json")',
        doc="What `hawqc profile` has measured.",
        arguments={"path": "the JSON file, relative to this one"},
    ),
}

_PERCENTILE = Signature(
    ("p",),
    required=("p",),
    example="percentile(99.99%)",
    doc="Clips what lies beyond a percentile of the values.",
    arguments={"p": "above 50% and at most 100%; `99.99` and `99.99%` are the same"},
)
_MINMAX = Signature(
    example="minmax", doc="From the smallest value to the largest: nothing is clipped."
)
_MSE = Signature(
    example="mse", doc="The range with the least squared error of rounding and clipping."
)

WEIGHT_RANGES: Mapping[str, Signature] = {
    "minmax": _MINMAX,
    "mse": _MSE,
    "percentile": _PERCENTILE,
}
ACTIVATION_RANGES: Mapping[str, Signature] = {
    "percentile": _PERCENTILE,
    "minmax": _MINMAX,
    "mse": _MSE,
    "entropy": Signature(
        example="entropy", doc="The range whose histogram diverges least from that of the values."
    ),
    "ema": Signature(
        ("m",),
        required=("m",),
        example="ema(0.99)",
        doc="The moving average of the ranges of batches.",
        arguments={"m": "the momentum, between 0 and 1"},
    ),
}
GRANULARITIES: Mapping[str, Signature] = {
    "per_channel": Signature(example="per_channel", doc="One step size per output channel."),
    "per_tensor": Signature(example="per_tensor", doc="One step size for the whole tensor."),
    "group": Signature(
        ("n",),
        required=("n",),
        example="group(128)",
        doc="One multiple of the channel's step size per group of input channels.",
        arguments={"n": "input channels in a group"},
    ),
}
SENSITIVITIES: Mapping[str, Signature] = {
    "hessian": Signature(
        (),
        ("probes", "tolerance", "samples"),
        example="hessian(probes = 64)",
        doc="The trace of the loss's Hessian times the squared error of rounding (HAWQ).",
        arguments={
            "probes": "random vectors at most, 64 unless written",
            "tolerance": "relative error at which probing stops, 1% unless written",
            "samples": "how many calibration samples, 32 unless written",
        },
    ),
    "fisher": Signature(
        (),
        ("samples",),
        example="fisher",
        doc="Half the squared error of the layer's output, weighted with its diagonal Fisher information.",
        arguments=_SAMPLES,
    ),
    "mse": Signature(
        (),
        ("samples",),
        example="mse",
        doc="The squared error of the layer's output, relative to the output's variance.",
        arguments=_SAMPLES,
    ),
    "kl": Signature(
        (),
        ("samples",),
        example="kl",
        doc="The divergence of the class probabilities with one layer alone at the candidate.",
        arguments=_SAMPLES,
    ),
    "measured": Signature(
        (),
        ("samples",),
        example="measured",
        doc="The increase of the cross entropy with one layer alone at the candidate.",
        arguments=_SAMPLES,
    ),
    "file": Signature(
        ("path",),
        required=("path",),
        example='file("s.json")',
        doc='From a file: `{"layer": {"w4a4": 0.5}}`.',
        arguments={"path": "the JSON file, relative to this one"},
    ),
}

_TUNED = ("lr", "distill")
_TUNED_MEAN = {
    "epochs": "passes over the training data",
    "lr": "the learning rate, 0.0001 unless written",
    "distill": "whether the float network's answers are learned too; `false` unless written",
}
FINETUNES: Mapping[str, Signature] = {
    "none": Signature(example="none", doc="No training."),
    "qat": Signature(
        ("epochs",),
        _TUNED,
        required=("epochs",),
        example="qat(epochs = 10)",
        doc="Straight-through training with learned steps.",
        arguments=_TUNED_MEAN,
    ),
    "overflow_aware": Signature(
        ("epochs",),
        _TUNED,
        required=("epochs",),
        example="overflow_aware(epochs = 10)",
        doc="Training under the bound of a narrow accumulator, which is proven after it.",
        arguments=_TUNED_MEAN,
    ),
    "mean_field": Signature(
        ("levels", "epochs"),
        _TUNED,
        required=("levels", "epochs"),
        example="mean_field(levels = [-1, 1], epochs = 300)",
        doc="Training of distributions over a few levels, such as binary or ternary weights.",
        arguments={"levels": "the whole numbers that a weight may be", **_TUNED_MEAN},
    ),
}
