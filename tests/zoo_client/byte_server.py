"""A small real HTTP server that serves files by ranges and JSON, takes uploads, and misbehaves when told to."""

import json
import re
import threading
from dataclasses import dataclass, field
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

PREFIX = "/api/v1/"


def digest_of(data: bytes) -> str:
    return f"sha256:{sha256(data).hexdigest()}"


@dataclass
class Faults:
    """What goes wrong; lists are used up one entry per request."""

    drop_after: list[int] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    code: str = "unavailable"
    flip_byte_at: int | None = None
    ignore_ranges: bool = False
    hold_after: int | None = None
    lie_about_range: bool = False


class ByteServer(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        self.files: dict[str, bytes] = {}
        self.answers: dict[str, Any] = {}
        self.redirects: dict[str, str] = {}
        self.uploads: dict[str, dict[str, Any]] = {}
        self.faults = Faults()
        self.seen: list[tuple[str, str, dict[str, str]]] = []
        self.sent_bytes = 0
        self.release = threading.Event()
        self.lock = threading.Lock()
        self.thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self.thread.start()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Broken connections are what these tests are about."""

    def stop(self) -> None:
        self.release.set()
        self.shutdown()
        self.server_close()
        self.thread.join()

    def ranges(self) -> list[str]:
        return [headers.get("range", "") for method, path, headers in self.seen if path in self.files]

    def take(self, queue: list[int]) -> int | None:
        with self.lock:
            return queue.pop(0) if queue else None

    def add_version(self, reference: str, files: dict[str, bytes], **changes: Any) -> dict[str, Any]:
        """A version of a model, with its files, as the registry would answer it."""
        name, number = reference.split("@")
        version: dict[str, Any] = {
            "id": "v", "reference": reference, "team": name.split("/")[0], "name": name.split("/")[1], "kind": "model",
            "number": int(number), "state": "candidate", "digest": digest_of(b"v"), "size": 0, "notes": "",
            "dataset": None, "created_by": "ada", "created_at": "2026-01-01T00:00:00Z", "sealed_at": None, "job": None,
            "files": [{"path": p, "sha256": digest_of(data), "size": len(data)} for p, data in files.items()],
            "artifacts": [], "strategy": [], "parents": [], "metrics": [], "aliases": [], "state_changes": [],
            **changes,
        }  # fmt: skip
        route = f"{PREFIX}models/{name}/versions/{number}"
        self.answers[route] = version
        for path, data in files.items():
            self.files[f"{route}/files/{path}"] = data
        return version


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: ByteServer

    def log_message(self, *args: Any) -> None:
        pass

    def _note(self) -> bool:
        """Record the request; True if a fault has answered it."""
        self.server.seen.append((self.command, self.path, {k.lower(): v for k, v in self.headers.items()}))
        status = self.server.take(self.server.faults.statuses)
        if status:
            self._json(status, {"code": self.server.faults.code, "detail": f"told to answer {status}"})
            self.close_connection = True
        return bool(status)

    def _json(self, status: int, body: Any, **headers: str) -> None:
        content = json.dumps(body).encode() if body is not None else b""
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(content)

    def do_GET(self) -> None:
        if self._note():
            return
        if self.path in self.server.redirects:
            self.send_response(302)
            self.send_header("Location", self.server.redirects[self.path])
            self.send_header("Content-Length", "0")
            self.end_headers()
        elif self.path in self.server.files:
            self._file(self.server.files[self.path])
        elif self.path.split("?")[0] in self.server.answers:
            self._json(200, self.server.answers[self.path.split("?")[0]])
        elif (session := self._session()) is not None:
            self._json(200, session, Upload_Offset=str(session["offset"]))
        else:
            self._json(404, {"code": "not-found", "detail": f"no {self.path}", "hint": "look elsewhere"})

    def _file(self, data: bytes) -> None:
        faults = self.server.faults
        start, end = 0, len(data)
        match = re.match(r"bytes=(\d+)-(\d*)$", self.headers.get("Range", ""))
        if match and not faults.ignore_ranges:
            start, end = int(match[1]), min(len(data), int(match[2] or len(data) - 1) + 1)
        self.send_response(206 if match and not faults.ignore_ranges else 200)
        self.send_header("ETag", f'"{digest_of(data)}"')
        shown = start + 1 if faults.lie_about_range else start
        self.send_header("Content-Range", f"bytes {shown}-{end - 1}/{len(data)}")
        self.send_header("Content-Length", str(end - start))
        self.end_headers()
        body = bytearray(data[start:end])
        flip = faults.flip_byte_at
        if flip is not None and start <= flip < end:
            body[flip - start] ^= 1
        limit = self.server.take(faults.drop_after)
        if limit is not None and limit < len(body):
            self.wfile.write(body[:limit])
            self.server.sent_bytes += limit
            self.close_connection = True
            return
        if faults.hold_after is not None and len(body) > faults.hold_after:
            self.wfile.write(body[: faults.hold_after])
            self.wfile.flush()
            self.server.release.wait(60)
            body = body[faults.hold_after :]
        self.wfile.write(body)
        self.server.sent_bytes += len(body)

    def _session(self) -> dict[str, Any] | None:
        match = re.match(rf"{PREFIX}uploads/([^/]+)", self.path)
        return self.server.uploads.get(match[1]) if match else None

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))) or b"{}")
        if self._note():
            return
        session = self._session()
        if self.path == f"{PREFIX}uploads":
            number = f"u{len(self.server.uploads) + 1}"
            known = [(upload["sha256"], upload["state"]) for upload in self.server.uploads.values()]
            held = (body["sha256"], "complete") in known
            session = {"id": number, "state": "complete" if held else "open", "offset": body["size"] if held else 0}
            self.server.uploads[number] = session | {"size": body["size"], "sha256": body["sha256"]}
            self.server.files.setdefault(f"upload:{number}", b"")
            self._json(200 if held else 201, self.server.uploads[number])
        elif session is not None and self.path.endswith("/complete"):
            found = digest_of(self.server.files[f"upload:{session['id']}"])
            if session["state"] != "complete" and found != body["sha256"]:
                self._json(422, {"code": "integrity", "detail": f"{found} is not {body['sha256']}"})
                return
            session["state"] = "complete"
            self._json(200, session)
        else:
            self._json(404, {"code": "not-found", "detail": f"no {self.path}"})

    def do_PATCH(self) -> None:
        length = int(self.headers["Content-Length"])
        limit = self.server.take(self.server.faults.drop_after)
        data = self.rfile.read(length if limit is None else min(limit, length))
        if self._note():
            return
        session = self._session()
        if session is None:
            self._json(404, {"code": "not-found", "detail": "no such session"})
            return
        if int(self.headers["Upload-Offset"]) != session["offset"]:
            self._json(409, {"code": "offset-mismatch", "detail": "wrong", "facts": {"offset": session["offset"]}})
            return
        self.server.files[f"upload:{session['id']}"] += data
        session["offset"] += len(data)
        if limit is not None:
            self.close_connection = True
            return
        self.send_response(204)
        self.send_header("Upload-Offset", str(session["offset"]))
        self.end_headers()
