"""Runs the job that made a version again, with its recorded inputs, parameters and seed, and compares the results."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from zoo_client.records import Job, JobEvent, Metric, Version
from zoo_sdk.errors import Conflict, InvalidInput, NotFound
from zoo_sdk.names import Reference

if TYPE_CHECKING:
    from zoo_client.client import Client

SUFFIX = "-reproduced"
MAX_NAME = 96
MAX_EVALUATIONS = 10
OnEvent = Callable[[JobEvent], None]


def _ignore(_: JobEvent) -> None:
    pass


@dataclass(frozen=True)
class MeasuredAgain:
    """A metric of the original and of the reproduction.  ``again`` is None where it was not measured again."""

    name: str
    where: str
    first: float
    again: float | None
    allowed: float

    @property
    def agrees(self) -> bool:
        """Whether the difference is within what is allowed."""
        return self.again is not None and abs(self.again - self.first) <= self.allowed


@dataclass
class Reproduction:
    """The outcome.  ``differing``: paths whose digests differ, or that only one of the two has."""

    original: Version
    again: Version
    job: Job
    differing: list[str] = field(default_factory=list)
    metrics: list[MeasuredAgain] = field(default_factory=list)
    environment: list[str] = field(default_factory=list)

    @property
    def identical(self) -> bool:
        """Whether every file is the same, byte for byte."""
        return not self.differing

    @property
    def agrees(self) -> bool:
        """Whether it is a reproduction: the same files, or at least one metric and all of them within tolerance."""
        return self.identical or (bool(self.metrics) and all(item.agrees for item in self.metrics))


def reproduce(
    client: "Client",
    reference: str,
    *,
    into: str | None = None,
    tolerance: float = 0.0,
    on_event: OnEvent = _ignore,
    on_job: Callable[[Job], None] = lambda _: None,
) -> Reproduction:
    """Run the job of the version ``reference`` (a model's) once more, and compare.

    Args:
        client: the registry.
        reference: the version.
        into: ``team/name`` of the model that takes the new version (default: the model's name with ``-reproduced``).
        tolerance: by how much of its value a metric may differ, such as 0.01.
        on_event: hears what the jobs say.
        on_job: hears each job when it was submitted.

    If the files differ, the evaluations of the original are run on the new version, and the metrics compared.

    Raises:
        InvalidInput: no job made the version.
        NotFound: the caller may not see the job.
        Conflict: the operation has another version now than the one that made it.
        JobFailed: the new job failed.

    """
    versions, original = client.find(reference, "models")
    job = _job_of(client, original)
    operation = client.operations.show(job["operation"])
    if operation["version"] != job["operation_version"]:
        raise Conflict(
            f"{job['operation']} made {original['reference']} in version {job['operation_version']}; the workers offer "
            f"version {operation['version']} now.",
            hint="Start a worker with the plugin release that made it; `zoo provenance` names it.",
        )
    again = _run(client, job, _inputs(job), into or _target(original), on_job, on_event)
    made = versions.show(str(again["result"]))
    found = Reproduction(original, made, again, _differing(original, made), environment=_changes(client, job, again))
    if not found.identical:
        evaluations = _evaluations(client, original, job)
        for evaluation in evaluations:
            _run(client, evaluation, _inputs(evaluation, original["reference"], made), None, on_job, on_event)
        names = {job["id"], *(item["id"] for item in evaluations)}
        first = [item for item in versions.metrics(original["reference"]) if item["job"] in names]
        found.metrics = _compared(first, versions.metrics(made["reference"]), tolerance)
    return found


def _job_of(client: "Client", version: Version) -> Job:
    """The job that made the version; of one taken from the result cache the job that ran."""
    if version["job"] is None:
        raise InvalidInput(
            f"{version['reference']} was brought by {version['created_by']}: no job made it, so none can be run again.",
            hint=f"`zoo provenance {version['reference']}` tells what is known.",
        )
    job = client.jobs.show(version["job"])
    return client.jobs.show(str(job["cached_from"])) if job.get("cached_from") else job


def _target(version: Version) -> str:
    name = version["name"][: MAX_NAME - len(SUFFIX)].rstrip("._-")
    return f"{version['team']}/{name}{SUFFIX}"


def _inputs(job: Job, replaced: str = "", by: Version | None = None) -> dict[str, Any]:
    """The job's inputs as its submission had them; ``replaced``: a version in whose place ``by`` is taken."""
    ports: dict[str, list[Any]] = {}
    for item in job["inputs"]:
        reference, path = item["reference"], item["artifact"]
        if by is not None and reference == replaced:
            reference = by["reference"]
            path = path if path in {file["path"] for file in by["files"]} else None
        text = f"{reference}#{path}" if path else reference
        weighted = item["weight"] is not None
        ports.setdefault(item["port"], []).append({"version": text, "weight": item["weight"]} if weighted else text)
    return {port: items[0] if len(items) == 1 else items for port, items in ports.items()}


def _run(
    client: "Client",
    job: Job,
    inputs: Mapping[str, Any],
    into: str | None,
    on_job: Callable[[Job], None],
    on_event: OnEvent,
) -> Job:
    """The same work once more: never from the result cache, and not kept for others."""
    port = next(iter(job["outputs"]), None)
    submitted = client.jobs.submit(
        job["operation"],
        inputs=inputs,
        params=job["params"],
        outputs={port: into} if port and into else None,
        seed=job["seed"],
        team=Reference.parse(into).team if into else job["team"],
        gpus=job.get("gpus"),
        cache="off",
    )
    on_job(submitted)
    return client.jobs.wait(submitted["id"], on_event=on_event)


def _differing(original: Version, made: Version) -> list[str]:
    first = {file["path"]: file["sha256"] for file in original["files"]}
    again = {file["path"]: file["sha256"] for file in made["files"]}
    return sorted(path for path in first.keys() | again.keys() if first.get(path) != again.get(path))


def _changes(client: "Client", first: Job, again: Job) -> list[str]:
    """What is different about the machines: distributions with their versions, and the digest of everything."""
    before, after = (_environment(client, job) for job in (first, again))
    packages = [
        (name, before.get("distributions", {}).get(name), after.get("distributions", {}).get(name))
        for name in sorted(before.get("distributions", {}).keys() | after.get("distributions", {}).keys())
    ]
    found = [f"{name} {old or 'absent'} -> {new or 'absent'}" for name, old, new in packages if old != new]
    if not found and before.get("digest") != after.get("digest"):
        found = [f"environment {before.get('digest')} -> {after.get('digest')}"]
    return found


def _environment(client: "Client", job: Job) -> dict[str, Any]:
    attempts = client.jobs.attempts(job["id"])
    environment = attempts[-1]["environment"] if attempts else {}
    return environment if isinstance(environment, dict) else {}


def _evaluations(client: "Client", version: Version, made_by: Job) -> list[Job]:
    """The jobs that measured the version, each operation and input once, the newest first."""
    found: dict[tuple[str, str], Job] = {}
    for metric in sorted(version["metrics"], key=lambda item: item["created_at"], reverse=True):
        if metric["source"] != "measured" or metric["job"] in {None, made_by["id"]} or len(found) >= MAX_EVALUATIONS:
            continue
        try:
            job = client.jobs.show(str(metric["job"]))
        except NotFound:
            continue  # another team's
        others = [item["reference"] for item in job["inputs"] if item["reference"] != version["reference"]]
        if any(item["reference"] == version["reference"] for item in job["inputs"]):
            found.setdefault((job["operation"], " ".join(others)), job)
    return list(found.values())


def _compared(first: Sequence[Metric], again: Sequence[Metric], tolerance: float) -> list[MeasuredAgain]:
    """Each metric of the original with the newest one of the reproduction under the same circumstances."""
    newest = {_place(item): item for item in sorted(again, key=lambda item: item["created_at"])}
    kept = {_place(item): item for item in sorted(first, key=lambda item: item["created_at"])}
    rows = []
    for place, item in sorted(kept.items(), key=lambda pair: str(pair[0])):
        match = newest.get(place)
        where = ", ".join(part for part in place[1:] if part)
        allowed = abs(item["value"]) * tolerance
        rows.append(MeasuredAgain(item["name"], where, item["value"], match["value"] if match else None, allowed))
    return rows


def _place(metric: Metric) -> tuple[str, str, str, str]:
    return metric["name"], metric["dataset"] or "", metric["split"] or "", metric["runtime"] or ""
