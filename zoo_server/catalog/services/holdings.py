"""Possessions that nothing needs any more: without them a team pays for bytes that only others use."""

from datetime import datetime, timedelta

from django.db.models import Exists, OuterRef, QuerySet
from django.utils import timezone

from zoo_server.artifacts.collection import GRACE
from zoo_server.artifacts.models import Holding, Upload
from zoo_server.catalog.models import VersionFile


def release_holdings(*, now: datetime | None = None, grace: timedelta = GRACE) -> int:
    """Forget that teams possess bytes that no version of theirs holds and no upload of theirs brought lately; how many.

    Nothing is lost: whoever needs them again uploads them, or they are collected when nobody has them.
    """
    return _unneeded(now or timezone.now(), grace).delete()[0]


def _unneeded(now: datetime, grace: timedelta) -> QuerySet[Holding]:
    files = VersionFile.objects.filter(blob=OuterRef("blob"), version__repository__team=OuterRef("team"))
    uploads = Upload.objects.filter(blob=OuterRef("blob"), team=OuterRef("team"), expires_at__gt=now)
    rows = Holding.objects.filter(created_at__lt=now - grace)
    return rows.exclude(Exists(files)).exclude(Exists(uploads))
