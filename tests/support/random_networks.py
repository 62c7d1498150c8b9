"""Random float networks of every operator that a graph may have."""

from __future__ import annotations

from math import prod

from hawqlang.arith import functions
from hawqlang.arith.functions import Function
from hawqlang.ir.graph import Graph, Multiply, Rearrange, Resample, Table, Take, Tap
from tests.property.test_lowering import Grower

FUNCTIONS: tuple[Function, ...] = (
    functions.SIGMOID,
    functions.SILU,
    functions.TANH,
    functions.MISH,
    functions.gelu(tanh=False),
    functions.hard_swish(),
    functions.hard_sigmoid(0.2, 0.5),
    functions.leaky_relu(0.1),
    functions.elu(1.0),
    functions.SOFTPLUS,
    functions.ABS,
)
KINDS = (
    *("conv", "conv", "relu", "clamp", "add", "concat", "max", "avg", "bn", "pad", "cut"),
    *("table", "prelu", "multiply", "gate", "attend", "shuffle", "blocks", "turn"),
    *("nearest", "reverse", "linear"),
)


class EveryOperator(Grower):
    """Adds operators of all kinds."""

    def grow(self, name: str) -> None:
        kind = str(self.rng.choice(KINDS))
        self.maps.append(getattr(self, kind)(name, self.any()))

    def table(self, name: str, x: str) -> str:
        function = FUNCTIONS[int(self.rng.integers(len(FUNCTIONS)))]
        node = Table(name=name, x=x, output=name, function=function)
        return self.net.push(node, self.net.shapes[x])

    def prelu(self, name: str, x: str) -> str:
        slope = self.net.parameter(f"{name}.slope", self.rng.random(self.net.shapes[x][0]))
        node = Table(name=name, x=x, output=name, function=functions.PRELU, slope=slope)
        return self.net.push(node, self.net.shapes[x])

    def multiply(self, name: str, x: str) -> str:
        alike = [m for m in self.maps if self.net.shapes[m] == self.net.shapes[x]]
        node = Multiply(name=name, output=name, a=x, b=str(self.rng.choice(alike)))
        return self.net.push(node, self.net.shapes[x])

    def gate(self, name: str, x: str) -> str:
        """Squeeze and excitation, its gate a map of one pixel or a vector."""
        channels = self.net.shapes[x][0]
        squeezed = self.net.avg_pool(f"{name}.squeeze", x)
        if self.rng.random() < 0.5:
            excited = self.net.conv(f"{name}.excite", squeezed, channels, 1)
        else:
            flat = self.net.flatten(f"{name}.flat", squeezed)
            excited = self.net.linear(f"{name}.excite", flat, channels)
        open_ = self.table(f"{name}.gate", excited)
        node = Multiply(name=name, output=name, a=open_, b=x)
        return self.net.push(node, self.net.shapes[x])

    def attend(self, name: str, x: str) -> str:
        """One number per position."""
        gate = self.table(f"{name}.gate", self.net.conv(f"{name}.score", x, 1, 1))
        node = Multiply(name=name, output=name, a=x, b=gate)
        return self.net.push(node, self.net.shapes[x])

    def rearranged(
        self,
        name: str,
        x: str,
        view: tuple[int, ...],
        order: tuple[int, ...],
        shape: tuple[int, ...],
    ) -> str:
        node = Rearrange(name=name, x=x, output=name, view=view, order=order, shape=shape)
        return self.net.push(node, shape)

    def shuffle(self, name: str, x: str) -> str:
        c, h, w = self.net.shapes[x]
        groups = int(self.rng.choice([g for g in range(1, c + 1) if c % g == 0]))
        return self.rearranged(name, x, (groups, c // groups, h, w), (1, 0, 2, 3), (c, h, w))

    def blocks(self, name: str, x: str) -> str:
        """Depth to space where channels are enough, else space to depth."""
        c, h, w = self.net.shapes[x]
        if c % 4 == 0 and h * w <= 64:
            return self.rearranged(
                name, x, (c // 4, 2, 2, h, w), (0, 3, 1, 4, 2), (c // 4, h * 2, w * 2)
            )
        if h % 2 == 0 and w % 2 == 0:
            return self.rearranged(
                name, x, (c, h // 2, 2, w // 2, 2), (2, 4, 0, 1, 3), (c * 4, h // 2, w // 2)
            )
        return self.shuffle(name, x)

    def turn(self, name: str, x: str) -> str:
        """Axes in another order, or the same elements in another shape."""
        shape = self.net.shapes[x]
        if self.rng.random() < 0.5:
            order = tuple(int(i) for i in self.rng.permutation(3))
            return self.rearranged(name, x, shape, order, tuple(shape[i] for i in order))
        total = prod(shape)
        channels = int(self.rng.choice([n for n in range(1, 9) if total % n == 0]))
        return self.rearranged(name, x, (total,), (0,), (channels, 1, total // channels))

    def nearest(self, name: str, x: str) -> str:
        c, h, w = self.net.shapes[x]
        size = (min(2 * h, 12), min(w + 3, 12))
        rows, columns = (
            tuple(i * n // m for i in range(m)) for n, m in zip((h, w), size, strict=True)
        )
        node = Take(name=name, x=x, output=name, indices=(None, rows, columns))
        return self.net.push(node, (c, *size))

    def reverse(self, name: str, x: str) -> str:
        shape = self.net.shapes[x]
        indices = tuple(
            None if self.rng.random() < 0.4 else tuple(int(i) for i in self.rng.integers(0, n, n))
            for n in shape
        )
        return self.net.push(Take(name=name, x=x, output=name, indices=indices), shape)

    def linear(self, name: str, x: str) -> str:
        c, h, w = self.net.shapes[x]
        size = (min(2 * h, 12), max(w // 2, 1))

        def taps(before: int, after: int) -> tuple[Tap, ...]:
            firsts = self.rng.integers(0, before, after)
            weights = self.rng.integers(0, 9, after) / 8
            return tuple(
                (int(i), min(int(i) + 1, before - 1), float(v))
                for i, v in zip(firsts, weights, strict=True)
            )

        rows, columns = taps(h, size[0]), taps(w, size[1])
        node = Resample(name=name, x=x, output=name, rows=rows, columns=columns)
        return self.net.push(node, (c, *size))


def random_network(seed: int) -> tuple[Graph, EveryOperator]:
    """Return a network of 4 to 13 operators beside what grew it."""
    grower = EveryOperator(seed)
    for i in range(int(grower.rng.integers(4, 14))):
        grower.grow(f"n{i}")
    return grower.finish(), grower
