"""Allocation problems of the size and shape of real networks, from a seed.

Shapes are those of the networks at 224 x 224; sensitivities follow the usual picture: a Hessian
trace that varies log-normally and falls with depth, times the error of uniform quantization.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np

from hawqlang.base import Precision, Span
from hawqlang.diagnostics import HawqError
from hawqlang.ir.layers import Layer, LayerTable
from hawqlang.ir.spec import (
    Build,
    Comparator,
    Compare,
    Constraint,
    Device,
    Dimension,
    Glob,
    Goal,
    Keyword,
    LayersSource,
    Linear,
    Metric,
    MetricTerm,
    Model,
    PropertyCompare,
    PropertyOf,
    PropertyValue,
    Same,
    Target,
    Term,
)
from hawqlang.stages.import_model.layer_file import read_layer_table
from hawqlang.stages.resolve import resolve_file

HAWQ_V3 = Path(__file__).resolve().parent.parent / "specs" / "examples" / "hawq_v3"

SPAN = Span(file="benchmark.hawq", line=1, column=1, end_line=1, end_column=2)

Shape = tuple[str, int, int, int]
"""Name, weights, MACs, elements read."""

CANDIDATES: dict[int, tuple[tuple[int, int], ...]] = {
    2: ((4, 4), (8, 8)),
    3: ((4, 4), (4, 8), (8, 8)),
    5: ((2, 8), (3, 8), (4, 8), (6, 8), (8, 8)),
    9: tuple((w, a) for w in (2, 4, 8) for a in (4, 8, 16)),
}
"""Per number of candidates, their weight and activation bits."""


def resnet(depth: int) -> Iterator[Shape]:
    """Yield the layers of a ResNet."""
    deep = depth >= 50
    blocks = {18: (2, 2, 2, 2), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3)}[depth]
    yield conv("conv1", 3, 64, 7, 112)
    inputs = 64
    for stage, count in enumerate(blocks):
        width, side = 64 << stage, 56 >> stage
        outputs = width * 4 if deep else width
        for block in range(count):
            name = f"layer{stage + 1}.{block}"
            if deep:
                yield conv(f"{name}.conv1", inputs, width, 1, side)
                yield conv(f"{name}.conv2", width, width, 3, side)
                yield conv(f"{name}.conv3", width, outputs, 1, side)
            else:
                yield conv(f"{name}.conv1", inputs, width, 3, side)
                yield conv(f"{name}.conv2", width, outputs, 3, side)
            if inputs != outputs:
                yield conv(f"{name}.down", inputs, outputs, 1, side)
            inputs = outputs
    yield linear("fc", inputs, 1000, 1)


def mobilenet() -> Iterator[Shape]:
    """Yield the layers of MobileNetV2."""
    yield conv("stem", 3, 32, 3, 112)
    inputs, side = 32, 112
    plan = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1))
    number = 0
    for expand, width, count, stride in (*plan, (6, 160, 3, 2), (6, 320, 1, 1)):
        for block in range(count):
            hidden = inputs * expand
            name = f"block{number}"
            if expand > 1:
                yield conv(f"{name}.expand", inputs, hidden, 1, side)
            side //= stride if block == 0 else 1
            yield (f"{name}.depthwise", hidden * 9, hidden * 9 * side**2, hidden * side**2)
            yield conv(f"{name}.project", hidden, width, 1, side)
            inputs, number = width, number + 1
    yield conv("head", inputs, 1280, 1, side)
    yield linear("fc", 1280, 1000, 1)


def transformer(blocks: int, width: int, hidden: int, tokens: int) -> Iterator[Shape]:
    """Yield the layers of a stack of attention and feed-forward blocks."""
    for block in range(blocks):
        for name in ("q", "k", "v", "o"):
            yield linear(f"{block}.{name}", width, width, tokens)
        yield linear(f"{block}.gate", width, hidden, tokens)
        yield linear(f"{block}.up", width, hidden, tokens)
        yield linear(f"{block}.down", hidden, width, tokens)


def synthetic(count: int, rng: np.random.Generator) -> Iterator[Shape]:
    """Yield convolutions of random shape."""
    widths = (64, 96, 128, 192, 256, 384, 512, 768, 1024)
    for i in range(count):
        inputs, outputs = (int(rng.choice(widths)) for _ in range(2))
        yield conv(
            f"s{i}", inputs, outputs, int(rng.choice((1, 3))), int(rng.choice((7, 14, 28, 56)))
        )


def conv(name: str, inputs: int, outputs: int, kernel: int, side: int) -> Shape:
    """Return a convolution on a square map, stride 1."""
    weights = inputs * outputs * kernel**2
    return (name, weights, weights * side**2, inputs * side**2)


def linear(name: str, inputs: int, outputs: int, tokens: int) -> Shape:
    """Return a linear layer."""
    return (name, inputs * outputs, inputs * outputs * tokens, inputs * tokens)


def shapes(network: str, rng: np.random.Generator) -> list[Shape]:
    """Return the layers of a network by name."""
    if network.startswith("resnet"):
        return list(resnet(int(network.removeprefix("resnet"))))
    if network.startswith("synthetic"):
        return list(synthetic(int(network.removeprefix("synthetic")), rng))
    known = {
        "mobilenetv2": mobilenet,
        "vit_b": lambda: transformer(12, 768, 3072, 197),
        "llm": lambda: transformer(32, 4096, 11008, 1),
    }
    return list(known[network]())


def instance(network: str, count: int, share: Fraction, seed: int) -> tuple[Build, LayerTable]:
    """Return a build with size, work and latency limited, and ties where the network has them.

    Args:
        network: name of the network.
        count: how many candidates a layer has, a key of ``CANDIDATES``.
        share: where the limits lie between all at the narrowest and all at the widest.
        seed: of the sensitivities.
    """
    rng = np.random.default_rng([seed, zlib.crc32(f"{network}/{count}".encode())])
    offered = tuple(Precision(wbits=w, abits=a) for w, a in CANDIDATES[count])
    layers = _layers(shapes(network, rng), offered, rng)
    ties = _ties([layer.name for layer in layers])
    table = LayerTable(layers=tuple(layers), shared_input=tuple(ties), from_file=True)
    low, high = offered[0], max(offered, key=lambda p: (p.wbits, p.abits))
    constraints = [
        _limit("size", share, low, high),
        _limit("bops", share + Fraction(7, 100), low, high),
        _limit("latency", share + Fraction(3, 100), low, high),
    ]
    if ties:
        constraints.append(_tied())
    return _build(offered, constraints), table


def conflict(named: int, seed: int) -> tuple[Build, LayerTable]:
    """Return a build with ``named`` constraints of which some cannot be met together.

    Most ask for a least width of a layer of ResNet101; some limit stages, work and latency. The
    size allowed lies below what those widths need, so that many of them take part.
    """
    rng = np.random.default_rng([seed, named])
    spec, table = instance("resnet101", 5, Fraction(1, 2), seed)
    chosen = [table.layers[int(i)] for i in rng.permutation(len(table.layers))][: named - 6]
    floors = [int(rng.choice((4, 6, 8))) for _ in chosen]
    stated = [_wbits(one.name, ">=", bits) for one, bits in zip(chosen, floors, strict=True)]
    stated += [_wbits(table.layers[k].name, "<=", 8) for k in range(named - 6 - len(stated))]
    least = {one.name: bits for one, bits in zip(chosen, floors, strict=True)}
    needed = sum(one.params * least.get(one.name, 2) for one in table.layers)
    bare = 2 * sum(one.params for one in table.layers)
    stated += [_part("size", f"layer{stage}.*", Fraction(9, 10)) for stage in (1, 2, 3, 4)]
    stated.append(_limit("bops", Fraction(9, 10), *_ends(spec)))
    stated.append(_size(Fraction(bare + (needed - bare) * 2 // 3, 8)))
    order = [stated[int(i)] for i in rng.permutation(len(stated))]
    lines = (
        one.replace(name=f"c{i}", span=SPAN.replace(line=i + 1, end_line=i + 1))
        for i, one in enumerate(order)
    )
    return spec.replace(constraints=tuple(lines)), table


def _ends(spec: Build) -> tuple[Precision, Precision]:
    return spec.precision[0], spec.precision[-1]


def _wbits(name: str, op: Comparator, bits: int) -> Constraint:
    left = PropertyOf(property="wbits", selector=Glob(pattern=name, span=SPAN))
    predicate = PropertyCompare(op=op, left=left, right=PropertyValue(value=bits), span=SPAN)
    text = f'wbits("{name}") {op} {bits}'
    return Constraint(name="bits", predicate=predicate, text=text, span=SPAN)


def _part(metric: Metric, pattern: str, share: Fraction) -> Constraint:
    selector = Glob(pattern=pattern, span=SPAN)
    own = MetricTerm(metric=metric, selector=selector)
    widest = own.replace(at=Precision(wbits=8, abits=8))
    left = Linear(dimension="size", terms=(Term(coefficient=Fraction(1), of=own),))
    right = Linear(dimension="size", terms=(Term(coefficient=share, of=widest),))
    text = f'{metric}("{pattern}") <= {float(100 * share):g}% of {metric}(w8a8, "{pattern}")'
    predicate = Compare(op="<=", left=left, right=right, span=SPAN)
    return Constraint(name="part", predicate=predicate, text=text, span=SPAN)


def _size(most: Fraction) -> Constraint:
    own = Term(coefficient=Fraction(1), of=MetricTerm(metric="size"))
    left = Linear(dimension="size", terms=(own,))
    right = Linear(dimension="size", constant=most)
    predicate = Compare(op="<=", left=left, right=right, span=SPAN)
    return Constraint(name="fits", predicate=predicate, text=f"size <= {most} B", span=SPAN)


def hawq_v3() -> Iterator[tuple[str, Build, LayerTable]]:
    """Yield the 18 allocation problems of HAWQ-V3's authors: the builds of specs/examples/hawq_v3."""
    for network in ("resnet18", "resnet50"):
        spec, found = resolve_file(HAWQ_V3 / f"{network}.hawq", overrides={})
        if spec is None:
            raise HawqError(*found)
        for build in spec.builds:
            if isinstance(build.model.source, LayersSource):
                table = read_layer_table(Path(build.model.source.path))
                yield build.name.replace("_", ", "), build, table


def _layers(
    found: list[Shape], offered: tuple[Precision, ...], rng: np.random.Generator
) -> list[Layer]:
    traces = np.exp(rng.normal(0, 1.6, len(found))) * np.linspace(3, 0.3, len(found)) * 10
    layers: list[Layer] = []
    for (name, weights, macs, read), trace in zip(found, traces, strict=True):
        spread = float(4 * rng.lognormal(0, 0.3) * (2 / weights**0.5) ** 0.5)
        cost = {p: _error(p, weights, read, spread, rng) for p in offered}
        time = {
            p: _microseconds(p, weights, macs, read) * float(rng.uniform(0.95, 1.05))
            for p in offered
        }
        layers.append(
            Layer(
                name=name,
                kind="conv",
                params=weights,
                macs=macs,
                sensitivity=tuple((p, float(trace) * one) for p, one in cost.items()),
                latency_us=tuple((p, round(one, 3)) for p, one in time.items()),
            )
        )
    return layers


def _error(p: Precision, weights: int, read: int, spread: float, rng: np.random.Generator) -> float:
    of_weights = weights * (2 * spread / (2**p.wbits - 1)) ** 2 / 12
    of_input = read * (2 / (2**p.abits - 1)) ** 2 / 12 * 0.02
    return float((of_weights + of_input) * rng.uniform(0.95, 1.05))


def _microseconds(p: Precision, weights: int, macs: int, read: int) -> float:
    widest = max(p.wbits, p.abits)
    rate = 130e12 if widest <= 4 else 65e12 if widest <= 8 else 32e12
    moved = (weights * p.wbits + read * p.abits) / 8
    return max(macs / (0.35 * rate), moved / 300e9) * 1e6 + 1.5


def _ties(names: list[str]) -> list[tuple[str, ...]]:
    groups: dict[str, list[str]] = {}
    for name in names:
        block, _, last = name.rpartition(".")
        joins = last == "conv3" or (last == "conv2" and f"{block}.conv3" not in names)
        if last in {"down", "q", "k", "v"} or (joins and f"{block}.down" in names):
            groups.setdefault(block, []).append(name)
    if names[0].startswith("s0"):
        return [(names[i], names[i + 1]) for i in range(0, len(names) - 1, 10)]
    return [tuple(group) for group in groups.values() if len(group) > 1]


def _tied() -> Constraint:
    selector = Keyword(word="shared_input", span=SPAN)
    predicate = Same(property="precision", selector=selector, span=SPAN)
    text = "same precision across shared_input"
    return Constraint(name="tied", predicate=predicate, text=text, span=SPAN)


def _limit(metric: Metric, share: Fraction, low: Precision, high: Precision) -> Constraint:
    dimensions: dict[Metric, Dimension] = {"size": "size", "bops": "bops", "latency": "time"}
    dimension = dimensions[metric]
    own = Linear(
        dimension=dimension, terms=(Term(coefficient=Fraction(1), of=MetricTerm(metric=metric)),)
    )
    ends = (
        Term(coefficient=1 - share, of=MetricTerm(metric=metric, at=low)),
        Term(coefficient=share, of=MetricTerm(metric=metric, at=high)),
    )
    right = Linear(dimension=dimension, terms=ends)
    predicate = Compare(op="<=", left=own, right=right, span=SPAN)
    return Constraint(name=metric, predicate=predicate, text=metric, span=SPAN)


def _build(offered: tuple[Precision, ...], constraints: list[Constraint]) -> Build:
    device = Device(
        name="custom",
        family="custom",
        native=offered,
        rates=tuple((p, Fraction(10**13)) for p in offered),
        bandwidth=Fraction(3 * 10**11),
        cache=None,
        launch=Fraction(0),
    )
    goal = Goal(
        metric=MetricTerm(metric="perturbation"), sense="minimize", within=Fraction(0), span=SPAN
    )
    return Build(
        name="benchmark",
        model=Model(
            name="net",
            source=LayersSource(path="layers.json"),
            weights=None,
            input=None,
            span=SPAN,
            source_span=SPAN,
            input_span=None,
        ),
        target=Target(name="t", device=device, batch=1, threads=1, latency="modelled", span=SPAN),
        dataset=None,
        precision=offered,
        objective=(goal,),
        constraints=tuple(constraints),
        emits=(),
        span=SPAN,
    )
