"""Hover and completion through the protocol: what stands there, and what may."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.support.editor import Editor, applied, position
from tests.unit.lsp.conftest import MAIN


def _shown(editor: Editor, uri: str, needle: str, inside: int = 0, text: str = MAIN) -> str:
    answer = editor.at("hover", uri, position(text, needle, inside))
    return "" if answer is None else answer["contents"]["value"]


@pytest.mark.parametrize(
    ("needle", "inside", "wanted"),
    [
        ("precision =", 2, ("a list of precisions", "candidates")),
        ("rounding =", 2, ("`nearest`, `adaptive` or `stochastic`",)),
        ("nearest", 2, ("nearest step",)),
        ("w4a4", 1, ("4-bit weights, 4-bit integer activations",)),
        ("perturbation", 2, ("a metric of the whole model",)),
        ("quantize", 2, ("One thing to build",)),
        ("minimize", 2, ("order of priority",)),
        ("2%", 0, ("a ratio", "0.02")),
        ("1 ns", 3, ("a time", "1e-09 s")),
        ("layers(", 2, ("instead of a network", "`path`")),
        ("conv where", 1, ("selects layers",)),
        ("count", 1, ("number of layers",)),
        ("implies", 1, ("the right one does",)),
        ("budget", 2, ("param budget: size = 12 KiB", "value: `12 KiB`")),
        ("box as", 1, ("target box", "cpu.x86_64", "bandwidth")),
        ("net on", 1, ("source = layers",)),
    ],
)
def test_hover_says_what_a_word_is(
    editor: Editor, main: str, needle: str, inside: int, wanted: tuple[str, ...]
) -> None:
    shown = _shown(editor, main, needle, inside)

    assert [part for part in wanted if part not in shown] == []


def test_hover_on_a_layer_tells_its_weights_work_and_sensitivity(editor: Editor, main: str) -> None:
    shown = _shown(editor, main, '"layer2.conv"', 4)

    assert "weights: 3,000" in shown
    assert "1.00 MMACs" in shown
    assert "sensitivity at `w4a4`: 0.5" in shown


def test_hover_on_a_pattern_counts_what_it_matches(
    editor: Editor, project: Callable[..., str]
) -> None:
    text = MAIN.replace('"layer1*"', '"layer?.*"')
    uri = editor.open(f"{project()}/main.hawq", text)

    shown = _shown(editor, uri, '"layer?', 3, text)

    assert "matches 5 of 5 layers, 15,000 weights" in shown
    assert "`layer4.conv` (conv): 5,000 weights" in shown


def test_hover_on_an_ignored_code_explains_it(editor: Editor, project: Callable[..., str]) -> None:
    text = MAIN.replace("rounding = nearest", "rounding = nearest # hawq: ignore[HQ214]")
    uri = editor.open(f"{project()}/main.hawq", text)

    assert "HQ214" in _shown(editor, uri, "HQ214", 2, text)


def _labels(editor: Editor, uri: str, text: str, needle: str, inside: int = 0) -> list[str]:
    found = editor.at("completion", uri, position(text, needle, inside))
    return [item["label"] for item in found]


@pytest.mark.parametrize(
    ("needle", "inside", "wanted", "unwanted"),
    [
        ("rounding =", 0, {"granularity", "scheme", "range", "rounding"}, {"precision"}),
        ("nearest", 2, {"nearest", "adaptive", "stochastic"}, {"fast", "budget"}),
        ("perturbation", 3, {"size", "latency"}, {"accuracy"}),
        ("budget", 3, {"size", "accuracy", "count", "budget"}, {"box", "first"}),
        ("conv where", 1, {"first", "depthwise", "kernel"}, {"latency"}),
        ("wbits == 4 implies", 1, {"wbits", "abits", "precision"}, {"latency"}),
        ("box as", 1, {"box"}, {"net", "budget"}),
        ("net on", 1, {"net"}, {"box"}),
        ("on box", 1, {"on"}, set[str]()),
        ("layers(", 2, {"onnx", "zoo", "layers"}, {"image"}),
        ("1 ns", 3, {"ms", "MiB"}, {"size"}),
        ("minimize", 0, {"precision", "minimize", "subject", "emit"}, {"cpu"}),
        ("import", 0, {"model", "dataset", "quantize"}, {"precision"}),
    ],
)
def test_completion_offers_what_may_stand_there(
    editor: Editor, main: str, needle: str, inside: int, wanted: set[str], unwanted: set[str]
) -> None:
    labels = set(_labels(editor, main, MAIN, needle, inside))

    assert wanted - labels == set()
    assert unwanted & labels == set()


def test_completion_in_a_selector_offers_the_layers_of_the_model(editor: Editor, main: str) -> None:
    labels = _labels(editor, main, MAIN, '"layer1*"', 4)

    assert labels == [f"layer{n}.conv" for n in range(5)]


def test_completion_behind_import_offers_specs_and_catalogues(editor: Editor, main: str) -> None:
    labels = _labels(editor, main, MAIN, '"lib.hawq"', 3)

    assert "lib.hawq" in labels
    assert "std/targets/nvidia_t4.hawq" in labels


def test_completion_in_a_path_lists_files(editor: Editor, main: str) -> None:
    assert "net.json" in _labels(editor, main, MAIN, '"net.json"', 2)


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        ("  sensitivity = ", {"kl", "hessian", "fisher"}),
        ("  sensitivity = hessian(", {"probes", "tolerance", "samples"}),
        ("  sensitivity = hessian(probes = 4, ", {"tolerance", "samples"}),
        ("  emit ", {"tvm", "cuda", "card"}),
        ("  emit cuda { ar", {"arch"}),
        ("  bias_correction = ", {"true", "false"}),
        ("  precision = [w8a8, ", {"w4a4"}),
        ('  layer "', {"layer0.conv"}),
        ("  subject to {\n    a: size(", {"w8a8", "fp32", "first"}),
        ("  subject to {\n    a: same precision across ", {"residual"}),
        ("  subject to {\n    a: same ", {"wbits"}),
    ],
)
def test_completion_works_in_what_is_not_finished(
    editor: Editor, project: Callable[..., str], line: str, wanted: set[str]
) -> None:
    before = MAIN[: MAIN.index("  minimize")]
    text = before + line + "\n}\n"
    uri = editor.open(f"{project()}/main.hawq", text)

    found = editor.at("completion", uri, position(text, before + line, len(before + line)))

    assert wanted - {item["label"] for item in found} == set()


def test_an_offer_replaces_the_word_that_is_typed(editor: Editor, main: str) -> None:
    where = position(MAIN, "nearest", 2)
    chosen = next(i for i in editor.at("completion", main, where) if i["label"] == "adaptive")

    assert "rounding = adaptive" in applied(MAIN, [chosen["textEdit"]])


def test_nothing_is_offered_in_a_comment(editor: Editor, main: str) -> None:
    assert editor.at("completion", main, position(MAIN, "# in a row", 6)) == []
