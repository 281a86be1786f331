"""A version's family: ancestors and descendants, read in one recursive query."""

import json
from dataclasses import dataclass
from typing import Any

from django.db import connection

from zoo_sdk.errors import InvalidInput
from zoo_server.catalog.models import Version
from zoo_server.catalog.selectors.visibility import visible_versions
from zoo_server.rest.principals import Principal

DEFAULT_DEPTH = 20
MAX_DEPTH = 100
MAX_NODES = 5000
HIDDEN = "(hidden)"
"""Stands for a parent that the caller may not see.  Its own parents are not shown."""


@dataclass(frozen=True)
class LineageGraph:
    """Nodes and edges as the REST contract shows them; ``truncated``: there are more nodes than :data:`MAX_NODES`."""

    root: str
    nodes: list[dict[str, Any]]
    edges: list[dict[str, Any]]
    truncated: bool


# {visible} is Django's own SQL for "the versions that the caller may see" (inlined, so that only the family is looked
# up).  The walk goes on from visible versions only.  A parent that is not visible is kept as a leaf, because its child
# says that it has one; a child that is not visible is left out: nobody learns of private work from the outside.
_FAMILY = """
WITH RECURSIVE visible AS NOT MATERIALIZED ({visible}),
up(id, depth) AS (
    SELECT %s::uuid, 0
    UNION
    SELECT edge.parent_id, up.depth + 1
    FROM up JOIN catalog_lineageedge AS edge ON edge.child_id = up.id
    WHERE edge.parent_id IS NOT NULL AND up.depth < %s AND up.id IN (SELECT id FROM visible)
),
down(id, depth) AS (
    SELECT %s::uuid, 0
    UNION
    SELECT edge.child_id, down.depth + 1
    FROM down JOIN catalog_lineageedge AS edge ON edge.parent_id = down.id
    WHERE down.depth < %s AND edge.child_id IN (SELECT id FROM visible)
),
family AS (
    SELECT id, min(depth) AS depth FROM (SELECT * FROM up UNION ALL SELECT * FROM down) AS both_ways
    GROUP BY id ORDER BY depth, id LIMIT %s
),
edges AS (
    SELECT edge.* FROM catalog_lineageedge AS edge
    JOIN family AS child ON child.id = edge.child_id
    LEFT JOIN family AS parent ON parent.id = edge.parent_id
    WHERE (edge.parent_id IS NULL OR parent.id IS NOT NULL) AND edge.child_id IN (SELECT id FROM visible)
)
SELECT 'node', family.depth, jsonb_build_object(
    'id', family.id,
    'reference', CASE WHEN visible.id IS NULL THEN %s
        ELSE team.name || '/' || repository.name || '@' || version.number END,
    'kind', CASE WHEN visible.id IS NOT NULL THEN repository.kind END,
    'state', CASE WHEN visible.id IS NOT NULL THEN version.state END,
    'operation', CASE WHEN visible.id IS NOT NULL THEN (
        SELECT nullif(step.operation, '') FROM catalog_strategystep AS step
        WHERE step.version_id = family.id ORDER BY step.position DESC LIMIT 1
    ) END,
    'deleted', CASE WHEN visible.id IS NOT NULL THEN (
        SELECT CASE WHEN deletion.buried_at IS NULL THEN 'restorable' ELSE 'tombstone' END
        FROM catalog_deletion AS deletion WHERE deletion.version_id = family.id
    ) END)
FROM family
JOIN catalog_version AS version ON version.id = family.id
JOIN catalog_repository AS repository ON repository.id = version.repository_id
JOIN accounts_team AS team ON team.id = repository.team_id
LEFT JOIN visible ON visible.id = family.id
UNION ALL
SELECT DISTINCT 'node', 1000000, jsonb_build_object(
    'id', external_uri, 'reference', NULL, 'kind', NULL, 'state', NULL, 'operation', NULL, 'external_uri', external_uri)
FROM edges WHERE parent_id IS NULL
UNION ALL
SELECT 'edge', 0, jsonb_build_object(
    'child', child_id, 'parent', coalesce(parent_id::text, external_uri), 'role', role, 'weight', weight)
FROM edges
ORDER BY 1, 2, 3
"""


def lineage_graph(*, principal: Principal, version: Version, depth: int = DEFAULT_DEPTH) -> LineageGraph:
    """Ancestors and descendants of a version, at most ``depth`` edges away either way, nearest first, in one query."""
    if not 1 <= depth <= MAX_DEPTH:
        raise InvalidInput(f"depth={depth} is not a number from 1 to {MAX_DEPTH}.", facts={"field": "depth"})
    visible, parameters = visible_versions(principal=principal).order_by().values("id").query.sql_with_params()
    arguments = [*parameters, version.pk, depth, version.pk, depth, MAX_NODES + 1, HIDDEN]
    with connection.cursor() as cursor:
        cursor.execute(_FAMILY.format(visible=visible), arguments)
        rows = [(kind, json.loads(body) if isinstance(body, str) else body) for kind, _, body in cursor.fetchall()]
    nodes = [body for kind, body in rows if kind == "node"]
    edges = [body for kind, body in rows if kind == "edge"]
    return LineageGraph(str(version.pk), nodes, edges, truncated=len(nodes) > MAX_NODES)
