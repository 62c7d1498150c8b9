"""What a layer costs at a precision, exactly.

- size: ``params · wbits`` bits, without biases and scales
- work: ``macs`` and ``bops = macs · wbits · abits``, for one sample
- latency: seconds for the target's batch. What a table or profile gives comes first; else the
  roofline

      max(macs · batch / rate, bytes / bandwidth) + launch

  with ``bytes`` the weights at ``wbits`` and, ``batch`` times, the tensors read and written at
  ``abits`` (a layer does not know its reader's width; its own stands for it, which keeps the model
  a sum over layers). A precision that the device does not have runs at the rate of the next wider
  native one; one wider than all of them is computed in pieces of the widest, one pass for each pair
  of pieces.

  On a CPU one core computes and moves bytes, and hides little of the one behind the other: the two
  add up, which is within 15 % of measured layers where the larger alone is up to 25 % off. Its
  kernels hold weights of at most 4 bits in half bytes and the rest, as all activations, in bytes or
  pairs of bytes; so do the bytes here, and fewer bits than that gain nothing.

Every number is an integer or a ``Fraction``: no rounding anywhere.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from decimal import Decimal
from fractions import Fraction

from hawqlang.base import Precision
from hawqlang.ir.layers import Layer
from hawqlang.ir.spec import Device, Target


def exact(value: float) -> Fraction:
    """Return the finite number as it is written in decimal: ``0.1`` is one tenth."""
    return Fraction(*Decimal(repr(float(value))).as_integer_ratio())


def size_bits(layer: Layer, precision: Precision) -> int:
    """Return the bits of the layer's weights."""
    return layer.params * precision.wbits


def bops(layer: Layer, precision: Precision) -> int:
    """Return the bit operations of one sample."""
    return layer.macs * precision.wbits * precision.abits


def table_latencies(layer: Layer) -> dict[Precision, Fraction]:
    """Return the latencies that a layer table gives, in seconds."""
    found = ((p, exact(us)) for p, us in layer.latency_us)
    return {p: Fraction(us.numerator, us.denominator * 1_000_000) for p, us in found}


def latency(
    layer: Layer,
    precision: Precision,
    target: Target,
    given: Mapping[Precision, Fraction],
) -> Fraction | None:
    """Return the seconds the layer takes for the target's batch; ``None``: no rate is stated, or nothing was measured.

    A catalogue CPU's figures are those of one core, and each thread is taken to have one.

    Args:
        layer: the layer.
        precision: any precision, native or not.
        target: the device and its batch.
        given: latencies of this layer that a table or a profile gives; they come before the model.
    """
    if precision in given:
        return given[precision]
    if target.latency == "measured" and not given:
        return None
    rate = effective_rate(target.device, precision)
    if rate is None:
        return None
    moved = Fraction(_bits_moved(layer, precision, target), 8)
    work = layer.macs * target.batch
    if target.device.family == "cpu":
        one_core = work / rate + moved / target.device.bandwidth
        return one_core / target.threads + target.device.launch
    return max(work / rate, moved / target.device.bandwidth) + target.device.launch


def effective_rate(device: Device, precision: Precision) -> Fraction | None:
    """Return the MACs per second that the device reaches at a precision, native or not."""
    rates = dict(device.rates)
    covering = [p for p in rates if p.wbits >= precision.wbits and p.abits >= precision.abits]
    if covering:
        return rates[min(covering, key=_width)]
    if not rates:
        return None
    widest = max(rates, key=_width)
    passes = math.ceil(Fraction(precision.wbits, widest.wbits)) * math.ceil(
        Fraction(precision.abits, widest.abits)
    )
    return rates[widest] / passes


def _width(precision: Precision) -> tuple[int, int]:
    return (precision.wbits + precision.abits, precision.wbits)


def _bits_moved(layer: Layer, precision: Precision, target: Target) -> int:
    elements = (layer.input_elements or 0) + (layer.output_elements or 0)
    wbits, abits = precision.wbits, precision.abits
    if target.device.family == "cpu":
        wbits, abits = _held(wbits, (4, 8, 16)), _held(abits, (8, 16))
    return layer.params * wbits + target.batch * elements * abits


def _held(bits: int, widths: tuple[int, ...]) -> int:
    """Return the bits in which a CPU's kernels hold a number; ``fp32`` takes its own."""
    return next((width for width in widths if bits <= width), bits)
