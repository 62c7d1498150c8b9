"""fisher, mse, kl and measured against the same figures computed another way."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812 - the usual name

from hawqlang.base import Precision
from hawqlang.diagnostics import Diagnostic, HawqError
from hawqlang.ir.graph import Conv2d
from hawqlang.ir.spec import NamedSensitivity
from hawqlang.stages.batches import stream_of
from hawqlang.stages.feedback import Feedback
from hawqlang.stages.sensitivity import LayerLosses, Source, Subject, alone, sensitivity, work
from hawqlang.stages.sensitivity.trial import Trials
from hawqlang.stages.structure import layer_nodes, range_root
from tests.unit.stages.nets import fire_net
from tests.unit.stages.sensitivity.cases import (
    ALL,
    QUIET,
    W4A4,
    W4A8,
    W8A8,
    images,
    subject,
    values,
)

Kind = Literal["fisher", "mse", "kl", "measured"]
KINDS: tuple[Kind, ...] = ("fisher", "mse", "kl", "measured")
LABELS = np.array([0, 3, 1, 4, 2, 2, 0, 1])


def rated(studied: Subject, kind: Kind, layer: str, **source: Any) -> dict[str, float]:
    table = sensitivity(
        studied, Source(stream_of(images(8)), **source), NamedSensitivity(kind=kind), 0, QUIET
    )
    return values(table, layer)


def outputs(
    studied: Subject, x: torch.Tensor, layer: str, precision: Precision
) -> tuple[torch.Tensor, torch.Tensor]:
    """The layer's output in float and at a precision, from the definitions of the arithmetic."""
    model = studied.model
    node = next(node for node in layer_nodes(model.graph) if node.name == layer)
    weight = model.parameters[node.weight].double()
    bias = None if node.bias is None else model.parameters[node.bias].double()
    rows = weight.reshape(len(weight), -1)
    limit = 2 ** (precision.wbits - 1) - 1
    step = rows.abs().amax(1, keepdim=True) / limit
    stored_weight = (torch.round(rows / step) * step).reshape(weight.shape)
    root = range_root(model.graph)[node.x]
    read = model.run(x, keep=(node.x,)).kept[node.x].double()
    high = studied.table.find(root, precision.abits).high
    levels = 2**precision.abits - 1
    stored = torch.clamp(torch.floor(read * levels / high + 0.5), 0, levels) * high / levels
    results: list[torch.Tensor] = []
    for value, kernel in ((read, weight), (stored, stored_weight)):
        if isinstance(node, Conv2d):
            pad = node.padding[0]
            results.append(F.conv2d(value, kernel, bias, node.stride, pad, 1, node.groups))
        else:
            results.append(F.linear(value, kernel, bias))
    return results[0], results[1]


def centred(own: torch.Tensor, stored: torch.Tensor) -> torch.Tensor:
    """The output once the mean error of each channel is taken away."""
    axes = [0, *range(2, own.ndim)]
    return stored - (stored - own).mean(axes, keepdim=True)


def log_probabilities(
    studied: Subject, x: torch.Tensor, layer: str, replaced: torch.Tensor | None
) -> torch.Tensor:
    def intercept(name: str, value: torch.Tensor) -> torch.Tensor:
        return value if name != layer or replaced is None else replaced.float()

    return studied.model.run(x, intercept=intercept).output.double().log_softmax(1)


@pytest.mark.parametrize("corrected", [False, True])
@pytest.mark.parametrize("layer", ["b1.conv1", "b2.conv1", "fc"])
def test_kl_is_the_divergence_of_the_network_with_one_layer_quantized(
    layer: str, corrected: bool
) -> None:
    studied = subject({layer: ALL}, corrected=corrected)
    found = rated(studied, "kl", layer)
    x = images(8)
    log_p = log_probabilities(studied, x, layer, None)
    for precision in ALL:
        own, stored = outputs(studied, x, layer, precision)
        stored = centred(own, stored) if corrected else stored
        log_q = log_probabilities(studied, x, layer, stored)
        expected = float((log_p.exp() * (log_p - log_q)).sum(1).mean())
        assert found[str(precision)] == pytest.approx(expected, rel=1e-3, abs=1e-12)


@pytest.mark.parametrize("labels", [LABELS, None])
def test_measured_is_the_increase_of_the_cross_entropy(labels: Any) -> None:
    studied = subject(b2_conv1=ALL)
    found = rated(studied, "measured", "b2.conv1", labels=labels)
    x = images(8)
    log_p = log_probabilities(studied, x, "b2.conv1", None)
    classes = log_p.argmax(1) if labels is None else torch.from_numpy(labels)
    for precision in ALL:
        own, stored = outputs(studied, x, "b2.conv1", precision)
        log_q = log_probabilities(studied, x, "b2.conv1", centred(own, stored))
        expected = float((log_p - log_q)[torch.arange(8), classes].mean())
        assert found[str(precision)] == pytest.approx(max(expected, 0.0), rel=1e-3, abs=1e-12)


def test_a_table_says_whether_labels_were_there() -> None:
    studied = subject(fc=(W4A4, W8A8))
    for kind, labels, said in (
        ("measured", LABELS, True),
        ("measured", None, False),
        ("kl", LABELS, None),
    ):
        table = sensitivity(
            studied,
            Source(stream_of(images(8)), labels),
            NamedSensitivity.model_validate({"kind": kind}),
            7,
            QUIET,
        )
        assert (table.labels, table.samples, table.seed) == (said, 8, None)


@pytest.mark.parametrize("corrected", [False, True])
def test_mse_is_the_error_of_the_output_relative_to_its_variance(corrected: bool) -> None:
    studied = subject(corrected=corrected, b2_conv2=ALL)
    found = rated(studied, "mse", "b2.conv2")
    for precision in ALL:
        own, stored = outputs(studied, images(8), "b2.conv2", precision)
        stored = centred(own, stored) if corrected else stored
        variance = (own - own.mean((0, 2, 3), keepdim=True)).square().sum()
        expected = float((stored - own).square().sum() / variance)
        assert found[str(precision)] == pytest.approx(expected, rel=1e-4)


def fisher_diagonal(studied: Subject, x: torch.Tensor, layer: str) -> torch.Tensor:
    """``sum_c p_c (d log p_c / d output)^2`` of one sample, written out."""
    output = studied.model.run(x, keep=(layer,)).kept[layer]

    def log_p(y: torch.Tensor) -> torch.Tensor:
        def intercept(name: str, value: torch.Tensor) -> torch.Tensor:
            return y if name == layer else value

        return studied.model.run(x, intercept=intercept).output[0].log_softmax(0)

    at = output.detach().requires_grad_()
    logs = log_p(at)
    total = torch.zeros_like(output)
    for value in logs:
        (slope,) = torch.autograd.grad(value, at, retain_graph=True)
        total += value.detach().exp() * slope.square()
    return total


def test_fisher_weights_the_output_error_with_the_fisher_information() -> None:
    studied = subject(corrected=False, b2_conv1=ALL)
    x = images(1)
    many = stream_of(x.repeat(2048, 1, 1, 1))  # each copy draws signs of its own
    method = NamedSensitivity(kind="fisher", samples=2048)
    found = values(sensitivity(studied, many, method, 0, QUIET), "b2.conv1")
    information = fisher_diagonal(studied, x, "b2.conv1")
    for precision in ALL:
        own, stored = outputs(studied, x, "b2.conv1", precision)
        expected = float(0.5 * (information * (stored - own).square()).sum())
        assert found[str(precision)] == pytest.approx(expected, rel=0.08)


def test_fisher_takes_the_mean_error_of_each_channel_away_where_biases_are_corrected() -> None:
    plain, corrected = (subject(corrected=own, b2_conv1=(W4A8, W8A8)) for own in (False, True))
    x = images(1)  # one position decides nothing, so the mean over positions is what is left
    own, stored = outputs(plain, x, "b2.conv1", W4A8)
    biased = rated(plain, "fisher", "b2.conv1")["w4a8"]
    unbiased = rated(corrected, "fisher", "b2.conv1")["w4a8"]
    assert not torch.allclose(centred(own, stored), stored)
    assert unbiased != pytest.approx(biased, rel=1e-3)


@pytest.mark.parametrize("kind", KINDS)
def test_activations_count_where_the_candidate_changes_them(kind: Kind) -> None:
    found = rated(subject(b1_conv1=ALL), kind, "b1.conv1", labels=LABELS)
    assert found["w4a4"] != found["w4a8"]
    if kind != "measured":
        assert found["w4a4"] > found["w4a8"] > found["w8a8"] > 0


@pytest.mark.parametrize("kind", KINDS)
def test_a_measurement_repeats_to_the_last_bit(kind: Kind) -> None:
    method = NamedSensitivity(kind=kind)
    first, second = (
        sensitivity(subject(b1_conv1=ALL, fc=ALL), stream_of(images(8)), method, 3, QUIET)
        for _ in range(2)
    )
    assert first == second


def test_only_fisher_depends_on_the_seed() -> None:
    for kind in KINDS:
        method = NamedSensitivity(kind=kind)
        studied = subject(b1_conv1=ALL)
        rows = [sensitivity(studied, stream_of(images(8)), method, seed, QUIET) for seed in (0, 1)]
        same = rows[0].layers == rows[1].layers
        assert same == (kind != "fisher")
        assert [row.seed for row in rows] == ([0, 1] if kind == "fisher" else [None, None])


@pytest.mark.parametrize("kind", ["kl", "measured"])
def test_branches_that_meet_in_a_concat_are_measured_too(kind: Kind) -> None:
    studied = subject(make=fire_net, right=ALL)
    found = rated(studied, kind, "right", labels=LABELS)
    own, stored = outputs(studied, images(8), "right", W4A4)
    log_p = log_probabilities(studied, images(8), "right", None)
    log_q = log_probabilities(studied, images(8), "right", centred(own, stored))
    at = torch.arange(8), torch.from_numpy(LABELS)
    expected = (
        (log_p.exp() * (log_p - log_q)).sum(1).mean()
        if kind == "kl"
        else (log_p - log_q)[at].mean().clamp(min=0)
    )
    assert found["w4a4"] == pytest.approx(float(expected), rel=1e-3)


# ---- what is remembered --------------------------------------------------------------------------


class Memory:
    """Keeps results; breaks off where it is told to."""

    def __init__(self, breaks_at: str | None = None) -> None:
        self.known: dict[tuple[str, int], LayerLosses] = {}
        self.measured: list[str] = []
        self.breaks_at = breaks_at

    def __call__(self, layer: str, portion: int, measure: Callable[[], LayerLosses]) -> LayerLosses:
        if layer == self.breaks_at:
            raise KeyboardInterrupt
        if (layer, portion) not in self.known:
            self.known[layer, portion] = measure()
            self.measured.append(layer)
        return self.known[layer, portion]


def test_an_interrupted_measurement_goes_on_at_the_layer_it_had_come_to() -> None:
    studied = subject(b1_conv1=ALL, b2_conv1=ALL, fc=ALL)
    method, memory = NamedSensitivity(kind="kl"), Memory(breaks_at="b2.conv1")
    source = Source(stream_of(images(8)), None, memory)
    with pytest.raises(KeyboardInterrupt):
        sensitivity(studied, source, method, 0, QUIET)
    assert memory.measured == ["b1.conv1"]
    memory.breaks_at = None
    resumed = sensitivity(studied, source, method, 0, QUIET)
    assert memory.measured == ["b1.conv1", "b2.conv1", "fc"]
    assert resumed == sensitivity(studied, stream_of(images(8)), method, 0, QUIET)


def test_samples_that_do_not_fit_into_memory_are_gone_through_in_portions(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    studied = subject(corrected=False, b1_conv1=ALL, fc=ALL)
    method = NamedSensitivity(kind="kl")
    whole = sensitivity(studied, stream_of(images(8)), method, 0, QUIET)
    widest = alone.widest(studied.model.graph)
    monkeypatch.setattr(alone, "PORTION_BYTES", 3 * widest)
    memory = Memory()
    source = Source(stream_of(images(8)), None, memory)
    seen: list[tuple[int, int]] = []
    feedback = Feedback(progress=lambda done, total: seen.append((done, total)))
    parts = sensitivity(studied, source, method, 0, feedback)
    assert sorted(memory.known) == [(n, i) for n in ("b1.conv1", "fc") for i in range(3)]
    assert seen == [(i, 6) for i in range(1, 7)]
    for layer in ("b1.conv1", "fc"):
        assert values(parts, layer) == pytest.approx(values(whole, layer), rel=1e-5)


# ---- what is refused, raised and left out --------------------------------------------------------


def test_a_layer_that_lowers_the_loss_costs_nothing_and_is_named() -> None:
    studied = subject(b1_conv1=(W4A4, W8A8))
    x = images(8)
    own, stored = outputs(studied, x, "b1.conv1", W4A4)
    log_p = log_probabilities(studied, x, "b1.conv1", None)
    log_q = log_probabilities(studied, x, "b1.conv1", centred(own, stored))
    labels = (log_q - log_p).argmax(1).numpy()
    said: list[Diagnostic] = []
    source = Source(stream_of(x), labels)
    found = sensitivity(
        studied, source, NamedSensitivity(kind="measured"), 0, Feedback(report=said.append)
    )
    assert values(found, "b1.conv1")["w4a4"] == 0
    assert found.raised == ("b1.conv1",)
    assert [d.code for d in said] == ["HQ422"]
    assert "'b1.conv1' at w4a4" in said[0].message


@pytest.mark.parametrize("kind", KINDS)
def test_a_figure_that_is_not_finite_names_the_layer(kind: Kind) -> None:
    studied = subject(b2_conv1=(W4A8, W8A8), fc=(W4A8, W8A8))
    studied.model.parameters["b2.conv1.bias"][0] = float("inf")
    with pytest.raises(HawqError, match=r"HQ420: the sensitivity of 'b2.conv1'"):
        rated(studied, kind, "fc")


@pytest.mark.parametrize("kind", KINDS)
def test_samples_are_needed_only_where_a_layer_has_a_choice(kind: Kind) -> None:
    method = NamedSensitivity(kind=kind)
    found = sensitivity(subject(), stream_of(images(0)), method, 0, QUIET)
    assert all(cost == 0 for row in found.layers for _, cost in row.values)
    with pytest.raises(HawqError, match="HQ414"):
        sensitivity(subject(fc=(W4A8, W8A8)), stream_of(images(0)), method, 0, QUIET)


@pytest.mark.parametrize("kind", KINDS)
def test_as_many_samples_are_used_as_the_spec_says(kind: Kind) -> None:
    studied = subject(fc=(W4A4, W8A8))
    method = NamedSensitivity(kind=kind, samples=3)
    few = sensitivity(studied, stream_of(images(3)), method, 0, QUIET)
    assert few == sensitivity(studied, stream_of(images(8)), method, 0, QUIET)
    assert (few.method, few.samples) == (f"{kind}(samples = 3)", 3)


def test_a_bound_on_work_decides_where_the_spec_does_not_say(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    trials = Trials(subject(b1_conv1=ALL))
    kl, mse = NamedSensitivity(kind="kl"), NamedSensitivity(kind="mse")
    assert work.sample_count(trials, kl) == work.MOST_SAMPLES
    monkeypatch.setattr(work, "WORK", 100 * work.work_of_a_sample(trials, kl))
    assert work.sample_count(trials, kl) == 100
    assert work.sample_count(trials, mse) > 100
    monkeypatch.setattr(work, "WORK", 0)
    assert work.sample_count(trials, kl) == work.LEAST_SAMPLES
    assert work.sample_count(trials, NamedSensitivity(kind="kl", samples=5)) == 5


def test_the_work_of_a_layer_measured_alone_is_the_network_from_there_on() -> None:
    first, last = (Trials(subject({name: ALL})) for name in ("stem", "fc"))
    kl = NamedSensitivity(kind="kl")
    total = work.work_of_a_sample(Trials(subject()), kl) // 2
    assert work.work_of_a_sample(first, kl) == 5 * total
    assert work.work_of_a_sample(last, kl) == 2 * total + 3 * 8 * 5
