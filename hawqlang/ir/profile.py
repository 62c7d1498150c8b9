"""Profile: what every layer took on a machine, at every precision it may have; ``hawqc profile`` writes it."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from hawqlang.base import Frozen


class ProfiledLayer(Frozen):
    """One layer's microseconds for the batch, by precision as a spec writes it."""

    name: str
    latency_us: dict[str, float]


class Profile(Frozen):
    """Latencies of one network on one machine."""

    format_version: Literal[1] = 1
    device: str
    """Of the target that was profiled."""
    machine: str = ""
    """Instruction set that ran."""
    cpu: str = ""
    """Model of the CPU that ran; "" where nobody said."""
    batch: int = Field(ge=1)
    threads: int = Field(ge=1)
    layers: tuple[ProfiledLayer, ...]
