"""The sequential closed form: layer by layer in execution order, each fitted on what the layers before it really give.

A layer reads the *quantized* input that everything fixed so far produces, and is to give the *float* network's output,
or what the sum that it completes lacks (the asymmetric calibration of Nagel et al., "Up or Down?", equation 25, solved
in closed form). Its weight is refitted by ridge regression, its scales chosen and its integers rounded by the error of
its output, its bias set to the float mean. Each of these steps is kept for a layer only where it lowers the layer's
output error on samples held out; those have a last fit to themselves once all is decided (:func:`pool_layers`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch

from hawqlang.arith.width import INT32_MAX, LIMITS, accumulator_bound
from hawqlang.ir.tuning import Correction, FittedLayer, LayerBias
from hawqlang.stages.feedback import Feedback
from hawqlang.stages.memory import Memory
from hawqlang.stages.quantize import Float64, least_weight_scale
from hawqlang.stages.simulate import Key, Simulation
from hawqlang.stages.structure import LayerNode, layer_nodes
from hawqlang.stages.tune.grid import Codes, Rounded, codes_of
from hawqlang.stages.tune.moments import (
    Moments,
    Sums,
    columns,
    groups_of,
    pooled,
    rows_of,
    wanted,
)
from hawqlang.stages.tune.reference import Reference
from hawqlang.stages.tune.replay import Replay, held_out
from hawqlang.stages.tune.rounding import choose, metric, refit, round_at
from hawqlang.stages.tuned_weights import given_weight, kept_weight

ORDER: tuple[Correction, ...] = ("bias", "rounding", "scales", "refit")
"""The steps of the closed form, in the order in which they are tried on a layer."""


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


@dataclass(frozen=True, slots=True)
class _Problem:
    """One layer to be fitted."""

    node: LayerNode
    simulation: Simulation
    allowed: frozenset[Correction]
    fitted: Moments
    judged: Moments

    @property
    def trained(self) -> torch.Tensor:
        """The float weight, ``(G, R, K)``."""
        return rows_of(self.node, self.simulation.trained(self.node)).double()

    @property
    def own_bias(self) -> torch.Tensor:
        """The float bias, ``(G, R)``."""
        return torch.from_numpy(self.simulation.own_bias(self.node)).reshape(self.fitted.y.shape)

    @property
    def x_scale(self) -> float:
        """The scale of what the layer reads."""
        return self.simulation.params[self.simulation.input_form(self.node)].scale

    @property
    def codes(self) -> Codes:
        """How the layer's weight is kept."""
        deployment, name = self.simulation.deployment, self.node.name
        return codes_of(
            self.simulation.weights[name],
            deployment.precision[name].wbits,
            shared=deployment.settings[name].weights.granularity == "per_tensor",
        )

    @property
    def free_bias(self) -> bool:
        """Whether the bias follows the weight."""
        return "bias" in self.allowed


def fit_layers(
    replay: Replay,
    reference: Reference,
    allowed: Mapping[str, frozenset[Correction]],
    memory: Memory,
    feedback: Feedback,
) -> tuple[FittedLayer, ...]:
    """Return what became of every layer; the replay's simulation holds it all and its samples have run through.

    Args:
        replay: The samples at the input.
        reference: The float network on the same samples.
        allowed: The corrections that may be tried on each layer.
        memory: What was found before; takes each layer once it is settled.
        feedback: Gets layers done and their names.
    """

    def fit(node: LayerNode) -> FittedLayer:
        return fit_layer(replay, reference, node, allowed[node.name], memory)

    return _settled(replay, fit, memory, feedback)


def pool_layers(
    replay: Replay,
    reference: Reference,
    allowed: Mapping[str, frozenset[Correction]],
    chosen: Mapping[str, FittedLayer],
    memory: Memory,
    feedback: Feedback,
) -> tuple[FittedLayer, ...]:
    """Return every layer fitted on all samples, held-out ones included, in the steps that those have confirmed.

    Args:
        replay: The samples at the input.
        reference: The float network on the same samples.
        allowed: The corrections that were tried on each layer.
        chosen: What :func:`fit_layers` made of each layer; its errors stand.
        memory: What was found before; takes each layer once it is settled.
        feedback: Gets layers done and their names.
    """

    def fit(node: LayerNode) -> FittedLayer:
        own = chosen[node.name]
        steps: list[Correction] = [step for step in ORDER if step in own.kept]
        if not steps:
            return own
        problem = _problem(replay, reference, node, allowed[node.name])
        return _pooled(problem, steps[-1], own, memory)

    return _settled(replay, fit, memory, feedback)


def _settled(
    replay: Replay, fit: Callable[[LayerNode], FittedLayer], memory: Memory, feedback: Feedback
) -> tuple[FittedLayer, ...]:
    """Return what ``fit`` makes of every layer in turn, each on what the layers before it give by then."""
    simulation = replay.simulation
    layers = layer_nodes(simulation.graph)
    found: list[FittedLayer] = []
    for node in simulation.graph.nodes:
        if node in layers:
            feedback.doing(node.name)
            fitted = memory.layer(node.name, partial(fit, node))
            apply(simulation, fitted, memory)
            found.append(fitted)
            feedback.progress(len(found), len(layers))
        replay.advance(node)
    return tuple(found)


def apply(simulation: Simulation, fitted: FittedLayer, memory: Memory) -> None:
    """Give a layer of the simulation what was found for it."""
    if fitted.bias is None:
        return
    weight = simulation.weights[fitted.layer]
    if fitted.weight is not None:
        weight = given_weight(memory.store, fitted.weight)
    simulation.set_layer(fitted.layer, weight, memory.store.get(fitted.bias.bias))


def untouched(layer: str) -> FittedLayer:
    """Return a layer that keeps what it has."""
    return FittedLayer(
        layer=layer, weight=None, bias=None, kept=(), error_before=0.0, error_after=0.0
    )


def complete(simulation: Simulation, fitted: FittedLayer, memory: Memory) -> FittedLayer:
    """Return a layer with weight and bias written out also where they are the simulation's own."""
    put = memory.store.put
    own = simulation.weights[fitted.layer]
    node = next(n for n in layer_nodes(simulation.graph) if n.name == fitted.layer)
    weight = kept_weight(memory.store, fitted.layer, own)
    bias = LayerBias(layer=fitted.layer, bias=put(simulation.own_bias(node)))
    return fitted.replace(
        weight=fitted.weight or weight,
        bias=fitted.bias or bias,
        kept=("equalized", *fitted.kept),
    )


def observe(
    replay: Replay, reference: Reference, node: LayerNode, *, whole: bool
) -> tuple[Moments, Moments]:
    """Return the moments of a layer's quantized input and wanted output: samples to fit on, and held-out ones.

    Wanted is the float output; if ``whole``, of a layer that completes a sum, the float sum less what the quantized
    network adds.
    """
    simulation = replay.simulation
    weight = simulation.weight(node.name)
    kernel = (1, 1) if weight.ndim == 2 else (weight.shape[2], weight.shape[3])
    where, outputs = reference.positions(node), reference.outputs(node, whole=whole)
    key = Key(node.x, simulation.input_form(node))
    held = held_out(replay.count)
    sum_ = reference.sums.get(node.name) if whole else None
    rows = rows_of(node, weight)
    sums = [Sums(groups_of(node), rows.shape[1], rows.shape[2]) for _ in range(2)]
    for at in replay.spans():
        x, y = replay.stored(key, at), outputs[at]
        if sum_ is not None:
            other = replay.stored(simulation.addend(sum_.add, sum_.other), at)
            y = y - (other if other.ndim == 2 else other.flatten(2)[:, :, where])
        for own, chosen in zip(sums, (~held[at], held[at]), strict=True):
            if bool(chosen.any()):
                own.add(columns(node, x[chosen], kernel, where), wanted(node, y[chosen]))
    fitted, judged = (own.moments() for own in sums)
    return fitted, judged


def fit_layer(
    replay: Replay,
    reference: Reference,
    node: LayerNode,
    allowed: frozenset[Correction],
    memory: Memory,
) -> FittedLayer:
    """Return a layer with every allowed correction that held-out samples confirm."""
    if replay.simulation.deployment.precision[node.name].wbits == 1:
        allowed &= {"bias", "sums"} if "bias" in allowed else frozenset()  # signs are not rounded
    if not allowed:
        return untouched(node.name)
    problem = _problem(replay, reference, node, allowed)
    judged = problem.judged
    start = _start(problem)
    current, before = start, judged.error(start.weight, start.bias)
    error = before
    for step in ORDER:
        if step in allowed:
            tried = _with(step, problem, current)
            got = judged.error(tried.weight, tried.bias)
            if got < error and _fits(problem, tried):
                current, error = tried, got
    spread = float(judged.yy.sum()) or 1.0
    found = untouched(node.name).replace(error_before=before / spread, error_after=error / spread)
    return _fitted(problem, current, found, memory)


def _pooled(
    problem: _Problem, step: Correction, chosen: FittedLayer, memory: Memory
) -> FittedLayer:
    """Return a layer fitted on all samples; as it was chosen where its sums would overflow.

    Args:
        problem: The layer.
        step: The last one that it kept: each after the bias replaces what those before it rounded.
        chosen: What the samples without the held-out ones gave.
        memory: Takes what is found.
    """
    problem = replace(problem, fitted=pooled(problem.fitted, problem.judged))
    found = replace(_with(step, problem, _start(problem)), kept=chosen.kept)
    return _fitted(problem, found, chosen, memory) if _fits(problem, found) else chosen


def _problem(
    replay: Replay, reference: Reference, node: LayerNode, allowed: frozenset[Correction]
) -> _Problem:
    """Return what there is to know of a layer."""
    moments = observe(replay, reference, node, whole="sums" in allowed)
    return _Problem(node, replay.simulation, allowed, *moments)


def _start(problem: _Problem) -> _State:
    """Return the layer as it is."""
    node, simulation = problem.node, problem.simulation
    return _State(
        rows_of(node, simulation.weight(node.name)).double(),
        torch.from_numpy(simulation.bias(node.name)).reshape(problem.judged.y.shape),
        None,
        (),
    )


def _fitted(problem: _Problem, state: _State, found: FittedLayer, memory: Memory) -> FittedLayer:
    """Return ``found`` with the weight and bias of a state."""
    name, put, weight = found.layer, memory.store.put, found.weight
    if state.rounded is not None:
        own = problem.codes.quantized(state.rounded, problem.simulation.weights[name])
        weight = kept_weight(memory.store, name, own)
    bias = LayerBias(layer=name, bias=put(state.bias.reshape(-1).numpy()))
    return found.replace(weight=weight, bias=bias if state.kept else None, kept=state.kept)


def _with(step: Correction, problem: _Problem, current: _State) -> _State:
    """Return the state with one more correction."""
    kept = (*current.kept, step)
    fitted = problem.fitted
    if step == "bias":
        return replace(current, bias=fitted.bias(current.weight), kept=kept)
    rounded = _rounded(step, problem)
    real = rounded.real()
    bias = fitted.bias(real) if problem.free_bias else problem.own_bias
    return _State(real, bias, rounded, kept)


def _aims(problem: _Problem) -> tuple[torch.Tensor, torch.Tensor]:
    """Return second moments of the input, and of the output with it: about their means where the bias is free."""
    fitted = problem.fitted
    if problem.free_bias:
        return fitted.xx, fitted.yx
    return fitted.about(problem.own_bias)


def _rounded(step: Correction, problem: _Problem) -> Rounded:
    """Return integers for the trained weight at its scales or at better ones, or for the refitted weight."""
    simulation, node = problem.simulation, problem.node
    h, yx = _aims(problem)
    by = metric(h)
    codes = problem.codes
    shape = problem.fitted.y.shape
    if step == "rounding":
        grid = codes.grid_of(simulation.weights[node.name], (shape[0], shape[1]))
        return round_at(problem.trained, grid, by)
    least = least_weight_scale(problem.own_bias.reshape(-1).numpy(), problem.x_scale)
    return choose(
        problem.trained if step == "scales" else refit(problem.trained, h, yx),
        by,
        codes,
        least=torch.from_numpy(least).reshape(shape),
    )


def _fits(problem: _Problem, tried: _State) -> bool:
    """Return whether no sum can overflow: the layer's products its accumulator, with the bias 32 bits."""
    simulation, node = problem.simulation, problem.node
    params = simulation.params[simulation.input_form(node)]
    weight = simulation.weights[node.name]
    limit = INT32_MAX
    if tried.rounded is not None:
        weight = problem.codes.quantized(tried.rounded, weight)
        limit = LIMITS[simulation.deployment.settings[node.name].accumulator]
    abits = simulation.deployment.precision[node.name].abits
    whole = weight.integers().astype(np.int64)
    sums = accumulator_bound(whole, abits, signed=params.signed)
    bias = tried.bias.reshape(-1).numpy() / (weight.scale * params.scale)
    shift = abs(params.zero_point) * np.abs(whole.reshape(len(whole), -1).sum(axis=1))
    folded: Float64 = np.abs(bias) + 1 + shift
    return bool((sums <= limit).all() and (sums + folded <= INT32_MAX).all())
