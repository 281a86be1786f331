"""A pipeline with its steps, edges and inputs in memory, locked: what the next moves are decided on."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from uuid import UUID

from zoo_sdk.errors import NotFound
from zoo_sdk.vocabulary import FINAL_STEP_STATES, StepState
from zoo_server.pipelines.models import Pipeline, PipelineEdge, PipelineInput, PipelineStep
from zoo_server.pipelines.recipes.graph import BoundInput, Source, StepInstance
from zoo_server.pipelines.recipes.uses import EdgeKind
from zoo_server.pipelines.services.gates import branch_of


@dataclass(frozen=True)
class Ready:
    """A step can start: the sources that it takes, by port."""

    inputs: dict[str, list[tuple[BoundInput, Source]]]


@dataclass(frozen=True)
class Skip:
    """A step can never start, and why."""

    reason: str


@dataclass
class Board:
    """The rows of one pipeline; the pipeline's own row is locked until the transaction ends."""

    pipeline: Pipeline
    steps: dict[str, PipelineStep]
    sources: dict[str, list[tuple[str, EdgeKind]]]
    inputs: dict[str, PipelineInput]

    @cached_property
    def specs(self) -> dict[str, StepInstance]:
        """The steps' specifications, by key."""
        return {key: StepInstance.model_validate(step.spec) for key, step in self.steps.items()}

    def in_state(self, state: StepState) -> Iterator[PipelineStep]:
        """The steps that are in that state now, in order."""
        return (step for step in list(self.steps.values()) if step.state == state)

    def next_move(self, key: str) -> Ready | Skip | None:
        """Whether a waiting step can start or never will; None: it has to wait."""
        waiting = False
        for found in (self._branch(key), self._order(key)):
            if isinstance(found, Skip):
                return found
            waiting = waiting or not found
        inputs: dict[str, list[tuple[BoundInput, Source]]] = {}
        for port, bound in self.specs[key].inputs.items():
            for item in bound:
                source = self._choice(key, item)
                if isinstance(source, Skip):
                    return source
                if source is None:
                    waiting = True
                else:
                    inputs.setdefault(port, []).append((item, source))
        return None if waiting else Ready(inputs)

    def _waits_for(self, key: str, kind: EdgeKind) -> list[PipelineStep]:
        return [self.steps[source] for source, edge in self.sources.get(key, ()) if edge == kind]

    def _branch(self, key: str) -> bool | Skip:
        """A step of a branch runs only if the gate took it."""
        gated = self._waits_for(key, EdgeKind.BRANCH)
        if not gated or any(self.takes_branch(step, key) for step in gated):
            return True
        if any(step.state not in FINAL_STEP_STATES for step in gated):
            return False
        return Skip(f"its branch is not taken: {', '.join(f'{step.key} {step.state}' for step in gated)}"[:500])

    def takes_branch(self, step: PipelineStep, key: str) -> bool:
        """Whether a gate of ``step`` did not pass and has the step ``key`` run instead."""
        return step.state == StepState.GATED and key in branch_of(step.gates)

    def _order(self, key: str) -> bool | Skip:
        before = self._waits_for(key, EdgeKind.ORDER)
        ended = [step for step in before if step.state in FINAL_STEP_STATES and step.state != StepState.SUCCEEDED]
        if ended:
            return Skip(f"it needs {ended[0].key}, which {_told(ended[0])}"[:500])
        return all(step.state == StepState.SUCCEEDED for step in before)

    def _choice(self, key: str, item: BoundInput) -> Source | Skip | None:
        """The first source that has a version; None: one has to be waited for."""
        lost: list[PipelineStep] = []
        for source in item.first_of:
            if source.step is None:
                return source
            step = self.steps[source.step]
            if step.state == StepState.SUCCEEDED or self.takes_branch(step, key):
                return source
            if step.state not in FINAL_STEP_STATES:
                return None
            lost.append(step)
        return Skip(f"it takes {' or '.join(f'{step.key}, which {_told(step)}' for step in lost)}"[:500])


def _told(step: PipelineStep) -> str:
    words = {
        StepState.FAILED: "failed",
        StepState.GATED: "did not pass its gates",
        StepState.SKIPPED: "was skipped",
        StepState.CANCELLED: "was cancelled",
    }
    return words[StepState(step.state)]


def locked_board(pipeline_id: UUID) -> Board:
    """The pipeline as it is now, locked until the transaction ends (four queries)."""
    rows = Pipeline.objects.select_for_update(of=("self",), no_key=True).select_related("team", "created_by")
    pipeline = rows.filter(pk=pipeline_id).first()
    if pipeline is None:
        raise NotFound(f"There is no pipeline {pipeline_id}.")
    steps = list(
        PipelineStep.objects.filter(pipeline=pipeline)
        .select_related("job__operation", "result__repository__team")
        .order_by("position")
    )
    keys = {step.pk: step.key for step in steps}
    sources: dict[str, list[tuple[str, EdgeKind]]] = defaultdict(list)
    edges = PipelineEdge.objects.filter(target__pipeline=pipeline).order_by("id")
    for source_id, target_id, kind in edges.values_list("source_id", "target_id", "kind"):
        sources[keys[target_id]].append((keys[source_id], EdgeKind(kind)))
    inputs = PipelineInput.objects.filter(pipeline=pipeline).select_related("version__repository__team")
    return Board(pipeline, {step.key: step for step in steps}, sources, {item.name: item for item in inputs})
