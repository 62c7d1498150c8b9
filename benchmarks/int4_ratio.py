"""INT4 over INT8 on tensor cores, derived from machine code: nothing here is measured.

python benchmarks/int4_ratio.py -o benchmarks/results/int4_ratio.json

Compiles the product kernels that ResNet50's convolutions use on sm_75 and sm_80 (nvcc, cuobjdump and nvdisasm must be
at hand), disassembles them and counts the main loop's instructions. A multiprocessor spends, on a step of one block,

    max(instructions of all warps / 4 schedulers, products / products a cycle, bytes of matrix loads / 128)

cycles. A layer takes that for every block of the busiest multiprocessor. Two ratios come of it: of the loops alone, and
with every instruction before and behind the loop once. The second is rough: of the code that stores, one of several
formats is executed, for every sixteen rows. Memory beyond the multiprocessor, latencies and clocks are left out, so the
first is a bound of what 4-bit operands can gain with these kernels, and neither is a forecast of a run.

Rates are those of NVIDIA's white papers "NVIDIA Turing GPU Architecture" (WP-09183-001) and "NVIDIA A100 Tensor Core
GPU Architecture", and the T4 and A100 data sheets: 130 and 624 TOPS of INT8, 260 and 1248 of INT4, on 40 and 108
multiprocessors at 1.59 and 1.41 GHz; four schedulers that issue one warp's instruction a cycle each; 128 bytes a cycle
from shared memory.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from hawqlang.resources import data_dir
from hawqlang_codegen.cuda.arch import ARCHES, Arch
from hawqlang_codegen.cuda.build import find_nvcc
from hawqlang_codegen.cuda.gates import cuobjdump
from hawqlang_codegen.cuda.select import STEP_BYTES, Choice, Gemm, Tile, choose

BATCH = 8
SCHEDULERS = 4
SHARED_BYTES = 128
"""That a multiprocessor's shared memory gives in a cycle."""
MATRIX_BYTES = 512
"""Of one ``LDSM.x4``: four matrices of 8 x 16 bytes."""
PUBLISHED = 1.45
"""Yao et al., "HAWQ-V3: Dyadic Neural Network Quantization", arXiv 2011.10680: uniform 4-bit over uniform 8-bit
ResNet50 on a T4, measured; the average that its abstract gives."""
INSTRUCTION = re.compile(r"^\s+/\*([0-9a-f]{4,6})\*/\s+((?:@!?U?P\w+\s+)?)([A-Z][\w.]*)\s*([^;]*);")


@dataclass(frozen=True, slots=True)
class Layer:
    """A convolution of ResNet50, whose input has ``depth`` channels."""

    name: str
    side: int
    """Rows and columns of the result."""
    depth: int
    channels: int
    kernel: int

    def gemm(self, bits: int) -> Gemm:
        """Return the product of so many bits."""
        steps = -(-(self.kernel**2) * self.depth * bits // (8 * STEP_BYTES))
        rows = BATCH * self.side**2
        return Gemm(rows, self.channels, steps, nibbles=bits == 4, widened=False)


@dataclass(frozen=True, slots=True)
class Code:
    """Instructions of one kernel."""

    loop: int
    """Of a step: one pass of the main loop."""
    products: int
    """Among them, on tensor cores."""
    matrices: int
    """Among them, matrix loads."""
    once: int
    """Before and behind the loop."""


def layers() -> Iterator[Layer]:
    """Yield the convolutions behind the first one, which reads pixels of 8 bits in either network."""
    depth = 64
    for stage, count in enumerate((3, 4, 6, 3)):
        width, side = 64 << stage, 56 >> stage
        for block in range(count):
            name = f"layer{stage + 1}.{block}"
            before = side * 2 if stage and not block else side
            yield Layer(f"{name}.conv1", before, depth, width, 1)
            yield Layer(f"{name}.conv2", side, width, width, 3)
            yield Layer(f"{name}.conv3", side, width, 4 * width, 1)
            if not block:
                yield Layer(f"{name}.downsample", side, depth, 4 * width, 1)
            depth = 4 * width


def kernels(arch: Arch) -> set[tuple[Tile, int]]:
    """Return the tiles that the layers use, with the bits of their operands."""
    return {(choose(layer.gemm(bits), arch).tile, bits) for layer in layers() for bits in (4, 8)}


def source(arch: Arch) -> str:
    """Return the C++ that instantiates those kernels."""
    lines = [
        f"template __global__ void conv_igemm<Tile<{t.rows}, {t.columns}, {t.warp_rows}, {arch.stages}>, "
        f"{'kU4S4' if bits == 4 else 'kU8S8'}, kSame, false>(const __grid_constant__ ConvArgs);"
        for t, bits in sorted(kernels(arch), key=str)
    ]
    return "\n".join(['#include "conv_igemm.cuh"', "namespace hawq {", *lines, "}", ""])


def disassembled(arch: Arch) -> str:
    """Return the machine code of those kernels."""
    nvcc = find_nvcc()
    if nvcc is None:
        raise SystemExit("nvcc was not found: install the CUDA toolkit")
    with tempfile.TemporaryDirectory() as scratch:
        place = Path(scratch)
        (place / "kernels.cu").write_text(source(arch))
        command = [nvcc, "-std=c++20", "-O3", "-cubin", f"-arch={arch.name}", "kernels.cu"]
        include = ["-I", str((data_dir("templates") / "cuda").resolve()), "-o", "kernels.cubin"]
        subprocess.run([*command, *include], cwd=place, check=True)  # noqa: S603 - the compiler
        listing = cuobjdump("-sass", place / "kernels.cubin")
    if listing is None:
        raise SystemExit("cuobjdump or nvdisasm is missing: pip install hawqc[cuda]")
    return listing


def codes(listing: str) -> dict[tuple[Tile, int], Code]:
    """Return the counts of every kernel of a disassembly."""
    found: dict[tuple[Tile, int], Code] = {}
    for function in listing.split("Function : ")[1:]:
        name = function.split(maxsplit=1)[0]
        numbers = re.search(r"4TileILi(\d+)ELi(\d+)ELi(\d+)", name)
        kind = re.search(r"OperandsE(\d)", name)
        if numbers is not None and kind is not None:
            rows, columns, warp_rows = map(int, numbers.groups())
            found[Tile(rows, columns, warp_rows), 4 if kind[1] in "23" else 8] = count(function)
    return found


def count(function: str) -> Code:
    """Return the counts of one kernel: its main loop is the shortest with the most products in it."""
    lines = [m for line in function.splitlines() if (m := INSTRUCTION.match(line))]
    placed = [(int(m[1], 16), m[3], m[4]) for m in lines if not m[3].startswith("NOP")]
    loops = [
        (int(target[1], 16), at)
        for at, name, operands in placed
        if name.startswith("BRA") and (target := re.search(r"0x([0-9a-f]+)", operands))
        if int(target[1], 16) < at
    ]

    def inside(loop: tuple[int, int]) -> list[str]:
        return [name for at, name, _ in placed if loop[0] <= at <= loop[1]]

    main = max(
        loops,
        key=lambda loop: (sum(n.startswith("IMMA") for n in inside(loop)), -len(inside(loop))),
    )
    body = Counter(name.split(".")[0] for name in inside(main))
    total = body.total()
    return Code(total, body["IMMA"], body["LDSM"], len(placed) - total)


def cycles(gemm: Gemm, choice: Choice, code: Code, arch: Arch) -> float:
    """Return the cycles of a layer on its busiest multiprocessor."""
    tile = choice.tile
    warps = tile.threads // 32
    speed = arch.products * (2 if gemm.nibbles else 1)
    elements = STEP_BYTES * (2 if gemm.nibbles else 1)
    step = max(
        warps * code.loop / SCHEDULERS,
        tile.rows * tile.columns * elements / speed,
        warps * code.matrices * MATRIX_BYTES / SHARED_BYTES,
    )
    blocks = -(-gemm.rows // tile.rows) * -(-gemm.columns // tile.columns) * choice.parts
    each = -(-gemm.steps // choice.parts) * step + warps * code.once / SCHEDULERS
    return -(-blocks // arch.multiprocessors) * each


def derived(arch: Arch, found: dict[tuple[Tile, int], Code]) -> dict[str, Any]:
    """Return the ratio of every layer, and of all together."""
    rows: list[dict[str, Any]] = []
    for layer in layers():
        took: dict[int, float] = {}
        loops: dict[int, float] = {}
        for bits in (8, 4):
            gemm = layer.gemm(bits)
            choice = choose(gemm, arch)
            code = found[choice.tile, bits]
            took[bits] = cycles(gemm, choice, code, arch)
            loops[bits] = cycles(gemm, choice, replace(code, once=0), arch)
        rows.append(
            {
                **asdict(layer),
                "loop_cycles": loops,
                "cycles": took,
                "loop_ratio": loops[8] / loops[4],
                "ratio": took[8] / took[4],
            }
        )
    return {
        "kernels": [
            {"tile": f"{t.rows}x{t.columns}", "bits": bits, **asdict(code)}
            for (t, bits), code in sorted(found.items(), key=str)
        ],
        "layers": rows,
        "loop_ratio": _total(rows, "loop_cycles"),
        "ratio": _total(rows, "cycles"),
    }


def _total(rows: list[dict[str, Any]], what: str) -> float:
    """Return the ratio of all layers together."""
    return sum(row[what][8] for row in rows) / sum(row[what][4] for row in rows)


def main() -> None:
    """Derive and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("-o", "--out", type=Path)
    parser.add_argument("--arch", nargs="+", default=["sm_75", "sm_80"])
    arguments = parser.parse_args()
    result = {
        "kind": "derived from machine code, not measured",
        "network": "resnet50",
        "batch": BATCH,
        "published": {"ratio": PUBLISHED, "device": "T4", "source": "arXiv 2011.10680, measured"},
        "architectures": {
            name: derived(ARCHES[name], codes(disassembled(ARCHES[name])))
            for name in arguments.arch
        },
    }
    text = json.dumps(result, indent=1) + "\n"
    if arguments.out is not None:
        arguments.out.write_text(text)
    print(text, end="")


if __name__ == "__main__":
    main()
