"""The registry's worker API over HTTP: one method per route, problems as the errors of :mod:`zoo_sdk.errors`."""

import base64
import hashlib
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import httpx
from pydantic import BaseModel, ValidationError

from zoo_sdk.errors import (
    Conflict,
    IntegrityError,
    InvalidInput,
    LeaseLost,
    NotFound,
    PermissionDenied,
    Unavailable,
    ZooError,
)
from zoo_sdk.messages import (
    Assignment,
    ClaimRequest,
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

logger = logging.getLogger(__name__)

TIMEOUT = httpx.Timeout(30, connect=5)
BEAT_TIMEOUT = httpx.Timeout(8, connect=4)
MAX_ANSWER_BYTES = 16 * 2**20
_STATUS_ERRORS: dict[int, type[ZooError]] = {
    401: PermissionDenied, 403: PermissionDenied, 404: NotFound, 409: Conflict, 410: NotFound,
}  # fmt: skip
_CODE_ERRORS: dict[str, type[ZooError]] = {"lease-lost": LeaseLost, "integrity": IntegrityError}

Message = TypeVar("Message", bound=BaseModel)
Answer = TypeVar("Answer")


class Registry:
    """A client of the worker API; usable from several threads.

    Every method raises :class:`Unavailable` when the registry cannot be reached or is out of order (it may or may not
    have done what was asked; all routes are idempotent), and the matching :class:`ZooError` when it refuses.
    """

    def __init__(self, url: str, token: str) -> None:
        self.url = url
        self._http = httpx.Client(
            base_url=f"{url}/api/v1/",
            headers={"Authorization": f"Bearer {token}", "User-Agent": "zoo-worker"},
            timeout=TIMEOUT,
            limits=httpx.Limits(max_connections=16, keepalive_expiry=10),
        )

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def register(self, registration: WorkerRegistration) -> RegistrationReply:
        """``POST worker/register``."""
        return self._message(RegistrationReply, "worker/register", registration)

    def claim(self, job: str, worker: str, gpus: int = 0) -> Assignment:
        """``POST worker/jobs/{job}/claim``; ``gpus``: how many were set aside for it."""
        return self._message(Assignment, f"worker/jobs/{job}/claim", ClaimRequest(worker=worker, gpus=gpus))

    def parent_run(self, pipeline: str, run_id: str | None = None) -> ParentRunReply:
        """``POST worker/pipelines/{id}/mlflow-run``: report a pipeline's MLflow run, or only ask for it."""
        report = ParentRunReport(mlflow_run_id=run_id)
        return self._message(ParentRunReply, f"worker/pipelines/{pipeline}/mlflow-run", report)

    def attempt(self, job: str, number: int) -> "AttemptRoutes":
        """The routes of one attempt."""
        return AttemptRoutes(self, f"worker/jobs/{job}/attempts/{number}")

    def request(self, method: str, path: str, **options: Any) -> httpx.Response:
        """Send a request and read the whole (bounded) answer; 4xx and 5xx raise."""
        with self.stream(method, path, **options) as response:
            parts: list[bytes] = []
            size = 0
            for part in response.iter_bytes():
                size += len(part)
                if size > MAX_ANSWER_BYTES:
                    raise Unavailable(
                        f"The registry's answer to {method} {path} is longer than {MAX_ANSWER_BYTES} bytes."
                    )
                parts.append(part)
            return httpx.Response(
                response.status_code, headers=_without_encoding(response.headers), content=b"".join(parts)
            )

    @contextmanager
    def stream(self, method: str, path: str, **options: Any) -> Iterator[httpx.Response]:
        """Send a request and give the answer while it comes; errors of the connection raise :class:`Unavailable`."""
        try:
            # A registry whose blobs are in S3 redirects there; httpx keeps our token from other hosts.
            with self._http.stream(method, path, follow_redirects=True, **options) as response:
                if response.is_error:
                    response.read()
                    raise error_of(response)
                yield response
        except httpx.HTTPError as error:
            raise Unavailable(f"{method} {self.url}/api/v1/{path}: {type(error).__name__}: {error}.") from error

    def post(self, path: str, body: BaseModel | None = None, **options: Any) -> httpx.Response:
        """``POST`` with a JSON body."""
        if body is not None:
            options |= {"content": body.model_dump_json(), "headers": {"Content-Type": "application/json"}}
        return self.request("POST", path, **options)

    def _message(self, kind: type[Message], path: str, body: BaseModel | None = None, **options: Any) -> Message:
        response = self.post(path, body, **options)
        try:
            return kind.model_validate_json(response.content)
        except ValidationError as error:
            raise Conflict(
                f"The registry's answer to POST {path} is no {kind.__name__}: {error}.",
                hint="Are the registry and this worker of the same release?",
            ) from error

    def heartbeat(self, path: str) -> HeartbeatReply:
        """Renew the lease of the attempt at ``path``."""
        return self._message(HeartbeatReply, f"{path}/heartbeat", timeout=BEAT_TIMEOUT)


class AttemptRoutes:
    """The worker API of one attempt; each route raises :class:`LeaseLost` once the attempt is no longer ours."""

    def __init__(self, registry: Registry, path: str) -> None:
        self._registry = registry
        self._path = path

    def heartbeat(self) -> HeartbeatReply:
        """Renew the lease."""
        return self._registry.heartbeat(self._path)

    def events(self, batch: EventBatch) -> None:
        """Send events."""
        self._registry.post(f"{self._path}/events", batch)

    @contextmanager
    def blob(self, sha256: str, offset: int) -> Iterator[httpx.Response]:
        """The bytes of an input from ``offset`` on (status 206), or all of them again (status 200)."""
        headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={offset}-"} if offset else {})
        with self._registry.stream("GET", f"{self._path}/blobs/{sha256}", headers=headers) as response:
            yield response

    def open_upload(self, *, size: int, sha256: str, filename: str) -> dict[str, Any]:
        """Open an upload session of the attempt, or learn that the registry has these bytes already."""
        body = {"size": size, "sha256": sha256, "filename": filename}
        return _json(self._registry.post(f"{self._path}/uploads", json=body))

    def upload_offset(self, session: str) -> int:
        """How many bytes of a session the registry has."""
        return _offset(self._registry.request("HEAD", f"uploads/{session}"))

    def send_part(self, session: str, offset: int, part: bytes) -> int:
        """Send bytes at ``offset``; returns the new offset."""
        headers = {
            "Upload-Offset": str(offset),
            "Content-Type": "application/offset+octet-stream",
            "Upload-Checksum": f"sha256 {base64.b64encode(hashlib.sha256(part).digest()).decode()}",
        }
        return _offset(self._registry.request("PATCH", f"uploads/{session}", content=part, headers=headers))

    def complete_upload(self, session: str, sha256: str) -> None:
        """Have the registry check and keep the bytes."""
        self._registry.post(f"uploads/{session}/complete", json={"sha256": sha256})

    def finish(self, report: FinishReport) -> dict[str, Any]:
        """Report the result; returns the job."""
        return _json(self._registry.post(f"{self._path}/finish", report))

    def fail(self, report: FailureReport) -> dict[str, Any]:
        """Report the failure; returns the job."""
        return _json(self._registry.post(f"{self._path}/fail", report))

    def release(self) -> None:
        """Give the attempt back, uncounted."""
        self._registry.post(f"{self._path}/release")

    def mlflow_run(self, run_id: str) -> dict[str, Any]:
        """Tell the id of the MLflow run; returns the job."""
        return _json(self._registry.post(f"{self._path}/mlflow-run", MlflowRunReport(mlflow_run_id=run_id)))


def persistently(
    call: Callable[[], Answer],
    *,
    seconds: float,
    give_up: Callable[[], bool] = lambda: False,
    wait: Callable[[float], object] = time.sleep,
) -> Answer:
    """Repeat ``call`` with growing pauses while it raises a retryable error, at most for ``seconds``."""
    deadline = time.monotonic() + seconds
    pause = 0.25
    while True:
        try:
            return call()
        except ZooError as error:
            if not error.retryable or give_up() or time.monotonic() + pause > deadline:
                raise
            logger.warning("trying again in %.1f s: %s", pause, error)
        wait(pause)
        pause = min(pause * 2, 10.0)


def error_of(response: httpx.Response) -> ZooError:
    """The error that a problem document means; 429 and 5xx are :class:`Unavailable` whatever they say."""
    try:
        problem = response.json()
    except ValueError:
        problem = None
    if not isinstance(problem, dict):
        problem = {}
    detail = str(problem.get("detail") or problem.get("title") or f"The registry answered {response.status_code}.")
    errors = problem.get("errors")
    if errors:
        detail = f"{detail} {errors}"
    facts: dict[str, Any] = problem["facts"] if isinstance(problem.get("facts"), dict) else {}
    code = str(problem.get("code", ""))
    if response.status_code == 429 or response.status_code >= 500:
        kind: type[ZooError] = Unavailable
    else:
        kind = _CODE_ERRORS.get(code) or _STATUS_ERRORS.get(response.status_code, InvalidInput)
    return kind(
        detail[:2000],
        hint=str(problem.get("hint") or ""),
        facts={**facts, "code": code, "status": response.status_code},
    )


def _json(response: httpx.Response) -> dict[str, Any]:
    try:
        answer = response.json()
    except ValueError:
        answer = None
    if not isinstance(answer, dict):
        raise Unavailable("The registry's answer is no JSON object.")
    return answer


def _offset(response: httpx.Response) -> int:
    text = response.headers.get("Upload-Offset", "")
    if not text.isdigit():
        raise Unavailable("The registry's answer has no Upload-Offset.")
    return int(text)


def _without_encoding(headers: httpx.Headers) -> list[tuple[str, str]]:
    return [
        (name, value) for name, value in headers.items() if name.lower() not in {"content-encoding", "content-length"}
    ]
