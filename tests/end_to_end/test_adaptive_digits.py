"""Adaptive rounding of a trained network, followed into the integer program and run there exactly."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pytest
import torch

from hawqlang.arith import pack
from hawqlang.cache import Cache, TensorStore
from hawqlang.interpret import interpret
from hawqlang.ir.spec import Build
from hawqlang.ir.tuning import Tuning
from hawqlang.ops import Conv2d, Frame, Linear
from hawqlang.pipeline import plan_build
from hawqlang.session import Session
from hawqlang.stages.feedback import Feedback
from hawqlang.stages.float_model import FloatModel
from hawqlang.stages.lower import LowerSettings, Tuned, lower
from hawqlang.stages.simulate import Deployment, Simulation
from hawqlang.stages.tune import Effort, Memory, Subject, fit
from hawqlang.stages.tune.replay import divergence, held_out
from hawqlang.stages.tuned_weights import given_weight
from tests.projects import Project

BODY = """
  precision = w4a4
  layer first, last {{
    precision = w8a8
  }}
  weights {{
    rounding = {rounding}
    {kind}
  }}
"""

PLAIN = ""
AFFINE_GROUPS = """scheme = affine
    granularity = group(6)"""


@dataclass(frozen=True)
class Found:
    """One network as float, as simulation and as integer program, on calibration samples."""

    tuning: Tuning
    wanted: torch.Tensor
    simulated: torch.Tensor
    integer: torch.Tensor
    codes_match: bool


def build_of(folder: Path, rounding: str, kind: str) -> Build:
    text = (folder / "digits.hawq").read_text("utf-8")
    head = text[text.index("model digits") : text.index("quantize digits")]
    body = BODY.format(rounding=rounding, kind=kind)
    return Project(folder).spec(f"{head}quantize digits on laptop with scans {{{body}}}").builds[0]


def run(folder: Path, rounding: Literal["nearest", "adaptive"], kind: str = PLAIN) -> Found:
    cache = Cache(None)
    analysis, plan = plan_build(build_of(folder, rounding, kind), Session(cache), lambda d: None)
    network, store = analysis.known(), cache.tensors
    deployment = Deployment(plan.allocation(), analysis.settings)
    subject = Subject(network.model, network.ranges, deployment, network.stream().first(256))
    tuning = fit(subject, Memory(cache, "digits"), Feedback(), Effort())
    biases = {row.layer: store.get(row.bias) for row in tuning.biases}
    tuned = Tuned(
        biases=biases,
        weights={row.layer: given_weight(store, row) for row in tuning.weights},
    )
    settings = LowerSettings(network.input, analysis.settings)
    program, scales = lower(
        network.graph, network.ranges, plan.allocation(), settings, store, tuned
    )
    pixels = np.concatenate(list(network.samples.batches(64)))[:256]
    logits = interpret(program, store, pixels)[program.output].astype(np.float64)
    simulation = Simulation(
        FloatModel(network.graph, store),
        network.ranges,
        Deployment(plan.allocation(), analysis.settings, 8, biases, tuned.weights),
    )
    ops = {op.name: op for op in program.ops if isinstance(op, Conv2d | Linear)}
    match = True
    for row in tuning.weights:
        op = ops[row.layer]
        packed = store.get(op.weight)
        q = pack.unpack_weights(packed, op.weight_bits, op.weight_shape)
        integers = program_integers(op, store)
        fitted = given_weight(store, row).integers()
        match &= sorted(integers.ravel().tolist()) == sorted(fitted.ravel().tolist())
        match &= sorted(q.ravel().tolist()) == sorted(store.get(row.q).ravel().tolist())
    with torch.inference_mode():
        x = torch.cat(list(subject.samples.batches(64)))
        return Found(
            tuning,
            network.model.forward(x),
            simulation.run(x),
            torch.from_numpy(logits * scales.scale(program.output)),
            match,
        )


def program_integers(op: Conv2d | Linear, store: TensorStore) -> npt.NDArray[np.integer[Any]]:
    """What the program multiplies with, zero points and multiples applied."""
    frame = Frame({}, {}, store.get)
    return frame.weights(op.weight, op.weight_bits, op.weight_shape, op.terms)


@pytest.fixture(scope="module")
def folder(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example's files, to write another spec beside."""
    place = tmp_path_factory.mktemp("digits")
    examples = repository / "specs" / "examples"
    shutil.copytree(examples / "digits", place / "digits")
    shutil.copyfile(examples / "digits.hawq", place / "digits.hawq")
    return place


@pytest.fixture(scope="module", params=[PLAIN, AFFINE_GROUPS], ids=["symmetric", "affine groups"])
def kind(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def adaptive(folder: Path, kind: str) -> Found:
    return run(folder, "adaptive", kind)


def test_the_program_holds_the_integers_that_were_fitted(adaptive: Found) -> None:
    assert len(adaptive.tuning.weights) >= 5
    assert adaptive.codes_match


def test_the_program_answers_as_the_simulation_that_was_fitted(adaptive: Found) -> None:
    # Borders of rounding are hit now and then: one step of one activation, not another network.
    spread = float(adaptive.simulated.abs().max())
    difference = (adaptive.integer - adaptive.simulated).abs()
    assert float(difference.median()) < 1e-4 * spread
    assert float(difference.max()) < 0.1 * spread
    same = adaptive.integer.argmax(1) == adaptive.simulated.argmax(1)
    assert float(same.double().mean()) > 0.99


def test_held_out_samples_are_closer_to_the_float_network_than_with_nearest(
    adaptive: Found, folder: Path, kind: str
) -> None:
    nearest = run(folder, "nearest", kind)
    held = held_out(256)
    assert nearest.tuning.weights == ()
    got, plain = (divergence(f.integer[held], f.wanted[held]) for f in (adaptive, nearest))
    # In groups of six, rounding to nearest loses little more than the activations do.
    assert got < (0.8 if kind == PLAIN else 0.95) * plain
