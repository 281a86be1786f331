"""Inputs from a registry whose blobs lie in S3: it redirects, and its token does not go along."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar
from uuid import uuid4

from zoo_worker.registry import Registry

DATA = b"0123456789"


class Bucket(BaseHTTPRequestHandler):
    """Answers ranges, and remembers with which headers it was asked."""

    asked: ClassVar[list[dict[str, str]]] = []

    def do_GET(self) -> None:
        self.asked.append({name.lower(): value for name, value in self.headers.items()})
        start = int(self.headers.get("Range", "bytes=0-").removeprefix("bytes=").removesuffix("-"))
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(DATA) - start))
        self.end_headers()
        self.wfile.write(DATA[start:])

    def log_message(self, *_args: object) -> None:
        """Quiet."""


@contextmanager
def serving(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def test_bytes_are_fetched_where_the_registry_redirects_to_without_its_token() -> None:
    with serving(Bucket) as bucket:

        class Redirecting(Bucket):
            def do_GET(self) -> None:
                assert self.headers["Authorization"] == "Bearer zoo_secret"
                self.send_response(307)
                self.send_header("Location", f"{bucket}/blobs/aa?X-Amz-Signature=x")
                self.send_header("Content-Length", "0")
                self.end_headers()

        with serving(Redirecting) as url:
            registry = Registry(url, "zoo_secret")
            with registry.attempt(str(uuid4()), 1).blob("sha256:" + "0" * 64, 4) as response:
                assert (response.status_code, response.read()) == (206, DATA[4:])
            registry.close()
    assert [("authorization" in headers, headers["range"]) for headers in Bucket.asked] == [(False, "bytes=4-")]
