"""Whoever can write the database can write the audit log anew; signed checkpoints outside of it tell all the same."""

import json
from base64 import b64decode, b64encode
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection, transaction
from rest_framework.test import APIClient

from tests.zoo_server.audit.conftest import record, tamper
from tests.zoo_server.factories import client_for, make_member
from zoo_sdk.attestations import CHECKPOINT_PAYLOAD
from zoo_sdk.errors import IntegrityError, Unavailable
from zoo_sdk.vocabulary import TeamRole
from zoo_server.accounts.models import Team
from zoo_server.audit.models import AuditEvent
from zoo_server.audit.selectors import verify_chain
from zoo_server.audit.services import event_digest
from zoo_server.provenance.key_files import public_keys
from zoo_server.provenance.models import SigningKey
from zoo_server.provenance.services.checkpoints import read_checkpoints, write_checkpoint
from zoo_server.provenance.services.keys import rotate_key
from zoo_server.rest.principals import SYSTEM

pytestmark = pytest.mark.django_db(transaction=True)
__all__ = ["record", "tamper"]

REHASHED = """
DO $$
DECLARE
    row record;
    number bigint := 0;
    last text := 'sha256:' || repeat('0', 64);
BEGIN
    FOR row IN SELECT link.event_id, event.digest FROM audit_auditlink AS link
            JOIN audit_auditevent AS event ON event.id = link.event_id ORDER BY link.sequence LOOP
        number := number + 1;
        UPDATE audit_auditlink SET sequence = -number, previous_hash = last, hash = 'sha256:' || encode(sha256(
            convert_to(number || '|' || last || '|' || row.digest, 'UTF8')), 'hex') WHERE event_id = row.event_id
            RETURNING hash INTO last;
    END LOOP;
    UPDATE audit_auditlink SET sequence = -sequence;
END $$
"""
"""What a patient intruder does after changing rows: number and hash the whole chain anew."""


@pytest.fixture
def file(settings: Any, tmp_path: Path) -> Path:
    settings.ZOO_AUDIT_CHECKPOINTS = tmp_path / "kept" / "audit.jsonl"
    return tmp_path / "kept" / "audit.jsonl"


@pytest.fixture
def keys(key: SigningKey, keys_folder: Path) -> dict[str, str]:
    return public_keys(keys_folder)


def edit(events: list[AuditEvent], tamper: Callable[..., None]) -> None:
    event = events[1]
    event.actor = "nobody"
    tamper("UPDATE audit_auditevent SET actor = %s, digest = %s WHERE id = %s", "nobody", event_digest(event), event.id)


def delete(events: list[AuditEvent], tamper: Callable[..., None]) -> None:
    tamper("DELETE FROM audit_auditlink WHERE event_id = %s", events[1].id)
    tamper("DELETE FROM audit_auditevent WHERE id = %s", events[1].id)


def insert(events: list[AuditEvent], tamper: Callable[..., None]) -> None:
    forged = AuditEvent.objects.get(pk=events[1].pk)
    forged.id, forged.actor = events[1].id.__class__(int=1), "forger"
    forged.digest = event_digest(forged)
    tamper("UPDATE audit_auditlink SET sequence = sequence * 10")
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SET LOCAL session_replication_role = replica")
        forged.save(force_insert=True)
    tamper("INSERT INTO audit_auditlink (sequence, event_id, previous_hash, hash) VALUES (15, %s, '', '')", forged.id)


def reorder(events: list[AuditEvent], tamper: Callable[..., None]) -> None:
    tamper("UPDATE audit_auditlink SET sequence = 100 - sequence")


@pytest.mark.parametrize("change", [edit, delete, insert, reorder], ids=lambda change: change.__name__)
def test_a_log_that_was_changed_and_hashed_anew_contradicts_its_checkpoint(record, tamper, file, keys, change):
    events = [record(number=number) for number in range(4)]
    write_checkpoint()
    record(number=4)
    record(number=5)
    change(events, tamper)
    tamper(REHASHED)
    assert verify_chain().ok, "the intruder was not patient enough: this test shows nothing"
    checkpoints = read_checkpoints(file, keys)
    found = verify_chain(checkpoints=checkpoints)
    assert found.first_broken is not None
    assert found.first_broken.sequence == max(checkpoints)
    assert "written anew" in found.first_broken.reason


def test_a_log_whose_end_was_cut_off_is_shorter_than_its_checkpoint(record, tamper, file, keys):
    events = [record(number=number) for number in range(5)]
    write_checkpoint()
    for event in events[3:]:
        tamper("DELETE FROM audit_auditlink WHERE event_id = %s", event.id)
        tamper("DELETE FROM audit_auditevent WHERE id = %s", event.id)
    assert verify_chain().ok
    found = verify_chain(checkpoints=read_checkpoints(file, keys))
    assert found.first_broken is not None
    assert "its end was cut off" in found.first_broken.reason


def test_a_log_that_only_grew_fits_all_its_checkpoints(record, file, keys):
    for number in range(3):
        record(number=number)
        assert write_checkpoint() is not None
    assert write_checkpoint() is None
    assert len(file.read_text().splitlines()) == 3
    checkpoints = read_checkpoints(file, keys)
    assert len(checkpoints) == 3
    assert verify_chain(checkpoints=checkpoints).ok


def edited(line: str, **changes: Any) -> str:
    envelope = json.loads(line)
    content = json.loads(b64decode(envelope["payload"])) | changes
    return json.dumps(envelope | {"payload": b64encode(json.dumps(content).encode()).decode()})


def test_a_forged_checkpoint_is_found_at_its_line(record, file, keys, keys_folder: Path):
    record()
    write_checkpoint()
    (good,) = file.read_text().splitlines()
    for bad, reason in (
        (edited(good, sequence=7), "has a signature that does not fit"),
        (good.replace(CHECKPOINT_PAYLOAD, "text/plain"), "is not by a trusted key"),
        ("{}", "is no checkpoint"),
        ("x" * 200_000, "is no checkpoint"),
    ):
        file.write_text(f"{good}\n{bad}\n")
        with pytest.raises(IntegrityError, match=f"line 2: {reason}"):
            read_checkpoints(file, keys)
    file.write_text(good)
    with pytest.raises(IntegrityError, match="line 1: is not by a trusted key"):
        read_checkpoints(file, {})


def test_checkpoints_of_a_retired_key_count_and_the_databases_keys_do_not(record, file, key, keys_folder: Path, tamper):
    record()
    write_checkpoint()
    rotate_key(principal=SYSTEM)
    write_checkpoint()
    tamper("UPDATE provenance_signingkey SET public_key = 'forged'")
    assert len(read_checkpoints(file, public_keys(keys_folder))) == 2


def test_without_a_key_or_a_place_no_checkpoint_is_written(record, file, keys_folder: Path):
    record()
    with pytest.raises(Unavailable, match="no signing key"):
        write_checkpoint()


def test_a_file_that_cannot_be_written_is_named(record, key, tmp_path: Path):
    (tmp_path / "file").touch()
    with pytest.raises(Unavailable, match="cannot be written"):
        write_checkpoint(tmp_path / "file" / "audit.jsonl")


def test_the_command_writes_and_verifies(record, tamper, file, key):
    def run(*words: str) -> str:
        out = StringIO()
        call_command("audit_checkpoint", *words, stdout=out)
        return out.getvalue()

    with pytest.raises(CommandError, match="no checkpoints"):
        run("verify")
    events = [record(number=number) for number in range(3)]
    assert run("write").startswith("Link ")
    assert "Nothing new" in run("write")
    assert "unbroken, as in 1 checkpoints" in run("verify")
    edit(events, tamper)
    tamper(REHASHED)
    with pytest.raises(CommandError, match="written anew"):
        run("verify")


def test_auditors_get_a_signed_checkpoint_and_can_compare_it_later(record, tamper, key, team: Team, api: APIClient):
    auditor = client_for(make_member(team, TeamRole.AUDITOR))
    events = [record(number=number) for number in range(3)]
    assert api.get("/api/v1/audit/checkpoint").status_code == 403
    made = auditor.get("/api/v1/audit/checkpoint").json()
    signed = json.loads(b64decode(made["envelope"]["payload"]))
    assert (signed["sequence"], signed["hash"], signed["key"]) == (made["sequence"], made["hash"], key.pk)
    query = {"checkpoint": f"{made['sequence']}:{made['hash']}"}
    assert auditor.get("/api/v1/audit/verification", query).json()["ok"] is True
    edit(events, tamper)
    tamper(REHASHED)
    assert auditor.get("/api/v1/audit/verification").json()["ok"] is True
    found = auditor.get("/api/v1/audit/verification", query).json()
    assert (found["ok"], found["first_broken"]["sequence"]) == (False, made["sequence"])
    assert auditor.get("/api/v1/audit/verification", {"checkpoint": "1:x"}).status_code == 422
