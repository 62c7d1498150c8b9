"""How quantities are written for people."""

from __future__ import annotations

_BINARY = (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10))
_DECIMAL = (("T", 10**12), ("G", 10**9), ("M", 10**6), ("K", 10**3))


def size(count: float) -> str:
    """Return bytes as ``5.82 MiB``."""
    for unit, scale in _BINARY:
        if abs(count) >= scale:
            return f"{count / scale:.2f} {unit}"
    return f"{count:.0f} B"


def work(count: float, unit: str) -> str:
    """Return MACs or BOPS as ``1.81 GMACs``."""
    for prefix, scale in _DECIMAL:
        if abs(count) >= scale:
            return f"{count / scale:.2f} {prefix}{unit}"
    return f"{count:.0f} {unit}"


def duration(seconds: float) -> str:
    """Return a time as ``2.71 ms``."""
    for unit, scale in (("s", 1.0), ("ms", 1e-3), ("us", 1e-6)):
        if abs(seconds) >= scale:
            return f"{seconds / scale:.3g} {unit}"
    return f"{seconds / 1e-9:.3g} ns"


def quantity(value: float, unit: str) -> str:
    """Return a value in one of the base units ``B``, ``s``, ``MACs``, ``BOPS``, ``%`` or none."""
    match unit:
        case "B":
            return size(value)
        case "s":
            return duration(value)
        case "MACs" | "BOPS":
            return work(value, unit)
        case "%":
            return f"{100 * value:.2f} %"
        case _:
            return f"{value:.4g}"
