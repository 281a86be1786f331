"""Why a version may not be deleted now: the one place that says so, for people and for retention policies."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from uuid import UUID

from django.db.models import QuerySet

from zoo_sdk.vocabulary import VersionState
from zoo_server.catalog.models import Alias, Pin, Version

Uses = Callable[[QuerySet[Version]], Mapping[UUID, str]]
"""Says of some versions which are in use now, and by what, such as ``the running job 0198...``."""
_USES: list[Uses] = []


@dataclass(frozen=True)
class Obstacle:
    """Why a version stays, as the end of a sentence that begins with its name, and what to do about it first."""

    reason: str
    remedy: str


def on_use(uses: Uses) -> None:
    """Have ``uses`` asked before a version is deleted; other apps call it when they are ready.  Twice counts once."""
    if uses not in _USES:
        _USES.append(uses)


def obstacles(versions: QuerySet[Version]) -> dict[UUID, Obstacle]:
    """Those of ``versions`` that may not be deleted, each with its first reason.  A fixed number of queries."""
    ids = versions.order_by().values("pk")
    found: dict[UUID, Obstacle] = {}
    for pk, text in used_now(versions).items():
        found[pk] = Obstacle(f"is in use by {text}", "Wait until that has ended, or cancel it.")
    for pin in Pin.objects.filter(version__in=ids).select_related("pinned_by"):
        who = pin.pinned_by.username if pin.pinned_by else "system"
        why = f": {pin.reason}" if pin.reason else ""
        found[pin.version_id] = Obstacle(f"is pinned by {who}{why}", "Unpin it first: `zoo unpin REF`.")
    for version in versions.filter(state=VersionState.APPROVED):
        found[version.pk] = Obstacle(
            "is approved", "Deprecate or withdraw it first: `zoo deprecate REF`, `zoo withdraw REF`."
        )
    for alias in Alias.objects.filter(version__in=ids).order_by("-name"):
        found[alias.version_id] = Obstacle(
            f"has the alias @{alias.name}",
            f"Move the alias or remove it first: `zoo alias set`, `zoo alias remove TEAM/NAME {alias.name}`.",
        )
    return found


def used_now(versions: QuerySet[Version]) -> dict[UUID, str]:
    """Those of ``versions`` that are in use at this moment, and by what."""
    return {pk: text for uses in _USES for pk, text in uses(versions).items()}
