"""Catalogue of data, calibration and sensitivity: HQ4xx."""

from __future__ import annotations

from hawqlang.diagnostics import codes_41x, codes_44x
from hawqlang.diagnostics.entry import Entry

ENTRIES: tuple[Entry, ...] = (
    Entry(
        code="HQ400",
        title="a kind of data is not available",
        cause="""\
Samples are read from `images(folder)` or `arrays(path)`, made from the network by `zero_shot` for calibration, or made
by Python code under `--trust`. Commands that read a finished artifact never run its code: calibration samples travel
with the artifact, an evaluation set made by code has to be given anew.""",
        example='hawqc eval build/net                        # evaluation = python("package.module:samples")\n',
        mended="hawqc eval build/net --data eval.npz\n",
    ),
    Entry(
        code="HQ401",
        title="data is not there",
        cause="""\
The spec names a folder or file that does not exist, or names a file where a folder of images is meant.""",
        example='calibration = images("photo.jpg")\n',
        mended='calibration = images("photos/")\n',
    ),
    Entry(
        code="HQ402",
        title="data holds no samples",
        cause="""\
The folder has no image files of its own (folders inside it are not looked into), or the file has no array of the
name.""",
        example='calibration = arrays("digits.npz", images = "pixels")\n',
        mended='calibration = arrays("digits.npz", images = "x")\n',
    ),
    Entry(
        code="HQ403",
        title="more samples are asked for than there are",
        cause="""\
`count` takes the first so many samples, images in the order of their names. Fewer than that would silently change
what a result stands for.""",
        example='calibration = images("calib/", count = 500)  # the folder holds 200\n',
        mended='calibration = images("calib/", count = 200)\n',
    ),
    Entry(
        code="HQ404",
        title="a sample file is damaged",
        cause="""\
An image cannot be decoded, or an `.npz` file is cut off or no archive of arrays. Nothing is skipped: a calibration set
that silently shrinks gives results nobody can repeat.""",
        example='calibration = images("half_downloaded/")\n',
        mended='calibration = images("complete/")\n',
    ),
    Entry(
        code="HQ405",
        title="samples are not 8-bit pixels",
        cause="""\
Networks take uint8 pixels; scale, mean and standard deviation belong to `image(…)` and become part of the integer
network. Arrays of floats (pixels already normalised), images with 16 bits a channel, pickled objects, and image files
for a network that takes a tensor are refused.""",
        example='calibration = arrays("normalised.npz")       # float32\n',
        mended='calibration = arrays("pixels.npz")           # uint8, count x height x width x channels\n',
    ),
    Entry(
        code="HQ406",
        title="samples are not of the network's size",
        cause="""\
Every sample must come out at the size the network takes: `resize` brings the short side of an image to a length,
`crop` cuts a square out of its centre, and arrays are stored as count, height, width, channels.""",
        example="""\
input       = image(224, 224)
calibration = images("calib/", resize = 256)
""",
        mended="""\
input       = image(224, 224)
calibration = images("calib/", resize = 256, crop = 224)
""",
    ),
    Entry(
        code="HQ407",
        title="labels do not belong to the samples",
        cause="""\
A label file is a CSV with the columns `file` and `label`; the last part of `file` is looked up in the folder. Every
image needs one row, and rows of one file must agree. Labels in an `.npz` are one number per sample. Rows without an
image are ignored.""",
        example='evaluation = images("eval/", labels = "train.csv")\n',
        mended='evaluation = images("eval/", labels = "eval.csv")\n',
    ),
    Entry(
        code="HQ408",
        title="a label is no class of the network",
        cause="""\
Labels are whole numbers from 0 to the number of classes minus 1. Lists that count from 1, or that hold names, do not
fit.""",
        example="file,label\na.jpg,tabby cat\n",
        mended="file,label\na.jpg,281\n",
    ),
    Entry(
        code="HQ409",
        title="samples are not finite",
        cause="""\
Real-valued samples of a tensor input are turned into codes of the declared range; NaN and infinity have none.""",
        example='calibration = arrays("with_gaps.npz")\n',
        mended='calibration = arrays("filled.npz")\n',
    ),
    *codes_41x.ENTRIES,
    *codes_44x.ENTRIES,
)
