"""HQ41x to HQ43x: calibration, sensitivity and bias correction."""

from __future__ import annotations

from hawqlang.diagnostics.entry import Entry

_CALIBRATION = """dataset photos {
  calibration = images("calib/", resize = 256, crop = 224, count = 128)
}"""

_MEAN = "input = image(224, 224, mean = [0.485, 0.456, 0.406], std = [0.229, 0.224, 0.225])"

ENTRIES: tuple[Entry, ...] = (
    Entry(
        code="HQ410",
        title="a tensor is not finite on a calibration sample",
        cause="While a calibration sample went through the float network, the named layer gave NaN or infinity. No "
        "range holds such a value. Usually the weights are damaged or belong to another network, or the input is "
        "scaled so far off that float32 overflows.",
        example="input = image(224, 224, std = [1e-30, 1e-30, 1e-30])",
        mended=_MEAN,
    ),
    Entry(
        code="HQ411",
        title="a tensor is 0 on all calibration samples",
        cause="The layer never gives anything but 0, so there is nothing to derive a range from; it is stored with "
        "scale 1 and every other value it might take later is lost. A dead layer is possible in a pruned network; "
        "otherwise the weights do not belong to the network, or the samples are not what it was trained on.",
        example='calibration = images("black/")',
        mended='calibration = images("calib/")',
    ),
    Entry(
        code="HQ412",
        title="a tensor has one value on all calibration samples",
        cause="The layer gives the same number whatever it reads, so its range says nothing about other samples. "
        "Often only one sample, or copies of one, was given.",
        example='calibration = images("copies/", count = 1)',
        mended='calibration = images("calib/", count = 128)',
    ),
    Entry(
        code="HQ413",
        title="readers of one tensor set its range differently",
        cause="A tensor is stored once per width, so layers that read it at the same width share one range. Here "
        "layer rules give them different range methods or schemes; the settings of the layer that runs first are used.",
        example='layer "fire2.expand1x1" { activations { range = mse } }\n'
        'layer "fire2.expand3x3" { activations { range = minmax } }',
        mended='layer "fire2.expand*" { activations { range = mse } }',
    ),
    Entry(
        code="HQ414",
        title="there are no samples",
        cause="The step reads samples and was given none.",
        example=_CALIBRATION.replace("count = 128", "count = 0"),
        mended=_CALIBRATION,
    ),
    Entry(
        code="HQ420",
        title="a sensitivity is not finite",
        cause="What quantizing the named layer does to the loss came out as NaN or infinity. The solver cannot weigh "
        "such a number. The weights are damaged, or the input is scaled far off.",
        example="input = image(224, 224, scale = 1e30)",
        mended=_MEAN,
    ),
    Entry(
        code="HQ421",
        title="the Hessian traces are known less well than asked for",
        cause="After all probes the standard error of at least one trace is above its tolerance, relative to it; "
        "the worst layer is named. The allocation is still the best one for the traces as they were estimated. With at "
        "least as many probes as classes the traces are exact.",
        example="sensitivity = hessian(probes = 8, tolerance = 0.1%)",
        mended="sensitivity = hessian(probes = 256, tolerance = 1%)",
    ),
    Entry(
        code="HQ422",
        title="quantizing a layer lowers the measured loss",
        cause="On the samples that were looked at, the network was right more often, or surer of it, with the layer at "
        "the named precision than in float. That is chance more often than benefit, and no reason to prefer fewer "
        "bits: the layer counts as costing nothing.",
        example="sensitivity = measured(samples = 8)",
        mended="sensitivity = measured(samples = 256)",
    ),
    Entry(
        code="HQ423",
        title="a sensitivity file is not of the expected form",
        cause="The file is missing, too large, no JSON, or not an object of layers with a number for every precision.",
        example='sensitivity = file("notes.txt")',
        mended='sensitivity = file("s.json")   # {"layer1.0.conv1": {"w4a4": 0.5, "w8a8": 0.01}}',
    ),
    Entry(
        code="HQ424",
        title="a sensitivity is missing",
        cause="Every layer that has a choice needs a value for each of its candidates; a guess for the rest would "
        "decide the allocation.",
        example='precision = [w4a4, w8a8]\nsensitivity = file("s.json")   # {"fc": {"w4a4": 0.5}}',
        mended='precision = [w4a4, w8a8]\nsensitivity = file("s.json")   # {"fc": {"w4a4": 0.5, "w8a8": 0.01}}',
    ),
    Entry(
        code="HQ425",
        title="a sensitivity file rates layers that the model does not have",
        cause="Names are module paths, as the plan prints them. Values under other names would silently count for "
        "nothing. The names are not shown, since a diagnostic never quotes a data file.",
        example='sensitivity = file("s.json")   # {"module.fc": {"w4a4": 0.5, "w8a8": 0.01}}',
        mended='sensitivity = file("s.json")   # {"fc": {"w4a4": 0.5, "w8a8": 0.01}}',
    ),
    Entry(
        code="HQ426",
        title="a sensitivity is negative or not finite",
        cause="A sensitivity is the loss that quantizing a layer is expected to add: 0 or more.",
        example='sensitivity = file("s.json")   # {"fc": {"w4a4": -0.5, "w8a8": 0.01}}',
        mended='sensitivity = file("s.json")   # {"fc": {"w4a4": 0.5, "w8a8": 0.01}}',
    ),
    Entry(
        code="HQ427",
        title="a profile is not of the expected form",
        cause="The file of measured latencies cannot be read, is not what `hawqc profile` writes, or holds times that "
        "are negative or not finite.",
        example='latency = profile("notes.txt")',
        mended='latency = profile("resnet18.profile.json")   # hawqc profile resnet18.hawq',
    ),
    Entry(
        code="HQ428",
        title="a profile was measured with other settings",
        cause="Latencies are for a batch and a number of threads. Those of others would decide the allocation for a "
        "machine that is used otherwise.",
        example='batch   = 8\nlatency = profile("batch1.json")',
        mended='batch   = 1\nlatency = profile("batch1.json")',
    ),
    Entry(
        code="HQ429",
        title="a profile times layers that the model does not have",
        cause="Names are module paths, as the plan prints them. The profile is of another network, or of one whose "
        "layers were called otherwise when it was measured. The names are not shown, since a diagnostic never quotes "
        "a data file.",
        example='latency = profile("resnet50.json")   # the model is a resnet18',
        mended='latency = profile("resnet18.json")',
    ),
    Entry(
        code="HQ430",
        title="the bias correction was dropped",
        cause="Each layer's mean output was brought back to what it is in float, but on calibration samples held out "
        "for this purpose the logits did not come closer to those of the float network. The network keeps its own "
        "biases. This is common at 8 bits, where there is little to correct.",
        example="bias_correction = true",
        mended="bias_correction = false",
    ),
    Entry(
        code="HQ431",
        title="too few samples to correct biases",
        cause="A correction is kept only where samples it was not fitted on confirm it, and a handful cannot.",
        example=_CALIBRATION.replace("count = 128", "count = 4"),
        mended=_CALIBRATION,
    ),
    Entry(
        code="HQ432",
        title="a step of the adaptive rounding was dropped",
        cause="Rounding by output error, scales, refitted weights and reconstructed blocks are each tried on the whole "
        "network. The one that is named did not bring the classes of held-out calibration samples closer to those of "
        "the float network than what was kept before it, so the network goes without. More calibration samples help, "
        "and so do samples that are more like those the network will see.",
        example="weights { rounding = adaptive }",
        mended="weights { rounding = nearest }",
    ),
)
