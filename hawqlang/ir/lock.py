"""Lock and SavedPlan: what a build was made from and what came out, as JSON that people review.

Tables are JSON objects in the file and tuples of pairs here, so that values compare and hash.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, cast

from pydantic import AfterValidator, BeforeValidator, Field, PlainSerializer

from hawqlang.base import Frozen, Precision
from hawqlang.ir.evaluation import Evaluation
from hawqlang.ir.plan import Status

FORMAT_VERSION = 1
PLAN_KIND = "hawqc plan"
SUFFIX = ".lock"


def _pairs(value: Any) -> Any:
    """Return the members of a JSON object as a tuple of pairs, lists inside them as tuples."""
    if not isinstance(value, dict):
        return value
    members = cast("dict[str, Any]", value).items()
    return tuple((key, _immutable(member)) for key, member in members)


def _immutable(value: Any) -> Any:
    """Return JSON with tuples for lists: what was parsed already is no longer read as JSON."""
    match value:
        case list():
            return tuple(_immutable(item) for item in cast("list[Any]", value))
        case dict():
            members = cast("dict[str, Any]", value).items()
            return {key: _immutable(member) for key, member in members}
        case _:
            return value


def parse_precision(text: str) -> Precision:
    """Return the precision that ``w4a8`` writes; ``ValueError`` for anything else."""
    weights, _, inputs = text.removeprefix("w").partition("a")
    digits = text.startswith("w") and all(
        part.isascii() and part.isdecimal() and len(part) <= 2 for part in (weights, inputs)
    )
    if digits and 1 <= int(weights) <= 16 and 1 <= int(inputs) <= 16:
        return Precision(wbits=int(weights), abits=int(inputs))
    message = "a precision is written like w4a8"
    raise ValueError(message)


def _precision(value: Any) -> Any:
    return parse_precision(value) if isinstance(value, str) else value


def _row(value: Any) -> Any:
    return tuple(value.split()) if isinstance(value, str) else value


def _joined(row: tuple[Precision, ...]) -> str:
    return " ".join(map(str, row))


_AS_OBJECT = PlainSerializer(dict)
Number = Annotated[float, Field(ge=-1e300, le=1e300, allow_inf_nan=False)]
"""A finite number, small enough that a difference of two is one too."""
Weights = Annotated[int, Field(ge=0, lt=2**63)]
"""A number of weights."""
Width = Annotated[Precision, BeforeValidator(_precision), PlainSerializer(str)]
Texts = Annotated[tuple[tuple[str, str], ...], BeforeValidator(_pairs), _AS_OBJECT]
"""A JSON object of strings."""
Numbers = Annotated[tuple[tuple[str, Number], ...], BeforeValidator(_pairs), _AS_OBJECT]
"""A JSON object of numbers."""


def _by_precision(row: tuple[tuple[Precision, float], ...]) -> dict[str, float]:
    return {str(precision): value for precision, value in row}


Costs = Annotated[
    tuple[tuple[Width, Annotated[float, Field(ge=0, allow_inf_nan=False)]], ...],
    BeforeValidator(_pairs),
    PlainSerializer(_by_precision),
]
"""A JSON object of sensitivities by precision."""
Row = Annotated[tuple[Width, ...], BeforeValidator(_row), PlainSerializer(_joined)]
"""The precisions of all layers in execution order: ``w8a8 w4a4 w8a8``."""


class Origin(Frozen):
    """What a build is made from. Paths are relative to the spec, with ``/``."""

    settings: Texts
    """``--set`` values, as they can be given again."""
    versions: Texts
    """``hawqc`` and the libraries that take part in the result."""
    inputs: Texts
    """Role and path of every input, with its sha256."""
    resolved: str
    """Digest of the build as resolved, places in the text apart."""
    measured_from: str
    """Digest of all that sensitivities depend on."""


class Measured(Frozen):
    """How the recorded sensitivities came about."""

    method: str
    probes: int | None = None
    converged: bool | None = None
    labels: bool | None = None
    samples: int | None = None
    seed: int | None = None
    seal: str | None = None
    """Digest of all that was measured, so that an edit by hand shows; ``None`` in locks of earlier versions."""


class Timed(Frozen):
    """Where the recorded latencies were measured."""

    cpu: str
    machine: str
    """Instruction set that ran."""
    batch: int = Field(ge=1)
    threads: int = Field(ge=1)
    seal: str
    """Digest of all that was measured, so that an edit by hand shows."""


class LockedLayer(Frozen):
    """One layer: its precision, and all that was measured on it."""

    name: str
    precision: Width
    params: Weights
    sensitivity: Costs = ()
    weight_trace: Number | None = None
    weight_trace_stderr: Number | None = None
    activation_trace: Number | None = None
    activation_trace_stderr: Number | None = None
    latency_us: Costs | None = None
    """Measured, for the target's batch; ``None`` where latency is not measured."""


class LockedConstraint(Frozen):
    """One constraint as it stood, in base units."""

    name: str
    text: str
    value: Number | None = None
    bound: Number | None = None
    unit: Literal["B", "s", "MACs", "BOPS", "", "%"] = ""


def _distinct(layers: tuple[LockedLayer, ...]) -> tuple[LockedLayer, ...]:
    """Return the layers; ``ValueError`` where two have one name."""
    if len({layer.name for layer in layers}) < len(layers):
        message = "two layers have one name"
        raise ValueError(message)
    return layers


class Entry(Frozen):
    """One build: from what, what was chosen, and what that came to."""

    origin: Origin
    measured: Measured | None = None
    """``None`` where sensitivities were read from a file or a layer table."""
    timed: Timed | None = None
    """``None`` where latency is not measured."""
    layers: Annotated[tuple[LockedLayer, ...], Field(min_length=1), AfterValidator(_distinct)]
    """In execution order."""
    refused: tuple[Row, ...] = ()
    """Allocations that failed a constraint on accuracy before this one, best first."""
    status: Status
    gap: Number | None = None
    objective: Numbers
    metrics: Numbers
    constraints: tuple[LockedConstraint, ...] = ()
    evaluation: Evaluation | None = None
    dyadic: str | None = None
    """Digest of the dyadic numbers of all stored tensors; ``None`` in a plan."""
    program: str | None = None
    """sha256 of the integer program, which names every constant by its digest; ``None`` in a plan."""

    def allocation(self) -> dict[str, Precision]:
        """Return the precision of every layer, in execution order."""
        return {layer.name: layer.precision for layer in self.layers}

    def refusals(self) -> tuple[dict[str, Precision], ...]:
        """Return the refused allocations by layer; a row of another length is left out."""
        names = [layer.name for layer in self.layers]
        rows = [row for row in self.refused if len(row) == len(names)]
        return tuple(dict(zip(names, row, strict=True)) for row in rows)


Entries = Annotated[tuple[tuple[str, Entry], ...], BeforeValidator(_pairs), _AS_OBJECT]
"""A JSON object of entries by the name of the build."""


class Lock(Frozen):
    """``SPEC.hawq.lock``."""

    format_version: Literal[1] = FORMAT_VERSION
    builds: Entries = ()

    def entry(self, build: str) -> Entry | None:
        """Return the entry of a build."""
        return dict(self.builds).get(build)


class SavedPlan(Frozen):
    """What ``hawqc plan -o`` writes and ``hawqc build`` takes."""

    format_version: Literal[1] = FORMAT_VERSION
    kind: Literal["hawqc plan"] = PLAN_KIND
    spec: str
    """Path of the spec, relative to the folder of this file, with ``/``."""
    builds: Entries

    def entry(self, build: str) -> Entry | None:
        """Return the entry of a build."""
        return dict(self.builds).get(build)
