"""Reads a Darknet .cfg: its layers in order, with their settings as numbers and their shapes.

Shapes and defaults are those of Darknet's ``parser.c`` (github.com/pjreddie/darknet).
"""

from collections.abc import Mapping
from dataclasses import dataclass

from zoo_sdk.errors import InvalidInput

MAX_CONFIGURATION = 2**20
MAX_LAYERS = 5000
MAX_LENGTH = 2**16
"""Of a side or a number of channels."""
Shape = tuple[int, int, int]
"""Channels, height, width."""

FORMER_NAMES: Mapping[str, str] = {"conv": "convolutional", "conn": "connected", "max": "maxpool", "avg": "avgpool"}
HEADS = frozenset({"yolo", "region"})
"""Layers that read boxes out of what comes before them: that is what the ONNX model gives."""
IGNORED = frozenset({"dropout", "cost"})
"""Layers that do something in training only."""
KNOWN = frozenset(
    {"convolutional", "connected", "maxpool", "avgpool", "upsample", "route", "shortcut", "softmax"} | HEADS | IGNORED
)


@dataclass(frozen=True)
class Layer:
    """A section of the file, its number counted from 0 behind ``[net]``.

    ``sources``: the numbers of the layers that it takes (-1: the picture); ``shape``: of what it gives.
    """

    number: int
    kind: str
    settings: Mapping[str, str]
    sources: tuple[int, ...]
    taken: Shape
    shape: Shape

    @property
    def name(self) -> str:
        return f"{self.number}_{self.kind}"

    def number_of(self, key: str, default: int) -> int:
        """A setting that is a whole number; raises InvalidInput."""
        return _number(self.settings, key, default, self.name)

    def text(self, key: str, default: str) -> str:
        """A setting that is a word."""
        return self.settings.get(key, default).split("#")[0].strip()


@dataclass(frozen=True)
class Network:
    """The input's shape, the layers, and the numbers of those whose outputs are the network's."""

    shape: Shape
    layers: tuple[Layer, ...]
    outputs: tuple[int, ...]
    heads: tuple[Layer, ...]


def read_configuration(text: str) -> Network:
    """The network of a configuration.

    Raises:
        InvalidInput: no ``[net]``, a layer of an unknown kind, a setting or a reference that makes no sense.

    """
    sections = _sections(text)
    kind, net = sections[0]
    if kind not in {"net", "network"}:
        raise InvalidInput(f"The configuration begins with [{kind[:40]}], not with [net].")
    shape = tuple(_length(_number(net, key, default, "net"), "net") for key, default in _NET_SIZES)
    layers: list[Layer] = []
    for kind, settings in sections[1:]:
        layers.append(_layer(len(layers), FORMER_NAMES.get(kind, kind), settings, layers, shape))  # type: ignore[arg-type]
    if not layers:
        raise InvalidInput("The configuration has no layers.")
    heads = tuple(layer for layer in layers if layer.kind in HEADS)
    if layers[0].kind in HEADS:
        raise InvalidInput("The network begins with its detection head.")
    outputs = tuple(head.sources[0] for head in heads) or (_last(layers),)
    return Network(shape, tuple(layers), outputs, heads)  # type: ignore[arg-type]


_NET_SIZES = (("channels", 3), ("height", 0), ("width", 0))


def _last(layers: list[Layer]) -> int:
    return next(layer.number for layer in reversed(layers) if layer.kind not in IGNORED or layer.number == 0)


def _sections(text: str) -> list[tuple[str, dict[str, str]]]:
    found: list[tuple[str, dict[str, str]]] = []
    for line in text.splitlines():
        bare = line.strip()
        if not bare or bare[0] in "#;":
            continue
        if bare.startswith("[") and "]" in bare:
            found.append((bare[1 : bare.index("]")].strip(), {}))
            if len(found) > MAX_LAYERS:
                raise InvalidInput(f"The configuration has more than {MAX_LAYERS} layers.")
        elif found and "=" in bare:
            key, _, value = bare.partition("=")
            found[-1][1][key.strip()] = value.strip()
        else:
            raise InvalidInput(f"The line {bare[:60]!r} of the configuration is neither a section nor a setting.")
    if not found:
        raise InvalidInput("The configuration has no sections.", hint="Push Darknet's .cfg.")
    return found


def _number(settings: Mapping[str, str], key: str, default: int, layer: str) -> int:
    text = settings.get(key, str(default)).split("#")[0].strip()
    try:
        value = int(text)
    except ValueError as error:
        raise InvalidInput(f"{key} = {text[:40]!r} of {layer} is no whole number.", facts={"layer": layer}) from error
    if abs(value) > MAX_LENGTH * 16:
        raise InvalidInput(f"{key} = {value} of {layer} is out of range.", facts={"layer": layer})
    return value


def _length(value: int, layer: str) -> int:
    if not 1 <= value <= MAX_LENGTH:
        raise InvalidInput(f"{layer} would have a side or channels of {value}.", facts={"layer": layer})
    return value


def _layer(number: int, kind: str, settings: dict[str, str], before: list[Layer], picture: Shape) -> Layer:
    name = f"{number}_{kind}"[:60]
    if kind not in KNOWN:
        raise InvalidInput(
            f"The layer {name!r} is of a kind that is not read.",
            hint=f"Known: {', '.join(sorted(KNOWN))}.",
            facts={"layer": name},
        )
    sources: tuple[int, ...] = (number - 1,)
    if kind == "route":
        sources = _references(settings, "layers", number, name)
    elif kind == "shortcut":
        sources = (number - 1, *_references(settings, "from", number, name))
    shapes = [picture if source < 0 else before[source].shape for source in sources]
    layer = Layer(number, kind, settings, sources, shapes[0], shapes[0])
    shape = _SHAPES[kind](layer, shapes) if kind in _SHAPES else shapes[0]
    return Layer(number, kind, settings, sources, shapes[0], _checked(shape, name))


def _references(settings: Mapping[str, str], key: str, number: int, name: str) -> tuple[int, ...]:
    parts = [part for part in settings.get(key, "").split("#")[0].split(",") if part.strip()]
    if not 1 <= len(parts) <= 64:
        raise InvalidInput(f"{name} names {len(parts)} layers in {key!r}.", facts={"layer": name})
    found = []
    for part in parts:
        given = _number({key: part}, key, 0, name)
        target = number + given if given < 0 else given
        if not 0 <= target < number:
            raise InvalidInput(f"{name} takes the layer {given}, which is not before it.", facts={"layer": name})
        found.append(target)
    return tuple(found)


def _checked(shape: Shape, name: str) -> Shape:
    channels, height, width = (_length(length, name) for length in shape)
    return channels, height, width


def padding_of(layer: Layer) -> int:
    """Pixels around the picture of a convolution: ``pad`` means half the kernel, ``padding`` is the number itself."""
    size = layer.number_of("size", 1)
    return size // 2 if layer.number_of("pad", 0) else layer.number_of("padding", 0)


def pool_of(layer: Layer) -> tuple[int, int, int]:
    """Window, stride and padding of a maxpool.  The padding is the sum of both sides; the smaller half comes first."""
    stride = _positive(layer, "stride", 1)
    size = _positive(layer, "size", stride)
    return size, stride, layer.number_of("padding", size - 1)


def _positive(layer: Layer, key: str, default: int) -> int:
    return _length(layer.number_of(key, default), layer.name)


def _convolution(layer: Layer, shapes: list[Shape]) -> Shape:
    channels, height, width = shapes[0]
    groups = _positive(layer, "groups", 1)
    filters = _positive(layer, "filters", 1)
    if channels % groups or filters % groups:
        raise InvalidInput(f"{layer.name} has {groups} groups of {channels} channels.", facts={"layer": layer.name})
    size, stride, padding = _positive(layer, "size", 1), _positive(layer, "stride", 1), padding_of(layer)
    sides = [(side + 2 * padding - size) // stride + 1 for side in (height, width)]
    return filters, sides[0], sides[1]


def _pool(layer: Layer, shapes: list[Shape]) -> Shape:
    channels, height, width = shapes[0]
    size, stride, padding = pool_of(layer)
    return channels, (height + padding - size) // stride + 1, (width + padding - size) // stride + 1


def _upsample(layer: Layer, shapes: list[Shape]) -> Shape:
    channels, height, width = shapes[0]
    stride = _positive(layer, "stride", 2)
    return channels, height * stride, width * stride


def _route(layer: Layer, shapes: list[Shape]) -> Shape:
    if len({shape[1:] for shape in shapes}) != 1:
        raise InvalidInput(f"{layer.name} joins layers of different sides: {shapes}.", facts={"layer": layer.name})
    groups, group = _positive(layer, "groups", 1), layer.number_of("group_id", 0)
    if any(shape[0] % groups for shape in shapes) or not 0 <= group < groups:
        raise InvalidInput(f"{layer.name} takes the group {group} of {groups}.", facts={"layer": layer.name})
    return sum(shape[0] for shape in shapes) // groups, *shapes[0][1:]


def _shortcut(layer: Layer, shapes: list[Shape]) -> Shape:
    if len(set(shapes)) != 1:
        raise InvalidInput(
            f"{layer.name} adds layers of different shapes, {shapes}, which Darknet cuts to fit; that is not read.",
            facts={"layer": layer.name},
        )
    return shapes[0]


def _connected(layer: Layer, _shapes: list[Shape]) -> Shape:
    return _positive(layer, "output", 1), 1, 1


def _mean(_layer: Layer, shapes: list[Shape]) -> Shape:
    return shapes[0][0], 1, 1


_SHAPES = {
    "convolutional": _convolution,
    "connected": _connected,
    "maxpool": _pool,
    "avgpool": _mean,
    "upsample": _upsample,
    "route": _route,
    "shortcut": _shortcut,
}
