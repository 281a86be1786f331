"""The audit log is append-only, chained at commit, and tampering is found at the right row."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from django.core.management import CommandError, call_command
from django.db import DatabaseError, connection, transaction

from tests.zoo_server.factories import make_team
from zoo_server.audit.models import AuditEvent, AuditLink
from zoo_server.audit.selectors import GENESIS_HASH, verify_chain
from zoo_server.audit.services import event_digest, record_event
from zoo_server.rest.principals import SYSTEM

pytestmark = pytest.mark.django_db(transaction=True)


def test_an_empty_log_verifies():
    found = verify_chain()
    assert (found.ok, found.events, found.head_sequence, found.head_hash) == (True, 0, 0, GENESIS_HASH)


def test_events_are_chained_in_the_order_of_their_commits(record):
    events = [record(number=number) for number in range(5)]
    links = list(AuditLink.objects.order_by("sequence"))
    assert [link.event_id for link in links] == [event.id for event in events]
    assert [link.previous_hash for link in links] == [GENESIS_HASH, *(link.hash for link in links[:-1])]
    found = verify_chain()
    assert (found.ok, found.events, found.checked, found.head_hash) == (True, 5, 5, links[-1].hash)


def test_a_rolled_back_change_leaves_neither_event_nor_link(record):
    record()
    with transaction.atomic():
        record_event(actor=SYSTEM, action="team.tested", subject=make_team())
        transaction.set_rollback(True)
    record()
    assert AuditEvent.objects.count() == AuditLink.objects.count() == 2
    assert verify_chain().ok


@pytest.mark.parametrize("table", ["audit_auditevent", "audit_auditlink"])
@pytest.mark.parametrize("statement", ["UPDATE {} SET {} = {}", "DELETE FROM {}", "TRUNCATE {} CASCADE"])
def test_the_database_refuses_to_change_the_log(record, table: str, statement: str):
    record()
    column = "digest" if table == "audit_auditevent" else "hash"
    with pytest.raises(DatabaseError, match="append-only"), connection.cursor() as cursor:
        cursor.execute(statement.format(table, column, column))
    assert verify_chain().checked == 1


def test_the_database_refuses_a_link_made_by_hand(record):
    event = record()
    with pytest.raises(DatabaseError, match="written by its trigger only"):
        AuditLink.objects.create(sequence=2, event=event, previous_hash=GENESIS_HASH, hash=GENESIS_HASH)


SOMETHING_ELSE = "sha256:" + "7" * 64
TAMPERINGS = {
    "a detail was edited": ("UPDATE audit_auditevent SET details = '{\"number\": 9}' WHERE id = %s", 3, "was changed"),
    "an actor was edited": ("UPDATE audit_auditevent SET actor = 'nobody' WHERE id = %s", 3, "was changed"),
    "a time was moved": (
        "UPDATE audit_auditevent SET time = time + interval '1 microsecond' WHERE id = %s",
        3,
        "was ch",
    ),
    "a digest was replaced": (
        f"UPDATE audit_auditevent SET digest = '{SOMETHING_ELSE}' WHERE id = %s",
        3,
        "was changed",
    ),
    "an event was deleted": ("DELETE FROM audit_auditevent WHERE id = %s", 3, "was deleted"),
    "a link was deleted": ("DELETE FROM audit_auditlink WHERE event_id = %s", 4, "link 3 is missing"),
    "a hash was replaced": (
        f"UPDATE audit_auditlink SET hash = '{SOMETHING_ELSE}' WHERE event_id = %s",
        3,
        "hash does",
    ),
    "a link was redirected": (
        f"UPDATE audit_auditlink SET previous_hash = '{SOMETHING_ELSE}' WHERE event_id = %s",
        3,
        "does not continue",
    ),
}


@pytest.mark.parametrize("name", TAMPERINGS)
def test_tampering_is_found_at_its_row(record, tamper, name: str):
    events = [record(number=number) for number in range(6)]
    statement, sequence, reason = TAMPERINGS[name]
    tamper(statement, events[2].id)
    found = verify_chain()
    assert found.first_broken is not None
    assert (found.first_broken.sequence, found.checked) == (sequence, 2)
    assert reason in found.first_broken.reason
    with pytest.raises(CommandError, match=f"link {sequence} "):
        call_command("audit_verify")


def test_an_edited_event_with_a_recomputed_digest_is_found(record, tamper):
    event = [record(number=number) for number in range(3)][1]
    event.actor = "nobody"
    tamper("UPDATE audit_auditevent SET actor = %s, digest = %s WHERE id = %s", "nobody", event_digest(event), event.id)
    found = verify_chain()
    assert found.first_broken is not None
    assert found.first_broken.event == event.id
    assert "hash does not match" in found.first_broken.reason


def test_two_events_that_changed_places_are_found(record, tamper):
    first, second = record(number=1), record(number=2)
    tamper(
        "UPDATE audit_auditlink SET sequence = -sequence; "
        "UPDATE audit_auditlink SET sequence = CASE event_id WHEN %s THEN 2 ELSE 1 END",
        first.id,
    )
    found = verify_chain()
    assert found.first_broken is not None
    assert (found.first_broken.sequence, found.first_broken.event) == (1, second.id)


def test_an_inserted_link_is_found(record, tamper):
    events = [record(number=number) for number in range(3)]
    tamper("UPDATE audit_auditlink SET sequence = 4 WHERE event_id = %s", events[2].id)
    tamper(
        "INSERT INTO audit_auditevent SELECT gen_random_uuid(), time, 'forger', actor_id, token_id, address, action, "
        "team, object_type, object_id, object_name, details, digest FROM audit_auditevent WHERE id = %s",
        events[1].id,
    )
    tamper(
        "INSERT INTO audit_auditlink (sequence, event_id, previous_hash, hash) "
        "SELECT 3, id, %s, %s FROM audit_auditevent WHERE actor = 'forger'",
        GENESIS_HASH,
        GENESIS_HASH,
    )
    found = verify_chain()
    assert found.first_broken is not None
    assert found.first_broken.sequence == 3


def test_an_event_without_a_link_is_found(record, tamper):
    record()
    last = record()
    tamper("DELETE FROM audit_auditlink WHERE event_id = %s", last.id)
    found = verify_chain()
    assert found.first_broken is not None
    assert (found.first_broken.sequence, found.first_broken.event, found.events) == (None, last.id, 2)


def test_eight_threads_with_two_hundred_events_make_one_chain():
    def work(thread: int) -> None:
        try:
            for number in range(25):
                with transaction.atomic():
                    team = make_team(f"t{thread}-{number}")
                    record_event(actor=SYSTEM, action="team.created", subject=team, team=team.name)
        finally:
            connection.close()

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))
    found = verify_chain()
    assert (found.ok, found.events, found.checked, found.head_sequence) == (True, 200, 200, 200)


def test_the_check_reads_more_rows_than_fit_in_one_batch(record, tamper, monkeypatch):
    monkeypatch.setattr("zoo_server.audit.selectors.ROWS_AT_A_TIME", 3)
    events = [record(number=number) for number in range(8)]
    assert verify_chain().checked == 8
    tamper("UPDATE audit_auditevent SET team = 'other' WHERE id = %s", events[7].id)
    found = verify_chain()
    assert (found.checked, found.first_broken and found.first_broken.event) == (7, events[7].id)


def test_the_command_prints_the_head_of_an_unbroken_log(record, capsys):
    record()
    call_command("audit_verify")
    assert capsys.readouterr().out.startswith("1 events, unbroken; head 1 sha256:")
