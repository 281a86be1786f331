"""Sending a part of a file: what lies before and behind it in an archive stays where it is."""

import hashlib
from base64 import b64encode
from pathlib import Path
from typing import Any

from zoo_client.transfer.direct import DirectSender


class _Api:
    """The registry's side of a direct upload: offers an address for each part."""

    def __init__(self) -> None:
        self.offered: dict[int, str] = {}

    def get(self, _route: str) -> dict[str, Any]:
        return {"parts": []}

    def post(self, _route: str, body: dict[str, Any], *, repeatable: bool) -> dict[str, Any]:
        assert repeatable
        (part,) = body["parts"]
        self.offered[part["number"]] = part["checksum"]
        return {"parts": [{"url": f"http://bucket.example/{part['number']}", "headers": {}}]}


def test_a_direct_upload_reads_from_where_the_blob_begins(tmp_path: Path, monkeypatch):
    content = bytes(range(256)) * 40
    path = tmp_path / "archive.tar"
    path.write_bytes(b"before" + content + b"behind")
    sent: dict[int, bytes] = {}

    def put(self: DirectSender, offered: dict[str, Any], descriptor: int, start: int, length: int) -> None:
        with path.open("rb") as file:
            file.seek(start)
            sent[int(offered["url"].rpartition("/")[2])] = file.read(length)

    monkeypatch.setattr(DirectSender, "_put", put)
    api, done = _Api(), []
    sender = DirectSender(api, None, "session", path, len(content), 4096, done.append, start=len(b"before"))  # type: ignore[arg-type]
    sender.send()
    assert b"".join(sent[number] for number in sorted(sent)) == content
    assert sum(done) == len(content)
    assert api.offered == {number: b64encode(hashlib.sha256(piece).digest()).decode() for number, piece in sent.items()}
