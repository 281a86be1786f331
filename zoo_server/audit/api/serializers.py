"""What the audit routes take and answer."""

from dataclasses import asdict
from typing import Any

from rest_framework import serializers

from zoo_server.audit.models import AuditEvent
from zoo_server.audit.selectors import EventFilter, Verification
from zoo_server.rest.serializers import PageQuery, StrictSerializer


class EventQuery(PageQuery):
    """Filters of ``GET audit/events``."""

    EXACT = ("actor", "action", "object_type", "object_id", "object_name", "team")

    actor = serializers.CharField(required=False, help_text="User name of who did it.")
    action = serializers.CharField(required=False, help_text="For example `version.sealed`, or `version.*`.")
    object_type = serializers.CharField(required=False)
    object_id = serializers.CharField(required=False)
    object_name = serializers.CharField(required=False)
    team = serializers.CharField(required=False)
    since = serializers.DateTimeField(required=False, help_text="Events at this time or later.")
    until = serializers.DateTimeField(required=False, help_text="Events before this time.")


def event_filter(query: dict[str, Any], teams: list[str] | None) -> EventFilter:
    """The selector's filter from a checked query string."""
    exact = {name: query[name] for name in EventQuery.EXACT if name in query}
    prefix = ""
    if exact.get("action", "").endswith("*"):
        prefix = exact.pop("action").removesuffix("*")
    return EventFilter(
        teams=teams, exact=exact, action_prefix=prefix, since=query.get("since"), until=query.get("until")
    )


class VerificationQuery(StrictSerializer):
    """What the chain is compared with besides itself."""

    checkpoint = serializers.ListField(
        child=serializers.RegexField(r"^[1-9][0-9]{0,17}:sha256:[0-9a-f]{64}\Z"),
        required=False,
        max_length=20,
        help_text="`SEQUENCE:HASH` of a link that was noted elsewhere; may be repeated.",
    )


def noted_links(query: dict[str, Any]) -> dict[int, str]:
    """The selector's checkpoints from a checked query string."""
    pairs = (text.split(":", 1) for text in query.get("checkpoint", ()))
    return {int(sequence): found for sequence, found in pairs}


class AuditEventSerializer(serializers.ModelSerializer[AuditEvent]):
    """One event with its place in the chain."""

    sequence = serializers.IntegerField(source="link.sequence", read_only=True)
    hash = serializers.CharField(source="link.hash", read_only=True)

    class Meta:
        model = AuditEvent
        fields = (
            "id",
            "sequence",
            "time",
            "actor",
            "actor_id",
            "token_id",
            "address",
            "action",
            "team",
            "object_type",
            "object_id",
            "object_name",
            "details",
            "digest",
            "hash",
        )
        read_only_fields = fields


class BrokenRowSerializer(serializers.Serializer[Any]):
    """The first row that is not as it was written."""

    sequence = serializers.IntegerField(allow_null=True)
    event = serializers.UUIDField(allow_null=True)
    reason = serializers.CharField()


class ChainHeadSerializer(serializers.Serializer[Any]):
    """The newest link; note it elsewhere to notice a log that was cut off."""

    sequence = serializers.IntegerField()
    hash = serializers.CharField()


class VerificationSerializer(serializers.Serializer[Any]):
    """The outcome of a check of the whole chain."""

    ok = serializers.BooleanField()
    events = serializers.IntegerField()
    checked = serializers.IntegerField()
    first_broken = BrokenRowSerializer(allow_null=True)
    head = ChainHeadSerializer()


def verification_answer(found: Verification) -> dict[str, Any]:
    """The body of ``GET audit/verification``."""
    return {
        "ok": found.ok,
        "events": found.events,
        "checked": found.checked,
        "first_broken": asdict(found.first_broken) if found.first_broken else None,
        "head": {"sequence": found.head_sequence, "hash": found.head_hash},
    }
