"""Spec: names resolved, units converted, defaults filled in. What to build, never how.

Every quantity is an exact ``Fraction`` in the base unit of its dimension: bytes, seconds, MACs, BOPS, bytes/s,
MACs/s, and plain ratios (``80%`` is ``4/5``).
"""

from __future__ import annotations

from fractions import Fraction
from typing import Annotated, Literal

from pydantic import Field

from hawqlang.base import Frozen, Precision, Span
from hawqlang.ir.syntax import IgnoreComment

Dimension = Literal["number", "size", "time", "macs", "bops"]
"""Dimension of a metric expression; ratios and counts are plain numbers."""

Comparator = Literal["==", "!=", "<", "<=", ">", ">="]

Metric = Literal[
    "size",
    "bops",
    "macs",
    "latency",
    "perturbation",
    "switches",
    "peak_memory",
    "average_wbits",
    "average_abits",
    "accuracy",
    "accuracy_drop",
]

Property = Literal["precision", "wbits", "abits"]

# ---- models, data, targets -----------------------------------------------------------------------------------------


class OnnxSource(Frozen):
    """``onnx(path)``."""

    kind: Literal["onnx"] = "onnx"
    path: str


class Pt2Source(Frozen):
    """``pt2(path)``: a ``torch.export`` archive."""

    kind: Literal["pt2"] = "pt2"
    path: str


class ZooSource(Frozen):
    """``zoo("name", …)``; arguments are numbers, strings or booleans."""

    kind: Literal["zoo"] = "zoo"
    name: str
    arguments: tuple[tuple[str, Fraction | str | bool], ...] = ()


class PythonCall(Frozen):
    """``python("package.module:factory", …)``; only ever run under ``--trust``."""

    kind: Literal["python"] = "python"
    factory: str
    arguments: tuple[tuple[str, Fraction | str | bool], ...] = ()
    folder: str = "."
    """Where its modules are looked for first: beside the file that names it."""


class LayersSource(Frozen):
    """``layers(path)``: a table of layers instead of a network."""

    kind: Literal["layers"] = "layers"
    path: str


Source = Annotated[
    OnnxSource | Pt2Source | ZooSource | PythonCall | LayersSource, Field(discriminator="kind")
]


class WeightFile(Frozen):
    """``file(path, sha256 = …)``."""

    path: str
    sha256: str | None
    span: Span


class ImageInput(Frozen):
    """``image(h, w, …)``: RGB pixels in; the network sees ``(pixel·scale − mean) / std``, channels in ``order``."""

    kind: Literal["image"] = "image"
    height: int
    width: int
    channels: int = 3
    mean: tuple[Fraction, ...]
    std: tuple[Fraction, ...]
    scale: Fraction = Fraction(1, 255)
    order: Literal["rgb", "bgr"] = "rgb"


class TensorInput(Frozen):
    """``tensor([dims], low = …, high = …)``: dims without batch, in the model's own axis order."""

    kind: Literal["tensor"] = "tensor"
    dims: tuple[int, ...]
    low: Fraction
    high: Fraction


Input = Annotated[ImageInput | TensorInput, Field(discriminator="kind")]


class Model(Frozen):
    """A ``model`` declaration."""

    name: str
    source: Source
    weights: WeightFile | None
    input: Input | None
    """``None`` only for a layer table."""
    span: Span
    source_span: Span
    input_span: Span | None


class ImagesData(Frozen):
    """``images(folder, …)``; ``count`` ``None`` means all."""

    kind: Literal["images"] = "images"
    folder: str
    labels: str | None
    resize: int | None
    crop: int | None
    count: int | None
    span: Span


class ArraysData(Frozen):
    """``arrays(path.npz, images = "x", labels = "y", count = all)``."""

    kind: Literal["arrays"] = "arrays"
    path: str
    images: str
    labels: str | None
    count: int | None
    span: Span


class ZeroShotData(Frozen):
    """``zero_shot(count, steps = …)``."""

    kind: Literal["zero_shot"] = "zero_shot"
    count: int
    steps: int
    span: Span


class PythonData(Frozen):
    """``python(…)`` as data; only under ``--trust``."""

    kind: Literal["python"] = "python"
    call: PythonCall
    span: Span


Data = Annotated[ImagesData | ArraysData | ZeroShotData | PythonData, Field(discriminator="kind")]


class Dataset(Frozen):
    """A ``dataset`` declaration."""

    name: str
    calibration: Data | None
    evaluation: Data | None
    training: Data | None
    span: Span


class Device(Frozen):
    """What hardware offers: native precisions, their rates, and memory. Rates in MACs/s, bandwidth in bytes/s."""

    name: str
    """Catalogue name, or ``"custom"`` for a ``device { … }`` block."""
    family: Literal["cpu", "nvidia", "custom"]
    native: tuple[Precision, ...]
    rates: tuple[tuple[Precision, Fraction], ...]
    """One per native precision, in the order of ``native``, then those given for other precisions."""
    bandwidth: Fraction
    cache: Fraction | None
    launch: Fraction
    """Seconds per kernel."""
    arch: str | None = None
    """CUDA architecture (``sm_75``), or the CPU name a back end compiles for (``native``, ``x86_64``)."""


class Target(Frozen):
    """A ``target`` declaration."""

    name: str
    device: Device
    batch: int
    threads: int
    latency: Literal["modelled", "measured"] | ProfileLatency
    span: Span

    @property
    def latency_from(self) -> Literal["modelled", "measured", "profiled"]:
        """Return where latencies come from, in one word."""
        return "profiled" if isinstance(self.latency, ProfileLatency) else self.latency


class ProfileLatency(Frozen):
    """``profile("profile.json")``."""

    path: str
    span: Span | None = None


# ---- selectors -----------------------------------------------------------------------------------------------------


class Glob(Frozen):
    """A quoted pattern on layer names: ``*`` any run, ``?`` one, ``{name}`` one path segment."""

    kind: Literal["glob"] = "glob"
    pattern: str
    span: Span


class Keyword(Frozen):
    """A selector word."""

    kind: Literal["keyword"] = "keyword"
    word: Literal[
        "first",
        "last",
        "all",
        "conv",
        "linear",
        "depthwise",
        "pointwise",
        "downsample",
        "residual",
        "shared_input",
    ]
    span: Span


class KernelSize(Frozen):
    """``kernel(3, 3)``."""

    kind: Literal["kernel"] = "kernel"
    height: int
    width: int
    span: Span


class Channels(Frozen):
    """``channels >= 256`` on output channels."""

    kind: Literal["channels"] = "channels"
    op: Comparator
    value: int
    span: Span


class Union(Frozen):
    """``a, b``."""

    kind: Literal["union"] = "union"
    items: tuple[Selector, ...]
    span: Span


class Intersection(Frozen):
    """``a and b``."""

    kind: Literal["intersection"] = "intersection"
    items: tuple[Selector, ...]
    span: Span


class Difference(Frozen):
    """``a except b``."""

    kind: Literal["difference"] = "difference"
    base: Selector
    minus: Selector
    span: Span


Selector = Annotated[
    Glob | Keyword | KernelSize | Channels | Union | Intersection | Difference,
    Field(discriminator="kind"),
]

# ---- constraints ---------------------------------------------------------------------------------------------------


class MetricTerm(Frozen):
    """A metric of the model, at a baseline precision (``size(w8a8)``) and over some layers (``size("fc")``)."""

    kind: Literal["metric"] = "metric"
    metric: Metric
    at: Precision | Literal["fp32"] | None = None
    selector: Selector | None = None


class CountTerm(Frozen):
    """``count(S where p)``; without ``where`` the number of layers."""

    kind: Literal["count"] = "count"
    selector: Selector
    where: Predicate | None = None


class Term(Frozen):
    """``coefficient · of``."""

    coefficient: Fraction
    of: Annotated[MetricTerm | CountTerm, Field(discriminator="kind")]


class Linear(Frozen):
    """``constant + Σ terms``, in the base unit of ``dimension``; perturbation, switches, counts are ``number``."""

    dimension: Dimension
    constant: Fraction = Fraction(0)
    terms: tuple[Term, ...] = ()


class Compare(Frozen):
    """``left op right`` between metric expressions."""

    kind: Literal["compare"] = "compare"
    op: Comparator
    left: Linear
    right: Linear
    span: Span


class PropertyOf(Frozen):
    """``wbits(S)``; ``selector`` ``None`` is the bare word inside ``each`` and ``where``: the layer's own."""

    kind: Literal["property"] = "property"
    property: Property
    selector: Selector | None


class PropertyValue(Frozen):
    """A constant to compare a property with: bits, or a precision."""

    kind: Literal["value"] = "value"
    value: int | Precision


class PropertyCompare(Frozen):
    """``wbits(S) <= 4``: true when it holds for every layer (pair of layers) selected."""

    kind: Literal["property_compare"] = "property_compare"
    op: Comparator
    left: Annotated[PropertyOf | PropertyValue, Field(discriminator="kind")]
    right: Annotated[PropertyOf | PropertyValue, Field(discriminator="kind")]
    span: Span


class Same(Frozen):
    """``same precision across S``: within each group that S forms."""

    kind: Literal["same"] = "same"
    property: Property
    selector: Selector
    span: Span


class Each(Frozen):
    """``each S: p`` with bare properties in p."""

    kind: Literal["each"] = "each"
    selector: Selector
    predicate: Predicate
    span: Span


class And(Frozen):
    """Conjunction; a comparison chain becomes one."""

    kind: Literal["and"] = "and"
    items: tuple[Predicate, ...]
    span: Span


class Or(Frozen):
    """Disjunction."""

    kind: Literal["or"] = "or"
    items: tuple[Predicate, ...]
    span: Span


class Not(Frozen):
    """Negation."""

    kind: Literal["not"] = "not"
    item: Predicate
    span: Span


class Implies(Frozen):
    """``left implies right``."""

    kind: Literal["implies"] = "implies"
    left: Predicate
    right: Predicate
    span: Span


class Truth(Frozen):
    """``true`` or ``false``, also what a boolean param gives."""

    kind: Literal["truth"] = "truth"
    value: bool
    span: Span


Predicate = Annotated[
    Compare | PropertyCompare | Same | Each | And | Or | Not | Implies | Truth,
    Field(discriminator="kind"),
]


class Constraint(Frozen):
    """A named constraint. ``text`` is the expression as written, white space collapsed."""

    name: str
    predicate: Predicate
    text: str
    span: Span


class Goal(Frozen):
    """One objective; ``within`` is the slip allowed for the sake of the next ones, as a ratio."""

    metric: MetricTerm
    sense: Literal["minimize", "maximize"]
    within: Fraction
    span: Span | None


# ---- quantize ------------------------------------------------------------------------------------------------------


class MinMax(Frozen):
    """``minmax``."""

    kind: Literal["minmax"] = "minmax"


class Percentile(Frozen):
    """``percentile(99.99%)``; ``p`` is a ratio below or equal to 1."""

    kind: Literal["percentile"] = "percentile"
    p: Fraction


class Mse(Frozen):
    """``mse``."""

    kind: Literal["mse"] = "mse"


class Entropy(Frozen):
    """``entropy``."""

    kind: Literal["entropy"] = "entropy"


class Ema(Frozen):
    """``ema(m)``."""

    kind: Literal["ema"] = "ema"
    momentum: Fraction


class Automatic(Frozen):
    """What activations take where no range is written; it has no word."""

    kind: Literal["automatic"] = "automatic"

    def at(self, bits: int) -> Mse | Percentile:
        """Return the method for a width: ``mse`` below 8 bits, else ``percentile(99.999%)``."""
        return Mse() if bits < 8 else Percentile(p=Fraction(99_999, 100_000))


Range = Annotated[
    MinMax | Percentile | Mse | Entropy | Ema | Automatic, Field(discriminator="kind")
]


class GroupSize(Frozen):
    """``group(n)``: one scale per ``n`` input channels."""

    size: int


class WeightSettings(Frozen):
    """``weights { … }``."""

    granularity: Literal["per_channel", "per_tensor"] | GroupSize = "per_channel"
    scheme: Literal["symmetric", "affine"] = "symmetric"
    range: Range = MinMax()
    rounding: Literal["nearest", "adaptive", "stochastic"] = "nearest"


class ActivationSettings(Frozen):
    """``activations { … }``."""

    granularity: Literal["per_tensor"] = "per_tensor"
    scheme: Literal["affine", "symmetric"] = "affine"
    range: Range = Percentile(p=Fraction(9999, 10000))


class HessianSensitivity(Frozen):
    """``hessian(probes = 64, tolerance = 1%, samples = 32)``."""

    kind: Literal["hessian"] = "hessian"
    probes: int = 64
    tolerance: Fraction = Fraction(1, 100)
    samples: int = 32


class NamedSensitivity(Frozen):
    """``fisher``, ``mse``, ``kl`` or ``measured``, each also ``(samples = 128)``."""

    kind: Literal["fisher", "mse", "kl", "measured"]
    samples: int | None = None
    """``None``: as many as a fixed amount of work allows."""


class FileSensitivity(Frozen):
    """``file("s.json")``."""

    kind: Literal["file"] = "file"
    path: str
    span: Span | None = None


Sensitivity = Annotated[
    HessianSensitivity | NamedSensitivity | FileSensitivity, Field(discriminator="kind")
]


class Finetune(Frozen):
    """``qat(…)``, ``overflow_aware(…)`` or ``mean_field(…)`` with its arguments as written."""

    method: Literal["qat", "overflow_aware", "mean_field"]
    epochs: int
    levels: tuple[int, ...] = ()
    arguments: tuple[tuple[str, Fraction | str | bool], ...] = ()


class LayerRule(Frozen):
    """``layer S { … }``: what it sets; ``None`` means "not set here"."""

    selector: Selector
    precision: tuple[Precision, ...] | None = None
    granularity: Literal["per_channel", "per_tensor"] | GroupSize | None = None
    weight_scheme: Literal["symmetric", "affine"] | None = None
    weight_range: Range | None = None
    rounding: Literal["nearest", "adaptive", "stochastic"] | None = None
    activation_scheme: Literal["affine", "symmetric"] | None = None
    activation_range: Range | None = None
    accumulator: Literal["int32", "int24", "int16"] | None = None
    bias_correction: bool | None = None
    finetune: Finetune | Literal["none"] | None = None
    span: Span


class Emit(Frozen):
    """One thing to generate, with the options that belong to it."""

    what: Literal["tvm", "cuda", "c", "onnx", "card", "report"]
    cpu: str | None = None
    arch: tuple[str, ...] = ()
    opset: int | None = None
    span: Span | None
    """``None`` where no ``emit`` was written and the target's back end is meant."""


class Build(Frozen):
    """A ``quantize`` block: one thing to build."""

    name: str
    model: Model
    target: Target
    dataset: Dataset | None
    precision: tuple[Precision, ...]
    """Candidates of every layer, in the order written; empty when layer rules cover every layer."""
    weights: WeightSettings = WeightSettings()
    activations: ActivationSettings = ActivationSettings()
    residual: Literal[8, 16, 32] = 8
    accumulator: Literal["int32", "int24", "int16"] = "int32"
    bias_correction: bool = True
    sensitivity: Sensitivity = NamedSensitivity(kind="kl")
    effort: Literal["fast", "balanced", "best"] = "fast"
    finetune: Finetune | None = None
    objective: tuple[Goal, ...]
    attempts: int = 8
    constraints: tuple[Constraint, ...] = ()
    layer_rules: tuple[LayerRule, ...] = ()
    emits: tuple[Emit, ...]
    seed: int = 0
    span: Span
    """The head of the block: ``quantize … as NAME``."""


class ParamValue(Frozen):
    """A resolved param, as ``hawqc show`` prints it."""

    name: str
    type: Literal["int", "float", "bool", "string", "size", "time", "work", "ratio", "precision"]
    value: Fraction | bool | str | Precision
    text: str
    overridden: bool
    span: Span


class Deferred(Frozen):
    """A setting that is fully typed but whose engine this version does not have; ``build`` stops at it."""

    build: str
    what: str
    """In the reader's words: ``rounding = adaptive``."""
    span: Span


class Spec(Frozen):
    """A whole resolved spec: the main file with all its imports."""

    version: int
    file: str
    root: str
    """The project folder that imports may not leave."""
    sources: tuple[tuple[str, str], ...]
    """Every ``.hawq`` file read: path and sha256 of its bytes."""
    params: tuple[ParamValue, ...]
    builds: tuple[Build, ...]
    deferred: tuple[Deferred, ...] = ()
    models: tuple[Model, ...] = ()
    """Every model declared, used or not; likewise the next two."""
    datasets: tuple[Dataset, ...] = ()
    targets: tuple[Target, ...] = ()
    ignores: tuple[IgnoreComment, ...] = ()
    """``# hawq: ignore`` comments whose codes belong to later steps."""
