"""Reading keys and attestations: a version's own, and those of all its ancestors that the caller may see."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from uuid import UUID

from django.db import connection
from django.db.models import IntegerField, QuerySet
from django.db.models.expressions import Func

from zoo_server.catalog.models import Version
from zoo_server.catalog.selectors import visible_versions
from zoo_server.provenance.kinds import AttestationKind
from zoo_server.provenance.models import Attestation, SigningKey
from zoo_server.rest.principals import Principal

MAX_ANCESTORS = 1000
MAX_CHAIN_BYTES = 16 * 2**20
"""Statements of ancestors are added to an answer, the nearest first, until they are so large together."""

# The walk goes on from versions only that the caller may see; others are not among the answers.
_ANCESTORS = """
WITH RECURSIVE visible AS NOT MATERIALIZED ({visible}),
up(id, depth) AS (
    SELECT %s::uuid, 0
    UNION
    SELECT edge.parent_id, up.depth + 1
    FROM up JOIN catalog_lineageedge AS edge ON edge.child_id = up.id
    WHERE edge.parent_id IS NOT NULL AND up.depth < 100 AND edge.parent_id IN (SELECT id FROM visible)
)
SELECT id FROM up WHERE depth > 0 GROUP BY id ORDER BY min(depth), id LIMIT %s
"""


@dataclass(frozen=True)
class Evidence:
    """What proves a version: its newest good attestations, and its ancestors' provenance, the nearest first.

    ``left_out``: ancestors that the caller may see, and whose statements did not fit or were not made yet.
    """

    version: Version
    provenance: Attestation | None
    signature: Attestation | None
    ancestors: list[Attestation] = field(default_factory=list)
    left_out: int = 0
    ancestor_ids: Sequence[UUID] = ()


def published_keys() -> list[SigningKey]:
    """Every key that ever signed, newest first."""
    return list(SigningKey.objects.order_by("-created_at", "id"))


def evidence_for(*, principal: Principal, version: Version, chain: bool = False) -> Evidence:
    """A version's attestations; with ``chain`` also those of its ancestors.  Four queries at most."""
    own = {row.kind: row for row in good_attestations([version.pk])}
    provenance, signature = own.get(AttestationKind.PROVENANCE), own.get(AttestationKind.SIGNATURE)
    order = ancestor_ids(principal=principal, version=version) if chain else []
    statements = good_attestations(order).filter(kind=AttestationKind.PROVENANCE)
    size = Func("payload", function="octet_length", output_field=IntegerField())
    sizes = {row_for: (row_id, length) for row_for, row_id, length in statements.values_list("version_id", "pk", size)}
    total, kept = 0, []
    for version_id in order:
        row_id, length = sizes.get(version_id, (None, 0))
        total += length
        if row_id is not None and total <= MAX_CHAIN_BYTES:
            kept.append(row_id)
    rows = Attestation.objects.select_related("version__repository__team").in_bulk(kept) if kept else {}
    ancestors = [rows[row_id] for row_id in kept]
    return Evidence(version, provenance, signature, ancestors, len(order) - len(kept), order)


def good_attestations(version_ids: Collection[UUID]) -> QuerySet[Attestation]:
    """Of each of these versions the newest attestation of each kind whose key was not revoked; a complete one first."""
    rows = Attestation.objects.filter(version__in=version_ids, key__revoked_at=None)
    return rows.order_by("version_id", "kind", "-complete", "-created_at").distinct("version_id", "kind")


def ancestor_ids(*, principal: Principal, version: Version, limit: int = MAX_ANCESTORS) -> list[UUID]:
    """The ids of the ancestors that the caller may see, the nearest first."""
    visible, parameters = visible_versions(principal=principal).order_by().values("id").query.sql_with_params()
    with connection.cursor() as cursor:
        cursor.execute(_ANCESTORS.format(visible=visible), [*parameters, version.pk, limit])
        return [row[0] for row in cursor.fetchall()]
