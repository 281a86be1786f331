"""What planning and starting share: the recipe is checked, its inputs become versions, and the rights are there."""

from collections.abc import Mapping
from dataclasses import dataclass

from zoo_sdk.errors import InvalidInput, NotFound
from zoo_sdk.names import Reference
from zoo_sdk.operations import OperationManifest
from zoo_sdk.vocabulary import Scope, VersionState
from zoo_server.accounts.models import Team
from zoo_server.accounts.permissions import deny, own_teams_with, team_for, team_scopes
from zoo_server.catalog.models import Version
from zoo_server.catalog.selectors import resolve_version
from zoo_server.jobs.models import Operation
from zoo_server.jobs.requests import InputRequest
from zoo_server.jobs.selectors import newest_operations
from zoo_server.jobs.services.faults import known_names
from zoo_server.jobs.services.inputs import choose_inputs
from zoo_server.pipelines.recipes.checking import CheckedRecipe, check_recipe
from zoo_server.pipelines.recipes.expansion import expand
from zoo_server.pipelines.recipes.faults import REQUEST, FaultList
from zoo_server.pipelines.recipes.graph import Graph, StepInstance
from zoo_server.pipelines.requests import RecipeRequest
from zoo_server.rest.principals import Principal


@dataclass(frozen=True)
class PinnedInput:
    """The version that a reference meant when it was resolved; ``path`` picks one of its artifacts."""

    version: Version
    path: str

    def reference(self, artifact: str | None = None) -> str:
        """``team/name@3`` or ``team/name@3#path``; the recipe's own choice of an artifact goes first."""
        path = artifact or self.path
        return f"{self.version}#{path}" if path else str(self.version)


@dataclass(frozen=True)
class PreparedRecipe:
    """Everything that could be found out before the first job."""

    checked: CheckedRecipe
    operations: Mapping[str, Operation]
    team: Team
    inputs: Mapping[str, PinnedInput]
    graph: Graph

    @property
    def manifests(self) -> Mapping[str, OperationManifest]:
        """The operations' manifests, by name."""
        return self.checked.offered.manifests


def offered_operations() -> tuple[dict[str, Operation], dict[str, OperationManifest]]:
    """What workers offer: the newest version of each operation by name, and its manifest."""
    operations = {row.name: row for row in newest_operations()}
    return operations, {name: OperationManifest.model_validate(row.manifest) for name, row in operations.items()}


def prepare(*, principal: Principal, request: RecipeRequest, complete: bool) -> PreparedRecipe:
    """Check the recipe, resolve its inputs, and make its graph.  ``complete``: every required input must be there.

    Raises:
        InvalidRecipe: something is wrong with the recipe or with what the request fills in.
        NotFound, PermissionDenied: the caller may not run jobs of the team, write its models or set an alias.

    """
    operations, manifests = offered_operations()
    checked = check_recipe(request.recipe, manifests=manifests, overrides=request.overrides, file=request.file)
    faults = checked.faults
    team = _team(principal, request, faults)
    inputs = _pinned(principal, request, checked, faults)
    missing = {name for name in checked.recipe.inputs if name not in request.inputs}
    required = {name for name in missing if checked.recipe.inputs[name].required}
    for name in sorted(required) if complete else ():
        declared = checked.recipe.inputs[name]
        message = f"is required: {declared.description or f'a {declared.kind.value}'}"
        faults.add((REQUEST, "inputs", name), message, None, f"a {declared.kind.value} such as team/name@3")
    graph = expand(checked.offered, checked.settings, frozenset(missing - required), faults)
    _check_uses(principal, inputs, graph, manifests, faults)
    faults.raise_any()
    if team is None:
        raise InvalidInput("The pipeline has no team.", facts={"field": "team"})
    _check_rights(principal, team, graph)
    return PreparedRecipe(checked, operations, team, inputs, graph)


def _team(principal: Principal, request: RecipeRequest, faults: FaultList) -> Team | None:
    if request.team is not None:
        return team_for(principal=principal, name=request.team, scope=Scope.SUBMIT)
    able = own_teams_with(principal=principal, scope=Scope.SUBMIT)
    if len(able) == 1:
        return able[0]
    allowed = f"one of: {', '.join(team.name for team in able[:20]) or 'none; join a team as engineer first'}"
    faults.add((REQUEST, "team"), "is required: you may run jobs of more than one team, or of none", None, allowed)
    return None


def _pinned(
    principal: Principal, request: RecipeRequest, checked: CheckedRecipe, faults: FaultList
) -> dict[str, PinnedInput]:
    declared = checked.recipe.inputs
    found: dict[str, PinnedInput] = {}
    for name, text in request.inputs.items():
        key = (REQUEST, "inputs", name)
        if name not in declared:
            faults.add(key, "is not an input of the recipe", name, known_names(name, declared))
            continue
        kind = declared[name].kind
        try:
            reference = Reference.parse(text[:700])
            version = resolve_version(principal=principal, reference=reference, kind=kind)
        except NotFound:
            # The same words for "does not exist" and "not yours to see".
            faults.add(key, f"there is no {kind.value} {text[:200]!r} that you may see", text, f"a {kind.value}")
        except InvalidInput as error:
            faults.add(key, error.detail, text, "team/name@3 or team/name@alias")
        else:
            if version.state in {VersionState.DRAFT, VersionState.WITHDRAWN}:
                faults.add(key, f"{version} is {version.state}", text, "a sealed version that is not withdrawn")
            elif hasattr(version, "deletion"):
                faults.add(key, f"{version} is deleted", text, "a version that is not deleted")
            found[name] = PinnedInput(version, reference.path or "")
    return found


def _check_uses(
    principal: Principal,
    inputs: Mapping[str, PinnedInput],
    graph: Graph,
    manifests: Mapping[str, OperationManifest],
    faults: FaultList,
) -> None:
    """Can each operation take the versions that were named: formats, rights to measure, findings of the scan?"""
    wrong = {fault.key for fault in faults.found}
    usable = {name: item for name, item in inputs.items() if f"{REQUEST}.inputs.{name}" not in wrong}
    seen: set[str] = set()
    for step in graph.steps:
        uses = {} if step.left_out else _uses(step, usable)
        if not uses or (signature := f"{step.operation} {uses}") in seen:
            continue
        seen.add(signature)
        manifest = manifests[step.operation]
        ports = tuple(item.model_copy(update={"required": False}) for item in manifest.inputs)
        requested = {
            port: [InputRequest(version=usable[name].reference(artifact)) for name, artifact in taken]
            for port, taken in uses.items()
        }
        _, found = choose_inputs(
            principal=principal, manifest=manifest.model_copy(update={"inputs": ports}), requested=requested
        )
        for fault in found:
            _, port, *position = fault.field.split(".")
            name = uses[port][int(position[0]) if position else 0][0]
            faults.add((REQUEST, "inputs", name), f"{fault.message} (step {step.name})", fault.value, fault.allowed)


def _uses(step: StepInstance, inputs: Mapping[str, PinnedInput]) -> dict[str, list[tuple[str, str | None]]]:
    """By port: the recipe inputs that the step certainly takes there, and the artifact of each."""
    found = {
        port: [
            (item.first_of[0].input, item.artifact)
            for item in bound
            if item.first_of[0].input is not None and item.first_of[0].input in inputs
        ]
        for port, bound in step.inputs.items()
    }
    return {port: taken for port, taken in found.items() if taken}


def _check_rights(principal: Principal, team: Team, graph: Graph) -> None:
    scopes = team_scopes(principal=principal, team=team)
    if Scope.WRITE not in scopes and any(step.model for step in graph.steps):
        deny(Scope.WRITE, team.name)
    if Scope.CURATE not in scopes and any(output.alias for output in graph.outputs.values()):
        deny(Scope.CURATE, team.name)
