"""Every recipe of the classification table is right, in both of its sets, for the operations of zoo_torch."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from zoo_sdk.discovery import discover_operations
from zoo_server.pipelines.recipes.checking import check_recipe, validate_recipe
from zoo_server.pipelines.recipes.expansion import expand
from zoo_server.pipelines.recipes.graph import Graph
from zoo_server.pipelines.recipes.settings import Overrides

FOLDER = Path(__file__).parents[2] / "recipes"
ROWS = {
    "resnet18", "resnet34", "resnet50", "resnet101", "mobilenet-v1", "mobilenet-v2",
    "resnet50-distill", "resnet50-slim", "resnet50-pruned-0.25", "resnet50-pruned-0.375",
    "vit-sg", "resnet50-kd-dkd", "resnet50-kd", "resnet50-w3a4", "resnet50-w3a4-qat", "resnet50-autoslim",
}  # fmt: skip
SETS = ("full", "small")
SPECS = {name: spec for name, spec in discover_operations().items() if name.startswith("torch.")}
MANIFESTS = {name: spec.manifest for name, spec in SPECS.items()}
UNPUBLISHED = ("vit-sg", "resnet50-kd-dkd")


def text_of(name: str) -> str:
    return (FOLDER / f"{name}.yaml").read_text("utf-8")


def graph_of(name: str, set_name: str) -> Graph:
    """The graph where the caller gives nothing that it may leave out."""
    checked = check_recipe(text_of(name), manifests=MANIFESTS, overrides=Overrides(set_name), file=f"{name}.yaml")
    absent = frozenset(key for key, item in checked.recipe.inputs.items() if not item.required)
    graph = expand(checked.offered, checked.settings, absent, checked.faults)
    checked.faults.raise_any()
    return graph


def architectures(graph: Graph) -> Iterator[str]:
    for step in graph.steps:
        if "architecture" in step.params:
            yield step.params["architecture"]


def test_each_row_of_the_table_has_one_recipe() -> None:
    assert {path.stem for path in FOLDER.glob("*.yaml")} == ROWS


@pytest.mark.parametrize("name", sorted(ROWS))
def test_a_recipe_is_right_with_every_set(name: str) -> None:
    recipe = validate_recipe(text_of(name), manifests=MANIFESTS, file=f"{name}.yaml")
    assert recipe.name == name
    assert tuple(recipe.sets) == SETS
    assert all(item.summary for item in recipe.sets.values())
    assert "% top-1 on ImageNet-1k" in recipe.source


@pytest.mark.parametrize("set_name", SETS)
@pytest.mark.parametrize("name", sorted(ROWS))
def test_the_parameters_pass_the_operations_own_checks(name: str, set_name: str) -> None:
    for step in graph_of(name, set_name).steps:
        SPECS[step.operation].parse_params(step.params)


@pytest.mark.parametrize("name", sorted(ROWS))
def test_both_sets_are_the_same_graph(name: str) -> None:
    full, small = (graph_of(name, set_name) for set_name in SETS)
    assert {(step.name, step.operation) for step in full.steps} == {(step.name, step.operation) for step in small.steps}
    names = [{step.key: step.name for step in graph.steps} for graph in (full, small)]
    edges = [
        {(of[edge.source], of[edge.target], edge.kind) for edge in graph.edges}
        for of, graph in zip(names, (full, small), strict=True)
    ]
    assert edges[0] == edges[1]


@pytest.mark.parametrize("name", sorted(ROWS))
def test_the_full_set_has_the_tables_networks_and_the_small_one_ours(name: str) -> None:
    assert {item.partition(":")[0] for item in architectures(graph_of(name, "full"))} == {"timm"}
    assert {item.partition(":")[0] for item in architectures(graph_of(name, "small"))} == {"zoo"}


@pytest.mark.parametrize("name", UNPUBLISHED)
def test_what_is_unpublished_is_marked_as_our_choice(name: str) -> None:
    assert "OUR CHOICE" in text_of(name)


def test_recipes_that_start_from_the_same_networks_share_them_in_the_result_cache() -> None:
    """Equal steps have equal parameters, so that a network is trained once for the whole table."""
    found = {}
    for name in ("resnet50", "resnet50-distill", "resnet50-slim", "resnet50-kd", "resnet50-w3a4"):
        for step in graph_of(name, "full").steps:
            if step.name in {"train", "alone", "base"}:
                found[name] = SPECS["torch.train"].parse_params(step.params)
    assert len(found) == 5
    assert all(params == found["resnet50"] for params in found.values())
