"""Which network it is: a name and a few numbers, from which the network is rebuilt."""

from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator
from torch import nn

from zoo_sdk.errors import InvalidInput, UnknownName
from zoo_torch.networks.names import ArchitectureName, OptionValue
from zoo_torch.networks.small import SMALL_NETWORKS

ALLOWED_OPTIONS = frozenset({"drop_rate", "drop_path_rate", "img_size", "global_pool", "output_stride"})
"""Other options of timm name files, addresses or Python objects: nothing that a stranger's file may choose."""


class Architecture(BaseModel):
    """A network's description, kept as JSON in the metadata of a safetensors file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: ArchitectureName
    num_classes: Annotated[int, Field(ge=1, le=100_001)]
    in_chans: Annotated[int, Field(ge=1, le=64)] = 3
    options: dict[str, OptionValue] = Field(default_factory=dict, max_length=10)

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
            InvalidInput: timm cannot build it so.

        """
        family, _, name = self.name.partition(":")
        if family == "zoo":
            if name not in SMALL_NETWORKS:
                raise UnknownName("architecture", self.name, [f"zoo:{known}" for known in SMALL_NETWORKS])
            if self.options:
                raise InvalidInput(
                    f"{self.name} takes no architecture options.", facts={"field": "architecture_options"}
                )
            return SMALL_NETWORKS[name](self.in_chans, self.num_classes)
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
