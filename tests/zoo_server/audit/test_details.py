"""Details survive PostgreSQL's jsonb byte for byte in canonical form, whatever JSON they hold."""

from typing import Any
from uuid import uuid4

import pytest
from django.db import transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.zoo_server.factories import make_team
from zoo_sdk.errors import InvalidInput
from zoo_sdk.vocabulary import Scope
from zoo_server.audit.models import AuditEvent
from zoo_server.audit.services import canonical_details, event_digest, record_event
from zoo_server.rest.principals import Principal

TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=20)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=12,
)


def digest_in_the_database(details: dict[str, Any], address: str | None = None) -> tuple[str, str]:
    """The digest when written, and the one recomputed from what PostgreSQL gives back."""
    with transaction.atomic():
        actor = Principal(name="curie", user_id=uuid4(), address=address)
        written = record_event(actor=actor, action="team.tested", subject=make_team(), details=details)
    return written.digest, event_digest(AuditEvent.objects.get(id=written.id))


@pytest.mark.django_db
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.dictionaries(TEXT, JSON, max_size=4))
def test_any_json_survives(db: None, details: dict[str, Any]):
    written, read = digest_in_the_database(details)
    assert written == read


@pytest.mark.django_db
@pytest.mark.parametrize(
    "value",
    [
        1.0,
        1,
        -0.0,
        1e16,
        1e22,
        1.5e300,
        5e-324,
        0.1,
        10**300,
        -(10**999),
        True,
        Scope.READ,
        (1, 2),
        "é\u2028\U0001f600",
    ],
    ids=repr,
)
def test_a_hard_value_survives(value: Any):
    written, read = digest_in_the_database({"value": value})
    assert written == read


@pytest.mark.django_db
@pytest.mark.parametrize(
    "address",
    ["127.0.0.1", "::1", "0:0:0:0:0:0:0:1", "::ffff:10.0.0.1", "::10.0.0.1", "fe80::1%eth0", "", None, "unix"],
)
def test_an_address_survives_in_any_spelling(address: str | None):
    written, read = digest_in_the_database({}, address)
    assert written == read


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (float("nan"), "nan"),
        (float("inf"), "inf"),
        ("a\0b", "NUL"),
        ("\ud800", "surrogate"),
        (b"bytes", "bytes"),
        ({1: 2}, "not text"),
        (10**1000, "1000 digits"),
        ("x" * 300_000, "262144"),
    ],
)
def test_what_json_cannot_hold_is_refused_by_name(value: Any, reason: str):
    with pytest.raises(InvalidInput, match=reason):
        canonical_details({"value": value})


def test_endless_nesting_is_refused():
    nested: list[Any] = []
    nested.append(nested)
    with pytest.raises(InvalidInput, match="deeper than"):
        canonical_details({"value": nested})
