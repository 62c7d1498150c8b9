"""`hawqc targets`: the device catalogue."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich.table import Table

from hawqlang.cli.common import Format, FormatOption, guarded, print_json, stdout
from hawqlang.ir.spec import Device


@guarded
def targets(
    name: Annotated[
        str | None, typer.Argument(help="A device; all when left out.", show_default=False)
    ] = None,
    format_: FormatOption = Format.text,
) -> None:
    """List the devices a target may name, with their native precisions and rates."""
    from hawqlang.stages.resolve.devices import device, device_names

    devices = [device(n) for n in ([name] if name else device_names())]
    if format_ is Format.json:
        print_json({"format_version": 1, "devices": [_json(d) for d in devices]})
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column, side in (
        ("device", "left"),
        ("native", "left"),
        ("rate", "right"),
        ("bandwidth", "right"),
        ("launch", "right"),
    ):
        table.add_column(column, justify=side)  # pyright: ignore[reportArgumentType]
    for entry in devices:
        for row, (precision, rate) in enumerate(entry.rates):
            first = row == 0
            table.add_row(
                entry.name if first else "",
                str(precision),
                f"{float(rate) / 1e12:.3g} TMACs/s",
                f"{float(entry.bandwidth) / 1e9:.4g} GB/s" if first else "",
                f"{float(entry.launch) * 1e6:.3g} us" if first else "",
            )
    stdout.print(table)


def _json(device: Device) -> dict[str, Any]:
    return {
        "name": device.name,
        "family": device.family,
        "native": [str(p) for p in device.native],
        "rates_macs_per_s": {str(p): float(rate) for p, rate in device.rates},
        "bandwidth_bytes_per_s": float(device.bandwidth),
        "cache_bytes": None if device.cache is None else float(device.cache),
        "launch_s": float(device.launch),
        "arch": device.arch,
    }
