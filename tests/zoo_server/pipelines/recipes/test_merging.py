"""Layers of parameters and values that are mappings are merged as by hand; mistakes are told where they are written."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.zoo_server.pipelines.recipes.texts import MANIFESTS, changed, line_of
from zoo_server.pipelines.recipes.checking import check_recipe, validate_recipe
from zoo_server.pipelines.recipes.expansion import expand
from zoo_server.pipelines.recipes.faults import InvalidRecipe, RecipeFault
from zoo_server.pipelines.recipes.settings import Overrides

TEXT = """\
zoo_recipe: 1
name: layers
inputs:
  data: {kind: dataset}
values:
  training:
    epochs: 3
    optimizer: sgd
    schedule: {warmup: 2, name: cosine}
  rest: {augment: true}
sets:
  small:
    values:
      training:
        epochs: 1
        schedule: {warmup: 0}
axes:
  kind: [{temperature: 1}, {temperature: 2, optimizer: adamw}]
steps:
  plain:
    operation: toy.train
    inputs:
      data: ${inputs.data}
    params: ["${values.training}", "${values.rest}"]
  other:
    operation: toy.train
    for_each: [kind]
    inputs:
      data: ${inputs.data}
    params:
      - ${values.training}
      - epochs: 7
        limit: 5
      - ${axes.kind}
      - schedule: ${values.training.schedule}
"""


def params_of(text: str, **overrides: Any) -> dict[str, Any]:
    checked = check_recipe(text, manifests=MANIFESTS, overrides=Overrides(**overrides))
    graph = expand(checked.offered, checked.settings, frozenset(), checked.faults)
    checked.faults.raise_any()
    return {step.key: step.params for step in graph.steps}


def faults_of(text: str) -> list[RecipeFault]:
    with pytest.raises(InvalidRecipe) as caught:
        validate_recipe(text, manifests=MANIFESTS)
    return caught.value.faults


def test_layers_are_merged_from_left_to_right() -> None:
    found = params_of(TEXT)
    schedule = {"warmup": 2, "name": "cosine"}
    assert found["plain"] == {"epochs": 3, "optimizer": "sgd", "schedule": schedule, "augment": True}
    common = {"epochs": 7, "schedule": schedule, "limit": 5}
    assert found["other[kind=temperature:1]"] == {"optimizer": "sgd", "temperature": 1, **common}
    assert found["other[kind=temperature:2+optimizer:adamw]"] == {"optimizer": "adamw", "temperature": 2, **common}


def test_a_set_changes_the_members_that_it_names_and_each_of_them_as_a_whole() -> None:
    assert params_of(TEXT, set_name="small")["plain"] == {
        "epochs": 1,
        "optimizer": "sgd",
        "schedule": {"warmup": 0},
        "augment": True,
    }


def test_the_request_changes_members_of_what_the_set_has_changed() -> None:
    found = params_of(TEXT, set_name="small", values={"training": {"optimizer": "adamw"}})["plain"]
    assert (found["epochs"], found["optimizer"], found["schedule"]) == (1, "adamw", {"warmup": 0})


def test_a_value_that_is_not_a_mapping_on_both_sides_is_replaced() -> None:
    text = changed(
        ("  rest: {augment: true}", "  rest: null"), ('"${values.rest}"', 'widths: "${values.rest}"'), text=TEXT
    )
    text = text.replace('widths: "${values.rest}"', '{schedule: "${values.rest}"}')
    assert params_of(text, values={"rest": {"name": "step"}})["plain"]["schedule"] == {"name": "step"}


def test_one_reference_and_one_mapping_need_no_list() -> None:
    one = changed(
        ('["${values.training}", "${values.rest}"]', "${values.training}"), ("  rest: {augment: true}\n", ""), text=TEXT
    )
    assert params_of(one)["plain"] == {"epochs": 3, "optimizer": "sgd", "schedule": {"warmup": 2, "name": "cosine"}}
    assert params_of(
        changed(
            ('["${values.training}", "${values.rest}"]', '{schedule: "${values.rest}"}'),
            ("{augment: true}", "{name: a}"),
            text=TEXT,
        )
    )["plain"] == {"schedule": {"name": "a"}}


SETTINGS = {
    "epochs": st.integers(1, 100),
    "temperature": st.floats(0.5, 9, allow_nan=False),
    "optimizer": st.sampled_from(["sgd", "adamw"]),
    "limit": st.none() | st.integers(1, 9),
    "schedule": st.fixed_dictionaries({}, optional={"warmup": st.integers(0, 9), "name": st.just("cosine")}),
    "augment": st.booleans(),
    "widths": st.lists(st.integers(1, 9), max_size=3),
}
LAYER = st.fixed_dictionaries({}, optional=SETTINGS)


@st.composite
def layers(draw: st.DrawFn) -> list[tuple[str, dict[str, Any], dict[str, Any] | None, dict[str, Any] | None]]:
    """Up to 6 layers: how each is written, its mapping, and what a set and the request change in it."""
    found = []
    for _ in range(draw(st.integers(0, 6))):
        mapping = draw(LAYER)
        kind = draw(st.sampled_from(["literal", "value"]))
        changes = [
            draw(st.none() | st.fixed_dictionaries({}, optional={name: SETTINGS[name] for name in mapping}))
            for _ in range(2)
        ]
        found.append((kind, mapping, *(changes if kind == "value" else (None, None))))
    return found


@given(layers())
def test_any_layers_give_what_merging_by_hand_gives(
    given_layers: list[tuple[str, dict[str, Any], dict[str, Any] | None, dict[str, Any] | None]],
) -> None:
    expected: dict[str, Any] = {}
    params: list[Any] = []
    values, chosen, asked = {}, {}, {}
    for number, (kind, mapping, by_set, by_request) in enumerate(given_layers):
        expected |= mapping | (by_set or {}) | (by_request or {})
        name = f"v{number}"
        params.append(mapping if kind == "literal" else f"${{values.{name}}}")
        if kind == "value":
            values[name] = mapping
        chosen |= {name: by_set} if by_set is not None else {}
        asked |= {name: by_request} if by_request is not None else {}
    step = {"operation": "toy.nothing", "params": params}
    recipe = {"zoo_recipe": 1, "name": "any", "values": values, "sets": {"other": {"values": chosen}}}
    text = json.dumps(recipe | {"steps": {"one": step}})
    assert params_of(text, set_name="other", values=asked)["one"] == expected


WRONG: list[tuple[tuple[str, str], str, str, str]] = [
    # (what is replaced, by what), the piece whose line is told, key, message
    (("    epochs: 3", "    epochs: 0"), "epochs: 0", "values.training.epochs", "as steps.plain.params.epochs"),
    (("        epochs: 1", "        epochs: 0"), "epochs: 0", "sets.small.values.training.epochs", "0 is not a whole"),
    (("        epochs: 1", "        epoch: 1"), "epoch: 1", "sets.small.values.training.epoch", "it adds nothing"),
    (("warmup: 2,", "warmup: -2,"), "-2", "values.training.schedule.warmup", "-2 is not a whole number"),
    (
        ("{warmup: 0}", "{warmup: -1}"),
        "-1",
        "sets.small.values.training.schedule.warmup",
        "-1 is not a whole number",
    ),
    (("    optimizer: sgd", "    optimiser: sgd"), "optimiser", "values.training.optimiser", "is not a parameter"),
    (("optimizer: adamw", "optimizer: adam"), "adam}", "axes.kind.1.optimizer", "'adam' is not"),
    (("      - epochs: 7", "      - epochs: 700"), "700", "steps.other.params.1.epochs", "700 is not a whole number"),
    (("        limit: 5", "        limits: 5"), "limits", "steps.other.params.1.limits", "is not a parameter"),
    (("      - ${axes.kind}", "      - kind"), "- kind", "steps.other.params.2", "must be a mapping of parameters"),
    (("      - ${axes.kind}", "      - 3"), "- 3", "steps.other.params.2", "must be a mapping of parameters"),
    (("      - ${axes.kind}", "      - ${inputs.data}"), "- ${inputs", "steps.other.params.2", "cannot stand here"),
    (("      - ${axes.kind}", "      - ${axes.kin}"), "kin}", "steps.other.params.2", "an axis 'kin' that does not"),
    (("      - ${axes.kind}", "      - ${axes.kind.a}"), "kind.a", "steps.other.params.2", "has no member 'a'"),
    (('"${values.rest}"]', '"${values.rests}"]'), "rests", "steps.plain.params.1", "a value 'rests' that does not"),
    (('"${values.rest}"]', '"${values.rest.augment}"]'), "rest: {", "values.rest.augment", "True is not a mapping of"),
    (("rest: {augment: true}", "rest: [1]"), "rest: [1]", "values.rest", "is not a mapping of parameters"),
    (("      training:\n        epochs: 1", "      training: 1\n      rest:\n        augment: no"), "training: 1",
     "sets.small.values.training", "1 is not a mapping of parameters"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "piece", "key", "message"), WRONG, ids=lambda item: str(item)[:40])
def test_a_mistake_is_told_where_it_was_written(change: tuple[str, str], piece: str, key: str, message: str) -> None:
    text = changed(change, text=TEXT)
    found = {fault.key: fault for fault in faults_of(text)}
    assert key in found, [str(fault) for fault in found.values()]
    fault = found[key]
    assert fault.mark is not None
    assert fault.mark.line == line_of(text, piece)
    assert message in fault.message


def test_a_mistake_that_a_later_layer_hides_is_none() -> None:
    text = changed(("    epochs: 3", "    epochs: 0"), ('["${values.training}", "${values.rest}"]', "{}"), text=TEXT)
    assert [fault.key for fault in faults_of(text)] == ["values.rest"], "it is used nowhere, and epochs are 7"


def test_a_mistake_in_what_several_steps_take_is_told_once() -> None:
    text = changed(
        ("    epochs: 3", "    epochs: 0"), ("      - epochs: 7\n        limit: 5", "      - limit: 5"), text=TEXT
    )
    (fault,) = faults_of(text)
    assert str(fault).startswith("recipe.yaml:7:5: values.training.epochs: 0 is not a whole number at least 1")
    assert fault.message.endswith(", as steps.plain.params.epochs (toy.train)")


def test_a_reference_to_nothing_does_not_make_parameters_missing() -> None:
    schema = MANIFESTS["toy.train"].params_schema | {"required": ["epochs"]}
    strict = MANIFESTS | {"toy.train": MANIFESTS["toy.train"].model_copy(update={"params_schema": schema})}
    with pytest.raises(InvalidRecipe) as caught:
        validate_recipe(changed(('["${values.training}"', '["${values.trainings}"'), text=TEXT), manifests=strict)
    assert [fault.key for fault in caught.value.faults] == ["steps.plain.params.0"]


@pytest.mark.parametrize(
    ("values", "key", "message"),
    [
        ({"training": {"epoch": 1}}, "request.values.training.epoch", "is not a member of values.training"),
        ({"training": {"epochs": 0}}, "request.values.training.epochs", "0 is not a whole number"),
        ({"training": 3}, "request.values.training", "3 is not a mapping of parameters"),
    ],
)
def test_a_wrong_member_of_the_request_has_a_key_and_no_line(values: dict[str, Any], key: str, message: str) -> None:
    with pytest.raises(InvalidRecipe) as caught:
        check_recipe(TEXT, manifests=MANIFESTS, overrides=Overrides(values=values))
    fault = caught.value.faults[0]
    assert (fault.key, fault.mark) == (key, None)
    assert message in fault.message


def test_layers_are_bounded() -> None:
    many = ", ".join(["{}"] * 11)
    assert (
        faults_of(changed(('["${values.training}", "${values.rest}"]', f"[{many}]"), text=TEXT))[0].key
        == "steps.plain.params"
    )
    large = "{" + ", ".join(f"p{number}: 1" for number in range(201)) + "}"
    (fault,) = faults_of(changed(("{augment: true}", large), text=TEXT))
    assert (fault.key, "has 201 members" in fault.message) == ("values.rest", True)
