"""Mirroring remote files from a real web server that breaks, changes, redirects and lies."""

import pickle
from collections.abc import Callable, Iterator
from datetime import timedelta
from hashlib import sha256
from pathlib import Path
from time import monotonic
from typing import Any

import pytest
from django.core.management import call_command
from django.utils import timezone
from rest_framework.test import APIClient

from tests.zoo_server.factories import client_for, make_member, make_team
from zoo_sdk.errors import Conflict, PermissionDenied
from zoo_sdk.vocabulary import TeamRole
from zoo_server.accounts.models import Team, User
from zoo_server.artifacts.models import Blob, Upload
from zoo_server.artifacts.selectors import blob_store
from zoo_server.audit.models import AuditEvent
from zoo_server.catalog import services
from zoo_server.catalog.addresses import Refused, allowed_addresses, checked_address
from zoo_server.catalog.catalogues.document import Catalogue
from zoo_server.catalog.models import Mirror, Version, VersionFile
from zoo_server.rest.principals import SYSTEM, Principal

from .remote_files import IR, Dangerous, keras_weights, safetensors
from .remote_server import RemoteServer, remote_server


@pytest.fixture(autouse=True)
def store(settings: Any, tmp_path: Path) -> None:
    settings.ZOO_STORE_DIR = tmp_path / "store"
    settings.ZOO_MIRROR_HOSTS = ["127.0.0.1"]
    settings.ZOO_MIRROR_NETWORKS = ["127.0.0.0/8"]


@pytest.fixture
def server() -> Iterator[RemoteServer]:
    with remote_server() as made:
        yield made


Importer = Callable[..., VersionFile]


@pytest.fixture
def remote(principal: Principal, team: Team) -> Importer:
    """Import a catalogue of one file and ask for it; answers the file."""

    def imported(
        address: str, kind: str = "safetensors", *, into: Team = team, who: Principal = principal, **more: Any
    ) -> VersionFile:
        catalogue = one_file(address, kind, **more)
        services.import_catalogue(principal=who, team=into, catalogue=catalogue)
        (file,) = services.request_mirrors(principal=who, team=into)
        return file

    return imported


def one_file(address: str, kind: str, **more: Any) -> Catalogue:
    artifact = {"format": kind, "files": [{"address": address, **more}]}
    models = [{"name": "net", "versions": [{"key": "one", "artifacts": [artifact]}]}]
    return Catalogue.model_validate({"catalogue": 1, "name": "mine", "title": "Mine", "models": models})


def fetch(seconds: float = 20.0) -> None:
    """Do what is due, without waiting for the times of new tries."""
    for _ in range(30):
        Mirror.objects.filter(state__in=["queued", "fetching"]).update(due_at=timezone.now() - timedelta(seconds=1))
        if not services.mirror_next(seconds=seconds):
            return


def state_of(file: VersionFile) -> tuple[str, str]:
    mirror = Mirror.objects.get(file=file)
    return mirror.state, mirror.error_code


def content_of(file: VersionFile) -> bytes:
    file.refresh_from_db()
    with blob_store().open(file.held().sha256) as stream:
        return stream.read()


def test_a_file_is_fetched_inspected_scanned_and_then_served_like_every_other(
    server: RemoteServer, remote: Importer, api: APIClient
) -> None:
    content = safetensors(100_000)
    file = remote(server.put("/net.safetensors", content))
    assert state_of(file) == ("queued", "")
    fetch()
    assert state_of(file) == ("done", "")
    told = api.get("/api/v1/models/vision/net/versions/1").json()
    assert (told["mirrored"], told["size"]) == (True, len(content))
    assert told["files"][0]["sha256"] == f"sha256:{sha256(content).hexdigest()}"
    assert (told["files"][0]["format"], told["files"][0]["mirror"]["state"]) == ("safetensors", "done")
    answer = api.get("/api/v1/models/vision/net/versions/1/files/net.safetensors")
    assert b"".join(answer.streaming_content) == content  # type: ignore[attr-defined]
    services.approve_version(principal=SYSTEM, version=file.version)
    event = AuditEvent.objects.get(action="file.mirrored")
    assert (event.actor, event.details["address"]) == ("curie", file.address)


@pytest.mark.parametrize(
    ("path", "content", "kind"),
    [
        ("/resnet_18_imagenet_1000.h5", keras_weights(), "keras-h5"),
        ("/resnet50best-base.pth.tar", pickle.dumps({"epoch": 3}), "pickle"),
        ("/yolov5s-int8-mixed.xml", IR, "openvino-ir"),
    ],
)
def test_files_of_the_kinds_of_the_adlik_zoo_are_mirrored(
    server: RemoteServer, remote: Importer, path: str, content: bytes, kind: str
) -> None:
    file = remote(server.put(path, content), kind)
    fetch()
    assert state_of(file) == ("done", "")
    assert content_of(file) == content


def test_a_file_that_would_run_code_is_kept_with_its_finding_and_cannot_be_approved(
    server: RemoteServer, remote: Importer
) -> None:
    file = remote(server.put("/net.pth", pickle.dumps(Dangerous())), "pickle")
    fetch()
    file.refresh_from_db()
    assert any(finding["severity"] == "dangerous" for finding in file.held().findings)
    with pytest.raises(Conflict, match="dangerous"):
        services.approve_version(principal=SYSTEM, version=file.version)


def test_a_page_that_is_no_such_file_is_not_taken_for_one(server: RemoteServer, remote: Importer) -> None:
    file = remote(server.put("/net.h5", b"<html>Please sign in</html>"), "keras-h5")
    fetch()
    assert state_of(file) == ("failed", "invalid-input")
    file.refresh_from_db()
    assert file.blob_id is None


def test_a_broken_connection_is_continued_where_it_broke(server: RemoteServer, remote: Importer) -> None:
    content = safetensors(1_000_000)
    file = remote(server.put("/net.safetensors", content, break_after=300_000))
    fetch()
    assert state_of(file) == ("done", "")
    assert content_of(file) == content
    starts = [int(asked.removeprefix("bytes=").rstrip("-") or 0) if asked else 0 for _, asked in server.requests]
    assert starts == sorted(starts)
    assert starts[1] == 300_000


def test_a_file_that_changes_in_the_middle_is_begun_anew(server: RemoteServer, remote: Importer) -> None:
    old, new = safetensors(1_000_000, 1), safetensors(1_000_000, 2)
    file = remote(server.put("/net.safetensors", old, break_after=300_000))
    assert services.mirror_next(seconds=20)
    server.put("/net.safetensors", new)
    fetch()
    assert state_of(file) == ("done", "")
    assert content_of(file) == new


def test_a_file_that_changes_behind_the_same_etag_is_never_mixed(server: RemoteServer, remote: Importer) -> None:
    file = remote(server.put("/net.safetensors", safetensors(400_000, 1), etag='"same"', break_after=200_000))
    assert services.mirror_next(seconds=20)
    server.put("/net.safetensors", safetensors(500_000, 2), etag='"same"')
    fetch()
    assert content_of(file) == safetensors(500_000, 2)


@pytest.mark.parametrize("options", [{"etag": ""}, {"etag": 'W/"weak"'}, {"ranges": False}])
def test_without_a_way_to_continue_the_file_is_begun_anew(
    server: RemoteServer, remote: Importer, options: dict[str, Any]
) -> None:
    content = safetensors(400_000)
    file = remote(server.put("/net.safetensors", content, break_after=200_000, **options))
    assert services.mirror_next(seconds=20)
    server.pages["/net.safetensors"].break_after = None
    fetch()
    assert content_of(file) == content


def test_last_modified_serves_to_continue_where_there_is_no_etag(server: RemoteServer, remote: Importer) -> None:
    modified = "Tue, 06 Feb 2024 10:00:00 GMT"
    file = remote(server.put("/net.safetensors", safetensors(400_000), etag="", modified=modified, break_after=200_000))
    fetch()
    assert content_of(file) == safetensors(400_000)
    assert server.requests[1][1] == "bytes=200000-"


def test_a_server_that_always_breaks_at_once_fails_after_some_tries(server: RemoteServer, remote: Importer) -> None:
    file = remote(server.put("/net.safetensors", safetensors(400_000), break_after=0))
    fetch()
    assert state_of(file) == ("failed", "unavailable")
    assert len(server.requests) == 6


def test_a_slow_server_is_left_at_the_end_of_the_time_and_continued_later(
    server: RemoteServer, remote: Importer
) -> None:
    content = safetensors(900_000)
    file = remote(server.put("/net.safetensors", content, piece=65_536, pause=0.03))
    started = monotonic()
    assert services.mirror_next(seconds=0.2)
    assert monotonic() - started < 5
    assert state_of(file) == ("fetching", "")
    upload = Upload.objects.get()
    assert 0 < upload.offset < upload.size
    server.pages["/net.safetensors"].pause = 0
    fetch()
    assert content_of(file) == content


def test_a_server_that_trickles_counts_as_away(server: RemoteServer, remote: Importer) -> None:
    file = remote(server.put("/net.safetensors", safetensors(200_000), piece=10, pause=0.02))
    assert services.mirror_next(seconds=0.2)
    mirror = Mirror.objects.get(file=file)
    assert (mirror.state, mirror.tries, mirror.error_code) == ("queued", 1, "unavailable")
    assert mirror.due_at > timezone.now()


def test_a_busy_server_is_asked_again_later(server: RemoteServer, remote: Importer) -> None:
    file = remote(server.put("/net.safetensors", safetensors(1000), fail_first=2))
    fetch()
    assert state_of(file) == ("done", "")
    assert len(server.requests) == 3


def test_a_file_that_is_gone_fails_at_once_and_can_be_asked_for_again(
    server: RemoteServer, remote: Importer, principal: Principal, team: Team
) -> None:
    file = remote(f"{server.url}/net.safetensors")
    fetch()
    assert state_of(file) == ("failed", "remote-refused")
    assert len(server.requests) == 1
    server.put("/net.safetensors", safetensors(1000))
    services.request_mirrors(principal=principal, team=team, models=["vision/net"])
    fetch()
    assert state_of(file) == ("done", "")


@pytest.mark.parametrize("declared", [{"sha256": f"sha256:{'1' * 64}"}, {"size": 5}])
def test_other_bytes_than_the_catalogue_declares_are_refused_and_not_kept(
    server: RemoteServer, remote: Importer, declared: dict[str, Any]
) -> None:
    file = remote(server.put("/net.safetensors", safetensors(1000)), **declared)
    fetch()
    assert state_of(file) == ("failed", "integrity")
    assert Blob.objects.count() == 0


def test_the_declared_digest_lets_the_right_bytes_in(server: RemoteServer, remote: Importer) -> None:
    content = safetensors(1000)
    digest = f"sha256:{sha256(content).hexdigest()}"
    file = remote(server.put("/net.safetensors", content), sha256=digest, size=len(content))
    fetch()
    assert state_of(file) == ("done", "")


def test_the_digest_of_the_first_fetch_is_pinned_for_the_address(
    server: RemoteServer, remote: Importer, superuser: User
) -> None:
    address = server.put("/net.safetensors", safetensors(1000, 1))
    remote(address)
    fetch()
    server.put("/net.safetensors", safetensors(1000, 2))
    other = make_team("speech")
    who = Principal("root", superuser.pk, scopes=SYSTEM.scopes, is_superuser=True)
    second = remote(address, into=other, who=who)
    fetch()
    assert state_of(second) == ("failed", "integrity")
    assert Blob.objects.count() == 1


def test_a_mirrored_file_is_not_fetched_again(
    server: RemoteServer, remote: Importer, principal: Principal, team: Team
) -> None:
    remote(server.put("/net.safetensors", safetensors(1000)))
    fetch()
    services.request_mirrors(principal=principal, team=team)
    fetch()
    assert len(server.requests) == 1


def test_a_redirect_is_followed_to_an_allowed_host(server: RemoteServer, remote: Importer) -> None:
    server.put("/real.safetensors", safetensors(1000))
    file = remote(server.put("/net.safetensors", status=302, location="/real.safetensors"))
    fetch()
    assert content_of(file) == safetensors(1000)


@pytest.mark.parametrize(
    "location",
    [
        "http://169.254.169.254/latest/meta-data/",
        "http://localhost/secret",
        "http://[::1]/secret",
        "http://10.0.0.7/secret",
        "https://example.org/elsewhere",
        "file:///etc/passwd",
        "http://user:secret@127.0.0.1/",
    ],
)
def test_a_redirect_to_a_private_address_or_another_host_is_refused(
    server: RemoteServer, remote: Importer, location: str
) -> None:
    file = remote(server.put("/net.safetensors", status=302, location=location))
    fetch()
    state, code = state_of(file)
    assert state == "failed"
    assert code in {"address-refused", "invalid-input"}


def test_a_circle_of_redirects_ends(server: RemoteServer, remote: Importer) -> None:
    file = remote(server.put("/net.safetensors", status=302, location="/net.safetensors"))
    fetch()
    assert state_of(file) == ("failed", "address-refused")
    assert len(server.requests) == 6


@pytest.mark.parametrize("options", [{"length": False}, {"encoding": "gzip"}])
def test_an_answer_that_cannot_be_checked_is_refused(
    server: RemoteServer, remote: Importer, options: dict[str, Any]
) -> None:
    file = remote(server.put("/net.safetensors", safetensors(1000), **options))
    fetch()
    assert state_of(file) == ("failed", "remote-refused")


def test_a_file_above_the_limit_is_refused_before_its_bytes(
    server: RemoteServer, remote: Importer, settings: Any
) -> None:
    settings.ZOO_MIRROR_LIMIT_BYTES = 1000
    file = remote(server.put("/net.safetensors", safetensors(2000)))
    fetch()
    assert state_of(file) == ("failed", "too-large")
    assert Upload.objects.count() == 0


def test_a_file_for_which_there_is_no_room_is_refused(server: RemoteServer, remote: Importer, settings: Any) -> None:
    settings.ZOO_STORE_QUOTA_BYTES = 1000
    file = remote(server.put("/net.safetensors", safetensors(2000)))
    fetch()
    assert state_of(file) == ("failed", "insufficient-storage")


def test_a_host_that_is_not_on_the_list_is_never_asked(server: RemoteServer, remote: Importer, settings: Any) -> None:
    settings.ZOO_MIRROR_HOSTS = ["example.org", "*.example.org"]
    file = remote(server.put("/net.safetensors", safetensors(1000)))
    fetch()
    assert state_of(file) == ("failed", "address-refused")
    assert server.requests == []


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "localhost", "10.1.2.3", "192.168.1.1", "172.16.0.1", "169.254.169.254", "[::1]", "[fe80::1]",
     "[::ffff:10.0.0.1]", "[fd00::1]", "0.0.0.0", "224.0.0.1", "2130706433", "0x7f000001", "127.1"],
)  # fmt: skip
def test_addresses_that_are_not_public_are_refused_however_they_are_written(host: str, settings: Any) -> None:
    settings.ZOO_MIRROR_HOSTS, settings.ZOO_MIRROR_NETWORKS = ["*"], []
    with pytest.raises(Refused, match="not a public address"):
        allowed_addresses(checked_address(f"https://{host}/net.h5"))


def test_plain_http_is_only_for_own_networks(settings: Any) -> None:
    settings.ZOO_MIRROR_HOSTS, settings.ZOO_MIRROR_NETWORKS = ["8.8.8.8"], []
    with pytest.raises(Refused, match="not encrypted"):
        allowed_addresses(checked_address("http://8.8.8.8/net.h5"))
    assert allowed_addresses(checked_address("https://8.8.8.8/net.h5")) == ["8.8.8.8"]


def test_what_is_fetched_for_somebody_stops_with_their_rights(
    server: RemoteServer, remote: Importer, team: Team, member: User
) -> None:
    file = remote(server.put("/net.safetensors", safetensors(1000)))
    team.memberships.all().delete()
    fetch()
    assert state_of(file)[0] == "failed"
    member.is_active = False
    member.save()
    with pytest.raises(PermissionDenied):
        services.request_mirrors(principal=Principal("nobody"), team=team)


def test_fetching_is_asked_for_and_followed_over_rest(
    server: RemoteServer, remote: Importer, api: APIClient, team: Team, principal: Principal
) -> None:
    address = server.put("/net.safetensors", safetensors(1000))
    services.import_catalogue(principal=principal, team=team, catalogue=one_file(address, "safetensors"))
    away = api.get("/api/v1/catalogues/files?team=vision&state=away").json()["results"]
    assert [(item["path"], item["state"], item["mirrored"]) for item in away] == [("net.safetensors", None, False)]
    asked = api.post("/api/v1/catalogues/fetch", {"team": "vision", "models": ["vision/net@1"]}, format="json")
    assert (asked.status_code, asked.json()) == (202, {"queued": 1, "mirrored": 0})
    call_command("mirror_files")
    done = api.get("/api/v1/catalogues/files?model=net&state=done").json()["results"]
    assert done[0]["sha256"] == f"sha256:{sha256(safetensors(1000)).hexdigest()}"
    again = api.post("/api/v1/catalogues/fetch", {"team": "vision"}, format="json").json()
    assert again == {"queued": 0, "mirrored": 1}


def test_only_writers_of_the_team_have_its_files_fetched(
    server: RemoteServer, remote: Importer, team: Team, stranger_api: APIClient, api: APIClient
) -> None:
    remote(server.put("/net.safetensors", safetensors(1000)))
    reader = client_for(make_member(team, TeamRole.READER))
    body = {"team": "vision"}
    assert reader.post("/api/v1/catalogues/fetch", body, format="json").status_code == 403
    assert stranger_api.post("/api/v1/catalogues/fetch", body, format="json").status_code == 404
    make_team("speech")
    foreign = {"team": "vision", "models": ["speech/net"]}
    assert api.post("/api/v1/catalogues/fetch", foreign, format="json").status_code == 403


def test_the_version_keeps_its_digest_when_its_files_arrive(server: RemoteServer, remote: Importer) -> None:
    file = remote(server.put("/net.safetensors", safetensors(1000)))
    before = Version.objects.get(pk=file.version_id).digest
    fetch()
    assert Version.objects.get(pk=file.version_id).digest == before


def test_a_process_that_was_stopped_after_completing_goes_on_without_fetching_again(
    server: RemoteServer, remote: Importer, monkeypatch: pytest.MonkeyPatch
) -> None:
    from zoo_server.catalog.services import mirroring

    file = remote(server.put("/net.safetensors", safetensors(1000)))

    def stopped(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(mirroring, "_check_format", stopped)
        with pytest.raises(KeyboardInterrupt):
            services.mirror_next(seconds=20)
    fetch()
    assert state_of(file) == ("done", "")
    assert len(server.requests) == 1
