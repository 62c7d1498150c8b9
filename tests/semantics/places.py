"""Families of random tables, products, rearrangements, chosen indices and interpolations."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from hawqlang.ops import Multiply, Rearrange, Resample, Table, Take
from hawqlang.ops.resample import weight_bits
from tests.semantics.families import Case, finish, maps, start
from tests.semantics.programs import Builder


def table(b: Builder, x: str, bits: int, *, apart: bool = False) -> str:
    """A random table, one for all channels or one per channel."""
    tensor = b.tensors[x]
    output = b.tensor(tensor.shape, bits)
    low, high = b.tensors[output].range
    low, high = max(low, -(2**20)), min(high, 2**20)
    count = tensor.shape[-1] if apart else 1
    entries = b.rng.integers(low, high + 1, (count, 1 << tensor.bits)).astype(np.int32)
    b.ops.append(Table(name=f"table{len(b.ops)}", x=x, output=output, table=b.put(entries)))
    return output


def multiply(b: Builder, first: str, second: str, bits: tuple[int, ...] = (8,)) -> str:
    """A product of two tensors, either of which may have axes of length 1."""
    shapes = [(1,) * (3 - len(b.tensors[x].shape)) + b.tensors[x].shape for x in (first, second)]
    shape = tuple(max(pair) for pair in zip(*shapes, strict=True))
    bound = 1 << (b.tensors[first].bits + b.tensors[second].bits - 1)
    stores = tuple(b.store_one(shape, bound, width, wide=width > 8) for width in bits)
    b.ops.append(Multiply(name=f"product{len(b.ops)}", a=first, b=second, stores=stores))
    return stores[0].output


def rearrange(
    b: Builder, x: str, shape: tuple[int, ...], view: tuple[int, ...], order: tuple[int, ...]
) -> str:
    """``shape`` is that of the result as it is stored: HWC."""
    output = b.like(x, shape)
    b.ops.append(
        Rearrange(name=f"rearrange{len(b.ops)}", x=x, output=output, view=view, order=order)
    )
    return output


def take(b: Builder, x: str, *sizes: int | None) -> str:
    """Random indices along the axes that have a size, in HWC order."""
    shape = b.tensors[x].shape
    chosen: list[Any] = [
        None if size is None else b.put(b.rng.integers(0, n, size).astype(np.int32))
        for size, n in zip(sizes, shape, strict=True)
    ]
    result = tuple(n if size is None else size for size, n in zip(sizes, shape, strict=True))
    output = b.like(x, result)
    b.ops.append(Take(name=f"take{len(b.ops)}", x=x, output=output, indices=tuple(chosen)))
    return output


def resample(
    b: Builder, x: str, size: tuple[int, int], weight: int, bits: tuple[int, ...] = (8,)
) -> str:
    """Random taps and weights of ``weight`` bits."""
    tensor = b.tensors[x]

    def taps(count: int, length: int) -> Any:
        rows = np.stack(
            [
                b.rng.integers(0, length, count),
                b.rng.integers(0, length, count),
                b.rng.integers(0, (1 << weight) + 1, count),
            ],
            axis=1,
        )
        return b.put(rows.astype(np.int32))

    shape = (*size, tensor.shape[-1])
    bound = 1 << (tensor.bits + 2 * weight)
    stores = tuple(b.store_one(shape, bound, width, wide=width > 8) for width in bits)
    b.ops.append(
        Resample(
            name=f"resample{len(b.ops)}",
            x=x,
            rows=taps(size[0], tensor.shape[0]),
            columns=taps(size[1], tensor.shape[1]),
            bits=weight,
            stores=stores,
        )
    )
    return stores[0].output


def tables(seed: int) -> Case:
    """Tables of every width of input and output, of one or all channels, of maps and vectors."""
    b, image = start(seed)
    xs = maps(b, image, (3, 16, 21, 40))
    ends = [table(b, x, int(b.rng.choice([1, 2, 4, 8, 16]))) for x in xs]
    ends += [table(b, x, int(b.rng.choice([4, 8])), apart=True) for x in xs]
    vector = b.flatten(b.avg_pool(xs[2], (9, 11)))
    ends += [table(b, vector, 8), table(b, vector, 4, apart=True)]
    small = [b.flatten(b.avg_pool(x, (9, 11))) if len(b.tensors[x].shape) == 3 else x for x in ends]
    y = b.linear(small[0], 10)
    for x in small[1:]:
        y = b.linear(x, 10, bits=(8,), addend=y)
    last = b.linear(y, 12)
    return b.program(table(b, last, 32), "tables"), b.store


def products(seed: int) -> Case:
    """Products of whole maps, of gates per channel and per position, at several widths."""
    b, image = start(seed)
    xs = maps(b, image, (16, 16, 21, 21, 1, 40))
    ends = [
        multiply(b, xs[0], xs[1]),
        multiply(b, xs[2], xs[3], (4, 8, 16)),
        multiply(b, xs[0], xs[0]),
    ]
    for x in (xs[2], xs[5]):
        gate = b.avg_pool(x, (9, 11))
        ends += [
            multiply(b, x, gate),
            multiply(b, b.flatten(gate), x, (8, 2)),
            multiply(b, gate, gate),
        ]
    ends += [multiply(b, xs[5], xs[4]), multiply(b, xs[4], xs[2]), multiply(b, xs[4], xs[4])]
    ends.append(multiply(b, b.avg_pool(xs[0], (9, 1)), b.avg_pool(xs[1], (1, 11))))
    return finish(b, _gathered(b, ends), "products")


def rearranged(seed: int) -> Case:
    """Channel shuffle, depth to space and back, transposes, and reshapes that share no axes."""
    b, image = start(seed, (8, 12, 3))
    xs = maps(b, image, (12, 32, 48))
    ends = [
        rearrange(b, xs[0], (8, 12, 12), (3, 4, 8, 12), (1, 0, 2, 3)),
        rearrange(b, xs[1], (8, 12, 32), (2, 16, 8, 12), (1, 0, 2, 3)),
        rearrange(b, xs[0], (16, 24, 3), (3, 2, 2, 8, 12), (0, 3, 1, 4, 2)),
        rearrange(b, xs[2], (4, 6, 192), (48, 4, 2, 6, 2), (2, 4, 0, 1, 3)),
        rearrange(b, xs[2], (12, 8, 48), (48, 8, 12), (0, 2, 1)),
        rearrange(b, xs[1], (12, 32, 8), (32, 8, 12), (1, 2, 0)),
        rearrange(b, xs[0], (9, 16, 8), (12, 96), (0, 1)),
        rearrange(b, xs[0], (36, 32, 1), (1152,), (0,)),
        rearrange(b, xs[1], (3072,), (32, 96), (1, 0)),
    ]
    back = rearrange(b, ends[-1], (8, 12, 32), (96, 32), (1, 0))
    return finish(b, _gathered(b, [*ends[:-1], back]), "rearranged")


def taken(seed: int) -> Case:
    """Indices chosen along each axis and along several, repeated and not, out of maps and vectors."""
    b, image = start(seed)
    xs = maps(b, image, (3, 16, 21, 48))
    ends = [
        take(b, xs[0], 18, 22, None),
        take(b, xs[1], None, None, 16),
        take(b, xs[2], 7, None, 40),
        take(b, xs[3], None, 13, None),
        take(b, xs[3], 5, 6, 7),
        take(b, b.avg_pool(xs[1], (9, 11)), 9, 11, None),
        take(b, b.flatten(b.avg_pool(xs[2], (9, 11))), 50),
    ]
    return finish(b, _gathered(b, ends), "taken")


def resampled(seed: int) -> Case:
    """Interpolation upwards and downwards, with few and with the most bits of weights."""
    b, image = start(seed)
    xs = maps(b, image, (3, 16, 21, 48))
    wide = b.conv(xs[1], 20, (1, 1), padding=(0, 0, 0, 0), bits=(16,))
    ends = [
        resample(b, xs[0], (18, 22), 2),
        resample(b, xs[1], (5, 7), weight_bits(b.tensors[xs[1]].bits), (8, 4, 16)),
        resample(b, xs[2], (9, 30), 11 if b.tensors[xs[2]].bits <= 8 else 7),
        resample(b, xs[3], (1, 1), 0),
        resample(b, wide, (11, 4), weight_bits(16), (8, 16)),
    ]
    return finish(b, _gathered(b, ends), "resampled")


def _gathered(b: Builder, ends: list[str]) -> str:
    """One map that depends on all of them."""
    total = ""
    for x in ends:
        shape = b.tensors[x].shape
        map_ = x if len(shape) == 3 else b.reshape(x, (1, 1, *shape))
        mean = b.avg_pool(map_, (shape[0], shape[1]) if len(shape) == 3 else (1, 1))
        small = b.conv(mean, 8, (1, 1), padding=(0, 0, 0, 0))
        total = small if not total else b.add(total, small)
    return total


PLACES: dict[str, Callable[[int], Case]] = {
    "tables": tables,
    "products": products,
    "rearranged": rearranged,
    "taken": taken,
    "resampled": resampled,
}
"""Families of the operators that have kernels for the CPU alone."""
