"""Downloads: ranges, preconditions and headers; over a real gunicorn the kernel sends the bytes."""

import os
import random
from base64 import b64encode
from hashlib import sha256
from pathlib import Path
from uuid import uuid4

import httpx
import pytest
from django.test import Client

from tests.zoo_server.artifacts.conftest import digest_of
from tests.zoo_server.live import live_server
from zoo_sdk.errors import Unavailable
from zoo_server.artifacts.downloads import FileSlice, blob_response
from zoo_server.artifacts.models import Blob
from zoo_server.artifacts.selectors import blob_store

MIB = 2**20
DATA = random.Random(300).randbytes(300_000)
ETAG = f'"{digest_of(DATA)}"'
URL = f"/blob/{digest_of(DATA)}"
URLCONF = "tests.zoo_server.artifacts.urls_for_downloads"


@pytest.fixture
def blob(db, store, settings) -> Blob:
    settings.ROOT_URLCONF = URLCONF
    return make_blob(DATA)


def make_blob(data: bytes) -> Blob:
    with blob_store().session(upload := uuid4()) as file:
        file.write(data)
        file.keep_as(digest_of(data))
    blob_store().discard_session(upload)
    return Blob.objects.create(sha256=digest_of(data), size=len(data), format="opaque")


def body_of(answer) -> bytes:
    return b"".join(answer.streaming_content) if answer.streaming else answer.content


def test_the_whole_file_comes_with_its_headers(client: Client, blob):
    answer = client.get(URL)
    assert (answer.status_code, body_of(answer)) == (200, DATA)
    expected = {
        "ETag": ETAG,
        "Accept-Ranges": "bytes",
        "Content-Length": str(len(DATA)),
        "Content-Type": "application/octet-stream",
        "Content-Disposition": 'attachment; filename="model.bin"',
        "Repr-Digest": f"sha-256=:{b64encode(sha256(DATA).digest()).decode()}:",
        "Cache-Control": "private, no-cache",
        "X-Content-Type-Options": "nosniff",
    }
    assert {name: answer.headers[name] for name in expected} == expected


RANGES = [
    ("bytes=0-99", 0, 100),
    ("bytes=100-", 100, len(DATA)),
    ("bytes=-100", len(DATA) - 100, len(DATA)),
    ("bytes=299990-999999999", 299_990, len(DATA)),
    ("bytes=-999999999", 0, len(DATA)),
    ("bytes=5-5", 5, 6),
]


@pytest.mark.parametrize(("header", "start", "end"), RANGES)
def test_a_range_is_answered_with_its_bytes(client, blob, header, start, end):
    answer = client.get(URL, headers={"Range": header})
    assert (answer.status_code, body_of(answer)) == (206, DATA[start:end])
    assert answer.headers["Content-Range"] == f"bytes {start}-{end - 1}/{len(DATA)}"
    assert answer.headers["Content-Length"] == str(end - start)


@pytest.mark.parametrize("header", ["bytes=300000-", "bytes=999999999-", "bytes=-0"])
def test_a_range_outside_the_file_is_416(client, blob, header):
    answer = client.get(URL, headers={"Range": header})
    assert (answer.status_code, answer.headers["Content-Range"]) == (416, f"bytes */{len(DATA)}")


@pytest.mark.parametrize(
    "header", ["bytes=0-1,5-6", "bytes=9-5", "bytes=a-b", "lines=1-2", "bytes=-", "bytes=" + "9" * 30 + "-", "bytes"]
)
def test_a_range_that_is_not_understood_is_answered_with_the_whole(client, blob, header):
    answer = client.get(URL, headers={"Range": header})
    assert (answer.status_code, body_of(answer)) == (200, DATA)


@pytest.mark.parametrize(
    ("condition", "status"),
    [(ETAG, 206), (f"W/{ETAG}", 200), ('"sha256:other"', 200), ("Wed, 21 Oct 2026 07:28:00 GMT", 200)],
)
def test_a_range_holds_only_for_the_same_bytes(client, blob, condition, status):
    answer = client.get(URL, headers={"Range": "bytes=0-9", "If-Range": condition})
    assert (answer.status_code, body_of(answer)) == (status, DATA[:10] if status == 206 else DATA)


@pytest.mark.parametrize("header", [ETAG, f"W/{ETAG}", "*", f'"other", {ETAG}'])
def test_known_bytes_are_not_sent_again(client, blob, header):
    for method in (client.get, client.head):
        answer = method(URL, headers={"If-None-Match": header, "Range": "bytes=0-9"})
        assert (answer.status_code, answer.content, answer.headers["ETag"]) == (304, b"", ETAG)


def test_other_bytes_are_sent(client, blob):
    assert body_of(client.get(URL, headers={"If-None-Match": '"sha256:other"'})) == DATA


def test_head_tells_the_size_and_sends_nothing(client, blob):
    answer = client.head(URL, headers={"Range": "bytes=0-9"})
    assert (answer.status_code, answer.headers["Content-Length"], body_of(answer)) == (200, str(len(DATA)), b"")


def test_a_name_in_any_language_is_kept(client, blob):
    answer = client.get(URL, {"name": 'modèle "1".bin'})
    answer.close()
    assert answer.headers["Content-Disposition"] == "attachment; filename*=utf-8''mod%C3%A8le%20%221%22.bin"


def test_a_header_cannot_be_smuggled_in_with_the_name(client, blob):
    answer = client.get(URL, {"name": "a\r\nX-Evil: 1"})
    answer.close()
    assert "X-Evil" not in answer.headers
    assert "\n" not in answer.headers["Content-Disposition"]


def test_a_file_that_the_store_lost_is_an_error_and_not_empty(client, blob, store, rf):
    next(path for path in (store / "blobs").rglob("*") if path.is_file()).unlink()
    with pytest.raises(Unavailable, match="missing from the store"):
        blob_response(rf.get(URL), blob, "x")


def test_an_empty_blob_is_sent(client, blob):
    make_blob(b"")
    answer = client.get(f"/blob/{digest_of(b'')}")
    assert (answer.status_code, body_of(answer), answer.headers["Content-Length"]) == (200, b"", "0")


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
def test_over_gunicorn_the_kernel_sends_files_and_ranges(store, monkeypatch, tmp_path):
    """``FileSlice.read`` raises in this server: every byte that arrives was sent by sendfile."""
    size = 256 * MIB
    data = os.urandom(MIB) * (size // MIB)
    blob = make_blob(data)
    (tmp_path / "only_sendfile.py").write_text(
        "from tests.zoo_server.artifacts.urls_for_downloads import urlpatterns\n"
        "from zoo_server.artifacts.downloads import FileSlice, blob_response\n"
        "def read(self, size=-1):\n"
        "    raise AssertionError('the bytes passed through Python')\n"
        "FileSlice.read = read\n"
    )
    (tmp_path / "probe_settings.py").write_text(
        "from zoo_server.config.settings import *\nROOT_URLCONF = 'only_sendfile'\n"
    )
    environ = {"PYTHONPATH": f"{tmp_path}{os.pathsep}{Path.cwd()}", "DJANGO_SETTINGS_MODULE": "probe_settings"}
    with live_server(store, environ=environ) as server, httpx.Client(base_url=server.url, timeout=60) as http:
        http.get("/healthz")
        before = sum(worker.memory_info().rss for worker in server.workers())
        peak, found = 0, sha256()
        with http.stream("GET", f"/blob/{blob.sha256}") as answer:
            for number, piece in enumerate(answer.iter_bytes(MIB)):
                found.update(piece)
                if number % 32 == 0:
                    peak = max(peak, sum(worker.memory_info().rss for worker in server.workers()))
        assert f"sha256:{found.hexdigest()}" == blob.sha256
        assert peak - before < 30 * MIB
        answer = http.get(f"/blob/{blob.sha256}", headers={"Range": f"bytes={5 * MIB + 7}-{9 * MIB}"})
        assert (answer.status_code, answer.content) == (206, data[5 * MIB + 7 : 9 * MIB + 1])
        head = http.head(f"/blob/{blob.sha256}")
        assert (head.status_code, head.headers["Content-Length"], head.content) == (200, str(size), b"")
        assert http.get("/healthz").status_code == 200  # the connection is still in step


def test_a_slice_ends_where_it_should_without_sendfile(tmp_path):
    (tmp_path / "f").write_bytes(b"0123456789")
    file = (tmp_path / "f").open("rb", buffering=0)
    file.seek(2)
    piece = FileSlice(file, 5)
    assert (piece.read(3), piece.read(), piece.read()) == (b"234", b"56", b"")
    piece.close()
