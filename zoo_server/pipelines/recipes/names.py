"""Does every name in a recipe mean something, is everything used, and can the steps be put in an order?"""

from collections.abc import Iterable

from zoo_server.jobs.services.faults import known_names
from zoo_server.pipelines.recipes.document import RecipeDocument
from zoo_server.pipelines.recipes.faults import FaultList, Key
from zoo_server.pipelines.recipes.references import Root
from zoo_server.pipelines.recipes.schema import Recipe, Step
from zoo_server.pipelines.recipes.settings import unknown_members
from zoo_server.pipelines.recipes.uses import EdgeKind, Need, needs_of, uses_of_settings, uses_of_versions


def check_names(document: RecipeDocument) -> None:
    """Note every name that does not exist, every declaration that nothing uses, and the first cycle."""
    recipe, faults = document.recipe, document.faults
    used: dict[Root, set[str]] = {root: set() for root in Root}
    for use in uses_of_versions(recipe):
        known: Iterable[str] = recipe.inputs if use.reference.root is Root.INPUTS else recipe.steps
        used[use.reference.root].add(use.reference.name)
        if use.reference.name not in known:
            _unknown(faults, use.key, use.reference.root, use.reference.name, known)
    for name, step in recipe.steps.items():
        _check_settings(recipe, name, step, used, faults)
        _check_step_names(recipe, name, step, faults)
        used[Root.AXES].update(step.for_each)
    _check_sets(recipe, faults)
    _check_outputs(recipe, faults)
    for root, declared in ((Root.INPUTS, recipe.inputs), (Root.VALUES, recipe.values), (Root.AXES, recipe.axes)):
        for name in declared:
            if name not in used[root]:
                faults.add(
                    (root.value, name), "is used nowhere", name, f"use it as ${{{root.value}.{name}}}, or remove it"
                )
    _check_cycle(recipe, faults)


def _unknown(faults: FaultList, key: Key, root: Root, name: str, known: Iterable[str]) -> None:
    if faults.is_full:
        return
    noun = root.value.removesuffix("s") if root is not Root.AXES else "axis"
    article = "an" if noun[0] in "ai" else "a"
    faults.add(key, f"names {article} {noun} {name!r} that does not exist", name, known_names(name, known))


def _check_settings(recipe: Recipe, name: str, step: Step, used: dict[Root, set[str]], faults: FaultList) -> None:
    for use in uses_of_settings(name, step):
        root, wanted = use.reference.root, use.reference.name
        used[root].add(wanted)
        known: Iterable[str] = recipe.values if root is Root.VALUES else recipe.axes
        if wanted not in known:
            _unknown(faults, use.key, root, wanted, known)
        elif root is Root.AXES and wanted not in step.for_each:
            allowed = f"for_each: [{', '.join([*step.for_each, wanted])}]"
            faults.add(
                use.key, f"uses the axis {wanted!r}, which is not in the step's for_each", str(use.reference), allowed
            )


def _check_step_names(recipe: Recipe, name: str, step: Step, faults: FaultList) -> None:
    base: Key = ("steps", name)
    for index, axis in enumerate(step.for_each):
        if axis not in recipe.axes:
            _unknown(faults, (*base, "for_each", index), Root.AXES, axis, recipe.axes)
        if axis in step.for_each[:index]:
            faults.add((*base, "for_each", index), f"names the axis {axis!r} twice", axis, "each axis once")
    for index, other in enumerate(step.needs):
        if other not in recipe.steps:
            _unknown(faults, (*base, "needs", index), Root.STEPS, other, recipe.steps)
    for index, gate in enumerate(step.gates):
        for position, other in enumerate(gate.otherwise.run):
            if other not in recipe.steps:
                key = (*base, "gates", index, "otherwise", "run", position)
                _unknown(faults, key, Root.STEPS, other, recipe.steps)


def _check_sets(recipe: Recipe, faults: FaultList) -> None:
    for set_name, chosen in recipe.sets.items():
        for kind, given, known in (("values", chosen.values, recipe.values), ("axes", chosen.axes, recipe.axes)):
            for name in given:
                if name not in known:
                    message = f"is not one of the recipe's {kind}: a set replaces, it adds nothing"
                    faults.add(("sets", set_name, kind, name), message, name, known_names(name, known))
        for name, value in chosen.values.items():
            key: Key = ("sets", set_name, "values", name)
            for member in unknown_members(recipe.values.get(name), value):
                message = f"is not a member of values.{name}: a set replaces, it adds nothing"
                faults.add((*key, member), message, member, known_names(member, recipe.values[name]))


def _check_outputs(recipe: Recipe, faults: FaultList) -> None:
    """One model for each step, and an alias only where there is one version to point to."""
    models = {name: step.model for name, step in recipe.steps.items() if step.model is not None}
    for name, output in recipe.outputs.items():
        for reference in output.source.first_of:
            if output.model is not None and models.setdefault(reference.name, output.model) != output.model:
                message = f"the step {reference.name!r} already registers its result as {models[reference.name]!r}"
                faults.add(("outputs", name, "model"), message, output.model, models[reference.name])
            step = recipe.steps.get(reference.name)
            if output.alias is not None and step is not None and step.for_each:
                message = f"the step {reference.name!r} makes one version for each {', '.join(step.for_each)}"
                faults.add(("outputs", name, "alias"), message, output.alias, "an alias for a step without for_each")


def order_of(recipe: Recipe) -> list[str]:
    """The names of the steps so that each comes after those that it waits for, else in the order of the text.

    Steps that wait for each other are missing.
    """
    waits: dict[str, set[str]] = {name: set() for name in recipe.steps}
    for need in needs_of(recipe):
        waits[need.target].add(need.source)
    order: list[str] = []
    while True:
        name = next((name for name, sources in waits.items() if not sources), None)
        if name is None:
            return order
        order.append(name)
        del waits[name]
        for sources in waits.values():
            sources.discard(name)


def _check_cycle(recipe: Recipe, faults: FaultList) -> None:
    tangled = set(recipe.steps) - set(order_of(recipe))
    if not tangled:
        return
    reasons: dict[str, Need] = {}
    for need in needs_of(recipe):
        if need.source in tangled and need.target in tangled:
            reasons.setdefault(need.target, need)
    path = [next(name for name in recipe.steps if name in reasons)]
    while path[-1] not in path[:-1]:  # everything that is left waits for something that is left
        path.append(reasons[path[-1]].source)
    cycle = path[path.index(path[-1]) :]
    words = {
        EdgeKind.INPUT: "takes",
        EdgeKind.ORDER: "needs",
        EdgeKind.GATE: "compares with",
        EdgeKind.BRANCH: "runs if the gate stops",
    }
    told = ", ".join(f"{name} {words[reasons[name].kind]} {reasons[name].source}" for name in cycle[:-1])
    faults.add(
        reasons[cycle[0]].key, f"closes a cycle: {told}", " -> ".join(cycle), "steps that do not wait for each other"
    )
