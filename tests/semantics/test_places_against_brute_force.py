"""Tables, products, rearrangements, chosen indices and interpolations equal plain Python integers."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from hawqlang.ops import Multiply, Rearrange, Resample, Table, Take, evaluate, problems
from tests.semantics.test_ops_against_brute_force import WIDTHS, Bench, stored

SHAPE = (3, 4, 6)


def places(*shape: int) -> Iterator[tuple[int, ...]]:
    return itertools.product(*(range(n) for n in shape))


@pytest.mark.parametrize(("bits", "signed"), WIDTHS)
@pytest.mark.parametrize("apart", [False, True])
def test_a_table_gives_the_entry_of_every_code(bits: int, signed: bool, apart: bool) -> None:
    bench = Bench(bits)
    x = bench.fill("x", SHAPE, bits, signed=signed)
    y = bench.declare("y", SHAPE, 8, signed=True)
    low, high = y.range
    table = bench.rng.integers(low, high + 1, (6 if apart else 1, 1 << bits)).astype(np.int32)
    op = Table(name="table", x="x", output="y", table=bench.store.put(table))
    found = bench.run(op)["y"]
    for n, i, j, c in places(2, *SHAPE):
        code = int(bench.arrays["x"][n, i, j, c]) - x.range[0]
        assert found[n, i, j, c] == table[c if apart else 0, code]


@pytest.mark.parametrize(("bits", "signed"), WIDTHS)
@pytest.mark.parametrize(
    "shapes",
    [(SHAPE, SHAPE), (SHAPE, (1, 1, 6)), ((6,), SHAPE), ((3, 4, 1), SHAPE), ((3, 1, 6), (1, 4, 1))],
)
def test_a_product_repeats_axes_of_one(
    bits: int, signed: bool, shapes: tuple[tuple[int, ...], tuple[int, ...]]
) -> None:
    bench = Bench(bits)
    a = bench.fill("a", shapes[0], bits, signed=signed)
    b = bench.fill("b", shapes[1], bits, signed=not signed)
    y = bench.declare("y", SHAPE, 8, signed=True)
    m, s = bench.dyadic(6, (28 + bits, 34 + bits))
    store = bench.store_of(y, m, s)
    found = bench.run(Multiply(name="product", a="a", b="b", stores=(store,)))["y"]
    acc = np.zeros((2, *SHAPE), np.int64)
    for place in places(2, *SHAPE):
        factors: list[int] = []
        for tensor, array in ((a, bench.arrays["a"]), (b, bench.arrays["b"])):
            sizes = (2, *(1,) * (3 - len(tensor.shape)), *tensor.shape)
            at = tuple(i if n > 1 else 0 for i, n in zip(place, sizes, strict=True))
            factors.append(int(array.reshape(sizes)[at]) - tensor.zero_point)
        acc[place] = factors[0] * factors[1]
    np.testing.assert_array_equal(found, stored(acc, store, m, s))


def test_a_rearrangement_counts_in_the_models_order() -> None:
    bench = Bench(0)
    bench.fill("x", SHAPE, 8, signed=False)
    kind = bench.tensors["x"]
    bench.tensors["y"] = kind.replace(name="y", shape=(6, 4, 3))
    op = Rearrange(name="r", x="x", output="y", view=(2, 3, 12), order=(1, 0, 2))
    found = bench.run(op)["y"]
    for n in range(2):
        model = [bench.arrays["x"][n, i, j, c] for c, i, j in places(6, 3, 4)]
        permuted = [model[(a * 3 + b) * 12 + k] for b, a, k in places(3, 2, 12)]
        for position, (c, i, j) in enumerate(places(3, 6, 4)):
            assert found[n, i, j, c] == permuted[position]


def test_taking_chooses_along_every_axis() -> None:
    bench = Bench(1)
    bench.fill("x", SHAPE, 4, signed=True)
    bench.tensors["y"] = bench.tensors["x"].replace(name="y", shape=(5, 4, 2))
    rows, channels = (np.array(v, np.int32) for v in ([2, 2, 0, 1, 0], [5, 3]))
    refs = (bench.store.put(rows), None, bench.store.put(channels))
    found = bench.run(Take(name="take", x="x", output="y", indices=refs))["y"]
    for n, i, j, c in places(2, 5, 4, 2):
        assert found[n, i, j, c] == bench.arrays["x"][n, rows[i], j, channels[c]]


@pytest.mark.parametrize(("bits", "signed"), WIDTHS)
def test_an_interpolation_weighs_two_rows_and_two_columns(bits: int, signed: bool) -> None:
    bench = Bench(bits)
    x = bench.fill("x", SHAPE, bits, signed=signed)
    y = bench.declare("y", (4, 3, 6), 8, signed=True)
    rows = np.array([[0, 1, 5], [2, 2, 8], [1, 0, 0], [1, 2, 3]], np.int32)
    columns = np.array([[3, 0, 1], [0, 0, 7], [2, 3, 4]], np.int32)
    m, s = bench.dyadic(1, (34 + bits, 36 + bits))
    store = bench.store_of(y, m, s)
    op = Resample(
        name="resample",
        x="x",
        rows=bench.store.put(rows),
        columns=bench.store.put(columns),
        bits=3,
        stores=(store,),
    )
    found = bench.run(op)["y"]
    q = bench.arrays["x"].astype(object) - x.zero_point
    acc = np.zeros((2, 4, 3, 6), np.int64)
    for n, i, j, c in places(2, 4, 3, 6):
        (r0, r1, v), (c0, c1, w) = (tuple(map(int, t)) for t in (rows[i], columns[j]))
        acc[n, i, j, c] = (8 - v) * ((8 - w) * q[n, r0, c0, c] + w * q[n, r0, c1, c]) + v * (
            (8 - w) * q[n, r1, c0, c] + w * q[n, r1, c1, c]
        )
    np.testing.assert_array_equal(found, stored(acc, store, m, s))


@pytest.mark.parametrize(
    ("bits", "entries", "message"),
    [
        (8, np.zeros((1, 16), np.int32), "does not fit 8 bits"),
        (8, np.full((1, 256), 300, np.int32), "are not within"),
        (16, np.zeros((1, 256), np.int32), "is wider than 8 bits"),
    ],
)
def test_illegal_tables(bits: int, entries: Any, message: str) -> None:
    bench = Bench(0)
    bench.declare("x", SHAPE, bits, signed=False)
    bench.declare("y", SHAPE, 8, signed=False)
    op = Table(name="table", x="x", output="y", table=bench.store.put(entries))
    assert any(message in p for p in problems(op, bench.frame))


def test_illegal_places() -> None:
    bench = Bench(0)
    x = bench.declare("x", SHAPE, 8, signed=False)
    bench.tensors["y"] = x.replace(name="y", shape=(3, 4, 5))
    bad = bench.store.put(np.array([0, 6], np.int32))
    take = Take(name="take", x="x", output="y", indices=(None, None, bad))
    assert any("0..6 along an axis of 6" in p for p in problems(take, bench.frame))
    turn = Rearrange(name="r", x="x", output="y", view=(72,), order=(1,))
    found = list(problems(turn, bench.frame))
    assert any("does not rearrange" in p for p in found)
    assert any("is no order of 1 axes" in p for p in found)


def test_products_that_leave_int32_are_illegal() -> None:
    bench = Bench(0)
    bench.tensors |= {
        name: bench.declare(name, SHAPE, 16, signed=False).replace(zero_point=0) for name in "ab"
    }
    y = bench.declare("y", (3, 4, 1), 8, signed=False)
    m, s = bench.dyadic(1, (40, 41))
    op = Multiply(name="product", a="a", b="b", stores=(bench.store_of(y, m, s),))
    assert any("products can reach" in p for p in problems(op, bench.frame))


def test_one_operand_may_be_both() -> None:
    bench = Bench(5)
    a = bench.fill("a", SHAPE, 8, signed=True)
    y = bench.declare("y", SHAPE, 8, signed=True)
    m, s = bench.dyadic(1, (38, 39))
    store = bench.store_of(y, m, s)
    found = evaluate(Multiply(name="p", a="a", b="a", stores=(store,)), bench.frame)["y"]
    acc = (bench.arrays["a"].astype(np.int64) - a.zero_point) ** 2
    np.testing.assert_array_equal(found, stored(acc, store, m, s))
