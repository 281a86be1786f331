"""From a correct recipe to its graph: one instance of each step for each combination of its axes, linked to each other.

An instance takes from the instance of another step that has the same values of the axes that both have.  Where the
other step has further axes, there are several; checks have made sure that only ports that take many get them.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from zoo_server.pipelines.recipes.faults import REQUEST, FaultList, Key
from zoo_server.pipelines.recipes.graph import BoundGate, BoundInput, Edge, Graph, GraphOutput, Source, StepInstance
from zoo_server.pipelines.recipes.names import order_of
from zoo_server.pipelines.recipes.operations import OfferedSteps
from zoo_server.pipelines.recipes.reading import plain_value
from zoo_server.pipelines.recipes.references import RecipeReference, Root
from zoo_server.pipelines.recipes.schema import Binding, Gate, Recipe, Step
from zoo_server.pipelines.recipes.settings import (
    Point,
    Setting,
    Settings,
    combinations,
    gpus_of,
    limit_of,
    resolve_params,
    seed_of,
    weight_of,
)
from zoo_server.pipelines.recipes.uses import EdgeKind, needs_of, uses_of_versions

MAX_INSTANCES = 1000
MAX_EDGES = 20_000
MAX_PARAMS_BYTES = 8 * 2**20
_PLAIN = re.compile(r"[\w./-]+\Z")


def check_size(recipe: Recipe, settings: Settings, faults: FaultList) -> bool:
    """Note a matrix that is too large, before anything is made of it.  True: it is small enough."""
    total = 0
    for name, step in recipe.steps.items():
        count = 1
        for axis in step.for_each:
            count *= len(settings.axes.get(axis, [None]))
        total += count
        if total > MAX_INSTANCES:
            message = f"the recipe has more than {MAX_INSTANCES} step instances from here on"
            faults.add(("steps", name), message, total, f"at most {MAX_INSTANCES} instances")
            return False
    return True


def expand(offered: OfferedSteps, settings: Settings, absent: frozenset[str], faults: FaultList) -> Graph:
    """The graph.  ``absent``: the optional inputs that were not given.

    Faults: a port that is left without a version, too many edges.
    """
    return _Expansion(offered, settings, absent, faults).graph()


def key_of(name: str, coordinates: Mapping[str, Any]) -> str:
    """How an instance is called: ``student`` or ``student[seed=0,method=kd]``."""
    if not coordinates:
        return name
    return f"{name}[{','.join(f'{axis}={_label(value)}' for axis, value in coordinates.items())}]"


def _label(value: Any) -> str:
    if isinstance(value, dict):
        return "+".join(f"{name}:{_label(inner)}" for name, inner in value.items())
    if isinstance(value, str) and _PLAIN.match(value) and isinstance(plain_value(value), str):
        return value
    return json.dumps(value, ensure_ascii=False)


@dataclass
class _Expansion:
    offered: OfferedSteps
    settings: Settings
    absent: frozenset[str]
    faults: FaultList
    edges: dict[tuple[str, str, EdgeKind], Edge] = field(default_factory=dict)
    index: dict[tuple[str, tuple[str, ...]], dict[tuple[Key, ...], list[str]]] = field(default_factory=dict)
    """By step and axes: the keys of its instances by the places of these axes' values."""

    @property
    def recipe(self) -> Recipe:
        return self.offered.recipe

    @cached_property
    def points(self) -> dict[str, list[dict[str, Setting]]]:
        """By step: every combination of its axes."""
        return {name: list(combinations(self.settings, step.for_each)) for name, step in self.recipe.steps.items()}

    @cached_property
    def left_out(self) -> dict[str, str]:
        """The steps that are not needed because an input was given in their place, and why."""
        return left_out_steps(self.recipe, self.absent)

    def graph(self) -> Graph:
        instances = [
            self._instance(name, self.recipe.steps[name], point)
            for name in order_of(self.recipe)
            for point in self.points[name]
        ]
        if len(self.edges) > MAX_EDGES:
            message = f"the recipe has more than {MAX_EDGES} links between step instances"
            self.faults.add(("steps",), message, None, f"at most {MAX_EDGES} links")
        size = sum(len(json.dumps(instance.params)) for instance in instances)
        if size > MAX_PARAMS_BYTES:
            message = f"the parameters of all step instances together have {size} bytes"
            self.faults.add(("steps",), message, size, f"at most {MAX_PARAMS_BYTES} bytes")
        outputs = {
            name: GraphOutput(
                first_of=tuple(tuple(self._keys(item.name, {})) for item in output.source.first_of),
                model=models_of(self.recipe)[output.source.first_of[0].name],
                alias=output.alias,
            )
            for name, output in self.recipe.outputs.items()
        }
        return Graph(steps=tuple(instances), edges=tuple(self.edges.values()), outputs=outputs)

    def _instance(self, name: str, step: Step, coordinates: Mapping[str, Setting]) -> StepInstance:
        values = {axis: setting.value for axis, setting in coordinates.items()}
        key, at, base = key_of(name, values), Point(self.settings, coordinates), ("steps", name)
        manifest = self.offered.manifests[step.operation]
        inputs = {
            port: tuple(bound)
            for port, bindings in step.inputs.items()
            if (bound := list(self._bound(key, (*base, "inputs", port), bindings, at)))
        }
        self._check_required(name, step, inputs)
        for other in step.needs:
            self._link(self._keys(other, coordinates), key, EdgeKind.ORDER)
        return StepInstance(
            key=key,
            name=name,
            coordinates=values,
            operation=step.operation,
            params=resolve_params(base, step, at, self.faults).value,
            seed=seed_of(base, step, at, self.faults),
            gpus=gpus_of(base, step, at, self.faults),
            inputs=inputs,
            gates=tuple(self._gate(key, (*base, "gates", index), gate, at) for index, gate in enumerate(step.gates)),
            model=models_of(self.recipe)[name] if manifest.outputs else None,
            max_attempts=step.max_attempts,
            time_limit_seconds=step.time_limit_seconds,
            left_out=self.left_out.get(name, ""),
        )

    def _bound(self, key: str, base: Key, bindings: Sequence[Binding], at: Point) -> Iterator[BoundInput]:
        for position, binding in enumerate(bindings):
            weight = weight_of((*base, position), binding, at, self.faults)
            references = wanted(binding.source.first_of, self.absent)
            alternatives = [self._sources(reference, at.coordinates) for reference in references]
            for sources in alternatives:
                self._link([source.step for source in sources if source.step], key, EdgeKind.INPUT)
            if len(alternatives) == 1:  # several instances of one step are several versions
                for source in alternatives[0]:
                    yield BoundInput(first_of=(source,), weight=weight, artifact=binding.artifact)
            elif alternatives:
                chosen = tuple(source for sources in alternatives for source in sources)
                yield BoundInput(first_of=chosen, weight=weight, artifact=binding.artifact)

    def _check_required(self, name: str, step: Step, inputs: Mapping[str, Sequence[BoundInput]]) -> None:
        for port in self.offered.manifests[step.operation].inputs:
            if port.required and not inputs.get(port.name) and name not in self.left_out:
                missing = sorted(
                    {item.name for binding in step.inputs[port.name] for item in binding.source.first_of} & self.absent
                )
                message = f"is needed: {name} has nothing else for its input {port.name}"
                self.faults.add((REQUEST, "inputs", missing[0]), message, None, f"a {port.kind.value}")

    def _gate(self, key: str, base: Key, gate: Gate, at: Point) -> BoundGate:
        branch = [other for name in gate.otherwise.run for other in self._keys(name, at.coordinates)]
        for other in branch:
            self._link([key], other, EdgeKind.BRANCH)
        than = None
        if gate.than is not None:
            than = self._sources(gate.than, at.coordinates)[0]
            self._link([than.step] if than.step else [], key, EdgeKind.GATE)
        return BoundGate(
            metric=gate.metric,
            rule=gate.rule,
            limit=limit_of(base, gate, at, self.faults),
            than=than,
            split=gate.split,
            runtime=gate.runtime,
            run=tuple(branch),
        )

    def _sources(self, reference: RecipeReference, coordinates: Mapping[str, Setting]) -> list[Source]:
        if reference.root is Root.INPUTS:
            return [Source(input=reference.name)]
        return [Source(step=key) for key in self._keys(reference.name, coordinates)]

    def _keys(self, name: str, coordinates: Mapping[str, Setting]) -> list[str]:
        """The keys of the step's instances that agree with these coordinates."""
        shared = tuple(axis for axis in self.recipe.steps[name].for_each if axis in coordinates)
        if (name, shared) not in self.index:
            index: dict[tuple[Key, ...], list[str]] = {}
            self.index[name, shared] = index
            for point in self.points[name]:
                key = key_of(name, {axis: setting.value for axis, setting in point.items()})
                index.setdefault(tuple(point[axis].key for axis in shared), []).append(key)
        return self.index[name, shared][tuple(coordinates[axis].key for axis in shared)]

    def _link(self, sources: Sequence[str], target: str, kind: EdgeKind) -> None:
        for source in sources if len(self.edges) <= MAX_EDGES else ():
            self.edges.setdefault((source, target, kind), Edge(source=source, target=target, kind=kind))


def wanted(references: Sequence[RecipeReference], absent: frozenset[str]) -> list[RecipeReference]:
    """The alternatives that can be: without inputs that were not given, and none after one that was."""
    found: list[RecipeReference] = []
    for reference in references:
        if reference.root is Root.INPUTS and reference.name in absent:
            continue
        found.append(reference)
        if reference.root is Root.INPUTS:
            break
    return found


def left_out_steps(recipe: Recipe, absent: frozenset[str]) -> dict[str, str]:
    """The steps that are only wanted in place of an input that was given, or by such a step: name -> reason."""
    named_by: dict[str, set[str]] = {name: set() for name in recipe.steps}
    wanted_by: dict[str, set[str]] = {name: set() for name in recipe.steps}
    for need in needs_of(recipe):
        if need.kind in {EdgeKind.ORDER, EdgeKind.BRANCH}:
            named_by[need.source].add(need.target)
            wanted_by[need.source].add(need.target)
    for use in uses_of_versions(recipe):
        if use.reference.root is Root.STEPS:
            user = "" if use.key[0] == "outputs" else str(use.key[1])
            named_by[use.reference.name].add(user)
            if use.key[-2:-1] != ("first_of",) or _is_wanted(recipe, use.key, absent):
                wanted_by[use.reference.name].add(user)
    left_out: dict[str, str] = {}
    while True:
        found = [
            name
            for name in recipe.steps
            if name not in left_out and named_by[name] and wanted_by[name] <= set(left_out)
        ]
        if not found:
            return left_out
        for name in found:
            left_out[name] = "not needed: an input was given in its place"


def _is_wanted(recipe: Recipe, key: Key, absent: frozenset[str]) -> bool:
    """Whether the alternative at ``key`` (``steps.NAME.inputs.PORT.POSITION.from.first_of.INDEX``) can be."""
    if key[0] == "outputs":
        return True
    binding = recipe.steps[str(key[1])].inputs[str(key[3])][int(key[4])]
    return binding.source.first_of[int(key[-1])] in wanted(binding.source.first_of, absent)


def models_of(recipe: Recipe) -> dict[str, str]:
    """By step: the name of the model that takes its result."""
    names = {name: step.model or f"{recipe.name}-{name}" for name, step in recipe.steps.items()}
    for output in recipe.outputs.values():
        if output.model is not None:
            names |= {reference.name: output.model for reference in output.source.first_of}
    return names
