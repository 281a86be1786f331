"""Guessing passwords and tokens: counted for all processes, refused without a look, told, audited, and forgotten."""

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth import hashers
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from rest_framework.test import APIClient

from tests.zoo_server.factories import client_for, make_token, make_user
from zoo_server.accounts import throttling
from zoo_server.accounts.models import FailureCount, User
from zoo_server.audit.models import AuditEvent

PASSWORD = "correct horse battery"
LOGIN = "/api/v1/login"
WHOAMI = "/api/v1/whoami"
PAIR, ALL_NAMES = throttling.NAME_AND_ADDRESS.failures, throttling.ADDRESS.failures


@pytest.fixture
def ada(db: None) -> User:
    return make_user("ada", password=PASSWORD, is_superuser=True)


def log_in(username: str = "ada", password: str = "wrong", address: str = "192.0.2.1") -> Any:
    body = {"username": username, "password": password}
    return APIClient(REMOTE_ADDR=address).post(LOGIN, body, format="json")


def sign_in(page: str, password: str = "wrong", address: str = "192.0.2.1") -> Any:
    return Client(REMOTE_ADDR=address).post(page, {"username": "ada", "password": password})


def pass_time(span: timedelta) -> None:
    for row in FailureCount.objects.all():
        row.since -= span
        row.save()


def test_a_name_is_blocked_after_some_wrong_passwords_also_for_the_right_one(ada: User) -> None:
    codes = [log_in().status_code for _ in range(PAIR + 1)]
    assert codes == [403] * PAIR + [429]
    answer = log_in(password=PASSWORD)
    assert (answer.status_code, answer.json()["code"]) == (429, "throttled")
    assert "Too many wrong passwords." in answer.json()["detail"]
    assert 0 < int(answer.headers["Retry-After"]) <= 15 * 60
    assert log_in(password=PASSWORD, address="192.0.2.2").status_code == 201
    pass_time(throttling.NAME_AND_ADDRESS.window)
    assert log_in(password=PASSWORD).status_code == 201


@pytest.mark.parametrize("page", ["/sign-in", "/admin/login/"])
def test_the_pages_count_too_and_say_how_long_to_wait(ada: User, page: str) -> None:
    assert [sign_in(page).status_code for _ in range(PAIR)] == [200] * PAIR
    answer = sign_in(page, PASSWORD)
    assert (answer.status_code, answer.headers["Retry-After"].isdigit()) == (429, True)
    assert "Try again in 15 minutes" in answer.content.decode()
    assert log_in(password=PASSWORD).status_code == 429, "one count for pages and the API"


@pytest.mark.parametrize("page", ["/sign-in", "/admin/login/", LOGIN])
def test_a_right_password_begins_anew(ada: User, page: str) -> None:
    for _ in range(PAIR - 1):
        log_in()
    if page == LOGIN:
        assert log_in(password=PASSWORD).status_code == 201
    else:
        assert sign_in(page, PASSWORD).status_code == 302
    assert [log_in().status_code for _ in range(PAIR)] == [403] * PAIR


def test_trying_one_password_for_many_names_is_blocked_by_address(ada: User) -> None:
    codes = [log_in(f"user-{number}").status_code for number in range(ALL_NAMES + 1)]
    assert codes == [403] * ALL_NAMES + [429]
    assert log_in(password=PASSWORD).status_code == 429
    assert log_in(password=PASSWORD, address="198.51.100.7").status_code == 201


def test_many_addresses_are_blocked_by_name(ada: User) -> None:
    addresses = [f"198.51.100.{number}" for number in range(throttling.NAME.failures)]
    assert {log_in(address=address).status_code for address in addresses} == {403}
    assert log_in(password=PASSWORD, address="203.0.113.9").status_code == 429


def test_the_addresses_of_one_ipv6_network_are_one(ada: User) -> None:
    for number in range(PAIR):
        log_in(address=f"2001:db8:0:1::{number}")
    assert log_in(address="2001:db8:0:1:ffff::1").status_code == 429
    assert log_in(address="2001:db8:0:2::1").status_code == 403


def test_behind_a_proxy_the_caller_counts_and_what_callers_write_does_not(ada: User, settings: Any) -> None:
    settings.ZOO_PROXIES = ["10.0.0.0/8"]

    def through_proxy(said: str) -> int:
        client = APIClient(REMOTE_ADDR="10.0.0.1", HTTP_X_FORWARDED_FOR=said)
        return client.post(LOGIN, {"username": "ada", "password": "wrong"}, format="json").status_code

    for number in range(PAIR):
        assert through_proxy(f"203.0.113.{number}, 192.0.2.1, 10.0.0.2") == 403
    assert through_proxy("192.0.2.1") == 429
    assert through_proxy("192.0.2.2") == 403
    assert log_in(address="192.0.2.1").status_code == 429
    assert through_proxy("not an address") == 403


def test_further_wrong_passwords_cost_a_query_each_and_fill_nothing(ada: User, monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(PAIR):
        log_in()
    events = AuditEvent.objects.count()
    monkeypatch.setattr(hashers, "check_password", None)  # nobody looks at the password any more
    with CaptureQueriesContext(connection) as queries:
        assert {log_in().status_code for _ in range(300)} == {429}
    assert len(queries) == 300
    assert (AuditEvent.objects.count(), FailureCount.objects.count()) == (events, 3)


def test_failures_and_the_block_are_audited_without_what_was_typed(ada: User) -> None:
    for _ in range(PAIR):
        log_in()
    for _ in range(PAIR):
        log_in("my password as name")
    failed = AuditEvent.objects.filter(action="sign-in.failed")
    assert [(event.object_name, event.address) for event in failed] == [("ada", "192.0.2.1")] * PAIR
    blocked = AuditEvent.objects.filter(action="sign-in.blocked").order_by("id")
    assert [event.object_type for event in blocked] == ["user", "failurecount"]
    assert blocked[0].details["failures"] == PAIR
    assert "my password" not in str([vars(event) for event in AuditEvent.objects.all()])
    assert "my password" not in str([row.pk for row in FailureCount.objects.all()])


def test_guessing_tokens_is_refused_and_audited_once_and_good_tokens_go_on(ada: User) -> None:
    guesser = APIClient(HTTP_AUTHORIZATION="Bearer zoo_" + "A" * 43)
    limit = throttling.TOKENS.failures
    codes = [guesser.get(WHOAMI).status_code for _ in range(limit + 3)]
    assert codes == [401] * limit + [429] * 3
    answer = guesser.get(WHOAMI)
    assert 0 < int(answer.headers["Retry-After"]) <= 5 * 60
    assert AuditEvent.objects.filter(action="token.guessed").count() == 1
    assert client_for(ada).get(WHOAMI).status_code == 200


def test_a_token_as_the_password_of_a_form_is_counted_like_one(ada: User) -> None:
    for _ in range(PAIR):
        sign_in("/admin/login/", "zoo_" + "A" * 43)
    assert sign_in("/admin/login/", make_token(ada)[1]).status_code == 429


def test_old_counts_are_forgotten(ada: User) -> None:
    log_in()
    assert throttling.forget_old_counts() == 0
    FailureCount.objects.update(since=timezone.now() - throttling.LONGEST - timedelta(seconds=1))
    assert throttling.forget_old_counts() == 3
