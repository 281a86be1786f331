"""Which network it is: a name and a few numbers, from which the network is rebuilt."""

from typing import Annotated, Any, Self

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_serializer
from pydantic.functional_serializers import SerializerFunctionWrapHandler
from torch import nn

from zoo_sdk.errors import InvalidInput, UnknownName
from zoo_torch.networks.names import ArchitectureName, OptionValue
from zoo_torch.networks.narrowing import Widths, layer_widths, narrow_untrained, widths_of
from zoo_torch.networks.small import DEFAULT_IMAGE_SIZE, SIZED_NETWORKS, SMALL_NETWORKS
from zoo_torch.quantization.network import quantise
from zoo_torch.quantization.scheme import QuantizationScheme

ALLOWED_OPTIONS = frozenset({"drop_rate", "drop_path_rate", "img_size", "global_pool", "output_stride"})
"""Other options of timm name files, addresses or Python objects: nothing that a stranger's file may choose."""

MIN_IMAGE_SIZE, MAX_IMAGE_SIZE = 8, 128
"""Of our own transformers, whose attention grows with the fourth power of it."""


class Architecture(BaseModel):
    """A network's description, kept as JSON in the metadata of a safetensors file.

    ``widths``: the narrowed layers of a pruned network, see :mod:`zoo_torch.networks.narrowing`.
    ``quantization``: the layers that round to integers, see :mod:`zoo_torch.quantization.network`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: ArchitectureName
    num_classes: Annotated[int, Field(ge=1, le=100_001)]
    in_chans: Annotated[int, Field(ge=1, le=64)] = 3
    options: dict[str, OptionValue] = Field(default_factory=dict, max_length=10)
    widths: Widths | None = None
    quantization: QuantizationScheme | None = None

    @model_serializer(mode="wrap")
    def _without_absent(self, serialise: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out what is None, so that the description of a network never depends on what others can have."""
        return {key: value for key, value in serialise(self).items() if value is not None}

    @field_validator("options")
    @classmethod
    def _known_options(cls, value: dict[str, OptionValue]) -> dict[str, OptionValue]:
        for name in value:
            if name not in ALLOWED_OPTIONS:
                raise ValueError(f"the option {name!r} is not one of {', '.join(sorted(ALLOWED_OPTIONS))}")
        return value

    @classmethod
    def parse(cls, text: str, source: str) -> Self:
        """Read the JSON of a file's metadata; raises :class:`InvalidInput` that names ``source``."""
        try:
            return cls.model_validate_json(text)
        except ValidationError as error:
            reason = "; ".join(f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors())
            raise InvalidInput(f"{source} describes its architecture wrongly: {reason}.") from error

    @classmethod
    def of(cls, name: str, *, num_classes: int, in_chans: int, options: dict[str, OptionValue] | None = None) -> Self:
        """Build one from parameters; raises :class:`InvalidInput`."""
        try:
            return cls(name=name, num_classes=num_classes, in_chans=in_chans, options=options or {})
        except ValidationError as error:
            raise InvalidInput(
                f"The architecture {name!r} cannot be built so: {error.errors()[0]['msg']}.",
                facts={"field": "architecture_options"},
            ) from error

    def build(self) -> nn.Module:
        """The network with fresh random weights, from torch's current random state.

        Raises:
            UnknownName: there is no such architecture; suggests the nearest.
            InvalidInput: timm cannot build it so, or a width or a quantised layer fits no layer of it.

        """
        network = self._build_full()
        if self.widths is not None:
            narrow_untrained(network, self._with_own_classifier(network, self.widths))
        return network if self.quantization is None else quantise(network, self.quantization)

    def narrowed_as(self, network: nn.Module) -> Self:
        """The description of ``network``, which is this architecture with some layers narrowed.

        Raises:
            InvalidInput: it differs in more than the widths of layers.

        """
        with torch.random.fork_rng(devices=[]):
            widths = widths_of(network, self._build_full())
        return self.model_copy(update={"widths": widths or None})

    def _with_own_classifier(
        self, network: nn.Module, widths: dict[str, tuple[int, int]]
    ) -> dict[str, tuple[int, int]]:
        """The classifier has one output per class, whatever number of classes it had when it was narrowed."""
        own = dict(widths)
        for prefix in classifier_prefixes(network):
            name = prefix.removesuffix(".")
            if name in own and (full := layer_widths(network.get_submodule(name))) is not None:
                own[name] = (full[0], own[name][1])
        return own

    @property
    def takes_image_size(self) -> bool:
        """Whether it is one of our networks that are made for one image size, their option ``img_size``."""
        family, _, name = self.name.partition(":")
        return family == "zoo" and name in SIZED_NETWORKS

    def _build_small(self, name: str) -> nn.Module:
        allowed = {"img_size"} if name in SIZED_NETWORKS else set()
        if name not in {*SMALL_NETWORKS, *SIZED_NETWORKS}:
            raise UnknownName("architecture", self.name, [f"zoo:{one}" for one in (*SMALL_NETWORKS, *SIZED_NETWORKS)])
        if not allowed.issuperset(self.options):
            raise InvalidInput(
                f"{self.name} takes {'only the option img_size' if allowed else 'no architecture options'}.",
                facts={"field": "architecture_options"},
            )
        if name in SMALL_NETWORKS:
            return SMALL_NETWORKS[name](self.in_chans, self.num_classes)
        size = self.options.get("img_size", DEFAULT_IMAGE_SIZE)
        if not isinstance(size, int) or not MIN_IMAGE_SIZE <= size <= MAX_IMAGE_SIZE:
            raise InvalidInput(
                f"img_size is {size!r}, not a whole number from {MIN_IMAGE_SIZE} to {MAX_IMAGE_SIZE}.",
                facts={"field": "architecture_options"},
            )
        return SIZED_NETWORKS[name](self.in_chans, self.num_classes, size)

    def _build_full(self) -> nn.Module:
        family, _, name = self.name.partition(":")
        if family == "zoo":
            return self._build_small(name)
        # Takes as long to import as torch itself, and our own networks do without it.
        import timm

        if not timm.is_model(name):
            raise UnknownName("architecture", self.name, [f"timm:{known}" for known in timm.list_models()])
        options: dict[str, Any] = dict(self.options)
        try:
            network: nn.Module = timm.create_model(
                name, pretrained=False, num_classes=self.num_classes, in_chans=self.in_chans, **options
            )
        except (TypeError, ValueError, AssertionError, RuntimeError) as error:
            raise InvalidInput(
                f"timm cannot build {name} with {self.num_classes} classes, {self.in_chans} channels and "
                f"{self.options}: {error}",
                facts={"field": "architecture_options"},
            ) from error
        return network


def classifier_prefixes(network: nn.Module) -> tuple[str, ...]:
    """The name prefixes of the classifier's weights, such as ``("classifier.",)`` or ``("fc.",)``."""
    declared = getattr(network, "default_cfg", {}).get("classifier", "classifier")
    names = (declared,) if isinstance(declared, str) else tuple(declared or ())
    return tuple(f"{name}." for name in names)
