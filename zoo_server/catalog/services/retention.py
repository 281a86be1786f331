"""Retention policies: setting them, and applying them by deletions that can be taken back."""

import logging

from django.db import transaction

from zoo_sdk.errors import Conflict, NotFound
from zoo_server.accounts.models import Team
from zoo_server.audit.services import record_event
from zoo_server.catalog.models import RetentionPolicy
from zoo_server.catalog.retention.document import read_policy
from zoo_server.catalog.retention.planning import plan_retention
from zoo_server.catalog.services.deletions import discard_version
from zoo_server.rest.principals import SYSTEM, Principal

LOG = logging.getLogger(__name__)


def set_retention(*, principal: Principal, team: Team, text: str, file: str = "retention.yaml") -> RetentionPolicy:
    """Give the team this policy instead of its former one.  The caller has checked ``admin`` in the team.

    Raises:
        InvalidPolicy: the text is none.

    """
    read_policy(text, file=file)
    with transaction.atomic():
        values = {"text": text, "updated_by_id": principal.user_id}
        policy, _ = RetentionPolicy.objects.update_or_create(team=team, defaults=values)
        record_event(actor=principal, action="retention.set", subject=policy, team=team.name, details={"policy": text})
    return policy


def remove_retention(*, principal: Principal, team: Team) -> None:
    """Keep everything from now on.  The caller has checked ``admin`` in the team."""
    with transaction.atomic():
        policy = RetentionPolicy.objects.filter(team=team).first()
        if policy is None:
            raise NotFound(f"The team {team.name!r} has no retention policy.")
        record_event(actor=principal, action="retention.removed", subject=policy, team=team.name)
        policy.delete()


def apply_retention() -> int:
    """Delete what the policies of all teams do not keep; answers how many versions.

    Each version is asked about again under its lock: one that got an alias meanwhile stays.
    """
    return sum(_apply(policy) for policy in RetentionPolicy.objects.select_related("team"))


def _apply(policy: RetentionPolicy) -> int:
    team, count, size = policy.team, 0, 0
    for verdict in plan_retention(principal=SYSTEM, team=team, policy=read_policy(policy.text)):
        if not verdict.goes:
            break
        reason = f"The retention policy of {team}: it {verdict.reason}."
        try:
            discard_version(principal=SYSTEM, version=verdict.version, reason=reason)
        except Conflict as conflict:
            LOG.info("Retention of %s left %s: %s", team, verdict.version, conflict)
            continue
        count, size = count + 1, size + verdict.version.size
    if count:
        details = {"versions": count, "size": size}
        record_event(actor=SYSTEM, action="retention.applied", subject=policy, team=team.name, details=details)
    return count
