"""Where a version comes from: its parents and its strategy."""

import math
import re
from collections.abc import Sequence

from django.db import IntegrityError, connection, transaction

from zoo_sdk.errors import Conflict, InvalidInput, NotFound
from zoo_sdk.vocabulary import LineageRole, RepositoryKind
from zoo_server.audit.services import record_event
from zoo_server.catalog.descriptions import MAX_STEPS, StepDescription
from zoo_server.catalog.models import LineageEdge, StrategyStep, Version
from zoo_server.catalog.selectors import visible_versions
from zoo_server.catalog.services.authorisation import locked_draft
from zoo_server.rest.principals import Principal

LINEAGE_LOCK = 0x5A6F_6F4C
"""Key of the advisory lock under which edges are checked and added ("ZooL")."""
URI_SCHEMES = ("http", "https", "doi", "hf", "git+https", "git+ssh", "s3", "gs", "oci", "urn", "mlflow-artifacts")
DATA_ROLES = frozenset({LineageRole.TRAINED_ON, LineageRole.CALIBRATED_ON, LineageRole.EVALUATED_ON})
_IS_ANCESTOR = """
WITH RECURSIVE ancestors(id) AS (
    SELECT %s::uuid
    UNION
    SELECT edge.parent_id FROM ancestors JOIN catalog_lineageedge AS edge ON edge.child_id = ancestors.id
    WHERE edge.parent_id IS NOT NULL
)
SELECT EXISTS (SELECT 1 FROM ancestors WHERE id = %s)
"""


class Cycle(Conflict):
    """The edge would make a version its own ancestor."""

    code = "cycle"


def add_parent(
    *,
    principal: Principal,
    version: Version,
    role: LineageRole,
    parent: Version | None = None,
    external_uri: str = "",
    weight: float | None = None,
) -> LineageEdge:
    """Record a parent of a draft: a version held here that the caller may see, or an external URI.

    Raises:
        Cycle: ``version`` is already an ancestor of ``parent``, or is ``parent``.
        Conflict: the version is sealed, or has this parent in this role.
        InvalidInput: the role does not fit the parent's kind, the weight or the URI is wrong.
        NotFound: the caller may not see the parent.

    """
    _check_edge(version, LineageRole(role), parent, external_uri, weight)
    with transaction.atomic():
        if parent is not None:
            _wait_for_other_edges()
        draft = locked_draft(principal=principal, version=version)
        if parent is not None:
            _check_parent(principal, draft, parent)
        edge = LineageEdge(child=draft, parent=parent, external_uri=external_uri, role=role, weight=weight)
        try:
            with transaction.atomic():
                edge.save(force_insert=True)
        except IntegrityError as error:
            raise Conflict(f"{draft} already has the parent {parent or external_uri} as {role}.") from error
        record_event(
            actor=principal,
            action="lineage.added",
            subject=draft,
            team=draft.repository.team.name,
            details={"role": str(role), "parent": str(parent or external_uri), "weight": weight},
        )
    return edge


def set_strategy(*, principal: Principal, version: Version, steps: Sequence[StepDescription]) -> list[StrategyStep]:
    """Replace a draft's strategy by these steps, first step first."""
    if len(steps) > MAX_STEPS:
        raise InvalidInput(f"{len(steps)} steps are more than {MAX_STEPS}.", facts={"field": "steps"})
    with transaction.atomic():
        draft = locked_draft(principal=principal, version=version)
        StrategyStep.objects.filter(version=draft).delete()
        rows = StrategyStep.objects.bulk_create(
            StrategyStep(version=draft, position=position, **step.model_dump()) for position, step in enumerate(steps)
        )
        record_event(
            actor=principal,
            action="strategy.set",
            subject=draft,
            team=draft.repository.team.name,
            details={"steps": [f"{step.kind}: {step.method}" for step in steps]},
        )
    return rows


def inherit_strategy(
    *, principal: Principal, version: Version, base: Version | None, step: StepDescription
) -> list[StrategyStep]:
    """A draft's strategy is its base's (None: it has none) and then this step."""
    inherited = [
        StepDescription(
            kind=row.kind, method=row.method, parameters=row.parameters, operation=row.operation, job_id=row.job_id
        )
        for row in (base.strategy.all() if base else ())
    ]
    return set_strategy(principal=principal, version=version, steps=[*inherited, step])


def _check_edge(
    version: Version, role: LineageRole, parent: Version | None, external_uri: str, weight: float | None
) -> None:
    if (parent is None) == (not external_uri):
        raise InvalidInput("Name one parent: a version or an external URI.", facts={"field": "parent"})
    if weight is not None and (role is not LineageRole.TEACHER or not math.isfinite(weight) or weight <= 0):
        raise InvalidInput(
            f"weight={weight} with the role {role}: only a teacher has a weight, a positive number.",
            facts={"field": "weight"},
        )
    if parent is not None:
        needed = RepositoryKind.DATASET if role in DATA_ROLES else RepositoryKind(version.repository.kind)
        if parent.repository.kind != needed:
            raise InvalidInput(
                f"{parent} is a {parent.repository.kind}: {role} needs a {needed}.", facts={"field": "role"}
            )
    elif not is_uri(external_uri):
        raise InvalidInput(
            f"{external_uri[:120]!r} is not a URI that a parent can have.",
            hint=f"Write a URI of at most 500 characters with one of these schemes: {', '.join(URI_SCHEMES)}.",
            facts={"field": "external_uri"},
        )


def is_uri(text: str) -> bool:
    """Whether an external parent can be named so."""
    scheme, colon, rest = text.partition(":")
    return bool(colon and rest) and scheme in URI_SCHEMES and len(text) <= 500 and not re.search(r"[\s\x00-\x1f]", text)


def _wait_for_other_edges() -> None:
    """Serialise all checks until the end of the transaction, so that no two requests close a circle together.

    Taken before any version's row is locked: a request that waits here must hold nothing that the one ahead may need.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [LINEAGE_LOCK])


def _check_parent(principal: Principal, draft: Version, parent: Version) -> None:
    """Visible, and no descendant of the draft."""
    if not visible_versions(principal=principal).filter(pk=parent.pk).exists():
        raise NotFound(f"There is no version {parent} that you may see.", facts={"field": "parent"})
    with connection.cursor() as cursor:
        cursor.execute(_IS_ANCESTOR, [parent.pk, draft.pk])
        if cursor.fetchone()[0]:
            raise Cycle(
                f"{parent} comes from {draft}, so it cannot be its parent.",
                hint=f"See the lineage of {parent}.",
                facts={"child": str(draft), "parent": str(parent)},
            )
