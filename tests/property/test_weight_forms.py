"""Layers with affine weights, groups and wide tensors equal the formula written out element by element."""

from __future__ import annotations

import numpy as np
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from hawqlang.arith import width
from hawqlang.certificate import certificate
from hawqlang.interpret import interpret
from hawqlang.ops import Conv2d, Frame, Linear, problems
from tests.semantics import brute
from tests.semantics.programs import Builder, WeightForm

forms = st.builds(
    WeightForm,
    affine=st.booleans(),
    group=st.integers(0, 5),
    most=st.integers(1, 255),
)


def accumulators(op: Conv2d, b: Builder, x: np.ndarray) -> np.ndarray:
    """``Σ k·(q_w − z_w)·q_x`` over the window, tap by tap, padding counted as the zero point of the input."""
    terms = op.terms
    frame = Frame({}, b.tensors, b.store.get)
    codes = frame.weights(op.weight, op.weight_bits, op.weight_shape).astype(np.int64)
    whole = codes.copy()
    if terms is not None:
        index = np.zeros(codes.shape[-1], int) if terms.group is None else b.store.get(terms.group)
        for channel in range(codes.shape[0]):
            for i in range(codes.shape[-1]):
                zero = 0 if terms.zero is None else int(b.store.get(terms.zero)[channel, index[i]])
                k = (
                    1
                    if terms.multiple is None
                    else int(b.store.get(terms.multiple)[channel, index[i]])
                )
                whole[channel, :, :, i] = k * (codes[channel, :, :, i] - zero)
    return brute.convolve(
        x.astype(np.int64),
        whole,
        b.store.get(op.bias).tolist(),
        b.tensors[op.x].zero_point,
        stride=op.stride,
        padding=op.padding,
        dilation=op.dilation,
        groups=op.groups,
    )


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    form=forms,
    wbits=st.integers(2, 12),
    abits=st.integers(1, 16),
    groups=st.sampled_from(["dense", "grouped", "depthwise"]),
)
def test_a_convolution_is_the_sum_of_its_centred_products(
    seed: int, form: WeightForm, wbits: int, abits: int, groups: str
) -> None:
    b = Builder(np.random.default_rng(seed))
    image = b.image(4, 3, 4)
    x = b.affine(image, bits=abits)
    count = {"dense": 1, "grouped": 2, "depthwise": 4}[groups]
    b.conv(
        x, 4, (2, 3), padding=(1, 0, 1, 2), groups=count, weight_bits=wbits, bits=(32,), form=form
    )
    op = b.ops[-1]
    assert isinstance(op, Conv2d)
    y = op.stores[0].output
    program = b.program(b.linear(b.flatten(y), 3, bits=(32,)))
    frame = Frame({}, b.tensors, b.store.get)
    assert [p for op in program.ops[:-2] for p in problems(op, frame)] == []
    whole = frame.weights(op.weight, op.weight_bits, op.weight_shape, op.terms)
    bias = b.store.get(op.bias)
    most = width.accumulator_bound(whole, abits, signed=b.tensors[x].signed, bias=bias)
    assume(int(most.max()) <= width.INT32_MAX)
    pixels = b.rng.integers(0, 256, (2, 4, 3, 4)).astype(np.uint8)
    pixels[0] = b.rng.choice(np.array([0, 255], np.uint8), pixels[0].shape)
    arrays = interpret(program, b.store, pixels, keep="all")
    m, s = (
        b.store.get(ref).astype(object) for ref in (op.stores[0].multiplier, op.stores[0].shift)
    )
    for image_, got in zip(arrays[x], arrays[y], strict=True):
        acc = accumulators(op, b, image_).astype(object)
        wanted = (acc * m + 2 ** (s - 1)) // 2**s
        low, high = op.stores[0].lo, op.stores[0].hi
        np.testing.assert_array_equal(got, np.clip(wanted, low, high).astype(np.int64))


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10_000), form=forms, wbits=st.integers(2, 8), abits=st.integers(1, 8))
def test_no_input_and_no_order_of_sums_leaves_the_certificate(
    seed: int, form: WeightForm, wbits: int, abits: int
) -> None:
    b = Builder(np.random.default_rng(seed))
    x = b.affine(b.image(1, 1, 9), bits=abits)
    b.linear(b.flatten(x), 3, weight_bits=wbits, bits=(32,), form=form)
    op = b.ops[-1]
    assert isinstance(op, Linear)
    program = b.program(op.stores[0].output)
    bound = next(found for found in certificate(program, b.store) if found.op == op.name)
    whole = Frame({}, b.tensors, b.store.get).weights(
        op.weight, op.weight_bits, op.weight_shape, op.terms
    )
    low, high = width.type_range(abits, signed=b.tensors[op.x].signed)
    bias = b.store.get(op.bias).astype(np.int64)
    reached = 0
    for row, start in zip(whole.astype(np.int64), bias, strict=True):
        for ends in ((low, high), (high, low)):
            worst = np.where(row > 0, *ends)
            products = b.rng.permutation(row * worst)
            partial = start + np.cumsum(products)
            assert int(np.abs(partial).max()) <= bound.largest
            reached = max(reached, int(np.abs(partial).max()))
    assert reached <= bound.largest
