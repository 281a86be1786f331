"""Deleting, restoring and pinning versions and models; tombstones that keep the lineage whole."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.db import IntegrityError, connection, transaction
from django.utils import timezone
from rest_framework.test import APIClient

from tests.zoo_server.factories import client_for, make_member
from zoo_sdk.errors import Conflict, NotFound
from zoo_sdk.vocabulary import LineageRole, RepositoryKind, TeamRole, VersionState
from zoo_server.accounts.models import Team
from zoo_server.artifacts.collection import collect_garbage
from zoo_server.artifacts.models import Blob
from zoo_server.audit.models import AuditEvent
from zoo_server.catalog import selectors, services
from zoo_server.catalog.models import Deletion, LineageEdge, Repository, Version, VersionFile
from zoo_server.catalog.selectors import keeping
from zoo_server.provenance.story import decisions_of, story_of
from zoo_server.rest.principals import SYSTEM, Principal

from .conftest import make_draft, make_repository, make_sealed

MODEL = "/api/v1/models/vision/resnet50"
LATER = timedelta(days=31)


@pytest.fixture
def child(model: Repository, sealed: Version) -> Version:
    """A sealed version of another model that was made from ``sealed``."""
    version = make_draft(make_repository(model.team, "slim"))
    services.add_parent(principal=SYSTEM, version=version, role=LineageRole.BASE, parent=sealed)
    return services.seal_version(principal=SYSTEM, version=version)


def bury_all() -> int:
    return services.bury_due(now=timezone.now() + LATER)


def test_a_deleted_version_is_told_by_number_and_nowhere_else(api: APIClient, sealed: Version) -> None:
    gone = api.post(f"{MODEL}/versions/1/delete", {"reason": "trained on the wrong labels"}, format="json").json()
    assert gone["deletion"]["by"] == "curie"
    assert gone["deletion"]["reason"] == "trained on the wrong labels"
    assert gone["deletion"]["tombstone"] is False
    assert api.get(MODEL).json()["latest"] is None
    assert api.get(f"{MODEL}/versions").json()["results"] == []
    assert [row["number"] for row in api.get(f"{MODEL}/versions?deleted=true").json()["results"]] == [1]
    assert api.get(f"{MODEL}/versions/@latest").status_code == 404
    assert api.get(f"{MODEL}/versions/1").json()["digest"] == sealed.digest
    refused = api.get(f"{MODEL}/versions/1/files/model.safetensors")
    assert (refused.status_code, refused.json()["facts"]) == (410, {"deleted": "restorable"})


def test_it_is_restored_as_it_was(api: APIClient, sealed: Version) -> None:
    api.post(f"{MODEL}/versions/1/delete", {}, format="json")
    restored = api.post(f"{MODEL}/versions/1/restore", {}, format="json")
    assert (restored.status_code, restored.json()["deletion"]) == (200, None)
    assert api.get(MODEL).json()["latest"] == 1
    assert api.post(f"{MODEL}/versions/1/restore", {}, format="json").status_code == 409
    actions = AuditEvent.objects.filter(object_id=str(sealed.pk)).order_by("id").values_list("action", flat=True)
    assert list(actions)[-2:] == ["version.deleted", "version.restored"]


def approve(version: Version) -> None:
    services.approve_version(principal=SYSTEM, version=version)


def alias(version: Version) -> None:
    services.set_alias(principal=SYSTEM, version=version, name="production")


def pin(version: Version) -> None:
    services.pin_version(principal=SYSTEM, version=version, reason="paper of 2026")


@pytest.mark.parametrize(
    ("protect", "why", "first"),
    [
        (approve, "it is approved", "zoo deprecate"),
        (alias, "it has the alias @production", "zoo alias remove TEAM/NAME production"),
        (pin, "it is pinned by system: paper of 2026", "zoo unpin"),
    ],
)
def test_what_is_protected_stays_and_the_answer_says_what_to_do_first(
    api: APIClient, sealed: Version, protect: Callable[[Version], object], why: str, first: str
) -> None:
    protect(sealed)
    refused = api.post(f"{MODEL}/versions/1/delete", {}, format="json")
    assert refused.status_code == 409
    assert why in refused.json()["detail"]
    assert first in refused.json()["hint"]
    whole = api.post(f"{MODEL}/delete", {}, format="json")
    assert whole.status_code == 409
    assert f"{sealed} {why.removeprefix('it ')}" in whole.json()["detail"]
    assert not Deletion.objects.exists()


def test_what_is_in_use_stays(monkeypatch: pytest.MonkeyPatch, sealed: Version) -> None:
    monkeypatch.setattr(keeping, "_USES", [lambda versions: dict.fromkeys(versions.values_list("pk", flat=True), "me")])
    with pytest.raises(Conflict, match="is in use by me"):
        services.discard_version(principal=SYSTEM, version=sealed)


def test_a_tombstone_keeps_name_digest_lineage_and_reasons(
    sealed: Version, child: Version, principal: Principal
) -> None:
    blob = sealed.files.get().blob
    assert blob is not None
    services.discard_version(principal=principal, version=sealed, reason="superseded")
    assert services.bury_due() == 0
    assert bury_all() == 1
    file = VersionFile.objects.get(version=sealed)
    assert (file.blob, file.declared_sha256, file.declared_size) == (None, blob.sha256, blob.size)
    Blob.objects.update(touched_at=timezone.now() - timedelta(days=2))
    collect_garbage(principal=SYSTEM)
    assert not Blob.objects.filter(pk=blob.pk).exists()

    kept = selectors.get_version_details(principal=principal, version=sealed)
    assert (str(kept), kept.digest, kept.state) == (str(sealed), sealed.digest, VersionState.CANDIDATE)
    assert LineageEdge.objects.get(child=child).parent == sealed
    graph = selectors.lineage_graph(principal=principal, version=child)
    assert {node["reference"]: node["deleted"] for node in graph.nodes} == {str(sealed): "tombstone", str(child): None}
    told = {
        str(chapter.version): decisions_of(chapter) for chapter in story_of(principal=principal, version=child).chapters
    }
    assert [(item["what"], item["by"], item["comment"]) for item in told[str(sealed)]][-2:] == [
        ("deleted", "curie", "superseded"),
        ("tombstone: files gone", "system", ""),
    ]
    assert AuditEvent.objects.get(action="version.buried").details["size"] == blob.size


def test_a_tombstone_is_for_ever(api: APIClient, sealed: Version) -> None:
    services.discard_version(principal=SYSTEM, version=sealed)
    bury_all()
    for action in ("restore", "approve", "delete", "pin"):
        refused = api.post(f"{MODEL}/versions/1/{action}", {}, format="json")
        assert (action, refused.status_code) == (action, 409)
    gone = api.get(f"{MODEL}/versions/1/files/model.safetensors")
    assert (gone.status_code, gone.json()["facts"]) == (410, {"deleted": "tombstone"})
    told = api.get(f"{MODEL}/versions/1").json()
    assert told["deletion"]["tombstone"] is True
    assert told["files"][0]["sha256"].startswith("sha256:")
    for statement in (
        "DELETE FROM catalog_deletion",
        "UPDATE catalog_deletion SET buried_at = NULL",
        "UPDATE catalog_versionfile SET declared_sha256 = 'x'",
    ):
        with pytest.raises(IntegrityError), transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(statement)


def test_files_of_a_version_that_is_no_tombstone_keep_their_bytes(sealed: Version) -> None:
    services.discard_version(principal=SYSTEM, version=sealed)
    with pytest.raises(IntegrityError), transaction.atomic():
        VersionFile.objects.filter(version=sealed).update(blob=None, declared_sha256="sha256:" + "0" * 64)


def test_bytes_that_another_version_holds_stay(sealed: Version) -> None:
    other = make_draft(make_repository(sealed.repository.team), "x")
    blob = sealed.files.get().blob
    assert blob is not None
    services.add_file(principal=SYSTEM, version=other, path="same", blob=blob)
    services.discard_version(principal=SYSTEM, version=sealed)
    bury_all()
    Blob.objects.update(touched_at=timezone.now() - timedelta(days=2))
    collect_garbage(principal=SYSTEM)
    assert Blob.objects.filter(pk=blob.pk).exists()


def test_what_is_in_use_again_is_not_buried(monkeypatch: pytest.MonkeyPatch, sealed: Version) -> None:
    services.discard_version(principal=SYSTEM, version=sealed)
    monkeypatch.setattr(keeping, "_USES", [lambda versions: dict.fromkeys(versions.values_list("pk", flat=True), "me")])
    assert bury_all() == 0


def test_a_model_goes_and_comes_back_whole(api: APIClient, model: Repository, sealed: Version) -> None:
    make_draft(model)
    services.discard_version(principal=SYSTEM, version=make_sealed(model))
    answer = api.post(f"{MODEL}/delete", {"reason": "a duplicate"}, format="json")
    assert answer.json()["deletion"]["reason"] == "a duplicate"
    assert api.get("/api/v1/models").json()["results"] == []
    assert [row["name"] for row in api.get("/api/v1/models?deleted=true").json()["results"]] == ["resnet50"]
    assert api.post(f"{MODEL}/versions", {}, format="json").status_code == 409
    assert api.patch(MODEL, {"title": "x"}, format="json").status_code == 409
    assert api.delete(f"{MODEL}/versions/2/files/model.safetensors").status_code == 409
    alone = api.post(f"{MODEL}/versions/1/restore", {}, format="json")
    assert (alone.status_code, "--whole" in alone.json()["hint"]) == (409, True)
    taken = api.post("/api/v1/models", {"team": "vision", "name": "resnet50"}, format="json")
    assert (taken.status_code, "zoo restore" in taken.json()["hint"]) == (409, True)

    assert api.post(f"{MODEL}/restore", {}, format="json").json()["deletion"] is None
    assert [row["number"] for row in api.get(f"{MODEL}/versions").json()["results"]] == [2, 1]
    assert [row["number"] for row in api.get(f"{MODEL}/versions?deleted=true").json()["results"]] == [3]


def test_a_model_whose_time_is_over_is_a_tombstone_with_all_its_versions(api: APIClient, sealed: Version) -> None:
    api.post(f"{MODEL}/delete", {}, format="json")
    assert bury_all() == 2
    assert api.post(f"{MODEL}/restore", {}, format="json").status_code == 409
    assert api.get(MODEL).json()["deletion"]["tombstone"] is True
    assert AuditEvent.objects.filter(action="repository.buried").count() == 1
    assert bury_all() == 0


def test_a_draft_is_deleted_at_once_and_not_softly(draft: Version) -> None:
    with pytest.raises(Conflict, match="is a draft"):
        services.discard_version(principal=SYSTEM, version=draft)


def test_no_alias_points_to_a_deleted_version(sealed: Version) -> None:
    services.discard_version(principal=SYSTEM, version=sealed)
    with pytest.raises(Conflict, match="was deleted"):
        services.set_alias(principal=SYSTEM, version=sealed, name="production")


def test_pinning_says_who_and_why_and_is_undone(api: APIClient, sealed: Version) -> None:
    pinned = api.post(f"{MODEL}/versions/1/pin", {"reason": "in a paper"}, format="json").json()
    assert (pinned["pin"]["by"], pinned["pin"]["reason"]) == ("curie", "in a paper")
    for _ in range(2):
        assert api.delete(f"{MODEL}/versions/1/pin").status_code == 204
    assert api.get(f"{MODEL}/versions/1").json()["pin"] is None
    assert AuditEvent.objects.filter(action="version.unpinned").count() == 1


def test_only_curators_delete_restore_and_pin(team: Team, sealed: Version, stranger_api: APIClient) -> None:
    engineer = client_for(make_member(team, TeamRole.ENGINEER))
    for path in ("versions/1/delete", "versions/1/restore", "versions/1/pin", "delete", "restore"):
        assert engineer.post(f"{MODEL}/{path}", {}, format="json").status_code == 403
        assert stranger_api.post(f"{MODEL}/{path}", {}, format="json").status_code == 403


def test_the_newest_of_the_others_is_meant(model: Repository, principal: Principal) -> None:
    first, second = make_sealed(model), make_sealed(model)
    services.discard_version(principal=SYSTEM, version=second)
    found = selectors.resolve_version(principal=principal, reference=str(model), kind=RepositoryKind.MODEL)
    assert found == first
    services.discard_version(principal=SYSTEM, version=first)
    with pytest.raises(NotFound):
        selectors.resolve_version(principal=principal, reference=str(model), kind=RepositoryKind.MODEL)
