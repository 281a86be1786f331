"""Downloads against a real server that breaks off, lies and answers late."""

import os
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from random import Random

import pytest

from tests.zoo_client.byte_server import PREFIX, ByteServer, digest_of
from zoo_client.errors import Gone, NoRoom, ServerFault, Unreachable
from zoo_client.transfer import downloads
from zoo_client.transfer.body import write_body
from zoo_client.transfer.downloads import RemoteFile, download_file
from zoo_client.transfer.wire import Wire
from zoo_sdk.errors import Conflict, IntegrityError, NotFound

MIB = 1024 * 1024
DATA = Random(7).randbytes(9 * MIB + 12_345)
PATH = PREFIX + "files/model.bin"


@pytest.fixture(autouse=True)
def small_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a few MiB are several requests."""
    monkeypatch.setattr(downloads, "SEGMENT_BYTES", 2 * MIB)
    monkeypatch.setattr(downloads, "NOTE_BYTES", MIB // 2)


@pytest.fixture
def remote(server: ByteServer) -> RemoteFile:
    server.files[PATH] = DATA
    return RemoteFile(server.url + PATH, digest_of(DATA), len(DATA))


@pytest.fixture
def wire(server: ByteServer) -> Iterator[Wire]:
    with closing(Wire(server.url, "zoo_secret", timeout=5)) as made:
        yield made


def no_sleep(seconds: float) -> None:
    pass


def fetch(wire: Wire, remote: RemoteFile, place: Path, connections: int = 3) -> bool:
    return download_file(wire, remote, place, connections=connections, sleep=no_sleep)


def leftovers(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name.startswith("."))


def test_a_file_arrives_whole_by_several_ranges_and_leaves_nothing_beside_it(
    wire: Wire, remote: RemoteFile, server: ByteServer, tmp_path: Path
) -> None:
    done = []
    assert download_file(wire, remote, tmp_path / "model.bin", progress=done.append)
    assert (tmp_path / "model.bin").read_bytes() == DATA
    assert sum(done) == len(DATA)
    assert len(server.ranges()) == 5
    assert leftovers(tmp_path) == []


def test_an_empty_file_arrives(wire: Wire, server: ByteServer, tmp_path: Path) -> None:
    server.files[PATH] = b""
    assert fetch(wire, RemoteFile(server.url + PATH, digest_of(b""), 0), tmp_path / "empty")
    assert (tmp_path / "empty").read_bytes() == b""


def test_a_present_file_with_the_right_digest_is_not_fetched_again(
    wire: Wire, remote: RemoteFile, server: ByteServer, tmp_path: Path
) -> None:
    (tmp_path / "model.bin").write_bytes(DATA)
    assert not fetch(wire, remote, tmp_path / "model.bin")
    assert server.seen == []


def test_a_present_file_with_another_digest_is_replaced(wire: Wire, remote: RemoteFile, tmp_path: Path) -> None:
    (tmp_path / "model.bin").write_bytes(bytes(len(DATA)))
    assert fetch(wire, remote, tmp_path / "model.bin")
    assert (tmp_path / "model.bin").read_bytes() == DATA


def test_dropped_connections_are_taken_up_where_the_last_byte_was(
    wire: Wire, remote: RemoteFile, server: ByteServer, tmp_path: Path
) -> None:
    server.faults.drop_after = [100_000, 700_000, 1, 1_500_000]
    assert fetch(wire, remote, tmp_path / "model.bin")
    assert (tmp_path / "model.bin").read_bytes() == DATA
    assert server.sent_bytes < len(DATA) + 100_000


def test_busy_answers_are_asked_again(wire: Wire, remote: RemoteFile, server: ByteServer, tmp_path: Path) -> None:
    server.faults.statuses = [503, 502, 504]
    assert fetch(wire, remote, tmp_path / "model.bin")
    assert (tmp_path / "model.bin").read_bytes() == DATA


def test_a_server_that_is_never_there_ends_in_unreachable_and_keeps_what_has_come(
    wire: Wire, remote: RemoteFile, server: ByteServer, tmp_path: Path
) -> None:
    server.faults.drop_after = [1_000_000] + [0] * 200
    with pytest.raises(Unreachable, match="broke off"):
        fetch(wire, remote, tmp_path / "model.bin", connections=1)
    assert not (tmp_path / "model.bin").exists()
    assert len(leftovers(tmp_path)) == 2
    server.faults.drop_after = []
    before = server.sent_bytes
    assert fetch(wire, remote, tmp_path / "model.bin")
    assert (tmp_path / "model.bin").read_bytes() == DATA
    assert server.sent_bytes - before < len(DATA) - 900_000


def test_wrong_bytes_are_refused_and_nothing_is_left(
    wire: Wire, remote: RemoteFile, server: ByteServer, tmp_path: Path
) -> None:
    server.faults.flip_byte_at = 5 * MIB
    with pytest.raises(IntegrityError, match=remote.sha256):
        fetch(wire, remote, tmp_path / "model.bin")
    assert list(tmp_path.glob("*model*")) == []
    assert leftovers(tmp_path) == []


def test_another_files_etag_is_refused_before_a_byte_is_written(
    wire: Wire, remote: RemoteFile, server: ByteServer, tmp_path: Path
) -> None:
    server.files[PATH] = bytes(len(DATA))
    with pytest.raises(IntegrityError, match="The server holds"):
        fetch(wire, remote, tmp_path / "model.bin")
    assert leftovers(tmp_path) == []


def test_a_spoilt_part_file_of_an_earlier_process_is_fetched_anew(
    wire: Wire, remote: RemoteFile, server: ByteServer, tmp_path: Path
) -> None:
    server.faults.drop_after = [1_000_000] + [0] * 200
    with pytest.raises(Unreachable):
        fetch(wire, remote, tmp_path / "model.bin", connections=1)
    server.faults.drop_after = []
    part = next(tmp_path.glob(".*.part"))
    with part.open("r+b") as file:
        file.write(b"spoilt by a power failure")
    assert fetch(wire, remote, tmp_path / "model.bin")
    assert (tmp_path / "model.bin").read_bytes() == DATA


def test_a_server_without_ranges_serves_a_file_of_one_segment(wire: Wire, server: ByteServer, tmp_path: Path) -> None:
    server.files[PATH] = DATA[:MIB]
    server.faults.ignore_ranges = True
    assert fetch(wire, RemoteFile(server.url + PATH, digest_of(DATA[:MIB]), MIB), tmp_path / "small")
    assert (tmp_path / "small").read_bytes() == DATA[:MIB]


def test_an_answer_with_another_range_is_refused(
    wire: Wire, remote: RemoteFile, server: ByteServer, tmp_path: Path
) -> None:
    server.faults.lie_about_range = True
    with pytest.raises(ServerFault, match="answered bytes"):
        fetch(wire, remote, tmp_path / "model.bin")
    assert not (tmp_path / "model.bin").exists()


@pytest.mark.parametrize(("status", "error"), [(410, Gone), (404, NotFound)])
def test_a_withdrawn_and_a_missing_file_are_told_apart(
    wire: Wire, remote: RemoteFile, server: ByteServer, tmp_path: Path, status: int, error: type[Exception]
) -> None:
    codes = {410: "gone", 404: "not-found"}
    server.faults.statuses = [status] * 20
    server.faults.code = codes[status]
    with pytest.raises(error) as caught:
        fetch(wire, remote, tmp_path / "model.bin")
    assert caught.type is error


def test_the_token_is_not_sent_to_where_a_redirect_leads(
    wire: Wire, remote: RemoteFile, server: ByteServer, tmp_path: Path
) -> None:
    other = ByteServer()
    try:
        other.files["/bucket/object"] = DATA
        server.redirects[PATH] = f"{other.url}/bucket/object"
        assert fetch(wire, remote, tmp_path / "model.bin")
        assert all("authorization" not in headers for _, _, headers in other.seen)
        assert all(headers["authorization"] == "Bearer zoo_secret" for _, _, headers in server.seen)
    finally:
        other.stop()


def test_a_proxy_of_the_environment_is_used(
    remote: RemoteFile, server: ByteServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", server.url)
    monkeypatch.setenv("no_proxy", "")
    address = "http://zoo.example.org/model.bin"
    server.files[address] = DATA  # a proxy sees whole addresses
    with closing(Wire("http://zoo.example.org", None, timeout=5)) as wire:
        assert fetch(wire, RemoteFile(address, remote.sha256, remote.size), tmp_path / "model.bin")


def test_a_second_process_on_the_same_file_is_told_so(wire: Wire, remote: RemoteFile, tmp_path: Path) -> None:
    import fcntl

    part = tmp_path / f".{remote.sha256[7:39]}.part"
    with part.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(Conflict, match="Another process"):
            fetch(wire, remote, tmp_path / "model.bin")


def test_a_link_in_the_place_of_the_part_file_is_not_followed(wire: Wire, remote: RemoteFile, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    (tmp_path / f".{remote.sha256[7:39]}.part").symlink_to(victim)
    with pytest.raises(OSError, match="symbolic links"):
        fetch(wire, remote, tmp_path / "model.bin")
    assert victim.read_text() == "precious"


def test_a_link_under_the_final_name_is_replaced_not_followed(wire: Wire, remote: RemoteFile, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    (tmp_path / "model.bin").symlink_to(victim)
    assert fetch(wire, remote, tmp_path / "model.bin")
    assert victim.read_text() == "precious"
    assert not (tmp_path / "model.bin").is_symlink()


def test_a_full_disk_is_told_as_such_and_not_retried(
    wire: Wire, remote: RemoteFile, server: ByteServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*arguments: object, **options: object) -> None:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(os, "splice", full, raising=False)
    monkeypatch.setattr(os, "pwrite", full)
    with pytest.raises(NoRoom, match="No space left"):
        fetch(wire, remote, tmp_path / "model.bin", connections=1)
    assert len(server.seen) == 1
    assert not (tmp_path / "model.bin").exists()


def test_without_splice_the_bytes_arrive_as_well(
    wire: Wire, remote: RemoteFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.platform", "another")
    assert write_body is not None
    assert fetch(wire, remote, tmp_path / "model.bin")
    assert (tmp_path / "model.bin").read_bytes() == DATA


def test_a_file_system_that_cannot_splice_gets_the_bytes_by_writing(
    wire: Wire, remote: RemoteFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.splice

    def only_into_pipes(source: int, target: int, count: int, **options: int) -> int:
        if "offset_dst" in options:
            raise OSError(22, os.strerror(22))
        return real(source, target, count)

    monkeypatch.setattr(os, "splice", only_into_pipes)
    assert fetch(wire, remote, tmp_path / "model.bin")
    assert (tmp_path / "model.bin").read_bytes() == DATA


def test_a_silent_server_counts_as_broken(
    remote: RemoteFile, server: ByteServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(downloads, "FRUITLESS_TRIES", 1)
    server.faults.hold_after = MIB + MIB // 2
    with closing(Wire(server.url, None, timeout=0.3)) as wire, pytest.raises(Unreachable, match="no byte for"):
        fetch(wire, remote, tmp_path / "model.bin", connections=1)
