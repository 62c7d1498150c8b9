"""The constant evaluator against the reference implementation of the ONNX project."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator

from hawqlang.stages.import_model.onnx.constants import evaluate
from hawqlang.stages.import_model.onnx.model import OnnxNode, RefusedError
from tests.support.imports import Array

I = np.int64  # noqa: E741 - the type of all shape arithmetic
A = np.arange(24, dtype=np.float32).reshape(2, 3, 4) - 7
N = np.array([7, -7, 5, 0], dtype=I)
D = np.array([2, 2, -2, 3], dtype=I)

CASES: list[tuple[str, list[Any], dict[str, Any]]] = [
    ("Abs", [A], {}),
    ("Add", [A, np.float32(2)], {}),
    ("And", [A > 0, A > 3], {}),
    ("Cast", [A], {"to": TensorProto.INT64}),
    ("Ceil", [A / 3], {}),
    ("Concat", [A, A], {"axis": -1}),
    ("ConstantOfShape", [np.array([2, 3])], {}),
    ("Div", [A, A + 100], {}),
    ("Div", [np.abs(N), np.abs(D)], {}),
    ("Equal", [N, D], {}),
    ("Expand", [A[:, :1], np.array([1, 3, 1])], {}),
    ("Flatten", [A], {"axis": 2}),
    ("Flatten", [A], {"axis": -1}),
    ("Floor", [A / 3], {}),
    ("Gather", [A, np.array([[1, -1], [0, 2]])], {"axis": 1}),
    ("Greater", [N, D], {}),
    ("Identity", [A], {}),
    ("Less", [N, D], {}),
    ("Max", [A, A[::-1].copy(), np.float32(1)], {}),
    ("Min", [A, np.float32(1)], {}),
    ("Mul", [A, A], {}),
    ("Neg", [A], {}),
    ("Not", [A > 0], {}),
    ("Or", [A > 0, A > 3], {}),
    ("Pow", [np.abs(A), np.float32(0.5)], {}),
    ("Range", [np.asarray(I(2)), np.asarray(I(11)), np.asarray(I(3))], {}),
    ("Range", [np.asarray(I(11)), np.asarray(I(2)), np.asarray(I(-3))], {}),
    ("ReduceMax", [A], {"axes": [1], "keepdims": 0}),
    ("ReduceProd", [N], {"keepdims": 0}),
    ("ReduceSum", [A, np.array([0, 2])], {"keepdims": 1}),
    ("Reshape", [A, np.array([0, -1])], {}),
    ("Reshape", [A, np.array([4, -1, 2])], {}),
    ("Shape", [A], {}),
    ("Shape", [A], {"start": 1}),
    ("Shape", [A], {"start": -2, "end": -1}),
    ("Size", [A], {}),
    ("Slice", [A, np.array([1, 3]), np.array([9, -9]), np.array([1, 2]), np.array([1, -2])], {}),
    ("Slice", [A, np.array([-1]), np.array([-(2**63) + 1]), np.array([0]), np.array([-1])], {}),
    ("Slice", [A, np.array([0, 1]), np.array([1, 2**62])], {}),
    ("Sqrt", [np.abs(A)], {}),
    ("Squeeze", [A[:1, :, :1]], {}),
    ("Squeeze", [A[:1, :, :1], np.array([-1])], {}),
    ("Sub", [A, np.float32(2)], {}),
    ("Transpose", [A], {"perm": [2, 0, 1]}),
    ("Transpose", [A], {}),
    ("Unsqueeze", [A, np.array([0, -1])], {}),
    ("Where", [A > 0, A, -A], {}),
]


def called(op: str, attributes: dict[str, Any], count: int, outputs: int = 1) -> OnnxNode:
    plain = {k: tuple(cast("Any", v)) if isinstance(v, list) else v for k, v in attributes.items()}
    names = tuple(f"i{k}" for k in range(count))
    return OnnxNode("n", op, names, tuple(f"o{k}" for k in range(outputs)), plain, 1)


@pytest.mark.parametrize(
    ("op", "operands", "attributes"), CASES, ids=[f"{c[0]}-{i}" for i, c in enumerate(CASES)]
)
def test_evaluator_agrees_with_the_onnx_reference(
    op: str, operands: list[Any], attributes: dict[str, Any]
) -> None:
    arrays = {f"i{k}": np.asarray(v) for k, v in enumerate(operands)}
    inputs = [
        helper.make_tensor_value_info(k, helper.np_dtype_to_tensor_dtype(v.dtype), v.shape)
        for k, v in arrays.items()
    ]
    made = helper.make_model(
        helper.make_graph(
            [helper.make_node(op, list(arrays), ["o0"], **attributes)],
            "g",
            inputs,
            [onnx.ValueInfoProto(name="o0")],
        ),
        opset_imports=[helper.make_opsetid("", 17)],
    )
    results = cast("list[Array]", ReferenceEvaluator(made).run(None, arrays))
    expected = np.asarray(results[0])
    (found,) = evaluate(called(op, attributes, len(arrays)), list(arrays.values()), 17, Path())
    assert found.dtype == expected.dtype
    np.testing.assert_array_equal(found, expected)


def test_integer_division_truncates_as_in_c() -> None:
    (found,) = evaluate(called("Div", {}, 2), [N, D], 17, Path())
    np.testing.assert_array_equal(found, [3, -3, -2, 0])


@pytest.mark.parametrize(
    ("op", "operands", "attributes"),
    [
        ("Add", [A, np.ones(5)], {}),
        ("Div", [N, N], {}),
        ("Gather", [A, np.array([9])], {}),
        ("Reshape", [A, np.array([5, -1])], {}),
        ("Reshape", [A, np.array([-1, -1])], {}),
        ("Range", [np.asarray(I(0)), np.asarray(I(2**40)), np.asarray(I(1))], {}),
        ("Expand", [np.ones(1), np.array([2**20, 2**20])], {}),
        ("Tile", [A, N], {}),
        ("Concat", [], {}),
        ("Split", [A], {"split": [1, 9]}),
        ("Unsqueeze", [A, np.array([9])], {}),
        ("Constant", [], {}),
        ("Squeeze", [A, np.array([0])], {}),
    ],
)
def test_operands_that_do_not_fit_are_refused(
    op: str, operands: list[Any], attributes: dict[str, Any]
) -> None:
    with pytest.raises(RefusedError):
        evaluate(called(op, attributes, len(operands)), operands, 17, Path())
