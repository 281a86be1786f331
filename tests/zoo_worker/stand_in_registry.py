"""The worker API of zoo_sdk.messages as a real HTTP server with its state in memory: a stand-in at the seam."""

import base64
import hashlib
import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal
from uuid import UUID, uuid4

from zoo_sdk.messages import (
    AssignedInput,
    Assignment,
    ClaimRequest,
    Event,
    EventBatch,
    FailureReport,
    FinishReport,
    HeartbeatReply,
    MlflowRunReport,
    ParentRunReply,
    ParentRunReport,
    RegistrationReply,
    WorkerRegistration,
)

TOKEN = "zoo_stand-in-secret"


@dataclass
class StandInPipeline:
    """Its MLflow run, and how it is: the first reported run wins."""

    id: str = field(default_factory=lambda: str(uuid4()))
    run_id: str | None = None
    status: Literal["RUNNING", "FINISHED", "FAILED", "KILLED"] = "RUNNING"
    asked: int = 0

    def answer(self, run_id: str | None) -> ParentRunReply:
        self.asked += 1
        self.run_id = self.run_id or run_id
        return ParentRunReply(
            mlflow_run_id=self.run_id,
            name=f"distil {self.id[-6:]}",
            status=self.status,
            started_at=datetime(2026, 11, 24, 8, tzinfo=UTC),
            finished_at=None if self.status == "RUNNING" else datetime(2026, 11, 24, 9, tzinfo=UTC),
            params={"epochs": "3"},
            tags={"zoo.pipeline_name": "distil", "zoo.pipeline_state": self.status.lower()},
        )


class Problem(Exception):
    def __init__(self, status: int, code: str, **facts: Any) -> None:
        super().__init__(code)
        self.status = status
        self.body = {"code": code, "detail": f"Refused: {code}.", "facts": facts}


class Hangup(Exception):
    """Close the connection without an answer."""


@dataclass
class StandInJob:
    operation: str
    params: dict[str, Any]
    id: UUID = field(default_factory=uuid4)
    inputs: dict[str, tuple[AssignedInput, ...]] = field(default_factory=dict)
    seed: int = 0
    gpus: int = 0
    operation_version: int = 1
    time_limit_seconds: int = 600
    mlflow_run_id: str | None = None
    tags: dict[str, str] = field(default_factory=dict)
    state: str = "queued"
    attempt: int = 0
    command: Literal["run", "cancel"] = "run"
    claims: int = 0
    heartbeats: list[float] = field(default_factory=list)
    events: dict[tuple[int, int], Event] = field(default_factory=dict)
    finished: list[FinishReport] = field(default_factory=list)
    failed: list[FailureReport] = field(default_factory=list)
    released: int = 0
    result: str | None = None

    def messages(self, kind: str) -> list[Any]:
        return [event.body for _, event in sorted(self.events.items()) if event.body.kind == kind]

    def logged(self) -> str:
        return "\n".join(body.message for body in self.messages("log"))


@dataclass
class StandInUpload:
    size: int
    sha256: str
    filename: str
    data: bytearray = field(default_factory=bytearray)
    complete: bool = False


class StandInRegistry:
    """``away`` closes every connection unanswered; ``before`` and ``after`` may raise around a request's effect."""

    def __init__(self) -> None:
        self.jobs: dict[UUID, StandInJob] = {}
        self.pipelines: dict[str, StandInPipeline] = {}
        self.blobs: dict[str, bytes] = {}
        self.uploads: dict[str, StandInUpload] = {}
        self.registrations: list[WorkerRegistration] = []
        self.requests: list[tuple[str, str, dict[str, str]]] = []
        self.lease_seconds = 6
        self.heartbeat_seconds = 2
        self.mlflow_tracking_uri: str | None = None
        self.away = False
        self.before: Callable[[str, str], None] = lambda _method, _path: None
        self.after: Callable[[str, str], None] = lambda _method, _path: None
        self.part_limit: int | None = None
        self.lock = threading.RLock()
        registry = self

        class Handler(StandInHandler):
            state = registry

        self._server = QuietServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def begin_pipeline(self) -> StandInPipeline:
        pipeline = StandInPipeline()
        self.pipelines[pipeline.id] = pipeline
        return pipeline

    def submit(self, operation: str, params: dict[str, Any] | None = None, **options: Any) -> StandInJob:
        job = StandInJob(operation, params or {}, **options)
        self.jobs[job.id] = job
        return job

    def hold(self, data: bytes) -> str:
        digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
        self.blobs[digest] = data
        return digest

    def running(self, job_id: str, attempt: str) -> StandInJob:
        job = self.jobs[UUID(job_id)]
        if job.state != "running" or job.attempt != int(attempt):
            raise Problem(409, "lease-lost")
        return job


class QuietServer(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A worker that closes a connection is no error of the registry."""


class StandInHandler(BaseHTTPRequestHandler):
    state: StandInRegistry
    protocol_version = "HTTP/1.1"

    def log_message(self, *_args: Any) -> None:
        pass

    def _serve(self) -> None:
        length = int(self.headers.get("Content-Length", 0))
        path = self.path.removeprefix("/api/v1/")
        try:
            self._check(path)
            body = self._read_body(length)
            self.state.requests.append((self.command, path, dict(self.headers)))
            with self.state.lock:
                answer = self._route(path.split("/"), body)
            self.state.after(self.command, path)
        except Problem as problem:
            self._answer(problem.status, problem.body)
        except (Hangup, ConnectionError):
            self.close_connection = True
        else:
            if answer is not None:
                self._answer(200, answer)

    do_GET = do_POST = do_PATCH = do_HEAD = _serve  # noqa: N815 - http.server's names

    def _check(self, path: str) -> None:
        if self.state.away:
            raise Hangup
        self.state.before(self.command, path)
        if self.headers["Authorization"] != f"Bearer {TOKEN}":
            raise Problem(401, "not-authenticated")

    def _read_body(self, length: int) -> bytes:
        limit = self.state.part_limit
        if self.command == "PATCH" and limit is not None and length > limit:
            part = self.rfile.read(limit)
            upload = self.state.uploads[self.path.rsplit("/", 1)[1]]
            upload.data.extend(part)
            self.state.part_limit = None
            raise Hangup
        return self.rfile.read(length)

    def _answer(self, status: int, body: Any, headers: dict[str, str] | None = None) -> None:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def _route(self, parts: list[str], body: bytes) -> Any:
        match [self.command, *parts]:
            case ["POST", "worker", "register"]:
                self.state.registrations.append(WorkerRegistration.model_validate_json(body))
                return RegistrationReply(
                    worker_id=uuid4(),
                    lease_seconds=self.state.lease_seconds,
                    heartbeat_seconds=self.state.heartbeat_seconds,
                    mlflow_tracking_uri=self.state.mlflow_tracking_uri,
                ).model_dump(mode="json")
            case ["POST", "worker", "jobs", job_id, "claim"]:
                return self._claim(job_id, body)
            case ["POST", "worker", "pipelines", pipeline_id, "mlflow-run"]:
                if pipeline_id not in self.state.pipelines:
                    raise Problem(404, "not-found")
                told = ParentRunReport.model_validate_json(body)
                return self.state.pipelines[pipeline_id].answer(told.mlflow_run_id).model_dump(mode="json")
            case [_, "worker", "jobs", job_id, "attempts", attempt, *rest]:
                return self._attempt(job_id, attempt, rest, body)
            case [_, "uploads", upload_id, *rest]:
                return self._upload(upload_id, rest, body)
        raise Problem(404, "not-found")

    def _claim(self, job_id: str, body: bytes) -> Any:
        claim = ClaimRequest.model_validate_json(body)
        job = self.state.jobs.get(UUID(job_id))
        if job is None:
            raise Problem(404, "not-found")
        job.claims += 1
        if job.state != "queued":
            raise Problem(409, "not-claimable")
        if claim.gpus < job.gpus:
            raise Problem(409, "gpus-needed", gpus=job.gpus)
        job.state, job.attempt = "running", job.attempt + 1
        return Assignment(
            job_id=job.id, attempt=job.attempt, team="vision", operation=job.operation,
            operation_version=job.operation_version, params=job.params, seed=job.seed, inputs=job.inputs, gpus=job.gpus,
            lease_seconds=self.state.lease_seconds, time_limit_seconds=job.time_limit_seconds,
            mlflow_experiment="vision", mlflow_run_id=job.mlflow_run_id, tags={"team.colour": "blue"} | job.tags,
        ).model_dump(mode="json")  # fmt: skip

    def _attempt(self, job_id: str, attempt: str, rest: list[str], body: bytes) -> Any:
        if rest == ["mlflow-run"]:
            job = self.state.jobs[UUID(job_id)]
            job.mlflow_run_id = MlflowRunReport.model_validate_json(body).mlflow_run_id
            return {"state": job.state, "attempt": job.attempt, "cause": None, "result": job.result}
        job = self.state.jobs[UUID(job_id)]
        repeated = self._repeated(job, rest, body)
        if repeated is not None:
            return repeated
        job = self.state.running(job_id, attempt)
        match [self.command, *rest]:
            case ["POST", "heartbeat"]:
                job.heartbeats.append(time.monotonic())
                reply = HeartbeatReply(command=job.command, lease_seconds=self.state.lease_seconds)
                return reply.model_dump(mode="json")
            case ["POST", "events"]:
                for event in EventBatch.model_validate_json(body).events:
                    job.events.setdefault((job.attempt, event.number), event)
                return {}
            case ["GET", "blobs", sha256]:
                return self._send_blob(sha256)
            case ["POST", "uploads"]:
                return self._open_upload(json.loads(body))
            case ["POST", ending]:
                return self._end(job, ending, body)
        raise Problem(404, "not-found")

    def _end(self, job: StandInJob, ending: str, body: bytes) -> Any:
        match ending:
            case "finish":
                job.finished.append(FinishReport.model_validate_json(body))
                job.state, job.result = "succeeded", "vision/made@1"
            case "fail":
                report = FailureReport.model_validate_json(body)
                job.failed.append(report)
                job.state = "cancelled" if report.cause == "cancelled" else "failed"
            case "release":
                job.released += 1
                job.state = "queued"
            case _:
                raise Problem(404, "not-found")
        return self._job(job)

    def _repeated(self, job: StandInJob, rest: list[str], body: bytes) -> Any:
        if rest == ["finish"] and job.finished:
            if job.finished[-1] != FinishReport.model_validate_json(body):
                raise Problem(409, "report-differs")
            return self._job(job)
        return None

    def _job(self, job: StandInJob) -> Any:
        return {"id": str(job.id), "state": job.state, "result": job.result}

    def _send_blob(self, sha256: str) -> None:
        data = self.state.blobs[sha256]
        wanted = self.headers.get("Range")
        if wanted:
            self._answer(206, data[int(wanted.removeprefix("bytes=").removesuffix("-")) :])
        else:
            self._answer(200, data)

    def _open_upload(self, asked: dict[str, Any]) -> Any:
        if asked["sha256"] in self.state.blobs:
            return {"id": str(uuid4()), "state": "complete"}
        identifier = str(uuid4())
        self.state.uploads[identifier] = StandInUpload(asked["size"], asked["sha256"], asked["filename"])
        return {"id": identifier, "state": "open", "offset": 0}

    def _upload(self, upload_id: str, rest: list[str], body: bytes) -> Any:
        upload = self.state.uploads[upload_id]
        if rest == ["complete"]:
            if json.loads(body)["sha256"] != f"sha256:{hashlib.sha256(upload.data).hexdigest()}":
                raise Problem(422, "integrity")
            upload.complete = True
            return {"id": upload_id, "state": "complete"}
        if self.command == "PATCH":
            if int(self.headers["Upload-Offset"]) != len(upload.data):
                raise Problem(409, "offset-mismatch")
            checksum = base64.b64encode(hashlib.sha256(body).digest()).decode()
            if self.headers["Upload-Checksum"] != f"sha256 {checksum}":
                raise Problem(422, "integrity")
            upload.data.extend(body)
        self._answer(204 if self.command == "PATCH" else 200, b"", {"Upload-Offset": str(len(upload.data))})
        return None
