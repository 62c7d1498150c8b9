"""Quantize blocks: defaults, settings, what is deferred, and what must fit together."""

from __future__ import annotations

from fractions import Fraction

import pytest

from hawqlang.ir import spec
from hawqlang.stages.resolve import MISSING_FILE_CODES, missing_files
from tests.projects import Project

CALIBRATION = 'calibration = images("calib", resize = 256, crop = 224)'
EVALUATION = 'evaluation = images("eval", labels = "labels.csv")'
TRAINING = 'training = images("eval", labels = "labels.csv")'


def build(project: Project, body: str) -> spec.Build:
    return project.spec(project.table(f"precision = [w4a4, w8a8]\n{body}")).builds[0]


def deferred(project: Project, text: str, *, trust: bool = False) -> list[str]:
    return [note.what for note in project.spec(text, trust=trust).deferred]


# ---- defaults ------------------------------------------------------------------------------------


def test_every_default_is_the_documented_one(project: Project) -> None:
    (found,) = project.spec(project.table("precision = w8a8")).builds
    assert found.name == "net"
    assert found.weights == spec.WeightSettings()
    assert found.weights.range == spec.MinMax()
    assert found.activations.range == spec.Automatic()
    assert found.activations.scheme == "affine"
    assert (found.residual, found.accumulator, found.bias_correction) == (8, "int32", True)
    assert found.sensitivity == spec.NamedSensitivity(kind="kl", samples=None)
    assert (found.effort, found.finetune, found.attempts, found.seed) == ("fast", None, 8, 0)
    assert [(goal.metric.metric, goal.sense) for goal in found.objective] == [
        ("perturbation", "minimize")
    ]
    assert found.emits == ()


def test_one_precision_stands_for_a_list_of_one(project: Project) -> None:
    text = project.table("precision = w8a8")
    assert [str(p) for p in project.spec(text).builds[0].precision] == ["w8a8"]


def test_the_alias_names_the_build(project: Project) -> None:
    text = project.table("precision = w8a8").replace("net on box", "net on box as small")
    assert project.spec(text).builds[0].name == "small"


def test_two_builds_of_one_name_are_refused(project: Project) -> None:
    text = project.table("precision = w8a8")
    assert project.only(f"{text}\nquantize net on box {{ precision = w4a4 }}").code == "HQ202"
    named = f"{text}\nquantize net on box as other {{ precision = w4a4 }}"
    assert project.found(named) == []


# ---- settings ------------------------------------------------------------------------------------


def test_blocks_set_what_they_name_and_keep_the_other_defaults(project: Project) -> None:
    found = build(
        project,
        "weights {\nscheme = affine\nrange = mse\n}\nactivations { range = percentile(99.5) }",
    )
    assert found.weights.scheme == "affine"
    assert found.weights.granularity == "per_channel"
    assert found.activations.range == spec.Percentile(p=Fraction(199, 200))


@pytest.mark.parametrize(
    "text", ["percentile(99.99)", "percentile(99.99%)", "percentile(p = 99.99%)"]
)
def test_a_percentile_may_leave_out_the_sign(project: Project, text: str) -> None:
    found = build(project, f"activations {{ range = {text} }}")
    assert found.activations.range == spec.Percentile(p=Fraction(9999, 10000))


def test_layer_blocks_set_only_what_they_say(project: Project) -> None:
    found = build(
        project,
        "layer first, last {\nprecision = w8a8\nfinetune = none\nweights { range = mse }\n}",
    )
    (rule,) = found.layer_rules
    assert (rule.finetune, rule.weight_range, rule.rounding) == ("none", spec.Mse(), None)


def test_goals_keep_the_order_of_the_text(project: Project) -> None:
    found = build(project, 'minimize size("fc") within 2%, latency\nmaximize average_wbits')
    goals = [(goal.sense, goal.metric.metric, goal.within) for goal in found.objective]
    assert goals == [
        ("minimize", "size", Fraction(1, 50)),
        ("minimize", "latency", Fraction(0)),
        ("maximize", "average_wbits", Fraction(0)),
    ]


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ("precisions = w8a8", "HQ205"),
        ("layers {\n}", "HQ205"),
        ("weights = affine", "HQ205"),
        ("seed = 1\nseed = 2", "HQ206"),
        ("weights {\n}\nweights {\n}", "HQ206"),
        ("subject to {\n}\nsubject to {\n}", "HQ206"),
        ("residual = 12", "HQ209"),
        ("accumulator = int8", "HQ210"),
        ('accumulator = "int16"', "HQ210"),
        ("bias_correction = yes", "HQ208"),
        ("effort = hard", "HQ210"),
        ("attempts = 0", "HQ209"),
        ("attempts = 3 ms", "HQ216"),
        ("seed = -1", "HQ209"),
        ("finetune = qat", "HQ212"),
        ("finetune = qat(epochs = 0)", "HQ209"),
        ("finetune = qat(3, rate = 0.1)", "HQ212"),
        ("finetune = mean_field(levels = [1], epochs = 3)", "HQ209"),
        ("weights { granularity = group }", "HQ212"),
        ("weights { granularity = group(0) }", "HQ209"),
        ("weights { scheme = symetric }", "HQ210"),
        ("weights { range = entropy }", "HQ211"),
        ("weights { range = percentile(30%) }", "HQ209"),
        ("weights { rounding = up }", "HQ210"),
        ("activations { range = ema(2) }", "HQ209"),
        ("activations { granularity = per_channel }", "HQ261"),
        ("activations { range = dynamic }", "HQ261"),
        ("weights { scheme = codebook }", "HQ261"),
        ("weights { granularity = vector(4) }", "HQ261"),
        ("activations { rounding = nearest }", "HQ205"),
        ("layer first { precison = w8a8 }", "HQ205"),
        ("layer first { seed = 1 }", "HQ205"),
        ("layer frist { precision = w8a8 }", "HQ249"),
        ("minimize accuracy", "HQ251"),
        ("minimize size(w8a8)", "HQ251"),
        ("minimize size + latency", "HQ251"),
        ("maximize peak_memory", "HQ251"),
        ("minimize latnecy", "HQ211"),
        ("minimize size, size", "HQ206"),
        ("minimize size within 2, latency", "HQ217"),
        ("minimize size, latency within 2%", "HQ252"),
        ("emit tmv", "HQ210"),
        ("emit card, card", "HQ206"),
        ("emit tvm { arch = [sm_80] }", "HQ205"),
        ("emit tvm { cpu = 3 }", "HQ208"),
        ("emit cuda { arch = [sm75] }", "HQ210"),
        ("emit cuda { arch = sm_75 }", "HQ208"),
        ("emit onnx { opset = 9 }", "HQ209"),
    ],
)
def test_what_is_wrong_in_a_block_is_one_finding(project: Project, body: str, code: str) -> None:
    head = "" if body.startswith("precisions") else "precision = [w4a4, w8a8]\n"
    found = project.resolve(project.table(f"{head}{body}"))[1]
    assert [d.code for d in found if d.code != "HQ254"] == [code]


@pytest.mark.parametrize(
    ("value", "code"),
    [
        ("[]", "HQ209"),
        ("[w4a4, w4a4]", "HQ206"),
        ("[w4]", "HQ218"),
        ("[w0a4]", "HQ218"),
        ("[w17a8]", "HQ218"),
        ("[fp32]", "HQ208"),
        ('["w8a8"]', "HQ208"),
        ("[8]", "HQ208"),
        ("[w1a8]", "HQ253"),
    ],
)
def test_candidates_are_precisions(project: Project, value: str, code: str) -> None:
    assert project.only(project.table(f"precision = {value}")).code == code


def test_precision_is_required_unless_layer_blocks_give_it(project: Project) -> None:
    assert project.only(project.table("seed = 1")).code == "HQ207"
    assert project.only(project.table("layer first { bias_correction = false }")).code == "HQ207"
    assert project.found(project.table("layer all { precision = w8a8 }")) == []


def test_single_bit_weights_need_mean_field(project: Project) -> None:
    tuned = "layer all except first { precision = w1a8 }\nfinetune = mean_field([-1, 1], 300)"
    text = project.network(f"{CALIBRATION}\n{TRAINING}", f"precision = w8a8\n{tuned}")
    assert project.found(text) == []
    assert (
        project.only(project.table("precision = w8a8\nlayer first { precision = w1a8 }")).code
        == "HQ253"
    )


# ---- head ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("head", "code"),
    [
        ("quantize nte on box", "HQ201"),
        ("quantize net on bxo", "HQ201"),
        ("quantize net on box with data", "HQ201"),
        ("quantize box on box", "HQ204"),
        ("quantize net on net", "HQ204"),
        ("quantize net on box with box", "HQ204"),
        ("quantize net on nvidia.t4", "HQ204"),
    ],
)
def test_the_head_names_declarations_of_the_right_kind(
    project: Project, head: str, code: str
) -> None:
    text = project.table("precision = w8a8").replace("quantize net on box", head)
    assert project.only(text).code == code


def test_a_device_in_the_head_is_answered_with_the_target_to_write(project: Project) -> None:
    text = project.table("precision = w8a8").replace("net on box", "net on nvidia.t4")
    assert project.only(text).help == "declare one: `target t4 { device = nvidia.t4 }`"


# ---- what must fit together ----------------------------------------------------------------------


def test_a_table_of_layers_takes_neither_data_nor_sensitivity_nor_accuracy(
    project: Project,
) -> None:
    text = project.table(
        "precision = w8a8\nsensitivity = fisher\nsubject to { c: accuracy >= 90% }",
        f"dataset data {{ {CALIBRATION} }}",
    ).replace("net on box", "net on box with data")
    assert sorted(project.found(text)) == ["HQ232"] * 3


def test_a_table_of_layers_cannot_be_measured(project: Project) -> None:
    text = project.table("precision = w8a8").replace(
        "{ device = cpu.x86_64 }", "{\ndevice = cpu.x86_64\nlatency = measured\n}"
    )
    assert project.only(text).code == "HQ232"


@pytest.mark.parametrize(
    ("dataset", "body", "code"),
    [
        (EVALUATION, "", "HQ233"),
        (CALIBRATION, "subject to { c: accuracy >= 90% }", "HQ234"),
        (
            f'{CALIBRATION}\nevaluation = images("eval")',
            "subject to { c: accuracy >= 90% }",
            "HQ234",
        ),
        (CALIBRATION, "finetune = qat(3)", "HQ233"),
        (CALIBRATION, "layer first { finetune = qat(3) }", "HQ233"),
        ('calibration = images("calib", crop = 192)', "", "HQ236"),
    ],
)
def test_a_dataset_has_what_the_build_needs(
    project: Project, dataset: str, body: str, code: str
) -> None:
    assert project.only(project.network(dataset, f"precision = w8a8\n{body}")).code == code


@pytest.mark.parametrize(
    ("body", "code", "severity"),
    [
        ("", "HQ233", "error"),
        ("minimize size\nsubject to { c: perturbation <= 1 }", "HQ233", "error"),
        ("minimize size\nsubject to { c: accuracy_drop <= 1% }", "HQ233", "error"),
        ("minimize size\nfinetune = qat(3)", "HQ233", "error"),
        ("minimize size", "HQ259", "warning"),
        ('sensitivity = file("s.json")', "HQ259", "warning"),
    ],
)
def test_a_network_without_data_can_at_most_be_planned(
    project: Project, body: str, code: str, severity: str
) -> None:
    text = project.network(CALIBRATION, f"precision = [w4a8, w8a8]\n{body}")
    text = text.replace(" with data", "").replace("dataset data", "dataset spare")
    found = [d for d in project.resolve(text)[1] if d.code != "HQ214"]
    assert [(d.code, d.severity) for d in found] == [(code, severity)]


def test_one_candidate_needs_no_data_to_be_planned(project: Project) -> None:
    text = (
        project.network(CALIBRATION).replace(" with data", "").replace("dataset data", "dataset d")
    )
    assert sorted(project.found(text)) == ["HQ214", "HQ259"]


@pytest.mark.parametrize(
    ("device", "emit", "warned"),
    [
        ("nvidia.t4", "emit tvm", True),
        ("cpu.native", "emit cuda", True),
        ("nvidia.t4", "emit cuda { arch = [sm_80] }", True),
        ("nvidia.t4", "emit cuda { arch = [sm_75, sm_80] }", False),
        ("nvidia.a10", "emit cuda { arch = [sm_80] }", False),
        ("nvidia.h100", "emit cuda { arch = [sm_80] }", True),
        ("nvidia.t4", "emit c, onnx, card", False),
        ("cpu.native", "emit tvm { cpu = native }", False),
    ],
)
def test_a_back_end_that_cannot_run_on_the_target_is_a_warning(
    project: Project, device: str, emit: str, warned: bool
) -> None:
    text = project.table(f"precision = w8a8\n{emit}").replace("cpu.x86_64", device)
    assert project.found(text) == (["HQ254"] if warned else [])


@pytest.mark.parametrize(
    ("device", "emit", "expected"),
    [
        ("cpu.native", "", [("tvm", "native", ())]),
        ("nvidia.t4", "emit card", [("cuda", None, ("sm_75",)), ("card", None, ())]),
        ("cpu.x86_64", "emit c", [("c", None, ())]),
        ("cpu.x86_64", 'emit tvm { cpu = "x86-64-v3" }', [("tvm", "x86-64-v3", ())]),
        ("nvidia.a10", "emit cuda", [("cuda", None, ("sm_86",))]),
    ],
)
def test_without_code_the_back_end_of_the_device_is_meant(
    project: Project, device: str, emit: str, expected: list[object]
) -> None:
    text = project.network(CALIBRATION, f"precision = w8a8\n{emit}").replace("cpu.x86_64", device)
    emits = project.spec(text).builds[0].emits
    assert [(found.what, found.cpu, found.arch) for found in emits] == expected


@pytest.mark.parametrize(("emit", "expected"), [("", []), ("emit card", ["card"])])
def test_no_back_end_is_implied_for_a_table_of_layers(
    project: Project, emit: str, expected: list[str]
) -> None:
    text = project.table(f"precision = w8a8\n{emit}").replace("cpu.x86_64", "nvidia.t4")
    assert [found.what for found in project.spec(text).builds[0].emits] == expected


# ---- effort ----


@pytest.mark.parametrize(
    ("body", "effort", "rounding", "range_"),
    [
        ("precision = w8a8", "fast", "nearest", "automatic"),
        ("precision = [w4a8, w8a8]", "balanced", "adaptive", "automatic"),
        ("precision = [w8a4, w8a8]", "balanced", "adaptive", "automatic"),
        (
            "precision = w8a8\nlayer first {\nprecision = w4a8\n}",
            "balanced",
            "adaptive",
            "automatic",
        ),
        ("precision = w8a8\neffort = best", "best", "adaptive", "automatic"),
        ("precision = w4a4\nweights { scheme = affine }", "balanced", "adaptive", "automatic"),
        ("precision = w4a4\neffort = fast", "fast", "nearest", "automatic"),
        ("precision = w4a4\nweights { rounding = nearest }", "balanced", "nearest", "automatic"),
        ("precision = w8a8\nweights { rounding = adaptive }", "fast", "adaptive", "automatic"),
        ("precision = w4a4\nactivations { range = minmax }", "balanced", "adaptive", "minmax"),
    ],
)
def test_effort_follows_the_candidates_and_decides_what_is_not_written(
    project: Project, body: str, effort: str, rounding: str, range_: str
) -> None:
    text = project.table(body)
    (found,) = project.spec(text).builds
    assert (found.effort, found.weights.rounding) == (effort, rounding)
    assert found.activations.range.kind == range_


def test_the_automatic_range_depends_on_the_width() -> None:
    found = spec.Automatic()
    assert [found.at(bits).kind for bits in (2, 4, 7, 8, 16)] == [
        "mse",
        "mse",
        "mse",
        "percentile",
        "percentile",
    ]


# ---- deferred ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("weights { rounding = adaptive }", []),
        ("weights {\nrounding = adaptive\nscheme = affine\ngranularity = group(8)\n}", []),
        ("weights { rounding = stochastic }", []),
        ("weights { granularity = group(64) }", []),
        ("weights { scheme = affine }", []),
        ("activations { range = entropy }", []),
        ("activations { range = ema(0.9) }", []),
        ("effort = best", []),
        ("residual = 16", []),
        ("accumulator = int24", []),
        ("layer first { accumulator = int16 }", []),
        ("layer first { weights { rounding = stochastic } }", []),
        ("emit c, onnx, card, report", ["emit c", "emit onnx", "emit report"]),
        ("emit tvm, card", []),
        ("activations { scheme = symmetric }", []),
        ("weights { range = mse }", []),
        ("layer first { finetune = none }", []),
    ],
)
def test_settings_whose_engine_comes_later_are_noted(
    project: Project, body: str, expected: list[str]
) -> None:
    body = body.replace(
        "{ weights { rounding = stochastic } }", "{\nweights { rounding = stochastic }\n}"
    )
    assert deferred(project, project.table(f"precision = w8a8\n{body}")) == expected


def test_the_hessian_has_defaults_of_its_own(project: Project) -> None:
    text = project.network(CALIBRATION, "precision = [w4a8, w8a8]\nsensitivity = hessian")
    assert project.spec(text).builds[0].sensitivity == spec.HessianSensitivity(
        probes=64, tolerance=Fraction(1, 100), samples=32
    )


@pytest.mark.parametrize("kind", ["fisher", "mse", "kl", "measured"])
def test_other_sensitivities_take_samples_or_stand_alone(project: Project, kind: str) -> None:
    for written, samples in ((kind, None), (f"{kind}()", None), (f"{kind}(samples = 9)", 9)):
        text = project.network(CALIBRATION, f"precision = [w4a8, w8a8]\nsensitivity = {written}")
        found = project.spec(text).builds[0].sensitivity
        assert found == spec.NamedSensitivity.model_validate({"kind": kind, "samples": samples})
        assert deferred(project, text) == []


@pytest.mark.parametrize(
    ("written", "code"),
    [("kl(0)", "HQ212"), ("kl(samples = 0)", "HQ209"), ("mse(probes = 4)", "HQ212")],
)
def test_other_sensitivities_take_nothing_else(project: Project, written: str, code: str) -> None:
    body = f"precision = [w4a8, w8a8]\nsensitivity = {written}"
    assert project.found(project.network(CALIBRATION, body)) == [code]


def test_declarations_are_noted_for_every_build_that_uses_them(project: Project) -> None:
    text = (
        'model net {\nsource = pt2("net.pt2")\ninput = image(224, 224)\n}\n'
        "dataset data { calibration = zero_shot(8) }\n"
        "target box {\ndevice = nvidia.t4\nlatency = measured\n}\n"
        "target other {\ndevice = cpu.x86_64\nlatency = measured\n}\n"
        "quantize net on box with data { precision = w8a8 }\n"
        "quantize net on other with data as second { precision = w8a8 }"
    )
    notes = [(note.build, note.what) for note in project.spec(text).deferred]
    assert notes == [
        ("net", "latency = measured"),
        ("second", "latency = measured"),
    ]


def test_a_table_of_layers_misses_no_back_end_that_it_did_not_ask_for(project: Project) -> None:
    silent = project.table("precision = w8a8").replace("cpu.x86_64", "nvidia.t4")
    asking = project.table("precision = w8a8\nemit onnx").replace("cpu.x86_64", "nvidia.t4")
    assert deferred(project, silent) == []
    assert deferred(project, asking) == ["emit onnx"]


def test_trusted_code_can_be_built(project: Project) -> None:
    text = project.network('calibration = python("a.b:c")').replace(
        'source = onnx("net.onnx")', 'source = python("a:b")\nweights = file("net.pt")'
    )
    assert deferred(project, text, trust=True) == []


def test_missing_files_are_known_for_each_build(project: Project) -> None:
    text = project.network('calibration = images("no", resize = 256, crop = 224)')
    found = missing_files(project.spec(text).builds[0])
    assert [d.code for d in found] == ["HQ238"]
    assert {d.code for d in found} <= set(MISSING_FILE_CODES)


REFERENCE = """
param budget: size = 6 MiB

model resnet18 {
  source = onnx("net.onnx")
  input  = image(224, 224, mean = [0.485, 0.456, 0.406], std = [0.229, 0.224, 0.225])
}

dataset photos {
  calibration = images("calib/", resize = 256, crop = 224, count = 128)
  evaluation  = images("eval/", labels = "labels.csv", resize = 256, crop = 224)
}

target server {
  device = nvidia.t4
  batch  = 8
}

quantize resnet18 on server with photos as resnet18_t4 {
  precision = [w4a4, w8a8]

  weights {
    granularity = per_channel
    scheme      = symmetric
    rounding    = nearest
  }

  activations {
    granularity = per_tensor
    scheme      = affine
    range       = percentile(99.99%)
  }

  accumulator = int32
  sensitivity = hessian(probes = 64, tolerance = 1%)

  minimize perturbation within 2%, latency

  subject to {
    fits:   size <= budget
    fast:   latency <= 80% of latency(w8a8)
    ends:   precision(first, last) == w8a8
    tied:   same precision across shared_input
    steady: switches <= 12
    tail:   each "layer4.*": wbits == 4 implies abits >= 4
    good:   accuracy_drop <= 1%
  }

  emit cuda { arch = [sm_75, sm_80] }
  emit card, report
}
"""


def test_the_complete_spec_of_the_reference_is_without_findings(project: Project) -> None:
    assert project.found(REFERENCE) == []
    found = project.spec(REFERENCE)
    (built,) = found.builds
    kinds = [constraint.predicate.kind for constraint in built.constraints]
    assert kinds == ["compare", "compare", "property_compare", "same", "compare", "each", "compare"]
    assert [note.what for note in found.deferred] == ["emit report"]
    assert built.target.batch == 8
    assert [goal.within for goal in built.objective] == [Fraction(1, 50), Fraction(0)]
