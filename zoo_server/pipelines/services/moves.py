"""The moves of a running pipeline's steps: settling those whose job ended, starting and skipping those that wait."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from django.db import transaction

from zoo_sdk.errors import UnknownName, ZooError
from zoo_sdk.operations import OperationManifest
from zoo_sdk.vocabulary import FINAL_JOB_STATES, FINAL_STEP_STATES, JobState, StepState
from zoo_server.catalog.models import Metric, Version
from zoo_server.jobs.models import Job, JobInput
from zoo_server.jobs.requests import InputRequest
from zoo_server.jobs.selectors import measurements_of, results_of
from zoo_server.jobs.services.submission import submit_job
from zoo_server.pipelines.models import PipelineStep
from zoo_server.pipelines.recipes.graph import BoundGate, BoundInput, Source
from zoo_server.pipelines.services.board import Board, Ready, Skip
from zoo_server.pipelines.services.gates import GateResult, evaluate, unmeasured, verdict_of
from zoo_server.pipelines.services.preparing import offered_operations
from zoo_server.pipelines.services.submissions import artifact_of, measured_port, submission_of
from zoo_server.pipelines.services.submitters import submitter_of
from zoo_server.pipelines.services.transitions import move_step, record_pipeline_event
from zoo_server.rest.principals import SYSTEM

START_LIMIT = 25
"""Jobs that one call submits; the rest is left to the chore, so that no request waits for a thousand of them."""


@dataclass
class Moves:
    """What one call of ``advance`` does to a locked board.  ``has_more``: steps are ready that it did not start."""

    board: Board
    started: int = 0
    has_more: bool = False

    def settle(self) -> bool:
        """Move the running steps whose job has ended; True if any step moved."""
        running = [
            (step, step.job)
            for step in self.board.in_state(StepState.RUNNING)
            if step.job is not None and step.job.state in FINAL_JOB_STATES
        ]
        succeeded = [job for _, job in running if job.state == JobState.SUCCEEDED]
        results = results_of(succeeded) | _measured_versions(succeeded) if succeeded else {}
        measurements = measurements_of(succeeded) if succeeded else {}
        moved = False
        for step, job in running:
            if job.state == JobState.SUCCEEDED:
                moved |= self._settle_success(step, results.get(job.pk), measurements.get(job.pk, []))
            else:
                state = StepState.FAILED if job.state == JobState.FAILED else StepState.CANCELLED
                message = (job.error or {}).get("message", "")
                move_step(step, state, error=job.error, reason=f"its job {job.state}: {message}".rstrip(": "))
                moved = True
        return moved

    def _settle_success(self, step: PipelineStep, result: Version | None, measured: list[Metric]) -> bool:
        """The job succeeded; the gates decide, once what they compare with has ended, too."""
        gates = self.board.specs[step.key].gates
        if any(self._is_pending(gate) for gate in gates):
            return False
        found = [self._look(gate, result, measured) for gate in gates]
        verdict = verdict_of(found)
        stored = {"result": result, "gates": [item.model_dump(mode="json") for item in found]}
        if verdict == "passed":
            move_step(step, StepState.SUCCEEDED, **stored)
            return True
        reason = "; ".join(item.message for item in found if not item.passed)
        if verdict == "unmeasured":
            error = {"code": "gate-unmeasured", "message": reason, "facts": {}}
            move_step(step, StepState.FAILED, error=error, reason=reason, **stored)
        else:
            move_step(step, StepState.GATED, reason=reason, **stored)
        details = {"step": step.key, "verdict": verdict, "gates": stored["gates"]}
        record_pipeline_event(SYSTEM, "pipeline.gated", self.board.pipeline, details)
        return True

    def _is_pending(self, gate: BoundGate) -> bool:
        other = gate.than.step if gate.than is not None else None
        return other is not None and self.board.steps[other].state not in FINAL_STEP_STATES

    def _look(self, gate: BoundGate, subject: Version | None, measured: list[Metric]) -> GateResult:
        if subject is None:
            return unmeasured(gate, "the step has no version to look at")
        than = None
        if gate.than is not None:
            than = self._version_of(gate.than)
            if than is None:
                return unmeasured(gate, f"{gate.than} has no version to compare with")
        return evaluate(gate, subject=subject, measured=measured, than=than)

    def _version_of(self, source: Source) -> Version | None:
        if source.step is not None:
            return self.board.steps[source.step].result
        given = self.board.inputs.get(source.input or "")
        return given.version if given else None

    def start(self) -> bool:
        """Start or skip the waiting steps that can be; True if any step moved."""
        moved = False
        self.has_more = False
        for step in self.board.in_state(StepState.WAITING):
            move = self.board.next_move(step.key)
            if isinstance(move, Skip):
                move_step(step, StepState.SKIPPED, reason=move.reason)
                moved = True
            elif isinstance(move, Ready) and self.started < START_LIMIT:
                self._submit(step, move)
                self.started += 1
                moved = True
            elif isinstance(move, Ready):
                self.has_more = True
        return moved

    @cached_property
    def _manifests(self) -> dict[str, OperationManifest]:
        return offered_operations()[1]

    def _submit(self, step: PipelineStep, ready: Ready) -> None:
        """Submit the step's job in the transaction that moves the step; a refusal is the step's failure."""
        pipeline, spec = self.board.pipeline, self.board.specs[step.key]
        tags = {"zoo.pipeline": str(pipeline.pk), "zoo.pipeline_name": pipeline.name, "zoo.step": step.key}
        try:
            manifest = self._manifests.get(spec.operation)
            if manifest is None:
                raise UnknownName("operation", spec.operation, self._manifests)
            submission = submission_of(
                spec,
                team=pipeline.team.name,
                inputs={port: [self._request(*item) for item in items] for port, items in ready.inputs.items()},
                manifest=manifest,
                cache=pipeline.cache,
                priority=pipeline.priority,
            )
            with transaction.atomic():
                job, _ = submit_job(principal=submitter_of(pipeline), submission=submission, tags=tags)
        except ZooError as error:
            told = {"code": error.code, "message": error.detail, "hint": error.hint, "facts": error.facts}
            move_step(step, StepState.FAILED, error=told, reason=f"its job was refused: {error.detail}")
        else:
            move_step(step, StepState.RUNNING, job=job)

    def _request(self, item: BoundInput, source: Source) -> InputRequest:
        if source.input is not None:
            given = self.board.inputs[source.input]
            return InputRequest(
                version=artifact_of(str(given.version), item.artifact or given.path), weight=item.weight
            )
        return InputRequest(version=artifact_of(str(self._version_of(source)), item.artifact), weight=item.weight)


def _measured_versions(jobs: list[Job]) -> dict[Any, Version]:
    """By job that only measures, the version that it measured."""
    ports = {
        job.pk: port
        for job in jobs
        if (manifest := OperationManifest.model_validate(job.operation.manifest))
        and not manifest.outputs
        and (port := measured_port(manifest))
    }
    rows = JobInput.objects.filter(job_id__in=ports, position=0).select_related("version__repository__team")
    return {row.job_id: row.version for row in rows if ports[row.job_id] == row.port}
