"""A pipeline at work in a test: its steps by name, and a worker that ends their jobs as the test wants."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from tests.zoo_server.jobs.scenes import Hands, failure, model_report, safetensors
from zoo_sdk.measures import MEASURES
from zoo_server.jobs.models import Job
from zoo_server.pipelines.models import Pipeline, PipelineStep
from zoo_server.pipelines.requests import PipelineRequest
from zoo_server.pipelines.services.starting import start_pipeline
from zoo_server.rest.principals import Principal

PIPELINES = "/api/v1/pipelines"


@dataclass
class Scene:
    """One pipeline, and the hands that work for it."""

    principal: Principal
    hands: Hands
    id: UUID
    made: int = 0

    @classmethod
    def start(cls, principal: Principal, hands: Hands, text: str, **request: Any) -> "Scene":
        key = request.pop("key", None)
        body = PipelineRequest.model_validate({"recipe": text, "team": "vision"} | request)
        pipeline, _ = start_pipeline(principal=principal, request=body, idempotency_key=key)
        return cls(principal, hands, pipeline.pk)

    @property
    def pipeline(self) -> Pipeline:
        return Pipeline.objects.get(pk=self.id)

    @property
    def state(self) -> str:
        return self.pipeline.state

    def step(self, key: str) -> PipelineStep:
        rows = PipelineStep.objects.select_related("job__operation", "result__repository__team")
        return rows.get(pipeline=self.id, key=key)

    def states(self) -> dict[str, str]:
        return dict(PipelineStep.objects.filter(pipeline=self.id).values_list("key", "state"))

    def job(self, key: str) -> Job:
        job = self.step(key).job
        assert job is not None, f"{key} has no job: {self.states()}"
        return job

    def claim(self, key: str) -> int:
        """Claim the step's job; answers the attempt's number."""
        answer = self.hands.claim(self.job(key).pk)
        assert answer.status_code == 200, answer.content
        number: int = answer.json()["attempt"]
        return number

    def finish(self, key: str, **metrics: float) -> None:
        """Run the step's job to its end: a new file, and these metrics on the split ``test`` of its data."""
        attempt, job = self.claim(key), self.job(key)
        measurements = [
            {"name": name, "value": value, "split": "test"} | ({"dataset_port": "data"} if name == "top1" else {})
            for name, value in metrics.items()
        ]
        assert set(metrics) <= set(MEASURES)
        if job.operation.manifest["outputs"]:
            self.made += 1
            content = safetensors(float(self.made), hash(key) % 50 + 1)
            digest = self.hands.upload(job.pk, attempt, content)
            report = model_report(digest, sizes=len(content), measurements=measurements)
        else:
            report = {"outputs": {}, "measurements": measurements, "environment": {}}
        answer = self.hands.post(job.pk, attempt, "finish", report)
        assert answer.status_code == 200, answer.content
        assert answer.json()["state"] == "succeeded", answer.content

    def fail(self, key: str, cause: str = "plugin_error") -> None:
        """Let the step's job fail."""
        attempt = self.claim(key)
        assert self.hands.post(self.job(key).pk, attempt, "fail", failure(cause)).status_code == 200
