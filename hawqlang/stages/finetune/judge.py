"""The network in training, rated as it would be deployed: rounded, in the plain simulation, on samples held out."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import torch

from hawqlang.ir.ranges import RangeTable
from hawqlang.stages.finetune.lessons import Lessons
from hawqlang.stages.finetune.objective import Objective
from hawqlang.stages.finetune.trainable import Trainable
from hawqlang.stages.float_model import FloatModel
from hawqlang.stages.simulate import Simulation

BATCH = 64


@dataclass(frozen=True, slots=True)
class Judge:
    """Rates a network in training."""

    model: FloatModel
    table: RangeTable
    network: Trainable
    lessons: Lessons
    objective: Objective
    _taught: list[torch.Tensor] = field(default_factory=list[torch.Tensor])
    """The float network's logits of each batch, once they are known."""

    def error(self) -> float:
        """Return the mean loss of the held-out samples."""
        network, before = self.network, self.network.deployment
        deployment = replace(
            before,
            weights={**before.weights, **network.exported_weights()},
            biases={**before.biases, **network.exported_biases()},
        )
        table = self.table.with_rows(network.exported_ranges())
        total = 0.0
        with torch.inference_mode():
            deployed = Simulation(self.model, table, deployment)
            for k, (x, labels) in enumerate(self.lessons.held_out(BATCH)):
                logits = deployed.run(x)
                if self.objective.distill and k == len(self._taught):
                    self._taught.append(self.model.forward(x))
                wanted = self._taught[k] if self.objective.distill else logits
                total += float(self.objective.loss(logits, labels, wanted)) * len(x)
        return total / max(1, len(self.lessons.judged))
