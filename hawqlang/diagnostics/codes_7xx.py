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
    Entry(
        code="HQ702",
        title="a kernel's partial sums could overflow",
        cause="The CPU's byte products take unsigned inputs, so a signed tensor is stored with an offset that the bias"
        " takes back. On the way a sum may become larger than the finished one, whose bound the program proves."
        " This layer is so long that it could leave int32.",
        example="precision = w8a8      # on a layer that sums some 60 000 products",
        mended="precision = w4a8",
    ),
)
