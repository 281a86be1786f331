"""Attestations are never changed or deleted; what was sealed before this app waits for its attestations."""

from django.db import migrations

GUARD = """
CREATE FUNCTION provenance_attestation_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'attestations are never changed or deleted: % is refused', TG_OP
        USING ERRCODE = 'integrity_constraint_violation';
END $$;
CREATE TRIGGER provenance_attestation_guard BEFORE UPDATE OR DELETE ON provenance_attestation
    FOR EACH ROW EXECUTE FUNCTION provenance_attestation_guard();
"""
WAITING = """
INSERT INTO provenance_pendingattestation (version_id, due_at, tries, error)
SELECT id, now(), 0, '' FROM catalog_version WHERE state <> 'draft' ON CONFLICT DO NOTHING
"""


class Migration(migrations.Migration):
    dependencies = [("provenance", "0001_initial")]

    operations = [
        migrations.RunSQL(GUARD, "DROP FUNCTION provenance_attestation_guard() CASCADE"),
        migrations.RunSQL(WAITING, migrations.RunSQL.noop),
    ]
