"""Every dimension of the survey's taxonomy has a spec, and every spec becomes an integer program that reads digits."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from hawqlang.cache import Cache
from hawqlang.interpret import logits
from hawqlang.ir.spec import Build, Spec
from hawqlang.pipeline import compile_build, plan_build
from hawqlang.session import Session
from hawqlang.stages.data import open_samples
from hawqlang.stages.deferred import deferred
from hawqlang.stages.float_model import predict
from hawqlang.stages.realise import integers
from hawqlang.stages.resolve import resolve_file
from tests.docs.markdown import ROOT

FOLDER = ROOT / "docs" / "examples" / "survey"
PAGE = ROOT / "docs" / "survey.md"
SPECS = tuple(sorted(path for path in FOLDER.glob("*.hawq") if path.stem != "parts"))
IMAGES = 200
AGREEMENT = 0.97
"""Share of images on which an integer program answers as the float network does."""


@dataclass(frozen=True)
class Opened:
    """A spec of the survey and its one build."""

    spec: Spec
    build: Build


def opened(path: Path) -> Opened:
    spec, found = resolve_file(path, overrides={}, trust=False)
    assert spec is not None
    assert found == ()
    (build,) = spec.builds
    assert deferred(spec, build, "note") == ()
    return Opened(spec, build)


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Session:
    """One cache for all, so that the float network is imported and run once."""
    return Session(Cache(tmp_path_factory.mktemp("cache")))


def test_the_page_names_every_spec_and_no_other() -> None:
    named = re.findall(r"\(examples/survey/([a-z_]+\.hawq)\)", PAGE.read_text(encoding="utf-8"))
    assert sorted(set(named)) == [path.name for path in SPECS]


@pytest.mark.parametrize("path", SPECS, ids=lambda path: path.stem)
def test_a_spec_of_the_survey_becomes_an_integer_program(path: Path, session: Session) -> None:
    build = opened(path).build
    assert build.name == path.stem
    analysis, plan = plan_build(build, session, lambda _: None)
    assert plan.status == "optimal"
    program, _, _ = integers(analysis, plan, session, lambda _: None)
    network, data = analysis.known(), build.dataset
    assert data is not None
    assert data.evaluation is not None
    samples = open_samples(data.evaluation, network.input)
    pixels = samples.take(range(IMAGES))
    got = logits(program, session.cache.tensors, pixels).argmax(axis=1)
    wanted = predict(network.model, samples, network.input)[:IMAGES]
    assert np.mean(got == wanted) >= AGREEMENT


@pytest.mark.slow
@pytest.mark.parametrize("path", SPECS, ids=lambda path: path.stem)
def test_a_spec_of_the_survey_becomes_a_library_that_verifies(path: Path, tmp_path: Path) -> None:
    own = opened(path)
    session = Session(Cache(tmp_path / "cache"))
    made = compile_build(own.spec, own.build, tmp_path / "made", session, lambda _: None)
    evaluation = made.realised.evaluation
    assert evaluation is not None
    assert evaluation.agreement is not None
    assert evaluation.agreement >= AGREEMENT
