"""Settings of ``quantize`` and ``layer`` blocks: how weights and activations become integers."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import Literal, TypeAlias

from hawqlang.ir import spec, syntax
from hawqlang.stages.resolve.amounts import Amount
from hawqlang.stages.resolve.bind import Arguments, call, fields
from hawqlang.stages.resolve.constants import amount, ungroup
from hawqlang.stages.resolve.functions import (
    ACTIVATION_RANGES,
    FINETUNES,
    GRANULARITIES,
    SENSITIVITIES,
    WEIGHT_RANGES,
    Signature,
)
from hawqlang.stages.resolve.keys import settings_of
from hawqlang.stages.resolve.read import boolean, listed, path, positive, ratio, whole, word
from hawqlang.stages.resolve.refusals import (
    ACTIVATION_GRANULARITIES,
    REFUSED_RANGES,
    REFUSED_SCHEMES,
    WEIGHT_GRANULARITIES,
    refuse,
)
from hawqlang.stages.resolve.report import RejectedError, error
from hawqlang.stages.resolve.scope import Context

Accumulator: TypeAlias = Literal["int32", "int24", "int16"]
Scheme: TypeAlias = Literal["symmetric", "affine"]
Rounding: TypeAlias = Literal["nearest", "adaptive", "stochastic"]
Granularity: TypeAlias = Literal["per_channel", "per_tensor"] | spec.GroupSize
Effort: TypeAlias = Literal["fast", "balanced", "best"]

ACCUMULATORS: tuple[Accumulator, ...] = ("int32", "int24", "int16")
SCHEMES: tuple[Scheme, ...] = ("symmetric", "affine")
ROUNDINGS: tuple[Rounding, ...] = ("nearest", "adaptive", "stochastic")
EFFORTS: tuple[Effort, ...] = ("fast", "balanced", "best")


class WeightChanges(spec.Frozen):
    """What a ``weights`` block sets; ``None`` is "not set here"."""

    granularity: Granularity | None = None
    scheme: Scheme | None = None
    range: spec.Range | None = None
    rounding: Rounding | None = None


class ActivationChanges(spec.Frozen):
    """What an ``activations`` block sets; ``None`` is "not set here"."""

    granularity: Literal["per_tensor"] | None = None
    scheme: Scheme | None = None
    range: spec.Range | None = None


def weight_block(block: syntax.Block, ctx: Context) -> WeightChanges:
    """Return what a ``weights { … }`` block sets."""
    names = settings_of("weights")
    body = fields(block.body.entries, ctx, "the `weights` block", block.name.span, names)
    return WeightChanges(
        granularity=body.read("granularity", _granularity, None),
        scheme=body.read("scheme", _scheme, None),
        range=body.read("range", _weight_range, None),
        rounding=body.read("rounding", _rounding, None),
    )


def activation_block(block: syntax.Block, ctx: Context) -> ActivationChanges:
    """Return what an ``activations { … }`` block sets."""
    names = settings_of("activations")
    body = fields(block.body.entries, ctx, "the `activations` block", block.name.span, names)
    return ActivationChanges(
        granularity=body.read("granularity", _per_tensor, None),
        scheme=body.read("scheme", _scheme, None),
        range=body.read("range", _activation_range, None),
    )


def accumulator(expr: syntax.Expr, ctx: Context) -> Accumulator:
    """Return the type of sums."""
    return word(expr, ctx, ACCUMULATORS, "an accumulator")


def effort(expr: syntax.Expr, ctx: Context) -> Effort:
    """Return how hard ranges and rounding are optimised."""
    return word(expr, ctx, EFFORTS, "a level of effort")


def residual(expr: syntax.Expr, ctx: Context) -> Literal[8, 16, 32]:
    """Return the bits of a stored tensor that an addition reads."""
    widths: dict[int, Literal[8, 16, 32]] = {8: 8, 16: 16, 32: 32}
    found = widths.get(whole(expr, ctx))
    if found is None:
        message = f"`{ctx.quote(expr.span)}` is not a width of `residual`"
        raise error("HQ209", message, expr.span, help="write `8`, `16` or `32`")
    return found


def _granularity(expr: syntax.Expr, ctx: Context) -> Granularity:
    refuse(expr, ctx, WEIGHT_GRANULARITIES)
    before = ctx.sink.errors
    arguments = call(expr, ctx, "a granularity of weights", GRANULARITIES)
    if arguments.function == "group":
        size = arguments.read("n", whole, 1)
        if ctx.sink.errors > before:
            raise RejectedError
        return spec.GroupSize(size=size)
    return "per_channel" if arguments.function == "per_channel" else "per_tensor"


def _scheme(expr: syntax.Expr, ctx: Context) -> Scheme:
    refuse(expr, ctx, REFUSED_SCHEMES)
    return word(expr, ctx, SCHEMES, "a scheme")


def _rounding(expr: syntax.Expr, ctx: Context) -> Rounding:
    return word(expr, ctx, ROUNDINGS, "a kind of rounding")


def _per_tensor(expr: syntax.Expr, ctx: Context) -> Literal["per_tensor"]:
    refuse(expr, ctx, ACTIVATION_GRANULARITIES)
    only: tuple[Literal["per_tensor"], ...] = ("per_tensor",)
    return word(expr, ctx, only, "a granularity of activations")


def _weight_range(expr: syntax.Expr, ctx: Context) -> spec.Range:
    return _range(expr, ctx, "a range of weights", WEIGHT_RANGES)


def _activation_range(expr: syntax.Expr, ctx: Context) -> spec.Range:
    refuse(expr, ctx, REFUSED_RANGES)
    return _range(expr, ctx, "a range of activations", ACTIVATION_RANGES)


def _range(
    expr: syntax.Expr, ctx: Context, what: str, table: Mapping[str, Signature]
) -> spec.Range:
    before = ctx.sink.errors
    arguments = call(expr, ctx, what, table)
    found: spec.Range
    match arguments.function:
        case "minmax":
            found = spec.MinMax()
        case "mse":
            found = spec.Mse()
        case "entropy":
            found = spec.Entropy()
        case "ema":
            found = spec.Ema(momentum=arguments.read("m", _momentum, Fraction(1, 2)))
        case _:
            found = spec.Percentile(p=arguments.read("p", _percentile, Fraction(1)))
    if ctx.sink.errors > before:
        raise RejectedError
    return found


def _percentile(expr: syntax.Expr, ctx: Context) -> Fraction:
    """Return a percentile as a ratio; ``99.99`` and ``99.99%`` are the same."""
    found = amount(expr, ctx)
    if found.dim == "number":
        found = Amount("ratio", found.constant / 100)
    elif found.dim not in ("ratio", "share"):
        ratio(expr, ctx)
    if not Fraction(1, 2) < found.constant <= 1:
        message = f"`{ctx.quote(expr.span)}` is out of range"
        help_ = "a percentile is above 50% and at most 100%"
        raise error("HQ209", message, expr.span, help=help_)
    return found.constant


def _momentum(expr: syntax.Expr, ctx: Context) -> Fraction:
    """Return a momentum between 0 and 1, as a number or a ratio."""
    found = amount(expr, ctx)
    if found.dim not in ("number", "ratio", "share"):
        ratio(expr, ctx)
    if not 0 < found.constant < 1:
        message = f"`{ctx.quote(expr.span)}` is out of range, a momentum lies between 0 and 1"
        raise error("HQ209", message, expr.span)
    return found.constant


def sensitivity(expr: syntax.Expr, ctx: Context) -> spec.Sensitivity:
    """Return how the loss of each choice of precision is estimated."""
    before = ctx.sink.errors
    arguments = call(expr, ctx, "a sensitivity", SENSITIVITIES)
    found: spec.Sensitivity
    match arguments.function:
        case "hessian":
            found = spec.HessianSensitivity(
                probes=arguments.read("probes", whole, 64),
                tolerance=arguments.read("tolerance", ratio, Fraction(1, 100)),
                samples=arguments.read("samples", whole, 32),
            )
        case "file":
            found = spec.FileSensitivity(path=arguments.read("path", path, ""), span=expr.span)
        case name:
            samples = arguments.read("samples", whole, 0) or None
            found = spec.NamedSensitivity.model_validate({"kind": name, "samples": samples})
    if ctx.sink.errors > before:
        raise RejectedError
    return found


def finetune(expr: syntax.Expr, ctx: Context) -> spec.Finetune | Literal["none"]:
    """Return how the network is trained after quantization."""
    before = ctx.sink.errors
    arguments = call(expr, ctx, "a method of fine-tuning", FINETUNES)
    match arguments.function:
        case "qat":
            method: Literal["qat", "overflow_aware", "mean_field"] = "qat"
        case "overflow_aware":
            method = "overflow_aware"
        case "mean_field":
            method = "mean_field"
        case _:
            return "none"
    epochs = arguments.read("epochs", whole, 1)
    levels = arguments.read("levels", _levels, ())
    free = _free(arguments)
    if ctx.sink.errors > before:
        raise RejectedError
    return spec.Finetune(method=method, epochs=epochs, levels=levels, arguments=free)


def _free(arguments: Arguments) -> tuple[tuple[str, Fraction | str | bool], ...]:
    found: list[tuple[str, Fraction | str | bool]] = []
    for name in arguments.values:
        if name == "lr":
            found.append((name, arguments.read(name, positive, Fraction(0))))
        elif name == "distill":
            found.append((name, arguments.read(name, boolean, False)))
    return tuple(found)


def _levels(expr: syntax.Expr, ctx: Context) -> tuple[int, ...]:
    found = listed(expr, ctx, "levels", _level)
    if len(found) < 2 or len(set(found)) < len(found):
        message = "`levels` must be at least two different whole numbers"
        raise error("HQ209", message, ungroup(expr).span, help="write `[-1, 1]`")
    return found


def _level(expr: syntax.Expr, ctx: Context) -> int:
    return whole(expr, ctx, -(2**15), 2**15 - 1)
