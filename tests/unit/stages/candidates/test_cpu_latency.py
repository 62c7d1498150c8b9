"""The latency model of CPUs: measured layers, what 4-bit weights are worth, and that the solver knows it."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import pytest

from hawqlang.ir.layers import Layer, LayerTable
from hawqlang.stages.allocate.solve import allocate
from hawqlang.stages.candidates.costs import latency
from hawqlang.stages.candidates.table import candidates
from hawqlang.stages.resolve.devices import device
from tests.support.allocation import W4, W8, W48, build, goal, layer, target, w

CPU = target(device("cpu.x86_64"))


@dataclass(frozen=True)
class Measured:
    """A layer's shape, and the microseconds that it took with weights of 8 and of 4 bits."""

    kernel: int
    inputs: int
    outputs: int
    side: int
    eight: float
    four: float

    def layer(self) -> Layer:
        params = self.kernel**2 * self.inputs * self.outputs
        pixels = self.side**2
        return layer(
            f"{self.kernel}x{self.kernel} {self.inputs}-{self.outputs}",
            params,
            params * pixels,
            input_elements=pixels * self.inputs,
            output_elements=pixels * self.outputs,
        )


MEASURED = (
    Measured(3, 64, 64, 56, 251.4, 251.2),
    Measured(3, 128, 128, 28, 249.3, 246.5),
    Measured(3, 256, 256, 14, 251.9, 246.3),
    Measured(3, 512, 512, 7, 282.1, 244.6),
    Measured(1, 256, 64, 56, 136.8, 151.9),
    Measured(1, 64, 256, 56, 148.9, 147.5),
    Measured(1, 1024, 256, 14, 113.1, 114.2),
    Measured(1, 256, 1024, 14, 121.1, 119.1),
    Measured(1, 512, 2048, 7, 123.8, 116.2),
    Measured(1, 2048, 512, 7, 123.1, 112.2),
    Measured(1, 2048, 1000, 1, 65.2, 27.5),
    Measured(1, 4096, 4096, 1, 486.4, 234.0),
)
"""AVX512-VNNI on one core of an AMD EPYC (Zen 5); the layers that the catalogue's figures come from."""


def seconds(one: Layer, text: str, threads: int = 1) -> Fraction:
    found = latency(one, w(text), CPU.replace(threads=threads), {})
    assert found is not None
    return found


@pytest.mark.parametrize("measured", MEASURED, ids=lambda m: m.layer().name)
@pytest.mark.parametrize("text", ["w8a8", "w4a8"])
def test_the_catalogue_predicts_measured_layers_within_15_percent(
    measured: Measured, text: str
) -> None:
    took = measured.eight if text == "w8a8" else measured.four
    predicted = float(seconds(measured.layer(), text)) * 1e6
    assert abs(predicted / took - 1) < 0.15


def test_weights_of_4_bits_halve_a_layer_that_streams_and_cost_a_busy_one_little() -> None:
    linear, busy = MEASURED[-1].layer(), MEASURED[0].layer()
    assert seconds(linear, "w4a8") < Fraction(6, 10) * seconds(linear, "w8a8")
    assert (
        seconds(busy, "w8a8") < seconds(busy, "w4a8") < Fraction(102, 100) * seconds(busy, "w8a8")
    )


def test_bits_that_kernels_hold_alike_take_equally_long() -> None:
    linear = MEASURED[-1].layer()
    assert seconds(linear, "w2a8") == seconds(linear, "w4a8") == seconds(linear, "w4a4")
    assert seconds(linear, "w6a8") == seconds(linear, "w8a8") == seconds(linear, "w8a2")
    assert seconds(linear, "w8a9") > seconds(linear, "w8a8")


def test_threads_share_the_work_but_not_the_launch() -> None:
    busy = MEASURED[0].layer()
    launch = CPU.device.launch
    assert seconds(busy, "w8a8", threads=2) - launch == (seconds(busy, "w8a8") - launch) / 2


def test_the_solver_gives_4_bits_to_what_streams_and_8_to_what_computes() -> None:
    table = LayerTable(layers=tuple(m.layer() for m in MEASURED))
    given = table.replace(
        layers=tuple(one.replace(sensitivity=((W48, 0.0), (W8, 0.0))) for one in table.layers)
    )
    spec = build(objective=(goal("latency"),), precision=(W48, W8), target=CPU)
    plan = allocate(spec, given, candidates(spec, given, None))
    chosen = plan.allocation()
    for measured in MEASURED:
        one = measured.layer()
        best = min((W48, W8), key=lambda p: seconds(one, str(p)))
        assert chosen[one.name] == best
    assert chosen[MEASURED[0].layer().name] == W8
    assert chosen[MEASURED[-1].layer().name] == W48
    assert W4 not in chosen.values()
