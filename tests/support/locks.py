"""Entries of locks by hand."""

from __future__ import annotations

from hawqlang.ir.lock import Entry, LockedConstraint, LockedLayer, Measured, Origin, parse_precision

NAMES = ("conv", "fc")


def origin(
    settings: tuple[tuple[str, str], ...] = (), torch: str = "2.0", spec: str = "a" * 64
) -> Origin:
    return Origin(
        settings=settings,
        versions=(("hawqc", "0.1.0"), ("torch", torch)),
        inputs=(("model net.onnx", "b" * 64), ("spec net.hawq", spec)),
        resolved=spec,
        measured_from="c" * 64,
    )


def entry(
    precisions: tuple[str, ...] = ("w4a4", "w4a4"),
    sensitivity: float = 0.5,
    made_from: Origin | None = None,
) -> Entry:
    rates = tuple((parse_precision(text), sensitivity) for text in ("w4a4", "w8a8"))
    layers = tuple(
        LockedLayer(name=name, precision=parse_precision(text), params=100, sensitivity=rates)
        for name, text in zip(NAMES, precisions, strict=True)
    )
    size = sum(layer.params * layer.precision.wbits / 8 for layer in layers)
    return Entry(
        origin=made_from or origin(),
        measured=Measured(method="hessian", probes=4, converged=True),
        layers=layers,
        status="optimal",
        gap=0.0,
        objective=(("perturbation", 1.0),),
        metrics=(("size_bytes", size),),
        constraints=(
            LockedConstraint(name="fits", text="size <= 200 B", value=size, bound=200.0, unit="B"),
        ),
        dyadic="d" * 64,
        program="e" * 64,
    )
