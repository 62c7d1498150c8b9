"""What became of the tuning, as a card says it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection

from hawqlang.ir.candidates import LayerSettings
from hawqlang.ir.tuning import Correction, Tuning
from hawqlang.stages.tune.recipe import WORDS

NEAREST = "round to nearest even"


def plain_rounding(layers: Collection[LayerSettings]) -> str:
    """Return how weights are rounded where no tuning changes them."""
    seeds = [own.seed for own in layers if own.weights.rounding == "stochastic"]
    if not seeds:
        return NEAREST
    words = f"stochastic, seed {seeds[0]}"
    return words if len(seeds) == len(layers) else f"{words}, in {len(seeds)} layers; {NEAREST}"


def rounding_words(tuning: Tuning, plain: str = NEAREST) -> str:
    """Return how the integer weights were found."""
    if not tuning.trials:
        return plain
    errors = "; ".join(
        f"{', '.join(WORDS[c] for c in trial.corrections) or plain}:"
        f" {trial.error:.2g}{'' if trial.kept else ' (dropped)'}"
        for trial in tuning.trials
    )
    counts: Counter[Correction] = Counter(step for row in tuning.layers for step in row.kept)
    kept = ", ".join(f"{WORDS[step]} in {count}" for step, count in counts.items())
    found = f"kept, of {len(tuning.layers)} layers: {kept}" if kept else plain
    last = ". At last fitted on all samples, in the same steps" if tuning.pooled else ""
    return (
        f"{found}. Fitted on {tuning.fitted} samples; divergence from the float network on"
        f" {tuning.held_out} held-out samples: {errors}{last}"
    )


def bias_words(tuning: Tuning) -> str:
    """Return what became of the bias correction."""
    if tuning.trials:
        count = sum("bias" in row.kept for row in tuning.layers)
        return f"kept for {count} layers, as part of the rounding" if count else "none"
    if tuning.error_after is None or tuning.error_before is None:
        return "none"
    errors = f"logit error {tuning.error_before:.2g} without, {tuning.error_after:.2g} with it"
    judged = f"on {tuning.held_out} held-out samples"
    if tuning.kept:
        return f"kept for {len(tuning.biases)} layers, fitted on {tuning.fitted}: {errors} {judged}"
    return f"tried and dropped: {errors} {judged}"
