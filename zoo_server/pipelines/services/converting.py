"""Planning conversions over the graph of formats, and running a plan as a pipeline."""

from collections.abc import Mapping
from dataclasses import dataclass

from zoo_sdk.errors import Conflict, InvalidInput
from zoo_sdk.formats import find_format
from zoo_sdk.names import Reference
from zoo_sdk.operations import OperationManifest, Port
from zoo_sdk.vocabulary import RepositoryKind, Scope
from zoo_server.accounts.permissions import team_scopes
from zoo_server.catalog.models import Artifact, Version
from zoo_server.catalog.selectors import resolve_version
from zoo_server.jobs.requests import InputRequest
from zoo_server.jobs.selectors import all_workers, operations_with_workers
from zoo_server.jobs.services.faults import Fault, InvalidSubmission, known_names
from zoo_server.jobs.services.inputs import choose_inputs
from zoo_server.jobs.services.parameters import check_params
from zoo_server.pipelines.conversions.graph import ConversionPath, OfferedEdge, Start, Wanted, plan_path
from zoo_server.pipelines.conversions.offers import offered_edges, unserved_edges
from zoo_server.pipelines.conversions.recipe import DATA, MODEL, ConversionRecipe, recipe_of
from zoo_server.pipelines.models import Pipeline
from zoo_server.pipelines.requests import ConversionRequest, PipelineRequest
from zoo_server.pipelines.services.starting import start_pipeline
from zoo_server.rest.principals import Principal


class NoConversion(InvalidInput):
    """No available path leads to what was asked for; ``facts["unavailable"]`` says what stands in the way."""

    code = "no-conversion"


class AlreadyConverted(Conflict):
    """The version has an artifact in that format and precision."""

    code = "already-converted"


@dataclass(frozen=True)
class ConversionPlan:
    """A path for a request.  ``team`` and ``model`` get its versions; ``recipe`` None: there is nothing to run."""

    version: Version
    path: ConversionPath
    team: str | None
    model: str
    recipe: ConversionRecipe | None


def known_edges() -> list[OfferedEdge]:
    """Every edge that workers offer or could, by operation; data that conversions may need counts as given."""
    operations = list(operations_with_workers())
    edges = offered_edges(operations, options={}, has_data=True)
    edges += unserved_edges(all_workers(), known={row.name for row in operations})
    return sorted(edges, key=lambda item: (item.operation, item.number))


def plan_conversion(*, principal: Principal, request: ConversionRequest) -> ConversionPlan:
    """The cheapest available way; starts nothing.

    Raises:
        UnknownName: there is no such format.
        NotFound: there is no such version that the caller may see.
        InvalidSubmission: an option names an unknown operation, or is wrong for it.

    """
    find_format(request.to)
    reference = Reference.parse(request.version)
    version = resolve_version(principal=principal, reference=reference, kind=RepositoryKind.MODEL)
    operations = list(operations_with_workers())
    manifests = {row.name: OperationManifest.model_validate(row.manifest) for row in operations}
    _check_options(request, manifests)
    has_data = request.data is not None
    edges = offered_edges(operations, options=request.options, has_data=has_data)
    edges += unserved_edges(all_workers(), known=manifests)
    wanted = Wanted(request.to, request.precision, frozenset(request.options))
    starts = _starts(version, reference.path)
    refusals = [_refusal(principal, version, start, manifests) for start in starts]
    usable = [start for start, refusal in zip(starts, refusals, strict=True) if not refusal]
    path = plan_path(usable or starts, edges, wanted)
    if path.steps and not usable:
        path = ConversionPath(None, (), path.unavailable, f"{refusals[0][:1].upper()}{refusals[0][1:]}.")
    model = request.model or version.repository.name
    recipe = recipe_of(path, manifests=manifests, model=model, has_data=has_data) if path.steps else None
    return ConversionPlan(version, path, request.team or _own_team(principal, version), model, recipe)


def start_conversion(
    *, principal: Principal, request: ConversionRequest, idempotency_key: str | None = None
) -> tuple[Pipeline, bool]:
    """Run the cheapest available way as a pipeline.  Returns the pipeline and whether it is new.

    Raises:
        NoConversion: there is no available way.
        AlreadyConverted: there is nothing to do.
        And what :func:`plan_conversion` and :func:`start_pipeline` raise.

    """
    plan = plan_conversion(principal=principal, request=request)
    if plan.path.start is None:
        raise NoConversion(
            plan.path.problem,
            hint="POST conversions/plan, or `zoo convert --dry-run`, lists what stands in the way.",
            facts={
                "unavailable": [
                    {"operation": item.operation, "edge": str(item.edge), "reasons": list(item.reasons)}
                    for item in plan.path.unavailable
                ]
            },
        )
    if plan.recipe is None:
        raise AlreadyConverted(f"{plan.version} has what you ask for: {plan.path.start.path}.")
    source = f"{plan.version}#{plan.path.start.path}"
    data = {DATA: request.data} if plan.recipe.uses_data else {}
    wanted = PipelineRequest.model_validate(
        {
            "recipe": plan.recipe.text,
            "file": "conversion.yaml",
            "team": plan.team,
            "inputs": {MODEL: source} | data,
            "cache": request.cache,
            "priority": request.priority,
        }
    )
    return start_pipeline(principal=principal, request=wanted, idempotency_key=idempotency_key)


def _check_options(request: ConversionRequest, manifests: Mapping[str, OperationManifest]) -> None:
    """Options belong to operations that convert, and fit their parameters."""
    converters = {name: manifest for name, manifest in manifests.items() if manifest.edges}
    faults: list[Fault] = []
    for name, given in request.options.items():
        manifest = converters.get(name)
        if manifest is None:
            faults.append(
                Fault(f"options.{name[:100]}", "is not an operation that converts", name, known_names(name, converters))
            )
            continue
        _, wrong = check_params(schema=manifest.params_schema, given=given)
        faults += [
            Fault(f"options.{name}.{item.field.removeprefix('params.')}", item.message, item.value, item.allowed)
            for item in wrong
        ]
    if faults:
        raise InvalidSubmission(faults)


def _starts(version: Version, path: str | None) -> list[Start]:
    """The artifacts of a version, in their order; with ``path`` that one only."""
    artifacts = list(version.artifacts.prefetch_related("files__blob"))
    starts = [_start(artifact) for artifact in artifacts]
    if path is None:
        return starts
    picked = [start for start in starts if start.path == path]
    if not picked:
        has = ", ".join(f"{start.path} ({start.format})" for start in starts) or "none"
        raise InvalidInput(f"{version} has no artifact {path!r}; it has {has}.", facts={"field": "version"})
    return picked


def _start(artifact: Artifact) -> Start:
    files = sorted(artifact.files.all(), key=lambda file: (file.position, file.path))
    facts = files[0].blob.facts if files and files[0].blob else {}
    path = files[0].path if files else artifact.name
    return Start.described(artifact.format, path, precision=artifact.precision, details=artifact.details, facts=facts)


def _refusal(principal: Principal, version: Version, start: Start, manifests: Mapping[str, OperationManifest]) -> str:
    """Why no worker would get this artifact (a draft, not mirrored, dangerous ...); empty: nothing is against it."""
    taker = next(iter(manifests.values()), None)
    if taker is None:
        return ""
    manifest = taker.model_copy(update={"inputs": (Port(name=MODEL, formats=(start.format,)),)})
    requested = {MODEL: [InputRequest(version=f"{version}#{start.path}")]}
    _, faults = choose_inputs(principal=principal, manifest=manifest, requested=requested)
    return faults[0].message if faults else ""


def _own_team(principal: Principal, version: Version) -> str | None:
    """The source's team, where the caller may run jobs and write; None: the pipeline finds the caller's only team."""
    team = version.repository.team
    return team.name if {Scope.SUBMIT, Scope.WRITE} <= team_scopes(principal=principal, team=team) else None
