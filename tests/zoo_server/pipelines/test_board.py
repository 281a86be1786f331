"""Whatever the graph and however its jobs end: every step reaches a final state, and none starts without its inputs."""

from collections import defaultdict
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from zoo_sdk.vocabulary import FINAL_STEP_STATES, StepState
from zoo_server.pipelines.models import Pipeline, PipelineStep
from zoo_server.pipelines.recipes.graph import BoundGate, BoundInput, Source, StepInstance
from zoo_server.pipelines.recipes.uses import EdgeKind
from zoo_server.pipelines.services.board import Board, Ready, Skip
from zoo_server.pipelines.services.gates import GateResult

ENDS = ("succeeded", "succeeded", "failed", "cancelled", "stopped", "branched")


@st.composite
def graphs(draw: st.DrawFn) -> tuple[Board, dict[str, str]]:
    """A board of up to eight steps with edges of every kind, and how each step's job would end."""
    count = draw(st.integers(1, 8))
    specs: list[StepInstance] = []
    sources: dict[str, list[tuple[str, EdgeKind]]] = defaultdict(list)
    runs: dict[str, list[str]] = defaultdict(list)
    for number in range(count):
        key = f"s{number}"
        before = [f"s{earlier}" for earlier in range(number)]
        some = st.lists(st.sampled_from(before), max_size=2, unique=True) if before else st.just([])
        bound = []
        for alternatives in draw(st.lists(some, max_size=2)):
            sources[key] += [(other, EdgeKind.INPUT) for other in alternatives]
            if alternatives:
                bound.append(BoundInput(first_of=tuple(Source(step=other) for other in alternatives)))
        sources[key] += [(other, EdgeKind.ORDER) for other in draw(some)]
        for other in draw(some):
            sources[key].append((other, EdgeKind.BRANCH))
            runs[other].append(key)
        fields: dict[str, Any] = {"key": key, "name": key, "coordinates": {}, "operation": "toy.train", "params": {}}
        specs.append(StepInstance(**fields, seed=0, inputs={"port": tuple(bound)} if bound else {}))
    steps = {
        spec.key: PipelineStep(
            key=spec.key, name=spec.name, position=number, state=StepState.WAITING, spec=spec.model_dump(mode="json")
        )
        for number, spec in enumerate(specs)
    }
    for key, branch in runs.items():
        steps[key].spec["gates"] = [
            BoundGate(metric="top1", rule="at_least", limit=1, run=tuple(branch)).model_dump(mode="json")
        ]
    ends = {key: draw(st.sampled_from(ENDS)) for key in steps}
    return Board(Pipeline(), steps, sources, {}), ends


def end(step: PipelineStep, how: str) -> None:
    """Let the step's job end, and its gates find what the test wants."""
    step.state = how if how in {"succeeded", "failed", "cancelled"} else StepState.GATED
    run = tuple(step.spec["gates"][0]["run"]) if step.spec["gates"] and how == "branched" else ()
    if step.state == StepState.GATED:
        result = GateResult(
            metric="top1", rule="at_least", limit=1, value=0, reference=None, passed=False, message="", run=run
        )
        step.gates = [result.model_dump(mode="json")]


def has_version_for(board: Board, source: str, key: str) -> bool:
    step = board.steps[source]
    return step.state == "succeeded" or (step.state == "gated" and key in (step.gates[0]["run"] or ()))


@settings(max_examples=300, deadline=None)
@given(graphs(), st.randoms(use_true_random=False))
def test_every_step_ends_and_none_starts_too_early(drawn: tuple[Board, dict[str, str]], random: Any) -> None:
    board, ends = drawn
    running: list[str] = []
    while any(step.state not in FINAL_STEP_STATES for step in board.steps.values()):
        moved = False
        for step in board.in_state(StepState.WAITING):
            move = board.next_move(step.key)
            if isinstance(move, Skip):
                assert move.reason
                step.state, moved = StepState.SKIPPED, True
            elif isinstance(move, Ready):
                for source, kind in board.sources.get(step.key, ()):
                    if kind == EdgeKind.ORDER:
                        assert board.steps[source].state == "succeeded"
                for items in move.inputs.values():
                    assert all(source.step and has_version_for(board, source.step, step.key) for _, source in items)
                assert len(move.inputs.get("port", [])) == len(board.specs[step.key].inputs.get("port", ()))
                step.state, moved = StepState.RUNNING, True
                running.append(step.key)
        if running:
            key = running.pop(random.randrange(len(running)))
            end(board.steps[key], ends[key])
        else:
            assert moved, "nothing runs, nothing moves, and steps are left"


@given(graphs())
def test_a_graph_whose_jobs_all_succeed_runs_whole_but_for_its_branches(drawn: tuple[Board, dict[str, str]]) -> None:
    board, _ = drawn
    for key in board.steps:  # each comes after those that it waits for
        move = board.next_move(key)
        board.steps[key].state = StepState.SUCCEEDED if isinstance(move, Ready) else StepState.SKIPPED
        if isinstance(move, Skip):
            waits = [board.steps[source] for source, _ in board.sources[key]]
            branch = any(kind == EdgeKind.BRANCH for _, kind in board.sources[key])
            assert branch or any(step.state == "skipped" for step in waits), move
