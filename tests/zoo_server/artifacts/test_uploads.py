"""Upload sessions through the REST routes: offsets, checksums, completion, dedup, limits, expiry."""

from base64 import b64encode
from datetime import timedelta
from hashlib import sha256
from uuid import uuid4

import pytest
from django.utils import timezone

from tests.zoo_server.artifacts.conftest import UPLOADS, digest_of, send
from tests.zoo_server.factories import client_for, make_member, make_team, make_user, principal_for
from zoo_sdk.errors import NotFound
from zoo_sdk.vocabulary import Scope, TeamRole
from zoo_server.artifacts import services
from zoo_server.artifacts.models import Blob, Upload
from zoo_server.artifacts.running_digests import RunningDigests
from zoo_server.artifacts.selectors import blob_store, held_blob
from zoo_server.artifacts.services import expire_uploads, open_upload
from zoo_server.audit.models import AuditEvent

pytestmark = pytest.mark.django_db
DATA = bytes(range(256)) * 40


def complete(api, upload, digest):
    return api.post(f"{UPLOADS}/{upload}/complete", {"sha256": digest}, format="json")


def test_bytes_sent_in_parts_become_a_blob(api, open_session, store):
    upload = open_session(len(DATA), filename="data.bin")
    for offset in range(0, len(DATA), 4000):
        answer = send(api, upload, offset, DATA[offset : offset + 4000])
        assert answer.status_code == 204
    assert answer.headers["Upload-Offset"] == str(len(DATA))
    done = complete(api, upload, digest_of(DATA)).json()
    assert (done["state"], done["sha256"], done["size"], done["format"], done["findings"]) == (
        "complete",
        digest_of(DATA),
        len(DATA),
        "opaque",
        [],
    )
    blob = Blob.objects.get()
    with blob_store().open(blob.sha256) as file:
        assert file.read() == DATA
    assert list((store / "sessions").iterdir()) == []
    event = AuditEvent.objects.get(action="upload.completed")
    assert (event.team, event.details["sha256"]) == ("vision", digest_of(DATA))


def test_completing_twice_answers_the_same(api, upload_bytes):
    done = upload_bytes(DATA)
    assert complete(api, done["id"], digest_of(DATA)).json() == done
    assert complete(api, done["id"], digest_of(b"other")).status_code == 409


def test_an_empty_file_is_a_file(upload_bytes):
    assert upload_bytes(b"")["sha256"] == digest_of(b"")


def test_the_offset_is_told_by_get_and_head(api, open_session):
    upload = open_session(10)
    send(api, upload, 0, b"1234")
    assert api.get(f"{UPLOADS}/{upload}").json()["offset"] == 4
    assert api.head(f"{UPLOADS}/{upload}").headers["Upload-Offset"] == "4"


@pytest.mark.parametrize("offset", [0, 3, 5])
def test_a_part_at_the_wrong_offset_is_refused_with_the_right_one(api, open_session, offset):
    upload = open_session(10)
    send(api, upload, 0, b"1234")
    answer = send(api, upload, offset, b"x")
    assert answer.status_code == 409
    assert (answer.json()["code"], answer.json()["facts"]) == ("offset-mismatch", {"offset": 4})


def test_a_damaged_part_does_not_count_and_leaves_nothing(api, open_session, store):
    upload = open_session(8)
    send(api, upload, 0, b"1234")
    checksum = f"sha256 {b64encode(sha256(b'5678').digest()).decode()}"
    answer = send(api, upload, 4, b"5679", Upload_Checksum=checksum)
    assert (answer.status_code, answer.json()["code"]) == (422, "integrity")
    assert (store / "sessions" / upload).read_bytes() == b"1234"
    assert send(api, upload, 4, b"5678", Upload_Checksum=checksum).headers["Upload-Offset"] == "8"
    assert complete(api, upload, digest_of(b"12345678")).status_code == 200


def test_a_wrong_whole_digest_keeps_nothing(api, open_session, store):
    upload = open_session(4)
    send(api, upload, 0, b"1234")
    answer = complete(api, upload, digest_of(b"4321"))
    assert (answer.status_code, answer.json()["code"]) == (422, "integrity")
    assert answer.json()["facts"] == {"sha256": digest_of(b"1234")}
    assert not Blob.objects.exists()
    assert list((store / "sessions").iterdir()) == []
    assert not (store / "blobs").exists()
    assert send(api, upload, 4, b"").json()["facts"] == {"state": "aborted"}


def test_the_digest_announced_at_the_start_must_hold_too(api, open_session):
    upload = open_session(4, sha256=digest_of(b"4321"))
    send(api, upload, 0, b"1234")
    assert complete(api, upload, digest_of(b"1234")).json()["code"] == "integrity"


def test_an_incomplete_upload_cannot_be_completed(api, open_session):
    upload = open_session(4)
    send(api, upload, 0, b"123")
    answer = complete(api, upload, digest_of(b"123"))
    assert (answer.status_code, answer.json()["code"]) == (409, "incomplete")


def test_more_bytes_than_announced_are_refused(api, open_session, store):
    upload = open_session(4)
    answer = send(api, upload, 0, b"12345")
    assert (answer.status_code, answer.json()["code"]) == (422, "integrity")
    assert (store / "sessions" / upload).read_bytes() == b""


@pytest.mark.parametrize(
    ("headers", "field"),
    [
        ({"Upload-Offset": "-1"}, "Upload-Offset"),
        ({"Upload-Offset": "9" * 30}, "Upload-Offset"),
        ({"Upload-Offset": "0", "Upload-Checksum": "md5 AAAA"}, "Upload-Checksum"),
        ({"Upload-Offset": "0", "Upload-Checksum": "sha256 ???"}, "Upload-Checksum"),
    ],
)
def test_a_wrong_header_is_named(api, open_session, headers, field):
    answer = api.generic(
        "PATCH", f"{UPLOADS}/{open_session(4)}", b"1", content_type="application/offset+octet-stream", headers=headers
    )
    assert (answer.status_code, answer.json()["facts"]) == (422, {"field": field})


def test_another_content_type_is_refused(api, open_session):
    answer = api.generic("PATCH", f"{UPLOADS}/{open_session(4)}", b"{}", content_type="application/json")
    assert answer.status_code == 415


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"team": "vision", "size": -1}, "size"),
        ({"team": "vision", "size": "much"}, "size"),
        ({"team": "vision", "size": 2**60}, "size"),
        ({"team": "vision", "size": 1, "sha256": "sha256:AB"}, "sha256"),
        ({"team": "vision", "size": 1, "filenam_": "a"}, "filenam_"),
        ({"team": "vision", "size": 1, "filename": "a\0b"}, "filename"),
        ({"size": 1}, "team"),
    ],
)
def test_a_wrong_request_names_the_field(api, body, field):
    answer = api.post(UPLOADS, body, format="json")
    assert answer.status_code == 422
    assert [item["field"] for item in answer.json()["errors"]] == [field]


def test_bytes_that_the_team_holds_need_not_be_sent_again(api, upload_bytes):
    upload_bytes(DATA)
    answer = api.post(UPLOADS, {"team": "vision", "size": len(DATA), "sha256": digest_of(DATA)}, format="json")
    assert answer.status_code == 200
    assert (answer.json()["state"], answer.json()["offset"]) == ("complete", len(DATA))
    wrong = api.post(UPLOADS, {"team": "vision", "size": 1, "sha256": digest_of(DATA)}, format="json")
    assert wrong.json()["facts"]["size"] == len(DATA)


def test_knowing_the_digest_of_another_teams_bytes_grants_nothing(api, upload_bytes, member):
    upload_bytes(DATA)
    other = make_team("other")
    other_api = client_for(make_member(other, TeamRole.ADMIN))
    body = {"team": "other", "size": len(DATA), "sha256": digest_of(DATA)}
    known = other_api.post(UPLOADS, body, format="json")
    unknown = other_api.post(UPLOADS, body | {"sha256": digest_of(b"nobody has it")}, format="json")
    assert (known.status_code, known.json()["state"]) == (unknown.status_code, "open") == (201, "open")
    assert complete(other_api, known.json()["id"], digest_of(DATA)).json()["code"] == "incomplete"
    with pytest.raises(NotFound):
        held_blob(team=other, sha256=digest_of(DATA))
    assert send(other_api, known.json()["id"], 0, DATA).status_code == 204
    assert complete(other_api, known.json()["id"], digest_of(DATA)).status_code == 200
    assert held_blob(team=other, sha256=digest_of(DATA)).size == len(DATA)
    assert Blob.objects.count() == 1


def test_sessions_of_other_teams_do_not_exist(open_session, stranger_api, worker_api):
    upload = open_session(4)
    for client in (stranger_api, worker_api):
        assert client.get(f"{UPLOADS}/{upload}").status_code == 404
        assert send(client, upload, 0, b"1234").status_code == 404
        assert complete(client, upload, digest_of(b"1234")).status_code == 404
        assert client.delete(f"{UPLOADS}/{upload}").status_code == 404


def test_a_reader_may_not_upload(team):
    reader = client_for(make_member(team, TeamRole.READER))
    assert reader.post(UPLOADS, {"team": "vision", "size": 1}, format="json").status_code == 403


def test_an_attempts_upload_belongs_to_its_worker(team, api):
    worker = make_user("w", is_service=True)
    client = client_for(worker, [Scope.WORKER])
    upload = open_upload(principal=principal_for(worker, [Scope.WORKER]), team=team, size=4, attempt=(uuid4(), 1))
    assert send(client, str(upload.pk), 0, b"1234").status_code == 204
    assert api.get(f"{UPLOADS}/{upload.pk}").status_code == 404
    other = client_for(make_user("w2", is_service=True), [Scope.WORKER])
    assert other.get(f"{UPLOADS}/{upload.pk}").status_code == 404
    assert complete(client, upload.pk, digest_of(b"1234")).json()["state"] == "complete"


def test_a_given_up_upload_is_gone(api, open_session, store):
    upload = open_session(4)
    send(api, upload, 0, b"12")
    assert api.delete(f"{UPLOADS}/{upload}").status_code == 204
    assert list((store / "sessions").iterdir()) == []
    assert send(api, upload, 2, b"34").json()["facts"] == {"state": "aborted"}


def test_an_upload_resumed_in_another_process_is_hashed_whole(api, open_session, monkeypatch):
    upload = open_session(8)
    send(api, upload, 0, b"1234")
    monkeypatch.setattr(services, "DIGESTS", RunningDigests())  # as another process would begin
    send(api, upload, 4, b"5678")
    assert complete(api, upload, digest_of(b"12345678")).status_code == 200


def test_an_upload_through_one_process_is_not_read_again(api, open_session, monkeypatch):
    upload = open_session(8)
    send(api, upload, 0, b"1234")
    send(api, upload, 4, b"5678")
    monkeypatch.setattr("zoo_server.artifacts.store.LocalSessionFile.pieces", None)
    assert complete(api, upload, digest_of(b"12345678")).status_code == 200


def test_a_file_longer_than_the_offset_is_cut_back(api, open_session, store):
    upload = open_session(8)
    send(api, upload, 0, b"1234")
    with (store / "sessions" / upload).open("ab") as file:
        file.write(b"bytes that a killed server wrote and never counted")
    assert send(api, upload, 4, b"5678").status_code == 204
    assert complete(api, upload, digest_of(b"12345678")).status_code == 200


def test_a_file_shorter_than_the_offset_moves_the_offset_back(api, open_session, store):
    upload = open_session(8)
    send(api, upload, 0, b"1234")
    (store / "sessions" / upload).write_bytes(b"12")
    assert send(api, upload, 4, b"5678").json()["facts"] == {"offset": 2}
    assert send(api, upload, 2, b"345678").status_code == 204
    assert complete(api, upload, digest_of(b"12345678")).status_code == 200


def test_only_one_request_at_a_time_writes_to_a_session(api, open_session):
    upload = open_session(4)
    with blob_store().session(Upload.objects.get().pk):
        answer = send(api, upload, 0, b"1234")
    assert (answer.status_code, answer.json()["code"]) == (409, "session-busy")
    assert send(api, upload, 0, b"1234").status_code == 204


def test_abandoned_sessions_expire_with_their_bytes(api, open_session, store):
    old, young = open_session(4), open_session(4)
    send(api, old, 0, b"12")
    send(api, young, 0, b"12")
    (store / "sessions" / str(uuid4())).write_bytes(b"left by nobody")
    Upload.objects.filter(pk=old).update(expires_at=timezone.now() - timedelta(seconds=1))
    assert expire_uploads() == 1
    assert [path.name for path in (store / "sessions").iterdir()] == [young]
    assert Upload.objects.get(pk=old).state == "aborted"


def test_a_full_quota_is_a_clear_error(api, open_session, settings):
    settings.ZOO_STORE_QUOTA_BYTES = 100
    open_session(60)
    answer = api.post(UPLOADS, {"team": "vision", "size": 41}, format="json")
    assert answer.status_code == 507
    problem = answer.json()
    assert (problem["code"], problem["facts"]) == ("insufficient-storage", {"used": 60, "quota": 100, "size": 41})
    assert "ZOO_STORE_QUOTA_GIB" in problem["hint"]
    assert api.post(UPLOADS, {"team": "vision", "size": 40}, format="json").status_code == 201


def test_a_blob_that_two_teams_bring_at_once_is_stored_once(api, upload_bytes, open_session, store):
    upload_bytes(DATA)
    upload = open_session(len(DATA))
    send(api, upload, 0, DATA)
    assert complete(api, upload, digest_of(DATA)).status_code == 200
    assert Blob.objects.count() == 1
    assert len([path for path in (store / "blobs").rglob("*") if path.is_file()]) == 1


def test_a_damaged_file_in_the_store_is_replaced_by_the_checked_bytes(upload_bytes, store):
    upload_bytes(DATA)
    digits = digest_of(DATA).removeprefix("sha256:")
    path = store / "blobs" / digits[:2] / digits[2:4] / digits
    path.write_bytes(b"cut")
    upload_bytes(DATA)
    assert path.read_bytes() == DATA


def test_a_reader_of_the_admin_pages_sees_uploads(client, superuser, upload_bytes):
    upload_bytes(DATA)
    client.force_login(superuser)
    for table in ("blob", "holding", "upload"):
        assert client.get(f"/admin/artifacts/{table}/").status_code == 200
