"""The sequential closed form: layer by layer in execution order, each fitted on what the layers before it really give.

A layer reads the *quantized* input that everything fixed so far produces and is to give the *float* network's output.
Its weight is refitted by ridge regression, its scales chosen and its integers rounded by the error of its output, its
bias set to the float mean. Each of these steps is kept for a layer only where it lowers the layer's output error on
samples held out.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch

from hawqlang.stages.feedback import Feedback
from hawqlang.stages.quantize import (
    Float64,
    QuantizedWeight,
    least_weight_scale,
    weight_limit,
)
from hawqlang.stages.simulate import Key, Simulation
from hawqlang.stages.structure import LayerNode, layer_nodes
from hawqlang.stages.tune.moments import Moments, Sums, columns, groups_of, rows_of, wanted
from hawqlang.stages.tune.reference import Reference
from hawqlang.stages.tune.replay import Replay, held_out
from hawqlang.stages.tune.rounding import Rounded, choose, descend, metric, refit, round_with_feedback

Correction = Literal["bias", "rounding", "scales", "refit"]
CORRECTIONS: tuple[Correction, ...] = ("bias", "rounding", "scales", "refit")
"""In the order in which they are tried."""


@dataclass(frozen=True, slots=True)
class LayerFit:
    """What became of one layer."""

    layer: str
    weight: QuantizedWeight
    bias: Float64
    kept: tuple[Correction, ...]
    error_before: float
    """Mean squared output error on held-out samples, relative to the output's variance."""
    error_after: float


@dataclass(frozen=True, slots=True)
class _State:
    """One choice of weight and bias."""

    weight: torch.Tensor
    """Real, ``(G, R, K)``."""
    bias: torch.Tensor
    """``(G, R)``."""
    rounded: Rounded | None
    """``None``: the integers are those the layer has already."""
    kept: tuple[Correction, ...]


Wanted = Callable[[str], frozenset[Correction]]
"""Says which corrections may be tried on a layer."""
Known = Callable[[str], "LayerFit | None"]
"""Gives what was found for a layer before, where it is known."""


def fit_layers(
    replay: Replay,
    reference: Reference,
    wanted_of: Wanted,
    done: Callable[[LayerFit], None],
    known: Known,
    feedback: Feedback,
) -> tuple[LayerFit, ...]:
    """Return what became of every layer; the replay's simulation holds it all and its samples have run through.

    Args:
        replay: The samples at the input.
        reference: The float network on the same samples.
        wanted_of: Says which corrections may be tried.
        done: Gets each layer once it is settled.
        known: Asked for each layer before it is fitted.
        feedback: Gets layers done.
    """
    simulation = replay.simulation
    layers = layer_nodes(simulation.graph)
    found: list[LayerFit] = []
    for node in simulation.graph.nodes:
        if node in layers:
            fit = known(node.name)
            if fit is None:
                fit = _fit(replay, reference, node, wanted_of(node.name))
                done(fit)
            simulation.set_layer(node.name, fit.weight, fit.bias)
            found.append(fit)
            feedback.progress(len(found), len(layers))
        replay.advance(node)
    return tuple(found)


def observe(replay: Replay, reference: Reference, node: LayerNode) -> tuple[Moments, Moments]:
    """Return the moments of a layer's quantized input and float output: samples to fit on, and held-out ones."""
    simulation = replay.simulation
    weight = simulation.weight(node.name)
    kernel = (1, 1) if weight.ndim == 2 else (weight.shape[2], weight.shape[3])
    where, outputs = reference.positions(node), reference.outputs(node)
    key = Key(node.x, simulation.input_form(node))
    held = held_out(replay.count)
    groups = groups_of(node)
    rows = rows_of(node, weight)
    sums = [Sums(groups, rows.shape[1], rows.shape[2]) for _ in range(2)]
    for at in replay.spans():
        x, y = replay.stored(key, at), outputs[at]
        for own, chosen in zip(sums, (~held[at], held[at]), strict=True):
            if bool(chosen.any()):
                own.add(columns(node, x[chosen], kernel, where), wanted(node, y[chosen]))
    fitted, judged = (own.moments() for own in sums)
    return fitted, judged


def _fit(
    replay: Replay, reference: Reference, node: LayerNode, allowed: frozenset[Correction]
) -> LayerFit:
    simulation = replay.simulation
    own = simulation.weights[node.name]
    own_bias = simulation.bias(node.name)
    fitted, judged = observe(replay, reference, node)
    current = _State(
        rows_of(node, simulation.weight(node.name)).double(),
        torch.from_numpy(own_bias).reshape(fitted.y.shape),
        None,
        (),
    )
    spread = float((judged.yy - judged.y.square()).sum()) or 1.0
    before = error = judged.error(current.weight, current.bias)
    for step in CORRECTIONS:
        if step not in allowed:
            continue
        tried = _tried(step, simulation, node, fitted, current, allowed)
        got = judged.error(tried.weight, tried.bias)
        if got < error:
            current, error = tried, got
    weight = own if current.rounded is None else _integers(current.rounded, own)
    return LayerFit(
        node.name,
        weight,
        current.bias.reshape(-1).numpy() if current.kept else own_bias,
        current.kept,
        before / spread,
        error / spread,
    )


def _tried(
    step: Correction,
    simulation: Simulation,
    node: LayerNode,
    fitted: Moments,
    current: _State,
    allowed: frozenset[Correction],
) -> _State:
    """Return the state with one more correction."""
    kept = (*current.kept, step)
    if step == "bias":
        return replace(current, bias=fitted.bias(current.weight), kept=kept)
    free = "bias" in allowed
    trained = rows_of(node, simulation.trained(node)).double()
    bias = torch.from_numpy(simulation.own_bias(node)).reshape(fitted.y.shape)
    if free:
        h, yx = fitted.centred()
    else:
        h, yx = fitted.xx, fitted.yx - bias[:, :, None] * fitted.x[:, None, :]
    by = metric(h)
    settings = simulation.deployment.settings[node.name].weights
    limit = weight_limit(simulation.deployment.precision[node.name].wbits)
    least = least_weight_scale(
        bias.reshape(-1).numpy(), simulation.params[simulation.input_form(node)].scale
    )
    floor = torch.from_numpy(least).reshape(fitted.y.shape)
    shared = settings.granularity == "per_tensor"
    if step == "rounding":
        scale = torch.from_numpy(simulation.weights[node.name].scale).reshape(fitted.y.shape)
        found = Rounded(round_with_feedback(trained, scale, by, limit), scale)
        found = descend(trained, found, by.h, limit)
    elif step == "scales":
        found = choose(trained, by, limit, shared=shared, least=floor)
    else:
        found = choose(refit(trained, h, yx), by, limit, shared=shared, least=floor)
    real = found.real()
    return _State(real, fitted.bias(real) if free else bias, found, kept)


def _integers(found: Rounded, like: QuantizedWeight) -> QuantizedWeight:
    q = found.q.reshape(like.q.shape).numpy().astype(like.q.dtype)
    return QuantizedWeight(np.ascontiguousarray(q), found.scale.reshape(-1).numpy().copy())
