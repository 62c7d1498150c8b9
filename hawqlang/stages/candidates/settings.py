"""Effective settings: what holds for each layer once every ``layer`` block is applied."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from hawqlang.arith.width import level_bits
from hawqlang.base import Precision, Span
from hawqlang.diagnostics.model import Diagnostic, HawqError
from hawqlang.ir.candidates import LayerSettings
from hawqlang.ir.layers import LayerTable
from hawqlang.ir.spec import Build, LayerRule
from hawqlang.stages.candidates.selectors import select, unmatched

KEYS = (
    "precision",
    "granularity",
    "weight_scheme",
    "weight_range",
    "rounding",
    "activation_scheme",
    "activation_range",
    "accumulator",
    "bias_correction",
    "finetune",
)
"""The keys of a ``layer`` block, as ``LayerRule`` names them."""


@dataclass(frozen=True, slots=True)
class _Set:
    """A value that a ``layer`` block set, and the block."""

    value: Any
    by: Span


def settings(build: Build, table: LayerTable) -> tuple[LayerSettings, ...]:
    """Return the effective settings of every layer, in execution order.

    Of several ``layer`` blocks that set the same key for a layer the last wins, key by key.

    Raises:
        HawqError: a block's selector matches nothing (HQ502), a layer has no precision (HQ503), or levels to choose
            from beside zero points or groups (HQ454).
    """
    lost = [d for rule in build.layer_rules for d in unmatched(rule.selector, table)]
    if lost:
        raise HawqError(*lost)
    overrides: dict[str, dict[str, _Set]] = {layer.name: {} for layer in table.layers}
    for rule in build.layer_rules:
        own = {key: _Set(getattr(rule, key), rule.span) for key in written(rule)}
        for name in select(rule.selector, table):
            overrides[name] |= own
    effective = tuple(_effective(build, name, over) for name, over in overrides.items())
    bare = [one.layer for one in effective if not one.precision]
    if bare:
        raise HawqError(_without_precision(build, bare))
    torn = [one for one in effective if _has_levels(one) and not _plain(one)]
    if torn:
        raise HawqError(_levels_and_codes(build, torn))
    return effective


def written(rule: LayerRule) -> tuple[str, ...]:
    """Return the keys that a ``layer`` block sets."""
    return tuple(key for key in KEYS if getattr(rule, key) is not None)


def _has_levels(own: LayerSettings) -> bool:
    """Return whether a layer may come to choose its weights from given levels."""
    levels = () if own.finetune is None else own.finetune.levels
    return bool(levels) and any(p.wbits == level_bits(levels) for p in own.precision)


def _plain(own: LayerSettings) -> bool:
    return own.weights.scheme == "symmetric" and isinstance(own.weights.granularity, str)


def _effective(build: Build, name: str, over: dict[str, _Set]) -> LayerSettings:
    def pick(key: str, default: Any) -> Any:
        return over[key].value if key in over else default

    finetune = pick("finetune", build.finetune)
    rounding = pick("rounding", build.weights.rounding)
    precision: tuple[Precision, ...] = pick("precision", build.precision)
    return LayerSettings(
        layer=name,
        precision=tuple(dict.fromkeys(precision)),
        weights=build.weights.replace(
            granularity=pick("granularity", build.weights.granularity),
            scheme=pick("weight_scheme", build.weights.scheme),
            range=pick("weight_range", build.weights.range),
            rounding=rounding,
        )
        if over
        else build.weights,
        activations=build.activations.replace(
            scheme=pick("activation_scheme", build.activations.scheme),
            range=pick("activation_range", build.activations.range),
        )
        if over
        else build.activations,
        accumulator=pick("accumulator", build.accumulator),
        bias_correction=pick("bias_correction", build.bias_correction),
        finetune=None if finetune == "none" else finetune,
        seed=build.seed if rounding == "stochastic" else 0,
        rules=tuple((key, over[key].by) for key in KEYS if key in over),
    )


def _levels_and_codes(build: Build, torn: list[LayerSettings]) -> Diagnostic:
    own = torn[0]
    affine = own.weights.scheme == "affine"
    what = "zero points (`scheme = affine`)" if affine else "groups (`granularity = group(…)`)"
    more = f" and {len(torn) - 1} more" if len(torn) > 1 else ""
    return Diagnostic(
        code="HQ454",
        severity="error",
        message=f"the weights of '{own.layer}'{more} choose from given levels, which have no {what}",
        span=own.rule("weight_scheme" if affine else "granularity") or build.span,
        help="leave `scheme` and `granularity` out for these layers: levels are whole numbers times one scale per "
        "output channel, or per tensor",
    )


def _without_precision(build: Build, names: list[str]) -> Diagnostic:
    shown = ", ".join(f"'{name}'" for name in names[:3])
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return Diagnostic(
        code="HQ503",
        severity="error",
        message=f"no precision is given for {shown}{more}",
        span=build.span,
        label="no `precision` here, and no `layer` block covers them",
        help="write `precision = [w4a4, w8a8]` in the block, or a `layer` block that selects them",
    )
