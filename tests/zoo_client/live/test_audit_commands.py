"""``zoo audit export``, ``checkpoint`` and ``verify --checkpoints`` against the real registry."""

import csv
import json
from pathlib import Path

import psycopg

from tests.zoo_client.conftest import Zoo
from tests.zoo_client.live.conftest import Registry


def test_events_are_exported_as_json_lines_and_as_a_table(admin: Zoo, registry: Registry, tmp_path: Path):
    name = f"{registry.team}/exported"
    for title in ("first", "second"):
        assert admin("models", "create" if title == "first" else "edit", name, "--title", title).code == 0
    lines = admin("audit", "export", "--object", name, "--action", "model.*").out.splitlines()
    if not lines:  # whatever the action is called, its kind is the part before the dot
        action = json.loads(admin("audit", "export", "--object", name).out.splitlines()[0])["action"]
        lines = admin("audit", "export", "--object", name, "--action", f"{action.split('.')[0]}.*").out.splitlines()
    assert len(lines) == 2
    assert {json.loads(line)["object_name"] for line in lines} == {name}
    assert admin("audit", "export", "--object", name, "--action", "nothing.*").out == ""
    table = tmp_path / "audit.csv"
    done = admin("audit", "export", "--object", name, "--format", "csv", "--output", str(table), "--json")
    assert done.json["events"] == 2
    with table.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["object_name"] for row in rows] == [name, name]
    assert rows[0]["sequence"] > rows[1]["sequence"]


def test_a_checkpoint_shows_what_an_intruder_did_to_the_database(admin: Zoo, registry: Registry, tmp_path: Path):
    admin("models", "create", f"{registry.team}/watched")
    admin("keys", "list")  # trusts the registry's key
    kept = tmp_path / "checkpoints.jsonl"
    kept.write_text(admin("audit", "checkpoint").out)
    good = admin("audit", "verify", "--checkpoints", str(kept))
    assert good.code == 0, good.err
    assert "as in 1 checkpoint;" in good.out
    with psycopg.connect(registry.environ["ZOO_DATABASE_URL"]) as connection:
        connection.execute("SET LOCAL session_replication_role = replica")
        newest = "(SELECT event_id FROM audit_auditlink ORDER BY sequence DESC LIMIT 1)"
        row = connection.execute(f"DELETE FROM audit_auditevent WHERE id = {newest} RETURNING *").fetchone()
        link = connection.execute(
            "DELETE FROM audit_auditlink WHERE sequence = (SELECT max(sequence) FROM audit_auditlink) RETURNING *"
        ).fetchone()
    assert row is not None
    assert link is not None
    try:
        assert admin("audit", "verify").code == 0
        bad = admin("audit", "verify", "--checkpoints", str(kept))
        assert bad.code == 1
        assert "its end was cut off" in bad.err
    finally:  # the other tests' registry has to stay whole
        values = [json.dumps(value) if isinstance(value, dict) else value for value in row]
        with psycopg.connect(registry.environ["ZOO_DATABASE_URL"]) as connection:
            connection.execute("SET LOCAL session_replication_role = replica")
            for table, content in (("audit_auditevent", values), ("audit_auditlink", link)):
                places = ", ".join(["%s"] * len(content))
                connection.execute(f"INSERT INTO {table} VALUES ({places})", content)
    assert admin("audit", "verify", "--checkpoints", str(kept)).code == 0


def test_a_checkpoint_of_a_key_that_is_not_trusted_is_refused(admin: Zoo, tmp_path: Path):
    kept = tmp_path / "checkpoints.jsonl"
    kept.write_text(admin("audit", "checkpoint").out)
    refused = admin("audit", "verify", "--checkpoints", str(kept))
    assert refused.code == 1
    assert "not signed by a key that you trust" in refused.err
