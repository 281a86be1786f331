"""Uploads to a real gunicorn: memory, broken connections, kill -9, concurrency, a full disk."""

import os
import socket
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import psutil
import pytest

from tests.zoo_server.artifacts.conftest import UPLOADS, digest_of
from tests.zoo_server.factories import make_token
from tests.zoo_server.live import live_server
from zoo_server.artifacts.models import Blob

pytestmark = pytest.mark.django_db(transaction=True)
MIB = 2**20
PART = {"Content-Type": "application/offset+octet-stream"}


def new_session(http: httpx.Client, size: int, **more: str) -> str:
    answer = http.post(UPLOADS, json={"team": "vision", "size": size, **more})
    assert answer.status_code == 201, answer.text
    return f"{UPLOADS}/{answer.json()['id']}"


def patch(http: httpx.Client, upload: str, offset: int, data: object) -> httpx.Response:
    return http.patch(upload, content=data, headers=PART | {"Upload-Offset": str(offset)})  # type: ignore[arg-type]


def offset_of(http: httpx.Client, upload: str) -> int:
    return int(http.head(upload).headers["Upload-Offset"])


def break_off(http: httpx.Client, upload: str, announced: int, data: bytes, *, wait: float = 0.0) -> None:
    """Announce a part, send some of it, and drop the connection."""
    address = urlsplit(str(http.base_url))
    head = f"PATCH {upload} HTTP/1.1\r\nHost: {address.netloc}\r\nAuthorization: {http.headers['Authorization']}\r\n"
    head += f"Content-Type: {PART['Content-Type']}\r\nUpload-Offset: 0\r\nContent-Length: {announced}\r\n\r\n"
    with socket.create_connection((address.hostname, address.port), timeout=10) as connection:
        connection.sendall(head.encode() + data)
        time.sleep(wait)


def wait_for(condition, seconds: float = 15.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.05)


def test_a_large_part_is_never_held_in_memory(http, live):
    size = 192 * MIB
    http.get("/healthz")
    before = sum(worker.memory_info().rss for worker in live.workers())
    upload = new_session(http, size)
    piece = os.urandom(MIB)
    peak = 0

    def body():
        nonlocal peak
        for number in range(size // MIB):
            yield piece
            if number % 16 == 0:
                peak = max(peak, sum(worker.memory_info().rss for worker in live.workers()))

    answer = http.patch(
        upload, content=body(), headers=PART | {"Upload-Offset": "0", "Content-Length": str(size)}, timeout=120
    )
    assert answer.status_code == 204
    assert peak - before < 60 * MIB
    digest = sha256()
    for _ in range(size // MIB):
        digest.update(piece)
    done = http.post(f"{upload}/complete", json={"sha256": f"sha256:{digest.hexdigest()}"})
    assert done.json()["size"] == size


def test_a_chunked_part_without_length_is_accepted(http):
    upload = new_session(http, 6)
    assert patch(http, upload, 0, iter([b"123", b"456"])).status_code == 204
    assert http.post(f"{upload}/complete", json={"sha256": digest_of(b"123456")}).status_code == 200


def test_a_chunked_part_that_is_too_long_is_refused(http):
    upload = new_session(http, 4)
    assert patch(http, upload, 0, iter([b"123", b"456"])).json()["code"] == "integrity"
    assert offset_of(http, upload) == 0


def test_a_broken_connection_keeps_what_arrived(http):
    data = os.urandom(5 * MIB)
    upload = new_session(http, len(data))
    break_off(http, upload, len(data), data[: 3 * MIB])
    wait_for(lambda: offset_of(http, upload) == 3 * MIB)
    assert patch(http, upload, 3 * MIB, data[3 * MIB :]).status_code == 204
    assert http.post(f"{upload}/complete", json={"sha256": digest_of(data)}).status_code == 200


@pytest.mark.slow
def test_an_upload_goes_on_after_kill_9_of_the_server(transactional_db, member, store):
    data = os.urandom(6 * MIB)
    headers = {"Authorization": f"Bearer {make_token(member)[1]}"}
    with live_server(store) as server, httpx.Client(base_url=server.url, headers=headers, timeout=30) as http:
        upload = new_session(http, len(data))
        assert patch(http, upload, 0, data[: 2 * MIB]).status_code == 204
        session = store / "sessions" / upload.rpartition("/")[2]
        address = urlsplit(server.url)
        head = f"PATCH {upload} HTTP/1.1\r\nHost: {address.netloc}\r\nAuthorization: {headers['Authorization']}\r\n"
        head += f"Content-Type: {PART['Content-Type']}\r\nUpload-Offset: {2 * MIB}\r\nContent-Length: {4 * MIB}\r\n\r\n"
        with socket.create_connection((address.hostname, address.port)) as connection:
            connection.sendall(head.encode() + data[2 * MIB : 5 * MIB])
            wait_for(lambda: session.stat().st_size > 2 * MIB)  # written, not yet counted
            server.kill()
    with live_server(store) as server, httpx.Client(base_url=server.url, headers=headers, timeout=30) as http:
        assert offset_of(http, upload) == 2 * MIB
        assert patch(http, upload, 2 * MIB, data[2 * MIB :]).status_code == 204
        assert http.post(f"{upload}/complete", json={"sha256": digest_of(data)}).status_code == 200


def test_of_concurrent_parts_at_one_offset_exactly_one_counts(http):
    data = os.urandom(2 * MIB)
    upload = new_session(http, len(data))
    with ThreadPoolExecutor(6) as pool:
        codes = sorted(pool.map(lambda _: patch(http, upload, 0, data).status_code, range(6)))
    assert codes == [204, 409, 409, 409, 409, 409]
    assert http.post(f"{upload}/complete", json={"sha256": digest_of(data)}).status_code == 200


def test_concurrent_uploads_of_the_same_bytes_make_one_blob(http):
    data = os.urandom(MIB)

    def upload_once(_: int) -> int:
        upload = new_session(http, len(data))
        assert patch(http, upload, 0, data).status_code == 204
        return http.post(f"{upload}/complete", json={"sha256": digest_of(data)}).status_code

    with ThreadPoolExecutor(6) as pool:
        assert set(pool.map(upload_once, range(6))) == {200}
    assert Blob.objects.count() == 1


@pytest.fixture
def small_disk(tmp_path: Path):
    """A file system of 4 MiB."""
    if os.geteuid() != 0:
        pytest.skip("mounting a small tmpfs needs root; the quota test covers the same answer")
    folder = tmp_path / "small"
    folder.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", folder], check=False).returncode:
        pytest.skip("this machine does not let root mount a tmpfs")
    yield folder
    subprocess.run(["umount", folder], check=True)


def test_a_full_disk_is_a_clear_error_and_leaves_no_half_written_blob(transactional_db, member, small_disk):
    headers = {"Authorization": f"Bearer {make_token(member)[1]}"}
    store = small_disk / "store"
    data = os.urandom(3 * MIB)
    with live_server(store) as server, httpx.Client(base_url=server.url, headers=headers, timeout=30) as http:
        upload = new_session(http, len(data))
        assert patch(http, upload, 0, data[:MIB]).status_code == 204
        (small_disk / "ballast").write_bytes(bytes(2 * MIB))
        answer = patch(http, upload, MIB, data[MIB:])
        assert (answer.status_code, answer.json()["code"]) == (507, "insufficient-storage")
        assert "full" in answer.json()["detail"]
        assert (store / "sessions" / upload.rpartition("/")[2]).stat().st_size == MIB
        assert offset_of(http, upload) == MIB
        refused = http.post(UPLOADS, json={"team": "vision", "size": 100 * MIB})
        assert refused.status_code == 507
        (small_disk / "ballast").unlink()
        assert patch(http, upload, MIB, data[MIB:]).status_code == 204
        assert http.post(f"{upload}/complete", json={"sha256": digest_of(data)}).status_code == 200
    assert Blob.objects.count() == 1


def test_the_server_leaves_no_process_behind(transactional_db, store):
    with live_server(store) as server:
        processes = [server.process.pid, *(worker.pid for worker in server.workers())]
        assert len(processes) == 3
    assert not any(psutil.pid_exists(pid) for pid in processes)
