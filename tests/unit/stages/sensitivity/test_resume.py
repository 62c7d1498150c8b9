"""What a build remembers of its sensitivities, through the cache of its session."""

from __future__ import annotations

from pathlib import Path

import pytest

from hawqlang.cache import Cache
from hawqlang.ir.sensitivity import SensitivityTable
from hawqlang.session import Session
from hawqlang.stages.analyse import analyse
from hawqlang.stages.card import sensitivity_words
from hawqlang.stages.resolve import resolve_file
from hawqlang.stages.sensitivity import alone

SPEC = """hawq 1

import "parts.hawq"

quantize digits on laptop with scans {{
  precision   = [w4a8, w8a8]
  sensitivity = {sensitivity}
{rest}
}}
"""


class Count:
    """How often a layer was measured."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.layers = 0
        measure = alone._measure  # pyright: ignore[reportPrivateUsage]

        def counted(*arguments: object) -> object:
            self.layers += 1
            return measure(*arguments)  # pyright: ignore[reportArgumentType]

        monkeypatch.setattr(alone, "_measure", counted)


def measured(folder: Path, session: Session, sensitivity: str, rest: str = "") -> SensitivityTable:
    path = folder / "spec.hawq"
    path.write_text(SPEC.format(sensitivity=sensitivity, rest=rest), encoding="utf-8")
    spec, found = resolve_file(path, overrides={}, trust=False)
    assert spec is not None, found
    table = analyse(spec.builds[0], session, lambda _: None).sensitivities
    assert table is not None
    return table


@pytest.fixture
def folder(repository: Path, tmp_path: Path) -> Path:
    """A folder with the parts that the survey's specs share."""
    survey = repository / "docs" / "examples" / "survey"
    text = (survey / "parts.hawq").read_text(encoding="utf-8")
    text = text.replace("../../../specs", str(repository / "specs"))
    (tmp_path / "parts.hawq").write_text(text, encoding="utf-8")
    return tmp_path


def test_only_the_layer_whose_settings_change_is_measured_again(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted = Count(monkeypatch)
    session = Session(Cache(tmp_path / "cache"))
    first = measured(folder, session, "kl(samples = 8)")
    layers = counted.layers
    assert layers == len(first.layers) > 3
    assert measured(folder, session, "kl(samples = 8)") == first
    assert counted.layers == layers
    rest = "  layer last {\n    weights {\n      granularity = per_tensor\n    }\n  }"
    second = measured(folder, session, "kl(samples = 8)", rest)
    assert counted.layers == layers + 1
    assert second.layers[:-1] == first.layers[:-1]
    assert second.layers[-1] != first.layers[-1]
    measured(folder, session, "measured(samples = 8)")
    assert counted.layers == 2 * layers + 1


def test_labels_of_the_calibration_set_reach_the_measured_loss(
    folder: Path, tmp_path: Path
) -> None:
    table = measured(folder, Session(Cache(tmp_path / "cache")), "measured(samples = 8)")
    assert table.labels is True
    assert sensitivity_words(table) == "measured(samples = 8), 8 samples, at the labels"


def test_a_card_says_what_was_looked_at() -> None:
    assert sensitivity_words(None) == "not needed: every layer has one candidate"
    table = SensitivityTable(method="hessian(…)", layers=(), probes=4, converged=False, samples=9)
    assert sensitivity_words(table) == "hessian(…), 9 samples, 4 probes, tolerance not met"
    table = SensitivityTable(method="fisher", layers=(), samples=9, seed=3)
    assert sensitivity_words(table) == "fisher, 9 samples, seed 3"
    table = SensitivityTable(method="measured", layers=(), samples=9, labels=False)
    assert sensitivity_words(table).endswith("loss against the model's own top-1")
