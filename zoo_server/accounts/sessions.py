"""Sessions of browsers: who is signed in where, since when, last seen when; each can be ended.

The session itself is Django's; the row beside it is what lists show, written when somebody signs in, at most once a
minute while the session is used, and never by a request without a session.
"""

import time
from collections.abc import Callable
from typing import Any
from uuid import UUID

from django.contrib.auth import SESSION_KEY
from django.contrib.auth.signals import user_logged_in, user_logged_out
from django.contrib.sessions.models import Session
from django.db import transaction
from django.db.models import Exists, OuterRef, QuerySet
from django.dispatch import receiver
from django.http import HttpRequest, HttpResponseBase
from django.utils import timezone

from zoo_sdk.errors import NotFound
from zoo_server.accounts.models import User, WebSession
from zoo_server.accounts.permissions import administers_server
from zoo_server.audit.services import record_event
from zoo_server.rest.principals import Principal, address_of

SEEN_KEY = "zoo_seen"
"""Where the session keeps when its last use was written, so that asking costs no query."""
SEEN_RESOLUTION_SECONDS = 60
AGENT_LENGTH = 200


class SessionUse:
    """Middleware: keeps the last use of sessions, to the minute."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        response = self._get_response(request)
        session = request.session
        if session.accessed and session.session_key and SESSION_KEY in session:
            now = int(time.time())
            if now - session.get(SEEN_KEY, 0) >= SEEN_RESOLUTION_SECONDS:
                session[SEEN_KEY] = now
                WebSession.objects.filter(session_key=session.session_key).update(last_used_at=timezone.now())
        return response


@receiver(user_logged_in)
def note_sign_in(request: HttpRequest, user: User, **_: Any) -> None:
    """Put a session beside the others of its user, and into the audit log."""
    session = request.session
    if session.session_key is None:
        session.create()
    session[SEEN_KEY] = int(time.time())
    address = address_of(request)
    with transaction.atomic():
        row, _made = WebSession.objects.update_or_create(
            session_key=session.session_key,
            defaults={
                "user": user,
                "address": address,
                "agent": request.META.get("HTTP_USER_AGENT", "").replace("\0", "")[:AGENT_LENGTH],
            },
        )
        actor = Principal(name=user.username, user_id=user.pk, address=address)
        record_event(actor=actor, action="session.opened", subject=row)


@receiver(user_logged_out)
def note_sign_out(request: HttpRequest, user: User | None, **_: Any) -> None:
    """Take the session from the list."""
    row = WebSession.objects.select_related("user").filter(session_key=request.session.session_key).first()
    if row is not None and user is not None:
        actor = Principal(name=user.username, user_id=user.pk, address=address_of(request))
        with transaction.atomic():
            record_event(actor=actor, action="session.closed", subject=row)
            row.delete()


def live_sessions() -> QuerySet[WebSession]:
    """The sessions that have not ended."""
    alive = Session.objects.filter(session_key=OuterRef("session_key"), expire_date__gt=timezone.now())
    return WebSession.objects.select_related("user").filter(Exists(alive))


def session_for(*, principal: Principal, session_id: UUID) -> WebSession:
    """One of the caller's sessions (superusers: anybody's); raises :class:`NotFound` otherwise."""
    rows = live_sessions().filter(pk=session_id)
    if not administers_server(principal):
        rows = rows.filter(user_id=principal.user_id) if principal.user_id else rows.none()
    found = rows.first()
    if found is None:
        raise NotFound(f"You have no session {session_id}.", hint="See GET /api/v1/sessions.")
    return found


def end_session(*, principal: Principal, session: WebSession) -> None:
    """Sign the browser out at once.  The caller has checked that it is the principal's own, or is a superuser."""
    with transaction.atomic():
        Session.objects.filter(session_key=session.session_key).delete()
        details = {"username": session.user.username}
        record_event(actor=principal, action="session.ended", subject=session, details=details)
        session.delete()


def forget_ended_sessions() -> int:
    """Delete the sessions whose time is over, and their rows here; answers how many rows."""
    Session.objects.filter(expire_date__lte=timezone.now()).delete()
    ended = WebSession.objects.exclude(Exists(Session.objects.filter(session_key=OuterRef("session_key"))))
    return ended.delete()[0]
