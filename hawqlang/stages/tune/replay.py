"""Calibration samples on their way through the quantized network, one operator at a time.

What is stored at the moment is kept as integers for all samples together, so that a layer can be changed on what
the layers before it really give, and the samples pass it only once. Memory is bounded by :data:`BYTES`, which
decides how many samples are used.
"""

from __future__ import annotations

import math

import torch

from hawqlang.ir.graph import Graph, Operator
from hawqlang.stages.batches import Stream, chunk_size
from hawqlang.stages.simulate import Key, Simulation
from hawqlang.stages.structure import layer_nodes

HELD_OUT_EVERY = 4
"""Every fourth sample is held out."""

LEAST_SAMPLES = 8
"""With fewer, no correction is tried."""

MOST_SAMPLES = 512

BYTES = 512 * 2**20
"""Bound of the stored activations of all samples together; it decides how many are used."""

MACS = 800 * 10**9
"""Bound of the float and quantized passes together; it decides how many samples are used."""


def held_out(count: int) -> torch.Tensor:
    """Return, for each of ``count`` samples, whether it is held out."""
    return (torch.arange(count) + 1) % HELD_OUT_EVERY == 0


class Replay:
    """Samples inside a quantized network."""

    def __init__(self, simulation: Simulation, samples: Stream) -> None:
        """Take in the samples; every one of them is kept in each form of the network's input."""
        self.simulation = simulation
        self.size = chunk_size(simulation.graph)
        self.count = 0
        self.codes: dict[Key, torch.Tensor] = {}
        """The stored tensors that are still needed, as integers; the logits as they are."""
        parts: dict[Key, list[torch.Tensor]] = {}
        for chunk in samples.batches(self.size):
            self.count += len(chunk)
            for key, stored in simulation.enter(chunk).items():
                if key.form is not None:
                    parts.setdefault(key, []).append(simulation.encode(stored, key.form))
        for key in list(parts):
            self.codes[key] = torch.cat(parts.pop(key))

    def again(self, simulation: Simulation, chosen: torch.Tensor | None = None) -> Replay:
        """Return the same samples, or the ``chosen`` ones, at the input of another simulation of the same forms.

        Must be called before the first :meth:`advance`.
        """
        new = Replay(simulation, Stream(0, lambda _size: iter(())))
        some = slice(None) if chosen is None else chosen
        new.codes = {key: codes[some] for key, codes in self.codes.items()}
        new.count = self.count if chosen is None else int(chosen.sum())
        return new

    def spans(self) -> tuple[slice, ...]:
        """Return the samples in the portions in which they are computed."""
        ends = range(0, self.count, self.size)
        return tuple(slice(a, min(a + self.size, self.count)) for a in ends)

    def stored(self, key: Key, at: slice | torch.Tensor) -> torch.Tensor:
        """Return some samples of a stored tensor as reals, or what a layer accumulates of them."""
        if key.form is None:
            return self.simulation.accumulate(key.value, lambda k: self.stored(k, at))
        return self.simulation.decode(self.codes[key][at], key.form)

    def advance(self, node: Operator) -> None:
        """Compute what ``node`` stores for all samples; forget what nothing needs any more."""
        for at in self.spans():
            found = self.simulation.compute(node, lambda key, at=at: self.stored(key, at))
            for key, real in found.items():
                self._keep(key, at, real)
        for name in self.simulation.dead.get(node.name, ()):
            for form in self.simulation.forms[name]:
                self.codes.pop(Key(name, form), None)

    def finish(self, after: int = 0) -> torch.Tensor:
        """Return the logits ``(N, F)``, once the nodes from number ``after`` have run as well."""
        for node in self.simulation.graph.nodes[after:]:
            self.advance(node)
        return self.codes[self.simulation.logits]

    def _keep(self, key: Key, at: slice, real: torch.Tensor) -> None:
        """Store what some samples gave: integers, but for the logits."""
        if key.form is None:
            return
        own = self.simulation.encode(real, key.form)
        if key not in self.codes:
            self.codes[key] = torch.empty((self.count, *own.shape[1:]), dtype=own.dtype)
        self.codes[key][at] = own


def centred(logits: torch.Tensor) -> torch.Tensor:
    """Return logits without what all of a sample have in common, which changes no probability."""
    logits = logits.double()
    return logits - logits.mean(1, keepdim=True)


def logit_error(got: torch.Tensor, wanted: torch.Tensor) -> float:
    """Return the mean squared error of logits, relative to their variance.

    Logits are centred in each sample first. Unlike a divergence of probabilities the error does
    not vanish on samples the network is certain about.
    """
    own, reference = centred(got), centred(wanted)
    error = float((own - reference).square().sum())
    spread = float(reference.square().sum())
    return error / spread if spread > 0 else error


def divergence(got: torch.Tensor, wanted: torch.Tensor) -> float:
    """Return the mean Kullback-Leibler divergence of the classes by ``got`` from those by ``wanted``, in nats."""
    return float(divergences(got, wanted).mean())


def divergences(got: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
    """Return the same for each sample, ``(N,)``, float64."""
    own, reference = (z.double().log_softmax(1) for z in (got, wanted))
    return (reference.exp() * (reference - own)).sum(1)


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
        )
        for value in graph.values
    }
    alive = most = sizes[graph.input.name]
    for node in graph.nodes:
        alive += sizes[node.output]
        most = max(most, alive)
        alive -= sum(sizes[name] for name in simulation.dead.get(node.name, ()))
    return most
