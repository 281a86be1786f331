"""Signing keys: made once, readable by the server alone, rotated with an endorsement, revoked with new signatures."""

import json
from base64 import b64decode
from concurrent.futures import ThreadPoolExecutor
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from rest_framework.test import APIClient

from tests.zoo_server.jobs.scenes import make_model
from zoo_sdk.attestations import KEY_PAYLOAD, Envelope, key_id
from zoo_sdk.errors import Conflict, InvalidInput, NotFound, Unavailable
from zoo_server.accounts.models import Team
from zoo_server.audit.models import AuditEvent
from zoo_server.provenance.key_files import is_signed_by, make_key, read_key
from zoo_server.provenance.models import Attestation, SigningKey
from zoo_server.provenance.services import attesting
from zoo_server.provenance.services.keys import ensure_key, revoke_key, rotate_key
from zoo_server.rest.principals import SYSTEM

from .conftest import attested


def published() -> list[dict[str, Any]]:
    answer = APIClient().get("/api/v1/keys")
    assert answer.status_code == 200
    return answer.json()["results"]


def test_the_first_key_is_made_once_and_its_file_is_private(key: SigningKey, keys_folder: Path):
    assert ensure_key(principal=SYSTEM) == key
    (file,) = keys_folder.iterdir()
    assert (file.name, file.stat().st_mode & 0o777) == (f"{key.pk}.pem", 0o600)
    assert keys_folder.stat().st_mode & 0o777 == 0o700


def test_anybody_may_read_the_public_halves_and_nothing_else(key: SigningKey):
    (found,) = published()
    assert (found["id"], found["state"], found["algorithm"]) == (key.pk, "current", "ecdsa-p256-sha256")
    assert key_id(found["public_key"]) == key.pk
    assert "PRIVATE" not in json.dumps(found)


def test_the_private_half_is_nowhere_in_the_database(key: SigningKey, keys_folder: Path):
    secret = (keys_folder / f"{key.pk}.pem").read_text().splitlines()[1]
    with connection.cursor() as cursor:
        cursor.execute("SELECT row_to_json(k)::text FROM provenance_signingkey k")
        rows = "".join(row[0] for row in cursor.fetchall())
        cursor.execute("SELECT details::text FROM audit_auditevent")
        rows += "".join(row[0] for row in cursor.fetchall())
    assert secret not in rows


def test_a_new_key_is_endorsed_by_the_one_before(key: SigningKey):
    new = rotate_key(principal=SYSTEM)
    first, second = published()
    assert [(first["id"], first["state"]), (second["id"], second["state"])] == [
        (new.pk, "current"),
        (key.pk, "retired"),
    ]
    envelope = Envelope.model_validate(first["endorsement"])
    assert envelope.payloadType == KEY_PAYLOAD
    assert is_signed_by(key.public_key, b64decode(envelope.signatures[0].sig), envelope.signed_bytes)
    assert json.loads(envelope.content)["key_id"] == new.pk


def test_after_a_rotation_the_new_key_signs_and_old_signatures_stay(key: SigningKey, team: Team):
    before = attested(make_model(team, "before"))
    new = rotate_key(principal=SYSTEM)
    after = attested(make_model(team, "after"))
    assert set(Attestation.objects.filter(version=before).values_list("key", flat=True)) == {key.pk}
    assert set(Attestation.objects.filter(version=after).values_list("key", flat=True)) == {new.pk}
    assert attesting.queue_missing() == 0


def test_what_a_revoked_key_signed_is_signed_anew(key: SigningKey, team: Team, api: APIClient):
    version = attested(make_model(team, "again"))
    new = rotate_key(principal=SYSTEM)
    revoke_key(principal=SYSTEM, key=key.pk, reason="The disk was stolen.")
    assert attesting.attest_pending() == 2
    answer = api.get("/api/v1/models/vision/again/versions/1/attestations").json()
    assert answer["signature"]["verificationMaterial"]["publicKey"]["hint"] == new.pk
    assert answer["provenance"]["signatures"][0]["keyid"] == new.pk
    assert Attestation.objects.filter(version=version).count() == 4
    old = published()[1]
    assert (old["state"], old["revocation_reason"]) == ("revoked", "The disk was stolen.")
    actions = AuditEvent.objects.filter(action__startswith="signing_key.").order_by("id")
    assert list(actions.values_list("action", flat=True)) == [
        "signing_key.made",
        "signing_key.made",
        "signing_key.revoked",
    ]


def test_the_present_key_and_an_unknown_one_cannot_be_revoked(key: SigningKey):
    with pytest.raises(Conflict, match="signs at present"):
        revoke_key(principal=SYSTEM, key=key.pk, reason="x")
    with pytest.raises(NotFound):
        revoke_key(principal=SYSTEM, key="0" * 64, reason="x")


def test_a_rotation_after_the_old_file_was_lost_has_no_endorsement(key: SigningKey, keys_folder: Path):
    (keys_folder / f"{key.pk}.pem").unlink()
    rotate_key(principal=SYSTEM)
    assert published()[0]["endorsement"] is None


def test_a_key_file_that_others_can_read_is_not_used(key: SigningKey, keys_folder: Path):
    (keys_folder / f"{key.pk}.pem").chmod(0o644)
    with pytest.raises(InvalidInput, match="Other users can read"):
        read_key(keys_folder, key.pk)


def test_a_key_file_with_something_else_is_not_used(key: SigningKey, keys_folder: Path):
    file = keys_folder / f"{key.pk}.pem"
    file.write_text("not a key")
    with pytest.raises(InvalidInput, match="no private key"):
        read_key(keys_folder, key.pk)
    other = make_key(keys_folder)
    file.write_bytes((keys_folder / f"{other.id}.pem").read_bytes())
    with pytest.raises(Conflict, match="holds the key"):
        read_key(keys_folder, key.pk)


def test_a_folder_that_cannot_be_written_is_named(db: None, settings: Any, tmp_path: Path):
    (tmp_path / "file").touch()
    settings.ZOO_SIGNING_KEYS_DIR = tmp_path / "file" / "keys"
    with pytest.raises(Unavailable, match="cannot be written"):
        ensure_key(principal=SYSTEM)


@pytest.mark.django_db(transaction=True)
def test_servers_that_start_at_the_same_time_make_one_key(keys_folder: Path):
    def start(_: int) -> str:
        try:
            return ensure_key(principal=SYSTEM).pk
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as pool:
        assert len(set(pool.map(start, range(4)))) == 1
    assert SigningKey.objects.count() == 1


def test_the_command_makes_rotates_revokes_and_lists(db: None, keys_folder: Path):
    def run(*words: str) -> str:
        out = StringIO()
        call_command("signing_key", *words, stdout=out)
        return out.getvalue()

    first = run("ensure").split()[2]
    assert run("ensure").split()[2] == first
    second = run("rotate").split()[2]
    assert "is revoked" in run("revoke", first, "--reason", "lost")
    assert [(key["id"], key["state"]) for key in json.loads(run("list"))] == [(second, "current"), (first, "revoked")]
    with pytest.raises(CommandError, match="signs at present"):
        run("revoke", second, "--reason", "x")
