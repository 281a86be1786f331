"""The admin pages of the catalogue: every table is shown, states change through the services."""

import pytest
from django.apps import apps
from django.contrib import admin
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from tests.zoo_server.factories import make_user
from zoo_sdk.artifacts import ArtifactDescription
from zoo_sdk.vocabulary import LineageRole, MetricSource
from zoo_server.accounts.models import Team, User
from zoo_server.audit.models import AuditEvent
from zoo_server.catalog import services
from zoo_server.catalog.models import Alias, Repository, Version
from zoo_server.rest.principals import SYSTEM

from .conftest import make_draft, make_repository

TABLES = sorted(model._meta.model_name for model in apps.get_app_config("catalog").get_models())


@pytest.fixture
def pages(superuser: User) -> Client:
    client = Client()
    client.force_login(superuser, backend="django.contrib.auth.backends.ModelBackend")
    return client


def make_rich(repository: Repository) -> Version:
    """A sealed version with a row in every table."""
    version = make_draft(repository)
    description = ArtifactDescription(format="safetensors", files=("model.safetensors",))
    services.add_artifact(principal=SYSTEM, version=version, description=description)
    services.add_parent(
        principal=SYSTEM, version=version, role=LineageRole.BASE, external_uri="https://example.org/base"
    )
    services.add_metric(principal=SYSTEM, version=version, name="top1", value=1, source=MetricSource.REPORTED)
    services.seal_version(principal=SYSTEM, version=version)
    services.set_alias(principal=SYSTEM, version=version, name="production")
    return version


def test_every_table_of_the_catalogue_is_registered() -> None:
    assert all(model in admin.site._registry for model in apps.get_app_config("catalog").get_models())


def test_every_list_costs_as_much_with_many_rows_as_with_few(pages: Client, team: Team) -> None:
    counts: list[dict[str, int]] = []
    for rows in (3, 9):
        for _ in range(rows):
            make_rich(make_repository(team))
        counts.append({})
        for table in TABLES:
            with CaptureQueriesContext(connection) as captured:
                assert pages.get(f"/admin/catalog/{table}/").status_code == 200
            counts[-1][table] = len(captured)
    assert counts[0] == counts[1]


def test_a_sealed_versions_page_shows_its_parts_and_offers_no_change(pages: Client, model: Repository) -> None:
    version = make_rich(model)
    page = pages.get(f"/admin/catalog/version/{version.pk}/change/")
    text = page.content.decode()
    assert page.status_code == 200
    assert "model.safetensors" in text
    assert "https://example.org/base" in text
    assert 'name="_save"' not in text
    assert pages.post(f"/admin/catalog/version/{version.pk}/change/", {"notes": "x"}).status_code == 403
    assert pages.post(f"/admin/catalog/version/{version.pk}/delete/", {"post": "yes"}).status_code == 403


def act(pages: Client, action: str, *rows: Version | Alias | Repository) -> str:
    """Run an action on rows of one table; answers the page that follows."""
    body = {"action": action, "_selected_action": [str(row.pk) for row in rows]}
    table = rows[0]._meta.model_name
    return pages.post(f"/admin/catalog/{table}/", body, follow=True).content.decode()


def test_states_change_through_actions_with_the_user_as_actor(pages: Client, draft: Version) -> None:
    for action, state in (
        ("seal", "candidate"),
        ("approve", "approved"),
        ("deprecate", "deprecated"),
        ("withdraw", "withdrawn"),
    ):
        assert f"Now {state}: {draft}." in act(pages, action, draft)
        assert Version.objects.get(pk=draft.pk).state == state
    event = AuditEvent.objects.get(action="version.withdrawn")
    assert event.actor == "root"


def test_a_refused_action_says_why_and_does_the_others(pages: Client, draft: Version, sealed: Version) -> None:
    text = act(pages, "approve", draft, sealed)
    assert "is draft" in text
    assert Version.objects.get(pk=sealed.pk).state == "approved"
    assert Version.objects.get(pk=draft.pk).state == "draft"


def test_an_alias_is_removed_through_its_action_and_its_history_stays(pages: Client, sealed: Version) -> None:
    alias = services.set_alias(principal=SYSTEM, version=sealed, name="production")
    act(pages, "remove", alias)
    assert not Alias.objects.exists()
    assert sealed.repository.alias_moves.count() == 2


def test_who_is_not_staff_sees_no_page(draft: Version) -> None:
    client = Client()
    client.force_login(make_user(), backend="django.contrib.auth.backends.ModelBackend")
    assert client.get("/admin/catalog/version/").status_code == 302


@pytest.mark.parametrize("visibility", ["private", "internal", "public"])
def test_visibility_is_changed_through_the_service(pages: Client, team: Team, visibility: str) -> None:
    repository = make_repository(team, visibility="public" if visibility == "private" else "private")
    body = {"action": f"make_{visibility}", "_selected_action": [str(repository.pk)]}
    assert pages.post("/admin/catalog/repository/", body).status_code == 302
    repository.refresh_from_db()
    assert repository.visibility == visibility
    event = AuditEvent.objects.get(action="repository.updated")
    assert (event.actor, event.details["visibility"]["after"]) == ("root", visibility)


def test_versions_and_models_are_deleted_restored_and_pinned_through_actions(
    pages: Client, model: Repository, sealed: Version
) -> None:
    assert f"Now pinned: {sealed}." in act(pages, "pin", sealed)
    assert "Unpin it first" in act(pages, "discard", sealed)
    assert f"Now not pinned: {sealed}." in act(pages, "unpin", sealed)
    assert f"Now deleted: {sealed}." in act(pages, "discard", sealed)
    assert str(sealed) in pages.get("/admin/catalog/version/?deleted=yes").content.decode()
    assert str(sealed) not in pages.get("/admin/catalog/version/?deleted=no").content.decode()
    assert f"Now restored: {sealed}." in act(pages, "restore", sealed)
    assert f"Now deleted: {model}." in act(pages, "discard", model)
    assert f"Now restored: {model}." in act(pages, "restore", model)
