"""HQ81x to HQ89x: artifact folders, the command line, what this version builds."""

from __future__ import annotations

from hawqlang.diagnostics.entry import Entry

ENTRIES: tuple[Entry, ...] = (
    Entry(
        code="HQ810",
        title="the folder is not an artifact",
        cause="An artifact folder holds `manifest.json`, which names every file in it. The folder given has none"
        " that can be read.",
        example="hawqc verify build",
        mended="hawqc verify build/digits",
    ),
    Entry(
        code="HQ811",
        title="a file of the artifact cannot be read",
        cause="The manifest or the reference program is damaged or was made by another version. What cannot be read"
        " cannot be proven.",
        example="hawqc verify build/digits      # after editing build/digits/reference/program.json",
        mended="hawqc build digits.hawq && hawqc verify build/digits",
    ),
    Entry(
        code="HQ812",
        title="the artifact holds no library",
        cause="The spec emitted no code, only documents, so there is nothing to run.",
        example="emit card",
        mended="emit tvm, card",
    ),
    Entry(
        code="HQ813",
        title="no evaluation data is declared",
        cause="`hawqc eval` runs on the evaluation set of the spec's dataset; this one has none.",
        example='dataset photos {\n  calibration = images("calib/")\n}',
        mended='dataset photos {\n  calibration = images("calib/")\n'
        '  evaluation  = images("eval/", labels = "eval/labels.csv")\n}',
    ),
    Entry(
        code="HQ814",
        title="the data is not of the artifact's form",
        cause="`--data` takes another set of the same form as the spec's: a folder where the spec says `images`,"
        " an .npz file where it says `arrays`.",
        example="hawqc eval build/digits --data photos/",
        mended="hawqc eval build/digits --data other_digits.npz",
    ),
    Entry(
        code="HQ815",
        title="the input is not what the artifact takes",
        cause="`hawqc run` reads uint8 pixels, channels last, as numpy.save writes them: one image or a batch.",
        example="hawqc run build/digits image.png",
        mended="hawqc run build/digits image.npy -o logits.npy",
    ),
    Entry(
        code="HQ816",
        title="nothing that could be timed",
        cause="`bench` measures a library on the machine that runs it. The artifact holds CUDA kernels alone, and this"
        " machine has no device for them, or their library was not built. Emulation proves kernels; its time says"
        " nothing about a GPU.",
        example="hawqc bench build/net      # `emit cuda`, on a machine without a GPU",
        mended="hawqc bench build/net      # on a machine with one",
    ),
    Entry(
        code="HQ820",
        title="a setting is not NAME=VALUE",
        cause="`--set` gives a param of the spec a value and needs both.",
        example="hawqc check spec.hawq --set budget",
        mended="hawqc check spec.hawq --set budget='6 MiB'",
    ),
    Entry(
        code="HQ821",
        title="the disk is full",
        cause="A file could not be written. Files are written beside their place and renamed, so nothing half-written"
        " is left, and finished steps are in the cache.",
        example="hawqc build spec.hawq --out /full/disk",
        mended="hawqc build spec.hawq --out /disk/with/space",
    ),
    Entry(
        code="HQ822",
        title="the system refused",
        cause="A file or folder could not be read or written; the message has the system's reason.",
        example="hawqc build spec.hawq --out /root/build",
        mended="hawqc build spec.hawq --out build",
    ),
    Entry(
        code="HQ823",
        title="the spec cannot be opened",
        cause="The path names no file.",
        example="hawqc check spce.hawq",
        mended="hawqc check spec.hawq",
    ),
    Entry(
        code="HQ824",
        title="the file builds nothing",
        cause="A file without a `quantize` block is a library for imports; there is nothing to plan or build in it.",
        example="hawqc build targets.hawq",
        mended="hawqc build spec.hawq",
    ),
    Entry(
        code="HQ825",
        title="there is no build of that name",
        cause="`FILE:NAME` names one of the file's `quantize` blocks: the name after `as`, else the model's.",
        example="hawqc build spec.hawq:digit",
        mended="hawqc build spec.hawq:digits",
    ),
    Entry(
        code="HQ826",
        title="there is no such diagnostic",
        cause="Codes are HQ and three digits; `hawqc explain` lists all of them.",
        example="hawqc explain HQ51",
        mended="hawqc explain HQ501",
    ),
    Entry(
        code="HQ827",
        title="the folder exists already",
        cause="`hawqc init` never writes into a folder that is there, so that nothing of yours is lost.",
        example="hawqc init digits      # twice",
        mended="hawqc init digits2",
    ),
    Entry(
        code="HQ828",
        title="not a number of inputs",
        cause="`--inputs` says how many images of each set are compared: a number, or `all`.",
        example="hawqc verify build/digits --inputs many",
        mended="hawqc verify build/digits --inputs all",
    ),
    Entry(
        code="HQ829",
        title="several builds, one object",
        cause="`--format json` prints one object, and `pareto` shows the front of one build; a file with several"
        " builds needs the name of one.",
        example="hawqc plan spec.hawq --format json",
        mended="hawqc plan spec.hawq:digits --format json",
    ),
    Entry(
        code="HQ830",
        title="understood, but not built by this version",
        cause="The language is larger than this version's engine. Such a setting is read and checked in full; `check`"
        " notes it, and `build` stops before any work, since ignoring it would build something else.",
        example="quantize net on cpu with data {\n  precision = [w4a8]\n  emit onnx\n}",
        mended="quantize net on cpu with data {\n  precision = [w4a8]\n  emit tvm\n}",
    ),
    Entry(
        code="HQ831",
        title="not everything could be checked",
        cause="Constraints on measured quantities wait: an accuracy for `build`, the perturbation until `plan` or"
        " `build` has measured the same model on the same data under the same settings. Everything else was checked.",
        example="good: accuracy_drop <= 1%",
        mended="good: accuracy_drop <= 1%      # decided by hawqc build",
    ),
    Entry(
        code="HQ832",
        title="there is no calibration data",
        cause="Activations are quantized by the values they take on real inputs; a build needs some.",
        example="quantize net on cpu {\n  precision = [w8a8]\n}",
        mended="quantize net on cpu with photos {\n  precision = [w8a8]\n}",
    ),
    Entry(
        code="HQ833",
        title="a table of layers cannot be built",
        cause="`layers(…)` stands instead of a network where only the allocation is of interest.",
        example='model net { source = layers("net.json") }',
        mended='model net {\n  source = onnx("net.onnx")\n  input  = image(224, 224)\n}',
    ),
    Entry(
        code="HQ834",
        title="not a picture that can be drawn",
        cause="`--plot` draws SVG or PNG; the end of the file's name says which.",
        example="hawqc pareto spec.hawq --plot front.pdf",
        mended="hawqc pareto spec.hawq --plot front.svg",
    ),
    Entry(
        code="HQ840",
        title="no allocation is accurate enough",
        cause="The best allocations that satisfy every other constraint were built and evaluated in turn. Each that"
        " failed was excluded together with everything below it, and none was left, or the attempts were used up.",
        example="good: accuracy_drop <= 0%",
        mended="good: accuracy_drop <= 1%",
    ),
    Entry(
        code="HQ846",
        title="no such layer to explain",
        cause="`hawqc plan --why` names a layer, or a pattern with `*`, and none of the plan's layers is called so.",
        example="hawqc plan net.hawq --why layer1.0.convl",
        mended="hawqc plan net.hawq --why layer1.0.conv1",
    ),
    Entry(
        code="HQ899",
        title="a defect of hawqc",
        cause="Something happened that the compiler did not expect. Its details are in the file that the message"
        " names; please report it.",
        example="",
        mended="",
    ),
)
