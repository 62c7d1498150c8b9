"""Which sensitivity ranks allocations as the loss does: rank correlation over random allocations.

    python benchmarks/sensitivity.py --data FOLDER [--networks resnet20 squeezenet mobilenet]

Every layer but the first and the last draws from w4a4, w4a8 and w8a8 (depthwise layers of MobileNet
from w8a4 and w8a8: their 4-bit weights need no ranking), 4-bit layers being rare in some allocations
and common in others, so that sizes spread. Each allocation is run in simulation on evaluation images, once
rounded to nearest and once with corrected biases. A method predicts the sum of its sensitivities,
measured on calibration images. Reported: Spearman's rank correlation of prediction and loss (KL
divergence from the float network, cross entropy at the labels), its standard error over bootstrap
resamples of the allocations, and the seconds that the method took on one core.
"""

from __future__ import annotations

import argparse
import json
import tempfile
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
from hawqlang.stages.quantize import quantize_weight
from hawqlang.stages.resolve import resolve_file
from hawqlang.stages.sensitivity import Source, Subject, sensitivity
from hawqlang.stages.simulate import Deployment, Simulation
from hawqlang.stages.structure import layer_nodes
from hawqlang.stages.tune import correct_biases

Floats = npt.NDArray[np.float64]
Allocation = Mapping[str, Precision]

BOOTSTRAP = 2000
WAYS = ("nearest", "corrected")
"""How an allocation is deployed: weights rounded to nearest, or biases corrected on top."""

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
    images: str | None
    """Evaluation data instead of the spec's own."""
    evaluation: int
    tuning: int
    """Calibration images that biases are corrected on."""
    depthwise: str = ""


CASES = {
    "resnet20": Case(
        "cifar_resnet20",
        'arrays(data + "/cifar10/test_jpeg_dev4500.npz", images = "images", labels = "labels")',
        evaluation=600,
        tuning=128,
    ),
    "squeezenet": Case("squeezenet", None, evaluation=96, tuning=48),
    "mobilenet": Case(
        "mobilenet_v1",
        None,
        evaluation=160,
        tuning=96,
        depthwise="  layer depthwise {\n    precision = [w8a4, w8a8]\n  }\n",
    ),
}


def opened(case: Case, data: Path, session: Session) -> Analysis:
    """Return a network with its ranges, every layer's candidates and evaluation data."""
    text = (EXAMPLES / f"{case.spec}.hawq").read_text(encoding="utf-8")
    head = text[: text.rindex("  precision = w8a8")]
    if case.images is not None:
        lines = head.splitlines(keepends=True)
        own = f"  evaluation = {case.images}\n"
        head = "".join(own if line.startswith("  evaluation") else line for line in lines)
    body = "  precision = [w4a4, w4a8, w8a8]\n  sensitivity = mse(samples = 1)\n"
    path = Path(tempfile.mkdtemp()) / "spec.hawq"
    path.write_text(f"{head}{body}{SETTINGS}{case.depthwise}}}\n", encoding="utf-8")
    spec, found = resolve_file(path, overrides={"data": str(data)}, trust=False)
    if spec is None:
        raise SystemExit("\n".join(d.message for d in found))
    return analyse(spec.builds[0], session, lambda _: None)


def random_allocations(analysis: Analysis, count: int, seed: int) -> list[Allocation]:
    """Return allocations whose layers drew at random, with shares of their own."""
    rng = np.random.default_rng(seed)
    found: list[Allocation] = []
    for _ in range(count):
        weight, activation = rng.uniform(0.0, 1.0, 2)
        own: dict[str, Precision] = {}
        for name, settings in analysis.settings.items():
            wbits = 4 if rng.random() < weight else 8
            abits = 4 if rng.random() < activation else 8
            choices = {(p.wbits, p.abits): p for p in settings.candidates}
            fallback = choices.get((wbits, 8), settings.candidates[-1])
            own[name] = choices.get((wbits, abits), fallback)
        found.append(own)
    return found


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
        simulation = Simulation(
            self.model, self.ranges, Deployment(allocation, self.settings, self.residual)
        )
        if way == "corrected":
            correct_biases(self.model, simulation, self.tuning, Feedback())
        logits = torch.cat([simulation.run(x) for x in self.batches])
        log_p = self.reference.double().log_softmax(1)
        log_q = logits.double().log_softmax(1)
        at = torch.arange(len(self.labels)), self.labels
        return Loss(
            kl=float((log_p.exp() * (log_p - log_q)).sum(1).mean()),
            ce=float((log_p - log_q)[at].mean()),
            agreement=float((logits.argmax(1) == self.reference.argmax(1)).double().mean()),
        )


def predictions(
    analysis: Analysis, allocations: list[Allocation], seed: int
) -> tuple[dict[str, list[float]], dict[str, float]]:
    """Return each method's prediction for every allocation, and the seconds it took."""
    network = analysis.known()
    subject = Subject(network.model, network.ranges, analysis.settings)
    source = Source(network.stream(), network.samples.labels)
    found: dict[str, list[float]] = {}
    seconds: dict[str, float] = {}
    tables: dict[str, SensitivityTable] = {}
    for name, method in METHODS.items():
        begin = time.perf_counter()
        tables[name] = sensitivity(subject, source, method, seed, Feedback())
        seconds[name] = time.perf_counter() - begin
        costs = {row.layer: dict(row.values) for row in tables[name].layers}
        found[name] = [sum(costs[n][p] for n, p in own.items()) for own in allocations]
        print(f"  {name}: {seconds[name]:.1f} s", flush=True)
    traces = {row.layer: row.weight_trace or 0.0 for row in tables["hessian"].layers}
    begin = time.perf_counter()
    errors = _weight_errors(analysis)
    own_seconds = time.perf_counter() - begin

    def error(own: Allocation, weigh: Callable[[str], float]) -> float:
        return sum(weigh(name) * errors[name, p.wbits] for name, p in own.items())

    def four_bit(own: Allocation) -> float:
        return float(sum((p.wbits == 4) + (p.abits == 4) for p in own.values()))

    omega, plain, count = BASELINES
    found[omega] = [error(own, traces.__getitem__) for own in allocations]
    found[plain] = [error(own, lambda _: 1.0) for own in allocations]
    found[count] = [four_bit(own) for own in allocations]
    seconds |= {omega: seconds["hessian"], plain: own_seconds, count: 0.0}
    return found, seconds


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


def correlation(predicted: list[float], loss: list[float], seed: int) -> tuple[float, float]:
    """Return the rank correlation and its bootstrap standard error over allocations."""
    x, y = np.array(predicted), np.array(loss)
    rng = np.random.default_rng(seed)
    draws = rng.integers(0, len(x), (BOOTSTRAP, len(x)))
    return spearman(x, y), float(np.std([spearman(x[i], y[i]) for i in draws]))


def measure(name: str, options: argparse.Namespace) -> list[dict[str, Any]]:
    """Return a row per method, way of deployment and loss for one network."""
    session = Session(Cache(options.cache))
    analysis = opened(CASES[name], options.data.resolve(), session)
    allocations = random_allocations(analysis, options.allocations, options.seed)
    print(f"{name}: {len(allocations)} allocations", flush=True)
    predicted, seconds = predictions(analysis, allocations, options.seed)
    with torch.inference_mode():
        losses = Losses(analysis, CASES[name], session.cache)
        found = {way: [losses.of(own, way) for own in allocations] for way in WAYS}
    rows: list[dict[str, Any]] = []
    for way, results in found.items():
        kl = [result.kl for result in results]
        print(f"  {way}: KL {min(kl):.4f} to {max(kl):.4f}", flush=True)
        for method, values in predicted.items():
            row: dict[str, Any] = {"network": name, "weights": way, "method": method}
            for loss, measured in (("kl", kl), ("ce", [result.ce for result in results])):
                rho, stderr = correlation(values, measured, options.seed)
                row |= {loss: rho, f"{loss}_stderr": stderr}
            rows.append({**row, "allocations": len(allocations), "seconds": seconds[method]})
    return rows


def main() -> None:
    """Measure and write ``results/sensitivity.json``; networks not named keep their rows."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--networks", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument("--allocations", type=int, default=48)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--cache", type=Path, default=Path("build") / "benchmarks" / "sensitivity")
    options = parser.parse_args()
    torch.set_num_threads(1)
    options.cache.mkdir(parents=True, exist_ok=True)
    kept: list[dict[str, Any]] = []
    if (RESULTS / "sensitivity.json").is_file():
        known = json.loads((RESULTS / "sensitivity.json").read_text(encoding="utf-8"))["rows"]
        kept = [row for row in known if row["network"] not in options.networks]
    for name in options.networks:
        rows = measure(name, options)
        show(rows)
        kept += rows
        print(f"wrote {write_results('sensitivity', kept)}", flush=True)


if __name__ == "__main__":
    main()
