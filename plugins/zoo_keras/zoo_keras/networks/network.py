"""A Keras network as data: layers with plain settings and who calls whom, the same for files of every era."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple


class Ref(NamedTuple):
    """An output: of a layer, at its call number ``call``, number ``tensor`` of what it gave."""

    layer: str
    call: int
    tensor: int


@dataclass(frozen=True)
class Layer:
    """One layer: a class of :data:`zoo_keras.networks.allowed.LAYERS`, plain settings, and its calls' inputs.

    ``inner`` is the network of a model used as a layer (``kind`` is then Functional or Sequential).
    """

    name: str
    kind: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    calls: tuple[tuple[Ref, ...], ...] = ()
    inner: "Network | None" = None


@dataclass(frozen=True)
class Network:
    """A whole model.  ``kind``: Functional, or Sequential where the layers are a chain that begins with an input."""

    name: str
    kind: str
    layers: tuple[Layer, ...]
    inputs: tuple[Ref, ...]
    outputs: tuple[Ref, ...]

    @cached_property
    def by_name(self) -> dict[str, Layer]:
        """The layers by their names, which differ."""
        return {layer.name: layer for layer in self.layers}
