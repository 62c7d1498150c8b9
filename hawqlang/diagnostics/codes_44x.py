"""HQ44x and HQ45x: samples made from the network, and fine-tuning."""

from __future__ import annotations

from hawqlang.diagnostics.entry import Entry

ENTRIES: tuple[Entry, ...] = (
    Entry(
        code="HQ440",
        title="the network has no batch norm to make samples from",
        cause="`zero_shot` makes images whose statistics, in every layer, are those that the layer's batch norm has "
        "kept of the training data. SqueezeNet and other networks without batch norm have none, and many exporters "
        "fold batch norm into the weights, after which nothing is left of them. Noise instead would give ranges, but "
        "worthless corrections and sensitivities, so nothing is made up.",
        example="calibration = zero_shot(256)   # of an ONNX file whose batch norms were folded by the exporter\n",
        mended='calibration = images("calib/", resize = 256, crop = 224, count = 256)\n',
    ),
    Entry(
        code="HQ450",
        title="training samples have no labels",
        cause="Fine-tuning lowers the loss against labels, with `distill = true` in part. The file of samples has no "
        "array of labels under the name that is looked for.",
        example='training = arrays("train.npz")   # has no array `y`\n',
        mended='training = arrays("train.npz", labels = "labels")\n',
    ),
    Entry(
        code="HQ451",
        title="the fine-tuning was dropped",
        cause="Every eighth training sample is held out, and after each epoch the network is judged on them exactly as "
        "it would be deployed. After no epoch was it better than before, so it is deployed as it was. A rate that is "
        "too high, or samples that the network knows by heart already, are common reasons.",
        example="finetune = qat(epochs = 2, lr = 0.1)\n",
        mended="finetune = qat(epochs = 10, lr = 0.0001, distill = true)\n",
    ),
    Entry(
        code="HQ452",
        title="layers ask for different trainings",
        cause="All layers are trained together, by one schedule. A `layer` block can keep a layer out of it, not train "
        "it differently.",
        example="""finetune = qat(epochs = 10)
layer "fc" { finetune = qat(epochs = 20) }
""",
        mended="""finetune = qat(epochs = 10)
layer "fc" { finetune = none }
""",
    ),
    Entry(
        code="HQ453",
        title="levels do not belong to the precisions",
        cause="`mean_field` gives its levels to the layers whose weights have just the bits that the levels need: 1 "
        "for `[-1, 1]`, 2 for `[-1, 0, 1]`, else one more than the largest magnitude takes. Layers of more bits are "
        "trained on their uniform grid. Here a layer has fewer bits, or none has as many.",
        example="""precision = w4a8
finetune  = mean_field(levels = [-1, 1], epochs = 20)
""",
        mended="""precision = w1a8
finetune  = mean_field(levels = [-1, 1], epochs = 20)
""",
    ),
    Entry(
        code="HQ454",
        title="levels have neither zero points nor groups",
        cause="`mean_field` gives a layer's weights levels that are whole numbers times one scale, per output channel "
        "or for the whole tensor. A zero point would move the levels, and a group's multiple would stretch them: the "
        "weights would no longer be on the levels that were asked for. Layers of more bits, which are trained on "
        "their own grid beside them, may be affine or grouped.",
        example="""precision = w1a8
finetune  = mean_field(levels = [-1, 1], epochs = 20)
weights { scheme = affine }
""",
        mended="""precision = w1a8
finetune  = mean_field(levels = [-1, 1], epochs = 20)
layer first, last { precision = w8a8 }
""",
    ),
)
