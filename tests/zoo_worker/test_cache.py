"""The input cache: checked, resumed, evicted by use, and never trusting a file that was touched."""

import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.zoo_worker.conftest import hold_input
from tests.zoo_worker.stand_in_registry import StandInRegistry
from zoo_sdk.artifacts import FileEntry
from zoo_sdk.errors import IntegrityError, Unavailable
from zoo_worker.agent import Agent
from zoo_worker.cache import InputCache
from zoo_worker.settings import WorkerSettings
from zoo_worker.stopping import Stop, Stopped, StopReason


def entry_of(data: bytes, path: str = "a/file") -> FileEntry:
    return FileEntry(path=path, sha256=f"sha256:{hashlib.sha256(data).hexdigest()}", size=len(data))


class Source:
    """Serves bytes; ``breaks_after`` cuts the first answers short."""

    def __init__(self, *contents: bytes) -> None:
        self.contents = {entry_of(data).sha256: data for data in contents}
        self.asked: list[tuple[str, int]] = []
        self.breaks_after: list[int] = []

    @contextmanager
    def fetch(self, sha256: str, offset: int) -> Iterator[httpx.Response]:
        self.asked.append((sha256, offset))
        data = self.contents[sha256][offset:]
        if self.breaks_after:
            cut = self.breaks_after.pop(0)
            yield httpx.Response(206 if offset else 200, stream=Broken(data[:cut]))
        else:
            yield httpx.Response(206 if offset else 200, stream=httpx.ByteStream(data))


class Broken(httpx.SyncByteStream):
    def __init__(self, data: bytes) -> None:
        self._data = data

    def __iter__(self) -> Iterator[bytes]:
        yield self._data
        raise Unavailable("The connection broke.")


def no_check() -> None:
    return None


@pytest.fixture
def cache(tmp_path: Path) -> InputCache:
    return InputCache(tmp_path / "cache", 100)


def test_a_file_is_fetched_once_and_linked_read_only(cache: InputCache, tmp_path: Path) -> None:
    source = Source(b"weights")
    for name in ("one", "two"):
        cache.materialise(entry_of(b"weights"), tmp_path / name / "file", source.fetch, no_check)
    assert len(source.asked) == 1
    target = tmp_path / "two" / "file"
    assert target.read_bytes() == b"weights"
    assert target.stat().st_mode & 0o222 == 0
    assert target.stat().st_nlink == 3


def test_wrong_bytes_are_refused_and_not_kept(cache: InputCache, tmp_path: Path) -> None:
    source = Source()
    entry = entry_of(b"right")
    source.contents[entry.sha256] = b"wrong"
    with pytest.raises(IntegrityError, match="digest"):
        cache.materialise(entry, tmp_path / "file", source.fetch, no_check)
    assert cache.size_bytes() == 0
    assert list((tmp_path / "cache").iterdir()) == []


def test_more_bytes_than_promised_are_refused_while_they_come(cache: InputCache, tmp_path: Path) -> None:
    source = Source()
    entry = entry_of(b"short")
    source.contents[entry.sha256] = b"short and much more"
    with pytest.raises(IntegrityError, match="more than"):
        cache.materialise(entry, tmp_path / "file", source.fetch, no_check)


def test_a_broken_download_goes_on_where_it_broke(cache: InputCache, tmp_path: Path) -> None:
    source = Source(b"0123456789")
    source.breaks_after = [4, 3]
    cache.materialise(entry_of(b"0123456789"), tmp_path / "file", source.fetch, no_check)
    assert [offset for _, offset in source.asked] == [0, 4, 7]
    assert (tmp_path / "file").read_bytes() == b"0123456789"


def test_the_least_recently_used_files_make_room(cache: InputCache, tmp_path: Path) -> None:
    first, second, third = b"1" * 40, b"2" * 40, b"3" * 40
    source = Source(first, second, third)
    for number, data in enumerate((first, second, first, third)):
        cache.materialise(entry_of(data), tmp_path / str(number), source.fetch, no_check)
    asked = len(source.asked)
    cache.materialise(entry_of(first), tmp_path / "again", source.fetch, no_check)
    assert len(source.asked) == asked, "the file used last was evicted"
    cache.materialise(entry_of(second), tmp_path / "evicted", source.fetch, no_check)
    assert len(source.asked) == asked + 1
    assert cache.size_bytes() <= 100


def test_a_file_in_use_is_never_evicted(cache: InputCache, tmp_path: Path) -> None:
    held, other, third = b"1" * 40, b"2" * 40, b"3" * 40
    source = Source(held, other, third)
    with cache.holding([entry_of(held)]):
        for number, data in enumerate((held, other, third)):
            cache.materialise(entry_of(data), tmp_path / str(number), source.fetch, no_check)
        asked = len(source.asked)
        cache.materialise(entry_of(held), tmp_path / "again", source.fetch, no_check)
    assert len(source.asked) == asked


def test_inputs_larger_than_the_cache_are_refused_with_the_variable_to_raise(cache: InputCache) -> None:
    files = [entry_of(b"1" * 60), entry_of(b"2" * 60)]
    with pytest.raises(Unavailable, match="ZOO_WORKER_CACHE_GIB"), cache.holding(files):
        pass


def test_a_file_that_somebody_wrote_into_is_fetched_again(cache: InputCache, tmp_path: Path) -> None:
    source = Source(b"weights")
    target = tmp_path / "file"
    cache.materialise(entry_of(b"weights"), target, source.fetch, no_check)
    target.chmod(0o644)
    with target.open("r+b") as file:
        file.write(b"WEIGHTS")
    cache.materialise(entry_of(b"weights"), tmp_path / "other", source.fetch, no_check)
    assert (tmp_path / "other").read_bytes() == b"weights"
    assert len(source.asked) == 2


def test_a_half_written_file_of_a_killed_worker_is_removed(tmp_path: Path) -> None:
    folder = tmp_path / "cache"
    folder.mkdir()
    (folder / "abc.partial").write_bytes(b"half")
    InputCache(folder, 100)
    assert list(folder.iterdir()) == []


def test_a_download_stops_when_the_attempt_has_to(cache: InputCache, tmp_path: Path) -> None:
    stop = Stop()
    stop.request(StopReason.CANCELLED)
    with pytest.raises(Stopped):
        cache.materialise(entry_of(b"weights"), tmp_path / "file", Source(b"weights").fetch, stop.check)


@pytest.mark.usefixtures("probe_plugin")
def test_an_attempt_whose_input_has_another_digest_fails_as_infrastructure(
    registry: StandInRegistry, agent: Agent
) -> None:
    item = hold_input(registry, b"right")
    registry.blobs[item.files[0].sha256] = b"wrong"
    job = registry.submit("probe.read", inputs={"weights": (item,)})
    agent.run(str(job.id))
    assert (job.failed[0].cause, job.failed[0].code) == ("infrastructure", "integrity")


@pytest.mark.usefixtures("probe_plugin")
def test_an_attempt_evicts_what_no_attempt_uses(
    registry: StandInRegistry, make_agent: Callable[..., Agent], settings: WorkerSettings
) -> None:
    agent = make_agent(cache_bytes=250_000)
    for _ in range(4):
        item = hold_input(registry, os.urandom(100_000))
        job = registry.submit("probe.read", inputs={"weights": (item,)})
        assert agent.run(str(job.id)) == "FINISHED"
    assert len(list((settings.state / "cache").iterdir())) == 2
