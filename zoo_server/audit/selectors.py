"""Reading the audit log: pages of events, and the check of the whole chain."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256
from typing import Any
from uuid import UUID

from django.db import transaction

from zoo_server.audit.models import AuditEvent, AuditLink
from zoo_server.audit.services import event_digest
from zoo_server.rest.pagination import DEFAULT_LIMIT, Order, Page, keyset_page

Checkpoints = Mapping[int, str]
"""Sequence -> hash of links that were noted elsewhere when they were written."""
GENESIS_HASH = "sha256:" + "0" * 64
ROWS_AT_A_TIME = 2000
LINK_FIELDS = ("sequence", "event_id", "previous_hash", "hash")
EVENT_FIELDS = tuple(field.name for field in AuditEvent._meta.get_fields() if field.concrete)


@dataclass(frozen=True)
class EventFilter:
    """What an auditor looks for; empty fields do not narrow.  ``teams``: None for all, else these names."""

    teams: Sequence[str] | None = None
    exact: dict[str, str] = field(default_factory=dict)
    action_prefix: str = ""
    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True)
class BrokenRow:
    """The first row that is not as it was written.  ``sequence`` is None for an event without a link."""

    sequence: int | None
    event: UUID | None
    reason: str


@dataclass(frozen=True)
class Verification:
    """The outcome of a check of the chain: links ``checked`` before the end or the first broken row."""

    events: int
    checked: int
    first_broken: BrokenRow | None
    head_sequence: int
    head_hash: str

    @property
    def ok(self) -> bool:
        """True when every event is chained and unchanged."""
        return self.first_broken is None


def event_page(*, wanted: EventFilter, cursor: str | None = None, limit: int = DEFAULT_LIMIT) -> Page[AuditEvent]:
    """The events that match, newest first; each with its ``link``."""
    rows = AuditEvent.objects.select_related("link").filter(**wanted.exact)
    if wanted.teams is not None:
        rows = rows.filter(team__in=wanted.teams)
    if wanted.action_prefix:
        rows = rows.filter(action__startswith=wanted.action_prefix)
    if wanted.since:
        rows = rows.filter(time__gte=wanted.since)
    if wanted.until:
        rows = rows.filter(time__lt=wanted.until)
    return keyset_page(rows, [Order("id", descending=True)], cursor=cursor, limit=limit)


def head_of_chain() -> tuple[int, str]:
    """Sequence and hash of the newest link; zero and the first link's predecessor for an empty log."""
    found = AuditLink.objects.order_by("-sequence").values_list("sequence", "hash").first()
    return found or (0, GENESIS_HASH)


def verify_chain(*, checkpoints: Checkpoints | None = None) -> Verification:
    """Recompute every digest and hash in the order of the chain, and stop at the first row that was tampered with.

    Streams through a server-side cursor: memory does not grow with the log.  Found are: changed events, changed,
    deleted, inserted and reordered links, deleted events, and events without a link.  What no chain alone can show is
    a log that was written anew with all its hashes, or whose end was cut off together with its events: ``checkpoints``
    (or ``head``, compared with one that you noted earlier) show that.
    """
    with transaction.atomic():
        checked, sequence, last_hash, broken = _walk(checkpoints or {})
        return Verification(
            events=AuditEvent.objects.count(),
            checked=checked,
            first_broken=broken or _unchained_event(),
            head_sequence=sequence,
            head_hash=last_hash,
        )


def _walk(checkpoints: Checkpoints) -> tuple[int, int, str, BrokenRow | None]:
    checked, sequence, last_hash = 0, 0, GENESIS_HASH
    for link, event in _links_with_events():
        reason = _fault(link, event, sequence + 1, last_hash) or _contradiction(link, checkpoints)
        if reason:
            return checked, sequence, last_hash, BrokenRow(link.sequence, link.event_id, reason)
        checked, sequence, last_hash = checked + 1, link.sequence, link.hash
    noted = max(checkpoints, default=0)
    if noted > sequence:
        reason = f"the log ends with link {sequence}, but link {noted} was noted elsewhere: its end was cut off"
        return checked, sequence, last_hash, BrokenRow(sequence + 1, None, reason)
    return checked, sequence, last_hash, None


def _contradiction(link: Any, checkpoints: Checkpoints) -> str | None:
    if checkpoints.get(link.sequence, link.hash) == link.hash:
        return None
    return "the link is not the one that was noted elsewhere: the log was written anew up to here"


def _links_with_events() -> Iterator[tuple[Any, Any]]:
    """Links and their events (None: it was deleted) in order, as plain rows with the models' fields.

    No models: the log may have millions of rows.  Two queries a batch instead of a join: the foreign key is not
    trusted, so an event may be missing.
    """
    batch: list[Any] = []
    links = AuditLink.objects.order_by("sequence").values_list(*LINK_FIELDS, named=True)
    for link in links.iterator(chunk_size=ROWS_AT_A_TIME):
        batch.append(link)
        if len(batch) == ROWS_AT_A_TIME:
            yield from _joined(batch)
            batch = []
    yield from _joined(batch)


def _joined(batch: list[Any]) -> Iterator[tuple[Any, Any]]:
    rows = AuditEvent.objects.filter(pk__in=[link.event_id for link in batch]).values_list(*EVENT_FIELDS, named=True)
    events = {row.id: row for row in rows}
    return ((link, events.get(link.event_id)) for link in batch)


def _fault(link: Any, event: Any, expected_sequence: int, expected_previous: str) -> str | None:
    if link.sequence != expected_sequence:
        return f"link {expected_sequence} is missing: the next one is {link.sequence}"
    if event is None:
        return "the event of this link was deleted"
    if event_digest(event) != event.digest:
        return "the event's content is not what its digest says: it was changed"
    if link.previous_hash != expected_previous:
        return "the link does not continue the one before it: a link was inserted, changed or reordered"
    text = f"{link.sequence}|{link.previous_hash}|{event.digest}"
    if link.hash != f"sha256:{sha256(text.encode()).hexdigest()}":
        return "the link's hash does not match its event: the event's digest or the link was changed"
    return None


def _unchained_event() -> BrokenRow | None:
    event = AuditEvent.objects.filter(link=None).order_by("id").values_list("id", flat=True).first()
    return None if event is None else BrokenRow(None, event, "the event has no link: its link was removed")
