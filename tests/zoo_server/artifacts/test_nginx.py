"""Downloads through a real nginx with deploy/nginx.conf: the same answers, and no way around the registry."""

import os
import random
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
from django.test import Client

from tests.zoo_server.artifacts.conftest import digest_of
from tests.zoo_server.live import live_server
from zoo_server.artifacts.models import Blob
from zoo_server.artifacts.selectors import blob_store

NGINX = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
CONFIG = Path(__file__).parents[3] / "deploy" / "nginx.conf"
DATA = random.Random(301).randbytes(300_000)
DIGITS = digest_of(DATA).removeprefix("sha256:")
URL = f"/blob/{digest_of(DATA)}"
ETAG = f'"{digest_of(DATA)}"'
URLCONF = "tests.zoo_server.artifacts.urls_for_downloads"
COMPARED = (
    "Content-Type", "Content-Length", "Content-Range", "Content-Disposition", "Cache-Control", "ETag", "Accept-Ranges",
    "Digest", "Repr-Digest", "Last-Modified", "X-Content-Type-Options", "X-Frame-Options", "Referrer-Policy",
    "Cross-Origin-Opener-Policy",
)  # fmt: skip


def make_blob() -> Blob:
    with blob_store().session(upload := uuid4()) as file:
        file.write(DATA)
        file.keep_as(digest_of(DATA))
    blob_store().discard_session(upload)
    return Blob.objects.create(sha256=digest_of(DATA), size=len(DATA), format="opaque")


@pytest.fixture
def accelerated(settings: Any, store: Path) -> None:
    settings.ZOO_X_ACCEL_PREFIX = "/_blobs/"
    settings.ROOT_URLCONF = URLCONF


def test_nginx_is_told_the_file_and_the_headers(accelerated: None, db: None, client: Client) -> None:
    make_blob()
    answer = client.get(URL, headers={"Range": "bytes=5-9"})
    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["X-Accel-Redirect"] == f"/_blobs/{DIGITS[:2]}/{DIGITS[2:4]}/{DIGITS}"
    assert answer.headers["ETag"] == ETAG


@pytest.mark.parametrize(
    "headers",
    [
        {"Range": "bytes=0-1,5-6"},
        {"Range": "bytes=0-1", "If-Range": '"another"'},
        {"If-Match": ETAG},
        {"If-Unmodified-Since": "Tue, 24 Nov 2026 00:00:00 GMT"},
    ],
)
def test_what_nginx_would_understand_otherwise_is_sent_from_here(
    accelerated: None, db: None, client: Client, headers: dict[str, str]
) -> None:
    make_blob()
    answer = client.get(URL, headers=headers)
    assert "X-Accel-Redirect" not in answer.headers
    assert b"".join(answer.streaming_content) == DATA  # type: ignore[attr-defined]


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    for _ in range(600):
        assert process.poll() is None, "nginx ended"
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise AssertionError("nginx did not start")


@pytest.fixture
def front(tmp_path: Path, store: Path) -> Iterator[tuple[httpx.Client, httpx.Client]]:
    """Clients of a registry that sends by itself, and of an nginx before one that has nginx send."""
    if NGINX is None:
        pytest.skip("nginx is not installed (Debian: apt-get install nginx-light)")
    port, folder = free_port(), tmp_path / "nginx"
    folder.mkdir()
    (tmp_path / "probe_settings.py").write_text(
        f"from zoo_server.config.settings import *\nROOT_URLCONF = {URLCONF!r}\n"
    )
    environ = {"PYTHONPATH": f"{tmp_path}{os.pathsep}{Path.cwd()}", "DJANGO_SETTINGS_MODULE": "probe_settings"}
    behind = environ | {"ZOO_X_ACCEL_PREFIX": "/_blobs/", "ZOO_ALLOWED_HOSTS": "127.0.0.1"}
    with (
        live_server(store, "--workers", "1", environ=environ) as plain,
        live_server(store, "--workers", "1", environ=behind) as server,
    ):
        text = CONFIG.read_text("utf-8")
        for before, after in (
            ("server 127.0.0.1:8080;", f"server {server.url.removeprefix('http://')};"),
            ("listen 80;", f"listen 127.0.0.1:{port};"),
            ("alias /var/lib/zoo/store/blobs/;", f"alias {store}/blobs/;"),
        ):
            assert text.count(before) == 1
            text = text.replace(before, after)
        paths = "".join(
            f"{name}_temp_path {folder}/{name};" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        user = "user root;" if os.geteuid() == 0 else ""
        whole = f"{user} pid {folder}/pid; error_log {folder}/error.log; daemon off; worker_processes 1;"
        whole += f"events {{}} http {{ {paths} access_log off; {text} }}"
        (folder / "nginx.conf").write_text(whole)
        process = subprocess.Popen(
            [NGINX, "-p", str(folder), "-e", f"{folder}/error.log", "-c", f"{folder}/nginx.conf"]
        )
        try:
            wait_for(port, process)
            with (
                httpx.Client(base_url=plain.url, timeout=30) as direct,
                httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30) as through,
            ):
                yield direct, through
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(20)


@pytest.mark.django_db(transaction=True)
def test_nginx_answers_as_the_registry_does(front: tuple[httpx.Client, httpx.Client], store: Path) -> None:
    make_blob()
    direct, through = front
    requests: list[tuple[str, dict[str, str]]] = [
        ("GET", {}),
        ("HEAD", {}),
        ("HEAD", {"Range": "bytes=0-9"}),
        ("GET", {"Range": "bytes=0-99"}),
        ("GET", {"Range": "bytes=100-"}),
        ("GET", {"Range": "bytes=-100"}),
        ("GET", {"Range": "bytes=299990-999999999"}),
        ("GET", {"Range": "bytes=300000-"}),
        ("GET", {"Range": "bytes=9-3"}),
        ("GET", {"Range": "bytes=0-1,5-6"}),
        ("GET", {"Range": "bytes=0-99", "If-Range": ETAG}),
        ("GET", {"Range": "bytes=0-99", "If-Range": '"another"'}),
        ("GET", {"If-None-Match": ETAG}),
        ("GET", {"If-None-Match": '"another"'}),
        ("GET", {"If-Modified-Since": "Tue, 24 Nov 2099 00:00:00 GMT"}),
        ("GET", {"If-Match": '"another"'}),
    ]
    for method, headers in requests:
        answers = [client.request(method, URL, headers=headers) for client in (direct, through)]
        assert answers[0].status_code == answers[1].status_code, (method, headers)
        told, passed = ({name: answer.headers.get(name) for name in COMPARED} for answer in answers)
        differing = {name: (told[name], passed[name]) for name in COMPARED if told[name] != passed[name]}
        if answers[1].status_code == 206:
            differing.pop("Accept-Ranges", None)  # nginx leaves it out of a part
        assert differing == {}, (method, headers)
        assert answers[0].content == answers[1].content, (method, headers)
        assert "X-Accel-Redirect" not in answers[1].headers

    inside = f"/_blobs/{DIGITS[:2]}/{DIGITS[2:4]}/{DIGITS}"
    for path in (inside, f"/blob/..{inside}", inside.replace("/_blobs/", "/_blobs//"), inside.replace("_", "%5F")):
        assert through.get(path).status_code == 404
    assert through.get(inside, headers={"X-Accel-Redirect": inside}).status_code == 404
    (store / "blobs" / DIGITS[:2] / DIGITS[2:4] / DIGITS).unlink()
    assert through.get(URL).status_code == direct.get(URL).status_code == 500
