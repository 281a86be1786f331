"""Planning: what a recipe would run, what of it the result cache has, and what the rest would cost."""

from dataclasses import dataclass, field
from functools import cached_property
from hashlib import sha256
from uuid import UUID

from zoo_sdk.errors import InvalidInput
from zoo_sdk.vocabulary import RepositoryKind
from zoo_server.catalog.models import Version
from zoo_server.jobs.requests import InputRequest
from zoo_server.jobs.services.devices import gpus_of
from zoo_server.jobs.services.parameters import with_defaults
from zoo_server.jobs.services.submission import cached_result
from zoo_server.jobs.supply import shortages
from zoo_server.pipelines.recipes.graph import BoundInput, StepInstance
from zoo_server.pipelines.requests import RecipeRequest
from zoo_server.pipelines.services.estimates import Estimate, History, Likeness
from zoo_server.pipelines.services.preparing import PreparedRecipe, prepare
from zoo_server.pipelines.services.submissions import artifact_of, measured_port, submission_of
from zoo_server.rest.principals import Principal


@dataclass(frozen=True)
class PlannedStep:
    """A step instance, its result if there is one already, and what it would cost.

    ``waiting_for``: what has to come before any worker can take its job; empty if one could.
    """

    instance: StepInstance
    gpus: int
    waiting_for: str
    cached: Version | None
    estimate: Estimate


@dataclass(frozen=True)
class RecipePlan:
    """What would happen."""

    prepared: PreparedRecipe
    set_name: str | None
    recipe_digest: str
    steps: list[PlannedStep]

    @cached_property
    def seconds(self) -> dict[str, float]:
        """By step: the seconds that are known to be needed; 0 for what the cache has, what is left out, or unknown."""
        return {
            step.instance.key: 0.0 if step.cached or step.instance.left_out else step.estimate.seconds or 0.0
            for step in self.steps
        }

    @property
    def total_seconds(self) -> float:
        """All steps, one after the other."""
        return round(sum(self.seconds.values()), 1)

    @property
    def critical_path_seconds(self) -> float:
        """The longest chain of steps that wait for each other."""
        ends: dict[str, float] = {}
        sources: dict[str, list[str]] = {}
        for edge in self.prepared.graph.edges:
            sources.setdefault(edge.target, []).append(edge.source)
        for step in self.prepared.graph.steps:  # each comes after those that it waits for
            begin = max((ends[source] for source in sources.get(step.key, ())), default=0.0)
            ends[step.key] = begin + self.seconds[step.key]
        return round(max(ends.values()), 1)

    @property
    def unknown(self) -> int:
        """How many steps have to run for a time that nobody knows."""
        return sum(
            step.cached is None and not step.instance.left_out and step.estimate.seconds is None for step in self.steps
        )


def digest_of_recipe(text: str) -> str:
    """sha256 of the recipe's bytes."""
    return f"sha256:{sha256(text.encode()).hexdigest()}"


def plan_recipe(*, principal: Principal, request: RecipeRequest) -> RecipePlan:
    """Check everything that starting checks (inputs may be missing), and say what would run.

    Raises:
        InvalidRecipe: something is wrong with the recipe or with what the request fills in.
        NotFound, PermissionDenied: the caller may not run it.

    """
    prepared = prepare(principal=principal, request=request, complete=False)
    operations = {step.operation for step in prepared.graph.steps}
    history = History(principal=principal, operations=operations)
    outlook = _Outlook(principal, request, prepared)
    gpus = {step.key: gpus_of(prepared.manifests[step.operation], step.gpus) for step in prepared.graph.steps}
    missing = shortages((prepared.operations[step.operation], gpus[step.key]) for step in prepared.graph.steps)
    steps = []
    for step in prepared.graph.steps:
        cached = outlook.cached(step)
        params = with_defaults(schema := prepared.manifests[step.operation].params_schema, step.params, schema)
        likeness = Likeness(params, _datasets(prepared, step), gpus[step.key])
        waiting_for = missing.get((prepared.operations[step.operation].pk, gpus[step.key]), "")
        steps.append(PlannedStep(step, gpus[step.key], waiting_for, cached, history.estimate(step.operation, likeness)))
    return RecipePlan(prepared, request.set, digest_of_recipe(request.recipe), steps)


def _datasets(prepared: PreparedRecipe, step: StepInstance) -> frozenset[UUID]:
    """The versions of data sets that go into the step."""
    versions = (
        prepared.inputs[source.input].version
        for bound in step.inputs.values()
        for item in bound
        for source in item.first_of
        if source.input is not None and source.input in prepared.inputs
    )
    return frozenset(version.pk for version in versions if version.repository.kind == RepositoryKind.DATASET)


@dataclass
class _Outlook:
    """Follows the steps in order and notes which results are there already: a cached one is an input that is known."""

    principal: Principal
    request: RecipeRequest
    prepared: PreparedRecipe
    known: dict[str, str] = field(default_factory=dict)

    def cached(self, step: StepInstance) -> Version | None:
        """What the result cache has for the step; only steps whose inputs are all known can be looked up."""
        if step.left_out or self.request.cache != "use":
            return None
        inputs = {port: [self._input(item) for item in bound] for port, bound in step.inputs.items()}
        if any(item is None for items in inputs.values() for item in items):
            return None
        submission = submission_of(
            step,
            team=self.prepared.team.name,
            inputs={port: [item for item in items if item] for port, items in inputs.items()},
            manifest=self.prepared.manifests[step.operation],
        )
        try:
            found = cached_result(principal=self.principal, submission=submission)
        except InvalidInput:  # such as one version from two steps: told when the step's turn comes
            return None
        if found is None:
            return None
        if step.model:
            self.known[step.key] = str(found.version)
        else:
            measured = measured_port(self.prepared.manifests[step.operation])
            self.known[step.key] = next((item.version for item in inputs.get(measured or "", []) if item), "")
        return found.version or found.measured

    def _input(self, item: BoundInput) -> InputRequest | None:
        """The first source, if it is known which version that is."""
        source = item.first_of[0]
        if source.input is not None:
            given = self.prepared.inputs.get(source.input)
            return InputRequest(version=given.reference(item.artifact), weight=item.weight) if given else None
        reference = self.known.get(source.step or "")
        if not reference:
            return None
        return InputRequest(version=artifact_of(reference, item.artifact), weight=item.weight)
