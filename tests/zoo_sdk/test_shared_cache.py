"""Files that jobs share: whole or absent, whoever writes and whatever happens."""

import multiprocessing
import os
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pytest

from zoo_sdk.context import InputItem
from zoo_sdk.errors import Cancelled, InvalidInput
from zoo_sdk.shared_cache import SharedCache, digest_of_files


@pytest.fixture
def cache(tmp_path: Path) -> SharedCache:
    return SharedCache(tmp_path)


def test_what_was_put_is_got(cache: SharedCache) -> None:
    assert cache.get("k") is None
    assert bytes(cache.put("k", (b"ab", memoryview(b"cd")))) == b"abcd"
    found = cache.get("k")
    assert found is not None
    assert bytes(found) == b"abcd"
    assert found.readonly


@pytest.mark.parametrize("damage", ["truncated", "changed", "empty", "longer"])
def test_a_damaged_entry_is_not_there_and_removed(cache: SharedCache, tmp_path: Path, damage: str) -> None:
    cache.put("k", (b"x" * 5000,))
    data = bytearray((tmp_path / "k").read_bytes())
    if damage == "truncated":
        data = data[:-700]
    elif damage == "changed":
        data[17] ^= 1
    elif damage == "longer":
        data += b"x"
    else:
        data = bytearray()
    (tmp_path / "k").write_bytes(data)
    assert cache.get("k") is None
    assert list(tmp_path.iterdir()) == []


def test_a_writer_that_is_cancelled_leaves_nothing(cache: SharedCache, tmp_path: Path) -> None:
    def parts() -> Iterator[bytes]:
        yield b"half"
        raise Cancelled("stop")

    with pytest.raises(Cancelled):
        cache.put("k", parts())
    assert list(tmp_path.iterdir()) == []


def test_an_entry_without_bytes_is_refused(cache: SharedCache, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="without bytes"):
        cache.put("k", ())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("key", ["", "../k", "a/b", ".k", "K", "k.partial", "k" * 300])
def test_a_key_that_is_no_file_name_is_refused(cache: SharedCache, key: str) -> None:
    with pytest.raises(InvalidInput, match="cannot name"):
        cache.put(key, (b"x",))


def test_an_entry_that_is_held_outlives_its_eviction(cache: SharedCache, tmp_path: Path) -> None:
    held = cache.put("k", (b"x" * 10_000,))
    (tmp_path / "k").unlink()
    assert bytes(held) == b"x" * 10_000
    assert cache.get("k") is None


def test_use_makes_an_entry_young(cache: SharedCache, tmp_path: Path) -> None:
    cache.put("k", (b"x",))
    os.utime(tmp_path / "k", (0, 0))
    cache.get("k")
    assert (tmp_path / "k").stat().st_mtime > 1e9


def write_often(folder: Path, byte: int) -> None:
    for _ in range(50):
        SharedCache(folder).put("k", (bytes([byte]) * 1000, bytes([byte]) * 1000))


def test_writers_of_one_key_at_the_same_time_leave_one_whole_entry(cache: SharedCache, tmp_path: Path) -> None:
    spawn = multiprocessing.get_context("fork")
    writers = [spawn.Process(target=write_often, args=(tmp_path, number)) for number in (1, 2)]
    for writer in writers:
        writer.start()
    while any(writer.is_alive() for writer in writers):
        found = cache.get("k")
        assert found is None or bytes(found) in {b"\1" * 2000, b"\2" * 2000}
    assert [path.name for path in tmp_path.iterdir()] == ["k"]


def test_the_digest_of_an_item_depends_on_names_and_bytes_only(tmp_path: Path) -> None:
    for folder in ("one", "two"):
        (tmp_path / folder / "sub").mkdir(parents=True)
        for name in ("b", "sub/a"):
            (tmp_path / folder / name).write_bytes(name.encode())
    one, two = (InputItem(reference="a/b@1", folder=tmp_path / folder) for folder in ("one", "two"))
    assert one.content_digest() == two.content_digest()
    assert one.content_digest() == digest_of_files(
        (name, f"sha256:{sha256(name.encode()).hexdigest()}") for name in ("sub/a", "b")
    )
    (tmp_path / "two" / "b").write_bytes(b"other")
    assert one.content_digest() != two.content_digest()
    known = InputItem(reference="a/b@1", folder=tmp_path / "absent", digest="sha256:" + "0" * 64)
    assert known.content_digest() == "sha256:" + "0" * 64
