"""A small web server whose files can be broken in the ways that real ones are."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from time import sleep


@dataclass
class Page:
    """One file.  ``break_after``: bytes of an answer after which the connection is closed; ``pause`` follows each."""

    content: bytes = b""
    status: int = 200
    location: str = ""
    etag: str | None = None
    modified: str | None = None
    ranges: bool = True
    length: bool = True
    encoding: str = ""
    break_after: int | None = None
    pause: float = 0.0
    piece: int = 65536
    fail_first: int = 0

    def validator(self) -> str:
        """The ETag: by default one of the content."""
        return f'"{sha256(self.content).hexdigest()[:16]}"' if self.etag is None else self.etag


@dataclass
class RemoteServer:
    """Pages by path, and the requests that came: path and Range header."""

    url: str = ""
    pages: dict[str, Page] = field(default_factory=dict)
    requests: list[tuple[str, str]] = field(default_factory=list)

    def put(self, path: str, content: bytes = b"", **options: object) -> str:
        """Serve ``content`` under ``path``; answers the address."""
        self.pages[path] = Page(content, **options)  # type: ignore[arg-type]
        return f"{self.url}{path}"


class Handler(BaseHTTPRequestHandler):
    remote: RemoteServer
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        asked = self.headers.get("Range", "")
        self.remote.requests.append((self.path, asked))
        page = self.remote.pages.get(self.path)
        if page is None:
            self._head(404, 0)
        elif page.fail_first > 0:
            page.fail_first -= 1
            self._head(503, 0)
        elif page.location or page.status != 200:
            self._head(page.status, 0, Location=page.location)
        else:
            self._body(page, asked)

    def _body(self, page: Page, asked: str) -> None:
        start = 0
        names = {page.validator(), page.modified or ""} - {""}
        if asked and page.ranges and self.headers.get("If-Range") in names:
            start = int(asked.removeprefix("bytes=").rstrip("-"))
        total = len(page.content)
        more = {"Content-Range": f"bytes {start}-{total - 1}/{total}"} if start else {}
        more |= {"Content-Encoding": page.encoding} if page.encoding else {}
        more |= {"ETag": page.validator()} if page.validator() else {}
        more |= {"Last-Modified": page.modified} if page.modified else {}
        self._head(206 if start else 200, total - start if page.length else None, **more)
        content = page.content[start:] if page.break_after is None else page.content[start:][: page.break_after]
        try:
            for at in range(0, len(content), page.piece):
                self.wfile.write(content[at : at + page.piece])
                sleep(page.pause)
        except OSError:
            pass
        self.close_connection = True

    def _head(self, status: int, length: int | None, **headers: str) -> None:
        self.send_response(status)
        if length is not None:
            self.send_header("Content-Length", str(length))
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Connection", "close")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  its signature
        pass


@contextmanager
def remote_server() -> Iterator[RemoteServer]:
    """Serve on a port of its own until the block ends."""
    made = RemoteServer()
    with ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (Handler,), {"remote": made})) as httpd:
        made.url = f"http://127.0.0.1:{httpd.server_address[1]}"
        thread = threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield made
        finally:
            httpd.shutdown()
            thread.join(5)
