"""Every operator at every width equals plain Python integers."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from hawqlang.arith import pack, width
from hawqlang.cache import TensorStore
from hawqlang.ops import (
    Add,
    Addend,
    AddStore,
    Affine,
    AvgPool2d,
    Concat,
    Conv2d,
    Frame,
    Linear,
    MaxPool2d,
    Op,
    Pad,
    QTensor,
    Reshape,
    Slice,
    Store,
    evaluate,
    macs,
    problems,
    shapes,
)
from tests.semantics import brute

WIDTHS = [(bits, signed) for bits in (1, 2, 4, 8) for signed in (False, True)]
Ints = npt.NDArray[np.int64]


class Bench:
    """Random tensors and constants, and one operator run on them."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.store = TensorStore()
        self.tensors: dict[str, QTensor] = {}
        self.arrays: dict[str, npt.NDArray[np.integer]] = {}

    def declare(self, name: str, shape: tuple[int, ...], bits: int, *, signed: bool) -> QTensor:
        low, high = width.type_range(bits, signed=signed)
        zero = 0 if bits == 32 else int(self.rng.integers(low, high + 1))
        tensor = QTensor(name=name, shape=shape, bits=bits, signed=signed, zero_point=zero)
        self.tensors[name] = tensor
        return tensor

    def fill(self, name: str, shape: tuple[int, ...], bits: int, *, signed: bool) -> QTensor:
        tensor = self.declare(name, shape, bits, signed=signed)
        low, high = tensor.range if bits <= 8 else (-(10**6), 10**6)
        values = self.rng.integers(low, high + 1, (2, *shape))
        values.reshape(-1)[:2] = low, high
        self.arrays[name] = values.astype(tensor.dtype)
        return tensor

    def weights(self, shape: tuple[int, ...], bits: int) -> Ints:
        low, high = width.weight_range(bits)
        found = self.rng.integers(low, high + 1, shape)
        return np.where(found == 0, 1, found) if bits == 1 else found

    def dyadic(self, count: int, shifts: tuple[int, int]) -> tuple[Ints, Ints]:
        return self.rng.integers(0, 2**31, count), self.rng.integers(*shifts, count)

    def store_of(self, output: QTensor, m: Ints, s: Ints, *, addend: Addend | None = None) -> Store:
        low, high = output.range
        return Store(
            output=output.name,
            multiplier=self.store.put(m.astype(np.int32)),
            shift=self.store.put(s.astype(np.uint8)),
            zero_point=output.zero_point,
            lo=min(low + 1, high),
            hi=high,
            addend=addend,
        )

    @property
    def frame(self) -> Frame:
        return Frame(self.arrays, self.tensors, self.store.get)

    def run(self, op: Op) -> dict[str, npt.NDArray[np.integer]]:
        assert list(problems(op, self.frame)) == []
        results = evaluate(op, self.frame)
        for name, shape in shapes(op, self.frame).items():
            assert results[name].shape == (2, *shape)
            assert results[name].dtype == self.tensors[name].dtype
        return results


def stored(acc: Ints, store: Store, m: Ints, s: Ints, addend: Ints | None = None) -> Ints:
    """Requantization of ``(…, C)`` accumulators in Python integers."""
    flat = acc.reshape(-1, acc.shape[-1])
    extra = np.zeros_like(flat) if addend is None else addend.reshape(flat.shape)
    rows = [
        [
            brute.clamp(
                store.zero_point
                + brute.rescale(int(v), int(m[c % m.size]), int(s[c % s.size]))
                + int(extra[r, c]),
                store.lo,
                store.hi,
            )
            for c, v in enumerate(row)
        ]
        for r, row in enumerate(flat)
    ]
    return np.array(rows).reshape(acc.shape)


CONVOLUTIONS = {
    "plain": ((5, 4, 3), (4, 3, 3, 3), (1, 1), (1, 1, 1, 1), (1, 1), 1),
    "stride and one-sided padding": ((6, 5, 2), (3, 3, 2, 2), (2, 2), (0, 0, 1, 1), (1, 1), 1),
    "dilation": ((7, 6, 2), (2, 3, 2, 2), (1, 2), (2, 0, 1, 1), (2, 3), 1),
    "groups": ((4, 4, 6), (4, 2, 2, 3), (1, 1), (0, 1, 0, 1), (1, 1), 2),
    "depthwise": ((4, 5, 4), (4, 3, 3, 1), (2, 1), (1, 1, 1, 1), (1, 1), 4),
    "depthwise with multiplier": ((4, 3, 2), (6, 2, 2, 1), (1, 1), (1, 0, 0, 1), (1, 1), 2),
    "one by one": ((3, 2, 5), (4, 1, 1, 5), (1, 1), (0, 0, 0, 0), (1, 1), 1),
}


@pytest.mark.parametrize(("bits", "signed"), WIDTHS)
@pytest.mark.parametrize("form", CONVOLUTIONS)
@pytest.mark.parametrize("weight_bits", [1, 2, 4, 8])
def test_convolution(form: str, bits: int, signed: bool, weight_bits: int) -> None:
    shape, weight_shape, stride, padding, dilation, groups = CONVOLUTIONS[form]
    bench = Bench(bits * 100 + weight_bits * 10 + signed)
    x = bench.fill("x", shape, bits, signed=signed)
    weight = bench.weights(weight_shape, weight_bits)
    bias = bench.rng.integers(-(2**20), 2**20, weight_shape[0])
    acc = np.stack(
        [
            brute.convolve(
                image.astype(np.int64),
                weight,
                bias.tolist(),
                x.zero_point,
                stride=stride,
                padding=padding,
                dilation=dilation,
                groups=groups,
            )
            for image in bench.arrays["x"]
        ]
    )
    narrow = bench.declare("narrow", acc.shape[1:], bits, signed=signed)
    wide = bench.declare("wide", acc.shape[1:], 32, signed=True)
    first = bench.dyadic(weight_shape[0], (40, 62))
    second = bench.dyadic(1, (31, 33))
    stores = (bench.store_of(narrow, *first), bench.store_of(wide, *second))
    op = Conv2d(
        name="conv",
        x="x",
        weight=bench.store.put(pack.pack_weights(weight, weight_bits)),
        weight_bits=weight_bits,
        weight_shape=weight_shape,
        bias=bench.store.put(bias.astype(np.int32)),
        stride=stride,
        padding=padding,
        dilation=dilation,
        groups=groups,
        stores=stores,
    )
    results = bench.run(op)
    np.testing.assert_array_equal(results["narrow"], stored(acc, stores[0], *first))
    np.testing.assert_array_equal(results["wide"], stored(acc, stores[1], *second))
    assert macs(op, bench.frame) == acc[0].size * int(np.prod(weight_shape[1:]))


@pytest.mark.parametrize(("bits", "signed"), WIDTHS)
@pytest.mark.parametrize("operand", ["stored", "stored16", "stored32", "int32"])
def test_convolution_with_a_residual_operand(bits: int, signed: bool, operand: str) -> None:
    bench = Bench(bits + signed)
    x = bench.fill("x", (3, 3, 2), 8, signed=True)
    weight, bias = bench.weights((4, 3, 3, 2), 8), bench.rng.integers(-999, 999, 4)
    if operand == "stored":
        other = bench.fill("other", (3, 3, 4), bits, signed=signed)
        addend = Addend(x="other", zero_point=other.zero_point, multiplier=3_000_001, shift=21)
    elif operand == "int32":
        other = bench.fill("other", (3, 3, 4), 32, signed=True)
        addend = Addend(x="other", zero_point=0, multiplier=1, shift=0)
    else:
        other = bench.fill(
            "other",
            (3, 3, 4),
            32 if operand == "stored32" else 8 + bits,
            signed=signed or operand == "stored32",
        )
        zero = other.zero_point
        addend = Addend(x="other", zero_point=zero, multiplier=2_000_000_001, shift=33)
    output = bench.declare("y", (3, 3, 4), 32, signed=True)
    m, s = bench.dyadic(4, (33, 36))
    op = Conv2d(
        name="conv",
        x="x",
        weight=bench.store.put(pack.pack_weights(weight, 8)),
        weight_bits=8,
        weight_shape=(4, 3, 3, 2),
        bias=bench.store.put(bias.astype(np.int32)),
        stride=(1, 1),
        padding=(1, 1, 1, 1),
        dilation=(1, 1),
        groups=1,
        stores=(bench.store_of(output, m, s, addend=addend),),
    )
    for image, y, v in zip(
        bench.arrays["x"], bench.run(op)["y"], bench.arrays["other"], strict=True
    ):
        acc = brute.convolve(
            image.astype(np.int64),
            weight,
            bias.tolist(),
            x.zero_point,
            stride=(1, 1),
            padding=(1, 1, 1, 1),
            dilation=(1, 1),
            groups=1,
        )
        centred = v.astype(np.int64) - other.zero_point
        if operand == "int32":
            extra = centred
        else:
            factor = addend.multiplier, addend.shift
            rescaled = [brute.rescale(int(c), *factor) for c in centred.reshape(-1)]
            extra = np.array(rescaled).reshape(v.shape)
        np.testing.assert_array_equal(y, stored(acc, op.stores[0], m, s, extra))


@pytest.mark.parametrize(("bits", "signed"), WIDTHS)
@pytest.mark.parametrize("weight_bits", [1, 3, 8])
def test_linear(bits: int, signed: bool, weight_bits: int) -> None:
    bench = Bench(bits * 10 + weight_bits)
    bench.fill("x", (11,), bits, signed=signed)
    weight = bench.weights((5, 11), weight_bits)
    bias = bench.rng.integers(-999, 999, 5)
    y = bench.declare("y", (5,), 8, signed=True)
    m, s = bench.dyadic(5, (36, 44))
    op = Linear(
        name="fc",
        x="x",
        weight=bench.store.put(pack.pack_weights(weight, weight_bits)),
        weight_bits=weight_bits,
        weight_shape=(5, 11),
        bias=bench.store.put(bias.astype(np.int32)),
        stores=(bench.store_of(y, m, s),),
    )
    acc = np.array(
        [
            [sum(int(w) * int(v) for w, v in zip(row, x, strict=True)) for row in weight]
            for x in bench.arrays["x"]
        ]
    )
    np.testing.assert_array_equal(bench.run(op)["y"], stored(acc + bias, op.stores[0], m, s))
    assert macs(op, bench.frame) == 55


def test_a_sum_beyond_float32_is_exact() -> None:
    bench = Bench(0)
    bench.tensors["x"] = QTensor(name="x", shape=(2048,), bits=8, signed=False, zero_point=0)
    bench.arrays["x"] = np.full((1, 2048), 255, np.uint8)
    weight = np.full((1, 2048), 127)
    weight[0, 0] = 126
    y = bench.declare("y", (1,), 32, signed=True)
    op = Linear(
        name="fc",
        x="x",
        weight=bench.store.put(pack.pack_weights(weight, 8)),
        weight_bits=8,
        weight_shape=(1, 2048),
        bias=bench.store.put(np.zeros(1, np.int32)),
        stores=(bench.store_of(y, np.array([2**30]), np.array([30])),),
    )
    assert evaluate(op, bench.frame)["y"].tolist() == [[255 * (127 * 2048 - 1)]]


@pytest.mark.parametrize(("bits", "signed"), WIDTHS)
@pytest.mark.parametrize("output_bits", [4, 8, 32])
def test_addition_of_two_stored_tensors(bits: int, signed: bool, output_bits: int) -> None:
    bench = Bench(bits)
    a = bench.fill("a", (2, 3, 4), bits, signed=signed)
    b = bench.fill("b", (2, 3, 4), 8, signed=not signed)
    y = bench.declare("y", (2, 3, 4), output_bits, signed=True)
    low, high = y.range
    store = AddStore(
        output="y",
        a=Addend(x="a", zero_point=a.zero_point, multiplier=4_000_000, shift=22),
        b=Addend(x="b", zero_point=b.zero_point, multiplier=2_500_001, shift=23),
        zero_point=y.zero_point,
        lo=low,
        hi=high,
    )
    got = bench.run(Add(name="add", stores=(store,)))["y"]
    expected = [
        brute.clamp(
            y.zero_point
            + brute.rescale(int(p) - a.zero_point, 4_000_000, 22)
            + brute.rescale(int(q) - b.zero_point, 2_500_001, 23),
            low,
            high,
        )
        for p, q in zip(bench.arrays["a"].reshape(-1), bench.arrays["b"].reshape(-1), strict=True)
    ]
    assert got.reshape(-1).tolist() == expected


@pytest.mark.parametrize(("bits", "signed"), WIDTHS)
def test_affine_map_with_negative_multipliers(bits: int, signed: bool) -> None:
    bench = Bench(bits)
    bench.fill("x", (2, 2, 3), bits, signed=signed)
    y = bench.declare("y", (2, 2, 3), 8, signed=True)
    m = np.array([-(2**31) + 1, 1_500_000_000, -7], np.int64)
    s = np.array([33, 32, 1])
    add = np.array([2**32 - 5 * 2**33, 2**31, 1 - 2**40], np.int64)
    op = Affine(
        name="norm",
        x="x",
        output="y",
        multiplier=bench.store.put(m.astype(np.int32)),
        shift=bench.store.put(s.astype(np.uint8)),
        add=bench.store.put(add),
        zero_point=y.zero_point,
        lo=-100,
        hi=127,
    )
    expected = [
        brute.clamp(
            y.zero_point + (int(q) * int(m[i % 3]) + int(add[i % 3])) // 2 ** int(s[i % 3]),
            -100,
            127,
        )
        for i, q in enumerate(bench.arrays["x"].reshape(-1))
    ]
    assert bench.run(op)["y"].reshape(-1).tolist() == expected


POOLS = {
    "plain": ((4, 6, 2), (2, 2), (2, 2), (0, 0, 0, 0)),
    "overlapping with padding": ((5, 4, 2), (3, 3), (2, 2), (1, 1, 1, 1)),
    "ceil mode": ((5, 6, 1), (2, 3), (2, 3), (0, 0, 1, 0)),
    "asymmetric": ((4, 3, 3), (3, 2), (1, 1), (2, 0, 0, 1)),
    "global": ((3, 5, 2), (3, 5), (1, 1), (0, 0, 0, 0)),
}


@pytest.mark.parametrize(("bits", "signed"), WIDTHS)
@pytest.mark.parametrize("form", POOLS)
def test_max_pool_never_takes_padding(form: str, bits: int, signed: bool) -> None:
    shape, kernel, stride, padding = POOLS[form]
    bench = Bench(bits)
    x = bench.fill("x", shape, bits, signed=signed)
    expected = np.array(
        [
            [[[max(taps) for taps, _, _ in cell] for cell in row] for row in image]
            for image in (brute.pool(v, kernel, stride, padding) for v in bench.arrays["x"])
        ]
    )
    bench.tensors["y"] = x.replace(name="y", shape=expected.shape[1:])
    op = MaxPool2d(
        name="pool",
        x="x",
        output="y",
        kernel=kernel,
        stride=stride,
        padding=padding,
        dilation=(1, 1),
    )
    np.testing.assert_array_equal(bench.run(op)["y"], expected)


def test_max_pool_with_dilation() -> None:
    bench = Bench(3)
    x = bench.fill("x", (6, 5, 2), 8, signed=True)
    expected = np.array(
        [
            [[[max(taps) for taps, _, _ in cell] for cell in row] for row in image]
            for image in (
                brute.pool(v, (2, 3), (2, 1), (1, 0, 0, 1), (3, 2)) for v in bench.arrays["x"]
            )
        ]
    )
    bench.tensors["y"] = x.replace(name="y", shape=expected.shape[1:])
    op = MaxPool2d(
        name="pool",
        x="x",
        output="y",
        kernel=(2, 3),
        stride=(2, 1),
        padding=(1, 0, 0, 1),
        dilation=(3, 2),
    )
    np.testing.assert_array_equal(bench.run(op)["y"], expected)


@pytest.mark.parametrize(("bits", "signed"), WIDTHS)
@pytest.mark.parametrize("form", POOLS)
@pytest.mark.parametrize("counted", ["all padding", "none"])
def test_average_pool_divides_by_what_counts(
    form: str, bits: int, signed: bool, counted: str
) -> None:
    shape, kernel, stride, padding = POOLS[form]
    counts = padding if counted == "all padding" else (0, 0, 0, 0)
    bench = Bench(bits)
    x = bench.fill("x", shape, bits, signed=signed)
    height, wide, _ = shape

    def population(row: int, column: int) -> int:
        rows = range(max(row, -counts[0]), min(row + kernel[0], height + counts[2]))
        columns = range(max(column, -counts[1]), min(column + kernel[1], wide + counts[3]))
        return len(rows) * len(columns)

    windows = [brute.pool(v, kernel, stride, padding) for v in bench.arrays["x"]]
    seen = tuple(
        sorted({population(r, c) for row in windows[0] for cell in row for _, r, c in cell})
    )
    size = (len(windows[0]), len(windows[0][0]), shape[2])
    y = bench.declare("y", size, 8, signed=True)
    m, s = bench.dyadic(len(seen), (33, 36))
    store = bench.store_of(y, m, s)
    op = AvgPool2d(
        name="mean",
        x="x",
        kernel=kernel,
        stride=stride,
        padding=padding,
        counted=counts,
        populations=seen,
        stores=(store,),
    )

    def mean(taps: list[int], row: int, column: int) -> int:
        n = seen.index(population(row, column))
        total = sum(tap - x.zero_point for tap in taps)
        value = y.zero_point + brute.rescale(total, int(m[n]), int(s[n]))
        return brute.clamp(value, store.lo, store.hi)

    expected = [[[[mean(*w) for w in cell] for cell in row] for row in image] for image in windows]
    np.testing.assert_array_equal(bench.run(op)["y"], expected)


def test_moves_keep_values() -> None:
    bench = Bench(1)
    x = bench.fill("x", (3, 4, 2), 4, signed=True)
    bench.arrays["w"], bench.tensors["w"] = bench.arrays["x"][..., ::-1], x.replace(name="w")
    value = bench.arrays["x"]
    ops: dict[str, tuple[Op, npt.NDArray[np.integer]]] = {
        "joined": (
            Concat(name="joined", inputs=("x", "w", "x"), output="joined"),
            np.concatenate([value, value[..., ::-1], value], axis=3),
        ),
        "cut": (
            Slice(name="cut", x="x", output="cut", start=(1, 0, 0), stop=(3, 4, 1), step=(1, 2, 1)),
            value[:, 1:3, ::2, :1],
        ),
        "flat": (Reshape(name="flat", x="x", output="flat"), value.reshape(2, 24)),
    }
    for name, (op, expected) in ops.items():
        bench.tensors[name] = x.replace(name=name, shape=expected.shape[1:])
        np.testing.assert_array_equal(bench.run(op)[name], expected)


def test_padding_is_the_zero_point_and_may_add_channels() -> None:
    bench = Bench(1)
    x = bench.fill("x", (2, 3, 2), 8, signed=True)
    bench.tensors["y"] = x.replace(name="y", shape=(3, 6, 5))
    op = Pad(name="pad", x="x", output="y", channels=(1, 2), padding=(1, 1, 0, 2))
    expected = np.full((2, 3, 6, 5), x.zero_point)
    expected[:, 1:, 1:4, 1:3] = bench.arrays["x"]
    np.testing.assert_array_equal(bench.run(op)["y"], expected)
