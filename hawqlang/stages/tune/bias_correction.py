"""Bias correction: each layer's mean output made what it is in float, channel by channel.

    bias'[c] = bias[c] + mean(W x)[c] - mean(Q(W) Q(x))[c]

Layer by layer in execution order, ``Q(x)`` being what the layers before it give with their own
corrected biases (Nagel et al., "Data-Free Quantization Through Weight Equalization and Bias
Correction", section 4.2, in its empirical form). Since a shifted mean can also do harm, samples
held out decide: the correction is kept only where it brings their logits closer to the float
network's.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from hawqlang.ir.graph import Graph, Operator
from hawqlang.stages.batches import Stream, chunk_size
from hawqlang.stages.feedback import Feedback
from hawqlang.stages.float_model import FloatModel
from hawqlang.stages.quantize import Float64
from hawqlang.stages.simulate import Deployment, Key, Simulation
from hawqlang.stages.structure import LayerNode, layer_nodes
from hawqlang.stages.tune.taps import mean_outputs, tap_means

HELD_OUT_EVERY = 4
"""Every fourth sample is held out."""

LEAST_SAMPLES = 8
"""With fewer, no correction is tried."""

MOST_SAMPLES = 512

BYTES = 512 * 2**20
"""Bound of the stored activations of all samples together; it decides how many are used."""

MACS = 800 * 10**9
"""Bound of the float and quantized passes together; it decides how many samples are used."""


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


@dataclass(slots=True)
class _Memory:
    """What is remembered of the calibration samples."""

    codes: dict[Key, torch.Tensor]
    """The stored tensors of the fitted samples as integers, for what is alive."""
    means: dict[str, torch.Tensor]
    """Mean output of each layer in float ``(fitted, OC)``, over positions."""
    held_out: list[torch.Tensor]
    logits: list[torch.Tensor]
    """Of the held-out samples, in float."""
    fitted: int = 0


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
    layers whose settings ask for it are corrected. Samples are used up to what :data:`BYTES` and
    :data:`MACS` allow; every fourth one is held out.

    Args:
        model: The float network.
        simulation: The quantized network.
        samples: Calibration samples as the network sees them; read once, from the start.
        feedback: Gets layers done.
    """
    wanted = wants_correction(model.graph, simulation.deployment)
    with torch.inference_mode():
        memory = _observe(model, simulation, samples)
        if memory.fitted + sum(len(x) for x in memory.held_out) < LEAST_SAMPLES:
            return None
        before = _error(simulation, memory)
        own = {name: simulation.bias(name) for name in wanted}
        fitted = _fit(model.graph, simulation, memory, wanted, feedback)
        after = _error(simulation, memory)
    kept = after < before
    if not kept:
        for name, bias in own.items():
            simulation.set_bias(name, bias)
    return BiasCorrection(
        biases=fitted,
        kept=kept,
        error_before=before,
        error_after=after,
        fitted=memory.fitted,
        held_out=sum(len(x) for x in memory.held_out),
    )


def _observe(model: FloatModel, simulation: Simulation, samples: Stream) -> _Memory:
    """Return what the correction needs of as many samples as the bounds allow."""
    room = samples.first(sample_limit(simulation))
    layers = {node.output: node.name for node in layer_nodes(model.graph)}
    codes: dict[Key, list[torch.Tensor]] = {}
    means: dict[str, list[torch.Tensor]] = {name: [] for name in layers.values()}
    found = _Memory(codes={}, means={}, held_out=[], logits=[])
    seen = 0
    for chunk in room.batches(chunk_size(model.graph)):
        held = (torch.arange(seen, seen + len(chunk)) + 1) % HELD_OUT_EVERY == 0
        seen += len(chunk)

        def see(name: str, x: torch.Tensor, fit: torch.Tensor = ~held) -> torch.Tensor:
            if name in layers:
                means[layers[name]].append(_position_means(x)[fit])
            return x

        logits = model.run(chunk, intercept=see).output
        found.held_out.append(chunk[held])
        found.logits.append(logits[held])
        found.fitted += int((~held).sum())
        for key, stored in simulation.enter(chunk[~held]).items():
            if key.form is not None:
                codes.setdefault(key, []).append(simulation.encode(stored, key.form))
    found.codes = {key: torch.cat(parts) for key, parts in codes.items()}
    found.means = {name: torch.cat(parts) for name, parts in means.items() if parts}
    return found


def _fit(
    graph: Graph,
    simulation: Simulation,
    memory: _Memory,
    wanted: frozenset[str],
    feedback: Feedback,
) -> dict[str, Float64]:
    """Return the corrected biases, fitted in execution order; the simulation gets each at once."""
    size = chunk_size(graph)
    fitted: dict[str, Float64] = {}
    layers = len(layer_nodes(graph))
    done = 0
    for node in graph.nodes:
        if isinstance(node, LayerNode):
            if node.name in wanted:
                fitted[node.name] = _corrected(simulation, node, memory, size)
                simulation.set_bias(node.name, fitted[node.name])
            done += 1
            feedback.progress(done, layers)
            if done == layers:
                break
        _advance(simulation, node, memory, size)
    return fitted


def _position_means(x: torch.Tensor) -> torch.Tensor:
    """Return each channel's mean over positions, ``(N, C)``."""
    return (x if x.ndim == 2 else x.mean((2, 3))).double()


def _corrected(simulation: Simulation, node: LayerNode, memory: _Memory, size: int) -> Float64:
    """Return a layer's bias with which its mean output is that of the float network."""
    key = Key(node.x, simulation.input_form(node))
    weight = simulation.weight(node.name)
    kernel = (1, 1) if weight.ndim == 2 else (weight.shape[2], weight.shape[3])
    outputs = [
        mean_outputs(node, tap_means(node, x, kernel), weight)
        for x in (
            simulation.decode(memory.codes[key][a : a + size], simulation.input_form(node))
            for a in range(0, memory.fitted, size)
        )
    ]
    target = memory.means[node.name].mean(0)
    return (target - torch.cat(outputs).mean(0)).numpy()


def _advance(simulation: Simulation, node: Operator, memory: _Memory, size: int) -> None:
    """Compute what ``node`` stores for all fitted samples; forget what nothing needs any more."""
    for a in range(0, memory.fitted, size):

        def lookup(key: Key, at: slice = slice(a, a + size)) -> torch.Tensor:
            if key.form is None:
                return simulation.accumulate(key.value, lookup)
            return simulation.decode(memory.codes[key][at], key.form)

        for key, stored in simulation.compute(node, lookup).items():
            if key.form is None or key == simulation.logits:
                continue
            codes = simulation.encode(stored, key.form)
            if key not in memory.codes:
                shape = (memory.fitted, *codes.shape[1:])
                memory.codes[key] = torch.empty(shape, dtype=codes.dtype)
            memory.codes[key][a : a + size] = codes
    for name in simulation.dead.get(node.name, ()):
        for form in simulation.forms[name]:
            memory.codes.pop(Key(name, form), None)


def _error(simulation: Simulation, memory: _Memory) -> float:
    """Return the mean squared error of the held-out logits, relative to their variance.

    Logits are centred in each sample first: a common shift changes no class probability. Unlike a
    divergence of probabilities it does not vanish on samples the network is certain about.
    """
    error = spread = 0.0
    for x, logits in zip(memory.held_out, memory.logits, strict=True):
        if len(x):
            wanted, got = (_centred(z) for z in (logits, simulation.run(x)))
            error += float((got - wanted).square().sum())
            spread += float(wanted.square().sum())
    return error / spread if spread > 0 else error


def _centred(logits: torch.Tensor) -> torch.Tensor:
    logits = logits.double()
    return logits - logits.mean(1, keepdim=True)


# ---- bounds --------------------------------------------------------------------------------------


def sample_limit(simulation: Simulation) -> int:
    """Return how many samples the bounds on memory and work allow, held-out ones included."""
    by_work = MACS // max(int(2.25 * macs(simulation.graph)), 1)
    by_memory = BYTES // max(stored_bytes(simulation), 1)
    return max(LEAST_SAMPLES, min(MOST_SAMPLES, by_work, by_memory))


def macs(graph: Graph) -> int:
    """Return the multiply-accumulates of one sample."""
    shapes = {p.name: p.shape for p in graph.parameters}
    values = {v.name: v.shape for v in graph.values}
    return sum(
        math.prod(shapes[node.weight]) * math.prod(values[node.output][1:])
        for node in layer_nodes(graph)
    )


def stored_bytes(simulation: Simulation) -> int:
    """Return the most bytes that the stored tensors of one sample take at any time."""
    graph = simulation.graph
    sizes = {
        value.name: sum(
            math.prod(value.shape) * (1 if form.bits <= 8 else 4)
            for form in simulation.forms[value.name]
            if form != simulation.logits.form
        )
        for value in graph.values
    }
    alive = most = sizes[graph.input.name]
    for node in graph.nodes:
        alive += sizes[node.output]
        most = max(most, alive)
        alive -= sum(sizes[name] for name in simulation.dead.get(node.name, ()))
    return most
