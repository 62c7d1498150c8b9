"""HQ44x: samples made from the network."""

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
)
