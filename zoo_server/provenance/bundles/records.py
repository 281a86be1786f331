"""The record of a version: everything that its registry knows of it, for a bundle."""

from collections.abc import Collection, Mapping
from typing import Any
from uuid import UUID

from django.conf import settings

from zoo_sdk.errors import Conflict
from zoo_server.catalog.manifest import manifest_digest, manifest_of
from zoo_server.catalog.models import LineageEdge, Metric, Version
from zoo_server.catalog.selectors import get_version_details, visible_versions
from zoo_server.catalog.selectors.lineage import HIDDEN
from zoo_server.provenance.models import ImportedVersion
from zoo_server.rest.principals import SYSTEM, Principal


def record_of(*, principal: Principal, version: Version) -> dict[str, Any]:
    """The record of a sealed version, as far as the caller may see it (``zoo_sdk.bundles.layout.Record``).

    The id and the digest of a parent are in the version's signed statement, which whoever reads the version may read;
    the name of one that the caller may not see is left out, and the record is then not ``whole``.

    Raises:
        Conflict: the version is a draft.

    """
    if version.sealed_at is None:
        raise Conflict(
            f"{version} is a draft: only what is sealed can be exported.",
            hint="Seal it first.",
            facts={"state": version.state},
        )
    found = get_version_details(principal=principal, version=version)
    edges = list(LineageEdge.objects.filter(child=version).select_related("parent__repository__team").order_by("id"))
    parents = [edge.parent_id for edge in edges if edge.parent_id]
    seen = set(visible_versions(principal=principal).filter(pk__in=parents).values_list("pk", flat=True))
    manifest = manifest_of(version)
    is_whole = manifest_digest(manifest) == version.digest and set(parents) <= seen
    hidden = {str(edge.parent) for edge in edges if edge.parent_id and edge.parent_id not in seen}
    manifest["lineage"] = [_redacted(edge, hidden) for edge in manifest["lineage"]]
    repository = found.repository
    described = ("name", "title", "task", "architecture", "licence", "tags", "visibility")
    return {
        "id": str(found.pk),
        "registry": settings.ZOO_PUBLIC_URL,
        "reference": str(found),
        "digest": found.digest,
        "state": found.state,
        "created_by": _author(found),
        "created_at": found.created_at.isoformat(),
        "sealed_at": version.sealed_at.isoformat(),
        "notes": found.notes,
        "job": _text(found.job_id),
        "whole": is_whole,
        "manifest": manifest,
        "parents": [_parent(edge, seen) for edge in edges],
        "repository": {
            "id": str(repository.pk),
            "kind": repository.kind,
            "team": repository.team.name,
            **{name: getattr(repository, name) for name in described},
        },
        "metrics": [_metric(metric) for metric in found.metrics.all()],
        "aliases": [alias.name for alias in found.aliases.all()],
        "decisions": [
            {
                "before": change.before,
                "after": change.after,
                "comment": change.comment,
                "by": change.changed_by.username if change.changed_by else SYSTEM.name,
                "at": change.changed_at.isoformat(),
            }
            for change in found.state_changes.all()
        ],
        "origin": origin_of(version),
    }


def origin_of(version: Version) -> dict[str, Any] | None:
    """Where an imported version comes from, and by whose word; None for one that was made here."""
    row = ImportedVersion.objects.select_related("imported_by").filter(version=version).first()
    if row is None:
        return None
    return {
        "registry": row.registry,
        "reference": row.foreign_reference,
        "id": str(row.foreign_id),
        "digest": row.foreign_digest,
        "key": row.key,
        "vouched_by": row.vouched_by,
        "imported_by": row.imported_by.username,
        "imported_at": row.imported_at.isoformat(),
        "state": row.record.get("state", ""),
        "sealed_at": row.record.get("sealed_at", ""),
        "created_by": row.record.get("created_by", ""),
        "origin": row.record.get("origin"),
    }


def imports_of(version_ids: Collection[UUID]) -> dict[UUID, ImportedVersion]:
    """Where those of the versions come from that were imported, without the documents."""
    return ImportedVersion.objects.defer("record", "provenance", "signature").in_bulk(version_ids)


def _redacted(edge: Mapping[str, Any], hidden: set[str]) -> dict[str, Any]:
    return {**edge, "parent": None} if edge["parent"] in hidden else dict(edge)


def _parent(edge: LineageEdge, seen: set[UUID]) -> dict[str, Any]:
    parent = edge.parent
    return {
        "role": edge.role,
        "weight": edge.weight,
        "id": _text(edge.parent_id),
        "kind": parent.repository.kind if parent else None,
        "reference": str(parent) if parent and edge.parent_id in seen else None,
        "digest": (parent.digest or None) if parent else None,
        "external_uri": edge.external_uri,
    }


def _metric(metric: Metric) -> dict[str, Any]:
    held = str(metric.dataset) if metric.dataset else HIDDEN if metric.dataset_id else metric.dataset_name
    files = list(metric.artifact.files.all()) if metric.artifact else []
    return {
        "id": str(metric.pk),
        "name": metric.name,
        "value": metric.value,
        "source": metric.source,
        "dataset": held,
        "dataset_id": _text(metric.dataset_id) if metric.dataset else None,
        "split": metric.split,
        "artifact": files[0].path if files else None,
        "runtime": metric.runtime,
        "device": metric.device,
        "details": metric.details,
        "job": _text(metric.job_id),
        "created_by": metric.created_by.username if metric.created_by else SYSTEM.name,
        "created_at": metric.created_at.isoformat(),
    }


def _author(version: Version) -> str:
    return version.created_by.username if version.created_by else SYSTEM.name


def _text(value: UUID | None) -> str | None:
    return str(value) if value else None
