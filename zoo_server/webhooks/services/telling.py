"""Following the audit log, sending what is due, and trying again what was not taken."""

import logging
import random
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta

from django.db import transaction
from django.utils import timezone

from zoo_sdk.errors import ZooError
from zoo_server.audit.models import AuditLink
from zoo_server.audit.services import record_event
from zoo_server.jobs.services.locks import sole_runner
from zoo_server.rest.principals import SYSTEM
from zoo_server.webhooks.events import TYPES, body_of, wants
from zoo_server.webhooks.models import Attempt, Cursor, Delivery, Webhook
from zoo_server.webhooks.secrets import opened
from zoo_server.webhooks.sending import Answer, Message, send

LOG = logging.getLogger(__name__)
BATCH = 1000
AT_ONCE = 8
MOST_OF_ONE = 4
"""Messages to one webhook in one round: a slow receiver does not keep the others waiting."""
CLAIM = timedelta(minutes=5)
"""After so long a message whose sender died is sent again."""
WAITS = tuple(timedelta(seconds=seconds) for seconds in (5, 300, 1800, 7200, 18000, 36000, 50400, 72000, 86400))
"""Between the tries; the ten of them take three days."""
KEPT = timedelta(days=30)
GONE = 410


def collect() -> int:
    """Make the deliveries of what happened since the last call; returns how many.

    Webhooks hear of what happened after they were made.  Links of the audit log are in the order of commits, so
    nothing appears behind the cursor later.
    """
    made = 0
    with sole_runner("zoo.webhooks.collect") as alone:
        if not alone:
            return 0
        cursor, _ = Cursor.objects.get_or_create(pk=1)
        newest = AuditLink.objects.order_by("-sequence").values_list("sequence", flat=True).first() or 0
        by_team: dict[str, list[Webhook]] = defaultdict(list)
        for webhook in Webhook.objects.filter(active=True).select_related("team"):
            by_team[webhook.team.name].append(webhook)
        links = AuditLink.objects.filter(sequence__gt=cursor.sequence, sequence__lte=newest)
        wanted = links.filter(event__action__in=TYPES, event__team__in=by_team).select_related("event")
        last = newest
        for count, link in enumerate(wanted.order_by("sequence")[:BATCH], 1):
            made += _deliveries_of(link, by_team[link.event.team])
            last = link.sequence if count == BATCH else newest
        Cursor.objects.filter(pk=1).update(sequence=last)
    return made


def deliver_due() -> int:
    """Send what is due, several at a time; returns how many were delivered."""
    claimed = _claim()
    if not claimed:
        return 0
    with ThreadPoolExecutor(AT_ONCE) as pool:
        answers = list(pool.map(send, [message for _, message in claimed]))
    now = timezone.now()
    return sum(_note(delivery, answer, now) for (delivery, _), answer in zip(claimed, answers, strict=True))


def forget() -> int:
    """Remove what was told long ago from the log; returns how many."""
    rows = Delivery.objects.filter(created_at__lt=timezone.now() - KEPT).exclude(state=Delivery.State.WAITING)
    return rows.delete()[0]


def _deliveries_of(link: AuditLink, webhooks: list[Webhook]) -> int:
    event = link.event
    listening = [
        webhook
        for webhook in webhooks
        if webhook.created_at <= event.time and wants(webhook.events, TYPES[event.action])
    ]
    if not listening:
        return 0
    body, now = body_of(event), timezone.now()
    rows = [
        Delivery(webhook=item, message=f"msg_{event.pk.hex}", type=TYPES[event.action], body=body, due_at=now)
        for item in listening
    ]
    return len(Delivery.objects.bulk_create(rows, ignore_conflicts=True))


def _claim() -> list[tuple[Delivery, Message]]:
    """Due messages, set aside so that no other process sends them at the same time."""
    now = timezone.now()
    with transaction.atomic():
        rows = Delivery.objects.select_for_update(skip_locked=True, of=("self",)).select_related("webhook__team")
        due = rows.filter(state=Delivery.State.WAITING, due_at__lte=now, webhook__active=True).order_by("due_at")
        chosen: list[Delivery] = []
        counts: dict[object, int] = defaultdict(int)
        for row in due[: AT_ONCE * MOST_OF_ONE * 4]:
            counts[row.webhook_id] += 1
            if counts[row.webhook_id] <= MOST_OF_ONE and len(chosen) < AT_ONCE * MOST_OF_ONE:
                chosen.append(row)
        Delivery.objects.filter(pk__in=[row.pk for row in chosen]).update(due_at=now + CLAIM)
    claimed = []
    for row in chosen:
        try:
            claimed.append((row, _message(row, now)))
        except ZooError as error:
            _note(row, Answer(None, str(error), 0), now)
    return claimed


def _message(row: Delivery, now: datetime) -> Message:
    webhook = row.webhook
    keys = [opened(webhook.secret)]
    if webhook.former_secret and webhook.former_until and webhook.former_until > now:
        keys.append(opened(webhook.former_secret))
    return Message(webhook.url, row.message, row.body.encode(), tuple(keys))


def _note(row: Delivery, answer: Answer, now: datetime) -> bool:
    """Write the try down, and what follows from it; whether it was taken."""
    with transaction.atomic():
        Attempt.objects.create(
            delivery=row, at=now, milliseconds=answer.milliseconds, status=answer.status, error=answer.error[:500]
        )
        row.tries += 1
        if answer.taken:
            row.state, row.ended_at = Delivery.State.DELIVERED, now
        elif row.tries > len(WAITS) or answer.status == GONE:
            row.state, row.ended_at = Delivery.State.FAILED, now
        else:
            row.due_at = now + WAITS[row.tries - 1] * random.uniform(0.9, 1.1)  # noqa: S311  jitter
        row.save(update_fields=["state", "tries", "due_at", "ended_at"])
        if answer.status == GONE:
            _close(row.webhook)
    return answer.taken


def _close(webhook: Webhook) -> None:
    """The receiver says that it is gone for good: nothing more is sent there until somebody activates it again."""
    reason = "The address answered 410: it is gone."
    if Webhook.objects.filter(pk=webhook.pk, active=True).update(active=False, closed_reason=reason):
        details = {"reason": reason, "url": webhook.url}
        record_event(actor=SYSTEM, action="webhook.closed", subject=webhook, team=webhook.team.name, details=details)
