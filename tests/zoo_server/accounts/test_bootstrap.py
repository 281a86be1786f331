"""The first start makes the accounts once, and prints their tokens once."""

import json
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.core.management import call_command
from django.db import connection
from rest_framework.test import APIClient

from zoo_server.accounts.bootstrapping import bootstrap
from zoo_server.accounts.models import Team, Token, User
from zoo_server.audit.selectors import verify_chain

pytestmark = pytest.mark.django_db(transaction=True)


def run(capsys, *options: str) -> dict:
    call_command("bootstrap", "--json", *options)
    return json.loads(capsys.readouterr().out)


def whoami(secret: str) -> dict:
    return APIClient().get("/api/v1/whoami", headers={"Authorization": f"Bearer {secret}"}).json()


def test_the_first_start_makes_administrator_team_and_worker(capsys):
    made = run(capsys)
    assert (made["created"], made["admin_user"], made["team"]) == (True, "admin", "zoo")
    admin = whoami(made["admin_token"])
    assert (admin["is_superuser"], admin["teams"]) == (True, [{"name": "zoo", "role": "admin"}])
    assert set(admin["scopes"]) == {"read", "add", "write", "submit", "curate", "audit", "admin"}
    assert whoami(made["worker_token"])["scopes"] == ["worker"]
    assert not User.objects.get(username="admin").has_usable_password()
    assert verify_chain().ok


def test_later_starts_change_nothing_and_tell_no_token(capsys):
    run(capsys)
    again = run(capsys)
    assert (again["created"], again["admin_token"], again["worker_token"]) == (False, None, None)
    assert (User.objects.count(), Team.objects.count(), Token.objects.count()) == (2, 1, 2)


@pytest.mark.parametrize("kind", ["admin", "worker"])
def test_a_fresh_token_comes_on_request(capsys, kind):
    first = run(capsys)
    again = run(capsys, f"--new-{kind}-token")
    assert whoami(again[f"{kind}_token"])["username"] == kind
    assert again[f"{kind}_token"] != first[f"{kind}_token"]
    assert again["worker_token" if kind == "admin" else "admin_token"] is None


def test_two_starts_at_once_make_one_set_of_accounts():
    def start(_: int) -> bool:
        try:
            return bootstrap().created
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as pool:
        assert sorted(pool.map(start, range(4))) == [False, False, False, True]
    assert Token.objects.count() == 2


def test_people_get_plain_words(capsys):
    call_command("bootstrap")
    assert "admin token (shown once): zoo_" in capsys.readouterr().out
    call_command("bootstrap")
    assert capsys.readouterr().out == "The accounts were there already.\n"
