"""Versions that one would use: sealed, not withdrawn, not deleted."""

from django.db.models import QuerySet

from zoo_sdk.vocabulary import VersionState
from zoo_server.catalog.models import Version

UNUSABLE = (VersionState.DRAFT, VersionState.WITHDRAWN)


def usable(versions: QuerySet[Version]) -> QuerySet[Version]:
    """Those of ``versions`` that can be used."""
    return versions.exclude(state__in=UNUSABLE).filter(deletion=None)
