"""Pools, padding, cropping and upsampling."""

from typing import Any

from zoo_keras.graphs.builder import Value
from zoo_keras.graphs.call import Call, same_padding


def _pooled(call: Call, kind: str) -> Value:
    window = call.pair("pool_size", 2)
    strides = call.pair("strides", 0)
    strides = window if strides == (0, 0) else strides
    attributes: dict[str, Any] = {"kernel_shape": window, "strides": strides}
    if call.setting("padding", "valid") == "same":
        if None in call.sides:
            attributes["auto_pad"] = "SAME_UPPER"
        else:
            ends = [
                same_padding(size or 0, *pair)
                for size, pair in zip(call.sides, zip(window, strides, strict=True), strict=True)
            ]
            attributes["pads"] = [ends[0][0], ends[1][0], ends[0][1], ends[1][1]]
    return call.made(call.graph.add(kind, [call.picture().name], call.name, **attributes))


def maximum_pool(call: Call) -> Value:
    """What is padded is below every value, in Keras and in ONNX."""
    return _pooled(call, "MaxPool")


def average_pool(call: Call) -> Value:
    """What is padded does not count, in Keras and by ONNX' default."""
    return _pooled(call, "AveragePool")


def _global(call: Call, kind: str) -> Value:
    source = call.picture().name
    if call.switch("keepdims", default=False):
        return call.made(call.graph.add(kind, [source], call.name))
    pooled = call.graph.add(kind, [source], f"{call.name}:pooled")
    return Value(call.graph.add("Flatten", [pooled], call.name), call.shape)


def global_average_pool(call: Call) -> Value:
    """The mean of each channel."""
    return _global(call, "GlobalAveragePool")


def global_maximum_pool(call: Call) -> Value:
    """The largest value of each channel."""
    return _global(call, "GlobalMaxPool")


def _ends(call: Call, key: str, default: int) -> list[list[int]]:
    """``2``, ``[1, 2]`` or ``[[0, 1], [0, 1]]`` as the amounts before and after height and width."""
    given = call.setting(key, default)
    pairs = given if isinstance(given, list) else [given, given]
    return [pair if isinstance(pair, list) else [pair, pair] for pair in pairs]


def zero_padding(call: Call) -> Value:
    """Zeros around the picture."""
    (top, bottom), (left, right) = _ends(call, "padding", 1)
    pads = call.graph.integers(f"{call.name}:pads", [0, 0, top, left, 0, 0, bottom, right])
    return call.made(call.graph.add("Pad", [call.picture().name, pads], call.name))


def cropping(call: Call) -> Value:
    """Cuts the edges off; a negative end counts from behind."""
    (top, bottom), (left, right) = _ends(call, "cropping", 0)
    far = 2**31 - 1
    bounds = {"starts": [top, left], "ends": [-bottom or far, -right or far], "axes": [2, 3]}
    inputs = [call.graph.integers(f"{call.name}:{key}", values) for key, values in bounds.items()]
    return call.made(call.graph.add("Slice", [call.picture().name, *inputs], call.name))


def upsampling(call: Call) -> Value:
    """Repeats pixels, or interpolates between their centres."""
    height, width = call.pair("size", 2)
    scales = call.graph.floats(f"{call.name}:scales", [1, 1, height, width])
    interpolation = call.setting("interpolation", "nearest")
    if interpolation == "nearest":
        how: dict[str, Any] = {
            "mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor",
        }  # fmt: skip
    elif interpolation == "bilinear":
        how = {"mode": "linear", "coordinate_transformation_mode": "half_pixel"}
    else:
        raise call.refusal(f"interpolates {interpolation!r}; nearest and bilinear are read")
    return call.made(call.graph.add("Resize", [call.picture().name, "", scales], call.name, **how))
