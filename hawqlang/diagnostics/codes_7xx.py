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
    Entry(
        code="HQ703",
        title="no CUDA kernel serves an operator",
        cause="The CUDA kernels take every convolution, pool and move of a network, within limits of their parameters:"
        " at most 8 widths of one stored tensor, 12 tensors joined at once, 256 different window populations of an"
        " average pool, 2 GiB of a tensor of one image, 2^30 vectors of 16 channels of a batch. The message says which"
        " one the operator is beyond.",
        example="target card {\n  device = nvidia.a100\n  batch  = 100_000\n}",
        mended="target card {\n  device = nvidia.a100\n  batch  = 64\n}",
    ),
    Entry(
        code="HQ704",
        title="an architecture without kernels",
        cause="`arch` names a GPU architecture that the tables of tiles do not know: one without 8-bit tensor cores, or"
        " one newer than this version. The library carries PTX of its newest architecture, from which the driver of a"
        " newer device makes code of its own.",
        example="emit cuda { arch = [sm_70] }",
        mended="emit cuda { arch = [sm_75] }",
    ),
)
