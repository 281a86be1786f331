"""Operators that look through a window: convolutions and pools."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from zoo_tflite.graphs.file import BUILTIN
from zoo_tflite.graphs.graph import TURNED_AXIS, Graph, Node, Value

_LOWEST = float(np.finfo(np.float32).min)


def convolution(graph: Graph, node: Node) -> Value:
    """ONNX' kernel is (O, I / groups, H, W), TFLite's (O, H, W, I / groups), or (1, H, W, O) for a depthwise one."""
    kernel = graph.constant(node.inputs[1], node).astype(np.float32)
    if kernel.ndim != 4:
        raise node.refusal(f"has {kernel.ndim - 2} axes; pictures are converted")
    bias = graph.constant(node.given(2), node) if node.given(2) else np.zeros(len(kernel))
    value = graph.turned(graph.value(node.inputs[0], node))
    group = int(node.attributes.get("group", 1))
    strides, dilations = (list(node.attributes.get(key, [1, 1])) for key in ("strides", "dilations"))
    reach = [(side - 1) * rate + 1 for side, rate in zip(kernel.shape[2:], dilations, strict=True)]
    value, padding = _padded(graph, node, value, reach, strides, fill=0.0)
    depthwise = group == value.shape[1] and group > 1
    options: Any = schema.DepthwiseConv2DOptionsT() if depthwise else schema.Conv2DOptionsT()
    options.padding = padding
    options.strideH, options.strideW = strides
    options.dilationHFactor, options.dilationWFactor = dilations
    if depthwise:
        options.depthMultiplier = len(kernel) // group
    laid = kernel[:, 0].transpose(1, 2, 0)[None] if depthwise else kernel.transpose(0, 2, 3, 1)
    inputs = [
        value.index, graph.floats(f"{node.outputs[0]}:kernel", laid), graph.floats(f"{node.outputs[0]}:bias", bias),
    ]  # fmt: skip
    code = BUILTIN.DEPTHWISE_CONV_2D if depthwise else BUILTIN.CONV_2D
    name = node.outputs[0]
    return graph.write(code, inputs, name, graph.shape(name, node), turned=True, options=options)


def _padded(
    graph: Graph, node: Node, value: Value, reach: Sequence[int], strides: Sequence[int], *, fill: float
) -> tuple[Value, int]:
    """The value, padded by an operator of its own unless TFLite's SAME or VALID pads like that."""
    auto = node.text("auto_pad", "NOTSET")
    if auto in {"SAME_UPPER", "VALID"}:
        return value, schema.Padding.SAME if auto == "SAME_UPPER" else schema.Padding.VALID
    if auto != "NOTSET":
        raise node.refusal(f"pads {auto}")
    pads = list(node.attributes.get("pads", [0, 0, 0, 0]))
    if not any(pads):
        return value, schema.Padding.VALID
    totals = [
        max((-(-side // stride) - 1) * stride + length - side, 0)
        for side, stride, length in zip(value.shape[2:], strides, reach, strict=True)
    ]
    if pads == [total // 2 for total in totals] + [total - total // 2 for total in totals]:
        return value, schema.Padding.SAME
    return padded_by(graph, value, f"{node.outputs[0]}:padded", pads, fill), schema.Padding.VALID


def padded_by(graph: Graph, value: Value, name: str, pads: Sequence[int], fill: float) -> Value:
    """A turned value with ``pads`` (top, left, bottom, right) around it."""
    top, left, bottom, right = pads
    count, channels, height, width = value.shape
    amounts = graph.file.constant(f"{name}:pads", np.array([[0, 0], [top, bottom], [left, right], [0, 0]], np.int32))
    inputs = [value.index, amounts]
    if fill:
        inputs.append(graph.floats(f"{name}:fill", [fill]))
    shape = (count, channels, height + top + bottom, width + left + right)
    return graph.write(BUILTIN.PADV2 if fill else BUILTIN.PAD, inputs, name, shape, turned=True)


def _pooled(graph: Graph, node: Node, code: int, fill: float) -> Value:
    window = list(node.attributes["kernel_shape"])
    strides = list(node.attributes.get("strides", [1, 1]))
    if len(window) != 2 or any(rate != 1 for rate in node.attributes.get("dilations", [1])):
        raise node.refusal("has other than two axes, or a dilation")
    name = node.outputs[0]
    shape = graph.shape(name, node)
    value, padding = _padded(graph, node, graph.turned(graph.value(node.inputs[0], node)), window, strides, fill=fill)
    own = [(side - length) // stride + 1 for side, length, stride in zip(value.shape[2:], window, strides, strict=True)]
    if padding == schema.Padding.VALID and tuple(own) != shape[2:]:
        raise node.refusal("rounds its size up")
    options = schema.Pool2DOptionsT()
    options.padding = padding
    options.strideH, options.strideW = strides
    options.filterHeight, options.filterWidth = window
    return graph.write(code, [value.index], name, shape, turned=True, options=options)


def maximum_pool(graph: Graph, node: Node) -> Value:
    """What is padded is below every value."""
    if len(node.outputs) > 1:
        raise node.refusal("tells where the largest values are")
    return _pooled(graph, node, BUILTIN.MAX_POOL_2D, _LOWEST)


def average_pool(graph: Graph, node: Node) -> Value:
    """TFLite's SAME leaves out what is padded; zeros of an operator of their own count."""
    pads = node.attributes.get("pads", [0, 0, 0, 0])
    counted = bool(node.attributes.get("count_include_pad", 0))
    if any(pads) and not counted:
        totals = _same_totals(graph, node)
        if list(pads) != [total // 2 for total in totals] + [total - total // 2 for total in totals]:
            raise node.refusal("leaves out what is padded, by other amounts than TFLite does")
    if any(pads) and counted:
        value = graph.turned(graph.value(node.inputs[0], node))
        padded = padded_by(graph, value, f"{node.outputs[0]}:padded", list(pads), 0.0)
        graph.values[f"{node.outputs[0]}:padded"] = padded
        attributes = {**node.attributes, "pads": [0, 0, 0, 0]}
        node = Node(node.kind, node.name, (f"{node.outputs[0]}:padded",), node.outputs, attributes)
    return _pooled(graph, node, BUILTIN.AVERAGE_POOL_2D, 0.0)


def _same_totals(graph: Graph, node: Node) -> list[int]:
    sides = graph.value(node.inputs[0], node).shape[2:]
    window, strides = node.attributes["kernel_shape"], node.attributes.get("strides", [1, 1])
    return [
        max((-(-side // stride) - 1) * stride + length - side, 0)
        for side, stride, length in zip(sides, strides, window, strict=True)
    ]


def _reduced(graph: Graph, node: Node, code: int, axes: Sequence[int], *, keep: bool) -> Value:
    value = graph.value(node.inputs[0], node)
    own = sorted(axis % value.rank for axis in axes)
    # Without its sides a picture is a row of channels, in either order of the axes.
    if value.turned and not keep and own != [2, 3]:
        value = graph.plain(value)
    places = [TURNED_AXIS[axis] for axis in own] if value.turned else own
    options = schema.ReducerOptionsT()
    options.keepDims = keep
    name = node.outputs[0]
    inputs = [value.index, graph.integers(f"{name}:axes", places)]
    return graph.write(code, inputs, name, graph.shape(name, node), turned=value.turned and keep, options=options)


def global_average_pool(graph: Graph, node: Node) -> Value:
    """The mean of each channel."""
    return _reduced(graph, node, BUILTIN.MEAN, [2, 3], keep=True)


def global_maximum_pool(graph: Graph, node: Node) -> Value:
    """The largest value of each channel."""
    return _reduced(graph, node, BUILTIN.REDUCE_MAX, [2, 3], keep=True)


def mean(graph: Graph, node: Node) -> Value:
    """Over axes that are an attribute until opset 17, an input since."""
    axes = graph.constant(node.given(1), node).tolist() if node.given(1) else node.attributes.get("axes")
    if not axes:
        raise node.refusal("is over all axes")
    return _reduced(graph, node, BUILTIN.MEAN, axes, keep=bool(node.attributes.get("keepdims", 1)))


def resize(graph: Graph, node: Node) -> Value:
    """Nearest pixels by whole factors, or between the pixels' centres."""
    mode, coordinates = node.text("mode", "nearest"), node.text("coordinate_transformation_mode", "half_pixel")
    name = node.outputs[0]
    shape = graph.shape(name, node)
    value = graph.turned(graph.value(node.inputs[0], node))
    options: Any
    if mode == "nearest" and coordinates == "asymmetric" and node.text("nearest_mode", "round_prefer_floor") == "floor":
        code, options = BUILTIN.RESIZE_NEAREST_NEIGHBOR, schema.ResizeNearestNeighborOptionsT()
    elif mode == "linear" and coordinates in {"half_pixel", "align_corners"}:
        code, options = BUILTIN.RESIZE_BILINEAR, schema.ResizeBilinearOptionsT()
        options.halfPixelCenters, options.alignCorners = coordinates == "half_pixel", coordinates == "align_corners"
    else:
        raise node.refusal(f"resizes {mode} with {coordinates}")
    inputs = [value.index, graph.integers(f"{name}:size", shape[2:])]
    return graph.write(code, inputs, name, shape, turned=True, options=options)
