"""Darknet: the .cfg names the layers, from which the sizes of everything follow; the .weights are bare floats."""

import math
import re
import struct

from zoo_inspection.findings import Report
from zoo_inspection.limits import Malformed
from zoo_inspection.reading import Section
from zoo_inspection.tables import Table, port

CFG_START = re.compile(rb"(?:\s|#[^\n]*\n|;[^\n]*\n)*\[(?:net|network)\]", re.ASCII)
MAX_CFG = 2**20
MAX_LAYERS = 5000
MAX_SIDE = 2**20
SAMPLE = 4096
LARGEST_WEIGHT = 1e6
Layer = tuple[str, dict[str, str]]


def looks_like_cfg(head: bytes) -> bool:
    """The section ``[net]`` or ``[network]`` comes first, behind comments."""
    return CFG_START.match(head) is not None


def looks_like_weights(section: Section) -> bool:
    """Version 0.1 or 0.2, and floats of sensible sizes after it: the format has no magic bytes."""
    if section.size < 20 or section.size % 4:
        return False
    major, minor, revision = struct.unpack("<iii", section.at(0, 12))
    if major != 0 or minor not in {1, 2} or not 0 <= revision <= 9:
        return False
    start = _weights_start(minor)
    count = min(SAMPLE, (section.size - start) // 4)
    values = struct.unpack(f"<{count}f", section.at(start, 4 * count))
    return count > 0 and any(values) and all(math.isfinite(value) and abs(value) < LARGEST_WEIGHT for value in values)


def _weights_start(minor: int) -> int:
    """``seen`` has 8 bytes since version 0.2."""
    return 20 if minor >= 2 else 16


def inspect_weights(section: Section, report: Report) -> None:
    """The version and the number of values; names and shapes are in the .cfg only."""
    major, minor, revision = struct.unpack("<iii", section.at(0, 12))
    start = _weights_start(minor)
    report.format = "darknet"
    report.facts |= {
        "part": "weights",
        "version": f"{major}.{minor}.{revision}",
        "images_seen": min(int.from_bytes(section.at(12, start - 12), "little"), 2**53),
        "parameters": (section.size - start) // 4,
        "dtypes": ["float32"],
        "precision": "fp32",
        "producer": "darknet",
    }


def inspect_cfg(section: Section, report: Report) -> None:
    """Layers with their output shapes and parameters, as Darknet computes them."""
    if section.size > MAX_CFG:
        raise Malformed(f"its configuration of {section.size} bytes is above {MAX_CFG}")
    layers = _layers(section.at(0, section.size).decode("utf-8", "replace"))
    report.format = "darknet"
    _, net = layers[0]
    shape = tuple(_number(net, name, default) for name, default in (("channels", 3), ("height", 0), ("width", 0)))
    report.facts |= {"part": "configuration", "producer": "darknet"}
    report.facts["inputs"] = [port("data", "float32", [None, *(length or None for length in shape)], "NCHW")]
    table = Table(("name", "type", "shape", "parameters"), section.budget.limits.rows)
    shapes: list[tuple[int, ...]] = []
    total, ends = 0, []
    for index, (kind, options) in enumerate(layers[1:]):
        section.budget.step()
        shape, count = _apply(kind, options, shape, shapes)
        shapes.append(shape)
        total += count
        table.add(f"{index}", kind, list(shape), count)
        if kind in {"yolo", "region", "detection", "softmax", "cost"}:
            ends.append(port(f"{index}", "float32", [None, *shape]))
    report.facts |= {"layers": table.told(), "parameters": total, "operators": sorted({kind for kind, _ in layers[1:]})}
    report.facts["outputs"] = ends[:64] or [port(f"{len(shapes) - 1}", "float32", [None, *shape])]
    unknown = sorted({kind for kind, _ in layers[1:]} - KNOWN)
    if unknown:
        report.suspicious(f"It has layers of unknown kinds: {', '.join(kind[:40] for kind in unknown[:10])}.")


def _layers(text: str) -> list[Layer]:
    found: list[Layer] = []
    for line in text.splitlines():
        bare = line.strip()
        if not bare or bare[0] in "#;":
            continue
        if bare.startswith("[") and bare.endswith("]"):
            found.append((bare[1:-1].strip()[:40], {}))
            if len(found) > MAX_LAYERS:
                raise Malformed(f"it has more than {MAX_LAYERS} layers")
        elif found and "=" in bare:
            key, _, value = bare.partition("=")
            found[-1][1][key.strip()[:40]] = value.strip()
    if not found or found[0][0] not in {"net", "network"}:
        raise Malformed("it has no [net]")
    return found


def _number(options: dict[str, str], name: str, default: int) -> int:
    text = options.get(name, str(default)).split("#")[0].strip()
    if not re.fullmatch(r"-?\d{1,9}", text):
        raise Malformed(f"{name}={text[:40]} is no whole number")
    return int(text)


def _apply(
    kind: str, options: dict[str, str], shape: tuple[int, ...], before: list[tuple[int, ...]]
) -> tuple[tuple[int, ...], int]:
    """The layer's output shape (channels, height, width) and its number of parameters."""
    channels, height, width = shape
    if kind in {"convolutional", "conv"}:
        return _convolution(options, shape)
    if kind in {"connected", "conn"}:
        outputs = _side(_number(options, "output", 1))
        batch = 3 * outputs if _number(options, "batch_normalize", 0) else 0
        return (outputs, 1, 1), channels * height * width * outputs + outputs + batch
    if kind in {"maxpool", "max"}:
        stride = max(_number(options, "stride", 1), 1)
        size = _number(options, "size", stride)
        padding = _number(options, "padding", size - 1)
        return (
            channels,
            _side((height + padding - size) // stride + 1),
            _side((width + padding - size) // stride + 1),
        ), 0
    if kind in {"avgpool", "avg"}:
        return (channels, 1, 1), 0
    if kind == "upsample":
        stride = max(_number(options, "stride", 2), 1)
        return (channels, _side(height * stride), _side(width * stride)), 0
    if kind == "reorg":
        stride = max(_number(options, "stride", 1), 1)
        return (_side(channels * stride * stride), height // stride, width // stride), 0
    if kind == "route":
        return _route(options, before), 0
    return shape, 0


def _convolution(options: dict[str, str], shape: tuple[int, ...]) -> tuple[tuple[int, ...], int]:
    channels, height, width = shape
    filters, size = _side(_number(options, "filters", 1)), _side(_number(options, "size", 1))
    stride, groups = max(_number(options, "stride", 1), 1), max(_number(options, "groups", 1), 1)
    padding = size // 2 if _number(options, "pad", 0) else _number(options, "padding", 0)
    out = tuple(_side((side + 2 * padding - size) // stride + 1) for side in (height, width))
    batch = 3 * filters if _number(options, "batch_normalize", 0) else 0
    return (filters, *out), filters * (channels // groups) * size * size + filters + batch


def _route(options: dict[str, str], before: list[tuple[int, ...]]) -> tuple[int, ...]:
    parts = [part.strip() for part in options.get("layers", "").split(",")[:64]]
    chosen = []
    for part in parts:
        index = _number({"layers": part}, "layers", 0)
        index = index + len(before) if index < 0 else index
        if not 0 <= index < len(before):
            raise Malformed(f"a route leads to the layer {part[:20]}, which is not before it")
        chosen.append(before[index])
    groups = max(_number(options, "groups", 1), 1)
    return (_side(sum(shape[0] for shape in chosen) // groups), *chosen[0][1:])


def _side(length: int) -> int:
    if not 0 <= length <= MAX_SIDE:
        raise Malformed(f"a length of {length} makes no sense")
    return length


_KINDS = """
net network convolutional conv connected conn maxpool max avgpool avg upsample reorg route shortcut yolo
region detection softmax soft cost dropout crop activation batchnorm normalization lrn
"""
KNOWN = frozenset(_KINDS.split())
