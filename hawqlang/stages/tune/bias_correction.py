"""Bias correction: each layer's mean output made what it is in float, channel by channel.

    bias'[c] = bias[c] + mean(W x)[c] - mean(Q(W) Q(x))[c]

Layer by layer in execution order, ``Q(x)`` being what the layers before it give with their own
corrected biases (Nagel et al., "Data-Free Quantization Through Weight Equalization and Bias
Correction", section 4.2, in its empirical form). Since a shifted mean can also do harm, samples
held out decide: the correction is kept only where it brings their logits closer to the float
network's.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from hawqlang.ir.graph import Graph
from hawqlang.stages.batches import Stream, chunk_size
from hawqlang.stages.feedback import Feedback
from hawqlang.stages.float_model import FloatModel
from hawqlang.stages.quantize import Float64
from hawqlang.stages.simulate import Deployment, Key, Simulation
from hawqlang.stages.structure import LayerNode, layer_nodes
from hawqlang.stages.tune.replay import (
    LEAST_SAMPLES,
    Replay,
    held_out,
    logit_error,
    sample_limit,
)
from hawqlang.stages.tune.taps import mean_outputs, tap_means


@dataclass(frozen=True, slots=True)
class BiasCorrection:
    """Corrected biases and what they are worth on held-out samples."""

    biases: dict[str, Float64]
    """By layer; those of the rejected attempt where ``kept`` is false."""
    kept: bool
    error_before: float
    error_after: float
    fitted: int
    held_out: int


@dataclass(frozen=True, slots=True)
class _Floats:
    """What the float network gives."""

    means: dict[str, torch.Tensor]
    """Mean output of each layer ``(N, OC)``, over positions."""
    logits: torch.Tensor


def wants_correction(graph: Graph, deployment: Deployment) -> frozenset[str]:
    """Return the layers whose settings ask for corrected biases."""
    return frozenset(
        node.name for node in layer_nodes(graph) if deployment.settings[node.name].bias_correction
    )


def correct_biases(
    model: FloatModel,
    simulation: Simulation,
    samples: Stream,
    feedback: Feedback,
) -> BiasCorrection | None:
    """Return corrected biases, or ``None`` where there are too few samples to judge them.

    The simulation holds the corrected biases afterwards if they are kept, else its own again. Only
    layers whose settings ask for it are corrected. Samples are used up to what ``replay.BYTES`` and
    ``replay.MACS`` allow; every fourth one is held out.

    Args:
        model: The float network.
        simulation: The quantized network.
        samples: Calibration samples as the network sees them; read twice, from the start.
        feedback: Gets layers done.
    """
    wanted = wants_correction(model.graph, simulation.deployment)
    room = samples.first(sample_limit(simulation))
    with torch.inference_mode():
        replay = Replay(simulation, room)
        if replay.count < LEAST_SAMPLES:
            return None
        floats = _floats(model, room)
        held = held_out(replay.count)
        target = floats.logits[held]
        before = logit_error(replay.again(simulation, held).finish(), target)
        own = {name: simulation.bias(name) for name in wanted}
        means = {name: found[~held].mean(0) for name, found in floats.means.items()}
        fitted = _fit(replay.again(simulation, ~held), means, wanted, feedback)
        after = logit_error(replay.again(simulation, held).finish(), target)
    kept = after < before
    if not kept:
        for name, bias in own.items():
            simulation.set_bias(name, bias)
    count = int(held.sum())
    return BiasCorrection(fitted, kept, before, after, replay.count - count, count)


def _floats(model: FloatModel, samples: Stream) -> _Floats:
    """Return what the float network gives for all samples."""
    layers = {node.output: node.name for node in layer_nodes(model.graph)}
    means: dict[str, list[torch.Tensor]] = {name: [] for name in layers.values()}

    def see(name: str, x: torch.Tensor) -> torch.Tensor:
        if name in layers:
            means[layers[name]].append((x if x.ndim == 2 else x.mean((2, 3))).double())
        return x

    batches = samples.batches(chunk_size(model.graph))
    logits = torch.cat([model.run(chunk, intercept=see).output for chunk in batches])
    return _Floats({name: torch.cat(parts) for name, parts in means.items()}, logits)


def _fit(
    replay: Replay,
    means: dict[str, torch.Tensor],
    wanted: frozenset[str],
    feedback: Feedback,
) -> dict[str, Float64]:
    """Return the corrected biases, fitted in execution order; the simulation gets each at once."""
    simulation = replay.simulation
    layers = len(layer_nodes(simulation.graph))
    fitted: dict[str, Float64] = {}
    done = 0
    for node in simulation.graph.nodes:
        if isinstance(node, LayerNode):
            feedback.doing(node.name)
            if node.name in wanted:
                fitted[node.name] = _corrected(replay, node, means[node.name])
                simulation.set_bias(node.name, fitted[node.name])
            done += 1
            feedback.progress(done, layers)
            if done == layers:
                break
        replay.advance(node)
    return fitted


def _corrected(replay: Replay, node: LayerNode, target: torch.Tensor) -> Float64:
    """Return a layer's bias with which its mean output is that of the float network."""
    simulation = replay.simulation
    key = Key(node.x, simulation.input_form(node))
    weight = simulation.weight(node.name)
    kernel = (1, 1) if weight.ndim == 2 else (weight.shape[2], weight.shape[3])
    outputs = [
        mean_outputs(node, tap_means(node, replay.stored(key, at), kernel), weight)
        for at in replay.spans()
    ]
    return (target - torch.cat(outputs).mean(0)).numpy()
