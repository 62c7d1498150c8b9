"""What is known of a build's model before bits are chosen: graph, layers, ranges, sensitivities, candidates."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch

from hawqlang.base import Precision
from hawqlang.cache import digest
from hawqlang.diagnostics import Diagnostic, HawqError
from hawqlang.ir.candidates import CandidateTable
from hawqlang.ir.graph import Graph
from hawqlang.ir.layers import LayerTable
from hawqlang.ir.ranges import RangeTable
from hawqlang.ir.sensitivity import SensitivityTable
from hawqlang.ir.spec import Build, Input, LayersSource
from hawqlang.session import Session
from hawqlang.stages.calibrate import calibrate, input_interval, range_requests
from hawqlang.stages.candidates import candidates, settings
from hawqlang.stages.data import Samples, open_samples
from hawqlang.stages.feedback import Feedback
from hawqlang.stages.float_model import FloatModel, preprocess
from hawqlang.stages.import_model import import_model
from hawqlang.stages.import_model.layer_table import layer_table, read_layer_table
from hawqlang.stages.settings import LayerSettings

Report = Callable[[Diagnostic], None]
BATCH = 16


@dataclass(frozen=True, slots=True)
class Network:
    """A float network with its calibration samples and what they showed."""

    graph: Graph
    model: FloatModel
    input: Input
    samples: Samples
    ranges: RangeTable

    def batches(self) -> Iterator[torch.Tensor]:
        """Yield the calibration samples as the network sees them."""
        for pixels in self.samples.batches(BATCH):
            yield preprocess(pixels, self.input)

    def digest(self) -> str:
        """Return what everything measured on the network depends on."""
        return digest(self.graph, self.input, self.samples.digest, self.ranges)


@dataclass(frozen=True, slots=True)
class Analysis:
    """Everything that allocation needs, and the network where there is one."""

    build: Build
    table: LayerTable
    settings: dict[str, LayerSettings]
    network: Network | None
    """``None`` for a layer table."""
    sensitivities: SensitivityTable | None
    candidates: CandidateTable


def analyse(build: Build, session: Session, report: Report) -> Analysis:
    """Return what is known of a build's model, measured where it has to be.

    Raises:
        HawqError: the model, its weights or its data are at fault.
    """
    if isinstance(build.model.source, LayersSource):
        table = read_layer_table(Path(build.model.source.path))
        found = candidates(build, table, None)
        return Analysis(build, table, _settings(build, table), None, None, found)
    with session.step("import_model", f"import {build.model.name}"):
        graph = import_model(build.model, session.cache.tensors)
        model = FloatModel(graph, session.cache.tensors)
        table = layer_table(graph)
    layers = _settings(build, table)
    network = _calibrated(build, graph, model, layers, session, report)
    sensitivities = _sensitivities(build, network, layers, session, report)
    with session.step("candidates", "cost and legality of every candidate"):
        found = candidates(build, table, sensitivities, legality=_legality(network, layers))
    for warning in found.warnings:
        report(warning)
    return Analysis(build, table, layers, network, sensitivities, found)
