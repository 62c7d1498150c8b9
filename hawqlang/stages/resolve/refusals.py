"""Ways of quantizing that are known and refused on purpose: said so, with the reason, instead of as an unknown word."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from hawqlang.ir import syntax
from hawqlang.stages.resolve.constants import ungroup
from hawqlang.stages.resolve.report import error
from hawqlang.stages.resolve.scope import Context

Refusals = Mapping[str, "Refusal"]
"""By the word that a spec would use."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why something is refused, and what there is instead."""

    reason: str
    instead: str


def refuse(expr: syntax.Expr, ctx: Context, known: Refusals) -> None:
    """Raise HQ261 where a value, bare or called, is one of the refused.

    Raises:
        RejectedError: it is.
    """
    expr = ungroup(expr)
    match expr:
        case syntax.Name():
            name = expr.text
        case syntax.Call():
            name = expr.function.text
        case _:
            return
    if name in known:
        message = f"`{ctx.quote(expr.span)}` is refused: {known[name].reason}"
        raise error("HQ261", message, expr.span, help=known[name].instead)


_DYNAMIC = Refusal(
    "a range found anew for every input takes floats and a division at run time, "
    "and no sum could be proven to fit",
    "ranges are fixed by calibration: write `range = percentile(99.99%)` or `range = mse`",
)
_PER_CHANNEL = Refusal(
    "a scale that varies along the input's channels cannot be taken out of an integer sum",
    "leave it out: activations have one scale per tensor, weights `granularity = per_channel`",
)
_CODEBOOK = Refusal(
    "codes that stand for vectors are looked up in float, not multiplied as integers",
    "for levels of your own, one weight at a time: `finetune = mean_field(levels = [-1, 0, 1], "
    "epochs = 10)`",
)
_CODEBOOKS = ("vector", "vq", "codebook", "product", "kmeans")

REFUSED_RANGES: Refusals = {"dynamic": _DYNAMIC}
ACTIVATION_GRANULARITIES: Refusals = {
    "per_channel": _PER_CHANNEL,
    "per_token": _DYNAMIC,
    "group": _PER_CHANNEL,
    "dynamic": _DYNAMIC,
}
WEIGHT_GRANULARITIES: Refusals = dict.fromkeys(_CODEBOOKS, _CODEBOOK)
REFUSED_SCHEMES: Refusals = {**dict.fromkeys(_CODEBOOKS, _CODEBOOK), "dynamic": _DYNAMIC}
