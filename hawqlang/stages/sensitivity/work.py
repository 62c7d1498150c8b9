"""How many samples a method looks at where the spec does not say: as many as a bound on work allows.

More samples always rank better, and cheap methods and small networks can afford more of them. The bound counts
multiply-accumulates, not seconds, so that the result does not depend on the machine.
"""

from __future__ import annotations

from itertools import accumulate

from hawqlang.ir.spec import NamedSensitivity
from hawqlang.stages.import_model.layer_table import layer_table
from hawqlang.stages.sensitivity.trial import Trials

WORK = 600 * 10**9
"""Multiply-accumulates of all samples together: about 25 seconds of one core."""

LEAST_SAMPLES = 32
"""With fewer, a few samples decide; large networks take this many, whatever the work."""

MOST_SAMPLES = 256

BACKWARD = 2
"""Work of a backward pass in forward passes."""


def sample_count(trials: Trials, method: NamedSensitivity) -> int:
    """Return how many samples are wanted: what the spec says, else what :data:`WORK` allows."""
    if method.samples is not None:
        return method.samples
    allowed = WORK // max(work_of_a_sample(trials, method), 1)
    return max(LEAST_SAMPLES, min(MOST_SAMPLES, allowed))


def work_of_a_sample(trials: Trials, method: NamedSensitivity) -> int:
    """Return the multiply-accumulates that one sample takes."""
    layers = layer_table(trials.model.graph).layers
    candidates = {node.name: len(trials.candidates(node)) for node in trials.nodes}
    total = sum(layer.macs for layer in layers)
    match method.kind:
        case "mse":
            passes = total
            each = {layer.name: layer.macs for layer in layers}
        case "fisher":
            passes = (1 + BACKWARD) * total
            each = {layer.name: layer.macs for layer in layers}
        case "kl" | "measured":
            passes = 2 * total
            from_end = list(accumulate(layer.macs for layer in reversed(layers)))
            each = {
                layer.name: behind for layer, behind in zip(layers, reversed(from_end), strict=True)
            }
    return passes + sum(count * each[name] for name, count in candidates.items())
