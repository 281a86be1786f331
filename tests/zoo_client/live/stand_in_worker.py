"""A worker as the registry sees it, without a child process: registers an operation, claims jobs, reports."""

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import Field

from zoo_client.api import Api
from zoo_client.transfer.uploads import Uploader, upload_file
from zoo_client.transfer.wire import Wire
from zoo_sdk.artifacts import ArtifactDescription, FileEntry
from zoo_sdk.conversions import ConversionEdge, Requirement
from zoo_sdk.messages import (
    ClaimRequest,
    Event,
    EventBatch,
    EventBody,
    FailureReport,
    FinishReport,
    Measurement,
    OutputReport,
    Report,
    WorkerRegistration,
)
from zoo_sdk.operations import OperationParams, OperationSpec, Port, Resources
from zoo_sdk.vocabulary import FailureCause, LineageRole, Precision, RepositoryKind, StrategyKind


class DistillParams(OperationParams):
    """Parameters with a bound, for the tests of refusals."""

    temperature: float = Field(1.0, gt=0, le=100, description="Softmax temperature.")
    epochs: int = Field(1, ge=1)


DISTILL = OperationSpec(
    name="stand.distill",
    version=1,
    summary="Pretends to distil.",
    params=DistillParams,
    implementation="nowhere:run",
    inputs=(
        Port(name="student", formats=("safetensors",), role=LineageRole.BASE, description="The student."),
        Port(name="teacher", formats=("safetensors",), role=LineageRole.TEACHER, many=True, weighted=True),
        Port(name="data", kind=RepositoryKind.DATASET, role=LineageRole.TRAINED_ON, required=False),
    ),
    outputs=(Port(name="model", formats=("safetensors",)),),
    resources=Resources(max_gpus=4),
    strategy=StrategyKind.DISTILLATION,
    method="kd",
)


class HalveParams(OperationParams):
    """A parameter of each of the types that ``--option`` has to read."""

    samples: int = Field(8, ge=1, le=100, description="Samples of the parity check.")
    exact: bool = Field(False, description="Whether nothing may differ.")


HALVE = OperationSpec(
    name="stand.halve",
    version=1,
    summary="Pretends to convert to half precision.",
    params=HalveParams,
    implementation="nowhere:run",
    inputs=(Port(name="model", formats=("safetensors",), role=LineageRole.CONVERTED_FROM, description="The model."),),
    outputs=(Port(name="model", formats=("safetensors", "tensorrt-plan")),),
    strategy=StrategyKind.CONVERSION,
    edges=(
        ConversionEdge(source="safetensors", target="safetensors", precision=Precision.FP16),
        ConversionEdge(
            source="safetensors",
            target="tensorrt-plan",
            requires=(Requirement(kind="gpu", reason="a plan is built for the device at hand"),),
        ),
    ),
)
NAME = "stand-in-worker"


class StandInWorker:
    """Speaks the worker API through the client's own parts, as the real worker may."""

    def __init__(self, api: Api, wire: Wire) -> None:
        self._api, self._wire = api, wire
        registration = WorkerRegistration(
            name=NAME, queues=("stand.cpu",), operations=(DISTILL.manifest, HALVE.manifest)
        )
        api.post("worker/register", registration.model_dump(mode="json"))

    def claim(self, job: str) -> dict[str, Any]:
        """Take a job."""
        answer: dict[str, Any] = self._api.post(f"worker/jobs/{job}/claim", ClaimRequest(worker=NAME).model_dump())
        return answer

    def say(self, job: str, *bodies: EventBody) -> None:
        """Send events, numbered from 1."""
        now = datetime.now(UTC)
        events = tuple(Event(number=number, time=now, body=body) for number, body in enumerate(bodies, 1))
        self._api.post(f"worker/jobs/{job}/attempts/1/events", EventBatch(events=events).model_dump(mode="json"))

    def finish(
        self,
        job: str,
        weights: Path,
        attempt: int = 1,
        *,
        measurements: Sequence[Measurement] = (),
        reports: Sequence[Report] = (),
    ) -> None:
        """Upload the result and end the job well; what was measured is about it."""
        route = f"worker/jobs/{job}/attempts/{attempt}/uploads"
        upload = upload_file(Uploader(self._api, self._wire, None, {}, route=route), weights)
        description = ArtifactDescription(format="safetensors", files=("model.safetensors",))
        entry = FileEntry(path="model.safetensors", sha256=upload["sha256"], size=upload["size"])
        report = FinishReport(
            outputs={"model": OutputReport(artifacts=(description,), files=(entry,))},
            measurements=tuple(measurements),
            reports=tuple(reports),
            environment={"python": "3.11"},
        )
        self._api.post(f"worker/jobs/{job}/attempts/{attempt}/finish", report.model_dump(mode="json"))

    def fail(self, job: str, message: str) -> None:
        """End the job badly."""
        report = FailureReport(cause=FailureCause.PLUGIN_ERROR, code="operation-failed", message=message)
        self._api.post(f"worker/jobs/{job}/attempts/1/fail", report.model_dump(mode="json"))


@contextmanager
def stand_in_worker(url: str, token: str) -> Iterator[StandInWorker]:
    """A registered worker."""
    with Api(url, token) as api, closing(Wire(url, token)) as wire:
        yield StandInWorker(api, wire)
