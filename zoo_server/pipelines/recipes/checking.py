"""The whole check of a recipe: names, operations and parameters, for every set or for the one that is asked for."""

from dataclasses import dataclass

from zoo_server.pipelines.recipes.document import DEFAULT_FILE, load_recipe
from zoo_server.pipelines.recipes.expansion import check_size
from zoo_server.pipelines.recipes.faults import FaultList
from zoo_server.pipelines.recipes.names import check_names
from zoo_server.pipelines.recipes.operations import Manifests, OfferedSteps, check_operations, check_parameters
from zoo_server.pipelines.recipes.schema import Recipe
from zoo_server.pipelines.recipes.settings import Overrides, Settings, settings_of

MAX_COMBINATIONS = 2000
"""How many points of the matrix one check looks at; more than a graph may have, shared by all sets of a recipe."""


@dataclass
class CheckedRecipe:
    """A recipe without faults, and the settings that were asked for."""

    offered: OfferedSteps
    settings: Settings
    faults: FaultList

    @property
    def recipe(self) -> Recipe:
        """The recipe itself."""
        return self.offered.recipe


def validate_recipe(text: str, *, manifests: Manifests, file: str = DEFAULT_FILE) -> Recipe:
    """The recipe, right with its defaults and with every set; raises :class:`InvalidRecipe` with all faults."""
    document = load_recipe(text, file=file)
    offered = OfferedSteps(document.recipe, manifests)
    check_names(document)
    check_operations(offered, document.faults)
    share = MAX_COMBINATIONS // (1 + len(document.recipe.sets))
    for name in (None, *document.recipe.sets):
        _check_settings(offered, Overrides(name), document.faults, share)
    document.faults.raise_any()
    return document.recipe


def check_recipe(text: str, *, manifests: Manifests, overrides: Overrides, file: str = DEFAULT_FILE) -> CheckedRecipe:
    """The recipe with these settings; raises :class:`InvalidRecipe` with all faults of both."""
    document = load_recipe(text, file=file)
    offered = OfferedSteps(document.recipe, manifests)
    check_names(document)
    check_operations(offered, document.faults)
    settings = _check_settings(offered, overrides, document.faults, MAX_COMBINATIONS)
    document.faults.raise_any()
    return CheckedRecipe(offered, settings, document.faults)


def _check_settings(offered: OfferedSteps, overrides: Overrides, faults: FaultList, limit: int) -> Settings:
    settings = settings_of(offered.recipe, overrides, faults)
    if check_size(offered.recipe, settings, faults):
        check_parameters(offered, settings, limit, faults)
    return settings
