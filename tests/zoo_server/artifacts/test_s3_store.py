"""Blobs in S3, against a real service: uploads, downloads, direct parts, faults, migration."""

import hashlib
import json
import os
from base64 import b64encode
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from io import StringIO
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone
from rest_framework.test import APIClient

from tests.zoo_inspection.samples import onnx_bytes
from tests.zoo_server.artifacts.conftest import UPLOADS, Opener, digest_of, send
from tests.zoo_server.artifacts.s3_service import S3Service, s3_service
from tests.zoo_server.factories import make_team
from zoo_sdk.errors import InvalidInput, Unavailable
from zoo_server.artifacts import s3_store, services
from zoo_server.artifacts.models import Blob, Upload
from zoo_server.artifacts.s3_settings import S3Settings
from zoo_server.artifacts.s3_store import S3Store, part_bytes
from zoo_server.artifacts.selectors import blob_store
from zoo_server.artifacts.store import LocalStore
from zoo_server.config.environment import read_environment

pytestmark = pytest.mark.django_db
DATA = bytes(range(256)) * 40
UploadBytes = Callable[..., dict[str, Any]]
LEAST_PART = 5 * 2**20
"""S3 refuses smaller parts, except the last."""


@pytest.fixture(scope="module")
def service() -> Iterator[S3Service]:
    with s3_service() as running:
        yield running


@pytest.fixture
def bucket(service: S3Service, settings: Any) -> S3Settings:
    """A bucket of the test's own, in which the registry keeps its blobs."""
    made = service.bucket(f"zoo-{uuid4()}")
    settings.ZOO_S3 = made
    return made


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(s3_store, "PART", LEAST_PART)
    return LEAST_PART


def keys(service: S3Service, bucket: S3Settings) -> list[str]:
    found = service.client(bucket).list_objects_v2(Bucket=bucket.bucket)
    return [item["Key"] for item in found.get("Contents", ())]


def key_of(data: bytes) -> str:
    digits = digest_of(data).removeprefix("sha256:")
    return f"blobs/{digits[:2]}/{digits[2:4]}/{digits}"


def checksum(data: bytes) -> str:
    return b64encode(hashlib.sha256(data).digest()).decode()


def test_uploaded_bytes_lie_in_the_bucket_under_their_digest(
    service: S3Service, bucket: S3Settings, upload_bytes: UploadBytes, store: Path
) -> None:
    done = upload_bytes(DATA)
    assert (done["state"], keys(service, bucket)) == ("complete", [key_of(DATA)])
    assert list((store / "sessions").iterdir()) == []
    assert not (store / "blobs").exists()
    with blob_store().open(done["sha256"]) as file:
        assert file.read() == DATA
        file.seek(-3, os.SEEK_END)
        assert file.read() == DATA[-3:]


def test_a_large_blob_goes_in_parts_of_which_each_has_its_digest(
    service: S3Service, bucket: S3Settings, small_parts: int, tmp_path: Path
) -> None:
    data = os.urandom(2 * small_parts + 7)
    (tmp_path / "large").write_bytes(data)
    kept = S3Store(bucket, LocalStore(tmp_path))
    kept.put(tmp_path / "large", digest_of(data))
    client = service.client(bucket)
    head = client.head_object(Bucket=bucket.bucket, Key=key_of(data))
    assert head["ETag"].endswith('-3"')
    assert client.get_object(Bucket=bucket.bucket, Key=key_of(data))["Body"].read() == data
    assert client.list_multipart_uploads(Bucket=bucket.bucket).get("Uploads", []) == []


def test_parts_grow_with_the_object_so_that_there_are_never_too_many() -> None:
    assert part_bytes(1) == 16 * 2**20
    assert -(-(2**43) // part_bytes(2**43)) <= 10_000


def test_a_download_is_redirected_to_the_bucket_and_checked_here_before(
    bucket: S3Settings, upload_bytes: UploadBytes, rf: Any
) -> None:
    from rest_framework.request import Request

    from zoo_server.artifacts.downloads import blob_response

    upload_bytes(DATA)
    blob = Blob.objects.get()

    def ask(method: str = "get", **headers: str) -> Any:
        return blob_response(Request(getattr(rf, method)("/", headers=headers)), blob, "größe.bin")

    answer = ask()
    assert (answer.status_code, answer["Cache-Control"], answer.content) == (307, "private, no-store", b"")
    part = httpx.get(answer["Location"], headers={"Range": "bytes=5-9"})
    assert (part.status_code, part.content) == (206, DATA[5:10])
    assert httpx.get(answer["Location"]).content == DATA
    assert "gr%C3%B6%C3%9Fe.bin" in httpx.get(answer["Location"]).headers["Content-Disposition"]
    assert ask(**{"If-None-Match": f'"{blob.pk}"'}).status_code == 304
    assert ask(Range=f"bytes={len(DATA)}-").status_code == 416
    head = ask("head")
    assert (head.status_code, head["Content-Length"]) == (200, str(len(DATA)))


def test_an_inspection_reads_from_the_bucket_what_it_needs(bucket: S3Settings, upload_bytes: UploadBytes) -> None:
    upload_bytes(onnx_bytes(), filename="net.onnx")
    Blob.objects.update(inspector=0, format="opaque")
    call_command("inspect_again", stdout=StringIO())
    assert Blob.objects.get().format == "onnx"


def test_what_another_team_uploaded_is_not_sent_again_but_had_to_be_shown(
    service: S3Service, bucket: S3Settings, upload_bytes: UploadBytes
) -> None:
    upload_bytes(DATA)
    before = service.client(bucket).head_object(Bucket=bucket.bucket, Key=key_of(DATA))["LastModified"]
    blob_store().put(_file_of(DATA), digest_of(DATA))  # type: ignore[attr-defined]
    after = service.client(bucket).head_object(Bucket=bucket.bucket, Key=key_of(DATA))["LastModified"]
    assert before == after


def _file_of(data: bytes) -> Path:
    path = Path(os.environ["ZOO_HOME"]).parent / "shown"
    path.write_bytes(data)
    return path


def test_a_service_that_is_away_keeps_the_upload_open_for_another_try(
    api: APIClient, bucket: S3Settings, settings: Any, open_session: Opener
) -> None:
    upload = open_session(len(DATA))
    send(api, upload, 0, DATA)
    settings.ZOO_S3 = S3Settings(bucket="b", access_key="k", secret_key="s", endpoint_url="http://127.0.0.1:9")
    answer = api.post(f"{UPLOADS}/{upload}/complete", {"sha256": digest_of(DATA)}, format="json")
    assert (answer.status_code, Blob.objects.count()) == (503, 0)
    settings.ZOO_S3 = bucket
    answer = api.post(f"{UPLOADS}/{upload}/complete", {"sha256": digest_of(DATA)}, format="json")
    assert answer.status_code == 200


def test_a_service_that_keeps_less_than_it_was_given_is_found_out(
    bucket: S3Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "data").write_bytes(DATA)
    kept = S3Store(bucket, LocalStore(tmp_path))
    monkeypatch.setattr(S3Store, "_put_whole", lambda self, path, sha256: self.client.put_object(
        Bucket=bucket.bucket, Key=key_of(DATA), Body=DATA[:-1]))  # fmt: skip
    with pytest.raises(Unavailable, match=f"{len(DATA) - 1} of the {len(DATA)} bytes"):
        kept.put(tmp_path / "data", digest_of(DATA))


def test_stale_parts_are_aborted_and_those_of_others_and_of_today_stay(
    service: S3Service, bucket: S3Settings, tmp_path: Path
) -> None:
    client = service.client(bucket)
    for key in ("staging/x", "blobs/y", "backups/of-somebody"):
        client.create_multipart_upload(Bucket=bucket.bucket, Key=key)
    kept = S3Store(bucket, LocalStore(tmp_path))
    begun = datetime(2010, 11, 10, tzinfo=UTC)  # what moto says of every upload
    assert kept.discard_stale(before=begun - timedelta(days=1)) == 0
    services.expire_uploads(now=timezone.now() + timedelta(days=8))
    left = client.list_multipart_uploads(Bucket=bucket.bucket)["Uploads"]
    assert [item["Key"] for item in left] == ["backups/of-somebody"]


# Direct uploads


def offered(api: APIClient, upload: str, parts: dict[int, bytes]) -> list[dict[str, Any]]:
    body = {"parts": [{"number": number, "checksum": checksum(data)} for number, data in parts.items()]}
    answer = api.post(f"{UPLOADS}/{upload}/parts", body, format="json")
    assert answer.status_code == 200, answer.content
    found: list[dict[str, Any]] = answer.json()["parts"]
    return found


def put(api: APIClient, upload: str, parts: dict[int, bytes]) -> None:
    for part, data in zip(offered(api, upload, parts), parts.values(), strict=True):
        assert httpx.put(part["url"], content=data, headers=part["headers"]).status_code == 200


def test_parts_go_to_the_bucket_and_become_a_blob_when_they_are_whole(
    api: APIClient, service: S3Service, bucket: S3Settings, small_parts: int, open_session: Opener
) -> None:
    data = os.urandom(small_parts) + onnx_bytes()
    upload = open_session(len(data), filename="net.bin")
    assert api.get(f"{UPLOADS}/{upload}").json()["part_size"] == small_parts
    put(api, upload, {2: data[small_parts:]})
    answer = api.post(f"{UPLOADS}/{upload}/complete", {"sha256": digest_of(data)}, format="json")
    assert (answer.status_code, answer.json()["code"], answer.json()["facts"]["parts"]) == (409, "incomplete", [2])
    put(api, upload, {1: data[:small_parts]})
    there = api.get(f"{UPLOADS}/{upload}/parts").json()["parts"]
    assert [(part["number"], part["size"]) for part in there] == [(1, small_parts), (2, len(data) - small_parts)]
    for _ in range(2):
        answer = api.post(f"{UPLOADS}/{upload}/complete", {"sha256": digest_of(data)}, format="json")
        assert (answer.status_code, answer.json()["state"], answer.json()["format"]) == (200, "complete", "opaque")
    assert keys(service, bucket) == [key_of(data)]
    assert (Blob.objects.get().size, Blob.objects.get().holdings.count()) == (len(data), 1)


def test_bytes_of_another_digest_end_a_direct_upload_and_nothing_is_kept(
    api: APIClient, service: S3Service, bucket: S3Settings, open_session: Opener
) -> None:
    upload = open_session(len(DATA))
    put(api, upload, {1: DATA})
    answer = api.post(f"{UPLOADS}/{upload}/complete", {"sha256": digest_of(b"other")}, format="json")
    assert (answer.status_code, answer.json()["code"]) == (422, "integrity")
    assert (keys(service, bucket), Blob.objects.count(), Upload.objects.get().state) == ([], 0, "aborted")


def test_what_is_given_up_leaves_nothing_in_the_bucket(
    api: APIClient, service: S3Service, bucket: S3Settings, open_session: Opener
) -> None:
    upload = open_session(len(DATA))
    put(api, upload, {1: DATA})
    assert api.delete(f"{UPLOADS}/{upload}").status_code == 204
    assert service.client(bucket).list_multipart_uploads(Bucket=bucket.bucket).get("Uploads", []) == []


def test_one_upload_goes_one_way_only(api: APIClient, bucket: S3Settings, open_session: Opener) -> None:
    direct, plain = open_session(len(DATA)), open_session(len(DATA))
    put(api, direct, {1: DATA})
    assert send(api, direct, 0, DATA).status_code == 409
    send(api, plain, 0, DATA[:4])
    body = {"parts": [{"number": 1, "checksum": checksum(DATA)}]}
    assert api.post(f"{UPLOADS}/{plain}/parts", body, format="json").status_code == 409
    assert api.get(f"{UPLOADS}/{plain}").json()["part_size"] is None


def test_no_part_beyond_the_end_is_offered_and_none_to_strangers(
    api: APIClient, stranger_api: APIClient, bucket: S3Settings, open_session: Opener
) -> None:
    upload = open_session(len(DATA))
    body = {"parts": [{"number": 2, "checksum": checksum(DATA)}]}
    assert api.post(f"{UPLOADS}/{upload}/parts", body, format="json").status_code == 422
    assert stranger_api.post(f"{UPLOADS}/{upload}/parts", body, format="json").status_code == 404
    assert stranger_api.get(f"{UPLOADS}/{upload}/parts").status_code == 404


def test_a_registry_with_a_folder_offers_no_parts(api: APIClient, open_session: Opener) -> None:
    upload = open_session(len(DATA))
    body = {"parts": [{"number": 1, "checksum": checksum(DATA)}]}
    answer = api.post(f"{UPLOADS}/{upload}/parts", body, format="json")
    assert (answer.status_code, answer.json()["code"]) == (409, "not-direct")
    assert api.get(f"{UPLOADS}/{upload}").json()["part_size"] is None


# Migration


def migrated(to: str, *words: str) -> dict[str, Any]:
    out = StringIO()
    call_command("store_migrate", "--to", to, "--json", *words, stdout=out, stderr=StringIO())
    found: dict[str, Any] = json.loads(out.getvalue())
    return {name: count for name, count in found.items() if count and name != "to"}


def test_a_store_moves_to_the_bucket_and_back_once_each_and_verified(
    service: S3Service, bucket: S3Settings, settings: Any, upload_bytes: UploadBytes, store: Path
) -> None:
    settings.ZOO_S3 = None
    first, second = upload_bytes(DATA), upload_bytes(b"second")
    settings.ZOO_S3 = bucket
    blob_store().put(_file_of(DATA), first["sha256"])  # type: ignore[attr-defined]  # a run that was broken off
    assert migrated("s3") == {"copied": 1, "there": 1, "copied_bytes": 6}
    assert migrated("s3", "--verify") == {"verified": 2}
    assert sorted(keys(service, bucket)) == sorted([key_of(DATA), key_of(b"second")])
    local = LocalStore(store)
    local.blob_path(second["sha256"]).unlink()
    assert migrated("local") == {"copied": 1, "there": 1, "copied_bytes": 6}
    assert local.blob_path(second["sha256"]).read_bytes() == b"second"
    assert list((store / "migration").iterdir()) == []


def test_damaged_and_missing_blobs_are_named_and_not_copied(
    service: S3Service, bucket: S3Settings, settings: Any, upload_bytes: UploadBytes, store: Path
) -> None:
    settings.ZOO_S3 = None
    damaged, missing = upload_bytes(DATA), upload_bytes(b"second")
    local = LocalStore(store)
    local.blob_path(damaged["sha256"]).write_bytes(DATA[:-1] + b"x")
    local.blob_path(missing["sha256"]).unlink()
    settings.ZOO_S3 = bucket
    words = StringIO()
    with pytest.raises(CommandError, match="1 blobs are missing and 1 damaged"):
        call_command("store_migrate", "--to", "s3", stdout=StringIO(), stderr=words)
    assert damaged["sha256"] in words.getvalue()
    assert keys(service, bucket) == []


def test_without_a_bucket_nothing_can_be_moved() -> None:
    make_team("other")
    with pytest.raises(InvalidInput, match="ZOO_S3_BUCKET"):
        call_command("store_migrate", "--to", "s3")


# Settings


def test_half_a_bucket_keeps_the_registry_from_starting() -> None:
    keys_only = {"ZOO_S3_ACCESS_KEY_ID": "k", "ZOO_S3_SECRET_ACCESS_KEY": "s"}
    with pytest.raises(InvalidInput, match="ZOO_S3_BUCKET are not") as caught:
        read_environment(keys_only)
    assert caught.value.facts["field"] == "ZOO_S3_BUCKET"
    whole = keys_only | {"ZOO_S3_BUCKET": "b", "ZOO_S3_ENDPOINT_URL": "http://s3:7070", "ZOO_S3_PUBLIC_URL": ""}
    found = read_environment(whole).s3
    assert found is not None
    assert (found.bucket, found.endpoint_url, found.public_url) == ("b", "http://s3:7070", None)
    assert "'s'" not in repr(found)
    assert read_environment({"ZOO_S3_BUCKET": ""}).s3 is None
    with pytest.raises(InvalidInput, match="ZOO_S3_PUBLIC_URL"):
        read_environment(whole | {"ZOO_S3_PUBLIC_URL": "files.example.org"})


# The client, against a whole registry


@pytest.mark.django_db(transaction=True)
def test_the_client_sends_parts_to_the_bucket_and_fetches_ranges_from_it(
    service: S3Service,
    transactional_db: None,
    store: Path,
    member: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """And through the registry where the bucket cannot be reached."""
    from tests.zoo_server.factories import make_token
    from tests.zoo_server.live import live_server
    from zoo_client import Client
    from zoo_client.transfer.direct import DirectSender
    from zoo_client.transfer.uploads import Uploader, upload_file
    from zoo_client.transfer.wire import Broken

    made = service.bucket(f"zoo-{uuid4()}")
    environ = {
        "ZOO_S3_BUCKET": made.bucket, "ZOO_S3_ENDPOINT_URL": service.url,
        "ZOO_S3_ACCESS_KEY_ID": "key", "ZOO_S3_SECRET_ACCESS_KEY": "not-secret",
    }  # fmt: skip
    data = os.urandom(16 * 2**20 + 1000)
    (tmp_path / "large.bin").write_bytes(data)
    token = make_token(member)[1]
    with live_server(store, "--workers", "1", environ=environ) as server, Client(server.url, token) as client:
        uploader = Uploader(client.api, client.wire, None, {"team": "vision"})
        counted: list[int] = []
        done = upload_file(uploader, tmp_path / "large.bin", progress=counted.append)
        assert (done["state"], sum(counted)) == ("complete", len(data))
        assert Upload.objects.get(pk=done["id"]).multipart
        client.models.create("vision/large")
        client.models.versions.create("vision/large")
        client.models.versions.add_file("vision/large@1", "large.bin", upload=done["id"])
        pulled = client.pull("vision/large@1", tmp_path / "out")
        assert pulled.fetched == 1
        assert (tmp_path / "out" / "large.bin").read_bytes() == data
        assert keys(service, made) == [key_of(data)]

        def unreachable(*_arguments: Any) -> None:
            raise Broken("no route to the bucket")

        monkeypatch.setattr(DirectSender, "_put", unreachable)
        (tmp_path / "small.bin").write_bytes(DATA)
        uploader = Uploader(client.api, client.wire, None, {"team": "vision"}, sleep=lambda _seconds: None)
        done = upload_file(uploader, tmp_path / "small.bin")
        assert (done["state"], Upload.objects.get(pk=done["id"]).multipart) == ("complete", "")
    assert sorted(keys(service, made)) == sorted([key_of(data), key_of(DATA)])
