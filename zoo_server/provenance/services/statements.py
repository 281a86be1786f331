"""The provenance statement of a version: in-toto Statement v1 with a SLSA Provenance v1 predicate.

Who may read a version may read its statement, now and whoever reads it later.  So parents and data sets are named by
their id and digest only: whoever may see one has its own statement, which tells its name.  For the same reason the
builder is a worker's id without the name of its machine.
"""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from django.conf import settings

from zoo_sdk import __version__
from zoo_sdk.attestations import (
    IMPORT_BUILD,
    JOB_BUILD,
    PROVENANCE_PREDICATE,
    REUSE_BUILD,
    UPLOAD_BUILD,
    statement,
)
from zoo_server.catalog.models import LineageEdge, Version
from zoo_server.jobs.models import Job
from zoo_server.provenance.models import ImportedVersion
from zoo_server.provenance.services.facts import Facts

NOT_TOLD = frozenset({"worker", "distributions", "plugin"})
"""Of a worker's environment: its host's name is not told, and distributions have a place of their own."""
Descriptor = dict[str, Any]


def provenance_statement(facts: Facts) -> bytes:
    """The statement, ready to be signed."""
    predicate = {
        "buildDefinition": {
            "buildType": _build_type(facts),
            "externalParameters": _external_parameters(facts),
            "internalParameters": _internal_parameters(facts),
            "resolvedDependencies": [*map(_dependency, facts.edges), *_plugin(facts), *_origin(facts)],
        },
        "runDetails": {"builder": _builder(facts), "metadata": _metadata(facts)},
    }
    return statement(_subjects(facts), PROVENANCE_PREDICATE, predicate)


def urn(identifier: UUID) -> str:
    """How a row of this registry is named in statements."""
    return f"urn:uuid:{identifier}"


def _subjects(facts: Facts) -> list[Descriptor]:
    """The version itself, by the digest of its manifest, and every file."""
    version = facts.version
    whole = {"name": str(version), "uri": urn(version.pk), "digest": _digest(version.digest)}
    return [whole, *({"name": file.path, "digest": _digest(file.sha256)} for file in facts.files)]


def _digest(text: str) -> dict[str, str]:
    algorithm, _, value = text.partition(":")
    return {algorithm: value}


def _build_type(facts: Facts) -> str:
    if facts.job is None:
        return IMPORT_BUILD if facts.imported else UPLOAD_BUILD
    return REUSE_BUILD if facts.job.cached_from_id else JOB_BUILD


def _external_parameters(facts: Facts) -> dict[str, Any]:
    """What whoever asked for the version chose."""
    if facts.job is None:
        names = ("kind", "method", "parameters", "operation")
        steps = [{name: getattr(step, name) for name in names} for step in facts.version.strategy.all()]
        return {"strategy": steps, **({"origin": _imported(facts.imported)} if facts.imported else {})}
    job = facts.job
    parameters: dict[str, Any] = {
        "operation": job.operation.name,
        "operationVersion": job.operation.version,
        "params": job.params,
        "seed": job.seed,
        "inputs": _inputs(facts),
    }
    if facts.step is not None:
        pipeline = facts.step.pipeline
        parameters["recipe"] = {
            "name": pipeline.name,
            "digest": pipeline.recipe_digest,
            "set": pipeline.set_name or None,
            "step": facts.step.key,
            "pipeline": urn(pipeline.pk),
        }
    return parameters


def _imported(imported: ImportedVersion) -> dict[str, Any]:
    """What the version is called where it comes from, and by whose word: a foreign key's, or nobody's."""
    return {
        "registry": imported.registry,
        "reference": imported.foreign_reference,
        "uri": urn(imported.foreign_id),
        "key": imported.key or None,
        "vouchedBy": imported.vouched_by,
    }


def _origin(facts: Facts) -> Iterable[Descriptor]:
    """The same version at the registry that it was imported from.

    Named by its address there: its statement is by a foreign key, which whoever checks this chain need not trust.
    """
    if facts.imported is not None:
        name, _, number = facts.imported.foreign_reference.partition("@")
        kind = facts.version.repository.kind
        yield {
            "uri": f"{facts.imported.registry}/api/v1/{kind}s/{name}/versions/{number}",
            "digest": _digest(facts.imported.foreign_digest),
            "annotations": {"role": "imported_from"},
        }


def _inputs(facts: Facts) -> dict[str, list[Descriptor]]:
    ports: dict[str, list[Descriptor]] = {}
    for item in facts.inputs:
        entry: Descriptor = {"uri": urn(item.version_id), "digest": _digest(item.version.digest)}
        if item.artifact is not None:
            entry["artifact"] = item.artifact.name
        if item.weight is not None:
            entry["weight"] = item.weight
        ports.setdefault(item.port, []).append(entry)
    return ports


def _internal_parameters(facts: Facts) -> dict[str, Any]:
    version, job = facts.version, facts.job
    parameters: dict[str, Any] = {
        "registry": settings.ZOO_PUBLIC_URL,
        "kind": version.repository.kind,
        "version": {"id": str(version.pk), "sealedAt": _time(version.sealed_at)},
        "by": version.created_by.username if version.created_by else "system",
    }
    if facts.unknown:
        parameters["filesWithoutDigest"] = facts.unknown
    if job is not None:
        parameters["job"] = {"id": str(job.pk), "attempt": job.attempt, "submittedAt": _time(job.created_at)}
        parameters["operationManifest"] = _digest(job.operation.digest)
    if _ran_here(facts) and facts.attempt is not None:
        environment = facts.attempt.environment
        parameters["environment"] = {
            name: _without_serials(value) if name == "gpus" else value
            for name, value in environment.items()
            if name not in NOT_TOLD
        }
    return parameters


def _without_serials(gpus: Any) -> Any:
    if not isinstance(gpus, list):
        return gpus
    return [
        {key: value for key, value in gpu.items() if key != "uuid"} if isinstance(gpu, dict) else gpu for gpu in gpus
    ]


def _dependency(edge: LineageEdge) -> Descriptor:
    annotations: dict[str, Any] = {"role": edge.role}
    if edge.weight is not None:
        annotations["weight"] = edge.weight
    if edge.parent is None:
        return {"uri": edge.external_uri, "annotations": annotations}
    annotations["kind"] = edge.parent.repository.kind
    descriptor: Descriptor = {"uri": urn(edge.parent.pk), "annotations": annotations}
    if edge.parent.digest:  # a draft has none yet
        descriptor["digest"] = _digest(edge.parent.digest)
    return descriptor


def _plugin(facts: Facts) -> Iterable[Descriptor]:
    """The distribution that offered the operation, with its version and the digest of what was installed."""
    plugin = facts.attempt.environment.get("plugin") if facts.attempt and _ran_here(facts) else None
    if not isinstance(plugin, Mapping) or not plugin.get("name"):
        return
    descriptor: Descriptor = {
        "uri": f"pkg:pypi/{plugin['name']}@{plugin.get('version', '')}",
        "annotations": {"role": "plugin", "digestOf": str(plugin.get("digest_of", ""))},
    }
    if plugin.get("sha256"):
        descriptor["digest"] = _digest(str(plugin["sha256"]))
    yield descriptor


def _ran_here(facts: Facts) -> bool:
    return facts.job is not None and facts.job.cached_from_id is None


def _builder(facts: Facts) -> dict[str, Any]:
    version = {"zoo-server": __version__}
    if not _ran_here(facts) or facts.attempt is None:
        return {"id": settings.ZOO_PUBLIC_URL, "version": version}
    environment = facts.attempt.environment
    distributions = environment.get("distributions")
    packages = distributions.items() if isinstance(distributions, Mapping) else ()
    return {
        "id": urn(facts.attempt.worker_id) if facts.attempt.worker_id else "urn:zoo:worker:removed",
        "version": version,
        "builderDependencies": [{"uri": f"pkg:pypi/{name}@{number}"} for name, number in packages],
    }


def _metadata(facts: Facts) -> dict[str, Any]:
    version, job, attempt = facts.version, facts.job, facts.attempt
    if job is None:
        return {"startedOn": _time(version.created_at), "finishedOn": _time(version.sealed_at)}
    if attempt is None or job.cached_from_id:
        return {
            "invocationId": _invocation(job),
            "startedOn": _time(job.created_at),
            "finishedOn": _time(job.finished_at),
        }
    return {
        "invocationId": f"{_invocation(job)}/attempts/{attempt.number}",
        "startedOn": _time(attempt.started_at),
        "finishedOn": _time(attempt.finished_at or version.sealed_at),
    }


def _invocation(job: Job) -> str:
    return f"{settings.ZOO_PUBLIC_URL}/api/v1/jobs/{job.pk}"


def _time(moment: datetime | None) -> str | None:
    return moment.astimezone(UTC).isoformat(timespec="seconds") if moment else None


def subject_name(version: Version) -> str:
    """What a model signature calls the version: the folder into which it is pulled."""
    return f"{version.repository.name}-{version.number}"
