"""Convolutions and dense layers."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zoo_keras.graphs.builder import Value
from zoo_keras.graphs.call import Call, same_padding


def _pads(call: Call, window: Sequence[int], strides: Sequence[int]) -> dict[str, Any]:
    """The attributes for the padding; explicit where the size is known, which more tools understand."""
    padding = call.setting("padding", "valid")
    if padding == "valid":
        return {}
    if padding != "same":
        raise call.refusal(f"pads {padding!r}")
    dilation = call.pair("dilation_rate", 1)
    reach = [(side - 1) * rate + 1 for side, rate in zip(window, dilation, strict=True)]
    if None in call.sides:
        return {"auto_pad": "SAME_UPPER"}
    ends = [
        same_padding(size or 0, length, stride) for size, length, stride in zip(call.sides, reach, strides, strict=True)
    ]
    return {"pads": [ends[0][0], ends[1][0], ends[0][1], ends[1][1]]}


def _convolved(
    call: Call,
    source: str,
    kernel: NDArray[Any],
    bias: NDArray[Any] | None,
    *,
    step: str,
    group: int = 1,
    plain: bool = False,
) -> str:
    """A Conv with a kernel (O, I, H, W); ``plain``: 1 x 1, without strides and padding (a pointwise part)."""
    name = f"{call.name}:{step}"
    inputs = [source, call.graph.floats(f"{name}kernel", kernel)]
    if bias is not None:
        inputs.append(call.graph.floats(f"{name}bias", bias))
    attributes: dict[str, Any] = {"kernel_shape": kernel.shape[2:], "group": group}
    if not plain:
        strides = call.pair("strides", 1)
        attributes |= {"strides": strides, "dilations": call.pair("dilation_rate", 1)}
        attributes |= _pads(call, kernel.shape[2:], strides)
    return call.graph.add("Conv", inputs, f"{name}out" if step else call.linear_name, **attributes)


def _bias(call: Call, number: int) -> NDArray[Any] | None:
    return call.weights[number] if call.switch("use_bias", default=True) else None


def convolution(call: Call) -> Value:
    """Keras' kernel is (H, W, I / groups, O)."""
    kernel = call.weights[0].transpose(3, 2, 0, 1)
    group = int(call.setting("groups", 1))
    name = _convolved(call, call.picture().name, kernel, _bias(call, 1), step="", group=group)
    return call.activated(call.made(name))


def _depthwise_kernel(kernel: NDArray[Any]) -> NDArray[Any]:
    """(H, W, C, M) to (C * M, 1, H, W): channel c gives the outputs c * M to c * M + M - 1."""
    height, width, channels, multiplier = kernel.shape
    return kernel.transpose(2, 3, 0, 1).reshape(channels * multiplier, 1, height, width)


def depthwise_convolution(call: Call) -> Value:
    """Each channel has its own kernels: a convolution in as many groups."""
    kernel = call.weights[0]
    source = call.picture().name
    name = _convolved(call, source, _depthwise_kernel(kernel), _bias(call, 1), step="", group=kernel.shape[2])
    return call.activated(call.made(name))


def separable_convolution(call: Call) -> Value:
    """A depthwise convolution and a pointwise one behind it, which has the bias."""
    depthwise, pointwise = call.weights[:2]
    source = call.picture().name
    middle = _convolved(call, source, _depthwise_kernel(depthwise), None, step="depthwise_", group=depthwise.shape[2])
    kernel = pointwise.transpose(3, 2, 0, 1)
    name = _convolved(call, middle, kernel, _bias(call, 2), step="", plain=True)
    return call.activated(call.made(name))


def transposed_convolution(call: Call) -> Value:
    """Keras' kernel is (H, W, O, I)."""
    if call.setting("output_padding", None) is not None or call.pair("dilation_rate", 1) != (1, 1):
        raise call.refusal("has an output padding or a dilation")
    kernel = call.weights[0].transpose(3, 2, 0, 1)
    strides = call.pair("strides", 1)
    same = call.setting("padding", "valid") == "same"
    beyond = [length - stride for length, stride in zip(kernel.shape[2:], strides, strict=True)]
    cut = [max(length, 0) if same else 0 for length in beyond]
    attributes = {
        "kernel_shape": kernel.shape[2:],
        "strides": strides,
        "pads": [length // 2 for length in cut] + [length - length // 2 for length in cut],
        "output_padding": [max(-length, 0) for length in beyond],
    }
    inputs = [call.picture().name, call.graph.floats(f"{call.name}:kernel", kernel)]
    bias = _bias(call, 1)
    if bias is not None:
        inputs.append(call.graph.floats(f"{call.name}:bias", bias))
    return call.activated(call.made(call.graph.add("ConvTranspose", inputs, call.linear_name, **attributes)))


def dense(call: Call) -> Value:
    """Keras multiplies along the last axis, whatever the rank."""
    graph, value = call.graph, call.graph.as_keras(call.value)
    kernel = graph.floats(f"{call.name}:kernel", call.weights[0])
    units = call.weights[0].shape[1]
    bias = _bias(call, 1)
    offset = graph.floats(f"{call.name}:bias", np.zeros(units) if bias is None else bias)
    if value.rank == 2:
        name = graph.add("Gemm", [value.name, kernel, offset], call.linear_name)
    else:
        product = graph.add("MatMul", [value.name, kernel], f"{call.name}:product")
        name = graph.add("Add", [product, offset], call.linear_name)
    return call.activated(Value(name, call.shape))
