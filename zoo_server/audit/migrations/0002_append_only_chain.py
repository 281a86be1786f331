"""Makes the audit tables append-only, and chains each event when its transaction commits."""

from django.db import migrations

FORWARD = r"""
CREATE FUNCTION audit_refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is append-only: % is refused', TG_TABLE_NAME, TG_OP
        USING ERRCODE = 'restrict_violation', HINT = 'The audit log can only be added to.';
END $$;

CREATE TRIGGER audit_event_is_append_only BEFORE UPDATE OR DELETE ON audit_auditevent
    FOR EACH ROW EXECUTE FUNCTION audit_refuse_change();
CREATE TRIGGER audit_event_is_not_truncated BEFORE TRUNCATE ON audit_auditevent
    FOR EACH STATEMENT EXECUTE FUNCTION audit_refuse_change();
CREATE TRIGGER audit_link_is_append_only BEFORE UPDATE OR DELETE ON audit_auditlink
    FOR EACH ROW EXECUTE FUNCTION audit_refuse_change();
CREATE TRIGGER audit_link_is_not_truncated BEFORE TRUNCATE ON audit_auditlink
    FOR EACH STATEMENT EXECUTE FUNCTION audit_refuse_change();

-- Only the chaining trigger adds links: an INSERT by hand runs at trigger depth 1.
CREATE FUNCTION audit_refuse_foreign_link() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF pg_trigger_depth() < 2 THEN
        RAISE EXCEPTION 'audit_auditlink is written by its trigger only' USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER audit_link_comes_from_the_chain BEFORE INSERT ON audit_auditlink
    FOR EACH ROW EXECUTE FUNCTION audit_refuse_foreign_link();

-- Runs at commit.  The advisory lock is held from here to the end of the commit, so links are made one after another;
-- in READ COMMITTED the SELECT below sees the link of whoever held the lock before.  (A stricter isolation level would
-- see an old head, and fail on the primary key instead of forking the chain.)
CREATE FUNCTION audit_chain_event() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    last_sequence bigint;
    last_hash text;
BEGIN
    PERFORM pg_advisory_xact_lock(7090171525143201);
    SELECT sequence, hash INTO last_sequence, last_hash FROM audit_auditlink ORDER BY sequence DESC LIMIT 1;
    last_sequence := coalesce(last_sequence, 0) + 1;
    last_hash := coalesce(last_hash, 'sha256:' || repeat('0', 64));
    INSERT INTO audit_auditlink (sequence, event_id, previous_hash, hash) VALUES (
        last_sequence, NEW.id, last_hash,
        'sha256:' || encode(sha256(convert_to(last_sequence || '|' || last_hash || '|' || NEW.digest, 'UTF8')), 'hex')
    );
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER audit_event_is_chained AFTER INSERT ON audit_auditevent
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION audit_chain_event();
"""
BACKWARD = r"""
DROP TRIGGER audit_event_is_chained ON audit_auditevent;
DROP TRIGGER audit_event_is_append_only ON audit_auditevent;
DROP TRIGGER audit_event_is_not_truncated ON audit_auditevent;
DROP TRIGGER audit_link_is_append_only ON audit_auditlink;
DROP TRIGGER audit_link_is_not_truncated ON audit_auditlink;
DROP TRIGGER audit_link_comes_from_the_chain ON audit_auditlink;
DROP FUNCTION audit_chain_event();
DROP FUNCTION audit_refuse_foreign_link();
DROP FUNCTION audit_refuse_change();
"""


class Migration(migrations.Migration):
    dependencies = [("audit", "0001_initial")]
    operations = [migrations.RunSQL(FORWARD, BACKWARD)]
