"""Looking again at bytes whose inspection was made by older rules, one blob after another.

What a blob's ``inspector`` says is the only memory: a run that was broken off is continued by the next.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from time import monotonic
from typing import Literal

from django.db import transaction

from zoo_inspection import INSPECTOR_VERSION, Inspection, inspect
from zoo_sdk.errors import Unavailable
from zoo_server.artifacts.models import Blob, Upload
from zoo_server.artifacts.selectors import blob_store
from zoo_server.audit.services import record_event
from zoo_server.rest.principals import Principal

AT_ONCE = 200
"""Blobs that one query brings."""
Outcome = Literal["unchanged", "changed", "missing", "overtaken"]


@dataclass(frozen=True)
class Look:
    """What became of one blob; ``severity``: of its worst finding now."""

    blob: Blob
    outcome: Outcome
    severity: str | None = None


def inspect_again(
    *, principal: Principal, limit: int | None = None, seconds: float | None = None, everything: bool = False
) -> Iterator[Look]:
    """Inspect the blobs of older inspector versions (``everything``: all), by digest; yields each when it is done.

    It ends after ``limit`` blobs or ``seconds``.  A blob whose bytes are gone from the store stays as it is.
    """
    deadline = monotonic() + seconds if seconds is not None else None
    done, after = 0, ""
    while True:
        rows = Blob.objects.filter(sha256__gt=after).order_by("sha256").defer("facts")
        rows = rows if everything else rows.filter(inspector__lt=INSPECTOR_VERSION)
        found = list(rows[:AT_ONCE])
        for blob in found:
            if (limit is not None and done >= limit) or (deadline is not None and monotonic() > deadline):
                return
            yield look_again(principal=principal, blob=blob)
            done += 1
        if len(found) < AT_ONCE:
            return
        after = found[-1].sha256


def look_again(*, principal: Principal, blob: Blob) -> Look:
    """Inspect one blob, keep what was found, and record it where format or findings are others than before."""
    upload = Upload.objects.filter(blob=blob).exclude(filename="").order_by("created_at", "pk").first()
    try:
        with blob_store().open(blob.sha256) as stream:
            found = inspect(stream, name=upload.filename if upload else "")
    except Unavailable:
        return Look(blob, "missing")
    return _keep(principal, blob, found)


def waiting_blobs() -> int:
    """How many blobs were inspected by older rules than today's."""
    return Blob.objects.filter(inspector__lt=INSPECTOR_VERSION).count()


def _keep(principal: Principal, blob: Blob, found: Inspection) -> Look:
    findings = list(found.findings)
    changed = (blob.format, blob.findings) != (found.format, findings)
    fields = {"format": found.format, "facts": found.facts, "findings": findings, "inspector": INSPECTOR_VERSION}
    with transaction.atomic():
        if not Blob.objects.filter(pk=blob.pk, inspector=blob.inspector).update(**fields):
            return Look(blob, "overtaken", found.severity)
        if changed:
            details = {
                "format": {"before": blob.format, "after": found.format},
                "findings": {"before": blob.findings, "after": findings},
                "inspector": {"before": blob.inspector, "after": INSPECTOR_VERSION},
            }
            record_event(actor=principal, action="blob.inspected_again", subject=blob, details=details)
    for name, value in fields.items():
        setattr(blob, name, value)
    return Look(blob, "changed" if changed else "unchanged", found.severity)
