"""Translator: the state of one translation from an ONNX graph to a draft.

Every ONNX value is one of two things. A ``Constant`` is known without running the network. A ``Flow`` depends on the
input: it is a value of the draft, seen in the axis order and shape that the file gives it. Reshaping, transposing,
squeezing and flattening only change that view; the draft gets a ``Flatten`` when something reads it as a vector, and a
``Rearrange`` when something reads it in another order or shape than it has.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from math import prod
from pathlib import Path

from hawqlang.cache import Array
from hawqlang.stages.import_model.builder import Builder
from hawqlang.stages.import_model.onnx.constants import evaluate
from hawqlang.stages.import_model.onnx.model import OnnxModel, OnnxNode, RefusedError
from hawqlang.stages.import_model.recipes import Reshaped, Shape, Stored


@dataclass(frozen=True, slots=True)
class Constant:
    """A tensor known in advance, read by its key."""

    key: str
    shape: Shape

    @property
    def recipe(self) -> Stored:
        """Return the constant as a parameter."""
        return Stored(key=self.key, shape=self.shape)


@dataclass(frozen=True, slots=True)
class Flow:
    """A value of the draft as the file sees it; ``dims`` are without the batch axis."""

    value: str
    dims: Shape
    channels_last: bool = False
    """Whether ``dims`` are ``(H, W, C)``."""
    named: str = ""
    """The node that last changed the view: what a Flatten made of it is called."""
    softmax: str | None = None
    """The node of a softmax this came through, which may only lead to the output."""
    choice: str | None = None
    """The node of an argmax or top-k this came through, which may only lead to the output."""
    view: Shape = ()
    """What the value's elements are seen as before their axes are brought into ``order``."""
    order: Shape = ()
    """Empty where the elements are in the value's own order."""


Operand = Constant | Flow | None
"""``None`` stands for what an operator that was refused would have given."""


@dataclass(slots=True)
class Translator:
    """What the operator rules write to and ask."""

    model: OnnxModel
    builder: Builder
    batch: int
    values: dict[str, Operand] = field(default_factory=dict[str, Operand])
    arrays: dict[str, Array] = field(default_factory=dict[str, Array])
    """Constants that are no initializers, by key."""
    unrounded: dict[str, Constant] = field(default_factory=dict[str, "Constant"])
    """What constants were before a QuantizeLinear rounded them, by key."""
    flattened: dict[str, str] = field(default_factory=dict[str, str])
    rearranged: dict[tuple[str, Shape, Shape, Shape], str] = field(
        default_factory=dict[tuple[str, Shape, Shape, Shape], str]
    )
    """Values by what they were made of: value, view, order, shape."""

    @property
    def folder(self) -> Path:
        """Return the folder external data may lie in."""
        return self.model.path.parent

    def read(self, key: str) -> Array:
        """Return the array of a constant."""
        found = self.arrays.get(key)
        return self.model.initializers[key].read() if found is None else found

    def known(self, name: str, array: Array) -> Constant:
        """Record a computed constant."""
        self.arrays[name] = array
        return Constant(key=name, shape=tuple(int(n) for n in array.shape))

    def known_unrounded(self, name: str, constant: Constant) -> Constant:
        """Record a constant that is rounded here; its rounding is taken out where it would end."""
        self.unrounded[name] = constant
        return Constant(key=name, shape=constant.shape)

    # ---- operands of a node ----------------------------------------------------------------------------------------

    def flow(self, node: OnnxNode, i: int = 0) -> Flow:
        """Return the ``i``-th input, which the network must compute and no softmax may have touched."""
        operand = self.tail(node, i)
        if operand.choice is not None:
            raise RefusedError(
                f"it reads what '{operand.choice}' chose",
                "ArgMax and TopK are supported at the end of a network only, where they are dropped",
            )
        if operand.softmax is not None:
            raise RefusedError(
                f"it reads the result of softmax '{operand.softmax}'",
                "softmax is supported at the end of a network only, where it is dropped",
            )
        return operand

    def tail(self, node: OnnxNode, i: int = 0) -> Flow:
        """Return the ``i``-th input, which the network must compute; for what may stand after a softmax too."""
        operand = self._operand(node, i)
        if not isinstance(operand, Flow):
            raise RefusedError(f"its input {i + 1} is a constant where a tensor is expected")
        return operand

    def is_flow(self, node: OnnxNode, i: int) -> bool:
        """Return whether the ``i``-th input is computed by the network."""
        return isinstance(self._operand(node, i), Flow)

    def constant(self, node: OnnxNode, i: int, what: str) -> Constant:
        """Return the ``i``-th input, which must be known."""
        operand = self._operand(node, i)
        if not isinstance(operand, Constant):
            raise RefusedError(f"its {what} is computed by the network", "it must be a constant")
        return operand

    def optional(self, node: OnnxNode, i: int, what: str) -> Constant | None:
        """Return the ``i``-th input, ``None`` where it was left out."""
        given = i < len(node.inputs) and node.inputs[i] != ""
        return self.constant(node, i, what) if given else None

    def array(self, node: OnnxNode, i: int, what: str) -> Array | None:
        """Return the array of the ``i``-th input, ``None`` where it was left out."""
        constant = self.optional(node, i, what)
        return None if constant is None else self.read(constant.key)

    def scalar(self, node: OnnxNode, i: int, what: str) -> float | None:
        """Return the one number of the ``i``-th input, ``None`` where it was left out."""
        array = self.array(node, i, what)
        if array is None:
            return None
        if array.size != 1:
            raise RefusedError(f"its {what} is not one number", "use one number for all channels")
        return float(array.reshape(-1)[0])

    def integers(self, node: OnnxNode, i: int, name: str) -> tuple[int, ...] | None:
        """Return integers that are input ``i`` in newer opsets and an attribute in older ones."""
        array = self.array(node, i, name)
        return node.integers(name) if array is None else tuple(int(n) for n in array.reshape(-1))

    def _operand(self, node: OnnxNode, i: int) -> Constant | Flow:
        operand = self.values[node.inputs[i]] if i < len(node.inputs) and node.inputs[i] else None
        if operand is None:
            raise RefusedError(f"its input {i + 1} is missing")
        return operand

    # ---- views -----------------------------------------------------------------------------------------------------

    def batched(self, flow: Flow) -> Shape:
        """Return the shape the file sees, batch axis included."""
        return (self.batch, *flow.dims)

    def reshaped(self, flow: Flow, shape: Shape, name: str) -> Flow:
        """Return the flow seen under another shape of the same elements, batch axis included."""
        if not shape or shape[0] != self.batch or prod(shape[1:]) != prod(flow.dims):
            raise RefusedError(
                f"it reshapes {self.batched(flow)} to {shape}, which mixes the batch axis with others"
            )
        dims = shape[1:]
        if flow.channels_last and dims != flow.dims:
            one = flow.dims[:2] == (1, 1)
            flow = replace(flow, channels_last=False) if one else self.permuted(flow)
        return replace(flow, dims=dims, named=name)

    def permuted(self, flow: Flow) -> Flow:
        """Return a flow whose channels are last as one whose axes are yet to be permuted."""
        if not flow.channels_last:
            return flow
        height, width, channels = flow.dims
        return replace(flow, channels_last=False, view=(channels, height, width), order=(1, 2, 0))

    def transposed(self, flow: Flow, order: Shape, name: str) -> Flow:
        """Return the flow with its axes, the batch's left out, in another order."""
        flow = self.permuted(flow)
        if flow.order and flow.dims == tuple(flow.view[axis] for axis in flow.order):
            order = tuple(flow.order[axis] for axis in order)
        else:
            flow = self.settled(flow)
            flow = replace(flow, view=flow.dims)
        dims = tuple(flow.view[axis] for axis in order)
        order = () if order == tuple(range(len(order))) else order
        return replace(flow, dims=dims, order=order, named=name)

    def settled(self, flow: Flow) -> Flow:
        """Return the flow with its elements in the order in which it is seen; of a shape that a value may have."""
        if not flow.order:
            return flow
        shape = flow.dims
        if len(shape) not in (1, 3):
            shape = (shape[0], shape[1], prod(shape[2:])) if len(shape) > 3 else (*shape, 1)
        return replace(flow, value=self.arranged(flow, shape), view=(), order=())

    def arranged(self, flow: Flow, shape: Shape) -> str:
        """Return the flow as a value of its own, of the given shape; the same view of a value is made once."""
        view, order = flow.view, flow.order
        if not order:
            view, order = flow.dims, tuple(range(len(flow.dims)))
        key = (flow.value, view, order, shape)
        if key not in self.rearranged:
            name = flow.named
            while name in self.builder.shapes:
                name = f"{name}.view"
            self.rearranged[key] = self.builder.rearrange(name, flow.value, view, order, shape)
        return self.rearranged[key]

    def channels_first(self, flow: Flow) -> Flow:
        """Return the flow with its axes in the draft's own order."""
        if not flow.channels_last:
            return flow
        height, width, channels = flow.dims
        return replace(flow, dims=(channels, height, width), channels_last=False)

    def vector(self, flow: Flow) -> str:
        """Return the draft's value for a flow that is read as a vector."""
        shape = self.builder.shapes[flow.value]
        if len(flow.dims) != 1:
            raise RefusedError(f"it reads a tensor of shape {self.batched(flow)} as vectors")
        if flow.order:
            return self.arranged(flow, flow.dims)
        if len(shape) == 1:
            return flow.value
        if flow.value not in self.flattened:
            self.flattened[flow.value] = self.builder.flatten(flow.named, flow.value)
        return self.flattened[flow.value]

    def feature_map(self, flow: Flow) -> str:
        """Return the draft's value for a flow that is read as ``(C, H, W)``."""
        if flow.channels_last:
            raise RefusedError(
                "it reads a tensor whose channels are last",
                "export the network in the order batch, channels, height, width",
            )
        if len(flow.dims) == 3 and (flow.order or self.builder.shapes[flow.value] != flow.dims):
            return self.arranged(flow, flow.dims)
        if len(flow.dims) != 3:
            raise RefusedError(
                f"it reads a tensor of shape {self.batched(flow)}, which is not one of feature maps "
                "(batch, channels, height, width)",
                "two-dimensional convolutional networks are supported",
            )
        return flow.value

    def tensor(self, flow: Flow) -> str:
        """Return the draft's value for a flow that is read in its own shape."""
        return self.vector(flow) if len(flow.dims) == 1 else self.feature_map(flow)

    def embedded(self, constant: Constant) -> float | None:
        """Return the number of a constant that is one number and stands in the file itself."""
        held = self.model.initializers.get(constant.key)
        if (held is not None and not held.embedded) or prod(constant.shape) != 1:
            return None
        return float(self.read(constant.key).reshape(-1)[0])

    def result(self, value: str) -> Flow:
        """Return the flow of a value just defined, in the draft's own shape."""
        return Flow(value=value, dims=self.builder.shapes[value], named=value)

    def per_channel(self, constant: Constant, dims: Shape) -> Reshaped:
        """Return a constant that broadcasts to one number per channel of ``(1, *dims)``."""
        rank = len(dims) + 1
        shape = (1,) * (rank - len(constant.shape)) + constant.shape
        fits = len(shape) == rank and shape[1] in (1, dims[0])
        if not fits or any(n != 1 for n in (shape[0], *shape[2:])):
            raise RefusedError(
                f"its constant of shape {constant.shape} is not one number per channel of {dims}",
                "a constant may differ between channels, not between positions",
            )
        return Reshaped(of=constant.recipe, shape=(dims[0],))


def fold(translator: Translator, node: OnnxNode) -> list[Constant]:
    """Return the outputs of a node that does not depend on the network's input."""

    def operand(name: str) -> Array | None:
        found = translator.values[name] if name else None
        return translator.read(found.key) if isinstance(found, Constant) else None

    operands = [operand(name) for name in node.inputs]
    arrays = evaluate(node, operands, translator.model.opset, translator.folder)
    return [translator.known(name, a) for name, a in zip(node.outputs, arrays, strict=False)]
