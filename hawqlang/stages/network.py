"""A float network as far as it is known before anything is measured on its layers."""

from __future__ import annotations

from dataclasses import dataclass

from hawqlang.cache import digest
from hawqlang.ir.candidates import LayerSettings
from hawqlang.ir.graph import Graph
from hawqlang.ir.layers import LayerTable
from hawqlang.ir.ranges import RangeTable
from hawqlang.ir.spec import Input
from hawqlang.stages.batches import Stream, stream
from hawqlang.stages.data import Samples
from hawqlang.stages.float_model import FloatModel


@dataclass(frozen=True, slots=True)
class Network:
    """A float network with its calibration samples and what they showed."""

    graph: Graph
    model: FloatModel
    input: Input
    samples: Samples
    ranges: RangeTable

    def stream(self) -> Stream:
        """Return the calibration samples as the network sees them."""
        return stream(self.samples, self.input)

    def digest(self) -> str:
        """Return what everything measured on the network depends on."""
        return digest(self.graph, self.input, self.samples.digest, self.ranges)


@dataclass(frozen=True, slots=True)
class Examined:
    """A network imported and calibrated, nothing else measured."""

    table: LayerTable
    layers: dict[str, LayerSettings]
    network: Network
