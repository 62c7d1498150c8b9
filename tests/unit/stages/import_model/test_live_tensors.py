"""The activations a plan counts are those the integer program stores, at every mixture of widths."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from math import prod

import numpy as np
import pytest

from hawqlang.base import Precision
from hawqlang.cache import TensorStore
from hawqlang.ir.graph import Graph
from hawqlang.ir.layers import LiveTensor
from hawqlang.ir.ranges import RangeTable
from hawqlang.stages.import_model import import_structure
from hawqlang.stages.import_model.layer_table import layer_table
from hawqlang.stages.lower.draft import Draft, LowerSettings, Request, Slot, Tuned
from hawqlang.stages.lower.schedule import schedule
from tests.support.imports import image, zoo_model

NETWORKS = (
    "resnet18",
    "resnet50",
    "squeezenet1_1",
    "mobilenet_v2",
    "cifar_resnet20",
    "mobilenet_v1",
)


def scheduled(graph: Graph, precisions: Mapping[str, Precision], size: int) -> list[int]:
    """Bytes alive at each step of the integer program."""
    request = Request(
        graph=graph,
        ranges=RangeTable(ranges=(), method="", samples=0),
        precisions=precisions,
        settings=LowerSettings(input=image(size, size)),
        tuned=Tuned(),
        store=TensorStore(),
    )
    steps = schedule(Draft(request=request)).steps
    shapes = {value.name: value.shape for value in graph.values}
    birth: dict[Slot, int] = {}
    death: dict[Slot, int] = {}
    for i, step in enumerate(steps):
        for result in step.results:
            birth[result.slot] = i
            death |= dict.fromkeys((result.slot, *result.addends), i)
        death |= dict.fromkeys(step.reads, i)
    return [
        sum(
            prod(shapes[slot.value]) * slot.bits
            for slot, last in death.items()
            if birth.get(slot, 0) <= i <= last
        )
        // 8
        for i in range(len(steps))
    ]


def counted(step: tuple[LiveTensor, ...], precisions: Mapping[str, Precision]) -> int:
    """Bytes alive at one step as the layer table says it."""
    widths = [t.bits or 0 if t.reader is None else precisions[t.reader].abits for t in step]
    copies = {
        (t.tensor, width): t.elements * (t.stored_bits or width)
        for t, width in zip(step, widths, strict=True)
    }
    return sum(copies.values()) // 8


@pytest.mark.parametrize("name", NETWORKS)
def test_peak_of_the_table_is_that_of_the_program(name: str) -> None:
    size = 64
    graph = import_structure(zoo_model(name, image(size, size), {"classes": Fraction(10)}))
    table = layer_table(graph)
    rng = np.random.default_rng(0)
    for widths in ((8,), (4,), (4, 8), (2, 4, 8), (4, 8)):
        precisions = {
            layer.name: Precision(wbits=4, abits=int(rng.choice(widths))) for layer in table.layers
        }
        expected = scheduled(graph, precisions, size)
        assert max(counted(step, precisions) for step in table.live) == max(expected)
