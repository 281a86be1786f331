"""A version's manifest: everything that sealing fixes, as canonical JSON whose sha256 is the version's digest.

The digests of the parents are part of it, so a version's digest vouches for its whole ancestry.
"""

import json
from hashlib import sha256
from typing import Any

from zoo_server.catalog.models import Artifact, LineageEdge, Version, VersionFile

MANIFEST_VERSION = 1


def manifest_of(version: Version) -> dict[str, Any]:
    """Files, artifacts, strategy, lineage and data set description of a version, in a fixed order (five queries)."""
    files = list(version.files.select_related("blob").order_by("position", "path"))
    paths: dict[Any, list[str]] = {}
    for file in files:
        paths.setdefault(file.artifact_id, []).append(file.path)
    edges = version.parent_edges.select_related("parent__repository__team")
    return {
        "manifest": MANIFEST_VERSION,
        "kind": version.repository.kind,
        "reference": str(version),
        "files": [_file(file) for file in sorted(files, key=lambda file: file.path)],
        "artifacts": [_artifact(artifact, paths.get(artifact.pk, [])) for artifact in version.artifacts.all()],
        "strategy": [
            {
                "kind": step.kind,
                "method": step.method,
                "parameters": step.parameters,
                "operation": step.operation,
                "job": str(step.job_id) if step.job_id else None,
            }
            for step in version.strategy.all()
        ],
        "lineage": sorted((_edge(edge) for edge in edges), key=canonical_json),
        "dataset": version.dataset,
    }


def manifest_digest(manifest: dict[str, Any]) -> str:
    """``sha256:`` of the canonical JSON."""
    return f"sha256:{sha256(canonical_json(manifest).encode()).hexdigest()}"


def canonical_json(value: Any) -> str:
    """JSON with sorted keys and without spaces: equal values give equal text."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def _file(file: VersionFile) -> dict[str, Any]:
    """What is said about a file when the version is sealed: of a remote one its address, mirrored or not."""
    if file.address:
        declared = {"sha256": file.declared_sha256 or None, "size": file.declared_size}
        return {"path": file.path, "address": file.address, "label": file.label, **declared}
    blob = file.held()
    return {"path": file.path, "sha256": blob.sha256, "size": blob.size}


def _artifact(artifact: Artifact, paths: list[str]) -> dict[str, Any]:
    names = ("name", "format", "precision", "runtime", "signature", "preprocessing", "details")
    return {name: getattr(artifact, name) for name in names} | {"files": paths}


def _edge(edge: LineageEdge) -> dict[str, Any]:
    return {
        "role": edge.role,
        "weight": edge.weight,
        "parent": str(edge.parent) if edge.parent else None,
        "digest": edge.parent.digest if edge.parent else None,
        "external_uri": edge.external_uri,
    }
