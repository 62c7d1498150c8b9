"""Blocks of well-known families: imported, lowered, and close to the float network they came from."""

from __future__ import annotations

from pathlib import Path

import pytest

from hawqlang.base import Precision
from hawqlang.ir.graph import BatchNorm, Table
from hawqlang.stages.structure import layer_nodes
from tests.support.blocks import FAMILIES, SIZE, write_family
from tests.support.imports import image, imported, onnx_model
from tests.unit.stages.lower.harness import Lowered, lowered


def of_family(name: str, folder: Path, *, bits: int = 8) -> Lowered:
    source = image(SIZE, SIZE, 3)
    net = imported(onnx_model(write_family(name, folder / "net.onnx"), source))
    precisions = {n.name: Precision(wbits=8, abits=bits) for n in layer_nodes(net[0])}
    return lowered(net, source, precisions)


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_logits_of_a_family_are_close_at_eight_bits(family: str, tmp_path: Path) -> None:
    found = of_family(family, tmp_path)
    found.assert_every_operator_means_its_node()
    assert found.relative_error() < 0.06


@pytest.mark.parametrize("family", ["efficientnet", "decoder"])
def test_every_operator_means_its_node_at_four_bits(family: str, tmp_path: Path) -> None:
    of_family(family, tmp_path, bits=4).assert_every_operator_means_its_node()


def test_hard_swish_written_out_is_one_table(tmp_path: Path) -> None:
    graph = of_family("mobilenet_v3", tmp_path).graph
    assert sum(isinstance(node, Table) for node in graph.nodes) == 7
    assert not any(isinstance(node, BatchNorm) for node in graph.nodes)


def test_batch_norms_after_concatenations_stay(tmp_path: Path) -> None:
    graph = of_family("densenet", tmp_path).graph
    assert sum(isinstance(node, BatchNorm) for node in graph.nodes) == 5
