"""HQ7xx: what cannot be generated."""

from __future__ import annotations

from hawqlang.diagnostics.entry import Entry

ENTRIES: tuple[Entry, ...] = (
    Entry(
        code="HQ701",
        title="a tensor is too large for the generated kernels",
        cause="Kernels index every tensor with 32-bit integers, borders and padded channels included, so one stored"
        " tensor stays below 2 GiB. Only very large inputs reach that.",
        example='model net {\n  source = onnx("net.onnx")\n  input  = image(16384, 16384)\n}',
        mended='model net {\n  source = onnx("net.onnx")\n  input  = image(1024, 1024)\n}',
    ),
)
