"""HQ86x and HQ87x: locks, saved plans, and the comparison of both."""

from __future__ import annotations

from hawqlang.diagnostics.entry import Entry

ENTRIES: tuple[Entry, ...] = (
    Entry(
        code="HQ860",
        title="a lock or a saved plan cannot be understood",
        cause="The file is not what hawqc writes: a merge left its marks in it, it was cut short, or a value was edited"
        " into something else. The message says where. It is never replaced without being understood: take it from"
        " version control, or delete it and build, which writes a new one.",
        example="hawqc build digits.hawq      # digits.hawq.lock holds <<<<<<< HEAD",
        mended="git checkout digits.hawq.lock && hawqc build digits.hawq",
    ),
    Entry(
        code="HQ861",
        title="a lock or a saved plan of a newer version",
        cause="A later hawqc wrote the file in a format that this one does not know. It is left alone.",
        example='hawqc build digits.hawq      # digits.hawq.lock says "format_version": 2',
        mended="pip install --upgrade hawqc && hawqc build digits.hawq",
    ),
    Entry(
        code="HQ862",
        title="--locked, and there is no lock",
        cause="`--locked` compares with `SPEC.hawq.lock`. The file is not there, or has no entry for this build.",
        example="hawqc build digits.hawq --locked      # before any build",
        mended="hawqc build digits.hawq && git add digits.hawq.lock",
    ),
    Entry(
        code="HQ863",
        title="the result would differ from the lock",
        cause="An input, a setting, the compiler or the lock itself has changed since the lock was written; the notes"
        " name each difference: the file, the layer with both precisions, the digest of the dyadic numbers. Versions of"
        " libraries alone are no difference; they are listed as a possible reason. Nothing was written.",
        example="hawqc build digits.hawq --locked --set budget=48KiB",
        mended="hawqc build digits.hawq --set budget=48KiB && git add digits.hawq.lock",
    ),
    Entry(
        code="HQ864",
        title="the lock could not be written",
        cause="The artifact is complete, but the folder of the spec is not writable, so that the next build on another"
        " machine cannot be held to this one.",
        example="hawqc build /read/only/digits.hawq",
        mended="hawqc build digits.hawq",
    ),
    Entry(
        code="HQ865",
        title="the saved plan is not of a spec's build",
        cause="A saved plan names its spec by a path relative to itself, and holds one entry per build.",
        example="hawqc build plan.json:other",
        mended="hawqc plan spec.hawq:other -o plan.json && hawqc build plan.json",
    ),
    Entry(
        code="HQ866",
        title="something has changed since the plan was saved",
        cause="A saved plan is built as it was made or not at all. The spec, the model, the data, a setting or the"
        " compiler is no longer what it was made from.",
        example="hawqc build plan.json      # after editing digits.hawq",
        mended="hawqc plan digits.hawq -o plan.json && hawqc build plan.json",
    ),
    Entry(
        code="HQ867",
        title="the planned allocation cannot be built",
        cause="Whatever a saved plan says is checked again: its layers are the model's, each precision is one that the"
        " layer may take, and every constraint holds.",
        example="hawqc build plan.json      # after editing a precision in it",
        mended="hawqc plan digits.hawq -o plan.json && hawqc build plan.json",
    ),
    Entry(
        code="HQ868",
        title="--set with a saved plan",
        cause="A saved plan was made with settings of its own; another setting is another plan.",
        example="hawqc build plan.json --set budget=48KiB",
        mended="hawqc plan digits.hawq --set budget=48KiB -o plan.json && hawqc build plan.json",
    ),
    Entry(
        code="HQ869",
        title="the two cannot be compared",
        cause="`diff` compares what both sides know. A spec without a lock has no allocation: it can be compared with"
        " another spec, not with a lock, a plan or an artifact. Builds are compared by their names.",
        example="hawqc diff spec.hawq build/digits      # spec.hawq was never built",
        mended="hawqc plan spec.hawq -o plan.json && hawqc diff plan.json build/digits",
    ),
    Entry(
        code="HQ870",
        title="the revision cannot be read",
        cause="`--against` reads a file as it was at a revision, through git: git has to be installed, the file in a"
        " repository, the revision known there, and the file part of it. Nothing is checked out.",
        example="hawqc diff digits.hawq --against mian",
        mended="hawqc diff digits.hawq --against main",
    ),
    Entry(
        code="HQ871",
        title="`diff` needs two things",
        cause="They are A and B, or A and a revision of it; not both, and not one alone.",
        example="hawqc diff digits.hawq",
        mended="hawqc diff digits.hawq --against HEAD",
    ),
    Entry(
        code="HQ872",
        title="the plan cannot be saved there",
        cause="`hawqc build` knows a saved plan by its name, which ends in `.json`. Only another saved plan is written"
        " over: a spec, its lock and a table of layers stay as they are.",
        example="hawqc plan digits.hawq -o digits.hawq",
        mended="hawqc plan digits.hawq -o plan.json",
    ),
    Entry(
        code="HQ873",
        title="measurements in the lock were edited",
        cause="A lock keeps digests of the sensitivities and latencies it records. Where they do not match, they were"
        " changed by hand or by a merge. They are used as they stand, and decide the allocation.",
        example="hawqc plan digits.hawq        # after a number in digits.hawq.lock was changed",
        mended="hawqc build digits.hawq --no-cache        # measures them again and writes the lock",
    ),
    Entry(
        code="HQ875",
        title="layers can only be timed on CPUs",
        cause="`hawqc profile` and `latency = measured` build libraries and run them on this machine, which has to be a"
        " CPU of the target's kind. For other devices latency is modelled from the catalogue.",
        example="target box {\n  device  = nvidia.t4\n  latency = measured\n}",
        mended="target box {\n  device  = cpu.native\n  latency = measured\n}",
    ),
    Entry(
        code="HQ876",
        title="recorded latencies are of another machine",
        cause="With `latency = measured` the lock records what every layer took and on which CPU. Another machine uses"
        " these numbers, so that it chooses the same precisions, though it may be faster at others.",
        example="hawqc build digits.hawq        # with the lock of a laptop, on a server",
        mended="hawqc build digits.hawq --no-cache        # measures here and writes the lock",
    ),
    Entry(
        code="HQ877",
        title="layers could not be timed",
        cause="A library is timed in passes until two in a row agree. Other programs on the same cores, or a clock that"
        " changes, kept them apart; numbers that do not repeat would decide the allocation by chance.",
        example="target laptop {\n  device  = cpu.native\n  latency = measured\n}      # while another build runs",
        mended="target laptop {\n  device  = cpu.native\n  latency = modelled\n}",
    ),
    Entry(
        code="HQ878",
        title="CUDA kernels cannot be tuned here",
        cause="`--tune` runs alternatives on a device: it needs a GPU that the architectures asked for serve, its"
        " driver, cuda-python and nvcc. Without it a model of the device chooses the tiles, and the library is as right"
        " and as complete.",
        example="hawqc build net.hawq --tune 60      # `emit cuda`, on a machine without a GPU",
        mended="hawqc build net.hawq",
    ),
)
