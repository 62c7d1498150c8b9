"""HQ5xx: candidates and allocation."""

from __future__ import annotations

from hawqlang.diagnostics.entry import Entry

ENTRIES: tuple[Entry, ...] = (
    Entry(
        code="HQ501",
        title="no allocation satisfies the constraints together",
        cause="""
The constraints named cannot all be met, and this is proven: leave out any one of them and the rest
can be met. For a bound, the message says what the other members leave it, and the help says from
which value the whole spec becomes feasible, rounded to the feasible side. Several errors of this
code are conflicts that share no constraint: each has to be mended.
""",
        example="""
subject to {
  fits: size <= 5.7 MiB
  ends: precision(first, last) == w8a8
}
""",
        mended="""
subject to {
  fits: size <= 5.82 MiB
  ends: precision(first, last) == w8a8
}
""",
    ),
    Entry(
        code="HQ502",
        title="selector matches no layer",
        cause="""
A selector, or one of the selectors it is made of, means no layer of this network. A rule about
nothing would always hold, so a misspelt name would silently lift a constraint: it is refused. The
help gives the nearest layer names.
""",
        example="""
layer "layer5.*" { precision = w8a8 }
""",
        mended="""
layer "layer4.*" { precision = w8a8 }
""",
    ),
    Entry(
        code="HQ503",
        title="layer without a precision",
        cause="""
Either no `precision` reaches the layer, from the block or from a `layer` block that selects
it, or every precision offered was refused: the accumulator could overflow, or the back end has no
kernel for it. The notes give the reason for each.
""",
        example="""
accumulator = int16
layer "fc" { precision = w8a8 }
""",
        mended="""
accumulator = int16
layer "fc" { precision = [w4a4, w8a8]  accumulator = int32 }
""",
    ),
    Entry(
        code="HQ504",
        title="candidate dropped",
        cause="""
The spec offers a layer a precision that cannot be proven safe, or that the back end cannot run. The
layer keeps its other candidates. The message gives the reason, with the bound that was passed.
""",
        example="""
precision   = [w4a4, w8a8]
accumulator = int16
""",
        mended="""
precision   = [w4a4, w8a8]
accumulator = int32
""",
    ),
    Entry(
        code="HQ505",
        title="sensitivity is not a finite number of at least 0",
        cause="""
A sensitivity is the predicted increase of the loss. One that is negative, infinite or not a number
comes from an overflow or a division by zero in the layer's weights or activations (a batch norm of
variance 0, say), or from a mistake in a sensitivity file. The solver would take it for the best
layer to quantize, so it never sees it.
""",
        example="""
{"conv1": {"w4a4": -0.5, "w8a8": 0.001}}
""",
        mended="""
{"conv1": {"w4a4": 0.5, "w8a8": 0.001}}
""",
    ),
    Entry(
        code="HQ506",
        title="sensitivity missing",
        cause="""
A layer may take a precision for which no sensitivity was given, or a baseline
(`perturbation(w8a8)`) needs one that was not. Sensitivities from a file or a layer table have to
name every candidate of every layer that has a choice.
""",
        example="""
precision   = [w4a4, w8a8]
sensitivity = file("s.json")     # {"conv1": {"w4a4": 0.5}}
""",
        mended="""
precision   = [w4a4, w8a8]
sensitivity = file("s.json")     # {"conv1": {"w4a4": 0.5, "w8a8": 0.001}}
""",
    ),
    Entry(
        code="HQ507",
        title="metric not known",
        cause="""
The network or the device does not say what the metric is made of: a layer table has no shapes, so
`peak_memory` and `average_abits` are unknown with it, and no device states a rate for `fp32`, so
`latency(fp32)` is unknown.
""",
        example="""
fast: latency <= 50% of latency(fp32)
""",
        mended="""
fast: latency <= 80% of latency(w8a8)
""",
    ),
    Entry(
        code="HQ508",
        title="metric cannot be maximised",
        cause="""
`peak_memory` is the largest of many sums, one for each step of execution. It takes upper bounds and
`minimize` only.
""",
        example="""
maximize peak_memory
""",
        mended="""
minimize peak_memory
""",
    ),
    Entry(
        code="HQ509",
        title="the solver ran out of work",
        cause="""
Within its limits the solver found neither an allocation nor a proof that there is none. The limits
count work, not time, so running again gives the same. Constraints that tie layers together or fix
some of them make the problem smaller.
""",
        example="""
exact: bops == 1234567890 BOPS
""",
        mended="""
close: bops <= 1.24 GBOPS
""",
    ),
    Entry(
        code="HQ510",
        title="several layers compared as one",
        cause="""
A comparison over several layers is true only when it holds for every one of them. Left of `implies`
or under `not` this is rarely meant: one layer elsewhere makes the whole comparison false, and the
rule asks nothing. `each` states a rule about each layer by itself.
""",
        example="""
tail: wbits("layer4.*") == 4 implies abits("layer4.*") >= 4
""",
        mended="""
tail: each "layer4.*": wbits == 4 implies abits >= 4
""",
    ),
    Entry(
        code="HQ511",
        title="best allocation found, not proven optimal",
        cause="""
The allocation satisfies every constraint, but the solver's limits were reached before it was proven
that none is better. The message says how much better one could be at most.
""",
        example="""
precision = [w2a4, w2a8, w4a4, w4a8, w8a4, w8a8]
""",
        mended="""
precision = [w4a4, w8a8]
""",
    ),
    Entry(
        code="HQ512",
        title="not an axis of a front",
        cause="""
`hawqc pareto` compares allocations in two different metrics that allocation knows: `size`, `bops`,
`macs`, `latency`, `perturbation`, `switches`, `peak_memory`, `average_wbits`, `average_abits`. The
accuracies are not among them: each point would have to be built and run. `perturbation` is the
estimate that the solver works with.
""",
        example="""
hawqc pareto spec.hawq --x size --y accuracy_drop
""",
        mended="""
hawqc pareto spec.hawq --x size --y perturbation
""",
    ),
    Entry(
        code="HQ513",
        title="no constraint of that name to leave out",
        cause="""
Every point of a front satisfies every constraint of the spec but those that `--relax` names. A name
that no constraint has would leave all of them in force, unnoticed.
""",
        example="""
hawqc pareto spec.hawq --relax fit      # the constraint is called `fits`
""",
        mended="""
hawqc pareto spec.hawq --relax fits
""",
    ),
    Entry(
        code="HQ514",
        title="`layer` block without effect",
        cause="""
Of several `layer` blocks that set the same key for a layer the last wins. Everything that this block sets is
set again by later ones, for each of its layers: the special block stands before the general one.
""",
        example="""
layer "fc" { precision = w8a8 }
layer linear { precision = [w4a4, w8a8] }
""",
        mended="""
layer linear { precision = [w4a4, w8a8] }
layer "fc" { precision = w8a8 }
""",
    ),
    Entry(
        code="HQ515",
        title="`precision` that no layer uses",
        cause="""
The `quantize` block gives candidates for every layer, and `layer` blocks give others to each of them. What is
written first is never used, and a reader would believe it.
""",
        example="""
precision = [w4a4, w8a8]
layer all { precision = w8a8 }
""",
        mended="""
precision = w8a8
""",
    ),
    Entry(
        code="HQ516",
        title="constraint that excludes nothing",
        cause="""
Whatever the candidates of the layers, the constraint holds: its bound lies beyond all that an allocation can
reach, or every candidate has the property it asks for. It is often a bound in the wrong unit, or one that was
left behind when candidates changed.
""",
        example="""
subject to {
  fits: size <= 6 GiB      # of a network of 11 million weights
}
""",
        mended="""
subject to {
  fits: size <= 6 MiB
}
""",
    ),
)
