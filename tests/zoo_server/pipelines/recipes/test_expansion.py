"""The graph of a recipe: one instance for each combination of axes, linked by the axes that both sides have."""

import re
from pathlib import Path
from typing import Any

import pytest

from tests.zoo_server.pipelines.recipes.texts import DISTIL, MANIFESTS, changed
from zoo_sdk.operations import OperationManifest
from zoo_server.pipelines.recipes.checking import check_recipe, validate_recipe
from zoo_server.pipelines.recipes.expansion import expand
from zoo_server.pipelines.recipes.faults import InvalidRecipe
from zoo_server.pipelines.recipes.graph import Graph, StepInstance
from zoo_server.pipelines.recipes.settings import Overrides

MATRIX = """\
zoo_recipe: 1
name: matrix
inputs:
  data: {kind: dataset}
axes:
  seed: [0, 1]
  heat: [1, 2.5, 4]
steps:
  base:
    operation: toy.train
    for_each: [seed]
    seed: ${axes.seed}
    inputs:
      data: ${inputs.data}
  student:
    operation: toy.distill
    for_each: [seed, heat]
    inputs:
      student: ${steps.base}
      teacher: ${steps.base}
      data: ${inputs.data}
    params: {temperature: "${axes.heat}"}
  ensemble:
    operation: toy.distill
    for_each: [seed]
    inputs:
      student: ${steps.base}
      teacher: {from: "${steps.student}", weight: 2}
      data: ${inputs.data}
  last:
    operation: toy.nothing
    needs: [student]
"""


def graph_of(text: str, *, absent: tuple[str, ...] = (), **overrides: Any) -> Graph:
    checked = check_recipe(text, manifests=MANIFESTS, overrides=Overrides(**overrides))
    graph = expand(checked.offered, checked.settings, frozenset(absent), checked.faults)
    checked.faults.raise_any()
    return graph


def steps_of(graph: Graph) -> dict[str, StepInstance]:
    return {step.key: step for step in graph.steps}


def sources_of(step: StepInstance, port: str) -> list[str]:
    return [str(item) for item in step.inputs[port]]


def test_there_is_one_instance_for_each_combination() -> None:
    steps = steps_of(graph_of(MATRIX))
    assert [key for key in steps if key.startswith("student")] == [
        f"student[seed={seed},heat={heat}]" for seed in (0, 1) for heat in ("1", "2.5", "4")
    ]
    one = steps["student[seed=1,heat=2.5]"]
    assert (one.coordinates, one.params) == ({"seed": 1, "heat": 2.5}, {"temperature": 2.5})
    assert steps["base[seed=1]"].seed == 1


def test_an_instance_takes_from_the_one_with_the_same_axes() -> None:
    steps = steps_of(graph_of(MATRIX))
    assert sources_of(steps["student[seed=1,heat=4]"], "student") == ["steps.base[seed=1]"]


def test_axes_that_only_the_other_has_become_several_versions_of_a_port_that_takes_many() -> None:
    ensemble = steps_of(graph_of(MATRIX))["ensemble[seed=0]"]
    assert sources_of(ensemble, "teacher") == [f"steps.student[seed=0,heat={heat}]" for heat in ("1", "2.5", "4")]
    assert {item.weight for item in ensemble.inputs["teacher"]} == {2.0}


def test_needs_waits_for_all_instances_and_edges_say_why() -> None:
    graph = graph_of(MATRIX)
    order = [edge for edge in graph.edges if edge.target == "last"]
    assert len(order) == 6
    assert {edge.kind for edge in order} == {"order"}
    assert [
        edge.kind for edge in graph.edges if (edge.source, edge.target) == ("base[seed=0]", "ensemble[seed=0]")
    ] == ["input"]


def test_steps_come_after_those_that_they_wait_for() -> None:
    graph = graph_of(changed(("outputs:", "outputs:"), text=DISTIL), absent=("teacher",))
    position = {step.key: index for index, step in enumerate(graph.steps)}
    assert all(position[edge.source] < position[edge.target] for edge in graph.edges)


def test_a_set_and_the_request_replace_values_and_axes() -> None:
    steps = steps_of(graph_of(DISTIL, set_name="small", values={"heat": 2}, absent=("teacher",)))
    assert steps["base"].params == {"epochs": 1}
    assert {"student[seed=0]", "student[seed=1]"} < set(steps)
    assert steps["student[seed=0]"].params == {"temperature": 2}
    assert "student[seed=7]" in steps_of(graph_of(DISTIL, set_name="small", axes={"seed": [7]}, absent=("teacher",)))


def test_an_optional_input_takes_the_place_of_a_step_which_is_then_left_out() -> None:
    given, absent = steps_of(graph_of(DISTIL)), steps_of(graph_of(DISTIL, absent=("teacher",)))
    assert sources_of(given["student[seed=0]"], "teacher") == ["inputs.teacher"]
    assert given["teacher"].left_out
    assert sources_of(absent["student[seed=0]"], "teacher") == ["steps.teacher"]
    assert not absent["teacher"].left_out
    assert not given["base"].left_out


def test_what_only_a_left_out_step_wants_is_left_out_too() -> None:
    text = changed(
        (
            "  teacher:\n    operation: toy.train\n",
            (
                "  first:\n    operation: toy.train\n    inputs:\n      data: ${inputs.data}\n"
                "  teacher:\n    operation: toy.train\n    needs: [first]\n"
            ),
        ),
    )
    assert {step.key for step in graph_of(text).steps if step.left_out} == {"first", "teacher"}


def test_an_optional_input_that_is_absent_is_left_away() -> None:
    text = changed(("    params: {epochs", "      init: ${inputs.teacher}\n    params: {epochs"))
    assert "init" in steps_of(graph_of(text))["base"].inputs
    assert "init" not in steps_of(graph_of(text, absent=("teacher",)))["base"].inputs


def test_alternatives_among_steps_stay_in_order() -> None:
    text = changed(
        (
            'first_of: ["${inputs.teacher}", "${steps.teacher}"]',
            'first_of: ["${steps.teacher}", "${steps.base}", "${inputs.teacher}"]',
        )
    )
    assert sources_of(steps_of(graph_of(text))["student[seed=0]"], "teacher") == [
        "steps.teacher or steps.base or inputs.teacher"
    ]
    assert sources_of(steps_of(graph_of(text, absent=("teacher",)))["student[seed=0]"], "teacher") == [
        "steps.teacher or steps.base"
    ]


def test_a_gate_is_bound_to_its_instance_and_says_what_it_wants() -> None:
    gate = steps_of(graph_of(DISTIL, absent=("teacher",)))["student[seed=0]"].gates[0]
    assert str(gate) == "top1 >= top1 of steps.base - 0.5"
    assert str(gate.model_copy(update={"rule": "at_most_times", "limit": 0.5})) == "top1 <= 0.5 * top1 of steps.base"
    assert str(gate.model_copy(update={"than": None, "rule": "at_least", "limit": 90.0})) == "top1 >= 90"


def test_results_go_to_the_output_or_to_a_model_of_the_recipe_and_step() -> None:
    steps = steps_of(graph_of(DISTIL, absent=("teacher",)))
    assert [steps[key].model for key in ("student[seed=0]", "base", "check[seed=0]")] == [
        "distilled",
        "distil-base",
        None,
    ]


def test_members_of_mappings_are_values_too() -> None:
    text = changed(
        ("heat: [1, 2.5, 4]", "heat: [{t: 1, e: 2}, {t: 3, e: 4}]"),
        ('{temperature: "${axes.heat}"}', '{temperature: "${axes.heat.t}", epochs: "${axes.heat.e}"}'),
        text=MATRIX,
    )
    steps = steps_of(graph_of(text))
    assert steps["student[seed=0,heat=t:3+e:4]"].params == {"temperature": 3, "epochs": 4}


def test_equal_looking_values_of_an_axis_have_different_keys() -> None:
    text = changed(
        ("seed: [0, 1]", "seed: [0]"),
        ("heat: [1, 2.5, 4]", 'heat: ["1", 1, "a,b]"]'),
        ('temperature: "${axes.heat}"', ""),
        text=MATRIX,
    )
    keys = [step.key for step in graph_of(text).steps]
    assert len(keys) == len(set(keys))
    assert 'student[seed=0,heat="1"]' in keys


def test_too_many_instances_are_refused_before_they_are_made() -> None:
    many = {"seed": list(range(200)), "heat": list(range(1, 200))}
    with pytest.raises(InvalidRecipe, match="more than 1000 step instances"):
        graph_of(MATRIX, axes=many)


def test_too_many_links_are_refused_before_they_are_made() -> None:
    text = (
        "zoo_recipe: 1\nname: links\naxes:\n  a: [0]\n  b: [0]\nsteps:\n  one:\n    operation: toy.nothing\n"
        "    for_each: [a]\n  two:\n    operation: toy.nothing\n    for_each: [b]\n    needs: [one]\n"
    )
    many = {"a": list(range(200)), "b": list(range(200))}
    assert len(graph_of(text, axes={"a": [1, 2], "b": [1, 2, 3]}).edges) == 6
    with pytest.raises(InvalidRecipe, match="more than 20000 links"):
        graph_of(text, axes=many)


def test_parameters_that_are_large_in_all_instances_together_are_refused() -> None:
    text = (
        "zoo_recipe: 1\nname: large\nvalues:\n  text: x\naxes:\n  a: [0]\nsteps:\n  one:\n    operation: toy.nothing\n"
        '    for_each: [a]\n    params: {schedule: {name: "${values.text}"}}\n'
    )
    assert graph_of(text, values={"text": "y" * 60_000})
    with pytest.raises(InvalidRecipe, match="together have"):
        graph_of(text, values={"text": "y" * 60_000}, axes={"a": list(range(200))})


def test_axes_in_another_order_are_the_same_axes() -> None:
    text = changed(
        ("for_each: [seed]\n    inputs:\n      student", "for_each: [heat, seed]\n    inputs:\n      student"),
        text=MATRIX,
    )
    ensemble = steps_of(graph_of(text))["ensemble[heat=4,seed=1]"]
    assert sources_of(ensemble, "teacher") == ["steps.student[seed=1,heat=4]"]


def test_a_graph_survives_being_stored() -> None:
    graph = graph_of(DISTIL, absent=("teacher",))
    assert Graph.model_validate_json(graph.model_dump_json()) == graph


def test_the_recipe_of_the_documentation_is_right() -> None:
    from zoo_torch.distillation.specs import DISTILL
    from zoo_torch.training.specs import TRAIN

    page = (Path(__file__).parents[4] / "docs/recipes.md").read_text("utf-8")
    text = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)[0]
    manifests: dict[str, OperationManifest] = {spec.name: spec.manifest for spec in (TRAIN, DISTILL)}
    assert validate_recipe(text, manifests=manifests).name == "resnet50-distill"
