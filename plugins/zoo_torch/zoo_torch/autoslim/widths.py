"""The widths that a group of channels may have, and which of them a supernet was trained for."""

from fractions import Fraction
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from zoo_sdk.context import InputItem
from zoo_sdk.errors import InvalidInput

DETAILS_KEY = "slimmable"


class SlimmableFacts(BaseModel):
    """What a supernet was trained for; kept in its artifact's details under ``slimmable``.

    ``held_out``: the share of ``train_split`` that it never saw.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    channel_bins: Annotated[int, Field(ge=2, le=64)]
    min_bins: Annotated[int, Field(ge=1, le=63)]
    round_to: Annotated[int, Field(ge=1, le=256)]
    train_split: Annotated[str, Field(min_length=1, max_length=100)]
    held_out: Annotated[float, Field(ge=0, le=0.9)]

    @classmethod
    def of(cls, item: InputItem) -> Self:
        """Those of an input; raises :class:`InvalidInput` where it is no supernet."""
        details: Any = item.artifact.details.get(DETAILS_KEY) if item.artifact else None
        try:
            return cls.model_validate(details)
        except ValidationError as error:
            raise InvalidInput(
                f"{item.reference} is not a slimmable supernet: its details do not say for which widths.",
                hint="Give a version that torch.slim_supernet made.",
                facts={"field": "supernet"},
            ) from error

    def options(self, channels: int, max_bins: int | None = None) -> tuple[int, ...]:
        """The widths of a group with so many channels, ascending; the last one is ``channels``.

        k/n of the channels for k = min_bins..n, each rounded to the nearest multiple of ``round_to`` (at least one
        multiple, at most all channels); equal ones count once.

        Args:
            channels: the full width.
            max_bins: n, if below ``channel_bins``; the narrowest width stays where it is.

        """
        bins = min(max_bins or self.channel_bins, self.channel_bins)
        least = Fraction(self.min_bins, self.channel_bins)
        shares = {least, *(share for k in range(1, bins + 1) if (share := Fraction(k, bins)) > least)}
        return tuple(sorted({self._rounded(channels, share) for share in shares}))

    def _rounded(self, channels: int, share: Fraction) -> int:
        multiples = int(channels * share / self.round_to + Fraction(1, 2))
        return channels if share == 1 else min(channels, max(1, multiples) * self.round_to)
