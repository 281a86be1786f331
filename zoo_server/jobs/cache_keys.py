"""What makes two jobs equal: a digest of the work, and with the environment in which it was done the cache's key.

The work is the operation (name, version, manifest), the complete parameters, the seed, the number of GPUs (a batch that
several share is added up in another order; their kind is part of the environment) and the content of the inputs.
References, teams and file owners are no part of it: two versions with the same content are the same input.  What a
worker is told about an input beside its bytes counts as content: an artifact's preprocessing changes its accuracy.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any
from uuid import UUID

from django.contrib.postgres.aggregates import StringAgg
from django.db.models import BinaryField, F, Func, QuerySet, TextField, Value
from django.db.models.functions import Concat

from zoo_server.catalog.manifest import canonical_json
from zoo_server.catalog.models import VersionFile
from zoo_server.jobs.models import Operation
from zoo_server.jobs.services.inputs import ChosenInput

ARTIFACT_FIELDS = ("format", "precision", "runtime", "signature", "preprocessing", "details")


@dataclass(frozen=True)
class Work:
    """What a job is to compute.  ``params``: complete, with the defaults; ``target``: the model that takes the result
    (``team/name``, no part of the digest); ``gpus``: how many it gets.
    """

    operation: Operation
    params: Mapping[str, Any]
    seed: int
    inputs: Sequence[ChosenInput]
    target: str | None = None
    gpus: int = 0

    @property
    def is_repeatable(self) -> bool:
        """Whether the operation promises the same result for the same work."""
        return bool(self.operation.manifest["deterministic"])


def work_digests(works: Sequence[Work]) -> list[str]:
    """The digest of each; two queries for all of them."""
    chosen = [item for work in works for item in work.inputs]
    artifacts = _content_digests(
        VersionFile.objects.filter(artifact__in={item.artifact.pk for item in chosen if item.artifact}), "artifact_id"
    )
    versions = _content_digests(
        VersionFile.objects.filter(version__in={item.version.pk for item in chosen if item.artifact is None}),
        "version_id",
    )
    return [_digest(_description(work, artifacts | versions)) for work in works]


def cache_key(*, work_digest: str, environment_digest: str) -> str:
    """The key under which a result is kept: the work, and the environment in which it was done."""
    return _digest([work_digest, environment_digest])


def _digest(value: Any) -> str:
    return f"sha256:{sha256(canonical_json(value).encode('utf-8', 'surrogatepass')).hexdigest()}"


def _content_digests(files: "QuerySet[VersionFile]", owner: str) -> dict[UUID, str]:
    """Of each artifact (or version), a digest over the paths and digests of its files, computed by the database: a data
    set has a hundred thousand of them.
    """
    lines: Any = StringAgg(
        Concat(F("blob_id"), Value(" "), F("path"), output_field=TextField()),
        delimiter="\n",
        order_by=("position", "path"),
        output_field=TextField(),
    )
    content: Any = Func(
        Func(lines, Value("UTF8"), function="convert_to", output_field=BinaryField()),
        function="sha256",
        output_field=BinaryField(),
    )
    rows: Iterable[tuple[UUID, Any]] = files.values(owner).annotate(content=content).values_list(owner, "content")
    return {key: bytes(digest).hex() for key, digest in rows}


def _description(work: Work, contents: Mapping[UUID, str]) -> dict[str, Any]:
    inputs: dict[str, list[Any]] = {}
    for item in work.inputs:
        inputs.setdefault(item.port.name, []).append(_input(item, contents))
    return {
        "operation": [work.operation.name, work.operation.version, work.operation.digest],
        "params": _plain(work.params),
        "seed": work.seed,
        "inputs": inputs,
    } | ({"gpus": work.gpus} if work.gpus else {})


def _input(item: ChosenInput, contents: Mapping[UUID, str]) -> dict[str, Any]:
    artifact = item.artifact
    return {
        "files": contents.get((artifact or item.version).pk, ""),
        "artifact": {name: _plain(getattr(artifact, name)) for name in ARTIFACT_FIELDS} if artifact else None,
        "dataset": item.version.dataset,
        "weight": _plain(item.weight),
    }


def _plain(value: Any) -> Any:
    """Equal numbers as one text: ``2.0`` of one caller is the ``2`` of another."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value
