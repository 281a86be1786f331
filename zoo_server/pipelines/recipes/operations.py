"""A recipe against the operations that workers offer: ports, kinds, formats and parameters of every step."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import islice

from zoo_sdk.operations import OperationManifest, Port
from zoo_sdk.vocabulary import RepositoryKind
from zoo_server.jobs.services.devices import gpus_fault
from zoo_server.jobs.services.faults import known_names
from zoo_server.jobs.services.parameters import check_params
from zoo_server.pipelines.recipes.faults import FaultList, Key, dotted
from zoo_server.pipelines.recipes.references import RecipeReference, Root, looks_like_reference
from zoo_server.pipelines.recipes.schema import Binding, Recipe, Step
from zoo_server.pipelines.recipes.settings import (
    Point,
    Settings,
    combinations,
    gpus_of,
    limit_of,
    resolve,
    resolve_params,
    seed_of,
    weight_of,
)
from zoo_server.pipelines.recipes.uses import uses_of_settings

Manifests = Mapping[str, OperationManifest]
"""The offered operations by name."""


@dataclass
class OfferedSteps:
    """The steps of a recipe together with their operations."""

    recipe: Recipe
    manifests: Manifests

    def manifest(self, name: str) -> OperationManifest | None:
        """The operation of a step, if both exist."""
        step = self.recipe.steps.get(name)
        return self.manifests.get(step.operation) if step else None

    def measured_port(self, name: str) -> Port | None:
        """The port whose version a step measures."""
        manifest = self.manifest(name)
        return next((port for port in manifest.inputs if port.measured), None) if manifest else None

    def has_version(self, name: str) -> bool:
        """Whether ``${steps.NAME}`` stands for a version: one that the step makes, or one that it measures."""
        manifest = self.manifest(name)
        return manifest is not None and bool(manifest.outputs or self.measured_port(name))

    @cached_property
    def formats(self) -> dict[str, frozenset[str] | None]:
        """By step: the formats of the version that ``${steps.NAME}`` stands for; None: not known."""
        found: dict[str, frozenset[str] | None] = {}
        for name in self.recipe.steps:
            self._formats_of(name, found, ())
        return found

    def _formats_of(
        self, name: str, found: dict[str, frozenset[str] | None], path: tuple[str, ...]
    ) -> frozenset[str] | None:
        if name in found or name in path:  # a cycle is a fault of its own
            return found.get(name)
        manifest, measured = self.manifest(name), self.measured_port(name)
        formats: frozenset[str] | None = None
        if manifest is not None and manifest.outputs:
            if all(port.formats for port in manifest.outputs):
                formats = frozenset(text for port in manifest.outputs for text in port.formats)
        elif measured is not None:
            references = [
                reference
                for binding in self.recipe.steps[name].inputs.get(measured.name, [])
                for reference in binding.source.first_of
            ]
            if len(references) == 1 and references[0].root is Root.STEPS:
                formats = self._formats_of(references[0].name, found, (*path, name))
        found[name] = formats
        return formats


def check_operations(offered: OfferedSteps, faults: FaultList) -> None:
    """Note unknown operations, and ports that do not fit what they are given."""
    recipe = offered.recipe
    for name, step in recipe.steps.items():
        base: Key = ("steps", name)
        manifest = offered.manifest(name)
        if manifest is None:
            message = f"{step.operation!r} is not offered by any worker"
            allowed = known_names(step.operation, offered.manifests)
            faults.add((*base, "operation"), message, step.operation, allowed)
            continue
        _check_ports(offered, name, step, manifest, faults)
        if step.model is not None and not manifest.outputs:
            faults.add((*base, "model"), f"{manifest.name} makes no model", step.model, "a step that makes a model")
        _check_gates(offered, name, step, faults)
    for name, output in recipe.outputs.items():
        for index, reference in enumerate(output.source.first_of):
            manifest = offered.manifest(reference.name)
            if manifest is not None and not manifest.outputs:
                key = ("outputs", name, "from", "first_of", index)
                faults.add(key, f"{reference} makes no model", str(reference), "a step that makes a model")


def _check_gates(offered: OfferedSteps, name: str, step: Step, faults: FaultList) -> None:
    if step.gates and not offered.has_version(name):
        message = f"{step.operation} neither makes nor measures a model"
        faults.add(("steps", name, "gates"), message, None, "no gates")
    for index, gate in enumerate(step.gates):
        if gate.than is None:
            continue
        key: Key = ("steps", name, "gates", index, "than")
        given = offered.recipe.inputs.get(gate.than.name) if gate.than.root is Root.INPUTS else None
        if given is not None and (given.kind != RepositoryKind.MODEL or not given.required):
            faults.add(key, f"{gate.than} is not a model that is always there", str(gate.than), "a required model")
        if (
            gate.than.root is Root.STEPS
            and offered.manifest(gate.than.name)
            and not offered.has_version(gate.than.name)
        ):
            faults.add(key, f"{gate.than} neither makes nor measures a model", str(gate.than), "a step that does")
        for axis in extra_axes(offered.recipe, gate.than, step):
            message = f"{gate.than} has several versions, one for each {axis}"
            faults.add(key, message, str(gate.than), f"for_each with {axis}")


def _check_ports(offered: OfferedSteps, name: str, step: Step, manifest: OperationManifest, faults: FaultList) -> None:
    base: Key = ("steps", name, "inputs")
    ports = {port.name: port for port in manifest.inputs}
    for given, bindings in step.inputs.items():
        port = ports.get(given)
        if port is None:
            faults.add((*base, given), f"is not an input of {manifest.name}", given, known_names(given, ports))
            continue
        if len(bindings) > 1 and not port.many:
            faults.add((*base, given), f"takes one version, not {len(bindings)}", len(bindings), "one version")
        for position, binding in enumerate(bindings):
            place = (*base, given, position)
            if binding.weight is not None and not port.weighted:
                faults.add((*place, "weight"), f"is not taken by {given}", str(binding.weight), "no weight")
            _check_sources(offered, name, port, binding, place, faults)
    for port in manifest.inputs:
        if port.required and not step.inputs.get(port.name):
            message = f"is required by {manifest.name}: {port.description or f'a {port.kind.value}'}"
            faults.add((*base, port.name), message, None, f"a {port.kind.value}")
        elif port.required and all(_may_be_absent(offered.recipe, binding) for binding in step.inputs[port.name]):
            message = f"is required by {manifest.name}, but all that it is given is optional"
            faults.add((*base, port.name), message, None, "required: true for the input, or another source")


def _may_be_absent(recipe: Recipe, binding: Binding) -> bool:
    inputs = [recipe.inputs.get(item.name) for item in binding.source.first_of if item.root is Root.INPUTS]
    return len(inputs) == len(binding.source.first_of) and all(item and not item.required for item in inputs)


def _check_sources(
    offered: OfferedSteps, name: str, port: Port, binding: Binding, place: Key, faults: FaultList
) -> None:
    recipe = offered.recipe
    for index, reference in enumerate(binding.source.first_of):
        key = (*place, "from", "first_of", index)
        fault = _source_fault(offered, port, reference)
        if fault is not None:
            faults.add(key, fault[0], str(reference), fault[1])
        for axis in extra_axes(recipe, reference, recipe.steps[name]):
            if not port.many or len(binding.source.first_of) > 1:
                message = f"{reference} has several versions, one for each {axis}; {port.name} takes one of them"
                faults.add(key, message, str(reference), f"for_each with {axis}, or an input that takes many")


def extra_axes(recipe: Recipe, reference: RecipeReference, consumer: Step) -> list[str]:
    """The axes that the step which ``reference`` names has, and ``consumer`` has not."""
    producer = recipe.steps.get(reference.name) if reference.root is Root.STEPS else None
    return [axis for axis in producer.for_each if axis not in consumer.for_each] if producer else []


def _source_fault(offered: OfferedSteps, port: Port, reference: RecipeReference) -> tuple[str, str] | None:
    """What is wrong with the kind or the formats of a source of ``port``, and what is allowed."""
    if reference.root is Root.INPUTS:
        declared = offered.recipe.inputs.get(reference.name)
        if declared is not None and declared.kind != port.kind:
            return f"is a {declared.kind.value}; {port.name} takes a {port.kind.value}", f"a {port.kind.value}"
        return None
    manifest = offered.manifest(reference.name)
    if manifest is None:
        return None
    if not offered.has_version(reference.name):
        return f"{reference} makes nothing: {manifest.name} has no outputs", "a step that makes or measures a model"
    if port.kind != RepositoryKind.MODEL:
        return f"{reference} is a model; {port.name} takes a {port.kind.value}", f"a {port.kind.value}"
    formats = offered.formats[reference.name]
    if port.formats and formats and not formats & set(port.formats):
        made = " or ".join(sorted(formats))
        return f"{reference} is {made}; {port.name} takes {' or '.join(port.formats)}", " or ".join(port.formats)
    return None


def check_parameters(offered: OfferedSteps, settings: Settings, limit: int, faults: FaultList) -> None:
    """Note every parameter, seed, weight and limit that is wrong for these settings, at the place where it was written.

    What several steps take from one place is told once.  ``limit``: how many combinations of axes are looked at in
    all, at most.
    """
    told = {(fault.key, fault.message) for fault in faults.found}
    wrong: set[tuple[Key, str]] = set()
    for name, step in offered.recipe.steps.items():
        manifest = offered.manifest(name)
        if manifest is None or any(axis not in settings.axes for axis in step.for_each):
            continue
        used = {use.reference.name for use in uses_of_settings(name, step) if use.reference.root is Root.AXES}
        for point in islice(combinations(settings, [axis for axis in step.for_each if axis in used]), limit):
            limit -= 1
            found = FaultList(faults.file, faults.marks)
            at = Point(settings, point)
            _check_params(name, step, manifest, at, wrong, found)
            _check_numbers(name, step, at, found)
            _check_gpus(name, step, manifest, at, found)
            for item in found.found:
                if (item.key, item.message) not in told:
                    told.add((item.key, item.message))
                    faults.found.append(item)


def _check_params(
    name: str, step: Step, manifest: OperationManifest, at: Point, told: set[tuple[Key, str]], faults: FaultList
) -> None:
    """Note wrong parameters of the step at one point of the matrix, but for those of ``told``, and add them there."""
    base: Key = ("steps", name, "params")
    resolved = resolve_params(base[:-1], step, at, faults)
    if faults.found:
        return
    _, wrong = check_params(schema=manifest.params_schema, given=resolved.value)
    for fault in wrong:
        place = (*base, *_parts(fault.field.partition(".")[2], resolved.value))
        absent = not resolved.complete and not set(place[len(base) :]) & resolved.value.keys()
        if looks_like_reference(fault.value) or absent:
            continue  # a reference names nothing, which was told
        written = resolved.place_of(place, base)
        if (written, fault.message) in told:
            continue
        told.add((written, fault.message))
        inside = written[: len(base)] == base
        message = fault.message if inside else f"{fault.message}, as {'.'.join(map(str, place))}"
        faults.add(written, f"{message} ({manifest.name})", fault.value, fault.allowed)


def _parts(path: str, value: object) -> Iterator[str | int]:
    """A dotted path below ``value`` as keys and list positions; a key may hold dots itself."""
    while path:
        names = (
            [name for name in value if path == name or path.startswith(f"{name}.")] if isinstance(value, dict) else []
        )
        part = max(names, key=len) if names else path.partition(".")[0]
        path = path[len(part) + 1 :]
        if isinstance(value, list) and part.isdigit() and int(part) < len(value):
            value = value[int(part)]
            yield int(part)
        else:
            value = value.get(part) if isinstance(value, dict) else None
            yield part


def _check_gpus(name: str, step: Step, manifest: OperationManifest, at: Point, faults: FaultList) -> None:
    """Note a number of GPUs that the operation cannot use, at the place where it was written."""
    base: Key = ("steps", name)
    gpus = gpus_of(base, step, at, faults)
    fault = gpus_fault(manifest, gpus) if gpus is not None else None
    if fault is not None:
        key: Key = (*base, "gpus")
        written = resolve(step.gpus, key, at, faults).place_of(key, key)
        told = fault.message if written == key else f"{fault.message}, as {dotted(key)}"
        faults.add(written, told, fault.value, fault.allowed)


def _check_numbers(name: str, step: Step, at: Point, faults: FaultList) -> None:
    """The numbers beside the parameters; expansion reads them by the same functions."""
    base: Key = ("steps", name)
    seed_of(base, step, at, faults)
    for port, bindings in step.inputs.items():
        for position, binding in enumerate(bindings):
            weight_of((*base, "inputs", port, position), binding, at, faults)
    for index, gate in enumerate(step.gates):
        limit_of((*base, "gates", index), gate, at, faults)
