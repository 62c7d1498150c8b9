"""The device catalogue: ``specs/std/targets/*.hawq``, one file per device.

A file ``nvidia_t4.hawq`` describes ``nvidia.t4`` (the first underscore stands for the dot) and
declares one target that holds its ``device { … }`` block. Listing the names parses nothing.
"""

from __future__ import annotations

from fractions import Fraction
from functools import cache
from math import ceil

from hawqlang.base import Precision
from hawqlang.ir import spec, syntax
from hawqlang.resources import data_dir
from hawqlang.stages.parse import parse_text
from hawqlang.stages.resolve.device_block import device_block
from hawqlang.stages.resolve.report import Sink
from hawqlang.stages.resolve.scope import Context


@cache
def device_names() -> tuple[str, ...]:
    """Return the names of the catalogue in order."""
    folder = data_dir("specs") / "std" / "targets"
    return tuple(sorted(path.stem.replace("_", ".", 1) for path in folder.glob("*.hawq")))


@cache
def device(name: str) -> spec.Device:
    """Return a device of the catalogue.

    Raises:
        KeyError: where the catalogue has no device of that name.
        ValueError: where its file is damaged.
    """
    if name not in device_names():
        raise KeyError(name)
    file = f"std/targets/{name.replace('.', '_', 1)}.hawq"
    text = (data_dir("specs") / file).read_text(encoding="utf-8")
    tree, diagnostics = parse_text(text, file)
    sink = Sink()
    lines = tuple(text.split("\n"))
    ctx = Context(sink, file, ".", lines, names={}, elsewhere={}, params={}, trust=False)
    blocks = [
        entry
        for item in tree.items
        if isinstance(item, syntax.Declaration) and item.kind == "target"
        for entry in item.body.entries
        if isinstance(entry, syntax.Block) and entry.name.text == "device"
    ]
    found = sink.attempt(device_block, blocks[0], ctx) if len(blocks) == 1 else None
    if found is None or diagnostics or sink.diagnostics:
        raise ValueError(f"{file} does not describe one device")
    return found.replace(name=name)


def rate(found: spec.Device, precision: Precision) -> Fraction:
    """Return the MACs per second at which a device computes a precision.

    A precision with a rate of its own has that one. Any other runs at the narrowest native one that
    holds both its operands; where none is wide enough, the operands are split into native pieces
    and each pair of pieces is a pass.
    """
    rates = dict(found.rates)
    if precision in rates:
        return rates[precision]
    wider = [
        native
        for native in found.native
        if native.wbits >= precision.wbits and native.abits >= precision.abits
    ]
    if wider:
        narrowest = min(n.wbits + n.abits for n in wider)
        return max(rates[n] for n in wider if n.wbits + n.abits == narrowest)
    return max(
        rates[native]
        / (ceil(precision.wbits / native.wbits) * ceil(precision.abits / native.abits))
        for native in found.native
    )
