"""From a step instance to the job that does its work."""

from collections.abc import Mapping, Sequence

from zoo_sdk.operations import OperationManifest
from zoo_server.jobs.requests import InputRequest, JobSubmission
from zoo_server.pipelines.recipes.graph import StepInstance


def submission_of(
    step: StepInstance,
    *,
    team: str,
    inputs: Mapping[str, Sequence[InputRequest]],
    manifest: OperationManifest,
    cache: str = "use",
    priority: int = 5,
) -> JobSubmission:
    """What to submit for ``step`` once its inputs are known."""
    return JobSubmission.model_validate(
        {
            "operation": step.operation,
            "team": team,
            "inputs": inputs,
            "params": step.params,
            "outputs": {manifest.outputs[0].name: f"{team}/{step.model}"} if step.model else {},
            "seed": step.seed,
            "gpus": step.gpus,
            "cache": cache,
            "priority": priority,
            "max_attempts": step.max_attempts,
            "time_limit_seconds": step.time_limit_seconds,
        }
    )


def measured_port(manifest: OperationManifest) -> str | None:
    """The port whose version the operation measures."""
    return next((port.name for port in manifest.inputs if port.measured), None)


def artifact_of(reference: str, path: str | None) -> str:
    """A reference to one artifact of a version, or to the version."""
    return f"{reference}#{path}" if path else reference
