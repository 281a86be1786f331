"""From a trained network to packed integers and a graph, as :mod:`zoo_vision.integer` runs them."""

from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 (its usual name)
from torch import Tensor, fx, nn

from zoo_sdk.errors import InvalidInput
from zoo_torch.quantization.network import QuantisedConv2d, QuantisedLinear
from zoo_torch.quantization.tracing import (
    ADDITIONS,
    CONCATENATIONS,
    MULTIPLICATIONS,
    NORMALISATIONS,
    joined_normalisations,
    scale_and_shift,
    trace,
)
from zoo_vision.integer.files import IntegerNetwork, Layer
from zoo_vision.integer.graph import (
    Activation,
    Affine,
    Combination,
    Concatenation,
    Convolution,
    Flatten,
    GlobalPooling,
    Graph,
    Integers,
    Linear,
    Node,
    Pooling,
    Shape,
    ZeroPadding,
)

_ACTIVATION_MODULES = {
    nn.ReLU: "relu",
    nn.ReLU6: "relu6",
    nn.Hardswish: "hardswish",
    nn.Hardsigmoid: "hardsigmoid",
    nn.Sigmoid: "sigmoid",
    nn.SiLU: "silu",
}
_ACTIVATION_FUNCTIONS: dict[Any, str] = {
    F.relu: "relu",
    torch.relu: "relu",
    "relu": "relu",
    F.relu6: "relu6",
    F.hardswish: "hardswish",
    F.hardsigmoid: "hardsigmoid",
    F.silu: "silu",
    F.sigmoid: "sigmoid",
    torch.sigmoid: "sigmoid",
    "sigmoid": "sigmoid",
}
_TRANSPARENT = (nn.Identity, nn.Dropout, nn.Dropout2d)
_SPATIAL_AXES = ({2, 3}, {-2, -1})
_MEANS = frozenset({"mean", torch.mean})
_FLATTENS = frozenset({"flatten", torch.flatten})


def to_integers(network: nn.Module, input_shape: tuple[int, int, int]) -> IntegerNetwork:
    """The graph of a quantised network in evaluation mode, with its weights as integers.

    Batch normalisations are joined with the layers before them: one multiplier and one bias for each channel.

    Args:
        network: of :func:`zoo_torch.quantization.network.quantise`, trained.
        input_shape: (channels, height, width) of one sample.

    Raises:
        InvalidInput: it computes something that the simulator does not know; says what and where.

    """
    graph = trace(network)
    if graph is None:
        raise _not_exportable("its code takes decisions that depend on values, so that it has no fixed graph")
    return _Conversion(network, graph, input_shape).run()


def _not_exportable(reason: str) -> InvalidInput:
    return InvalidInput(
        f"The network cannot be exported as packed integers: {reason}.",
        hint="Leave `packed` and `qdq_onnx` out of `exports`.",
        facts={"field": "exports"},
    )


class _Conversion:
    """Walks the graph once; ``values`` maps a node of torch to the number of the value that stands for it."""

    def __init__(self, network: nn.Module, graph: fx.Graph, input_shape: Shape) -> None:
        self.modules = dict(network.named_modules(remove_duplicate=False))
        self.graph = graph
        self.joined = joined_normalisations(network, graph)
        self.shapes: list[Shape] = [input_shape]
        self.nodes: list[Node] = []
        self.layers: dict[str, Layer] = {}
        self.values: dict[fx.Node, int] = {}

    def run(self) -> IntegerNetwork:
        output = next(node for node in self.graph.nodes if node.op == "output")
        needed = _ancestors(output)
        for node in self.graph.nodes:
            if node in needed and node is not output:
                self.values[node] = self._convert(node)
        result = output.args[0]
        if not isinstance(result, fx.Node) or self.values[result] != len(self.nodes):
            raise _not_exportable("its output is not the last thing that it computes")
        shape = self.shapes[0]
        try:
            graph = Graph(input_shape=(shape[0], shape[1], shape[2]), nodes=tuple(self.nodes))
        except ValueError as error:
            raise _not_exportable(str(error)[:300]) from error
        return IntegerNetwork(graph, self.layers)

    def _convert(self, node: fx.Node) -> int:
        if node.op == "placeholder":
            return 0
        if node.op == "call_module":
            return self._module(node, str(node.target), self.modules[str(node.target)])
        converted = self._function(node) if node.op in {"call_function", "call_method"} else None
        if converted is None:
            raise _not_exportable(f"it uses {getattr(node.target, '__name__', node.target)} at {node.name}")
        return converted

    def _module(self, node: fx.Node, name: str, module: nn.Module) -> int:
        source = self._source(node)
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            return self._layer(name, module, source)
        if isinstance(module, NORMALISATIONS):
            value = source if name in self.joined.values() else self._affine(name, module, source)
            # timm joins a normalisation and its activation in one module.
            activation = getattr(module, "act", None)
            return value if activation is None else self._plain_module(name, activation, value)
        return self._plain_module(name, module, source)

    def _plain_module(self, name: str, module: nn.Module, source: int) -> int:
        if isinstance(module, _TRANSPARENT):
            return source
        if type(module) in _ACTIVATION_MODULES:
            return self._activation(_ACTIVATION_MODULES[type(module)], source)
        if isinstance(module, nn.Flatten) and module.start_dim == 1:
            return self._flatten(source)
        if isinstance(module, (nn.MaxPool2d, nn.AvgPool2d)):
            return self._pooling(name, module, source)
        if isinstance(module, (nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d)) and module.output_size in {1, (1, 1)}:
            function = "mean" if isinstance(module, nn.AdaptiveAvgPool2d) else "max"
            return self._add(GlobalPooling.model_validate({"input": source, "function": function, "flat": False}))
        raise _not_exportable(f"the module {name} is a {type(module).__name__}")

    def _function(self, node: fx.Node) -> int | None:
        target: Any = node.target
        if target in _ACTIVATION_FUNCTIONS:
            return self._activation(_ACTIVATION_FUNCTIONS[target], self._source(node))
        if target in ADDITIONS | MULTIPLICATIONS:
            return self._combination("add" if target in ADDITIONS else "multiply", node)
        if target in CONCATENATIONS:
            return self._concatenation(node)
        if target in _MEANS:
            return self._mean(node)
        if target in _FLATTENS and _argument(node, 1, "start_dim", 0) == 1:
            return self._flatten(self._source(node))
        is_global = target is F.adaptive_avg_pool2d and _argument(node, 1, "output_size", None) in {1, (1, 1)}
        if is_global:
            return self._add(GlobalPooling(input=self._source(node), function="mean", flat=False))
        return self._source(node) if target is F.dropout else None

    def _source(self, node: fx.Node) -> int:
        source = node.args[0] if node.args else None
        if not isinstance(source, fx.Node):
            raise _not_exportable(f"{node.name} has no input that is a value")
        return self.values[source]

    def _add(self, node: Node) -> int:
        try:
            shape = node.shape(tuple(self.shapes[source] for source in node.sources()))
        except ValueError as error:
            raise _not_exportable(f"at node {len(self.nodes) + 1} ({node.op}) {error}") from error
        self.nodes.append(node)
        self.shapes.append(shape)
        return len(self.nodes)

    def _layer(self, name: str, module: nn.Conv2d | nn.Linear, source: int) -> int:
        if name in self.layers:
            raise _not_exportable(f"the layer {name} is used twice")
        normalisation = self.modules[self.joined[name]] if name in self.joined else None
        self.layers[name] = _numbers(module, normalisation)
        common: dict[str, Any] = {"input": source, "name": name, "integers": _integers(module)}
        if isinstance(module, nn.Linear):
            return self._add(Linear(outputs=module.out_features, inputs=module.in_features, **common))
        if isinstance(module.padding, str) or module.padding_mode != "zeros":
            raise _not_exportable(f"the layer {name} has the padding {module.padding!r}")
        if isinstance(module, QuantisedConv2d) and module.same_padding:
            # Zero is a code of its own on both sides, so padding before or after the rounding is the same.
            _, height, width = self.shapes[source]
            common["input"] = self._add(ZeroPadding(input=source, sides=module.same_padding.sides(height, width)))
        return self._add(
            Convolution.model_validate(
                {
                    "outputs": module.out_channels,
                    "inputs_per_group": module.in_channels // module.groups,
                    "kernel": module.kernel_size,
                    "stride": module.stride,
                    "padding": module.padding,
                    "dilation": module.dilation,
                    "groups": module.groups,
                    **common,
                }
            )
        )

    def _affine(self, name: str, module: nn.Module, source: int) -> int:
        try:
            scale, shift = scale_and_shift(module)
        except TypeError as error:
            raise _not_exportable(f"{name}: {error}") from error
        self.layers[name] = Layer(None, scale.float().cpu().numpy(), shift.float().cpu().numpy())
        return self._add(Affine(input=source, name=name, channels=len(scale)))

    def _activation(self, function: str, source: int) -> int:
        return self._add(Activation.model_validate({"input": source, "function": function}))

    def _flatten(self, source: int) -> int:
        return source if len(self.shapes[source]) == 1 else self._add(Flatten(input=source))

    def _mean(self, node: fx.Node) -> int | None:
        axes = _argument(node, 1, "dim", None)
        if not isinstance(axes, (list, tuple)) or set(axes) not in _SPATIAL_AXES:
            return None
        keeps = bool(_argument(node, 2, "keepdim", False))  # noqa: FBT003 (torch's default)
        return self._add(GlobalPooling(input=self._source(node), function="mean", flat=not keeps))

    def _combination(self, function: str, node: fx.Node) -> int | None:
        first, second = node.args[:2] if len(node.args) > 1 else (None, None)
        if not isinstance(first, fx.Node) or not isinstance(second, fx.Node) or node.kwargs:
            return None
        inputs = (self.values[first], self.values[second])
        return self._add(Combination.model_validate({"function": function, "inputs": inputs}))

    def _concatenation(self, node: fx.Node) -> int | None:
        parts = node.args[0]
        if _argument(node, 1, "dim", 0) != 1 or not isinstance(parts, (list, tuple)):
            return None
        return self._add(Concatenation(inputs=tuple(self.values[part] for part in parts if isinstance(part, fx.Node))))

    def _pooling(self, name: str, module: nn.MaxPool2d | nn.AvgPool2d, source: int) -> int:
        kernel, padding = _pair(module.kernel_size), _pair(module.padding)
        stride = _pair(module.stride)
        is_mean = isinstance(module, nn.AvgPool2d)
        node = Pooling.model_validate(
            {
                "input": source,
                "function": "mean" if is_mean else "max",
                "kernel": kernel,
                "stride": stride,
                "padding": padding,
                "counts_padding": not is_mean or module.count_include_pad,
            }
        )
        sizes = zip(self.shapes[source][1:], kernel, stride, padding, strict=True)
        leaves_rest = any((size + 2 * pad - width) % step for size, width, step, pad in sizes)
        if (module.ceil_mode and leaves_rest) or _pair(getattr(module, "dilation", 1)) != (1, 1):
            raise _not_exportable(f"the pooling {name} is dilated or has incomplete windows")
        if getattr(module, "divisor_override", None):
            raise _not_exportable(f"the pooling {name} has a divisor of its own")
        return self._add(node)


def _ancestors(node: fx.Node) -> set[fx.Node]:
    """What a node's value depends on, without the checks of shapes that a traced network is full of."""
    found: set[fx.Node] = set()
    waiting = [node]
    while waiting:
        current = waiting.pop()
        if current not in found:
            found.add(current)
            waiting.extend(current.all_input_nodes)
    return found


def _argument(node: fx.Node, position: int, name: str, default: Any) -> Any:
    return node.args[position] if len(node.args) > position else node.kwargs.get(name, default)


def _pair(size: Any) -> tuple[int, int]:
    return (size, size) if isinstance(size, int) else (size[0], size[1])


def _integers(module: nn.Module) -> Integers | None:
    if not isinstance(module, (QuantisedConv2d, QuantisedLinear)):
        return None
    return Integers(
        weight_bits=module.weight_quantiser.bits,
        input_bits=module.input_quantiser.bits,
        input_signed=module.input_quantiser.signed,
        input_step=module.input_quantiser.positive_step.item(),
    )


def _numbers(module: nn.Conv2d | nn.Linear, normalisation: nn.Module | None) -> Layer:
    """Codes (or floats) of the weights; a multiplier and a bias for each channel, normalisation included."""
    scale = torch.ones(module.weight.shape[0], dtype=torch.float64)
    shift = torch.zeros_like(scale)
    if normalisation is not None:
        scale, shift = (part.cpu() for part in scale_and_shift(normalisation))
    if module.bias is not None:
        shift = shift + scale * module.bias.detach().cpu().double()
    weights: Tensor = module.weight.detach()
    if isinstance(module, (QuantisedConv2d, QuantisedLinear)):
        weights = module.weight_quantiser.integers(weights)
        steps = module.weight_quantiser.positive_step * module.input_quantiser.positive_step.double()
        scale = scale * steps.cpu()
    return Layer(weights.contiguous().cpu().numpy(), scale.float().numpy(), shift.float().numpy())
