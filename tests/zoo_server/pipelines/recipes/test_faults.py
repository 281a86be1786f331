"""Every kind of mistake in a recipe is told with file, line, column and key, and all of them at once."""

from typing import Any

import pytest

from tests.zoo_server.pipelines.recipes.texts import DISTIL, MANIFESTS, changed, line_of
from zoo_server.pipelines.recipes.checking import validate_recipe
from zoo_server.pipelines.recipes.faults import InvalidRecipe, RecipeFault


def faults_of(text: str) -> list[RecipeFault]:
    with pytest.raises(InvalidRecipe) as caught:
        validate_recipe(text, manifests=MANIFESTS, file="distil.yaml")
    return caught.value.faults


def test_the_recipe_that_the_others_are_made_from_is_right() -> None:
    assert validate_recipe(DISTIL, manifests=MANIFESTS).name == "distil"


WRONG: list[tuple[str, str, str, str, str, str]] = [
    # what is replaced, by what, the piece whose line is told, key, message, allowed
    ("summary: Distil", "sommary: Distil", "sommary", "sommary", "is not a key here", "summary"),
    (
        "    for_each: [seed]\n    seed",
        "    foreach: [seed]\n    seed",
        "foreach",
        "steps.student.foreach",
        "is not a key here",
        "for_each",
    ),
    ("weight: 0.5", "weights: 0.5", "weights", "steps.student.inputs.teacher.0.weights", "is not a key here", "weight"),
    (
        'at_most_below: 0.5, than: "${steps.base}"',
        "at_most: 1, then: 2",
        "metric: top1",
        "steps.student.gates.0.then",
        "is not a key here",
        "than",
    ),
    ("zoo_recipe: 1\n", "", "name: distil", "zoo_recipe", "is required", ""),
    ("zoo_recipe: 1\n", "zoo_recipe: 2\n", "zoo_recipe", "zoo_recipe", "should be 1", "1"),
    ("name: distil\n", "name: Distil It\n", "name: Distil It", "name", "match pattern", "a-z"),
    ("    operation: toy.train\n", "", "  base:", "steps.base.operation", "is required", ""),
    ("seed: [0]", "seed: zero", "seed: zero", "axes.seed", "valid list", "a list"),
    ("seed: [0]", "seed: [0, 0]", "seed: [0, 0]", "axes.seed", "twice", ""),
    ("kind: dataset", "kind: data", "kind: data", "inputs.data.kind", "'model' or 'dataset'", "'model' or 'dataset'"),
    ("metric: top1", "metric: top-1", "metric: top-1", "steps.student.gates.0.metric", "Unknown metric", ""),
    ("at_most_below: 0.5, than", "than", "metric: top1", "steps.student.gates.0", "exactly one of", ""),
    (
        "at_most_below: 0.5",
        "at_most_below: .5, at_least: 1",
        "metric: top1",
        "steps.student.gates.0",
        "at_least and at_most_below",
        "",
    ),
    (', than: "${steps.base}"', "", "metric: top1", "steps.student.gates.0", "needs `than`", ""),
    (
        "at_most_below: 0.5",
        "at_most_below: much",
        "metric: top1",
        "steps.student.gates.0.at_most_below",
        "must be a number",
        "",
    ),
    ("  base:\n", "  Base!:\n", "Base!", "steps.Base!", "match pattern", ""),
    (
        "operation: toy.distill",
        "operation: toy.distil",
        "operation: toy.distil",
        "steps.student.operation",
        "not offered by any worker",
        "toy.distill",
    ),
    (
        "temperature: ${values.heat}",
        "temprature: 4",
        "temprature",
        "steps.student.params.temprature",
        "is not a parameter",
        "temperature",
    ),
    (
        "temperature: ${values.heat}",
        "temperature: 0",
        "temperature: 0",
        "steps.student.params.temperature",
        "0 is not a number greater than 0",
        "greater than 0",
    ),
    ("  epochs: 3", "  epochs: many", "epochs: many", "values.epochs", "'many' is not a whole number", "at least 1"),
    ("{epochs: 1}", "{epochs: 0}", "{epochs: 0}", "sets.small.values.epochs", "0 is not a whole number", "at least 1"),
    ("{epochs: 1}", "{epoch: 1}", "{epoch: 1}", "sets.small.values.epoch", "a set replaces", "epochs"),
    ("axes: {seed: [0, 1]}", "axes: {sed: [0, 1]}", "sed", "sets.small.axes.sed", "a set replaces", "seed"),
    (
        "axes: {seed: [0, 1]}",
        "axes: {seed: [0, one]}",
        ", one]",
        "sets.small.axes.seed.1",
        "'one' is not a whole number",
        "at least 0",
    ),
    ("seed: ${axes.seed}", "seed: -1", "seed: -1", "steps.student.seed", "whole number from 0", ""),
    (
        "weight: 0.5",
        "weight: 0",
        "weight: 0",
        "steps.student.inputs.teacher.0.weight",
        "not a number greater than 0",
        "greater than 0",
    ),
    (
        "student: ${steps.base}",
        "student: ${steps.bass}",
        "bass",
        "steps.student.inputs.student",
        "a step 'bass' that does not exist",
        "base",
    ),
    (
        "data: ${inputs.data}\n    params",
        "data: ${inputs.dat}\n    params",
        "inputs.dat}",
        "steps.base.inputs.data",
        "an input 'dat' that",
        "data",
    ),
    ("${values.heat}", "${values.heet}", "heet", "steps.student.params.temperature", "a value 'heet' that", "heat"),
    ("seed: ${axes.seed}", "seed: ${axes.sead}", "sead", "steps.student.seed", "an axis 'sead' that", "seed"),
    (
        "    params: {epochs",
        "    seed: ${axes.seed}\n    params: {epochs",
        "seed: ${axes.seed}",
        "steps.base.seed",
        "not in the step's for_each",
        "for_each: [seed]",
    ),
    (
        "${values.heat}",
        "${values.heat} degrees",
        "degrees",
        "steps.student.params.temperature",
        "must be the whole value",
        "",
    ),
    ("${values.heat}", "${env.HOME}", "HOME", "steps.student.params.temperature", "not something to refer to", ""),
    (
        "${values.heat}",
        "${steps.base}",
        "temperature: ${steps.base}",
        "steps.student.params.temperature",
        "cannot stand here",
        "",
    ),
    (
        "${values.heat}",
        "${values.heat.deep}",
        "heat.deep",
        "steps.student.params.temperature",
        "has no member 'deep'",
        "",
    ),
    ("student: ${steps.base}", "student: base@3", "base@3", "steps.student.inputs.student", "is not a reference", ""),
    (
        "student: ${steps.base}",
        "student: ${values.heat}",
        "student: ${values.heat}",
        "steps.student.inputs.student",
        "cannot stand here",
        "",
    ),
    ("  heat: 4.0", "  heat: 4.0\n  cold: 1", "cold", "values.cold", "is used nowhere", "${values.cold}"),
    (
        "  data: {kind: dataset}",
        "  data: {kind: dataset}\n  more: {kind: model}",
        "more",
        "inputs.more",
        "is used nowhere",
        "",
    ),
    ("  seed: [0]\n", "  seed: [0]\n  size: [1]\n", "size", "axes.size", "is used nowhere", ""),
    (
        "      student: ${steps.base}\n",
        "",
        "    inputs:\n      teacher",
        "steps.student.inputs.student",
        "is required by toy.distill",
        "a model",
    ),
    (
        "    inputs:\n      data: ${inputs.data}\n    params",
        "    params",
        "  base:",
        "steps.base.inputs.data",
        "is required by toy.train",
        "a dataset",
    ),
    (
        "student: ${steps.base}",
        "pupil: ${steps.base}",
        "pupil",
        "steps.student.inputs.pupil",
        "is not an input of toy.distill",
        "",
    ),
    (
        "student: ${steps.base}",
        "student: ${inputs.teacher}",
        "student: ${inputs.teacher}",
        "steps.student.inputs.student",
        "all that it is given is optional",
        "",
    ),
    (
        "student: ${steps.base}",
        "student: ${inputs.data}",
        "student: ${inputs.data}",
        "steps.student.inputs.student",
        "is a dataset; student takes a model",
        "a model",
    ),
    (
        "    inputs:\n      data: ${inputs.data}\n    params",
        "    inputs:\n      data: ${steps.teacher}\n    params",
        "data: ${steps.teacher}",
        "steps.base.inputs.data",
        "is a model; data takes a dataset",
        "",
    ),
    (
        "student: ${steps.base}",
        'student: ["${steps.base}", "${steps.teacher}"]',
        "student: [",
        "steps.student.inputs.student",
        "takes one version, not 2",
        "",
    ),
    (
        "student: ${steps.base}",
        'student: {from: "${steps.base}", weight: 1}',
        "weight: 1}",
        "steps.student.inputs.student",
        "not taken by student",
        "no weight",
    ),
    (
        "    for_each: [seed]\n    inputs:\n      model",
        "    inputs:\n      model",
        "model: ${steps.student}",
        "steps.check.inputs.model",
        "several versions, one for each seed",
        "",
    ),
    (
        "    params:\n      temp",
        "    needs: [chick]\n    params:\n      temp",
        "needs",
        "steps.student.needs.0",
        "a step 'chick' that",
        "check",
    ),
    (
        "for_each: [seed]\n    seed",
        "for_each: [sead]\n    seed",
        "sead",
        "steps.student.for_each.0",
        "an axis 'sead' that",
        "seed",
    ),
    (
        "for_each: [seed]\n    seed",
        "for_each: [seed, seed]\n    seed",
        "seed, seed",
        "steps.student.for_each.1",
        "twice",
        "",
    ),
    (
        'than: "${steps.base}"',
        'than: "${steps.base}", otherwise: {run: [nobody]}',
        "metric",
        "steps.student.gates.0.otherwise.run.0",
        "a step 'nobody'",
        "",
    ),
    (
        'than: "${steps.base}"',
        'than: "${inputs.teacher}"',
        "metric",
        "steps.student.gates.0.than",
        "not a model that is always there",
        "",
    ),
    ('from: "${steps.student}"', 'from: "${steps.check}"', "distilled", "outputs.student.from", "makes no model", ""),
    ("model: distilled", "alias: best", "alias: best", "outputs.student.alias", "one version for each seed", ""),
    (
        "    params:\n      temp",
        "    model: other\n    params:\n      temp",
        "distilled",
        "outputs.student.model",
        "already registers",
        "other",
    ),
    (
        "      model: ${steps.student}",
        "      model: ${steps.student}\n    model: x\n    #",
        "    model: x",
        "steps.check.model",
        "makes no model",
        "",
    ),
    ("model: distilled", "model: Not A Name", "Not A Name", "outputs.student.model", "match pattern", ""),
]


@pytest.mark.parametrize(("old", "new", "piece", "key", "message", "allowed"), WRONG, ids=lambda item: str(item)[:40])
def test_a_mistake_is_told_with_line_and_key(
    old: str, new: str, piece: str, key: str, message: str, allowed: str
) -> None:
    if new.endswith("#"):
        old, new = (
            old + "\n      data: ${inputs.data}",
            new.removesuffix("\n    #").replace("\n    model", "\n      data: ${inputs.data}\n    model"),
        )
    text = changed((old, new))
    found = [fault for fault in faults_of(text) if fault.key.startswith(key)]
    assert found, [str(fault) for fault in faults_of(text)]
    fault = found[0]
    assert fault.file == "distil.yaml"
    assert fault.mark is not None
    assert fault.mark.line == line_of(text, piece)
    assert message in fault.message
    assert allowed in fault.allowed


def test_a_version_in_a_format_that_the_next_step_cannot_take_is_told() -> None:
    taking_onnx = MANIFESTS["toy.evaluate"].model_copy(
        update={
            "inputs": tuple(
                port.model_copy(update={"formats": ("onnx",)}) if port.measured else port
                for port in MANIFESTS["toy.evaluate"].inputs
            )
        }
    )
    with pytest.raises(InvalidRecipe) as caught:
        validate_recipe(DISTIL, manifests=MANIFESTS | {"toy.evaluate": taking_onnx})
    (fault,) = caught.value.faults
    assert (fault.key, fault.allowed) == ("steps.check.inputs.model", "onnx")
    assert "is safetensors; model takes onnx" in fault.message


def test_a_cycle_names_the_steps_and_how_they_wait() -> None:
    text = changed(
        (
            "    inputs:\n      data: ${inputs.data}\n    params",
            "    inputs:\n      data: ${inputs.data}\n      init: ${steps.teacher}\n    params",
        ),
        ("  teacher:\n    operation: toy.train\n", "  teacher:\n    operation: toy.train\n    needs: [base]\n"),
    )
    (fault,) = faults_of(text)
    assert fault.key == "steps.base.inputs.init"
    assert fault.mark is not None
    assert fault.mark.line == line_of(text, "init:")
    assert fault.message == "closes a cycle: base takes teacher, teacher needs base"


def test_a_step_that_needs_itself_is_a_cycle() -> None:
    (fault,) = faults_of(
        changed(
            ("  teacher:\n    operation: toy.train\n", "  teacher:\n    operation: toy.train\n    needs: [teacher]\n")
        )
    )
    assert (fault.key, fault.message) == ("steps.teacher.needs.0", "closes a cycle: teacher needs teacher")


def test_all_mistakes_are_told_at_once_in_the_order_of_the_text() -> None:
    text = changed(
        ("  epochs: 3", "  epochs: 0"),
        ("operation: toy.evaluate", "operation: toy.evaluat"),
        ("${values.heat}", "${values.heet}"),
    )
    lines = [fault.mark.line for fault in faults_of(text) if fault.mark]
    wanted = {line_of(text, piece) for piece in ("epochs: 0", "heet", "toy.evaluat", "heat: 4")}
    assert lines == sorted(lines), "each once, in the order of the text"
    assert len(lines) == len(wanted)
    assert set(lines) == wanted


def test_several_wrong_shapes_are_told_at_once() -> None:
    text = changed(
        ("summary:", "sommary:"),
        ("weight: 0.5", "weight: heavy"),
        ("operation: toy.distill", "operations: toy.distill"),
    )
    keys = {fault.key for fault in faults_of(text)}
    assert keys == {
        "sommary",
        "steps.student.inputs.teacher.0.weight",
        "steps.student.operations",
        "steps.student.operation",
    }


def test_a_flood_of_mistakes_ends_early() -> None:
    many = "".join(f"  k{number}: 1\n" for number in range(9000))
    assert len(faults_of(changed(("values:\n", f"values:\n{many}")))) == 1, "more than 200 values"
    wanted = ", ".join(f'"${{steps.s{number}}}"' for number in range(60))
    extra = "".join(
        f"  t{number}:\n    operation: toy.train\n    needs: [base]\n    inputs:\n      data: [{wanted}]\n"
        for number in range(120)
    )
    assert len(faults_of(changed(("outputs:", f"{extra}outputs:")))) == 200


def test_a_document_that_is_not_a_mapping_is_told() -> None:
    (fault,) = faults_of("- a\n- b\n")
    assert fault.mark is not None
    assert (fault.mark.line, fault.allowed) == (1, "a mapping")


def test_an_entry_of_the_answer_holds_everything_a_person_needs() -> None:
    entry: dict[str, Any] = faults_of(changed(("{epochs: 1}", "{epochs: 0}")))[0].as_entry()
    assert entry == {
        "file": "distil.yaml",
        "line": 12,
        "column": 14,
        "key": "sets.small.values.epochs",
        "message": "0 is not a whole number at least 1 and at most 100, as steps.base.params.epochs (toy.train)",
        "value": 0,
        "allowed": "a whole number at least 1 and at most 100",
    }
