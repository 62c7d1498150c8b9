"""The exact bytes that an allocation's weights, biases and scales take in the artifact, before anything is built."""

from __future__ import annotations

import math

from hawqlang import __version__
from hawqlang.backend.registry import BACKENDS
from hawqlang.base import Frozen
from hawqlang.cache import digest
from hawqlang.diagnostics import HawqError
from hawqlang.ir.plan import BitPlan
from hawqlang.ir.spec import Emit
from hawqlang.session import Session
from hawqlang.stages.analyse import Analysis, Network
from hawqlang.stages.lower import LowerSettings, lower


class Footprint(Frozen):
    """Bytes of packed constants, all back ends of a build together."""

    packed: int


def packed_bytes(analysis: Analysis, plan: BitPlan, session: Session) -> int | None:
    """Return the bytes of the files of constants that the back ends would write for a plan.

    The network is lowered and packed as in a build, with its biases uncorrected: that changes values, not their room.
    ``None`` where there is no network, no back end or no allocation, or where lowering refuses it; the build says why.
    """
    network = analysis.network
    emits = tuple(emit for emit in analysis.build.emits if emit.what in BACKENDS)
    if network is None or not emits or not plan.layers:
        return None
    settings = tuple(analysis.settings.items())
    build, chosen = analysis.build, tuple(plan.allocation().items())
    written = tuple((emit.what, emit.arch) for emit in emits)
    key = digest("packed", __version__, network.digest(), chosen, settings, build.residual, written)
    with session.step("pack", "pack weights, biases and scales"):
        try:
            found = session.cache.step(
                key, Footprint, lambda: _packed(analysis, network, plan, emits, session)
            )
        except HawqError:
            return None
    return found.packed


def _packed(
    analysis: Analysis, network: Network, plan: BitPlan, emits: tuple[Emit, ...], session: Session
) -> Footprint:
    build, store = analysis.build, session.cache.tensors
    settings = LowerSettings(network.input, analysis.settings, build.residual)
    program, _ = lower(network.graph, network.ranges, plan.allocation(), settings, store)
    blobs = [
        math.prod(blob.data.shape)
        for emit in emits
        for blob in BACKENDS[emit.what]().generate(program, build.target, store, emit).blobs
    ]
    return Footprint(packed=sum(blobs))
