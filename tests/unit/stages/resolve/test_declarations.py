"""Models, datasets and targets."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import pytest

from hawqlang.ir import spec
from tests.projects import Project

NETWORK = 'source = onnx("net.onnx")\ninput = image(224, 224)'


def model(project: Project, body: str, *, trust: bool = False) -> spec.Model:
    return project.spec(f"model net {{\n{body}\n}}", trust=trust).models[0]


def dataset(project: Project, body: str, *, trust: bool = False) -> spec.Dataset:
    return project.spec(f"dataset data {{\n{body}\n}}", trust=trust).datasets[0]


def target(project: Project, body: str) -> spec.Target:
    return project.spec(f"target box {{\n{body}\n}}").targets[0]


# ---- models --------------------------------------------------------------------------------------


def test_an_image_input_has_the_documented_defaults(project: Project) -> None:
    found = model(project, NETWORK).input
    assert found == spec.ImageInput(
        height=224,
        width=224,
        channels=3,
        mean=(Fraction(0),) * 3,
        std=(Fraction(1),) * 3,
        scale=Fraction(1, 255),
        order="rgb",
    )


def test_an_image_input_takes_all_its_arguments_exactly(project: Project) -> None:
    text = "w = 320, h = 240, mean = [0.1, -0.2, 1 / 3], std = [1, 2, 3], scale = 1, order = bgr"
    found = model(project, f'source = onnx("net.onnx")\ninput = image({text})').input
    assert isinstance(found, spec.ImageInput)
    assert (found.height, found.width, found.scale, found.order) == (240, 320, 1, "bgr")
    assert found.mean == (Fraction(1, 10), Fraction(-1, 5), Fraction(1, 3))


def test_a_tensor_input_keeps_the_models_own_axes(project: Project) -> None:
    text = 'source = onnx("net.onnx")\ninput = tensor([3, 32, 32], low = -1, high = 1)'
    found = model(project, text).input
    assert found == spec.TensorInput(dims=(3, 32, 32), low=Fraction(-1), high=Fraction(1))


@pytest.mark.parametrize(
    ("source", "weights", "expected"),
    [
        ('onnx("net.onnx")', None, "onnx"),
        ('onnx(path = "net.onnx")', None, "onnx"),
        ('pt2("net.pt2")', None, "pt2"),
        ('zoo("resnet18", classes = 10, deep = true, kind = "v1")', 'file("net.pt")', "zoo"),
    ],
)
def test_every_source_of_a_network(
    project: Project, source: str, weights: str | None, expected: str
) -> None:
    line = f"weights = {weights}\n" if weights else ""
    found = model(project, f"source = {source}\n{line}input = image(8, 8)")
    assert found.source.kind == expected
    if isinstance(found.source, spec.ZooSource):
        assert found.source.arguments == (("classes", 10), ("deep", True), ("kind", "v1"))


def test_python_needs_trust(project: Project) -> None:
    body = 'source = python("nets.small:build", width = 0.5)\nweights = file("net.pt")\n'
    text = f"model net {{\n{body}input = image(8, 8)\n}}"
    assert project.only(text).code == "HQ231"
    found = project.spec(text, trust=True).models[0].source
    assert isinstance(found, spec.PythonCall)
    assert found.factory == "nets.small:build"
    assert found.arguments == (("width", Fraction(1, 2)),)


def test_a_digest_is_kept_in_lower_case(project: Project) -> None:
    body = f'source = onnx("net.onnx")\nweights = file("net.pt", sha256 = "{"AB" * 32}")\n'
    found = model(project, f"{body}input = image(8, 8)")
    assert found.weights is not None
    assert found.weights.sha256 == "ab" * 32


def test_absolute_paths_stay_as_they_are(project: Project) -> None:
    path = project.folder / "net.onnx"
    found = model(project, f'source = onnx("{path}")\ninput = image(8, 8)').source
    assert isinstance(found, spec.OnnxSource)
    assert Path(found.path) == path


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ("input = image(8, 8)", "HQ207"),
        ('source = onnx("net.onnx")', "HQ207"),
        ('source = zoo("resnet18")\ninput = image(8, 8)', "HQ207"),
        ('source = layers("net.json")\ninput = image(8, 8)', "HQ232"),
        ('source = layers("net.json")\nweights = file("net.pt")', "HQ232"),
        ('source = "net.onnx"\ninput = image(8, 8)', "HQ211"),
        ('source = onx("net.onnx")\ninput = image(8, 8)', "HQ211"),
        ("source = onnx\ninput = image(8, 8)", "HQ212"),
        ("source = onnx(3)\ninput = image(8, 8)", "HQ208"),
        ('source = onnx("")\ninput = image(8, 8)', "HQ209"),
        ('source = onnx("a\\u{0}b")\ninput = image(8, 8)', "HQ209"),
        ('source = onnx("net.onnx", opset = 3)\ninput = image(8, 8)', "HQ212"),
        ('source = onnx("net.onnx", path = "b")\ninput = image(8, 8)', "HQ206"),
        ('source = onnx("net.onnx" except first)\ninput = image(8, 8)', "HQ212"),
        (f"{NETWORK}\nweights = net.pt", "HQ211"),
        (f'{NETWORK}\nweights = file("net.pt", sha256 = "12")', "HQ235"),
        (f"{NETWORK}\nwheights = 3", "HQ205"),
        (f"{NETWORK}\nsource = 3", "HQ206"),
        (f"{NETWORK}\nweights {{\n}}", "HQ205"),
        ('source = onnx("net.onnx")\ninput = image(8)', "HQ212"),
        ('source = onnx("net.onnx")\ninput = image(8, 8, 3)', "HQ212"),
        ('source = onnx("net.onnx")\ninput = image(8, 8, h = 3)', "HQ206"),
        ('source = onnx("net.onnx")\ninput = image(0, 8)', "HQ209"),
        ('source = onnx("net.onnx")\ninput = image(8.5, 8)', "HQ208"),
        ('source = onnx("net.onnx")\ninput = image(8, 8, mean = [0])', "HQ209"),
        ('source = onnx("net.onnx")\ninput = image(8, 8, mean = 0)', "HQ208"),
        ('source = onnx("net.onnx")\ninput = image(8, 8, std = [1, 0, 1])', "HQ209"),
        ('source = onnx("net.onnx")\ninput = image(8, 8, std = [1, 1 ms, 1])', "HQ216"),
        ('source = onnx("net.onnx")\ninput = image(8, 8, order = gbr)', "HQ210"),
        ('source = onnx("net.onnx")\ninput = image(8, 8, channels = 1, order = bgr)', "HQ209"),
        ('source = onnx("net.onnx")\ninput = tensor([], low = 0, high = 1)', "HQ209"),
        ('source = onnx("net.onnx")\ninput = tensor([3], low = 1, high = 1)', "HQ209"),
        ('source = onnx("net.onnx")\ninput = tensor([3])', "HQ212"),
    ],
)
def test_what_is_wrong_with_a_model_is_one_error(project: Project, body: str, code: str) -> None:
    assert project.only(f"model net {{\n{body}\n}}").code == code


# ---- datasets ------------------------------------------------------------------------------------


def test_images_and_arrays_have_the_documented_defaults(project: Project) -> None:
    found = dataset(project, 'calibration = images("calib")\nevaluation = arrays("x.npz")')
    assert isinstance(found.calibration, spec.ImagesData)
    assert found.calibration.count is None
    assert found.calibration.labels is None
    assert isinstance(found.evaluation, spec.ArraysData)
    assert (found.evaluation.images, found.evaluation.labels) == ("x", "y")


def test_count_all_is_every_sample(project: Project) -> None:
    found = dataset(project, 'calibration = images("calib", count = all)')
    assert isinstance(found.calibration, spec.ImagesData)
    assert found.calibration.count is None


def test_zero_shot_takes_its_count_by_position_or_name(project: Project) -> None:
    for text in ("zero_shot(256, steps = 100)", "zero_shot(count = 256, steps = 100)"):
        found = dataset(project, f"calibration = {text}").calibration
        assert isinstance(found, spec.ZeroShotData)
        assert (found.count, found.steps) == (256, 100)


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ('calibration = images("calib", resize = 224, crop = 256)', "HQ209"),
        ('calibration = images("calib", count = al)', "HQ210"),
        ('calibration = images("calib", count = 0)', "HQ209"),
        ('calibration = images("calib", 3)', "HQ212"),
        ("calibration = images()", "HQ212"),
        ('calibration = arrays("x.npz", image = "x")', "HQ212"),
        ('calibration = folder("x")', "HQ211"),
        ('calibration = python("a.b:c")', "HQ231"),
        ("evaluation = zero_shot(4)", "HQ234"),
        ('training = images("calib")', "HQ234"),
        ('validation = images("calib")', "HQ205"),
    ],
)
def test_what_is_wrong_with_a_dataset_is_one_error(project: Project, body: str, code: str) -> None:
    assert project.only(f"dataset data {{\n{body}\n}}").code == code


# ---- targets -------------------------------------------------------------------------------------


def test_a_target_has_the_documented_defaults(project: Project) -> None:
    found = target(project, "device = cpu.x86_64")
    assert (found.batch, found.threads, found.latency) == (1, 1, "modelled")
    assert (found.device.name, found.device.family) == ("cpu.x86_64", "cpu")


def test_a_cpu_takes_any_number_of_threads_and_images(project: Project) -> None:
    found = target(project, "device = cpu.x86_64\nthreads = 4\nbatch = 8")
    assert (found.batch, found.threads) == (8, 4)


def test_a_device_is_described_in_place_with_rates_of_native_precisions_first(
    project: Project,
) -> None:
    body = (
        "device {\nnative = [w8a8, w4a4]\nrates {\nw4a8 = 1 TMACs/s\nw4a4 = 2 TMACs/s\n"
        "w8a8 = 1 TMACs/s\n}\nbandwidth = 12 GB/s\ncache = 512 KiB\nlaunch = 2 us\n}"
    )
    found = target(project, body).device
    assert (found.name, found.family, found.arch) == ("custom", "custom", None)
    assert [str(precision) for precision, _ in found.rates] == ["w8a8", "w4a4", "w4a8"]
    assert found.bandwidth == 12 * 10**9
    assert (found.cache, found.launch) == (512 * 1024, Fraction(2, 10**6))


@pytest.mark.parametrize(
    ("arch", "family"), [("sm_75", "nvidia"), ("native", "cpu"), ('"x86-64-v3"', "cpu")]
)
def test_an_architecture_says_which_family_a_device_is_of(
    project: Project, arch: str, family: str
) -> None:
    body = f"native = w8a8\nrates {{ w8a8 = 1 TMACs/s }}\nbandwidth = 1 GB/s\narch = {arch}"
    assert target(project, f"device {{\n{body}\n}}").device.family == family


def test_a_profile_is_a_path(project: Project) -> None:
    found = target(project, 'device = cpu.native\nlatency = profile("p.json")').latency
    assert isinstance(found, spec.ProfileLatency)
    assert Path(found.path).name == "p.json"


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ("batch = 8", "HQ207"),
        ("device = nvidia.t5", "HQ230"),
        ('device = "nvidia.t4"', "HQ230"),
        ("device = t4", "HQ230"),
        ("device = 3", "HQ230"),
        ("device = cpu.native\nbatch = 0", "HQ209"),
        ("device = cpu.native\nthreads = 1.5", "HQ208"),
        ("device = nvidia.t4\nthreads = 4", "HQ260"),
        ("device = cpu.native\nlatency = guessed", "HQ211"),
        ("device = cpu.native\nlatency = profile", "HQ212"),
        ("device = cpu.native\ndevice {\n}", "HQ206"),
        ("device {\nbandwidth = 1 GB/s\n}", "HQ207"),
        ("device {\nnative = w8a8\nrates { w8a8 = 1 TMACs/s }\n}", "HQ207"),
        ("device {\nnative = w8a8\nbandwidth = 1 GB/s\n}", "HQ207"),
        ("device {\nnative = w8a8\nrates { w8a8 = 1 TMACs }\nbandwidth = 1 GB/s\n}", "HQ216"),
        ("device {\nnative = w8a8\nrates { w8a8 = 0 TMACs/s }\nbandwidth = 1 GB/s\n}", "HQ209"),
        ("device {\nnative = w8a8\nrates { int8 = 1 TMACs/s }\nbandwidth = 1 GB/s\n}", "HQ205"),
        ("device {\nnative = w8a8\nrates { w8a8 = 1 TMACs/s }\nbandwidth = 320\n}", "HQ217"),
        ("device {\nnative = w8a8\nrates { w8a8 = 1 TMACs/s }\nbandwith = 1 GB/s\n}", "HQ205"),
    ],
)
def test_what_is_wrong_with_a_target_is_one_error(project: Project, body: str, code: str) -> None:
    assert project.only(f"target box {{\n{body}\n}}").code == code


# ---- files ---------------------------------------------------------------------------------------


def test_files_that_are_not_there_are_warnings_at_their_place(project: Project) -> None:
    text = (
        'model net {\nsource = onnx("no.onnx")\nweights = file("no.pt")\ninput = image(8, 8)\n}\n'
        'dataset data { calibration = images("no", labels = "no.csv") }\n'
        'target box {\ndevice = cpu.native\nlatency = profile("no.json")\n}'
    )
    found = project.resolve(text)[1]
    assert {d.severity for d in found} == {"warning"}
    assert [d.code for d in found] == ["HQ237", "HQ237", "HQ238", "HQ238", "HQ239"]
