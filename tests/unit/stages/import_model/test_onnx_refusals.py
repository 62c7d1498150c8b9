"""What the importer cannot express exactly, it refuses with the node, its place and what to do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from hawqlang.diagnostics import Diagnostic, HawqError
from hawqlang.stages.import_model import import_structure
from tests.support.imports import (
    Array,
    image,
    imported,
    only,
    onnx_model,
    refusals,
    save_graph,
    vector,
)


def node(op: str, inputs: str, output: str, **attributes: Any) -> onnx.NodeProto:
    return helper.make_node(
        op, inputs.split(","), output.split(","), name=f"/net/{op}", **attributes
    )


TAIL = [node("GlobalAveragePool", "z", "gap"), node("Flatten", "gap", "y")]


def refused(
    folder: Path,
    nodes: list[onnx.NodeProto],
    constants: dict[str, Array] | None = None,
    *,
    shape: tuple[int | str, ...] = ("n", 4, 6, 6),
) -> list[Diagnostic]:
    path = save_graph(folder / "net.onnx", nodes, shape, constants)
    with pytest.raises(HawqError) as caught:
        import_structure(onnx_model(path, image(6, 6, 4)))
    return list(caught.value.diagnostics)


def test_unsupported_operator_names_node_place_and_alternative(tmp_path: Path) -> None:
    (found,) = refused(
        tmp_path, [node("Relu", "x", "a"), node("LayerNormalization", "a", "z"), *TAIL]
    )
    assert found.code == "HQ320"
    assert (
        found.message == "node '/net/LayerNormalization' (LayerNormalization): "
        "operator 'LayerNormalization' is not supported"
    )
    assert found.notes == ("operator 2 of 4; reads 'a' of shape (1, 4, 6, 6); gives 'z'",)
    assert found.help == "batch norm is supported"
    assert found.span is not None
    assert found.span.line == 4


def test_all_unsupported_operators_are_reported_and_nothing_that_follows_from_them(
    tmp_path: Path,
) -> None:
    nodes = [
        node("Sin", "x", "a"),
        node("Mul", "a,x", "b"),
        node("Cos", "x", "c"),
        node("Add", "b,c", "z"),
        *TAIL,
    ]
    found = refused(tmp_path, nodes)
    assert [d.message.partition(":")[0] for d in found] == [
        "node '/net/Sin' (Sin)",
        "node '/net/Cos' (Cos)",
    ]


def test_a_flood_of_refusals_is_counted(tmp_path: Path) -> None:
    names = [f"a{i}" for i in range(20)]
    nodes = [node("NonZero", "x", name) for name in names]
    nodes += [node("Concat", ",".join(names), "z", axis=1), node("Flatten", "z", "y")]
    found = refused(tmp_path, nodes)
    assert len(found) == 13
    assert found[-1].message == "8 more operators of 'net' are not supported"


@pytest.mark.parametrize(
    ("nodes", "constants", "message"),
    [
        ([node("Conv", "x,w", "z")], {"w": (5, 3, 3, 3)}, "reads 3 channels, but its input has 4"),
        ([node("Conv", "x,w", "z")], {"w": (5, 4, 3)}, "convolution over 1 axes"),
        ([node("Conv", "x,w", "z")], {"w": (5, 4, 9, 9)}, "empty tensor"),
        ([node("Conv", "x,w", "z", pads=[1, 1])], {"w": (5, 4, 3, 3)}, "its pads are [1, 1]"),
        ([node("Conv", "x,w", "z", strides=[0, 1])], {"w": (5, 4, 3, 3)}, "its strides are [0, 1]"),
        ([node("Conv", "x,w", "z", group="two")], {"w": (5, 4, 3, 3)}, "is not an integer"),
        (
            [node("Conv", "x,w", "z", kernel_shape=[5, 5])],
            {"w": (5, 4, 3, 3)},
            "kernel_shape differs",
        ),
        ([node("Conv", "x,x", "z")], {}, "its weight is computed by the network"),
        ([node("Conv", "x,q", "z")], {}, "it reads 'q', which nothing before it gives"),
        ([node("Add", "x,c", "z")], {"c": (6, 6)}, "is not one number per channel"),
        ([node("Div", "x,x", "z")], {}, "Div of two tensors the network computes"),
        ([node("Div", "c,x", "z")], {"c": (1,)}, "divides a constant by a tensor"),
        ([node("Clip", "x,c", "z")], {"c": (4,)}, "its min is not one number"),
        ([node("MaxPool", "x", "z,i", kernel_shape=[2, 2])], {}, "the indices, is used"),
        ([node("MaxPool", "x", "z", kernel_shape=[2])], {}, "its window has 1 axes"),
        ([node("ReduceMean", "x", "z", axes=[0, 1])], {}, "it reduces the batch axis"),
        ([node("Concat", "x,x", "z", axis=0)], {}, "it concatenates batches"),
        ([node("Transpose", "x", "z", perm=[1, 0, 2, 3])], {}, "it permutes"),
        ([node("Pow", "x,c", "z")], {"c": (1,)}, "its exponent is 1.0"),
        ([node("Gather", "x,c", "z", axis=0)], {"c": (1,)}, "it gathers along the batch"),
        ([node("Resize", "x,,c", "z", mode="cubic")], {"c": (4,)}, "its mode is 'cubic'"),
        ([node("Resize", "x", "z")], {}, "neither scales nor sizes"),
        ([node("DepthToSpace", "x", "z", blocksize=3)], {}, "its blocks of 3 do not divide 4"),
        ([node("ConvTranspose", "x,w", "z", dilations=[2, 2])], {"w": (4, 2, 3, 3)}, "dilated"),
        ([node("Expand", "x,c", "z")], {"c": (5,)}, "it expands"),
        ([node("Tile", "x,c", "z")], {"c": (3,)}, "it repeats"),
        ([node("Softmax", "x", "a", axis=1), node("Relu", "a", "z")], {}, "result of softmax"),
        ([node("Softmax", "x", "z", axis=2)], {}, "not that of the classes"),
        ([node("BatchNormalization", "x,c,c,c,c", "z", training_mode=1)], {"c": (4,)}, "training"),
        ([node("BatchNormalization", "x,c,c,c,c", "z")], {"c": (5,)}, "has 4 channels"),
        ([node("Upsample", "x", "z")], {}, "operator 'Upsample' is not supported"),
        ([node("Log", "x", "z")], {}, "operator 'Log' is not supported"),
    ],
)
def test_forms_that_have_no_exact_counterpart(
    tmp_path: Path, nodes: list[onnx.NodeProto], constants: dict[str, tuple[int, ...]], message: str
) -> None:
    arrays = {k: np.ones(v, dtype=np.float32) for k, v in constants.items()}
    (found,) = refused(tmp_path, [*nodes, *TAIL], arrays)
    assert message in found.message
    assert found.code in {"HQ312", "HQ320", "HQ321"}


@pytest.mark.parametrize(
    ("pads", "mode", "message"),
    [
        ([0, 0, 6, 1, 0, 0, 1, 1], "reflect", "further than its input reaches"),
        ([1, 0, 0, 0, 0, 0, 0, 0], "constant", "which pad the batch"),
        ([1, 0], "constant", "do not fit its input"),
    ],
)
def test_padding_that_has_no_meaning(
    tmp_path: Path, pads: list[int], mode: str, message: str
) -> None:
    (found,) = refused(tmp_path, [node("Pad", "x,p", "z", mode=mode), *TAIL], {"p": np.array(pads)})
    assert message in f"{found.message} {found.help}"


@pytest.mark.parametrize("shape", [(1, -1), (4, 36), (-1, -1), (7, 3), (0, 2, 72)])
def test_reshapes_that_are_no_flattening(tmp_path: Path, shape: tuple[int, ...]) -> None:
    path = save_graph(
        tmp_path / "n.onnx", [node("Reshape", "x,t", "y")], (2, 4, 6, 6), {"t": np.array(shape)}
    )
    with pytest.raises(HawqError):
        import_structure(onnx_model(path, image(6, 6, 4)))


@pytest.mark.parametrize("opset", [9, 10, 22])
def test_opsets_outside_the_range(tmp_path: Path, opset: int) -> None:
    path = save_graph(tmp_path / "n.onnx", [node("Flatten", "x", "y")], ("n", 4, 6, 6), opset=opset)
    with pytest.raises(HawqError) as caught:
        import_structure(onnx_model(path, image(6, 6, 4)))
    assert only(caught.value).code == "HQ322"


def test_operators_of_other_domains_are_not_mistaken_for_onnx_ones(tmp_path: Path) -> None:
    nodes = [helper.make_node("Relu", ["x"], ["z"], domain="com.example"), *TAIL]
    (found,) = refused(tmp_path, nodes)
    assert (
        found.message == "node 1 (com.example.Relu): operator 'com.example.Relu' is not supported"
    )


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        (image(8, 6, 4), "4x6x6"),
        (image(6, 6, 3), "4x6x6"),
        (vector(4, 6), "4x6x6"),
    ],
)
def test_declared_size_must_be_the_files(tmp_path: Path, kind: Any, said: str) -> None:
    path = save_graph(tmp_path / "n.onnx", [node("Flatten", "x", "y")], ("n", 4, 6, 6))
    with pytest.raises(HawqError) as caught:
        import_structure(onnx_model(path, kind))
    found = only(caught.value)
    assert found.code == "HQ312"
    assert said in found.message
    assert found.span is not None
    assert found.span.line == 5


def test_uint8_input_is_refused(tmp_path: Path) -> None:
    nodes = [node("Cast", "x", "a", to=TensorProto.FLOAT), node("Flatten", "a", "y")]
    path = save_graph(tmp_path / "n.onnx", nodes, ("n", 4, 6, 6), element=TensorProto.UINT8)
    with pytest.raises(HawqError, match="takes uint8 instead of floats"):
        import_structure(onnx_model(path, image(6, 6, 4)))


def test_output_must_be_one_vector_per_sample(tmp_path: Path) -> None:
    (found,) = refused(tmp_path, [node("Relu", "x", "y")])
    assert found.code == "HQ325"
    (found,) = refused(tmp_path, [node("Relu", "c", "y")], {"c": np.ones(3, dtype=np.float32)})
    assert found.code in {"HQ320", "HQ325"}


def test_several_inputs_and_outputs(tmp_path: Path) -> None:
    made = onnx.load_model(save_graph(tmp_path / "n.onnx", [node("Flatten", "x", "y")], ("n", 4)))
    made.graph.output.append(helper.make_tensor_value_info("x", TensorProto.FLOAT, None))
    onnx.save_model(made, tmp_path / "two.onnx")
    with pytest.raises(HawqError, match=r"HQ323: .* has 2 outputs"):
        import_structure(onnx_model(tmp_path / "two.onnx", image(6, 6, 4)))
    del made.graph.output[1]
    made.graph.input.append(helper.make_tensor_value_info("x2", TensorProto.FLOAT, None))
    onnx.save_model(made, tmp_path / "two.onnx")
    with pytest.raises(HawqError, match=r"HQ323: .* has 2 inputs"):
        import_structure(onnx_model(tmp_path / "two.onnx", image(6, 6, 4)))


def test_files_that_are_no_models(tmp_path: Path) -> None:
    good = save_graph(
        tmp_path / "n.onnx", [node("MatMul", "x,w", "y")], ("n", 36), {"w": np.ones((36, 9))}
    ).read_bytes()
    (tmp_path / "empty.onnx").write_bytes(b"")
    (tmp_path / "text.onnx").write_text("version https://git-lfs.github.com/spec/v1\n")
    (tmp_path / "cut.onnx").write_bytes(good[: len(good) // 2])
    (tmp_path / "noise.onnx").write_bytes(np.random.default_rng(0).bytes(2000))
    (tmp_path / "folder.onnx").mkdir()
    for name in ("empty", "text", "cut", "noise", "folder"):
        with pytest.raises(HawqError) as caught:
            import_structure(onnx_model(tmp_path / f"{name}.onnx", vector(36)))
        assert only(caught.value).code == "HQ302", name
    with pytest.raises(HawqError, match="HQ301"):
        import_structure(onnx_model(tmp_path / "absent.onnx", vector(36)))


def test_not_finite_weights_name_their_layer(tmp_path: Path) -> None:
    weight = np.ones((5, 4, 3, 3), dtype=np.float32)
    weight[2, 1, 0, 0] = np.nan
    weight[3, 1, 0, 0] = np.inf
    path = save_graph(
        tmp_path / "n.onnx",
        [node("Conv", "x,stem.weight", "z"), *TAIL],
        ("n", 4, 6, 6),
        {"stem.weight": weight},
    )
    import_structure(onnx_model(path, image(6, 6, 4)))
    with pytest.raises(HawqError) as caught:
        imported(onnx_model(path, image(6, 6, 4)))
    assert refusals(caught.value) == [
        "HQ306: layer 'stem': 'stem.weight' holds 2 of 180 values that are NaN or infinite"
    ]


def test_negative_variance_names_batch_norm_and_layer(tmp_path: Path) -> None:
    nodes = [
        node("Conv", "x,stem.weight", "a"),
        node("BatchNormalization", "a,bn.weight,b,b,v", "z"),
        *TAIL,
    ]
    constants = {
        "stem.weight": np.ones((5, 4, 3, 3), dtype=np.float32),
        "bn.weight": np.ones(5, dtype=np.float32),
        "b": np.ones(5, dtype=np.float32),
        "v": np.array([1, -1, 1, 1, 1], dtype=np.float32),
    }
    path = save_graph(tmp_path / "n.onnx", nodes, ("n", 4, 6, 6), constants)
    with pytest.raises(HawqError, match="layer 'stem': folding batch norm 'bn' gives 36 of 180"):
        imported(onnx_model(path, image(6, 6, 4)))


@pytest.mark.parametrize("location", ["../secret.bin", "/etc/passwd", "sub/../../secret.bin", ""])
def test_external_data_outside_the_folder_is_refused(tmp_path: Path, location: str) -> None:
    (tmp_path / "secret.bin").write_bytes(np.ones(9, dtype=np.float32).tobytes())
    (tmp_path / "m").mkdir()
    path = _external(tmp_path / "m" / "n.onnx", location)
    with pytest.raises(HawqError) as caught:
        imported(onnx_model(path, vector(3)))
    assert only(caught.value).code == "HQ324"


def test_external_data_behind_a_link_out_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "secret.bin").write_bytes(np.ones(9, dtype=np.float32).tobytes())
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "data.bin").symlink_to(tmp_path / "secret.bin")
    with pytest.raises(HawqError, match="HQ324"):
        imported(onnx_model(_external(tmp_path / "m" / "n.onnx", "data.bin"), vector(3)))


def test_external_data_beside_the_model_is_read_and_checked(tmp_path: Path) -> None:
    path = _external(tmp_path / "n.onnx", "data.bin")
    with pytest.raises(HawqError, match="is missing"):
        imported(onnx_model(path, vector(3)))
    (tmp_path / "data.bin").write_bytes(b"\0" * 20)
    with pytest.raises(HawqError, match="is too short"):
        imported(onnx_model(path, vector(3)))
    (tmp_path / "data.bin").write_bytes(np.arange(9, dtype=np.float32).tobytes())
    graph, store = imported(onnx_model(path, vector(3)))
    (parameter,) = graph.parameters
    assert parameter.ref is not None
    np.testing.assert_array_equal(store.get(parameter.ref), np.arange(9).reshape(3, 3).T)


def _external(path: Path, location: str) -> Path:
    """A file whose one weight lies elsewhere."""
    save_graph(
        path, [node("MatMul", "x,w", "y")], ("n", 3), {"w": np.ones((3, 3), dtype=np.float32)}
    )
    made = onnx.load_model(path)
    tensor = made.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", location
    path.write_bytes(made.SerializeToString())
    return path


def test_huge_constants_are_refused_before_they_are_made(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("ConstantOfShape", ["s"], ["big"]),
        helper.make_node("Add", ["x", "big"], ["z"]),
        *TAIL,
    ]
    (found, *_) = refused(tmp_path, nodes, {"s": np.array([2**20, 2**20, 2**20])})
    assert "beyond all reason" in found.message


def test_names_from_a_file_cannot_write_control_characters(tmp_path: Path) -> None:
    nodes = [helper.make_node("Sin", ["x"], ["z"], name="a\x1b[31m\nb\u202e"), *TAIL]
    (found,) = refused(tmp_path, nodes)
    assert found.message.startswith("node 'a?[31m?b?' (Sin)")


def test_weight_tensors_of_a_file_may_be_replaced(tmp_path: Path) -> None:
    import torch

    path = save_graph(
        tmp_path / "n.onnx",
        [node("Gemm", "x,fc.weight", "a", transB=1), node("Mul", "a,two", "y")],
        ("n", 3),
        {"fc.weight": np.ones((2, 3), dtype=np.float32)},
    )
    made = onnx.load_model(path)
    constant = helper.make_node(
        "Constant", [], ["two"], value=numpy_helper.from_array(np.array(2, dtype=np.float32))
    )
    made.graph.node.insert(0, constant)
    onnx.save_model(made, path)
    torch.save({"fc.weight": torch.full((2, 3), 4.0)}, tmp_path / "w.pt")
    graph, store = imported(onnx_model(path, vector(3), tmp_path / "w.pt"))
    ref = next(p.ref for p in graph.parameters if p.name.endswith(".weight"))
    assert ref is not None
    np.testing.assert_array_equal(store.get(ref), np.full((2, 3), 8.0, dtype=np.float32))
