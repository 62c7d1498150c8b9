"""Which sensitivity ranks allocations as the loss does: rank correlation over random allocations.

    python benchmarks/sensitivity.py --data FOLDER [--networks resnet20 squeezenet mobilenet]
        [--ways nearest corrected adaptive]

Every layer but the first and the last draws from w4a4, w4a8 and w8a8 (depthwise layers of MobileNet
from w8a4 and w8a8: their 4-bit weights need no ranking), 4-bit layers being rare in some allocations
and common in others, so that sizes spread. Each allocation is run in simulation on evaluation
images, in each way of deployment: rounded to nearest, with corrected biases, or (asked for, since a
fit of every allocation takes hours) with weights fitted layer by layer. A method predicts the sum of its
sensitivities, measured on calibration images for the same way of deployment. Reported: Spearman's
rank correlation of prediction and loss (KL divergence from the float network, increase of the cross
entropy at the labels), its standard error over bootstrap resamples of the allocations, and the
seconds that the method took on one core. Since any count of 4-bit operands ranks allocations of very
different sizes, the column "beyond" has the partial rank correlation: what a method knows once that
count is known.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from common import EXAMPLES, RESULTS, show, write_results

from hawqlang.base import Frozen, Precision
from hawqlang.cache import Cache, digest
from hawqlang.ir.sensitivity import SensitivityTable
from hawqlang.ir.spec import HessianSensitivity, NamedSensitivity
from hawqlang.session import Session
from hawqlang.stages.analyse import Analysis, analyse
from hawqlang.stages.batches import stream
from hawqlang.stages.data import open_samples
from hawqlang.stages.feedback import Feedback
from hawqlang.stages.quantize import QuantizedWeight, quantize_weight
from hawqlang.stages.resolve import resolve_file
from hawqlang.stages.sensitivity import Source, Subject, sensitivity
from hawqlang.stages.simulate import Deployment, Simulation
from hawqlang.stages.structure import layer_nodes
from hawqlang.stages.tune import Memory, fit

Floats = npt.NDArray[np.float64]
Allocation = Mapping[str, Precision]

BOOTSTRAP = 2000
WAYS = ("nearest", "corrected", "adaptive")
"""How an allocation is deployed: weights rounded to nearest, biases corrected, or weights fitted layer by layer."""

METHODS: dict[str, HessianSensitivity | NamedSensitivity] = {
    "hessian": HessianSensitivity(),
    "fisher": NamedSensitivity(kind="fisher"),
    "mse": NamedSensitivity(kind="mse"),
    "kl": NamedSensitivity(kind="kl"),
    "measured": NamedSensitivity(kind="measured"),
}
BASELINES = ("paper's Ω, weights alone", "squared weight error", "number of 4-bit operands")
SETTINGS = """
  activations {
    range = mse
  }

  layer first, last {
    precision = w8a8
  }
"""


@dataclass(frozen=True, slots=True)
class Case:
    """A network, and how many images decide."""

    spec: str
    evaluation: int
    tuning: int
    """Calibration images that biases are corrected on."""
    depthwise: str = ""


CASES = {
    "resnet20": Case("cifar_resnet20", evaluation=517, tuning=128),
    "squeezenet": Case("squeezenet", evaluation=96, tuning=48),
    "mobilenet": Case(
        "mobilenet_v1",
        evaluation=160,
        tuning=96,
        depthwise="  layer depthwise {\n    precision = [w8a4, w8a8]\n  }\n",
    ),
}


def opened(case: Case, data: Path, folder: Path, session: Session) -> Analysis:
    """Return a network with its ranges, every layer's candidates and evaluation data."""
    text = (EXAMPLES / f"{case.spec}.hawq").read_text(encoding="utf-8")
    head = text[: text.rindex("  precision = w8a8")]
    body = "  precision = [w4a4, w4a8, w8a8]\n  sensitivity = mse(samples = 1)\n"
    path = folder / f"{case.spec}.hawq"
    path.write_text(f"{head}{body}{SETTINGS}{case.depthwise}}}\n", encoding="utf-8")
    spec, found = resolve_file(path, overrides={"data": str(data)}, trust=False)
    if spec is None:
        raise SystemExit("\n".join(d.message for d in found))
    return analyse(spec.builds[0], session, lambda _: None)


def random_allocations(analysis: Analysis, count: int, seed: int) -> list[Allocation]:
    """Return different allocations whose layers drew at random, with shares of their own."""
    rng = np.random.default_rng(seed)
    found: dict[tuple[Precision, ...], Allocation] = {}
    while len(found) < count:
        weight, activation = rng.uniform(0.0, 1.0, 2)
        own: dict[str, Precision] = {}
        for name, settings in analysis.settings.items():
            wbits = 4 if rng.random() < weight else 8
            abits = 4 if rng.random() < activation else 8
            choices = {(p.wbits, p.abits): p for p in settings.candidates}
            fallback = choices.get((wbits, 8), settings.candidates[-1])
            own[name] = choices.get((wbits, abits), fallback)
        found.setdefault(tuple(own.values()), own)
    return list(found.values())


class Loss(Frozen):
    """What an allocation costs on evaluation images."""

    kl: float
    """KL divergence of the float network's class probabilities."""
    ce: float
    """Increase of the cross entropy at the labels."""
    agreement: float
    """Share of equal top-1."""


class Losses:
    """The loss of an allocation on evaluation images, remembered in the cache."""

    def __init__(self, analysis: Analysis, case: Case, cache: Cache) -> None:
        self.cache = cache
        network = analysis.known()
        data = analysis.build.dataset
        if data is None or data.evaluation is None:
            raise SystemExit("there are no evaluation images")
        samples = open_samples(data.evaluation, network.input)
        self.model, self.ranges = network.model, network.ranges
        self.settings, self.residual = analysis.settings, analysis.build.residual
        self.tuning = network.stream().first(case.tuning)
        images = stream(samples, network.input).first(case.evaluation)
        self.batches = list(images.batches(32))
        labels = samples.labels
        if labels is None:
            raise SystemExit("there are no labels")
        self.labels = torch.from_numpy(labels[: case.evaluation])
        self.reference = torch.cat([self.model.forward(x) for x in self.batches])

        own = tuple(self.settings.items())
        self.digest = digest(network.digest(), own, self.residual, samples.digest, case)

    def of(self, allocation: Allocation, way: str) -> Loss:
        """Return the loss of an allocation deployed in one of :data:`WAYS`."""
        key = digest("sensitivity benchmark", self.digest, tuple(allocation.items()), way)
        return self.cache.step(key, Loss, lambda: self._measure(allocation, way))

    def _measure(self, allocation: Allocation, way: str) -> Loss:
        simulation = Simulation(self.model, self.ranges, self._deployment(allocation, way))
        logits = torch.cat([simulation.run(x) for x in self.batches])
        log_p = self.reference.double().log_softmax(1)
        log_q = logits.double().log_softmax(1)
        at = torch.arange(len(self.labels)), self.labels
        return Loss(
            kl=float((log_p.exp() * (log_p - log_q)).sum(1).mean()),
            ce=float((log_p - log_q)[at].mean()),
            agreement=float((logits.argmax(1) == self.reference.argmax(1)).double().mean()),
        )

    def _deployment(self, allocation: Allocation, way: str) -> Deployment:
        """Return an allocation with the weights and biases that a build would give it."""
        settings = dict(self.settings)
        if way == "adaptive":
            settings = {
                name: own.replace(weights=own.weights.replace(rounding="adaptive"))
                for name, own in settings.items()
            }
        plain = Deployment(allocation, settings, self.residual)
        if way == "nearest":
            return plain
        memory = Memory(self.cache, digest(self.digest, tuple(allocation.items()), way))
        found = fit(self.model, self.ranges, plain, self.tuning, memory, Feedback())
        get = memory.store.get
        return Deployment(
            allocation,
            settings,
            self.residual,
            biases={row.layer: get(row.bias) for row in found.biases},
            weights={
                row.layer: QuantizedWeight(get(row.q), get(row.scale)) for row in found.weights
            },
        )


@dataclass(frozen=True, slots=True)
class Predicted:
    """What a method says of every allocation."""

    losses: list[float]
    seconds: float
    samples: int


def predictions(
    analysis: Analysis,
    allocations: list[Allocation],
    way: str,
    seed: int,
    known: dict[str, tuple[SensitivityTable, float]],
) -> dict[str, Predicted]:
    """Return each method's predictions for one way of deployment.

    Traces of the Hessian do not depend on the way; they are kept in ``known``.
    """
    network = analysis.known()
    settings = {
        name: own.replace(bias_correction=way != "nearest")
        for name, own in analysis.settings.items()
    }
    subject = Subject(network.model, network.ranges, settings)
    source = Source(network.stream(), network.samples.labels)
    found: dict[str, Predicted] = {}
    traces: dict[str, float] = {}
    for name, method in METHODS.items():
        if name not in known:
            begin = time.process_time()
            table = sensitivity(subject, source, method, seed, Feedback())
            known[name] = table, time.process_time() - begin
        table, seconds = known["hessian"] if name == "hessian" else known.pop(name)
        costs = {row.layer: dict(row.values) for row in table.layers}
        losses = [sum(costs[n][p] for n, p in own.items()) for own in allocations]
        found[name] = Predicted(losses, seconds, table.samples or 0)
        traces |= {row.layer: row.weight_trace for row in table.layers if row.weight_trace}
        print(f"  {way}, {name}: {seconds:.1f} s", flush=True)
    begin = time.process_time()
    errors = _weight_errors(analysis)
    seconds = time.process_time() - begin

    def error(own: Allocation, weigh: Callable[[str], float]) -> float:
        return sum(weigh(name) * errors[name, p.wbits] for name, p in own.items())

    omega, plain, count = BASELINES
    hessian = found["hessian"]
    paper = [error(own, lambda name: traces.get(name, 0.0)) for own in allocations]
    found[omega] = Predicted(paper, hessian.seconds, hessian.samples)
    found[plain] = Predicted([error(own, lambda _: 1.0) for own in allocations], seconds, 0)
    found[count] = Predicted([_four_bit(own) for own in allocations], 0.0, 0)
    return found


def _four_bit(own: Allocation) -> float:
    return float(sum((p.wbits == 4) + (p.abits == 4) for p in own.values()))


def _weight_errors(analysis: Analysis) -> dict[tuple[str, int], float]:
    """Return the squared weight error of every layer and width that a choice is between."""
    model = analysis.known().model
    found: dict[tuple[str, int], float] = {}
    for node in layer_nodes(model.graph):
        own = analysis.settings[node.name]
        weight = model.parameters[node.weight].double().numpy()
        for bits in {p.wbits for p in own.candidates}:
            real = quantize_weight(
                weight, bits, granularity=own.weights.granularity, method=own.weights.range
            ).real()
            choice = len(set(own.candidates)) > 1
            found[node.name, bits] = float(np.square(real - weight).sum()) if choice else 0.0
    return found


def spearman(a: Floats, b: Floats) -> float:
    """Return the rank correlation; tied values share their mean rank."""
    x, y = (_ranks(v) for v in (a, b))
    spread = x.std() * y.std()
    return float(((x - x.mean()) * (y - y.mean())).mean() / spread) if spread > 0 else 0.0


def _ranks(values: Floats) -> Floats:
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    return (ends - (counts - 1) / 2)[inverse]


def partial(x: Floats, y: Floats, known: Floats) -> float:
    """Return the rank correlation of ``x`` and ``y`` that is left once ``known`` is known."""
    xy, xk, yk = spearman(x, y), spearman(x, known), spearman(y, known)
    spread = float(np.sqrt(max((1 - xk**2) * (1 - yk**2), 0.0)))
    return (xy - xk * yk) / spread if spread > 1e-6 else 0.0


def correlations(
    predicted: list[float], loss: list[float], count: list[float], seed: int
) -> dict[str, float]:
    """Return rank correlation and partial rank correlation, with bootstrap standard errors."""
    x, y, known = (np.array(values) for values in (predicted, loss, count))
    draws = np.random.default_rng(seed).integers(0, len(x), (BOOTSTRAP, len(x)))
    whole = [spearman(x[i], y[i]) for i in draws]
    rest = [partial(x[i], y[i], known[i]) for i in draws]
    return {
        "rank": spearman(x, y),
        "stderr": float(np.std(whole)),
        "beyond": partial(x, y, known),
        "beyond_stderr": float(np.std(rest)),
    }


def measure(name: str, options: argparse.Namespace) -> list[dict[str, Any]]:
    """Return a row per way of deployment, loss and method for one network."""
    session = Session(Cache(options.cache))
    case = CASES[name]
    analysis = opened(case, options.data.resolve(), options.cache, session)
    allocations = random_allocations(analysis, options.allocations, options.seed)
    print(f"{name}: {len(allocations)} allocations", flush=True)
    rows: list[dict[str, Any]] = []
    known: dict[str, tuple[SensitivityTable, float]] = {}
    for way in options.ways:
        with torch.inference_mode():
            losses = Losses(analysis, case, session.cache)
            results = [losses.of(own, way) for own in allocations]
        kl = [result.kl for result in results]
        print(f"  {way}: KL {min(kl):.4f} to {max(kl):.4f}", flush=True)
        predicted = predictions(analysis, allocations, way, options.seed, known)
        count = predicted[BASELINES[-1]].losses
        for loss, measured in (("kl", kl), ("ce", [result.ce for result in results])):
            rows += [
                {
                    "network": name,
                    "weights": way,
                    "loss": loss,
                    "method": method,
                    **correlations(own.losses, measured, count, options.seed),
                    "allocations": len(allocations),
                    "samples": own.samples,
                    "seconds": own.seconds,
                }
                for method, own in predicted.items()
            ]
    return rows


def main() -> None:
    """Measure and write ``results/sensitivity.json``; networks not named keep their rows."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--networks", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=["nearest", "corrected"])
    parser.add_argument("--allocations", type=int, default=48)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--cache", type=Path, default=Path("build") / "benchmarks" / "sensitivity")
    options = parser.parse_args()
    torch.set_num_threads(1)
    options.cache.mkdir(parents=True, exist_ok=True)
    for name in options.networks:
        rows = measure(name, options)
        show(rows)
        path = write_results("sensitivity", [*_others(name), *rows])
        print(f"wrote {path}", flush=True)


def _others(network: str) -> list[dict[str, Any]]:
    """Return the rows of the networks that were not measured now."""
    path = RESULTS / "sensitivity.json"
    if not path.is_file():
        return []
    rows = json.loads(path.read_text(encoding="utf-8"))["rows"]
    return [row for row in rows if row["network"] != network]


if __name__ == "__main__":
    main()
