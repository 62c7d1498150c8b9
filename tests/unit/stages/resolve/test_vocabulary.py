"""Every word that an editor explains is one that resolving takes, and the other way round."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import get_args

import pytest

from hawqlang.ir import spec
from hawqlang.stages.parse.braces import ITEM_WORDS, STATEMENT_WORDS
from hawqlang.stages.resolve import settings
from hawqlang.stages.resolve import vocabulary as words
from hawqlang.stages.resolve.emits import KINDS
from hawqlang.stages.resolve.functions import Signature
from hawqlang.stages.resolve.keys import KEYS
from hawqlang.stages.resolve.params import TYPES
from hawqlang.stages.resolve.scope import (
    METRICS,
    OPERATOR_WORDS,
    PROPERTIES,
    SELECTOR_FORMS,
    SELECTOR_WORDS,
)
from tests.projects import Project


@pytest.mark.parametrize(
    ("explained", "taken"),
    [
        (words.METRIC_DOCS, METRICS),
        (words.PROPERTY_DOCS, PROPERTIES),
        (words.SELECTOR_DOCS, (*SELECTOR_WORDS, *SELECTOR_FORMS)),
        (words.OPERATOR_DOCS, (*OPERATOR_WORDS, "count", "fp32")),
        (words.TYPE_DOCS, TYPES),
        (words.EMIT_DOCS, KINDS),
        (words.STATEMENTS, ("hawq", *ITEM_WORDS)),
        (words.CLAUSES, STATEMENT_WORDS - ITEM_WORDS),
        (words.words_of("quantize", "accumulator"), settings.ACCUMULATORS),
        (words.words_of("layer", "accumulator"), settings.ACCUMULATORS),
        (words.words_of("quantize", "effort"), settings.EFFORTS),
        (words.words_of("weights", "scheme"), settings.SCHEMES),
        (words.words_of("activations", "scheme"), settings.SCHEMES),
        (words.words_of("weights", "rounding"), settings.ROUNDINGS),
        (
            words.words_of("input", "order"),
            get_args(spec.ImageInput.model_fields["order"].annotation),
        ),
    ],
)
def test_the_words_explained_are_the_words_taken(
    explained: Mapping[str, str], taken: tuple[str, ...]
) -> None:
    assert set(explained) == set(taken)
    assert all(doc.endswith(".") or "`" in doc for doc in explained.values())


@pytest.mark.parametrize(("block", "key"), sorted(words.FUNCTIONS))
def test_every_function_is_of_a_key_and_explains_its_arguments(block: str, key: str) -> None:
    assert key in KEYS[block]
    for name, found in words.FUNCTIONS[block, key].items():
        assert found.example.startswith(name)
        assert found.doc.endswith(".")
        assert set(found.arguments) == {*found.positional, *found.named}
        assert set(found.required) <= set(found.arguments)


def _called(found: Signature) -> str:
    return found.example


@pytest.mark.parametrize(
    ("block", "key"),
    sorted(pair for pair in words.FUNCTIONS if pair[0] in ("quantize", "weights", "activations")),
)
def test_every_example_resolves(tmp_path: Path, block: str, key: str) -> None:
    project = Project(tmp_path)
    for found in words.FUNCTIONS[block, key].values():
        line = f"{key} = {_called(found)}"
        inner = line if block == "quantize" else f"{block} {{ {line} }}"
        text = (
            'model net { source = onnx("net.onnx")\ninput = image(8, 8) }\n'
            'dataset data { calibration = images("c")\ntraining = images("c", labels = "l.csv") }\n'
            "target box { device = cpu.x86_64 }\n"
            f"quantize net on box with data {{\nprecision = w8a8\n{inner}\n}}"
        )
        resolved, diagnostics = project.resolve(text.replace("{ ", "{\n").replace(" }", "\n}"))
        errors = [d.message for d in diagnostics if d.severity == "error"]
        assert resolved is not None, (line, errors)


def test_the_defaults_explained_are_those_of_an_empty_block(tmp_path: Path) -> None:
    resolved, _ = Project(tmp_path).resolve(
        'model net {\nsource = onnx("net.onnx")\ninput = image(8, 8)\n}\n'
        "target box {\ndevice = cpu.x86_64\n}\n"
        "quantize net on box {\nprecision = w8a8\n}"
    )
    assert resolved is not None
    (build,) = resolved.builds
    found = {
        ("quantize", "residual"): build.residual,
        ("quantize", "accumulator"): build.accumulator,
        ("quantize", "bias_correction"): str(build.bias_correction).lower(),
        ("quantize", "sensitivity"): getattr(build.sensitivity, "kind", None),
        ("quantize", "finetune"): "none" if build.finetune is None else "",
        ("quantize", "attempts"): build.attempts,
        ("quantize", "seed"): build.seed,
        ("weights", "granularity"): build.weights.granularity,
        ("weights", "scheme"): build.weights.scheme,
        ("weights", "range"): build.weights.range.kind,
        ("activations", "granularity"): build.activations.granularity,
        ("activations", "scheme"): build.activations.scheme,
        ("target", "batch"): build.target.batch,
        ("target", "threads"): build.target.threads,
        ("target", "latency"): build.target.latency,
    }
    explained = {
        (block, name): key.default
        for block, keys in KEYS.items()
        for name, key in keys.items()
        if key.default and block in ("quantize", "weights", "activations", "target")
    }

    assert explained == {place: str(value) for place, value in found.items()}
