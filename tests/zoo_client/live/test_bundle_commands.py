"""``zoo export`` and ``zoo import`` between two real registries, each with a database, a store and a key of its own."""

import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from tests.zoo_client.conftest import Outcome, Zoo
from tests.zoo_client.live.test_catalogue_commands import safetensors
from zoo_client import Client

from .conftest import Registry, Template, running_registry, server_command

_NUMBERS = count(1)


@pytest.fixture(scope="module")
def other(template: Template, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    """A second registry that knows nothing of the first."""
    folder = tmp_path_factory.mktemp("second")
    with running_registry(template, folder, "second", ZOO_URL="http://second.example") as made:
        yield made


@dataclass
class Carried:
    """A student with a base, in the first registry, and its bundle; ``key`` is the first registry's public key."""

    reference: str
    base: str
    file: Path
    key: Path


@pytest.fixture
def carried(admin: Zoo, registry: Registry, tmp_path: Path) -> Carried:
    number = next(_NUMBERS)
    base, student = f"{registry.team}/bundle-base-{number}", f"{registry.team}/bundle-{number}"
    for name, value, more in ((base, 1, []), (student, 2, ["--base", f"{base}@1", "--metric", "top1=76.5"])):
        folder = tmp_path / name.replace("/", "-")
        folder.mkdir()
        (folder / "model.safetensors").write_bytes(safetensors(value + 10 * number))
        (folder / "notes.txt").write_text(name)
        card = tmp_path / "card.md"
        card.write_text(f"# The card of {name}\n")
        pushed = admin("push", name, str(folder), "--seal", "--card", str(card), "--licence", "MIT", *more)
        assert pushed.code == 0, pushed.err
    key = tmp_path / "first.pem"
    key.write_text(admin("keys", "export").out)
    made = Carried(f"{student}@1", f"{base}@1", tmp_path / "bundle.tar", key)
    written = admin("export", made.reference, "-o", str(made.file))
    assert written.code == 0, written.err
    return made


@pytest.fixture
def there(zoo: Zoo, other: Registry) -> Zoo:
    """``zoo`` as the second registry's administrator."""

    def run(*words: str) -> Outcome:
        return zoo(*words, ZOO_URL=other.url, ZOO_TOKEN=other.admin_token)

    return run


def rows(outcome: Outcome) -> dict[str, dict[str, Any]]:
    assert outcome.code == 0, outcome.err
    return {row["origin"]: row for row in outcome.json["versions"]}


def test_a_version_arrives_with_its_ancestors_proof_metrics_and_card_and_again_makes_nothing(
    there: Zoo, other: Registry, carried: Carried, tmp_path: Path
):
    words = ("import", str(carried.file), "--into", other.team, "--key", str(carried.key), "--json")
    made = rows(there(*words))
    assert {row["outcome"] for row in made.values()} == {"created"}
    here = made[carried.reference]["reference"]
    shown = there("versions", "show", here, "--json").json
    assert shown["state"] == "candidate"
    assert [parent["reference"] for parent in shown["parents"]] == [made[carried.base]["reference"]]
    assert [(m["name"], m["source"], m["details"]["origin"]["source"]) for m in shown["metrics"]] == [
        ("top1", "reported", "reported")
    ]
    told = there("models", "show", here.partition("@")[0], "--json").json
    assert (told["licence"], "The card of" in told["card"]) == ("MIT", True)
    folder = tmp_path / "pulled"
    assert there("pull", here, str(folder)).code == 0
    assert there("verify", str(folder)).code == 0
    again = rows(there(*words))
    assert {row["outcome"] for row in again.values()} == {"unchanged"}
    assert again[carried.reference]["reference"] == here


def test_where_it_came_from_is_shown_and_signed_anew(there: Zoo, other: Registry, carried: Carried, admin: Zoo):
    made = rows(there("import", str(carried.file), "--into", other.team, "--key", str(carried.key), "--json"))
    here, foreign = made[carried.reference]["reference"], admin("versions", "show", carried.reference, "--json").json
    with Client(other.url, other.admin_token) as client:
        origin = client.api.get(client.models.versions.route(here, "origin"))["origin"]
    key = made[carried.reference]["key"]
    assert (origin["reference"], origin["id"], origin["digest"]) == (
        carried.reference, foreign["id"], foreign["digest"],
    )  # fmt: skip
    assert (origin["key"], origin["vouched_by"]) == (key, "importer")
    assert carried.reference in there("versions", "show", here).out
    story = there("provenance", here)
    assert f"imported from {carried.reference}" in story.out
    assert key in story.out


def test_the_same_content_gives_the_same_bytes(admin: Zoo, carried: Carried, tmp_path: Path):
    again = tmp_path / "again.tar"
    assert admin("export", carried.reference, "-o", str(again)).code == 0
    assert again.read_bytes() == carried.file.read_bytes()


def test_other_tools_read_the_layout(zoo: Zoo, carried: Carried, tmp_path: Path):
    subprocess.run(["tar", "xf", str(carried.file), "-C", str(tmp_path)], check=True, timeout=60)
    assert (tmp_path / "oci-layout").exists()
    for blob in (tmp_path / "blobs" / "sha256").iterdir():
        found = subprocess.run(["sha256sum", str(blob)], check=True, capture_output=True, text=True, timeout=60)
        assert found.stdout.split()[0] == blob.name
    packed = tmp_path / "repacked.tar"
    names = ["oci-layout", "index.json", "blobs"]
    subprocess.run(["tar", "cf", str(packed), "-C", str(tmp_path), *names], check=True, timeout=60)
    assert zoo("import", str(packed), "--check", "--key", str(carried.key)).code == 0


def test_without_a_key_only_what_the_registry_trusts_is_believed(there: Zoo, other: Registry, carried: Carried):
    words = ("import", str(carried.file), "--into", other.team, "--json")
    refused = there(*words)
    assert refused.code != 0
    assert "no good signature by a key that you trust" in refused.err
    server_command(other.environ, "signing_key", "trust", str(carried.key), "--name", "the first")
    made = rows(there(*words))
    server_command(other.environ, "signing_key", "distrust", made[carried.base]["key"])
    with Client(other.url, other.admin_token) as client:
        route = client.models.versions.route(made[carried.reference]["reference"], "origin")
        assert client.api.get(route)["origin"]["vouched_by"] == "registry"


def test_ancestors_come_as_records_and_get_their_files_from_a_later_bundle(
    admin: Zoo, there: Zoo, other: Registry, carried: Carried, tmp_path: Path
):
    small = tmp_path / "small.tar"
    written = admin("export", carried.reference, "-o", str(small), "--no-ancestor-files", "--json").json
    assert (written["ancestors"], written["records"]) == ([carried.base], [carried.base])
    into = ("--into", other.team, "--key", str(carried.key), "--json")
    made = rows(there("import", str(small), *into))
    base = there("versions", "show", made[carried.base]["reference"], "--json").json
    assert [file["mirrored"] for file in base["files"]] == [False, False]
    assert there("approve", base["reference"]).code != 0
    later = rows(there("import", str(carried.file), *into))
    assert later[carried.base]["outcome"] == "completed"
    base = there("versions", "show", base["reference"], "--json").json
    assert [file["mirrored"] for file in base["files"]] == [True, True]


def test_a_name_that_is_taken_is_answered_with_what_to_do(
    there: Zoo, other: Registry, carried: Carried, tmp_path: Path
):
    name = carried.reference.partition("@")[0].partition("/")[2]
    (tmp_path / "x.txt").write_text("something else")
    assert there("push", f"{other.team}/{name}", str(tmp_path / "x.txt"), "--seal").code == 0
    key = ("--key", str(carried.key))
    refused = there("import", str(carried.file), "--into", other.team, *key)
    assert refused.code != 0
    assert "--as TEAM/NAME" in refused.err
    planned = rows(there("import", str(carried.file), "--as", f"{other.team}/{name}-b", "--dry-run", "--json", *key))
    assert planned[carried.reference]["model"] == f"{other.team}/{name}-b"
    assert planned[carried.reference]["reference"] is None
    made = rows(there("import", str(carried.file), "--as", f"{other.team}/{name}-b", "--json", *key))
    assert made[carried.reference]["reference"] == f"{other.team}/{name}-b@1"


def test_a_bundle_that_comes_home_makes_nothing(admin: Zoo, registry: Registry, carried: Carried):
    home = rows(admin("import", str(carried.file), "--into", registry.team, "--json"))
    assert {row["outcome"] for row in home.values()} == {"unchanged"}
    assert home[carried.reference]["reference"] == carried.reference
