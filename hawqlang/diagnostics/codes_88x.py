"""HQ88x: commands that take many specs, or change them."""

from __future__ import annotations

from hawqlang.diagnostics.entry import Entry

ENTRIES: tuple[Entry, ...] = (
    Entry(
        code="HQ880",
        title="the folder holds no spec",
        cause="A folder stands for all files below it that end in `.hawq`, hidden folders and linked ones left out."
        " There is none, so the path is probably not the one that was meant.",
        example="hawqc fmt hawqlang",
        mended="hawqc fmt specs",
    ),
    Entry(
        code="HQ881",
        title="standard input stands alone",
        cause="`-` reads one spec from standard input and writes to standard output, which cannot be shared with"
        " other files.",
        example="hawqc fmt - spec.hawq < other.hawq",
        mended="hawqc fmt - < other.hawq > new.hawq\nhawqc fmt spec.hawq",
    ),
    Entry(
        code="HQ882",
        title="the network leaves the size of its input open",
        cause="`init --from` writes the input that the ONNX file declares. Height or width, or another dimension beside"
        " the batch, is symbolic there, and nothing else says what it is.",
        example="hawqc init mine --from dynamic.onnx",
        mended="hawqc init mine --from dynamic.onnx --pixels 224x224",
    ),
    Entry(
        code="HQ883",
        title="not a folder of pictures and not an .npz file",
        cause="Samples are a folder of pictures, or arrays in the form that `numpy.savez` writes: uint8 images"
        " [N, height, width, channels], and labels [N].",
        example="hawqc init mine --from net.onnx --data samples.tar",
        mended="hawqc init mine --from net.onnx --data samples/",
    ),
    Entry(
        code="HQ884",
        title="an option of `init` names something that is not there",
        cause="The path, the device or the goal is none that exists. Nothing was written.",
        example="hawqc init mine --from net.onnx --target cpu.x86",
        mended="hawqc init mine --from net.onnx --target cpu.x86_64",
    ),
    Entry(
        code="HQ885",
        title="a package that a command needs is not installed",
        cause="`hawqc lsp` speaks to editors through pygls, which only it needs.",
        example="hawqc lsp",
        mended="pip install 'hawqc[lsp]' && hawqc lsp",
    ),
)
