"""Every dimension of the survey's taxonomy has a spec, and every spec becomes an integer program that reads digits."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from hawqlang.arith.pack import unpack_weights
from hawqlang.cache import Cache
from hawqlang.diagnostics import HawqError
from hawqlang.interpret import logits
from hawqlang.ir.integer import IntegerProgram
from hawqlang.ir.plan import BitPlan
from hawqlang.ir.spec import Build, Emit, LayerRule, Spec
from hawqlang.ir.tuning import Tuning
from hawqlang.ops import Conv2d, Linear
from hawqlang.pipeline import compile_build, plan_build
from hawqlang.session import Session
from hawqlang.stages.analyse import Analysis, calibration_words
from hawqlang.stages.card import training_words
from hawqlang.stages.data import open_samples
from hawqlang.stages.deferred import deferred
from hawqlang.stages.float_model import predict
from hawqlang.stages.realise import integers
from hawqlang.stages.resolve import resolve_file
from tests.docs.markdown import ROOT

FOLDER = ROOT / "docs" / "examples" / "survey"
PAGE = ROOT / "docs" / "reference" / "taxonomy.md"
SPECS = tuple(sorted(path for path in FOLDER.glob("*.hawq") if path.stem != "parts"))
IMAGES = 200
AGREEMENT = 0.97
"""Share of images on which an integer program answers as the float network does."""
TRAINED = "layer1.0.conv2"
"""The layer that the specs of few levels and of narrow sums train."""


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


@dataclass(frozen=True)
class Made:
    """A build, and everything up to its integer program."""

    analysis: Analysis
    plan: BitPlan
    program: IntegerProgram
    tuning: Tuning
    workshop: Workshop

    def layers(self) -> dict[str, Conv2d | Linear]:
        return {op.name: op for op in self.program.ops if isinstance(op, Conv2d | Linear)}

    def inner(self) -> list[Conv2d | Linear]:
        """Return all layers but the first and the last."""
        return list(self.layers().values())[1:-1]

    def codes(self, name: str) -> npt.NDArray[np.integer]:
        """Return the integers that stand for a layer's weights."""
        op = self.layers()[name]
        packed = self.workshop.session.cache.tensors.get(op.weight)
        return unpack_weights(packed.astype(np.uint8), op.weight_bits, op.weight_shape)

    def limits(self) -> dict[str, int]:
        return {bound.op: bound.limit for bound in self.program.bounds}

    def zero_points(self) -> set[int]:
        """Return those of all stored tensors but the input, which are bytes whatever the spec says."""
        return {t.zero_point for t in self.program.tensors if t.name != self.program.input}

    def multipliers(self, name: str) -> int:
        """Return by how many different numbers the sums of a layer are requantized."""
        store = self.layers()[name].stores[0]
        both = [self.workshop.session.cache.tensors.get(t) for t in (store.multiplier, store.shift)]
        return len(set(zip(*(part.tolist() for part in both), strict=True)))

    def differing(self, change: Callable[[Build], Build]) -> set[str]:
        """Return the layers whose weights are other ones in a build that is changed."""
        other = self.workshop.of(change(self.analysis.build))
        names = self.layers()
        return {n for n in names if not np.array_equal(self.codes(n), other.codes(n))}

    def trained(self) -> str:
        """Return what the card says of the training, which was kept and gave the network its weights."""
        assert self.tuning.training is not None
        assert self.tuning.training.kept
        assert len(self.tuning.weights) == self.tuning.training.layers
        return training_words(self.tuning.training)


@dataclass(frozen=True)
class Workshop:
    """What makes integer programs, each once: the float network is imported and run once for all."""

    session: Session
    shelf: dict[str, Made] = field(default_factory=dict[str, Made])

    def named(self, name: str) -> Made:
        if name not in self.shelf:
            self.shelf[name] = self.of(opened(FOLDER / f"{name}.hawq").build)
        return self.shelf[name]

    def of(self, build: Build) -> Made:
        analysis, plan = plan_build(build, self.session, lambda _: None)
        assert plan.status == "optimal"
        program, _, tuning = integers(analysis, plan, self.session, lambda _: None)
        return Made(analysis, plan, program, tuning, self)


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    return Workshop(Session(Cache(tmp_path_factory.mktemp("cache"))))


def test_the_page_names_every_spec_and_no_other() -> None:
    named = re.findall(
        r"\(\.\./examples/survey/([a-z_]+\.hawq)\)", PAGE.read_text(encoding="utf-8")
    )
    assert sorted(set(named)) == [path.name for path in SPECS]


@pytest.mark.parametrize("path", SPECS, ids=lambda path: path.stem)
def test_a_spec_of_the_survey_becomes_an_integer_program(path: Path, workshop: Workshop) -> None:
    made = workshop.named(path.stem)
    network, build = made.analysis.known(), made.analysis.build
    assert build.name == path.stem
    assert build.dataset is not None
    assert build.dataset.evaluation is not None
    samples = open_samples(build.dataset.evaluation, network.input)
    pixels = samples.take(range(IMAGES))
    got = logits(made.program, workshop.session.cache.tensors, pixels).argmax(axis=1)
    wanted = predict(network.model, samples, network.input)[:IMAGES]
    assert np.mean(got == wanted) >= AGREEMENT


@pytest.mark.slow
@pytest.mark.parametrize("path", SPECS, ids=lambda path: path.stem)
def test_a_spec_of_the_survey_becomes_a_library_that_verifies(path: Path, tmp_path: Path) -> None:
    own = opened(path)
    session = Session(Cache(tmp_path / "cache"))
    build = own.build.replace(emits=(*own.build.emits, Emit(what="card", span=None)))
    spec = own.spec.replace(builds=(build,))
    made = compile_build(spec, build, tmp_path / "made", session, lambda _: None)
    evaluation = made.realised.evaluation
    assert evaluation is not None
    assert evaluation.agreement is not None
    assert evaluation.agreement >= AGREEMENT
    card = (made.folder / "card.md").read_text(encoding="utf-8")
    assert f"| {training_words(made.realised.tuning.training)} |" in card


# ---- what a spec says is in its program ----------------------------------------------------------


def test_weights_leave_out_the_most_negative_integer(workshop: Workshop) -> None:
    made = workshop.named("integer_only")
    assert min(int(made.codes(name).min()) for name in made.layers()) == -127


def test_two_bits_are_three_levels(workshop: Workshop) -> None:
    made = workshop.named("sub_four_bits")
    assert set(np.unique(made.codes(TRAINED))) == {-1, 0, 1}


def test_zero_points_are_of_affine_activations_alone(workshop: Workshop) -> None:
    assert workshop.named("symmetric_activations").zero_points() == {0}
    assert len(workshop.named("asymmetric_activations").zero_points()) > 1


def test_every_way_to_find_a_range_finds_another(workshop: Workshop) -> None:
    made = [workshop.named(path.stem) for path in SPECS if path.stem.startswith("range_")]
    found = [tuple((r.low, r.high) for r in m.analysis.known().ranges.ranges) for m in made]
    assert len(set(found)) == len(found) == 5


def test_scales_are_of_a_layer_or_of_each_channel(workshop: Workshop) -> None:
    whole, channels = workshop.named("weights_per_tensor"), workshop.named("weights_per_channel")
    assert {whole.multipliers(name) for name in whole.layers()} == {1}
    assert min(channels.multipliers(name) for name in channels.layers()) > 1


def test_affine_weights_have_zero_points(workshop: Workshop) -> None:
    made = workshop.named("affine_weights")
    for op in made.layers().values():
        assert op.terms is not None
        assert op.terms.zero is not None
        assert workshop.session.cache.tensors.get(op.terms.zero).any()
    assert min(int(made.codes(op.name).min()) for op in made.inner()) == -8


def test_weights_in_groups_have_a_multiple_for_every_eight_inputs(workshop: Workshop) -> None:
    found = workshop.named("weights_per_group").inner()
    assert len(found) == 10
    for op in found:
        assert op.terms is not None
        assert op.terms.multiple is not None
        multiples = workshop.session.cache.tensors.get(op.terms.multiple)
        assert multiples.shape == (op.weight_shape[0], op.weight_shape[-1] / 8)
        assert len(np.unique(multiples)) > 1


def test_stochastic_rounding_follows_the_seed(workshop: Workshop) -> None:
    made = workshop.named("stochastic_rounding")
    assert made.differing(lambda build: build.replace(seed=8)) == set(made.layers())
    assert made.differing(lambda build: build) == set()


def test_adaptive_rounding_rounds_otherwise_than_to_nearest(workshop: Workshop) -> None:
    made = workshop.named("adaptive_rounding")
    own = made.analysis.build.weights
    nearest = own.replace(rounding="nearest")
    assert made.differing(lambda build: build.replace(weights=nearest))
    assert any("rounding" in layer.kept for layer in made.tuning.layers)


def test_biases_are_corrected_after_training(workshop: Workshop) -> None:
    made = workshop.named("post_training")
    assert made.tuning.biases
    assert made.tuning.training is None
    plain = workshop.of(made.analysis.build.replace(bias_correction=False))
    assert plain.tuning.biases == ()


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("quantization_aware_training", "qat, 2 epochs of 224 real samples, on labels, 12 layers"),
        (
            "distillation",
            "qat, 4 epochs of 224 real samples, distilled from FP32, 12 layers",
        ),
        (
            "zero_shot_training",
            "qat, 4 epochs of 56 synthetic samples, distilled from FP32, 12 layers",
        ),
        (
            "overflow_aware",
            "overflow_aware, 4 epochs of 224 real samples, distilled from FP32, 1 layers",
        ),
    ],
)
def test_a_network_is_trained(workshop: Workshop, name: str, said: str) -> None:
    made = workshop.named(name)
    assert made.trained().startswith(said)
    assert made.tuning.training is not None
    assert made.tuning.training.best > 0
    assert made.differing(lambda build: build.replace(finetune=None, layer_rules=_untaught(build)))


def _untaught(build: Build) -> tuple[LayerRule, ...]:
    return tuple(rule.replace(finetune=None, accumulator=None) for rule in build.layer_rules)


@pytest.mark.parametrize(
    ("name", "bits", "levels"),
    [
        ("binary_weights", 1, {-1, 1}),
        ("ternary_weights", 2, {-1, 0, 1}),
        ("chosen_levels", 4, {-4, -2, -1, 0, 1, 2, 4}),
    ],
)
def test_weights_take_the_levels_of_the_spec(
    workshop: Workshop, name: str, bits: int, levels: set[int]
) -> None:
    made = workshop.named(name)
    assert made.trained().startswith("mean_field, ")
    assert made.layers()[TRAINED].weight_bits == bits
    assert set(np.unique(made.codes(TRAINED))) == levels


@pytest.mark.parametrize("name", ["zero_shot", "zero_shot_training"])
def test_images_are_made_where_there_are_none(workshop: Workshop, name: str) -> None:
    made = workshop.named(name)
    said = calibration_words(made.analysis.known(), made.analysis.build)
    assert said.startswith("64 synthetic samples (zero_shot, 40 steps)")


def test_narrow_sums_are_proven_to_fit(workshop: Workshop) -> None:
    made = workshop.named("narrow_sums")
    limits = made.limits()
    assert {limits[op.name] for op in made.inner()} == {2**15 - 1}
    assert {limits[name] for name in ("conv1", "fc")} == {2**23 - 1}
    assert all(bound.largest <= bound.limit for bound in made.program.bounds)


def test_weights_that_do_not_fit_narrow_sums_are_trained_until_they_do(workshop: Workshop) -> None:
    made = workshop.named("overflow_aware")
    assert made.limits()[TRAINED] == 2**15 - 1
    build = made.analysis.build
    rules = tuple(rule.replace(finetune=None) for rule in build.layer_rules)
    with pytest.raises(HawqError, match=TRAINED) as refused:
        plan_build(build.replace(layer_rules=rules), workshop.session, lambda _: None)
    assert refused.value.diagnostics[0].code == "HQ503"


def test_what_an_addition_reads_is_wide(workshop: Workshop) -> None:
    made = workshop.named("wide_residual")
    added = {s.addend.x for op in made.inner() for s in op.stores if s.addend is not None}
    wide = {t.name for t in made.program.tensors if t.bits == 16}
    assert wide
    assert wide <= added


@pytest.mark.parametrize(
    ("name", "method"),
    [("mixed_precision", "kl"), ("hessian_aware", "hessian"), ("hardware_aware", "fisher")],
)
def test_bits_are_chosen_by_layer(workshop: Workshop, name: str, method: str) -> None:
    made = workshop.named(name)
    assert made.analysis.sensitivities is not None
    assert made.analysis.sensitivities.method.startswith(method)
    assert {op.weight_bits for op in made.layers().values()} == {4, 8}


def test_latency_is_what_a_hardware_aware_plan_is_chosen_by(workshop: Workshop) -> None:
    plan = workshop.named("hardware_aware").plan
    assert [metric for metric, _ in plan.objective] == ["latency", "perturbation"]
