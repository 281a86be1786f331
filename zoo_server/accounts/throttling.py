"""Wrong passwords and tokens are counted, so that guessing is slow: in PostgreSQL, for all processes together.

A count begins with a failure and ends when its time is over; at its limit everything that it is about is refused until
then, before any password is looked at.  Refused attempts are not counted and cost one query, so whoever goes on blocks
nobody for longer, and fills neither the table nor the audit log.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from ipaddress import IPv6Address, ip_address, ip_network

from django.db import connection, transaction
from django.utils import timezone

from zoo_server.accounts.models import FailureCount, User
from zoo_server.audit.services import record_event
from zoo_server.rest.principals import anonymous
from zoo_server.rest.problems import TooManyAttempts


@dataclass(frozen=True)
class Limit:
    """At most ``failures`` in ``window``; ``about`` says of what."""

    about: str
    failures: int
    window: timedelta


NAME_AND_ADDRESS = Limit("passwords of a name from an address", 5, timedelta(minutes=15))
NAME = Limit("passwords of a name", 100, timedelta(hours=1))
ADDRESS = Limit("passwords from an address", 50, timedelta(minutes=15))
TOKENS = Limit("tokens from an address", 100, timedelta(minutes=5))
LONGEST = max(limit.window for limit in (NAME_AND_ADDRESS, NAME, ADDRESS, TOKENS))
IPV6_CUSTOMER_BITS = 64
"""Whoever has one IPv6 address has as many, up to these bits."""

_COUNT = """
    INSERT INTO accounts_failurecount AS old (key, failures, since) VALUES (%(key)s, 1, %(now)s)
    ON CONFLICT (key) DO UPDATE SET
        failures = CASE WHEN old.since <= %(start)s THEN 1 ELSE old.failures + 1 END,
        since = CASE WHEN old.since <= %(start)s THEN %(now)s ELSE old.since END
    RETURNING failures
"""


def refuse_guesses(*, username: str, address: str | None) -> None:
    """Raise :class:`TooManyAttempts` if there were too many wrong passwords for this name or from this address."""
    _refuse(_password_counts(username, address), "Too many wrong passwords.")


def note_wrong_password(*, username: str, address: str | None) -> None:
    """Count a wrong password, or one of a name that nobody has; the audit log hears of names that there are."""
    user = User.objects.filter(username=username).first()
    actor = anonymous(address)
    with transaction.atomic():
        reached = [limit for limit, key in _password_counts(username, address) if _count(limit, key) == limit.failures]
        if user is not None:
            record_event(actor=actor, action="sign-in.failed", subject=user)
        for limit in reached:
            row = FailureCount.objects.get(pk=dict(_password_counts(username, address))[limit])
            record_event(actor=actor, action="sign-in.blocked", subject=user or row, details=_told(limit))


def forget_wrong_passwords(*, username: str, address: str | None) -> None:
    """Begin anew after a right password, but only for this name from this address."""
    FailureCount.objects.filter(pk=_key(NAME_AND_ADDRESS, username, _place(address))).delete()


def refuse_wrong_token(*, address: str | None) -> None:
    """Count an unknown token; raises :class:`TooManyAttempts` after too many from this address.

    A good token is never refused: it has 256 random bits, so what is held back is the noise of guessing.
    """
    key = _key(TOKENS, _place(address))
    _refuse([(TOKENS, key)], "Too many unknown, expired or revoked tokens.")
    with transaction.atomic():
        if _count(TOKENS, key) == TOKENS.failures:
            row = FailureCount.objects.get(pk=key)
            record_event(actor=anonymous(address), action="token.guessed", subject=row, details=_told(TOKENS))


def forget_old_counts() -> int:
    """Delete the counts whose time is over; answers how many."""
    return FailureCount.objects.filter(since__lt=timezone.now() - LONGEST).delete()[0]


def _password_counts(username: str, address: str | None) -> Sequence[tuple[Limit, str]]:
    place = _place(address)
    return (
        (NAME_AND_ADDRESS, _key(NAME_AND_ADDRESS, username, place)),
        (NAME, _key(NAME, username)),
        (ADDRESS, _key(ADDRESS, place)),
    )


def _refuse(counts: Iterable[tuple[Limit, str]], why: str) -> None:
    limits = {key: limit for limit, key in counts}
    now = timezone.now()
    ends = [
        row.since + limits[row.pk].window
        for row in FailureCount.objects.filter(pk__in=limits)
        if row.failures >= limits[row.pk].failures
    ]
    end: datetime = max(ends, default=now)
    if end > now:
        raise TooManyAttempts((end - now).total_seconds(), why)


def _count(limit: Limit, key: str) -> int:
    """One failure more; answers how many there are in the window."""
    now = timezone.now()
    with connection.cursor() as cursor:
        cursor.execute(_COUNT, {"key": key, "now": now, "start": now - limit.window})
        failures: int = cursor.fetchone()[0]
    return failures


def _key(limit: Limit, *values: str) -> str:
    """Names that people type are kept as a digest: some type their password there."""
    digest = sha256("\0".join((limit.about, *values)).encode(errors="surrogatepass")).hexdigest()
    return f"{limit.about}: {digest[:20]}"


def _place(address: str | None) -> str:
    if address is None:
        return "unknown"
    found = ip_address(address)
    if isinstance(found, IPv6Address):
        return str(ip_network((found, IPV6_CUSTOMER_BITS), strict=False))
    return str(found)


def _told(limit: Limit) -> dict[str, str | int]:
    return {"about": limit.about, "failures": limit.failures, "seconds": int(limit.window.total_seconds())}
