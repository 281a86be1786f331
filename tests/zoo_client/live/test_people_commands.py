"""Service accounts and sessions by the command line, on a real registry."""

import httpx

from tests.zoo_client.conftest import Zoo
from tests.zoo_client.live.conftest import Registry


def test_a_service_account_gets_a_token_that_publishes_until_it_is_deleted(
    admin: Zoo, zoo: Zoo, registry: Registry
) -> None:
    team = registry.team
    assert admin("services", "create", team, "ci", "contributor", "--json").json["username"] == f"ci@{team}"
    assert "contributor" in admin("services", "list", team).out
    secret = admin("services", "token", team, "ci", "build", "--scope", "read", "--scope", "add").out.strip()
    environ = {"ZOO_URL": registry.url, "ZOO_TOKEN": secret}
    assert zoo("whoami", "--json", **environ).json["username"] == f"ci@{team}"
    assert zoo("models", "create", f"{team}/built", **environ).code == 0
    assert zoo("models", "edit", f"{team}/built", "--title", "x", **environ).code == 3
    tokens = admin("services", "tokens", team, "ci", "--json").json["results"]
    assert [(row["name"], row["scopes"]) for row in tokens] == [("build", ["add", "read"])]
    assert admin("services", "token", team, "ci", "x", "--scope", "reed").code == 2
    assert admin("services", "delete", team, "ci", "--json").json["deleted"] is True
    assert zoo("whoami", **environ).code == 3


def test_a_signed_in_browser_is_listed_and_signed_out(admin: Zoo, registry: Registry) -> None:
    with httpx.Client(base_url=registry.url, headers={"User-Agent": "Firefox"}) as browser:
        browser.get("/sign-in")
        form = {
            "username": "admin",
            "password": registry.admin_token,
            "csrfmiddlewaretoken": browser.cookies["csrftoken"],
        }
        assert browser.post("/sign-in", data=form, headers={"Referer": registry.url}).status_code == 302
        assert browser.get("/pipelines").status_code == 200
        (session,) = admin("sessions", "list", "--json").json["results"]
        assert (session["username"], session["agent"]) == ("admin", "Firefox")
        assert "Firefox" in admin("sessions").out
        assert admin("sessions", "revoke", session["id"], "--json").json["revoked"] is True
        assert browser.get("/pipelines").status_code == 302
