"""Keyset pages join seamlessly, in every order, also while rows are added."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.zoo_server.factories import make_team
from zoo_sdk.errors import InvalidInput
from zoo_server.accounts.models import Team
from zoo_server.rest.pagination import Order, keyset_page, parse_limit

pytestmark = pytest.mark.django_db
ORDERS = {
    "by name": [Order("name")],
    "newest first": [Order("created_at", descending=True), Order("id", descending=True)],
    "by a column with equal values": [Order("title"), Order("id")],
}


def walk(order: list[Order], limit: int) -> list[Team]:
    rows: list[Team] = []
    cursor: str | None = None
    while True:
        page = keyset_page(Team.objects.all(), order, cursor=cursor, limit=limit)
        rows += page.rows
        cursor = page.next_cursor
        if cursor is None:
            return rows


@pytest.mark.parametrize("name", ORDERS)
@pytest.mark.parametrize("limit", [1, 2, 7, 50])
def test_pages_join_seamlessly(name: str, limit: int):
    for number in range(7):
        make_team(title="odd" if number % 2 else "even")
    whole = [row.pk for row in walk(ORDERS[name], 200)]
    assert len(set(whole)) == 7
    assert [row.pk for row in walk(ORDERS[name], limit)] == whole


def test_a_row_added_meanwhile_shifts_nothing():
    for name in ("b", "d", "f", "h"):
        make_team(name)
    first = keyset_page(Team.objects.all(), [Order("name")], cursor=None, limit=2)
    make_team("a")
    second = keyset_page(Team.objects.all(), [Order("name")], cursor=first.next_cursor, limit=2)
    assert [row.name for row in [*first.rows, *second.rows]] == ["b", "d", "f", "h"]


@pytest.mark.parametrize("text", ["0", "201", "-1", "x", "", "1e2", "²"])
def test_a_limit_out_of_bounds_is_refused(text: str):
    with pytest.raises(InvalidInput, match="1 to 200"):
        parse_limit(text)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.text(max_size=40))
def test_no_cursor_breaks_the_page(db, text: str):
    try:
        keyset_page(Team.objects.all(), [Order("name")], cursor=text, limit=2)
    except InvalidInput as error:
        assert error.facts == {"field": "cursor"}  # noqa: PT017  either outcome is fine


@pytest.mark.parametrize("cursor", ["WzFd", "W251bGxd", "WyJ4Il0", "W10", "e30", "WyIyMDI2Il0", "WyJcdTAwMDAiXQ"])
@pytest.mark.parametrize("order", [[Order("name")], [Order("created_at")], [Order("id")]])
def test_a_forged_cursor_is_a_page_or_an_error_of_the_caller(cursor: str, order: list[Order]):
    try:
        keyset_page(Team.objects.all(), order, cursor=cursor, limit=2)
    except InvalidInput as error:
        assert error.facts == {"field": "cursor"}  # noqa: PT017  either outcome is fine
