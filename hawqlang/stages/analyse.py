"""What is known of a build's model before bits are chosen: graph, layers, ranges, sensitivities, candidates."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import assert_never

import torch

from hawqlang.cache import digest
from hawqlang.diagnostics import Diagnostic, HawqError
from hawqlang.ir.candidates import CandidateTable, LayerSettings
from hawqlang.ir.graph import Graph
from hawqlang.ir.layers import LayerTable
from hawqlang.ir.profile import Profile
from hawqlang.ir.ranges import RangeTable
from hawqlang.ir.sensitivity import SensitivityTable
from hawqlang.ir.spec import (
    Build,
    FileSensitivity,
    HessianSensitivity,
    LayersSource,
    NamedSensitivity,
)
from hawqlang.session import Session
from hawqlang.stages.analysed import Measured, keep
from hawqlang.stages.batches import stream
from hawqlang.stages.calibrate import calibrate, input_interval, range_requests
from hawqlang.stages.candidates import candidates, settings
from hawqlang.stages.feedback import Feedback
from hawqlang.stages.float_model import FloatModel
from hawqlang.stages.import_model import import_model
from hawqlang.stages.import_model.layer_table import network_table, read_layer_table
from hawqlang.stages.latency import measured_latencies
from hawqlang.stages.legality import legality
from hawqlang.stages.network import Examined, Network
from hawqlang.stages.sensitivity import (
    LayerLosses,
    Source,
    Subject,
    read_sensitivities,
    sensitivity,
)
from hawqlang.stages.zero_shot import Subject as ZeroShotSubject
from hawqlang.stages.zero_shot import SyntheticSamples, describe, open_or_make

Report = Callable[[Diagnostic], None]


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
    profile: Profile | None = None
    """Where the target's latencies are measured."""

    def known(self) -> Network:
        """Return the network; a layer table can be planned, never built."""
        if self.network is None:
            raise HawqError(_no_network(self.build))
        return self.network


def analyse(
    build: Build,
    session: Session,
    report: Report,
    recorded: SensitivityTable | None = None,
    timed: Profile | None = None,
) -> Analysis:
    """Return what is known of a build's model, measured where it has to be.

    Args:
        build: what is to be built.
        session: the cache, the progress, the clock.
        report: takes warnings.
        recorded: sensitivities of this very model and data that are used instead of measuring them again, unless a
            candidate is missing among them.
        timed: recorded latencies, used likewise where the target's are measured.

    Raises:
        HawqError: the model, its weights or its data are at fault, or latencies cannot be measured here (HQ875, HQ877).
    """
    torch.set_num_threads(1)  # sums in another order end in other bits: decision 17
    if isinstance(build.model.source, LayersSource):
        table = read_layer_table(Path(build.model.source.path))
        found = candidates(build, table, None)
        return Analysis(build, table, _settings(build, table), None, None, found)
    known = examine(build, session, report)
    table, layers, network = known.table, known.layers, known.network
    if recorded is not None and _covers(recorded, layers):
        sensitivities = recorded
    else:
        sensitivities = _sensitivities(build, network, layers, session, report)
    legal = legality(network.model, network.ranges, layers)
    measured = build.target.latency == "measured"
    profile = measured_latencies(build, known, session, report, timed) if measured else None
    with session.step("candidates", "cost and legality of every candidate"):
        found = candidates(build, table, sensitivities, legality=legal, profile=profile)
    for warning in found.warnings:
        report(warning)
    keep(
        build, table, network.samples.digest, Measured(sensitivities, found, profile), session.cache
    )
    return Analysis(build, table, layers, network, sensitivities, found, profile)


def examine(build: Build, session: Session, report: Report) -> Examined:
    """Return a build's network with the ranges of everything that it may store.

    Raises:
        HawqError: the model, its weights or its data are at fault, or it is a table of layers (HQ833).
    """
    if isinstance(build.model.source, LayersSource):
        raise HawqError(_no_network(build))
    with session.step("import_model", f"import {build.model.name}"):
        graph = import_model(build.model, session.cache.tensors, trust=True)
        model = FloatModel(graph, session.cache.tensors)
        table = network_table(graph, build.model, residual=build.residual)
    layers = _settings(build, table)
    return Examined(table, layers, _calibrated(build, graph, model, layers, session, report))


def recalibrated(analysis: Analysis, model: FloatModel) -> RangeTable:
    """Return the ranges of a network that has other weights than the imported one, as the build asks for them."""
    build, network = analysis.build, analysis.known()
    settings = (network.graph, analysis.settings, build.activations, build.residual)
    return calibrate(
        model,
        network.stream(),
        range_requests(*settings, lambda _known: None),
        interval=input_interval(network.input),
        default=build.activations,
        feedback=Feedback(),
    )


def calibration_words(network: Network, build: Build) -> str:
    """Return the calibration set as a card names it."""
    if isinstance(network.samples, SyntheticSamples):
        return describe(network.samples.made)
    data = None if build.dataset is None else build.dataset.calibration
    kind = "" if data is None else data.kind
    labels = "with" if network.samples.labels is not None else "without"
    return f"{len(network.samples)} real samples ({kind}), {labels} labels"


def _settings(build: Build, table: LayerTable) -> dict[str, LayerSettings]:
    return {own.layer: own for own in settings(build, table)}


def _calibrated(
    build: Build,
    graph: Graph,
    model: FloatModel,
    layers: dict[str, LayerSettings],
    session: Session,
    report: Report,
) -> Network:
    """Return the network with its ranges, from the cache where nothing they depend on has changed."""
    network_input = build.model.input
    data = None if build.dataset is None else build.dataset.calibration
    if network_input is None or data is None:
        raise HawqError(_no_calibration(build))
    subject = ZeroShotSubject(build.model, model, network_input)
    samples = open_or_make(data, subject, build.seed, session)
    requests = range_requests(graph, layers, build.activations, build.residual, report)
    key = digest("calibrate", graph, network_input, samples.digest, requests, build.activations)
    with session.step("calibrate", f"calibrate on {len(samples)} samples") as advance:

        def measure() -> RangeTable:
            return calibrate(
                model,
                stream(samples, network_input),
                requests,
                interval=input_interval(network_input),
                default=build.activations,
                feedback=Feedback(advance, report),
            )

        ranges = session.cache.step(key, RangeTable, measure)
    return Network(graph, model, network_input, samples, ranges)


def _no_calibration(build: Build) -> Diagnostic:
    return Diagnostic(
        code="HQ832",
        severity="error",
        message=f"'{build.name}' needs calibration data: activations are quantized by what they hold",
        span=build.span,
        help="add `with DATASET`, whose dataset has `calibration = …`",
    )


def _no_network(build: Build) -> Diagnostic:
    return Diagnostic(
        code="HQ833",
        severity="error",
        message=f"model '{build.model.name}' is a table of layers: it can be checked and planned, not built",
        span=build.model.source_span,
        help="give the network itself: onnx(…) or zoo(…)",
    )


def _sensitivities(
    build: Build,
    network: Network,
    layers: dict[str, LayerSettings],
    session: Session,
    report: Report,
) -> SensitivityTable:
    """Return what every candidate is expected to cost: read, cached or measured."""
    choices = {name: own.precision for name, own in layers.items()}
    match build.sensitivity:
        case FileSensitivity() as file:
            return read_sensitivities(Path(file.path), choices, build.span)
        case HessianSensitivity() | NamedSensitivity() as method:
            pass
        case _:
            assert_never(build.sensitivity)
    if all(len(set(own)) == 1 for own in choices.values()):
        return SensitivityTable(method="not needed: every layer has one candidate", layers=())
    known = digest("sensitivity", network.digest(), method, build.seed)

    def remember(layer: str, portion: int, measure: Callable[[], LayerLosses]) -> LayerLosses:
        key = digest(known, layers[layer], portion)
        return session.cache.step(key, LayerLosses, measure)

    with session.step("sensitivity", "measure sensitivities") as advance:

        def measure() -> SensitivityTable:
            subject = Subject(network.model, network.ranges, layers)
            source = Source(network.stream(), network.samples.labels, remember)
            feedback = Feedback(advance, report)
            return sensitivity(subject, source, method, build.seed, feedback)

        key = digest(known, tuple(layers.values()))
        return session.cache.step(key, SensitivityTable, measure)


def _covers(recorded: SensitivityTable, layers: dict[str, LayerSettings]) -> bool:
    """Return whether every candidate of every layer that has a choice is rated."""
    rated = {row.layer: {precision for precision, _ in row.values} for row in recorded.layers}
    return all(
        len(set(own.precision)) == 1 or set(own.precision) <= rated.get(name, set())
        for name, own in layers.items()
    )
