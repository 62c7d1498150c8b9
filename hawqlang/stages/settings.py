"""What a build's settings come to for each layer, layer rules applied."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from typing import Literal

from hawqlang.base import Precision
from hawqlang.ir.spec import (
    ActivationSettings,
    Build,
    Finetune,
    LayerRule,
    Selector,
    WeightSettings,
)


@dataclass(frozen=True, slots=True)
class LayerSettings:
    """Everything a spec can say about one layer."""

    candidates: tuple[Precision, ...]
    weights: WeightSettings = field(default_factory=WeightSettings)
    activations: ActivationSettings = field(default_factory=ActivationSettings)
    """Of the tensor that the layer reads."""
    accumulator: Literal["int32", "int24", "int16"] = "int32"
    bias_correction: bool = True
    finetune: Finetune | None = None


def layer_settings(
    build: Build, layers: Iterable[str], select: Callable[[Selector], Collection[str]]
) -> dict[str, LayerSettings]:
    """Return the settings of every layer: the build's own, then each rule in turn, key by key.

    Args:
        build: The quantize block.
        layers: Layer names, in execution order.
        select: The layers that a selector stands for.
    """
    found = {
        name: LayerSettings(
            candidates=build.precision,
            weights=build.weights,
            activations=build.activations,
            accumulator=build.accumulator,
            bias_correction=build.bias_correction,
            finetune=build.finetune,
        )
        for name in layers
    }
    for rule in build.layer_rules:
        for name in select(rule.selector):
            found[name] = _ruled(found[name], rule)
    return found


def _ruled(settings: LayerSettings, rule: LayerRule) -> LayerSettings:
    """Return ``settings`` with what ``rule`` sets."""
    weights, activations = settings.weights, settings.activations
    finetune = settings.finetune if rule.finetune is None else rule.finetune
    return LayerSettings(
        candidates=settings.candidates if rule.precision is None else rule.precision,
        weights=WeightSettings(
            granularity=weights.granularity if rule.granularity is None else rule.granularity,
            scheme=rule.weight_scheme or weights.scheme,
            range=rule.weight_range or weights.range,
            rounding=rule.rounding or weights.rounding,
        ),
        activations=ActivationSettings(
            granularity=activations.granularity,
            scheme=rule.activation_scheme or activations.scheme,
            range=rule.activation_range or activations.range,
        ),
        accumulator=rule.accumulator or settings.accumulator,
        bias_correction=(
            settings.bias_correction if rule.bias_correction is None else rule.bias_correction
        ),
        finetune=None if finetune == "none" else finetune,
    )
