"""Properties of resolving: no text makes it raise, and what it accepts survives printing."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hawqlang.diagnostics.codes_2xx import ENTRIES
from hawqlang.ir.printer_spec import print_spec
from hawqlang.stages.resolve import resolve
from tests.projects import Project, content, new_project

FULL = """hawq 1
import "std/targets/nvidia_t4.hawq"
param budget: size = 6 MiB
param top: precision = w8a8
model net {
  source = onnx("net.onnx")
  weights = file("net.pt")
  input = image(224, 224, mean = [0.485, 0.456, 0.406], std = [1, 1, 1], order = bgr)
}
dataset data {
  calibration = images("calib", resize = 256, crop = 224, count = all)
  evaluation = arrays("x.npz", images = "x", labels = "y")
}
target phone {
  device {
    native = [w8a8]
    rates { w8a8 = 60 GMACs/s }
    bandwidth = 12 GB/s
    launch = 2 us
  }
  batch = 2
}
quantize net on phone with data as small {
  precision = [w4a4, top]
  weights {
    granularity = group(64)
    rounding = adaptive
  }
  activations { range = percentile(99.9%) }
  sensitivity = hessian(probes = 8, tolerance = 2%)
  finetune = none
  layer all except first, last { precision = [w4a4] }
  minimize size("fc") within 2%, perturbation
  subject to {
    a: size / size(fp32) <= 80% of (1 - 1 / 4)
    b: 4 <= wbits(conv and "a.{i}.*", channels >= 256) <= 8
    c: each conv: wbits == 4 implies abits >= 4 and not precision == w8a8
    d: count(all where wbits == 4) >= 10 or same precision across residual
    e: accuracy_drop <= 1%
    f: size <= size(w4a4) + 75% of (size(top) - size(w4a4)) implies peak_memory <= budget
  }
  emit tvm { cpu = native }
  emit cuda { arch = [sm_75] }
  emit card, report
}
quantize net on nvidia_t4 with data { precision = top }
"""
CORPUS = [FULL, *(e.mended for e in ENTRIES if e.mended.startswith("hawq 1\n"))]
TOKEN = re.compile(r'"[^"\n]*"|[A-Za-z_][\w.]*|[0-9][\w.]*|[<>=!]=|\s+|.')
POOL = sorted({token for text in CORPUS for token in TOKEN.findall(text)})

mutations = st.lists(
    st.tuples(
        st.floats(0, 1, exclude_max=True),
        st.sampled_from(["drop", "double", "replace", "insert", "swap"]),
        st.sampled_from(POOL),
    ),
    min_size=1,
    max_size=4,
)


def mutated(text: str, changes: list[tuple[float, str, str]]) -> str:
    """Return the text with some of its tokens changed."""
    tokens: list[str] = TOKEN.findall(text)
    for place, change, token in changes:
        at = int(place * len(tokens))
        match change:
            case "drop":
                del tokens[at]
            case "double":
                tokens.insert(at, tokens[at])
            case "insert":
                tokens.insert(at, f" {token} ")
            case "swap":
                tokens[at], tokens[at - 1] = tokens[at - 1], tokens[at]
            case _:
                tokens[at] = token
    return "".join(tokens)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    return new_project(tmp_path_factory.mktemp("project"))


def check(project: Project, text: str) -> None:
    """Resolve a text; where it is accepted, print it and resolve that."""
    path = project.folder / "spec.hawq"
    path.write_text(text, encoding="utf-8")
    found = resolve(path)
    errors = [d for d in found.diagnostics if d.severity == "error"]
    assert (found.spec is None) == bool(errors)
    for diagnostic in found.diagnostics:
        assert diagnostic.span is not None
        assert 1 <= diagnostic.span.line <= len(text.split("\n"))
        assert Path(diagnostic.span.file) in (path, Path("std/targets/nvidia_t4.hawq"))
    if found.spec is not None:
        path.write_text(print_spec(found.spec), encoding="utf-8")
        again = resolve(path)
        assert again.spec is not None, again.diagnostics
        assert content(again.spec) == content(found.spec)


def test_the_corpus_itself_is_accepted(project: Project) -> None:
    for text in CORPUS:
        path = project.folder / "spec.hawq"
        path.write_text(text, encoding="utf-8")
        assert resolve(path).spec is not None


@settings(
    deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(text=st.sampled_from(CORPUS) | st.just(FULL), changes=mutations)
def test_no_mutation_of_a_spec_makes_resolving_raise(
    project: Project, text: str, changes: list[tuple[float, str, str]]
) -> None:
    check(project, mutated(text, changes))
