"""Jobs, the operations that they run, and the workers that run them."""

import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, cast
from uuid import uuid4

from zoo_client.api import Api, path_of
from zoo_client.errors import JobFailed
from zoo_client.records import Job, JobEvent, Page
from zoo_sdk.errors import NotFound, UnknownName
from zoo_sdk.operations import OperationManifest
from zoo_sdk.vocabulary import FINAL_JOB_STATES, JobState

FIRST_POLL_SECONDS = 0.3
MAX_POLL_SECONDS = 1.0

Rows = list[dict[str, Any]]
InputValue = Any
"""A reference, ``{"version": reference, "weight": number}``, or a list of them."""


class Operations:
    """``client.operations``: what the registered workers can do."""

    def __init__(self, api: Api) -> None:
        self._api = api

    def list(self) -> Rows:
        """All operations."""
        return list(self._api.pages("operations"))

    def show(self, name: str) -> dict[str, Any]:
        """One operation as the route answers it; raises :class:`UnknownName` with the nearest known ones."""
        try:
            return cast("dict[str, Any]", self._api.get(path_of("operations", name)))
        except NotFound as error:
            raise UnknownName("operation", name, (manifest_of(item).name for item in self.list())) from error

    def manifest(self, name: str) -> OperationManifest:
        """Ports, parameters and resources of an operation."""
        return manifest_of(self.show(name))


def manifest_of(answer: Mapping[str, Any]) -> OperationManifest:
    """The manifest inside an answer of the operations routes, which may hold it whole or under ``manifest``."""
    source = answer.get("manifest", answer)
    return OperationManifest.model_validate(
        {key: source[key] for key in OperationManifest.model_fields if key in source}
    )


class Jobs:
    """``client.jobs``: submit, follow, cancel, retry."""

    def __init__(self, api: Api, *, sleep: Callable[[float], None] = time.sleep) -> None:
        self._api = api
        self._sleep = sleep

    def submit(
        self,
        operation: str,
        *,
        inputs: Mapping[str, InputValue],
        params: Mapping[str, Any] | None = None,
        outputs: Mapping[str, str] | None = None,
        idempotency_key: str | None = None,
        **options: Any,
    ) -> Job:
        """Queue a job.

        Args:
            operation: its name, such as ``torch.distill``.
            inputs: for each port a reference, ``{"version": reference, "weight": number}``, or a list of them.
            params: the operation's parameters; what is left out has its default.
            outputs: for each output port the ``team/name`` that gets the new version.
            idempotency_key: the same key answers the same job; a new one is made if it is left out.
            options: team, seed, gpus (default: as many as the operation needs, mostly none), priority, max_attempts,
                time_limit_seconds, and cache: ``use`` (the result of an equal job, if there is one; the default),
                ``refresh`` (run, and keep the result for others) or ``off``.

        Raises:
            InvalidInput: names the field, the value and what is allowed.

        """
        body: dict[str, Any] = {"operation": operation, "inputs": dict(inputs), "params": dict(params or {})}
        if outputs:
            body["outputs"] = dict(outputs)
        body |= {key: value for key, value in options.items() if value is not None}
        headers = {"Idempotency-Key": idempotency_key or str(uuid4())}
        return cast("Job", self._api.send("POST", "jobs", body=body, headers=headers, repeatable=True))

    def list(self, **filters: Any) -> Page:
        """One page, newest first; ``filters``: state, operation, team, limit, cursor."""
        return cast("Page", self._api.get("jobs", filters))

    def iterate(self, **filters: Any) -> Iterator[Job]:
        """All jobs, newest first."""
        return cast("Iterator[Job]", self._api.pages("jobs", filters))

    def show(self, job_id: str) -> Job:
        """One job."""
        return cast("Job", self._api.get(path_of("jobs", job_id)))

    def attempts(self, job_id: str) -> Rows:
        """The job's attempts with the environment that the worker recorded."""
        answer = self._api.get(path_of("jobs", job_id, "attempts"))
        return cast("Rows", answer["results"] if isinstance(answer, dict) else answer)

    def events(self, job_id: str, *, after: int = 0, kind: str | None = None) -> Iterator[JobEvent]:
        """The events after the one with id ``after``, oldest first, until there are no more for now."""
        while True:
            page = self._api.get(path_of("jobs", job_id, "events"), {"after": after, "kind": kind})
            yield from page["results"]
            if not page["results"] or not page.get("next") or page["next"] == after:
                return
            after = page["next"]

    def cancel(self, job_id: str) -> Job:
        """Ask for the job's end; a running one stops at its next safe point."""
        return cast("Job", self._api.post(path_of("jobs", job_id, "cancel"), repeatable=True))

    def retry(self, job_id: str) -> Job:
        """Queue a failed or cancelled job again."""
        return cast("Job", self._api.post(path_of("jobs", job_id, "retry")))

    def watch(self, job_id: str) -> Iterator[JobEvent | Job]:
        """Events as they come and the job after each look, until it has ended (the last item is the ended job)."""
        after, pause = 0, FIRST_POLL_SECONDS
        while True:
            job = self.show(job_id)  # before its events: what an ended job said is then complete
            fresh = False
            for event in self.events(job_id, after=after):
                after, fresh = event["id"], True
                yield event
            yield job
            if job["state"] in FINAL_JOB_STATES:
                return
            pause = FIRST_POLL_SECONDS if fresh else min(pause * 1.5, MAX_POLL_SECONDS)
            self._sleep(pause)

    def wait(self, job_id: str, *, on_event: Callable[[JobEvent], None] | None = None, check: bool = True) -> Job:
        """Wait for the job's end; ``on_event`` hears progress, metrics and log lines.

        Raises:
            JobFailed: it ended failed or cancelled (with ``check``).

        """
        job: Job | None = None
        for item in self.watch(job_id):
            if "body" not in item:
                job = item
            elif on_event:
                on_event(cast("JobEvent", item))  # the key tells them apart, which mypy does not see
        if job is None:
            raise AssertionError("watch ends with the job")  # pragma: no cover
        if check:
            raise_if_failed(job)
        return job


def raise_if_failed(job: Job) -> None:
    """Raise :class:`JobFailed` unless the job succeeded."""
    if job["state"] == JobState.SUCCEEDED:
        return
    error = job.get("error") or {}
    why = error.get("message") or f"cause: {job.get('cause') or 'unknown'}"
    raise JobFailed(
        f"The job {job['id']} ({job['operation']}) ended {job['state']}: {why}",
        hint=error.get("hint")
        or f"`zoo jobs logs {job['id']}` shows what it said; `zoo jobs retry {job['id']}` queues it again.",
        facts={"job": job["id"], "state": job["state"], "cause": job.get("cause"), "error": error},
    )


class Workers:
    """``client.workers``: the machines that take jobs."""

    def __init__(self, api: Api) -> None:
        self._api = api

    def list(self) -> Rows:
        """All workers that ever registered, with their last sign of life."""
        return list(self._api.pages("workers"))
