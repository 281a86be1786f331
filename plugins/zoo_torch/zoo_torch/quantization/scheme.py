"""Which layers are quantised to how many bits, as data: importing it imports no framework."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Bits = Annotated[int, Field(ge=2, le=8)]
LayerName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.]{1,200}$")]
MAX_LAYERS = 10_000


class LayerBits(BaseModel):
    """The bits of one layer."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    weight_bits: Bits | None = Field(None, description="Of the layer's weights; null: as without the override.")
    activation_bits: Bits | None = Field(None, description="Of the layer's inputs; null: as without the override.")


LayerOverride = LayerBits | Literal["float"]
"""Other bits for a layer, or ``float``: the layer is left as it is."""


class QuantizationScheme(BaseModel):
    """Bits of every convolution and linear layer: of its weights, and of the activations that enter it.

    Esser et al. 2020 (arXiv 1902.08153), section 2.3: the first and the last layer at 8 bits, the others at the bits
    under test.  ``overrides`` win over ``first_last_bits``, which wins over ``weight_bits`` and ``activation_bits``.

    ``per_channel``: one step for each output channel of a weight, instead of one for the tensor.  Activations always
    have one step for the tensor.

    ``unsigned``: the layers whose input is never negative (it comes from a ReLU), so that no code is spent on a sign;
    None: found from the network's graph.  A network that was made carries the list, so that it is rebuilt alike.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    weight_bits: Bits = 8
    activation_bits: Bits = 8
    per_channel: bool = True
    first_last_bits: Bits = 8
    overrides: dict[LayerName, LayerOverride] = Field(default_factory=dict, max_length=MAX_LAYERS)
    unsigned: tuple[LayerName, ...] | None = Field(None, max_length=MAX_LAYERS)

    def bits_of(self, layer: str, *, is_first_or_last: bool) -> tuple[int, int] | None:
        """(weight bits, activation bits) of that layer; None: it stays in floating point."""
        override = self.overrides.get(layer, LayerBits())
        if override == "float":
            return None
        weight, activation = self.weight_bits, self.activation_bits
        if is_first_or_last:
            weight = activation = self.first_last_bits
        return override.weight_bits or weight, override.activation_bits or activation


def integer_range(bits: int, *, signed: bool) -> tuple[int, int]:
    """(-Q_N, Q_P): Esser et al. 2020, section 2: signed -2^(b-1) .. 2^(b-1) - 1, unsigned 0 .. 2^b - 1."""
    return (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)
