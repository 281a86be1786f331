"""How fast do large artifacts go in and out, and what memory does the server need meanwhile?

Out: `zoo pull` and curl from a running Zoo against curl from a bare sendfile server (``bench.sendfile_server``), which
has the same bytes on the same disk.  `zoo pull` does more than curl, it verifies sha256; so the bare server is also
measured with curl followed by sha256.
In: the first upload of fresh random bytes against sha256 and against cp + fsync of the same file; then the same bytes
again by the same owner, through a relay that counts what the client sends.  Sha256 is OpenSSL's (Python's hashlib),
which uses the processor's SHA instructions; Debian's sha256sum does not and stands beside it.
All ways take turns; each ratio is of the same round.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import psutil
import typer

from bench.figures import Figure, Goal, ratios
from bench.memory import Peak, memory_bytes, watched_memory
from bench.relay import counting_relay
from bench.reporting import RESULTS, Findings, say, write_report
from bench.sendfile_server import bare_server
from bench.service import TEAM, RunningZoo, running_zoo
from bench.timing import rotated, timed
from zoo_client import Client
from zoo_client.describing import LocalFile
from zoo_client.publishing import Draft, publish
from zoo_client.transfer.uploads import Uploader, upload_file
from zoo_sdk.artifacts import ArtifactDescription

MIB = 2**20
PIECE_BYTES = 8 * MIB
MIN_RATIO = 0.7
MAX_EXTRA_MEMORY_MIB = 100
MAX_RESENT_BYTES = 64 * 1024
"""Requests and headers; the bytes of the file are not among them."""
COMMAND_SECONDS = 600
FILE_NAME = "weights.bin"
DISTRIBUTIONS = ("gunicorn", "Django", "zoo-server", "zoo-client")

FROM_ZOO, FROM_BARE, PULL = "curl from Zoo", "curl from the bare server", "zoo pull"
FROM_ZOO_NULL, FROM_BARE_NULL = f"{FROM_ZOO} to /dev/null", f"{FROM_BARE} to /dev/null"
FROM_BARE_CHECKED = f"{FROM_BARE}, then sha256"


class NoDiskSpace(Exception):
    """The bench would fill the disk."""


def check_room(folder: Path, size: int, repeats: int) -> None:
    """Raise :class:`NoDiskSpace` unless all copies fit with 1 GiB to spare."""
    copies = repeats + 1 + 3  # in the store and a session's unfinished one; source, its copy, a download
    needed = copies * size + 1024 * MIB
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise NoDiskSpace(
            f"{folder} has {free / MIB:,.0f} MiB free; this needs {needed / MIB:,.0f}. Set TMPDIR, or a smaller size."
        )


def write_random(path: Path, size: int) -> None:
    """Fresh bytes that no store holds and no compression shortens."""
    with path.open("wb") as file:
        for start in range(0, size, PIECE_BYTES):
            file.write(os.urandom(min(PIECE_BYTES, size - start)))
        file.flush()
        os.fsync(file.fileno())


def sha256_of(path: Path) -> str:
    """The digest in hexadecimal, by OpenSSL."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def make_durable(path: Path) -> None:
    """Wait until a file is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def file_system_of(folder: Path) -> str:
    """Such as ``ext4``: what the disk's figures depend on."""
    mounts = [item for item in psutil.disk_partitions(all=True) if folder.resolve().is_relative_to(item.mountpoint)]
    return max(mounts, key=lambda item: len(item.mountpoint)).fstype if mounts else "unknown"


@dataclass
class Uploads:
    """The way in: seconds by way and round."""

    zoo: RunningZoo
    folder: Path
    size: int
    seconds: dict[str, list[float]] = field(default_factory=dict)
    again: list[float] = field(default_factory=list)
    sent_again: list[int] = field(default_factory=list)
    peak_bytes: int = 0

    @property
    def source(self) -> Path:
        return self.folder / FILE_NAME

    def round(self, turn: int) -> None:
        """Fresh bytes: hash, copy and upload them in turns, then upload them again."""
        write_random(self.source, self.size)
        ways: dict[str, Callable[[], object]] = {
            "sha256": lambda: sha256_of(self.source),
            "sha256sum": lambda: _run("sha256sum", str(self.source)),
            "cp and fsync": self._copy,
            "first upload": self._upload,
        }
        for name in rotated(list(ways), turn):
            os.sync()
            self.seconds.setdefault(name, []).append(timed(ways[name]))
            say(f"upload, round {turn + 1}: {name} {self.seconds[name][-1]:.2f} s")
        with counting_relay(self.zoo.url) as relay, self.zoo.client(relay.url) as client:
            self.again.append(timed(lambda: self._send(client)))
            self.sent_again.append(relay.sent)
        say(f"upload, round {turn + 1}: again {self.again[-1]:.2f} s, {self.sent_again[-1]:,} bytes sent")

    def _copy(self) -> None:
        copy = self.folder / "copy"
        _run("cp", str(self.source), str(copy))
        make_durable(copy)
        copy.unlink()

    def _upload(self) -> None:
        with self.zoo.client() as client, watched_memory(self.zoo.web_processes()) as peak:
            self._send(client)
        self.peak_bytes = max(self.peak_bytes, peak.bytes)

    def _send(self, client: Client) -> None:
        uploader = Uploader(client.api, client.wire, None, {"team": TEAM})
        upload_file(uploader, self.source, progress=lambda _count: None)


@dataclass
class Downloads:
    """The way out: seconds by way and round."""

    zoo: RunningZoo
    bare_url: str
    reference: str
    file_url: str
    folder: Path
    size: int
    sha256: str
    seconds: dict[str, list[float]] = field(default_factory=dict)

    def round(self, turn: int) -> None:
        """Every way once."""
        target = self.folder / "fetched"
        ways: dict[str, Callable[[], object]] = {
            FROM_BARE: lambda: self._curl(self.bare_url, target),
            FROM_ZOO: lambda: self._curl(self.file_url, target),
            PULL: lambda: self._pull(self.folder / "pulled"),
            FROM_BARE_CHECKED: lambda: self._curl_checked(target),
            FROM_BARE_NULL: lambda: self._curl(self.bare_url, Path(os.devnull)),
            FROM_ZOO_NULL: lambda: self._curl(self.file_url, Path(os.devnull)),
        }
        for name in rotated(list(ways), turn):
            target.unlink(missing_ok=True)
            shutil.rmtree(self.folder / "pulled", ignore_errors=True)
            os.sync()
            self.seconds.setdefault(name, []).append(timed(ways[name]))
            say(f"download, round {turn + 1}: {name} {self.seconds[name][-1]:.2f} s")

    def _curl(self, url: str, target: Path) -> None:
        headers = self.folder / "headers"  # a token on the command line could be read by everybody
        headers.touch(mode=0o600)
        headers.write_text(
            f"Authorization: Bearer {self.zoo.token}\n" if url == self.file_url else "", encoding="ascii"
        )
        command = [
            "curl",
            "-sSf",
            "--noproxy",
            "*",
            "-H",
            f"@{headers}",
            "-o",
            str(target),
            "-w",
            "%{size_download}",
            url,
        ]
        fetched = int(_run(*command))
        if fetched != self.size:
            raise RuntimeError(f"curl fetched {fetched} bytes of {self.size} from {url}")

    def _curl_checked(self, target: Path) -> None:
        self._curl(self.bare_url, target)
        found = sha256_of(target)
        if found != self.sha256:
            raise RuntimeError(f"{target} has the digest {found}, not {self.sha256}")

    def _pull(self, folder: Path) -> None:
        command = [sys.executable, "-m", "zoo_client", "pull", self.reference, str(folder)]
        _run(*command, environment=self.zoo.environment)
        if (folder / FILE_NAME).stat().st_size != self.size:
            raise RuntimeError(f"`zoo pull` left {(folder / FILE_NAME).stat().st_size} bytes of {self.size}")


def _run(*command: str, environment: Mapping[str, str] | None = None) -> str:
    done = subprocess.run(
        command, check=False, stdin=subprocess.DEVNULL, capture_output=True, text=True, env=environment,
        timeout=COMMAND_SECONDS,
    )  # fmt: skip
    if done.returncode != 0:
        raise RuntimeError(f"{command[0]} ended with {done.returncode}: {done.stderr.strip()[-1000:]}")
    return done.stdout


def _publish(zoo: RunningZoo, source: Path) -> tuple[str, str]:
    """A sealed version with that file, whose bytes the team holds already; its reference and the file's URL."""
    artifact = ArtifactDescription(name="weights", format="opaque", files=(FILE_NAME,))
    draft = Draft(files=[LocalFile(source, FILE_NAME)], artifacts=[artifact], seal=True)
    with zoo.client() as client:
        version = publish(client, "models", f"{TEAM}/bench-transfer", draft)
        route = client.models.versions.route(version["reference"], "files", FILE_NAME)
        return version["reference"], client.wire.address_of(route)


@contextmanager
def _downloads(zoo: RunningZoo, folder: Path, size: int) -> Iterator[Downloads]:
    source = folder / FILE_NAME
    reference, url = _publish(zoo, source)
    with bare_server(source) as bare:
        yield Downloads(zoo, bare, reference, url, folder, size, sha256_of(source))


def measure(folder: Path, *, size: int, repeats: int) -> Findings:
    """Start a Zoo below ``folder``, move ``size`` bytes in and out ``repeats`` times each way."""
    check_room(folder, size, repeats)
    options = {"size_mib": size / MIB, "repeats": repeats, "file_system": file_system_of(folder)}
    findings = Findings("transfer", __doc__ or "", options, DISTRIBUTIONS)
    with running_zoo(folder, workers=False) as zoo:
        fresh = memory_bytes(zoo.web_processes())
        uploads = Uploads(zoo, folder, size)
        for turn in range(repeats):
            uploads.round(turn)
        with _downloads(zoo, folder, size) as downloads:
            web = zoo.web_processes()
            idle = memory_bytes(web)
            with watched_memory(web) as peak:
                for turn in range(repeats):
                    downloads.round(turn)
        findings.figures += [*_download_figures(downloads), *_memory_figures(idle, peak), *_upload_figures(uploads)]
    _tables(findings, uploads, downloads)
    findings.table(
        "Memory of the web server (sum of its processes' proportional set sizes)",
        ("when", "MiB"),
        [
            ("after the start, before any request", f"{fresh / MIB:.1f}"),
            ("largest during the first uploads", f"{uploads.peak_bytes / MIB:.1f}"),
            ("idle before the downloads", f"{idle / MIB:.1f}"),
            (f"largest of {peak.samples} samples during the downloads", f"{peak.bytes / MIB:.1f}"),
        ],
    )
    return findings


def _download_figures(downloads: Downloads) -> Iterator[Figure]:
    seconds = downloads.seconds
    goal = Goal(relation="at least", bound=MIN_RATIO)
    for name, ours, baseline, wanted in (
        ("zoo pull : bare curl, speed", PULL, FROM_BARE, goal),
        ("Zoo curl : bare curl, speed, to a file", FROM_ZOO, FROM_BARE, goal),
        ("Zoo curl : bare curl, speed, to /dev/null", FROM_ZOO_NULL, FROM_BARE_NULL, goal),
        ("zoo pull : bare curl + sha256, speed", PULL, FROM_BARE_CHECKED, None),
    ):
        yield Figure.of(name, ratios(seconds[baseline], seconds[ours]), goal=wanted)


def _memory_figures(idle: int, peak: Peak) -> Iterator[Figure]:
    goal = Goal(relation="at most", bound=MAX_EXTRA_MEMORY_MIB)
    extra = max(peak.bytes - idle, 0) / MIB
    yield Figure(name="web server's memory while downloading, above idle", value=extra, unit="MiB", goal=goal)


def _upload_figures(uploads: Uploads) -> Iterator[Figure]:
    first = uploads.seconds["first upload"]
    speeds = [uploads.size / MIB / seconds for seconds in first]
    yield Figure.of("first upload", speeds, "MiB/s")
    yield Figure.of("first upload : cp + fsync, time", ratios(first, uploads.seconds["cp and fsync"]))
    yield Figure.of("first upload : sha256, time", ratios(first, uploads.seconds["sha256"]))
    yield Figure.of("first upload : sha256sum, time", ratios(first, uploads.seconds["sha256sum"]))
    yield Figure.of("the same bytes again", uploads.again, "s")
    goal = Goal(relation="at most", bound=MAX_RESENT_BYTES)
    yield Figure.of("the same bytes again: sent by the client", uploads.sent_again, "bytes", goal=goal)


def _tables(findings: Findings, uploads: Uploads, downloads: Downloads) -> None:
    for title, seconds in (("Downloads", downloads.seconds), ("Uploads", uploads.seconds | {"again": uploads.again})):
        rounds = range(1, len(next(iter(seconds.values()))) + 1)
        rows = []
        for name, values in seconds.items():
            speed = Figure.of(name, [uploads.size / MIB / value for value in values])
            rows.append([name, *(f"{value:.2f}" for value in values), f"{speed.value:,.0f}", speed.range_text])
        columns = ("way", *(f"round {number}, s" for number in rounds), "median MiB/s", "range")
        findings.table(title, columns, rows)
        findings.raw[title] = seconds
    findings.raw["bytes sent again"] = uploads.sent_again


def main(
    *,
    size_mib: Annotated[int, typer.Option(min=1, max=16384, help="Size of the artifact.")] = 1024,
    repeats: Annotated[int, typer.Option(min=1, max=20, help="Rounds, each with fresh bytes.")] = 5,
    results: Annotated[Path, typer.Option(help="Where the results go.")] = RESULTS,
) -> None:
    """Downloads and uploads of a large artifact."""
    with tempfile.TemporaryDirectory(prefix="zoo-bench-", ignore_cleanup_errors=True) as folder:
        findings = measure(Path(folder), size=size_mib * MIB, repeats=repeats)
    write_report(findings.report(), results)


if __name__ == "__main__":
    typer.run(main)
