"""Darknet's layers in torch, written apart from the plugin: reads cfg and weights itself and runs a batch."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as nn


def sections(path: Path) -> list[dict[str, str]]:
    found: list[dict[str, str]] = []
    for line in path.read_text().splitlines():
        bare = line.split("#")[0].strip()
        if bare.startswith("["):
            found.append({"kind": bare.strip("[]")})
        elif "=" in bare:
            key, value = bare.split("=", 1)
            found[-1][key.strip()] = value.strip()
    return found


def run(cfg: Path, weights: Path, pictures: np.ndarray) -> list[np.ndarray]:
    """The raw outputs before each detection head; every weight has to be used."""
    _net, *layers = sections(cfg)
    content = weights.read_bytes()
    values = np.frombuffer(content[20:], "<f4")
    place = 0

    def take(*shape: int) -> torch.Tensor:
        nonlocal place
        count = int(np.prod(shape))
        place += count
        return torch.from_numpy(values[place - count : place].reshape(shape).copy())

    maps: list[torch.Tensor] = []
    heads: list[np.ndarray] = []
    value = torch.from_numpy(pictures)
    for number, layer in enumerate(layers):
        value = _layer(layer, value, maps, number, take, heads)
        maps.append(value)
    assert place == len(values), "weights are left over"
    return heads


def _layer(layer: dict[str, str], value: Any, maps: list[Any], number: int, take: Any, heads: list[Any]) -> Any:
    kind = layer["kind"]
    if kind == "convolutional":
        return _convolution(layer, value, take)
    if kind == "maxpool":
        size, stride = int(layer["size"]), int(layer["stride"])
        total = size - 1
        padded = nn.pad(value, (total // 2, total - total // 2) * 2, value=-float("inf"))
        return nn.max_pool2d(padded, size, stride)
    if kind == "upsample":
        return nn.interpolate(value, scale_factor=int(layer["stride"]), mode="nearest")
    if kind == "route":
        chosen = [maps[int(one) + (number if int(one) < 0 else 0)] for one in layer["layers"].split(",")]
        groups, group = int(layer.get("groups", 1)), int(layer.get("group_id", 0))
        return torch.cat([one.chunk(groups, dim=1)[group] for one in chosen], dim=1)
    if kind == "shortcut":
        return _activated(layer["activation"], value + maps[number + int(layer["from"])])
    assert kind == "yolo", kind
    heads.append(value.numpy())
    return value


def _convolution(layer: dict[str, str], value: Any, take: Any) -> Any:
    filters, size = int(layer["filters"]), int(layer["size"])
    groups = int(layer.get("groups", 1))
    padding = size // 2 if layer.get("pad") == "1" else int(layer.get("padding", 0))
    bias = take(filters)
    statistics = [take(filters) for _ in range(3)] if layer.get("batch_normalize") == "1" else []
    kernel = take(filters, value.shape[1] // groups, size, size)
    value = nn.conv2d(value, kernel, stride=int(layer.get("stride", 1)), padding=padding, groups=groups)
    if statistics:
        scale, mean, variance = (one[:, None, None] for one in statistics)
        value = (value - mean) / (variance.sqrt() + 1e-6) * scale
    return _activated(layer["activation"], value + bias[:, None, None])


def _activated(kind: str, value: Any) -> Any:
    functions = {
        "leaky": lambda one: nn.leaky_relu(one, 0.1),
        "mish": nn.mish,
        "swish": nn.silu,
        "linear": lambda one: one,
    }
    return functions[kind](value)
