"""The base of request serializers: a key that is not declared is an error that names it and the nearest known one."""

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any

from rest_framework import serializers

from zoo_server.rest.pagination import DEFAULT_LIMIT, MAX_LIMIT


class StrictSerializer(serializers.Serializer[Any]):
    """Refuses unknown keys, so that a misspelt key is never silently ignored."""

    def to_internal_value(self, data: Any) -> Any:
        if isinstance(data, Mapping):
            known = [name for name, field in self.fields.items() if not field.read_only]
            unknown = {str(key): [unknown_key_message(str(key), known)] for key in data if key not in known}
            if unknown:
                raise serializers.ValidationError(unknown)
        return super().to_internal_value(data)


class PageQuery(StrictSerializer):
    """The query string of a list route; subclasses add filters."""

    limit = serializers.IntegerField(
        min_value=1, max_value=MAX_LIMIT, default=DEFAULT_LIMIT, help_text="Rows of a page."
    )
    cursor = serializers.CharField(default=None, allow_null=True, help_text="The `next` of the former page.")


def validated(serializer: type[StrictSerializer], data: Any) -> dict[str, Any]:
    """The checked values of a body or query string; raises DRF's ValidationError, which becomes a 422 problem."""
    checked = serializer(data=data)
    checked.is_valid(raise_exception=True)
    values: dict[str, Any] = checked.validated_data
    return values


def unknown_key_message(key: str, known: list[str]) -> str:
    """Says that ``key`` does not exist, and which one was probably meant."""
    near = get_close_matches(key, known, n=1, cutoff=0.5)
    hint = f"Did you mean {near[0]!r}?" if near else f"Known: {', '.join(sorted(known)) or 'none'}."
    return f"Unknown key {key[:80]!r}. {hint}"
