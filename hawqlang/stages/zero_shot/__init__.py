"""``zero_shot(…)``: calibration samples made from the network itself, where no real ones may be used."""

from __future__ import annotations

from dataclasses import dataclass

from hawqlang.cache import digest
from hawqlang.diagnostics import Diagnostic, HawqError
from hawqlang.ir.spec import Data, Input, Model, ZeroShotData
from hawqlang.ir.synthetic import Synthetic
from hawqlang.session import Session
from hawqlang.stages.data import Samples, open_samples
from hawqlang.stages.feedback import Feedback
from hawqlang.stages.float_model import FloatModel
from hawqlang.stages.import_model import import_statistics
from hawqlang.stages.memory import Memory
from hawqlang.stages.zero_shot.codes import codes_of
from hawqlang.stages.zero_shot.matching import Matching
from hawqlang.stages.zero_shot.samples import (
    SyntheticSamples,
    describe,
    stored_dataset,
    synthetic_samples,
    write_samples,
)
from hawqlang.stages.zero_shot.synthesise import Budget, synthesise

__all__ = [
    "Subject",
    "SyntheticSamples",
    "describe",
    "open_or_make",
    "stored_dataset",
    "write_samples",
    "zero_shot",
]


@dataclass(frozen=True, slots=True)
class Subject:
    """A network that samples are made from."""

    declared: Model
    """Its batch norms are read again, for folding hides them."""
    model: FloatModel
    input: Input


def zero_shot(
    subject: Subject, data: ZeroShotData, seed: int, session: Session
) -> SyntheticSamples:
    """Return samples that match what the network's batch norms remember, from the cache where they were made before.

    Args:
        subject: The network.
        data: What the spec asks for.
        seed: Of everything random.
        session: Holds the cache and shows progress.

    Raises:
        HawqError: The network has no batch norms (HQ440).
    """
    model, kind = subject.model, subject.input
    statistics = import_statistics(subject.declared, trust=True)
    if not statistics:
        raise HawqError(_no_statistics(subject.declared, data))
    remembered = digest(*((s.value, s.mean.tobytes(), s.deviation.tobytes()) for s in statistics))
    key = digest("zero_shot 2", model.graph, remembered, kind, data.count, data.steps, seed)

    def make() -> Synthetic:
        with session.step("calibrate", f"synthesise {data.count} samples") as advance:
            codes = codes_of(kind)
            budget = Budget(data.count, data.steps, seed)
            matching, memory = Matching(model, statistics, codes), Memory(session.cache, key)
            found = synthesise(model.graph, matching, budget, memory, Feedback(advance))
        store = session.cache.tensors
        return Synthetic(
            images=store.put(codes.stored(found.codes)),
            classes=store.put(found.classes.numpy()),
            method=found.method,
            steps=data.steps,
            norms=len(statistics),
            mismatch=found.mismatch,
            noise=found.noise,
        )

    return synthetic_samples(session.cache.step(key, Synthetic, make), session.cache.tensors)


def open_or_make(
    data: Data, subject: Subject, seed: int, session: Session, *, classes: int | None = None
) -> Samples:
    """Return the samples a spec names: read, or made from the network where it says so.

    Args:
        data: Where they are.
        subject: The network.
        seed: Of everything random.
        session: Holds the cache and shows progress.
        classes: How many classes the network knows; a label beyond is an error.

    Raises:
        HawqError: they cannot be had (HQ401 to HQ409, HQ440).
    """
    if isinstance(data, ZeroShotData):
        return zero_shot(subject, data, seed, session)
    return open_samples(data, subject.input, classes=classes, trust=True)


def _no_statistics(declared: Model, data: ZeroShotData) -> Diagnostic:
    return Diagnostic(
        code="HQ440",
        severity="error",
        message=f"model '{declared.name}' has no batch norm whose statistics samples could be made from",
        span=data.span,
        notes=(
            "networks without batch norm have none, and exporters often fold them into the weights",
        ),
        help="export the network with its batch norms (torch.onnx.export(…, training=TrainingMode.PRESERVE, "
        "do_constant_folding=False)), or calibrate on real samples: images(…) or arrays(…)",
    )
