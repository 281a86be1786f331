"""Networks whose convolutions and linear layers round their weights and inputs to integers while they learn."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import NamedTuple, cast

import torch.nn.functional as F  # noqa: N812 (its usual name)
from torch import Tensor, nn

from zoo_sdk.errors import InvalidInput
from zoo_torch.quantization.lsq import StepQuantiser
from zoo_torch.quantization.scheme import QuantizationScheme
from zoo_torch.quantization.tracing import layers_with_unsigned_inputs

_PLAIN_SUBCLASSES = frozenset({"timm.layers.linear.Linear"})
"""Subclasses that compute what their base class does."""
_SAME_CONVOLUTION = "timm.layers.conv2d_same.Conv2dSame"
"""Pads as TensorFlow's SAME does, as the size of each input asks for."""


class SamePadding(NamedTuple):
    """Zeros around a picture as TensorFlow's SAME puts them there: for ceil(size / stride) rows and columns.

    An odd one goes to the bottom or the right.  Source: TensorFlow's API documentation, ``tf.nn.convolution``.
    """

    kernel: tuple[int, int]
    stride: tuple[int, int]
    dilation: tuple[int, int]

    def sides(self, height: int, width: int) -> tuple[int, int, int, int]:
        """How many at the top, left, bottom and right of a picture of that size."""
        totals = [
            max((-(-size // stride) - 1) * stride + (kernel - 1) * dilation + 1 - size, 0)
            for size, kernel, stride, dilation in zip((height, width), *self, strict=True)
        ]
        (top, bottom), (left, right) = ((total // 2, total - total // 2) for total in totals)
        return top, left, bottom, right

    def __call__(self, x: Tensor) -> Tensor:
        """(batch, C, h, w) with the zeros; a traced network keeps those of its example."""
        top, left, bottom, right = self.sides(*map(int, x.shape[2:]))
        return F.pad(x, (left, right, top, bottom))


class QuantisedConv2d(nn.Conv2d):
    """A convolution of quantised inputs with quantised weights; its bias stays in floating point."""

    weight_quantiser: StepQuantiser
    input_quantiser: StepQuantiser
    same_padding: SamePadding | None = None
    """Instead of ``padding``, which is 0 then."""

    def forward(self, x: Tensor) -> Tensor:
        """(batch, in, h, w) to (batch, out, h', w')."""
        x = self.input_quantiser(x)
        if self.same_padding:
            x = self.same_padding(x)
        return self._conv_forward(x, self.weight_quantiser(self.weight), self.bias)


class QuantisedLinear(nn.Linear):
    """A linear layer of quantised inputs and weights; its bias stays in floating point."""

    weight_quantiser: StepQuantiser
    input_quantiser: StepQuantiser

    def forward(self, x: Tensor) -> Tensor:
        """(..., in) to (..., out)."""
        return F.linear(self.input_quantiser(x), self.weight_quantiser(self.weight), self.bias)


QuantisedLayer = QuantisedConv2d | QuantisedLinear


def quantise(network: nn.Module, scheme: QuantizationScheme) -> nn.Module:
    """Replace the convolutions and linear layers of ``network``, in place, by ones that quantise; returns it.

    Names of parameters stay; each layer gains ``NAME.weight_quantiser.step`` and ``NAME.input_quantiser.step``.  The
    steps of the weights are initialised from them, those of the inputs by
    :func:`zoo_torch.quantization.calibration.calibrate`.  The first and the last layer are those in the order of the
    network's modules.

    Raises:
        InvalidInput: there is nothing to quantise, a layer is of a kind that cannot be, or an override names none.

    """
    plain = _plain_layers(network)
    _check_names(scheme, plain)
    unsigned = frozenset(resolved(network, scheme).unsigned or ())
    ends = {next(iter(plain)), next(reversed(plain))}
    for name, layer in plain.items():
        bits = scheme.bits_of(name, is_first_or_last=name in ends)
        if bits is not None:
            parent, _, own = name.rpartition(".")
            quantised = _quantised(layer, bits, per_channel=scheme.per_channel, signed=name not in unsigned)
            setattr(network.get_submodule(parent), own, quantised)
    return network


def resolved(network: nn.Module, scheme: QuantizationScheme) -> QuantizationScheme:
    """The scheme with its list of unsigned inputs, found from the graph of the float ``network`` if it has none."""
    if scheme.unsigned is not None:
        return scheme
    return scheme.model_copy(update={"unsigned": layers_with_unsigned_inputs(network)})


def quantised_layers(network: nn.Module) -> Mapping[str, QuantisedLayer]:
    """The layers that quantise, by name, in the order of the modules."""
    return {
        name: module
        for name, module in network.named_modules()
        if isinstance(module, (QuantisedConv2d, QuantisedLinear))
    }


@contextmanager
def in_floating_point(network: nn.Module) -> Iterator[None]:
    """Let every layer that quantises compute with plain floats for a while."""
    quantisers = [module for module in network.modules() if isinstance(module, StepQuantiser)]
    former = [quantiser.active for quantiser in quantisers]
    for quantiser in quantisers:
        quantiser.active = False
    try:
        yield
    finally:
        for quantiser, active in zip(quantisers, former, strict=True):
            quantiser.active = active


def settle_steps(network: nn.Module) -> None:
    """Store each step as the positive number that is in use, before the network's weights are written."""
    for module in network.modules():
        if isinstance(module, StepQuantiser):
            module.settle()


def _plain_layers(network: nn.Module) -> dict[str, nn.Conv2d | nn.Linear]:
    found: dict[str, nn.Conv2d | nn.Linear] = {}
    for name, module in network.named_modules():
        if not isinstance(module, (nn.Conv2d, nn.Linear)):
            continue
        kind = type(module)
        is_plain = kind in {nn.Conv2d, nn.Linear} or _path(kind) in {*_PLAIN_SUBCLASSES, _SAME_CONVOLUTION}
        if not is_plain or (isinstance(module, nn.Conv2d) and module.padding_mode != "zeros"):
            raise InvalidInput(
                f"The layer {name} is a {kind.__qualname__}, which cannot be quantised.",
                hint="Use a network of convolutions padded with zeros and of linear layers.",
                facts={"layer": name, "kind": kind.__qualname__},
            )
        found[name] = module
    if not found:
        raise InvalidInput(
            "The network has no convolution and no linear layer: there is nothing to quantise.",
            hint="Give another network.",
        )
    return found


def _path(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"


def _check_names(scheme: QuantizationScheme, layers: Mapping[str, nn.Module]) -> None:
    unknown = [name for name in (*scheme.overrides, *(scheme.unsigned or ())) if name not in layers]
    if unknown:
        raise InvalidInput(
            f"The network has no convolution or linear layer called {', '.join(unknown[:5])}.",
            hint=f"Its layers are {', '.join([*layers][:20])}{' ...' if len(layers) > 20 else ''}.",
            facts={"field": "overrides", "unknown": unknown[:20]},
        )


def _quantised(
    layer: nn.Conv2d | nn.Linear, bits: tuple[int, int], *, per_channel: bool, signed: bool
) -> QuantisedLayer:
    """The same layer with quantisers; it takes over the parameters, and draws no random numbers."""
    new: QuantisedLayer
    has_bias = layer.bias is not None
    if isinstance(layer, nn.Conv2d):
        kernel, stride, dilation = (
            cast("tuple[int, int]", sizes) for sizes in (layer.kernel_size, layer.stride, layer.dilation)
        )
        new = QuantisedConv2d(
            layer.in_channels,
            layer.out_channels,
            kernel,
            stride,
            cast("str | tuple[int, int]", layer.padding),
            dilation,
            layer.groups,
            has_bias,
            device="meta",
        )
        if _path(type(layer)) == _SAME_CONVOLUTION:
            new.same_padding = SamePadding(kernel, stride, dilation)
    else:
        new = QuantisedLinear(layer.in_features, layer.out_features, has_bias, device="meta")
    new.weight, new.bias = layer.weight, layer.bias
    new.train(layer.training)
    channels = layer.weight.shape[0] if per_channel else None
    new.weight_quantiser = StepQuantiser(bits[0], signed=True, channels=channels).to(layer.weight.device)
    new.input_quantiser = StepQuantiser(bits[1], signed=signed, per_sample=True).to(layer.weight.device)
    new.weight_quantiser.initialise(_mean_magnitude(layer.weight, per_channel=per_channel))
    return new


def _mean_magnitude(weight: Tensor, *, per_channel: bool) -> Tensor:
    """<|v|> of the tensor or of each output channel; a channel of zeros takes that of the tensor."""
    overall = weight.detach().abs().mean()
    if not per_channel:
        return overall
    each = weight.detach().abs().flatten(1).mean(1)
    return each.where(each > 0, overall)
