"""The one clock that leases are compared with: the database's, so that web servers with a wrong clock do no harm."""

from datetime import datetime, timedelta

from django.db import connection
from django.db.models.expressions import CombinedExpression
from django.db.models.functions import Now


def in_seconds(seconds: float) -> CombinedExpression:
    """An SQL expression: the database's time plus ``seconds`` (which may be negative)."""
    moment: CombinedExpression = Now() + timedelta(seconds=seconds)
    return moment


def database_now() -> datetime:
    """The database's time as a value."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT statement_timestamp()")
        now: datetime = cursor.fetchone()[0]
    return now
