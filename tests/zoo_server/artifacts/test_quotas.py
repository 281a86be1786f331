"""Quotas of teams: counted by triggers, reserved by uploads, never exceeded together."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from hashlib import sha256
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.utils import timezone
from rest_framework.test import APIClient

from tests.zoo_server.catalog.conftest import hold, make_blob, make_draft, make_repository, make_sealed
from tests.zoo_server.factories import make_team
from zoo_server.accounts.models import Team, User
from zoo_server.artifacts import services as uploads
from zoo_server.artifacts.collection import collect_garbage
from zoo_server.artifacts.models import Blob, Holding, TeamStorage, Upload
from zoo_server.artifacts.quotas import QuotaExceeded, set_quota, use_of
from zoo_server.audit.models import AuditEvent
from zoo_server.catalog import services
from zoo_server.rest.principals import SYSTEM, Principal

ROUTE = "/api/v1/teams/vision"


@pytest.fixture(autouse=True)
def store(settings: Any, tmp_path: Path) -> Path:
    settings.ZOO_STORE_DIR = tmp_path / "store"
    return tmp_path / "store"


def physical(team: Team) -> tuple[int, int]:
    use = use_of(team)["physical"]
    return use.used, use.reserved


def bring(api: APIClient, content: bytes) -> str:
    """Upload the content; answers the session's id."""
    opened = api.post("/api/v1/uploads", {"team": "vision", "size": len(content)}, format="json").json()
    address = f"/api/v1/uploads/{opened['id']}"
    sent = api.patch(address, content, content_type="application/offset+octet-stream", headers={"Upload-Offset": "0"})
    assert sent.status_code == 204
    digest = f"sha256:{sha256(content).hexdigest()}"
    assert api.post(f"{address}/complete", {"sha256": digest}, format="json").status_code == 200
    return str(opened["id"])


def test_an_upload_reserves_and_then_holds(api: APIClient, team: Team) -> None:
    opened = api.post("/api/v1/uploads", {"team": "vision", "size": 70}, format="json").json()
    assert physical(team) == (0, 70)
    bring(api, b"x" * 30)
    assert physical(team) == (30, 70)
    bring(api, b"x" * 30)
    assert physical(team) == (30, 70)
    assert api.delete(f"/api/v1/uploads/{opened['id']}").status_code == 204
    assert physical(team) == (30, 0)


def test_an_upload_that_nobody_continued_gives_its_room_back(principal: Principal, team: Team) -> None:
    uploads.open_upload(principal=principal, team=team, size=50)
    uploads.expire_uploads(now=timezone.now() + timedelta(days=8))
    assert physical(team) == (0, 0)


def test_what_is_collected_counts_no_more_and_other_teams_are_not_touched(api: APIClient, team: Team) -> None:
    other = make_team("other")
    hold(other, make_blob(b"y" * 5))
    bring(api, b"x" * 30)
    Upload.objects.update(expires_at=timezone.now() - timedelta(days=1))
    Blob.objects.filter(size=30).update(touched_at=timezone.now() - timedelta(days=2))
    collect_garbage(principal=SYSTEM)
    assert (physical(team), physical(other)) == ((0, 0), (5, 0))


def test_beyond_the_quota_the_answer_says_how_much_is_used_and_what_to_do(
    api: APIClient, principal: Principal, team: Team
) -> None:
    set_quota(principal=SYSTEM, team=team, physical=100, logical=None)
    bring(api, b"x" * 30)
    uploads.open_upload(principal=principal, team=team, size=50)
    refused = api.post("/api/v1/uploads", {"team": "vision", "size": 21}, format="json")
    assert (refused.status_code, refused.json()["code"]) == (413, "quota-exceeded")
    facts = {"measure": "physical", "used": 30, "reserved": 50, "quota": 100, "size": 21}
    assert refused.json()["facts"] == facts
    assert "`zoo team usage vision`" in refused.json()["hint"]
    assert physical(team) == (30, 50)
    assert api.post("/api/v1/uploads", {"team": "vision", "size": 20}, format="json").status_code == 201


def test_bytes_that_the_team_has_already_need_no_room(api: APIClient, team: Team) -> None:
    blob = hold(team, make_blob(b"z" * 40))
    set_quota(principal=SYSTEM, team=team, physical=40, logical=None)
    wanted = {"team": "vision", "size": 40, "sha256": blob.sha256}
    assert api.post("/api/v1/uploads", wanted, format="json").status_code == 200


@pytest.mark.django_db(transaction=True)
def test_uploads_at_the_same_time_never_exceed_the_quota_together(principal: Principal, team: Team) -> None:
    set_quota(principal=SYSTEM, team=team, physical=100, logical=100)
    workers = 8
    start = Barrier(workers)

    def many(_: int) -> int:
        start.wait()
        accepted = 0
        try:
            for _ in range(5):
                try:
                    uploads.open_upload(principal=principal, team=team, size=9)
                except QuotaExceeded:
                    continue
                accepted += 1
        finally:
            connection.close()
        return accepted

    with ThreadPoolExecutor(workers) as pool:
        accepted = sum(pool.map(many, range(workers)))
    assert accepted == 11
    assert physical(team) == (0, 99)


def test_versions_count_logically_whatever_they_share(api: APIClient, team: Team) -> None:
    blob = hold(team, make_blob(b"w" * 60))
    model = make_repository(team, "resnet50")
    set_quota(principal=SYSTEM, team=team, physical=None, logical=150)
    for _ in range(2):
        version = services.create_version(principal=SYSTEM, repository=model)
        services.add_file(principal=SYSTEM, version=version, path="w", blob=blob)
        services.seal_version(principal=SYSTEM, version=version)
    use = use_of(team)
    assert (use["physical"].used, use["logical"].used) == (60, 120)
    draft = services.create_version(principal=SYSTEM, repository=model)
    services.add_file(principal=SYSTEM, version=draft, path="w", blob=blob)
    refused = api.post("/api/v1/models/vision/resnet50/versions/3/seal", {}, format="json")
    assert (refused.status_code, refused.json()["facts"]["measure"]) == (413, "logical")
    assert api.post("/api/v1/uploads", {"team": "vision", "size": 31}, format="json").status_code == 413
    services.discard_version(principal=SYSTEM, version=version)
    assert use_of(team)["logical"].used == 120
    services.bury_due(now=timezone.now() + timedelta(days=31))
    assert use_of(team)["logical"].used == 60
    services.seal_version(principal=SYSTEM, version=draft)


def test_a_team_pays_no_longer_for_bytes_that_only_others_use(team: Team) -> None:
    other = make_team("other")
    shared, own = make_blob(b"s" * 10), make_blob(b"o" * 7)
    for blob in (shared, own):
        hold(team, blob)
    hold(other, shared)
    theirs = make_draft(make_repository(other, "theirs"))
    services.add_file(principal=SYSTEM, version=theirs, path="s", blob=shared)
    ours = make_draft(make_repository(team, "ours"))
    services.add_file(principal=SYSTEM, version=ours, path="o", blob=own)
    assert services.release_holdings() == 0
    assert services.release_holdings(now=timezone.now() + timedelta(days=2)) == 1
    assert set(Holding.objects.values_list("team__name", "blob")) == {("other", shared.pk), ("vision", own.pk)}
    assert (physical(team), physical(other)) == ((7, 0), (10, 0))


def test_usage_is_told_to_members_and_quotas_are_set_by_superusers(
    api: APIClient, superuser_api: APIClient, stranger_api: APIClient, team: Team
) -> None:
    version = make_sealed(make_repository(team, "resnet50"))
    told = api.get(f"{ROUTE}/usage").json()
    assert told["logical"] == {"used": version.size, "reserved": 0, "quota": None}
    row = {"name": "resnet50", "kind": "model", "versions": 1, "size": version.size, "restorable": 0}
    assert told["largest"] == [row]
    quota = {"physical": 10**9, "logical": None}
    assert stranger_api.get(f"{ROUTE}/usage").status_code == 404
    assert api.put(f"{ROUTE}/quota", quota, format="json").status_code == 403
    assert superuser_api.put(f"{ROUTE}/quota", quota, format="json").json()["physical"]["quota"] == 10**9
    assert AuditEvent.objects.get(action="quota.set").details == {"physical_quota": 10**9, "logical_quota": None}
    assert superuser_api.put(f"{ROUTE}/quota", {"physical": 1}, format="json").status_code == 422


def test_the_admin_page_shows_use_and_takes_quotas(superuser: User, team: Team) -> None:
    hold(team, make_blob(b"a" * 2048))
    pages = Client()
    pages.force_login(superuser, backend="django.contrib.auth.backends.ModelBackend")
    listing = pages.get("/admin/artifacts/teamstorage/").content.decode()
    assert "2.0\xa0KB" in listing
    assert "no limit" in listing
    page = f"/admin/artifacts/teamstorage/{team.pk}/change/"
    assert pages.post(page, {"physical_quota": "4096", "logical_quota": ""}).status_code == 302
    row = TeamStorage.objects.get(team=team)
    assert (row.held, row.physical_quota, row.logical_quota) == (2048, 4096, None)
    assert AuditEvent.objects.get(action="quota.set").actor == "root"


def test_a_team_goes_with_its_counts(db: None) -> None:
    team = make_team("leaving")
    hold(team, make_blob(b"l" * 3))
    team.delete()
    assert not TeamStorage.objects.filter(held=3).exists()
