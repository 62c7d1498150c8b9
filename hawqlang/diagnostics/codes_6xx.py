"""Catalogue of lowering: HQ6xx."""

from __future__ import annotations

from hawqlang.diagnostics.entry import Entry

ENTRIES: tuple[Entry, ...] = (
    Entry(
        code="HQ601",
        title="the sums of a layer can overflow its accumulator",
        cause="""\
For every output channel the compiler proves |bias| + sum|w| * max|x| <= limit, where limit is 2^31 - 1, or 2^15 - 1 and
2^23 - 1 for the products of a layer with a narrower accumulator. The bound holds for every input and every order of
partial sums. Here it does not hold, so some input could wrap around and give a silently wrong result.""",
        example="""\
accumulator = int16
layer "fc" { precision = w8a8 }
""",
        mended="""\
accumulator = int16
layer "fc" { precision = w8a8  accumulator = int32 }
""",
    ),
    Entry(
        code="HQ602",
        title="a width has no integer form in this version",
        cause="""\
Uniform weights have 2 to 16 bits, and what a layer reads 1 to 16. One-bit weights, -1 and 1, have no 0 and come from
training with `mean_field`.""",
        example="precision = [w1a8]\n",
        mended="precision = [w2a8]\n",
    ),
    Entry(
        code="HQ603",
        title="a tensor was not calibrated at the width its reader wants",
        cause="""\
Every tensor is stored with the range calibrated for its width. The plan gives a layer activation bits that were not
among the candidates when the ranges were calibrated, or the ranges belong to another network.""",
        example="""\
precision = [w8a8]          # and a plan edited by hand to read 4 bits
""",
        mended="precision = [w4a4, w8a8]\n",
    ),
    Entry(
        code="HQ604",
        title="two scales are too far apart",
        cause="""\
A result is rescaled by m / 2^s with 31-bit m and s >= 1, an operand of an addition with 22-bit m. A ratio of 2^29 (2^20
for an operand) and more has no such form. The range of the result is then almost empty: it was all but zero on every
calibration image.""",
        example='calibration = images("black_frames/")\n',
        mended='calibration = images("street/", count = 256)\n',
    ),
    Entry(
        code="HQ605",
        title="channels would have to be reordered at run time",
        cause="""\
Feature maps stand in memory channel by channel within each pixel, and pixels always enter as RGB; weights are permuted
at compile time so that nothing has to move. An operator that mixes some channels only (a grouped convolution, a slice,
a sum of two differently ordered tensors, the network's own output) cannot absorb such a permutation.""",
        example="""\
model m {
  source = onnx("starts_with_grouped_convolution.onnx")
  input  = image(32, 32, order = bgr)
}
""",
        mended="""\
model m {
  source = onnx("starts_with_grouped_convolution.onnx")
  input  = image(32, 32, order = rgb)
}
""",
    ),
    Entry(
        code="HQ606",
        title="a rescaled value can overflow int32",
        cause="""\
Before it is clamped, a rescaled accumulator plus the second operand of an addition and the zero point has to fit int32.
That fails only where a result's scale is far smaller than what the layer can produce: its range was almost empty on the
calibration images.""",
        example='calibration = images("black_frames/")\n',
        mended='calibration = images("street/", count = 256)\n',
    ),
    Entry(
        code="HQ607",
        title="the values of a parameter were not read",
        cause="""\
The network's structure is enough for check and plan; an integer program needs its weights.""",
        example='model m {\n  source = zoo("cifar_resnet20")\n  input  = image(32, 32)\n}\n',
        mended="""\
model m {
  source  = zoo("cifar_resnet20")
  weights = file("resnet20.safetensors")
  input   = image(32, 32)
}
""",
    ),
    Entry(
        code="HQ608",
        title="a parameter is infinite or not a number",
        cause="""\
Such a value has no integer. It usually comes from a training run that diverged, or from a variance of 0 with
epsilon 0.""",
        example='weights = file("diverged.safetensors")\n',
        mended='weights = file("epoch_90.safetensors")\n',
    ),
    Entry(
        code="HQ610",
        title="a clamp excludes the zeros of a padding before it",
        cause="""\
A clamp is done where a value is rounded, which is before the padding. Where its range does not include 0 the padded
zeros would have to be clamped as well.""",
        example="y = clamp(pad(x), 1, 6)      # in the network\n",
        mended="y = pad(clamp(x, 1, 6))\n",
    ),
)
