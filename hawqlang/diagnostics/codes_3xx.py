"""Catalogue of the import of models and weights: HQ3xx."""

from __future__ import annotations

from hawqlang.diagnostics.entry import Entry

ENTRIES: tuple[Entry, ...] = (
    Entry(
        code="HQ301",
        title="a model, weight or table file is not there",
        cause="""\
The spec names a file that does not exist. Paths other than those of imports are relative to the `.hawq` file that
holds them; they may be absolute.""",
        example='source = onnx("models/resnet81.onnx")\n',
        mended='source = onnx("models/resnet18.onnx")\n',
    ),
    Entry(
        code="HQ302",
        title="a file is not an ONNX model",
        cause="""\
The file exists, but it cannot be parsed as an ONNX protocol buffer, or it holds an empty graph: a download that was
cut off, a Git LFS pointer, a folder, or another format under this name.""",
        example='source = onnx("models/resnet18.pt")\n',
        mended='source = onnx("models/resnet18.onnx")\n',
    ),
    Entry(
        code="HQ303",
        title="a weight file cannot be read",
        cause="""\
Weights are a PyTorch state_dict (a mapping from names to tensors; a checkpoint that holds one under `state_dict`,
`model_state_dict` or `model` will do) or a `.safetensors` file. This one is damaged, cut off, or something else.""",
        example='weights = file("resnet18.zip")\n',
        mended='weights = file("resnet18.pth")\n',
    ),
    Entry(
        code="HQ304",
        title="reading a weight file would run code",
        cause="""\
PyTorch files are pickles, and a pickle can call any function while it is read. Only tensors are accepted. The file
holds other objects: a whole model saved by `torch.save(model)`, an optimizer's settings, or something malicious.""",
        example='weights = file("whole_model.pt")        # torch.save(model, "whole_model.pt")\n',
        mended='weights = file("weights.pt")            # torch.save(model.state_dict(), "weights.pt")\n',
    ),
    Entry(
        code="HQ305",
        title="a weight file is not the declared one",
        cause="""\
The sha256 of the file differs from the one in the spec. Either the file was replaced or damaged, or the spec was
written for another version of it.""",
        example='weights = file("resnet18.pth", sha256 = "0000…")\n',
        mended='weights = file("resnet18.pth", sha256 = "f37072fd…")\n',
    ),
    Entry(
        code="HQ306",
        title="weights are not finite",
        cause="""\
A weight, bias or batch norm statistic is NaN or infinite, or becomes so when batch norm is folded (a negative running
variance does that). Such a layer has no range and cannot be quantized; the network was already broken in floating
point.""",
        example='weights = file("diverged.pt")\n',
        mended='weights = file("epoch_80.pt")\n',
    ),
    Entry(
        code="HQ307",
        title="weights do not fit the network",
        cause="""\
Every tensor of the network must be in the file and every tensor of the file in the network; the counters
`num_batches_tracked` and a `module.` in front of all names do not matter. The message lists the first names of both
kinds: when nearly all are missing, file and network are different architectures or name their layers differently.""",
        example="""\
source  = zoo("resnet34")
weights = file("resnet18.pth")
""",
        mended="""\
source  = zoo("resnet18")
weights = file("resnet18.pth")
""",
    ),
    Entry(
        code="HQ308",
        title="a weight has another shape than the network needs",
        cause="""\
The names fit, the sizes do not: another number of classes, another width, or images with another number of
channels.""",
        example="""\
source  = zoo("resnet18")                   # 1000 classes
weights = file("resnet18_ten_classes.pth")
""",
        mended="""\
source  = zoo("resnet18", classes = 10)
weights = file("resnet18_ten_classes.pth")
""",
    ),
    Entry(
        code="HQ309",
        title="weights are not floating-point numbers",
        cause="""\
The compiler quantizes a float network itself, with ranges and rounding it can prove. Tensors that are integers,
quantized already, or sparse are refused.""",
        example='weights = file("resnet18_int8.pth")\n',
        mended='weights = file("resnet18.pth")\n',
    ),
    Entry(
        code="HQ310",
        title="the zoo has no such network",
        cause="""\
`zoo(…)` names a network definition that ships with the compiler. Other networks are read from ONNX files.""",
        example='source = zoo("resnet81")\n',
        mended='source = zoo("resnet18")\n',
    ),
    Entry(
        code="HQ311",
        title="a zoo network is given a wrong argument",
        cause="""\
Networks of the zoo take numbers by name: `classes`, and `width` for MobileNets. An unknown name is an error, never
ignored.""",
        example='source = zoo("mobilenet_v1", alpha = 0.25)\n',
        mended='source = zoo("mobilenet_v1", width = 0.25)\n',
    ),
    Entry(
        code="HQ312",
        title="the input does not fit the network",
        cause="""\
An ONNX file fixes the size of its input, or some operator's shape follows from it; a network of the zoo needs a size
at which no feature map vanishes. The input declared in the spec is another one.""",
        example="""\
source = zoo("squeezenet1_0")
input  = image(8, 8)
""",
        mended="""\
source = zoo("squeezenet1_0")
input  = image(224, 224)
""",
    ),
    Entry(
        code="HQ313",
        title="a network declares no input",
        cause="""\
Shapes, and with them sizes, MACs and memory, follow from the input. Only a layer table does without.""",
        example="""\
model net {
  source = onnx("net.onnx")
}
""",
        mended="""\
model net {
  source = onnx("net.onnx")
  input  = image(224, 224)
}
""",
    ),
    Entry(
        code="HQ314",
        title="a network of the zoo has no weights",
        cause="""\
The zoo holds definitions, not weights. `check` needs none; everything that runs the network does.""",
        example="""\
source = zoo("resnet18")
""",
        mended="""\
source  = zoo("resnet18")
weights = file("resnet18.pth")
""",
    ),
    Entry(
        code="HQ320",
        title="an operator is not supported",
        cause="""\
The integer program has convolutions, linear layers, additions, products, concatenations, pools, resizes, functions of
one tensor and moves; the reference lists them. An operator outside of these has no integer form in this version.
The diagnostic names the node, its place and what it reads, and all unsupported operators are listed at once.""",
        example='source = onnx("vision_transformer.onnx")    # has LayerNormalization\n',
        mended='source = onnx("mobilenet_v2.onnx")\n',
    ),
    Entry(
        code="HQ321",
        title="a form of an operator is not supported",
        cause="""\
The operator is known, but not with these attributes or inputs: a convolution over one or three axes, a cubic
resize, a slice of the batch, a reshape that mixes samples, a softmax in the middle.""",
        example='source = onnx("net_with_cubic_resize.onnx")\n',
        mended='source = onnx("net_with_linear_resize.onnx")\n',
    ),
    Entry(
        code="HQ322",
        title="an ONNX file is of an opset that is not read",
        cause="""\
Opsets 11 to 21 are read: older ones define some operators differently, newer ones are not known yet. Exporters take
the opset as an argument, and `onnx.version_converter` changes a file.""",
        example='source = onnx("opset9.onnx")\n',
        mended='source = onnx("opset17.onnx")\n',
    ),
    Entry(
        code="HQ323",
        title="a network has several inputs or outputs",
        cause="""\
One tensor enters, one vector of logits leaves. Auxiliary outputs used in training have to be dropped before the
export.""",
        example='source = onnx("two_heads.onnx")\n',
        mended='source = onnx("one_head.onnx")\n',
    ),
    Entry(
        code="HQ324",
        title="external data of a model cannot be read",
        cause="""\
An ONNX file may keep its weights in other files beside it. They are read from the model's own folder only, links
followed, so that a model from elsewhere cannot read any file of this machine.""",
        example='source = onnx("net.onnx")                   # its weights lie in ../secret.bin\n',
        mended='source = onnx("net.onnx")                   # its weights lie in net.onnx.data\n',
    ),
    Entry(
        code="HQ325",
        title="a network does not give one vector of logits",
        cause="""\
The output must be one number per class and sample. Feature maps (segmentation, detection), class numbers (a final
ArgMax) and constants are none.""",
        example='source = onnx("segmentation.onnx")\n',
        mended='source = onnx("classification.onnx")\n',
    ),
    Entry(
        code="HQ326",
        title="a network has no layer with weights",
        cause="""\
Precision is chosen per layer with weights, that is per convolution and linear layer. The network was read, but it has
none: the file holds only a part of it, or another graph than was meant.""",
        example='source = onnx("softmax_only.onnx")\n',
        mended='source = onnx("classifier.onnx")\n',
    ),
    Entry(
        code="HQ330",
        title="a layer table cannot be read",
        cause="""\
`layers(path)` names a JSON file of at most 16 MiB. This one is not valid JSON: NaN and infinity, keys given twice and
comments are not part of it.""",
        example='source = layers("layers.csv")\n',
        mended='source = layers("layers.json")\n',
    ),
    Entry(
        code="HQ331",
        title="a layer table is not in the right form",
        cause="""\
The table is `{"format_version": 1, "layers": [{"name", "kind", "params", "macs", "sensitivity": {"w4a4": 0.5},
"latency_us": {"w4a4": 12.5}}], "ties": [["name", "name"]]}`; `kind`, `latency_us` and `ties` may be left out, and
nothing else may be added. Counts are whole numbers above 0, sensitivities and latencies finite and not negative, names
unique. The message says where in the file the fault is; it never quotes the file.""",
        example='source = layers("layers.json")              # {"layers": [{"name": "fc", "params": "many"}]}\n',
        mended='source = layers("layers.json")              # {"format_version": 1, "layers": […]}\n',
    ),
    Entry(
        code="HQ340",
        title="a model gives no network to run",
        cause="""\
A table of layers is enough for `check`, `plan` and `pareto`; measuring and building take the network. A network made
by Python code is only made where `--trust` allows it, never by commands that read a finished artifact.""",
        example='source = layers("layers.json")              # and hawqc build\n',
        mended='source = pt2("net.pt2")\n',
    ),
    Entry(
        code="HQ341",
        title="a file is not an archive of torch.export",
        cause="""\
`pt2(path)` names what `torch.export.save` of PyTorch 2.9 or newer writes: a zip of JSON and raw tensors. It is read
without PyTorch, and nothing in it is executed. This file is damaged, of an older form, holds pickles, or was packed
by something else: entries that are compressed, overlap or do not fit their tensors are refused.""",
        example='source = pt2("state_dict.pth")\n',
        mended='source = pt2("net.pt2")                     # torch.export.save(torch.export.export(…), "net.pt2")\n',
    ),
    Entry(
        code="HQ342",
        title="Python code that the spec names fails",
        cause="""\
`python("package.module:factory", …)` imports the module, looking beside the spec first, and calls the factory with the
arguments given. The module or the factory is not there, or it raised an exception; the note names the line.""",
        example='source = python("nets:bilud", width = 2)\n',
        mended='source = python("nets:build", width = 2)\n',
    ),
    Entry(
        code="HQ343",
        title="a factory gives no module",
        cause="""\
The factory of a model returns a `torch.nn.Module`. This one returned something else: nothing, a function, a
state_dict.""",
        example='source = python("nets:weights")\n',
        mended='source = python("nets:build")\n',
    ),
    Entry(
        code="HQ344",
        title="a module cannot be exported",
        cause="""\
The module is exported by `torch.export` for one tensor of the declared input. Its code branches on the data, does not
take that tensor, or fails; the note names the line where it is the user's own.""",
        example='source = python("nets:with_early_exit")\n',
        mended='source = python("nets:plain")\n',
    ),
)
