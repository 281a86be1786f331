"""Garbage collection beside uploads, and scrubbing: what is needed is never lost, what is damaged is never served."""

import os
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from io import StringIO
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone
from rest_framework.test import APIClient

from tests.zoo_server.artifacts.conftest import UPLOADS, digest_of
from zoo_sdk.errors import Conflict, Unavailable
from zoo_sdk.vocabulary import RepositoryKind
from zoo_server.accounts.models import Team
from zoo_server.artifacts import collection
from zoo_server.artifacts.collection import Collected, collect_garbage, use_blob
from zoo_server.artifacts.models import Blob, Holding, Upload
from zoo_server.artifacts.scrubbing import scrub
from zoo_server.artifacts.selectors import blob_store
from zoo_server.artifacts.services import complete_upload, open_upload
from zoo_server.audit.models import AuditEvent
from zoo_server.catalog import services as catalog
from zoo_server.rest.principals import SYSTEM, Principal

pytestmark = pytest.mark.django_db
UploadBytes = Callable[..., dict[str, Any]]
DATA = b"some bytes"
LONG_AGO = timedelta(days=30)
GRACE = timedelta(hours=1)


def age(**more: Any) -> None:
    """Let everything have happened long ago."""
    Blob.objects.update(touched_at=timezone.now() - LONG_AGO, **more)
    Upload.objects.update(expires_at=timezone.now() - LONG_AGO)


def collect(**options: Any) -> Collected:
    return collect_garbage(principal=SYSTEM, grace=GRACE, **options)


def lies_in_the_store(data: bytes = DATA) -> bool:
    return blob_store().size_of(digest_of(data)) == len(data)


def put_into_a_version(team: Team, data: bytes = DATA) -> Any:
    repository = catalog.create_repository(principal=SYSTEM, team=team, kind=RepositoryKind.MODEL, name="net")
    version = catalog.create_version(principal=SYSTEM, repository=repository)
    blob = Blob.objects.get(pk=digest_of(data))
    catalog.add_file(principal=SYSTEM, version=version, path="a", blob=blob)
    return version


def test_what_nothing_refers_to_goes_with_its_bytes_and_is_recorded(upload_bytes: UploadBytes) -> None:
    upload_bytes(DATA)
    age()
    assert collect(dry_run=True) == Collected(1, len(DATA))
    assert lies_in_the_store()
    assert collect() == Collected(1, len(DATA))
    assert (Blob.objects.count(), Holding.objects.count(), lies_in_the_store()) == (0, 0, False)
    assert AuditEvent.objects.get(action="blob.collected").object_id == digest_of(DATA)
    assert Upload.objects.get().blob is None
    assert collect() == Collected()


def test_what_was_uploaded_or_used_within_the_grace_window_stays(upload_bytes: UploadBytes) -> None:
    upload_bytes(DATA)
    age()
    use_blob(digest_of(DATA))
    assert collect() == Collected()
    age()
    Upload.objects.update(expires_at=timezone.now() + GRACE)  # may still be put into a version
    assert collect() == Collected()


def test_what_a_version_holds_stays_also_when_it_is_a_draft(upload_bytes: UploadBytes, team: Team) -> None:
    upload_bytes(DATA)
    version = put_into_a_version(team)
    age()
    assert collect() == Collected()
    catalog.delete_version(principal=SYSTEM, version=version)
    age()
    assert collect().blobs == 1


def test_marked_bytes_that_are_used_after_all_are_not_removed(upload_bytes: UploadBytes, team: Team) -> None:
    upload_bytes(DATA)
    age()
    collection.mark(grace=GRACE)
    seen = Blob.objects.get()
    assert seen.state == "delete"
    put_into_a_version(team)
    assert not collection.sweep(principal=SYSTEM, blob=seen, grace=GRACE)
    assert (Blob.objects.get().state, lies_in_the_store()) == ("none", True)


def test_bytes_that_are_just_being_removed_cannot_be_referred_to(upload_bytes: UploadBytes, team: Team) -> None:
    upload_bytes(DATA)
    Blob.objects.update(state="deleting")
    with pytest.raises(Unavailable, match="just being removed"):
        put_into_a_version(team)


def test_a_collector_that_died_is_finished_by_the_next(upload_bytes: UploadBytes) -> None:
    upload_bytes(DATA)
    age(state="deleting")
    assert collect() == Collected(1, len(DATA))
    assert (Blob.objects.count(), lies_in_the_store()) == (0, False)


def test_what_was_collected_is_uploaded_anew(api: APIClient, upload_bytes: UploadBytes) -> None:
    upload_bytes(DATA)
    age()
    collect()
    answer = api.post(UPLOADS, {"team": "vision", "size": len(DATA), "sha256": digest_of(DATA)}, format="json")
    assert (answer.status_code, answer.json()["state"]) == (201, "open")
    upload_bytes(DATA)
    assert lies_in_the_store()


COLLECTOR = 4
UPLOADER = 2


@pytest.mark.parametrize("places", list(combinations(range(COLLECTOR + UPLOADER), UPLOADER)))
def test_whatever_the_order_of_their_steps_a_blob_has_its_bytes(
    places: tuple[int, ...],
    upload_bytes: UploadBytes,
    team: Team,
    principal: Principal,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """An upload of the very bytes that are collected, its two steps at all places between the collector's four."""
    upload_bytes(DATA)
    age()
    upload = open_upload(principal=principal, team=team, size=len(DATA))
    with blob_store().session(upload.pk) as file:
        file.write(DATA)
    Upload.objects.filter(pk=upload.pk).update(offset=len(DATA))
    collector = _collector()
    uploader = _uploader(principal, upload, monkeypatch)
    for step in range(COLLECTOR + UPLOADER):
        next(uploader if step in places else collector, None)
    for rest in (*collector, *uploader):
        assert rest
    try:
        complete_upload(principal=principal, upload_id=upload.pk, sha256=digest_of(DATA))
    except Unavailable:  # it came while the bytes were removed: the client tries again
        collect()
        complete_upload(principal=principal, upload_id=upload.pk, sha256=digest_of(DATA))
    assert (Blob.objects.get().state, lies_in_the_store()) == ("none", True)


def _collector() -> Any:
    collection.mark(grace=GRACE)
    seen = Blob.objects.filter(state="delete").first()
    yield True
    condemned = seen is not None and collection.condemn(blob=seen, grace=GRACE)
    yield True
    if condemned:
        collection.remove_bytes(blob_store(), seen)
    yield True
    if condemned:
        collection.forget(principal=SYSTEM, blob=seen)
    yield True


def _uploader(principal: Principal, upload: Upload, monkeypatch: pytest.MonkeyPatch) -> Any:
    """First only the bytes, as an upload that is between its two steps; then all of it."""
    with blob_store().session(upload.pk) as file:
        file.keep_as(digest_of(DATA))
    yield True
    with suppress(Unavailable):
        complete_upload(principal=principal, upload_id=upload.pk, sha256=digest_of(DATA))
    yield True


def test_two_collectors_do_not_work_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    import psycopg

    from tests.zoo_server.live import database_url

    with psycopg.connect(database_url()) as other:
        other.execute("SELECT pg_advisory_lock(%s)", [collection.COLLECTOR_LOCK])
        with pytest.raises(Conflict, match="Another process"):
            collect()
        # A closed connection gives its locks back a moment later.
        other.execute("SELECT pg_advisory_unlock(%s)", [collection.COLLECTOR_LOCK])
    assert collect() == Collected()


def test_the_command_says_what_it_would_remove(upload_bytes: UploadBytes) -> None:
    upload_bytes(DATA)
    age()
    out = StringIO()
    call_command("collect_garbage", "--dry-run", stdout=out)
    assert "1 files of 10 bytes would be removed" in out.getvalue()
    assert lies_in_the_store()


# Scrubbing


def test_damaged_bytes_are_set_apart_not_served_and_healed_by_the_right_ones(
    upload_bytes: UploadBytes, store: Path, rf: Any
) -> None:
    upload_bytes(DATA)
    path = blob_store().blob_path(digest_of(DATA))  # type: ignore[attr-defined]
    path.write_bytes(b"some bytez")
    done = scrub(principal=SYSTEM, share=1)
    assert (done.sound, done.damaged) == (0, (digest_of(DATA),))
    assert (store / "quarantine" / path.name).read_bytes() == b"some bytez"
    assert Blob.objects.get().state == "quarantined"
    assert AuditEvent.objects.get(action="blob.quarantined").details["size"] == 10
    with pytest.raises(Unavailable):
        blob_store().open(digest_of(DATA))
    upload_bytes(DATA)
    assert (Blob.objects.get().state, lies_in_the_store()) == ("none", True)
    assert scrub(principal=SYSTEM, share=1).sound == 1


def test_a_share_is_read_at_a_time_those_first_that_were_not_read_for_longest(upload_bytes: UploadBytes) -> None:
    for number in range(4):
        upload_bytes(os.urandom(10 + number))
    assert [scrub(principal=SYSTEM, share=0.5).sound for _ in range(2)] == [2, 2]
    assert not Blob.objects.filter(verified_at=None).exists()
    assert scrub(principal=SYSTEM, share=1, seconds=0).sound == 0


def test_bytes_that_are_gone_are_told_by_the_command(upload_bytes: UploadBytes) -> None:
    upload_bytes(DATA)
    blob_store().remove(digest_of(DATA))
    with pytest.raises(CommandError, match=f"missing: {digest_of(DATA)}"):
        call_command("scrub_store", stdout=StringIO())
