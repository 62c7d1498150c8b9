"""Integer programs of the zoo's networks at their usual sizes: for their shapes, or with random weights."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import numpy.typing as npt

from hawqlang.base import Precision, Span
from hawqlang.cache import TensorStore
from hawqlang.ir.graph import Graph
from hawqlang.ir.integer import IntegerProgram
from hawqlang.ir.ranges import RangeTable, TensorRange
from hawqlang.ir.spec import ImageInput, Model, ZooSource
from hawqlang.stages.import_model import zoo
from hawqlang.stages.import_model.normalise import normalise
from hawqlang.stages.lower import LowerSettings, lower
from hawqlang.stages.structure import forms, layer_nodes

W8A8 = Precision(wbits=8, abits=8)
SPAN = Span(file="spec.hawq", line=1, column=1, end_line=1, end_column=2)
SIDES = {
    "resnet18": 224,
    "resnet34": 224,
    "resnet50": 224,
    "squeezenet1_0": 224,
    "squeezenet1_1": 227,
    "mobilenet_v1": 224,
    "mobilenet_v2": 224,
    "cifar_resnet20": 32,
    "cifar_resnet32": 32,
    "cifar_resnet44": 32,
    "cifar_resnet56": 32,
    "cifar_resnet110": 32,
}
"""Every network of the zoo, and how large its images are."""


def image(name: str) -> ImageInput:
    """What the network sees."""
    ones = (Fraction(1),) * 3
    return ImageInput(height=SIDES[name], width=SIDES[name], channels=3, mean=ones, std=ones)


def graph(name: str, store: TensorStore, rng: np.random.Generator | None = None) -> Graph:
    """The network, every parameter 0.01; or weights that keep the size of what they multiply, from ``rng``."""
    model = Model(
        name=name,
        source=ZooSource(name=name, arguments=()),
        weights=None,
        input=image(name),
        span=SPAN,
        source_span=SPAN,
        input_span=None,
    )
    draft = normalise(zoo.build(model, ZooSource(name=name, arguments=())))
    return draft.graph(
        {key: store.put(_parameter(recipe.shape, rng)) for key, recipe in draft.parameters.items()}
    )


def _parameter(shape: tuple[int, ...], rng: np.random.Generator | None) -> npt.NDArray[np.float32]:
    if rng is None:
        return np.full(shape, 0.01, dtype=np.float32)
    if len(shape) < 2:
        return rng.uniform(0.5, 1.5, shape).astype(np.float32)
    return (rng.normal(0, 0.5, shape) / np.sqrt(np.prod(shape[1:]))).astype(np.float32)


def zoo_program(
    name: str,
    precision: Precision = W8A8,
    residual: int = 8,
    *,
    others: tuple[Precision, ...] = (),
    rng: np.random.Generator | None = None,
) -> tuple[IntegerProgram, TensorStore]:
    """The program of a network with every layer at one precision, or at it and ``others`` by turns."""
    store = TensorStore()
    network = graph(name, store, rng)
    each = (precision, *others)
    layers = {node.name: each[i % len(each)] for i, node in enumerate(layer_nodes(network))}
    wanted = forms(network, {name: chosen.abits for name, chosen in layers.items()}, residual)
    ranges = RangeTable(
        ranges=tuple(
            TensorRange(tensor=form.root, bits=form.bits, low=-1.0, high=1.0)
            for form in sorted(
                {form for found in wanted.values() for form in found if form.bits < 32},
                key=lambda form: (form.root, form.bits),
            )
        ),
        method="given",
        samples=1,
    )
    pixels = image(name)
    program, _ = lower(network, ranges, layers, LowerSettings(pixels, {}, residual), store)
    return program, store
