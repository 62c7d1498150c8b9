"""HQ2xx: what can be wrong with the names, types and units of a spec."""

from __future__ import annotations

from hawqlang.diagnostics.entry import Entry

_PARTS = """hawq 1

model net { source = layers("net.json") }

target box { device = cpu.x86_64 }
"""


def _build(body: str) -> str:
    """Return a complete spec around the statements of its quantize block."""
    inner = "\n".join(f"  {line}" if line else "" for line in body.split("\n"))
    return f"{_PARTS}\nquantize net on box {{\n{inner}\n}}"


def _constraint(text: str) -> str:
    """Return a complete spec with one constraint."""
    return _build(f"precision = [w4a4, w8a8]\n\nsubject to {{\n  {text}\n}}")


_NETWORK = """hawq 1

model net {
  source = onnx("net.onnx")
  input  = image(224, 224)
}

target box { device = cpu.x86_64 }
"""


def _network(dataset: str, body: str = "precision = w8a8") -> str:
    """Return a complete spec of a network with a dataset."""
    inner = "\n".join(f"  {line}" if line else "" for line in body.split("\n"))
    block = f"quantize net on box with data {{\n{inner}\n}}"
    return f"{_NETWORK}\ndataset data {{\n  {dataset}\n}}\n\n{block}"


_CALIBRATION = 'calibration = images("calib/", resize = 256, crop = 224)'

_NAMES = (
    Entry(
        code="HQ201",
        title="unknown name",
        cause="A name stands where a param, model, dataset or target is meant, and neither "
        "the file nor anything it imports declares it. A file sees its own declarations "
        "and those of the files it imports, not those of a file that imports it.",
        example=_constraint("fits: size <= budget"),
        mended=_constraint("fits: size <= budget").replace(
            "model net", "param budget: size = 6 MiB\n\nmodel net"
        ),
    ),
    Entry(
        code="HQ202",
        title="declared twice",
        cause="Params, models, datasets and targets share one namespace over a file and "
        "all its imports. Builds have another, and so have the constraints of a block.",
        example=_PARTS + "\ntarget box { device = nvidia.t4 }",
        mended=_PARTS + "\ntarget cloud { device = nvidia.t4 }",
    ),
    Entry(
        code="HQ203",
        title="reserved name",
        cause="A declaration may not be called like an operator word, a metric, a "
        "selector, a precision or `fp32`: where it is used nobody could tell which is "
        "meant. Constraints and builds may be called anything.",
        example="hawq 1\n\nparam size: size = 6 MiB",
        mended="hawq 1\n\nparam budget: size = 6 MiB",
    ),
    Entry(
        code="HQ204",
        title="name of another kind",
        cause="The name is declared, but as something else than is wanted here: after "
        "`quantize` stands a model, after `on` a target, after `with` a dataset, and in "
        "values a param. A device of the catalogue is no target: a target also says batch "
        "and threads.",
        example=_build("precision = w8a8").replace("net on box", "net on cpu.x86_64"),
        mended=_build("precision = w8a8"),
    ),
    Entry(
        code="HQ205",
        title="unknown setting or block",
        cause="Every setting and block is known by name; unknown ones are refused rather "
        "than ignored, so that a typing error never changes the meaning of a spec silently.",
        example=_build("precisions = w8a8"),
        mended=_build("precision = w8a8"),
    ),
    Entry(
        code="HQ206",
        title="given twice",
        cause="A setting, block, argument, candidate, goal or emit target stands twice in "
        "one place. Which of the two is meant is not guessed.",
        example=_build("precision = w8a8\nseed = 1\nseed = 2"),
        mended=_build("precision = w8a8\nseed = 2"),
    ),
    Entry(
        code="HQ207",
        title="required setting missing",
        cause="Something has no default because no default would be right: a model's "
        "source, a target's device, the candidate precisions, the rate of a native "
        "precision.",
        example=_build("seed = 1"),
        mended=_build("precision = [w4a4, w8a8]\nseed = 1"),
    ),
)

_VALUES = (
    Entry(
        code="HQ208",
        title="value of another type",
        cause="A value is of another type than its place takes: a string for a number, a "
        "number with a point for a whole one, a list for a single value. Strings stand in "
        "double quotes, words and precisions do not.",
        example=_build('precision = "w8a8"'),
        mended=_build("precision = w8a8"),
    ),
    Entry(
        code="HQ209",
        title="value out of range",
        cause="A value has the right type but cannot be meant: zero images, a percentile "
        "below one half, a crop larger than what it is cut from, more bits than there are.",
        example=_build("precision = w8a8\nattempts = 0"),
        mended=_build("precision = w8a8\nattempts = 4"),
    ),
    Entry(
        code="HQ210",
        title="unknown word",
        cause="The setting takes one of a few words, and this is none of them. Words stand "
        "without quotes; a param of type `string` may supply one.",
        example=_build("precision = w8a8\naccumulator = int8"),
        mended=_build("precision = w8a8\naccumulator = int32"),
    ),
    Entry(
        code="HQ211",
        title="unknown function or metric",
        cause="A call or a name stands where one of a few functions, or a metric, is "
        "meant, and it is none of them.",
        example=_build("precision = w8a8").replace("layers(", "layer("),
        mended=_build("precision = w8a8"),
    ),
    Entry(
        code="HQ212",
        title="arguments do not fit",
        cause="An argument is unknown, missing, too many, or given by position although it "
        "is taken by name only: in a signature such as `image(h, w, channels = 3)` only "
        "the names without `=` may be given by position.",
        example=_NETWORK.replace("image(224, 224)", "image(224, 224, 1)"),
        mended=_NETWORK.replace("image(224, 224)", "image(224, 224, channels = 1)"),
    ),
    Entry(
        code="HQ213",
        title="unknown unit",
        cause="Units are B, KB, MB, GB (powers of 1000), KiB, MiB, GiB (powers of 1024), "
        "ns, us, ms, s, MACs to TMACs, BOPS to TBOPS, % and rates such as GB/s and "
        "TMACs/s. They are written exactly so: `mb` could be anything.",
        example=_constraint("fits: size <= 6 mb"),
        mended=_constraint("fits: size <= 6 MB"),
    ),
    Entry(
        code="HQ214",
        title="declaration never used",
        cause="Nothing in the file uses this declaration. That is often a typing error "
        "elsewhere. A file without a `quantize` block is a library, where nothing is "
        "expected to be used.",
        example=_build("precision = w8a8").replace(
            "target box", "target spare { device = nvidia.t4 }\n\ntarget box"
        ),
        mended=_build("precision = w8a8"),
    ),
    Entry(
        code="HQ215",
        title="import never used",
        cause="Nothing of the imported file, or of what it imports, is used.",
        example=_build("precision = w8a8").replace(
            "hawq 1\n", 'hawq 1\n\nimport "std/targets/nvidia_t4.hawq"\n'
        ),
        mended=_build("precision = w8a8")
        .replace("hawq 1\n", 'hawq 1\n\nimport "std/targets/nvidia_t4.hawq"\n')
        .replace("target box { device = cpu.x86_64 }\n\n", "")
        .replace("on box", "on nvidia_t4"),
    ),
    Entry(
        code="HQ216",
        title="dimensions do not fit",
        cause="A size is compared with a time, MACs with BOPS, a ratio with a plain "
        "number, or two quantities are multiplied or divided in a way that has no meaning "
        "here.",
        example=_constraint("fits: size <= 3 ms"),
        mended=_constraint("fits: size <= 3 MiB"),
    ),
    Entry(
        code="HQ217",
        title="unit missing",
        cause="A plain number stands where a size, time, amount of work, rate or ratio is "
        "meant. No unit is assumed: `6` may be bytes or mebibytes, `1` one percent or all.",
        example=_constraint("fits: size <= 6"),
        mended=_constraint("fits: size <= 6 MiB"),
    ),
    Entry(
        code="HQ218",
        title="not a precision",
        cause="A precision is `w`, the bits of the weights, `a` and the bits of the "
        "activations that the layer reads, 1 to 16 each: `w4a8`. `a16` is an integer as "
        "well.",
        example=_build("precision = [w4, w8a8]"),
        mended=_build("precision = [w4a8, w8a8]"),
    ),
    Entry(
        code="HQ219",
        title="`--set` names no param",
        cause="`--set name=value` overrides a `param` of the spec or of a file it imports. "
        "There is none of that name. Nothing is wrong with the spec: the exit status is 2, "
        "not 1.",
        example="hawqc check net.hawq --set budgte='6 MiB'",
        mended="hawqc check net.hawq --set budget='6 MiB'",
    ),
    Entry(
        code="HQ227",
        title="param without a value",
        cause="A param without default must be given on the command line.",
        example="hawq 1\n\nparam budget: size",
        mended="hawq 1\n\nparam budget: size = 6 MiB",
    ),
)

_FILES = (
    Entry(
        code="HQ220",
        title="spec cannot be read",
        cause="The file given on the command line is not there, is no `.hawq` file, or is "
        "a link that leads out of the project. The project is the nearest folder above the "
        "spec with a `.git`, else the spec's own folder; `--root` names another.",
        example="hawqc check specs/resnet18.txt",
        mended="hawqc check specs/resnet18.hawq",
    ),
    Entry(
        code="HQ221",
        title="malformed import",
        cause="An import is a path relative to the file it stands in and ends in `.hawq`. "
        'Catalogues that come with the compiler start with "std/".',
        example='hawq 1\n\nimport "/etc/targets.hawq"',
        mended='hawq 1\n\nimport "std/targets/nvidia_t4.hawq"',
    ),
    Entry(
        code="HQ222",
        title="imported file cannot be read",
        cause="The imported file is not there, or cannot be opened.",
        example='hawq 1\n\nimport "std/targets/nvidia_t5.hawq"',
        mended='hawq 1\n\nimport "std/targets/nvidia_t4.hawq"',
    ),
    Entry(
        code="HQ223",
        title="import leaves the project",
        cause="After resolving links an import must stay inside the project: the nearest "
        "folder above the main spec with a `.git`, else the spec's own. Otherwise checking "
        "an untrusted spec could read any file of the machine. `--root` names a larger "
        "project.",
        example='hawq 1\n\nimport "../../shared.hawq"',
        mended='hawq 1\n\nimport "std/targets/nvidia_t4.hawq"',
    ),
    Entry(
        code="HQ224",
        title="imports form a cycle",
        cause="A file imports itself, directly or through others.",
        example='# in net.hawq\nhawq 1\n\nimport "net.hawq"',
        mended='# in net.hawq\nhawq 1\n\nimport "std/targets/nvidia_t4.hawq"',
    ),
    Entry(
        code="HQ225",
        title="imports too deep",
        cause="More than 64 imports lead from one file to the next. A file may import any "
        "number of files side by side.",
        example='# in a65.hawq\nhawq 1\n\nimport "a66.hawq"',
        mended='# in all.hawq\nhawq 1\n\nimport "std/targets/nvidia_t4.hawq"',
    ),
)

_PARTS_OF_A_BUILD = (
    Entry(
        code="HQ226",
        title="path leaves the folder of `--root`",
        cause="`--root` confines a spec to a folder: its imports, and every file and folder that it names. "
        "This path lies outside of it, or a link leads there. It is made for specs of strangers: "
        "without it a spec could tell by the findings which files a machine has.",
        example='hawqc check --root . spec.hawq      # source = onnx("/srv/models/net.onnx")',
        mended="hawqc check --root /srv spec.hawq",
    ),
    Entry(
        code="HQ230",
        title="unknown device",
        cause="The catalogue has no device of that name; `hawqc targets` lists it. Other "
        "hardware is described in place, with a `device { … }` block.",
        example=_build("precision = w8a8").replace("cpu.x86_64", "cpu.x86"),
        mended=_build("precision = w8a8"),
    ),
    Entry(
        code="HQ231",
        title="code is not run without `--trust`",
        cause="`python(…)` runs code that the spec names. Checking or planning a spec from "
        "somebody else must not do that, so it has to be allowed on the command line.",
        example=_NETWORK.replace(
            'onnx("net.onnx")', 'python("nets.small:build")\n  weights = file("net.pt")'
        ),
        mended=_NETWORK,
    ),
    Entry(
        code="HQ232",
        title="not possible with a table of layers",
        cause="`layers(path)` stands for a network by a table of its layers with their "
        "sensitivities. There is nothing to run: it takes no weights, input, dataset, "
        "sensitivity or measured latency, and has no accuracy.",
        example=_build("precision = w8a8\nsensitivity = hessian(probes = 16)"),
        mended=_build("precision = w8a8"),
    ),
    Entry(
        code="HQ233",
        title="data missing",
        cause="What the block asks for needs data that it does not have: ranges and "
        "sensitivities need calibration data, fine-tuning needs training data.",
        example=_NETWORK + "\nquantize net on box {\n  precision = [w4a8, w8a8]\n}",
        mended=_network(_CALIBRATION, "precision = [w4a8, w8a8]"),
    ),
    Entry(
        code="HQ234",
        title="labels missing",
        cause="Accuracy is checked on evaluation data with labels, and training needs labels too.",
        example=_network(
            _CALIBRATION, "precision = w8a8\n\nsubject to {\n  good: accuracy_drop <= 1%\n}"
        ),
        mended=_network(
            f'{_CALIBRATION}\n  evaluation  = images("eval/", labels = "labels.csv", crop = 224)',
            "precision = w8a8\n\nsubject to {\n  good: accuracy_drop <= 1%\n}",
        ),
    ),
    Entry(
        code="HQ235",
        title="malformed sha256",
        cause="The sha256 of a file has 64 hexadecimal digits. Whether it is that of the "
        "file is checked when the file is read.",
        example=_NETWORK.replace(
            "  input", '  weights = file("net.safetensors", sha256 = "12ab")\n  input'
        ),
        mended=_NETWORK.replace(
            "  input",
            f'  weights = file("net.safetensors", sha256 = "{"12ab" * 16}")\n  input',
        ),
    ),
    Entry(
        code="HQ236",
        title="images of another size",
        cause="Images are cut to a size that is not the one the model's input declares.",
        example=_network('calibration = images("calib/", resize = 256, crop = 192)'),
        mended=_network(_CALIBRATION),
    ),
    Entry(
        code="HQ237",
        title="model file is not there",
        cause="The model, its weights or its table of layers is not there. Paths are "
        "relative to the file that holds them. `hawqc check` warns and skips what needs "
        "the file; for every other command it is an error.",
        example=_build("precision = w8a8").replace("net.json", "nte.json"),
        mended=_build("precision = w8a8"),
    ),
    Entry(
        code="HQ238",
        title="data is not there",
        cause="A folder of images, a file of labels or a data file is not there. Paths are "
        "relative to the file that holds them. `hawqc check` warns and skips what needs "
        "it; for every other command it is an error.",
        example=_network('calibration = images("clib/", resize = 256, crop = 224)'),
        mended=_network(_CALIBRATION),
    ),
    Entry(
        code="HQ239",
        title="profile or sensitivity file is not there",
        cause="A file of measured latencies or of sensitivities is not there. Paths are "
        "relative to the file that holds them. `hawqc check` warns and skips what needs "
        "it; for every other command it is an error.",
        example=_network(_CALIBRATION, 'precision = w8a8\nsensitivity = file("sens.json")'),
        mended=_network(_CALIBRATION, 'precision = w8a8\nsensitivity = file("sensitivity.json")'),
    ),
)

_CONSTRAINTS = (
    Entry(
        code="HQ240",
        title="not a condition",
        cause="A constraint is true or false: a comparison, a tie, `each S: …`, or several "
        "of them joined by `and`, `or`, `not` and `implies`.",
        example=_constraint("fits: size"),
        mended=_constraint("fits: size <= 6 MiB"),
    ),
    Entry(
        code="HQ241",
        title="product of metrics",
        cause="Expressions are linear in the metrics: only a constant may multiply one. "
        "Otherwise the best allocation could not be proven best.",
        example=_constraint("small: size * latency <= 6 MiB"),
        mended=_constraint("small: size <= 6 MiB and latency <= 2 ms"),
    ),
    Entry(
        code="HQ242",
        title="quotient of metrics",
        cause="Expressions are linear in the metrics. A metric may be divided by a "
        "baseline, which is a constant: `size / size(fp32) <= 12.5%` is read as `size <= "
        "12.5% of size(fp32)`. It may not be divided by another metric, and one comparison "
        "holds one such baseline.",
        example=_constraint('small: size("fc") / size <= 10%'),
        mended=_constraint('small: size("fc") / size(fp32) <= 10%'),
    ),
    Entry(
        code="HQ243",
        title="baseline or selector not possible",
        cause="`size`, `bops`, `macs`, `latency` and `perturbation` are sums over layers "
        "and take a selector; all metrics but the accuracies take a baseline, "
        "`size(w8a8)`, which stands first. No device lists a rate for `fp32`, so "
        "`latency(fp32)` is unknown.",
        example=_constraint('calm: switches("fc") <= 3'),
        mended=_constraint("calm: switches <= 3"),
    ),
    Entry(
        code="HQ244",
        title="property without layers",
        cause="Bare `precision`, `wbits` and `abits` are those of one layer, and exist "
        "only after `where` and in `each`. Elsewhere they take layers.",
        example=_constraint("low: wbits == 4"),
        mended=_constraint("low: wbits(all) == 4"),
    ),
    Entry(
        code="HQ245",
        title="accuracy constraint too complex",
        cause="Accuracy is checked by running the integer program of a finished "
        "allocation. Such a constraint is one comparison of `accuracy` or `accuracy_drop` "
        "with a constant, by itself.",
        example=_network(
            _CALIBRATION,
            "precision = w8a8\n\nsubject to {\n  good: accuracy_drop <= 1% or size <= 6 MiB\n}",
        ),
        mended=_network(
            f'{_CALIBRATION}\n  evaluation  = images("eval/", labels = "labels.csv", crop = 224)',
            "precision = w8a8\n\nsubject to {\n  good: accuracy_drop <= 1%\n}",
        ),
    ),
    Entry(
        code="HQ246",
        title="peak memory takes upper bounds only",
        cause="Peak memory is the largest of many sums. Bounding it from above bounds each "
        "of them; nothing else about it is linear, so it stands neither under `not` nor "
        "left of `implies`.",
        example=_constraint("tight: peak_memory >= 2 MiB"),
        mended=_constraint("tight: peak_memory <= 2 MiB"),
    ),
    Entry(
        code="HQ247",
        title="premise about several layers at once",
        cause="`wbits(S) == 4` says that *every* layer of S has 4 bits. As a premise, or "
        "under `not`, that is seldom meant: one layer with other bits makes it false for "
        "all. A rule about each layer by itself is `each S: …`.",
        example=_constraint("tail: wbits(conv) == 4 implies abits(conv) >= 4"),
        mended=_constraint("tail: each conv: wbits == 4 implies abits >= 4"),
    ),
    Entry(
        code="HQ248",
        title="property compared with something else",
        cause="`wbits` and `abits` compare with whole numbers and with each other, "
        "`precision` with words such as `w8a8`, for equality only: precisions have no "
        "order. None of them is calculated with.",
        example=_constraint("ends: precision(first, last) >= w8a8"),
        mended=_constraint("ends: wbits(first, last) >= 8"),
    ),
    Entry(
        code="HQ249",
        title="not a selector",
        cause="Layers are selected by quoted patterns, by words such as `first`, `all` or "
        "`conv`, by `kernel(3, 3)` and `channels >= 256`, joined by commas, `and` and "
        "`except`.",
        example=_constraint("ends: wbits(frist) == 8"),
        mended=_constraint("ends: wbits(first) == 8"),
    ),
    Entry(
        code="HQ250",
        title="malformed pattern",
        cause="In a pattern `*` is any run of characters, `?` one, and `{name}` one "
        "segment between dots that forms a group per value. Braces come in pairs around a "
        "name, each name once.",
        example=_constraint('tied: same precision across "layers.{.*"'),
        mended=_constraint('tied: same precision across "layers.{i}.*"'),
    ),
    Entry(
        code="HQ251",
        title="cannot be optimised",
        cause="A goal is one metric that the allocation decides: no baseline, no "
        "calculation, and not an accuracy, which is known only after a build. "
        "`peak_memory` can only be minimized.",
        example=_build("precision = [w4a4, w8a8]\nmaximize accuracy"),
        mended=_build("precision = [w4a4, w8a8]\nminimize perturbation"),
    ),
    Entry(
        code="HQ252",
        title="`within` without effect",
        cause="`within 2%` lets a goal slip by that much for the sake of the goals after "
        "it. The last goal has none after it.",
        example=_build("precision = [w4a4, w8a8]\nminimize perturbation, latency within 2%"),
        mended=_build("precision = [w4a4, w8a8]\nminimize perturbation within 2%, latency"),
    ),
    Entry(
        code="HQ253",
        title="1-bit weights need `mean_field`",
        cause="Rounding trained weights to two values destroys a network; 1-bit weights "
        "exist only together with fine-tuning by `mean_field`.",
        example=_build("precision = [w1a8, w8a8]"),
        mended=_build("precision = [w2a8, w8a8]"),
    ),
    Entry(
        code="HQ254",
        title="cannot run on the target",
        cause="What is emitted cannot run on the target's device: CPU code on a GPU, GPU "
        "code on a CPU, or GPU code for other architectures only.",
        example=_build("precision = w8a8\nemit cuda"),
        mended=_build("precision = w8a8\nemit tvm"),
    ),
    Entry(
        code="HQ256",
        title="expression nests too deeply",
        cause="Operators inside operators nest at most 64 deep; long sums and long runs of "
        "`and` and `or` count once.",
        example=_constraint(f"deep: {'not ' * 65}true"),
        mended=_constraint("deep: not true").replace("not true", "not false"),
    ),
    Entry(
        code="HQ258",
        title="more than one layer inside `each` or `where`",
        cause="`each` and `where` speak of one layer at a time. Metrics, counts and ties "
        "speak of the whole model and are the same for every layer, so they stand in a "
        "constraint of their own.",
        example=_constraint("rule: each conv: wbits == 4 implies size <= 4 MiB"),
        mended=_constraint("rule: each conv: wbits == 4 implies abits >= 4"),
    ),
    Entry(
        code="HQ259",
        title="cannot be built without data",
        cause="Nothing that the plan needs is measured on data, but building calibrates "
        "the ranges of activations, which needs some.",
        example=_NETWORK
        + "\nquantize net on box {\n  precision = [w4a8, w8a8]\n  minimize size\n}",
        mended=_network(_CALIBRATION, "precision = [w4a4, w8a8]\nminimize size"),
    ),
    Entry(
        code="HQ260",
        title="setting without meaning on this device",
        cause="`threads` is a number of CPU threads; a GPU has none to give.",
        example=_PARTS.replace(
            "{ device = cpu.x86_64 }", "{\n  device  = nvidia.t4\n  threads = 4\n}"
        ),
        mended=_PARTS.replace(
            "{ device = cpu.x86_64 }", "{\n  device  = cpu.x86_64\n  threads = 4\n}"
        ),
    ),
    Entry(
        code="HQ261",
        title="refused on purpose",
        cause="The method is known, but it cannot be had in integers from end to end. Dynamic "
        "ranges compute a scale for every input, in float and with a division, and leave sums "
        "without a bound that could be proven. Scales per channel of an activation differ "
        "within one integer sum. Vector quantization replaces the multiplication by a table of "
        "floats.",
        example=_build("precision = w8a8\n\nactivations {\n  range = dynamic\n}"),
        mended=_build("precision = w8a8\n\nactivations {\n  range = percentile(99.99%)\n}"),
    ),
    Entry(
        code="HQ262",
        title="precision without a native instruction",
        cause="The spec constrains or optimises the latency, and a candidate precision is none that "
        "the device computes natively. Its operands are widened to the next native precision and "
        "run at that rate: the layer takes less memory and moves fewer bytes, but its sums take as "
        "long. That may be what is wanted; where speed is, it is not there to be had.",
        example=_network(_CALIBRATION, "precision = [w4a4, w8a8]\nminimize latency"),
        mended=_network(_CALIBRATION, "precision = [w4a4, w8a8]\nminimize size"),
    ),
)

ENTRIES: tuple[Entry, ...] = tuple(
    sorted(
        (*_NAMES, *_VALUES, *_FILES, *_PARTS_OF_A_BUILD, *_CONSTRAINTS),
        key=lambda entry: entry.code,
    )
)
