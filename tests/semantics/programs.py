"""Random integer programs, legal by construction: what the back ends are held to the interpreter on."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from hawqlang.arith import pack, width
from hawqlang.cache import TensorStore
from hawqlang.ir.integer import IntegerOp, IntegerProgram, QTensor
from hawqlang.ops import (
    Add,
    Addend,
    AddStore,
    Affine,
    AvgPool2d,
    Concat,
    Conv2d,
    Linear,
    MaxPool2d,
    Pad,
    Reshape,
    Slice,
    Store,
    WeightTerms,
)
from hawqlang.ops.avgpool2d import distinct_populations
from hawqlang.ops.window import output_size

Pads = tuple[int, int, int, int]
Pair = tuple[int, int]


@dataclass(frozen=True)
class WeightForm:
    """What a layer's weights are beside symmetric codes, and what their products are summed in."""

    affine: bool = False
    zero: int | None = None
    """Every zero point, instead of random ones."""
    group: int = 0
    most: int = 255
    """Largest multiple of a group."""
    accumulator: width.Accumulator = "int32"


PLAIN = WeightForm()


@dataclass
class Builder:
    """Grows a program op by op; every method returns the name of what it stored."""

    rng: np.random.Generator
    store: TensorStore = field(default_factory=TensorStore)
    tensors: dict[str, QTensor] = field(default_factory=dict[str, QTensor])
    ops: list[IntegerOp] = field(default_factory=list[IntegerOp])
    constant: int | None = None
    """What every weight is, instead of random."""
    zero_point: int | None = None
    """What every zero point is, instead of random."""

    def image(self, height: int, width_: int, channels: int) -> str:
        return self.tensor((height, width_, channels), 8, signed=False, zero_point=0, name="image")

    def tensor(
        self,
        shape: tuple[int, ...],
        bits: int,
        *,
        signed: bool | None = None,
        zero_point: int | None = None,
        name: str = "",
    ) -> str:
        name = name or f"t{len(self.tensors)}"
        signed = bool(self.rng.integers(2)) if signed is None else signed
        if bits == 32:
            signed, zero_point = True, 0
        if zero_point is None and self.zero_point is not None:
            zero_point = self.zero_point
        if zero_point is None:
            low, high = width.type_range(bits, signed=signed)
            zero_point = int(self.rng.integers(low, high + 1))
        self.tensors[name] = QTensor(
            name=name, shape=shape, bits=bits, signed=signed, zero_point=zero_point
        )
        return name

    def put(self, array: npt.NDArray[Any]) -> Any:
        return self.store.put(array)

    def clamp(self, name: str) -> tuple[int, int]:
        low, high = self.tensors[name].range
        if self.tensors[name].bits == 32 or self.rng.integers(2):
            return low, high
        lo = int(self.rng.integers(low, high + 1))
        return lo, int(self.rng.integers(lo, high + 1))

    def dyadic(self, ratio: float, count: int, *, wide: bool = False) -> tuple[Any, Any]:
        """Multipliers and shifts around ``ratio``; some normalised, some not, some zero."""
        ratios = ratio * self.rng.uniform(0.5, 2.0, count)
        shift = np.clip(30 - np.floor(np.log2(ratios)).astype(int), 1, 62)
        if wide:
            shift = np.clip(shift - self.rng.integers(0, 20, count), 1, 62)
        m = np.clip(np.rint(ratios * 2.0**shift), 0, 2**31 - 1).astype(np.int32)
        m[self.rng.random(count) < 0.05] = 0
        return self.put(m), self.put(shift.astype(np.uint8))

    def stores(
        self, shape: tuple[int, ...], bound: int, bits: tuple[int, ...]
    ) -> tuple[Store, ...]:
        """One store per width; the values spread over the type."""
        return tuple(self.store_one(shape, bound, b) for b in bits)

    def store_one(
        self,
        shape: tuple[int, ...],
        bound: int,
        bits: int,
        *,
        addend: str | None = None,
        wide: bool = False,
        counts: int | None = None,
        signed: bool | None = None,
    ) -> Store:
        output = self.tensor(shape, bits, signed=signed)
        target = 2.0 ** min(bits, 20)
        count = counts or (shape[-1] if self.rng.integers(4) else 1)
        multiplier, shift = self.dyadic(2.0 * target / max(bound, 1), count, wide=wide)
        lo, hi = self.clamp(output)
        return Store(
            output=output,
            multiplier=multiplier,
            shift=shift,
            zero_point=self.tensors[output].zero_point,
            lo=lo,
            hi=hi,
            addend=None if addend is None else self.addend(addend),
        )

    def addend(self, x: str) -> Addend:
        tensor = self.tensors[x]
        if tensor.bits == 32 and self.rng.integers(2):
            return Addend(x=x, zero_point=0, multiplier=1, shift=0)
        if tensor.bits > 8:
            return self.scaled_addend(tensor)
        shift = int(self.rng.integers(1, 31))
        multiplier = int(np.clip(2.0**shift * self.rng.uniform(0.1, 2), 0, 2**22 - 1))
        return Addend(x=x, zero_point=tensor.zero_point, multiplier=multiplier, shift=shift)

    def scaled_addend(self, tensor: QTensor) -> Addend:
        """An operand of 16 or 32 bits, scaled to about 8 bits or to about its own width."""
        ratio = 2.0 ** float(self.rng.uniform(-1, 9) - min(tensor.bits, 20) * self.rng.integers(2))
        shift = int(np.clip(30 - np.floor(np.log2(ratio)), 1, 62))
        multiplier = int(min(ratio * 2.0**shift, 2**31 - 1))
        return Addend(
            x=tensor.name, zero_point=tensor.zero_point, multiplier=multiplier, shift=shift
        )

    def weights(self, shape: tuple[int, ...], bits: int) -> npt.NDArray[np.integer[Any]]:
        dtype = np.int8 if bits <= 8 else np.int16
        if self.constant is not None:
            return np.full(shape, self.constant, dtype=dtype)
        low, high = width.weight_range(bits)
        w = self.rng.integers(low, high + 1, shape).astype(dtype)
        return np.where(w == 0, 1, w).astype(dtype) if bits == 1 else w

    def kernel(
        self, shape: tuple[int, ...], bits: int, form: WeightForm
    ) -> tuple[Any, npt.NDArray[np.integer[Any]], WeightTerms | None]:
        """Packed codes, the integers they stand for, and what makes the one of the other."""
        if not form.affine and not form.group:
            w = self.weights(shape, bits)
            return self.put(pack.pack_weights(w, bits)), w, None
        low, high = width.type_range(bits, signed=True)
        codes = self.rng.integers(low, high + 1, shape)
        depth, groups = shape[-1], -(-shape[-1] // form.group) if form.group else 1
        index = np.arange(depth, dtype=np.int32) // form.group if form.group else None
        if index is not None and self.rng.integers(2):
            index = self.rng.permutation(index)
        zero = self.rng.integers(low, high + 1, (shape[0], groups)) if form.affine else None
        zero = zero if zero is None or form.zero is None else np.full_like(zero, form.zero)
        codes = codes if form.affine else np.clip(codes, low + 1, high)
        multiple = self.rng.integers(1, form.most + 1, (shape[0], groups)) if form.group else None
        whole = np.array(codes, np.int64)
        for channel in range(shape[0]):
            for i in range(depth):
                g = 0 if index is None else int(index[i])
                whole[channel, ..., i] -= 0 if zero is None else zero[channel, g]
                whole[channel, ..., i] *= 1 if multiple is None else multiple[channel, g]
        terms = WeightTerms(
            zero=None if zero is None else self.put(zero.astype(np.int16)),
            multiple=None if multiple is None else self.put(multiple.astype(np.uint8)),
            group=None if index is None else self.put(index),
        )
        return self.put(pack.pack(codes, bits, signed=True)), whole, terms

    def bias_for(self, x: str, w: npt.NDArray[np.integer[Any]]) -> tuple[Any, int]:
        t = self.tensors[x]
        bound = int(width.accumulator_bound(w, t.bits, signed=t.signed).max())
        limit = max(bound // 4, 1)
        bias = np.asarray(self.rng.integers(-limit, limit + 1, w.shape[0]), dtype=np.int32)
        return self.put(bias), bound // 8 + 1

    def conv(
        self,
        x: str,
        channels: int,
        kernel: Pair = (3, 3),
        *,
        stride: Pair = (1, 1),
        padding: Pads = (1, 1, 1, 1),
        dilation: Pair = (1, 1),
        groups: int = 1,
        weight_bits: int = 8,
        bits: tuple[int, ...] = (8,),
        addend: str | None = None,
        wide: bool = False,
        signed: bool | None = None,
        form: WeightForm = PLAIN,
    ) -> str:
        height, wide_, depth = self.tensors[x].shape
        weight, w, terms = self.kernel((channels, *kernel, depth // groups), weight_bits, form)
        bias, bound = self.bias_for(x, w)
        size = output_size((height, wide_), kernel, stride, padding, dilation)
        shape = (*size, channels)
        stores = tuple(
            self.store_one(shape, bound, b, addend=addend, wide=wide, signed=signed) for b in bits
        )
        self.ops.append(
            Conv2d(
                name=f"conv{len(self.ops)}",
                x=x,
                weight=weight,
                weight_bits=weight_bits,
                weight_shape=(channels, *kernel, depth // groups),
                terms=terms,
                accumulator=form.accumulator,
                bias=bias,
                stride=stride,
                padding=padding,
                dilation=dilation,
                groups=groups,
                stores=stores,
            )
        )
        return stores[0].output

    def linear(
        self,
        x: str,
        features: int,
        *,
        weight_bits: int = 8,
        bits: tuple[int, ...] = (8,),
        addend: str | None = None,
        wide: bool = False,
        form: WeightForm = PLAIN,
    ) -> str:
        shape = (features, *self.tensors[x].shape)
        weight, w, terms = self.kernel(shape, weight_bits, form)
        bias, bound = self.bias_for(x, w)
        stores = tuple(
            self.store_one((features,), bound, b, addend=addend, wide=wide) for b in bits
        )
        self.ops.append(
            Linear(
                name=f"linear{len(self.ops)}",
                x=x,
                weight=weight,
                weight_bits=weight_bits,
                weight_shape=(features, shape[1]),
                terms=terms,
                accumulator=form.accumulator,
                bias=bias,
                stores=stores,
            )
        )
        return stores[0].output

    def affine(self, x: str, *, bits: int = 8, signed: bool | None = None) -> str:
        tensor = self.tensors[x]
        output = self.tensor(tensor.shape, bits, signed=signed)
        count = tensor.shape[-1] if self.rng.integers(3) else 1
        shift = self.rng.integers(20, 40, count)
        scale = 2.0 ** (min(bits, 20) - tensor.bits) * self.rng.uniform(0.5, 1.5, count)
        m = np.clip(np.rint(scale * 2.0**shift), 1, 2**31 - 1).astype(np.int64)
        m *= self.rng.choice([-1, 1], count)
        offset = self.rng.integers(-30, 30, count) * (1 << shift) - m * tensor.zero_point
        lo, hi = self.clamp(output)
        self.ops.append(
            Affine(
                name=f"affine{len(self.ops)}",
                x=x,
                output=output,
                multiplier=self.put(m.astype(np.int32)),
                shift=self.put(shift.astype(np.uint8)),
                add=self.put((offset + (1 << (shift - 1))).astype(np.int64)),
                zero_point=self.tensors[output].zero_point,
                lo=lo,
                hi=hi,
            )
        )
        return output

    def add(self, a: str, b: str, bits: tuple[int, ...] = (8,)) -> str:
        stores: list[AddStore] = []
        for width_ in bits:
            output = self.tensor(self.tensors[a].shape, width_)
            lo, hi = self.clamp(output)
            stores.append(
                AddStore(
                    output=output,
                    a=self.addend(a),
                    b=self.addend(b),
                    zero_point=self.tensors[output].zero_point,
                    lo=lo,
                    hi=hi,
                )
            )
        self.ops.append(Add(name=f"add{len(self.ops)}", stores=tuple(stores)))
        return stores[0].output

    def like(self, x: str, shape: tuple[int, ...]) -> str:
        tensor = self.tensors[x]
        return self.tensor(shape, tensor.bits, signed=tensor.signed, zero_point=tensor.zero_point)

    def max_pool(
        self, x: str, kernel: Pair, *, stride: Pair, padding: Pads, dilation: Pair = (1, 1)
    ) -> str:
        height, wide, channels = self.tensors[x].shape
        size = output_size((height, wide), kernel, stride, padding, dilation)
        output = self.like(x, (*size, channels))
        self.ops.append(
            MaxPool2d(
                name=f"max{len(self.ops)}",
                x=x,
                output=output,
                kernel=kernel,
                stride=stride,
                padding=padding,
                dilation=dilation,
            )
        )
        return output

    def avg_pool(
        self,
        x: str,
        kernel: Pair,
        *,
        stride: Pair = (1, 1),
        padding: Pads = (0, 0, 0, 0),
        counted: Pads = (0, 0, 0, 0),
        bits: tuple[int, ...] = (8,),
    ) -> str:
        height, wide, channels = self.tensors[x].shape
        shape = (*output_size((height, wide), kernel, stride, padding, (1, 1)), channels)
        draft = AvgPool2d(
            name=f"mean{len(self.ops)}",
            x=x,
            kernel=kernel,
            stride=stride,
            padding=padding,
            counted=counted,
            populations=(),
            stores=(),
        )
        found = distinct_populations(draft, (height, wide, channels))
        bound = kernel[0] * kernel[1] << self.tensors[x].bits
        stores = tuple(self.store_one(shape, bound, b, counts=len(found)) for b in bits)
        self.ops.append(draft.replace(populations=found, stores=stores))
        return stores[0].output

    def concat(self, *inputs: str) -> str:
        shapes = [self.tensors[x].shape for x in inputs]
        output = self.like(inputs[0], (*shapes[0][:-1], sum(s[-1] for s in shapes)))
        self.ops.append(Concat(name=f"concat{len(self.ops)}", inputs=inputs, output=output))
        return output

    def pad(self, x: str, channels: Pair, padding: Pads) -> str:
        height, wide, depth = self.tensors[x].shape
        shape = (
            height + padding[0] + padding[2],
            wide + padding[1] + padding[3],
            depth + sum(channels),
        )
        output = self.like(x, shape)
        self.ops.append(
            Pad(name=f"pad{len(self.ops)}", x=x, output=output, channels=channels, padding=padding)
        )
        return output

    def slice(
        self, x: str, start: tuple[int, ...], stop: tuple[int, ...], step: tuple[int, ...]
    ) -> str:
        shape = tuple(len(range(*r)) for r in zip(start, stop, step, strict=True))
        output = self.like(x, shape)
        self.ops.append(
            Slice(
                name=f"slice{len(self.ops)}", x=x, output=output, start=start, stop=stop, step=step
            )
        )
        return output

    def reshape(self, x: str, shape: tuple[int, ...]) -> str:
        output = self.like(x, shape)
        self.ops.append(Reshape(name=f"reshape{len(self.ops)}", x=x, output=output))
        return output

    def flatten(self, x: str) -> str:
        return self.reshape(x, (int(np.prod(self.tensors[x].shape)),))

    def program(self, output: str, name: str = "random") -> IntegerProgram:
        return IntegerProgram(
            name=name,
            input="image",
            output=output,
            tensors=tuple(self.tensors.values()),
            ops=tuple(self.ops),
            bounds=(),
        )
