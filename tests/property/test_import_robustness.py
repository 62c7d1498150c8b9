"""Damaged files give diagnostics, never anything else."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import helper
from PIL import Image
from safetensors.torch import save as to_safetensors
from torch import nn

from hawqlang.cache import TensorStore
from hawqlang.diagnostics import HawqError
from hawqlang.ir.spec import ArraysData, ImagesData
from hawqlang.stages.data import open_samples
from hawqlang.stages.import_model import import_model, import_structure
from hawqlang.stages.import_model.layer_table import read_layer_table
from tests.support.exports import edited, pt2_model, save_pt2
from tests.support.imports import SPAN, image, onnx_model, save_graph, zoo_model
from tests.support.networks import CifarResNet

Damage = Callable[[bytes], bytes]


@st.composite
def damages(draw: st.DrawFn) -> Damage:
    """A few bytes changed, and perhaps the end cut off or repeated."""
    spot = st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255))
    spots = draw(st.lists(spot, max_size=6))
    keep = draw(st.one_of(st.just(1.0), st.floats(0, 1)))
    twice = draw(st.booleans())

    def damage(data: bytes) -> bytes:
        changed = bytearray(data)
        for where, value in spots:
            changed[int(where * len(data))] = value
        kept = bytes(changed[: int(keep * len(data))])
        return kept + kept[-40:] if twice else kept

    return damage


def groups(action: Callable[[], object]) -> set[str]:
    """Run an action; the groups of the diagnostics it ends with, if it does."""
    try:
        action()
    except HawqError as error:
        return {d.code[:3] for d in error.diagnostics}
    return set()


def quick(examples: int) -> settings:
    return settings(
        max_examples=examples,
        deadline=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    )


def node(op: str, inputs: str, output: str, **attributes: Any) -> onnx.NodeProto:
    return helper.make_node(op, inputs.split(","), [output], name=f"/m/{op}", **attributes)


@pytest.fixture(scope="module")
def model_bytes(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    nodes = [
        node("Conv", "x,c.weight", "a", pads=[1, 1, 1, 1], strides=[2, 2]),
        node("BatchNormalization", "a,g,g,g,g", "b"),
        node("Clip", "b,low,high", "c"),
        node("MaxPool", "c", "d", kernel_shape=[2, 2], ceil_mode=1),
        node("Slice", "d,i0,i9,i1", "e"),
        node("Pad", "e,pads", "f"),
        node("Shape", "f", "s"),
        node("Gather", "s,i0", "n"),
        node("Concat", "n,minus", "t", axis=0),
        node("Reshape", "f,t", "u"),
        node("Gemm", "u,w", "v", transB=1, alpha=0.5),
        node("Softmax", "v", "y", axis=1),
    ]
    constants = {
        "c.weight": np.ones((3, 2, 3, 3), dtype=np.float32),
        "g": np.ones(3, dtype=np.float32),
        "low": np.zeros((), dtype=np.float32),
        "high": np.ones((), dtype=np.float32),
        "i0": np.array([0]),
        "i1": np.array([1]),
        "i9": np.array([9]),
        "pads": np.array([0, 1, 0, 0, 0, 0, 1, 0]),
        "minus": np.array([-1]),
        "w": np.ones((4, 24), dtype=np.float32),
    }
    path = tmp_path_factory.mktemp("onnx") / "n.onnx"
    save_graph(path, nodes, ("n", 2, 6, 6), constants)
    import_structure(onnx_model(path, image(6, 6, 2)))
    return path.read_bytes()


@quick(400)
@given(damage=damages())
def test_damaged_onnx_files(model_bytes: bytes, tmp_path: Path, damage: Damage) -> None:
    path = tmp_path / "n.onnx"
    path.write_bytes(damage(model_bytes))
    model = onnx_model(path, image(6, 6, 2))
    assert groups(lambda: import_model(model, TensorStore())) <= {"HQ3"}


JUNK: tuple[object, ...] = (
    None,
    True,
    -1,
    2**70,
    1.5,
    "x",
    [],
    {},
    {"as_int": 3},
    {"as_none": True},
    {"as_ints": [0, 0]},
    {"as_tensor": {"name": "x"}},
)


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    net = nn.Sequential(
        nn.Conv2d(2, 3, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(12, 4)
    )
    return save_pt2(net.eval(), tmp_path_factory.mktemp("pt2") / "n.pt2", (2, 6, 6))


@quick(80)
@given(damage=damages())
def test_damaged_archives(archive: Path, tmp_path: Path, damage: Damage) -> None:
    path = tmp_path / "n.pt2"
    path.write_bytes(damage(archive.read_bytes()))
    model = pt2_model(path, image(6, 6, 2))
    assert groups(lambda: import_model(model, TensorStore())) <= {"HQ3"}


@quick(200)
@given(
    spots=st.lists(
        st.tuples(st.floats(0, 1, exclude_max=True), st.sampled_from(JUNK)), min_size=1, max_size=3
    )
)
def test_archives_whose_description_says_something_else(
    archive: Path, tmp_path: Path, spots: list[tuple[float, object]]
) -> None:
    def edit(description: dict[str, Any]) -> None:
        places = list(_places(description["graph_module"]))
        for where, junk in spots:
            holder, key = places[int(where * len(places))]
            holder[key] = junk

    model = pt2_model(edited(archive, tmp_path / "n.pt2", edit), image(6, 6, 2))
    assert groups(lambda: import_model(model, TensorStore())) <= {"HQ3"}


def _places(content: Any) -> Iterator[tuple[Any, Any]]:
    """Every value of nested lists and objects, as its holder and its place there."""
    entries: Any = content.items() if hasattr(content, "items") else enumerate(content)
    for key, value in tuple(entries):
        yield content, key
        if isinstance(value, dict | list):
            yield from _places(value)


@pytest.fixture(scope="module")
def weight_bytes() -> dict[str, bytes]:
    state = dict(CifarResNet(20).state_dict())
    stream = io.BytesIO()
    torch.save(state, stream)
    return {"pt": stream.getvalue(), "safetensors": to_safetensors(state)}


@quick(80)
@given(damage=damages(), suffix=st.sampled_from(("pt", "safetensors")))
def test_damaged_weight_files(
    weight_bytes: dict[str, bytes], tmp_path: Path, damage: Damage, suffix: str
) -> None:
    path = tmp_path / f"w.{suffix}"
    path.write_bytes(damage(weight_bytes[suffix]))
    model = zoo_model("cifar_resnet20", image(32, 32), None, path)
    assert groups(lambda: import_model(model, TensorStore())) <= {"HQ3"}


@quick(150)
@given(damage=damages(), compressed=st.booleans())
def test_damaged_arrays(tmp_path: Path, damage: Damage, compressed: bool) -> None:
    stream = io.BytesIO()
    x = np.arange(5 * 48, dtype=np.uint8).reshape(5, 4, 4, 3)
    (np.savez_compressed if compressed else np.savez)(stream, x=x, y=np.arange(5))
    path = tmp_path / "d.npz"
    path.write_bytes(damage(stream.getvalue()))
    data = ArraysData(path=str(path), images="x", labels="y", count=None, span=SPAN)

    def read() -> None:
        samples = open_samples(data, image(4, 4))
        assert sum(len(batch) for batch in samples.batches(2)) == len(samples)

    assert groups(read) <= {"HQ4"}


@quick(150)
@given(damage=damages(), kind=st.sampled_from(("PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "PPM")))
def test_damaged_images(tmp_path: Path, damage: Damage, kind: str) -> None:
    stream = io.BytesIO()
    pixels = np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(stream, kind)
    (tmp_path / "x.png").write_bytes(damage(stream.getvalue()))
    data = ImagesData(
        folder=str(tmp_path), labels=None, resize=None, crop=None, count=None, span=SPAN
    )

    def read() -> None:
        (batch,) = open_samples(data, image(16, 16)).batches(1)
        assert batch.shape == (1, 16, 16, 3)

    assert groups(read) <= {"HQ4"}


@quick(150)
@given(damage=damages())
def test_damaged_layer_tables(tmp_path: Path, damage: Damage) -> None:
    text = (
        '{"format_version": 1, "layers": [{"name": "a", "params": 10, "macs": 5, '
        '"sensitivity": {"w4a4": 0.5}}], "ties": []}'
    )
    path = tmp_path / "l.json"
    path.write_bytes(damage(text.encode()))
    assert groups(lambda: read_layer_table(path)) <= {"HQ3"}


@quick(100)
@given(
    st.dictionaries(
        st.sampled_from(("classes", "width", "depth")),
        st.one_of(st.fractions(), st.booleans(), st.text(max_size=5)),
    )
)
def test_any_argument_of_the_zoo(arguments: dict[str, Fraction | bool | str]) -> None:
    model = zoo_model("mobilenet_v2", image(32, 32), arguments)
    assert groups(lambda: import_structure(model)) <= {"HQ3"}
