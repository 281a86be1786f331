"""What callers ask of this app, as typed and bounded data (the bodies of its routes)."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from zoo_sdk.names import Name
from zoo_sdk.vocabulary import Precision
from zoo_server.pipelines.recipes.document import DEFAULT_FILE
from zoo_server.pipelines.recipes.settings import Overrides

TEXT_LIMIT = 300_000
"""Above what the recipe's reader takes, so that a recipe that is too long is told as such, with its size."""


class RecipeText(BaseModel):
    """``POST recipes/validate``: a recipe."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    recipe: str = Field(max_length=TEXT_LIMIT, description="The YAML text.")
    file: str = Field(DEFAULT_FILE, pattern=r"^[^\x00-\x1f]{1,200}$", description="The name that errors show.")


class RecipeRequest(RecipeText):
    """``POST recipes/plan``: a recipe, and what to fill in."""

    set: str | None = Field(None, max_length=60, description="Name of a parameter set of the recipe.")
    team: Name | None = Field(None, description="Default: the caller's only team.")
    inputs: dict[str, str] = Field(default_factory=dict, max_length=50, description="Input name to team/name@3.")
    values: dict[str, Any] = Field(default_factory=dict, max_length=200, description="Replace the recipe's values.")
    axes: dict[str, list[Any]] = Field(default_factory=dict, max_length=10, description="Replace the recipe's axes.")
    cache: Literal["use", "refresh", "off"] = Field("use", description="As in POST jobs, for every step.")

    @property
    def overrides(self) -> Overrides:
        """What the request replaces in the recipe."""
        return Overrides(self.set, self.values, self.axes)


class PipelineRequest(RecipeRequest):
    """``POST pipelines``: the same, to be run."""

    priority: int = Field(5, ge=0, le=9, description="Of its jobs: 9 runs first, 0 last.")


class ConversionRequest(BaseModel):
    """``POST conversions/plan`` and ``POST conversions``: what shall become what."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    version: str = Field(min_length=3, max_length=700, description="team/name@3, optionally #path of one artifact.")
    to: str = Field(min_length=1, max_length=40, description="The format to convert to, such as openvino-ir.")
    precision: Precision | None = Field(None, description="Default: the precision of the source is kept.")
    options: dict[str, dict[str, Any]] = Field(
        default_factory=dict,
        max_length=20,
        description="Parameters by operation. An operation that is named here has to be on the way.",
    )
    data: str | None = Field(
        None, min_length=3, max_length=700, description="A data set for calibration and the parity checks."
    )
    team: Name | None = Field(None, description="Whose jobs and versions these are. Default: the source's team.")
    model: Name | None = Field(None, description="The model that gets the versions. Default: named as the source.")
    cache: Literal["use", "refresh", "off"] = Field("use", description="As in POST jobs, for every step.")
    priority: int = Field(5, ge=0, le=9, description="Of its jobs: 9 runs first, 0 last.")
