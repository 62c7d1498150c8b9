"""Which ranges a build needs: every tensor at every width that one of its readers may want."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from hawqlang.diagnostics import Diagnostic
from hawqlang.ir.candidates import LayerSettings
from hawqlang.ir.graph import Graph
from hawqlang.ir.spec import (
    ActivationSettings,
    Automatic,
    Ema,
    ImageInput,
    Input,
    Percentile,
    Range,
)
from hawqlang.stages.calibrate.observed import Interval
from hawqlang.stages.quantize import Scheme
from hawqlang.stages.structure import (
    BYTE_BITS,
    INNER_BITS,
    LOGITS_BITS,
    TAIL_BITS,
    Form,
    Reader,
    root_readers,
)

Report = Callable[[Diagnostic], None]


@dataclass(frozen=True, slots=True)
class RangeRequest:
    """One row of the range table to be filled."""

    form: Form
    method: Range
    scheme: Scheme


def range_requests(
    graph: Graph,
    settings: Mapping[str, LayerSettings],
    default: ActivationSettings,
    residual: int,
    report: Report,
) -> tuple[RangeRequest, ...]:
    """Return what to calibrate, in execution order of the tensors, widths ascending.

    A tensor is stored once per width, so readers of one width share one range; at 32 bits nothing
    is clipped and no range is needed. What a layer rule says of a reader goes before ``default``,
    which additions and the tail of the network use; of two layers that a rule sets differently the
    first in execution order is followed, with a warning (HQ413).

    Args:
        graph: The float network.
        settings: Of every layer; all its candidates' widths get a range.
        default: The build's settings for activations.
        residual: Bits of a stored tensor that an addition reads.
        report: Takes warnings.
    """
    order = {value.name: index for index, value in enumerate(graph.values)}
    wanted: dict[Form, list[str]] = {}
    for root, who in root_readers(graph).items():
        for reader in who:
            for bits in _widths(reader, settings, residual):
                layers = wanted.setdefault(Form(root, bits), [])
                if reader.kind == "layer":
                    layers.append(reader.name)
    forms = sorted(wanted, key=lambda form: (order[form.root], form.bits))
    return tuple(_request(form, wanted[form], settings, default, report) for form in forms)


def _widths(reader: Reader, settings: Mapping[str, LayerSettings], residual: int) -> list[int]:
    match reader.kind:
        case "layer":
            return sorted({precision.abits for precision in settings[reader.name].candidates})
        case "add":
            return [residual] if residual < LOGITS_BITS else []
        case "inner":
            return [min(residual, INNER_BITS)]
        case "tail":
            return [TAIL_BITS]
        case "byte":
            return [BYTE_BITS]
        case "logits":
            return [LOGITS_BITS]


def _request(
    form: Form,
    layers: Iterable[str],
    settings: Mapping[str, LayerSettings],
    default: ActivationSettings,
    report: Report,
) -> RangeRequest:
    """Return the request for one tensor and width that ``layers`` read."""
    ruled = [name for name in layers if settings[name].activations != default]
    chosen = settings[ruled[0]].activations if ruled else default
    for name in ruled[1:]:
        if settings[name].activations != chosen:
            report(_disagreement(form, ruled[0], name))
    return RangeRequest(form, chosen.range, chosen.scheme)


def _disagreement(form: Form, first: str, other: str) -> Diagnostic:
    return Diagnostic(
        code="HQ413",
        severity="warning",
        message=f"'{first}' and '{other}' read one tensor at {form.bits} bits but their rules "
        "set its range differently",
        notes=(f"the settings of '{first}', which runs first, are used for both",),
        help="give both layers the same activation settings, or different widths",
    )


def input_interval(given: Input) -> Interval:
    """Return the smallest and largest value the network can see at its input."""
    if not isinstance(given, ImageInput):
        return float(given.low), float(given.high)
    ends = [
        (float((pixel * given.scale - mean) / std))
        for mean, std in zip(given.mean, given.std, strict=True)
        for pixel in (0, 255)
    ]
    return min(ends), max(ends)


def describe(method: Range) -> str:
    """Return a range method as a spec and a card write it: ``percentile(99.99%)``."""
    match method:
        case Percentile():
            return f"percentile({float(method.p * 100):g}%)"
        case Ema():
            return f"ema({float(method.momentum):g})"
        case Automatic():
            return f"{describe(method.at(4))} below 8 bits, {describe(method.at(8))} from there"
        case _:
            return method.kind
