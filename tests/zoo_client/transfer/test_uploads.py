"""Uploads against a real server that breaks off."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from random import Random

import pytest

from tests.zoo_client.byte_server import ByteServer, digest_of
from zoo_client.api import Api
from zoo_client.errors import Unreachable
from zoo_client.transfer import uploads
from zoo_client.transfer.journal import UploadJournal
from zoo_client.transfer.uploads import Uploader, upload_file
from zoo_client.transfer.wire import Wire
from zoo_sdk.errors import IntegrityError, InvalidInput

MIB = 1024 * 1024
DATA = Random(5).randbytes(3 * MIB + 77)


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploads, "PIECE_BYTES", MIB)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "weights.safetensors"
    path.write_bytes(DATA)
    return path


MakeUploader = Callable[[], Uploader]


@pytest.fixture
def make_uploader(server: ByteServer, tmp_path: Path) -> Iterator[MakeUploader]:
    """Makes what a process of its own would have: only the journal's folder is shared."""
    with ExitStack() as stack:

        def make() -> Uploader:
            wire = stack.enter_context(closing(Wire(server.url, "zoo_secret", timeout=5)))
            api = stack.enter_context(Api(server.url, "zoo_secret"))
            journal = UploadJournal(tmp_path / "journal")
            return Uploader(api, wire, journal, {"team": "vision"}, sleep=lambda seconds: None)

        yield make


@pytest.fixture
def uploader(make_uploader: MakeUploader) -> Uploader:
    return make_uploader()


def patches(server: ByteServer) -> list[int]:
    return [int(headers["upload-offset"]) for method, _, headers in server.seen if method == "PATCH"]


def test_a_file_arrives_in_pieces_and_its_session_is_forgotten(
    uploader: Uploader, server: ByteServer, file: Path, tmp_path: Path
) -> None:
    done: list[int] = []
    answer = upload_file(uploader, file, progress=done.append)
    assert answer["state"] == "complete"
    assert server.files["upload:u1"] == DATA
    assert patches(server) == [0, MIB, 2 * MIB, 3 * MIB]
    assert sum(done) == len(DATA)
    assert list((tmp_path / "journal").iterdir()) == []


def test_bytes_that_the_registry_has_are_not_sent(uploader: Uploader, server: ByteServer, file: Path) -> None:
    upload_file(uploader, file)
    sent = len(patches(server))
    assert upload_file(uploader, file)["state"] == "complete"
    assert len(patches(server)) == sent


def test_after_a_break_the_server_is_asked_how_far_it_came(uploader: Uploader, server: ByteServer, file: Path) -> None:
    server.faults.drop_after = [MIB, 300_000]
    upload_file(uploader, file)
    assert server.files["upload:u1"] == DATA
    assert MIB + 300_000 in patches(server)


def test_a_later_process_goes_on_with_the_session(make_uploader: MakeUploader, server: ByteServer, file: Path) -> None:
    server.faults.drop_after = [MIB] + [0] * 50
    with pytest.raises(Unreachable, match="broke off"):
        upload_file(make_uploader(), file)
    server.faults.drop_after = []
    before = len(patches(server))
    upload_file(make_uploader(), file)
    assert patches(server)[before:] == [MIB, 2 * MIB, 3 * MIB]
    assert list(server.uploads) == ["u1"]
    assert server.files["upload:u1"] == DATA


def test_a_session_that_the_server_forgot_is_begun_anew(
    make_uploader: MakeUploader, server: ByteServer, file: Path
) -> None:
    server.faults.drop_after = [MIB] + [0] * 50
    with pytest.raises(Unreachable):
        upload_file(make_uploader(), file)
    server.faults.drop_after = []
    server.uploads.clear()
    server.files.clear()
    upload_file(make_uploader(), file)
    assert server.files["upload:u1"] == DATA


def test_a_wrong_digest_is_refused_and_not_resumed(
    uploader: Uploader, server: ByteServer, file: Path, tmp_path: Path
) -> None:
    with pytest.raises(IntegrityError):
        upload_file(uploader, file, digest=digest_of(b"something else"))
    assert list((tmp_path / "journal").iterdir()) == []


def test_a_file_that_changes_meanwhile_is_refused(uploader: Uploader, file: Path) -> None:
    def touch(count: int) -> None:
        file.write_bytes(DATA)

    with pytest.raises(InvalidInput, match="changed while"):
        upload_file(uploader, file, progress=touch)


def test_an_empty_file_is_uploaded(uploader: Uploader, tmp_path: Path) -> None:
    path = tmp_path / "empty"
    path.touch()
    assert upload_file(uploader, path)["state"] == "complete"
