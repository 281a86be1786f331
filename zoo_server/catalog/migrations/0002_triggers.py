"""Triggers that the database itself holds: sealed versions do not change, histories only grow, search is up to date."""

from django.db import migrations

ERRCODE = "integrity_constraint_violation"

SEALED_VERSION = f"""
CREATE FUNCTION catalog_version_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
        IF OLD.state <> 'draft' THEN
            RAISE EXCEPTION 'version % is % and cannot be deleted', OLD.id, OLD.state USING ERRCODE = '{ERRCODE}';
        END IF;
        RETURN OLD;
    END IF;
    IF OLD.state <> 'draft' AND to_jsonb(NEW) - 'state' IS DISTINCT FROM to_jsonb(OLD) - 'state' THEN
        RAISE EXCEPTION 'version % is % and cannot be changed', OLD.id, OLD.state USING ERRCODE = '{ERRCODE}';
    END IF;
    IF NEW.state <> OLD.state THEN
        IF (OLD.state, NEW.state) NOT IN (
            ('draft', 'candidate'),
            ('candidate', 'approved'), ('candidate', 'withdrawn'),
            ('approved', 'deprecated'), ('approved', 'withdrawn'),
            ('deprecated', 'approved'), ('deprecated', 'withdrawn')
        ) THEN
            RAISE EXCEPTION 'version % cannot go from % to %', OLD.id, OLD.state, NEW.state USING ERRCODE = '{ERRCODE}';
        END IF;
        IF OLD.state = 'draft' AND (NEW.digest = '' OR NEW.sealed_at IS NULL) THEN
            RAISE EXCEPTION 'version % cannot be sealed without a digest and a time', OLD.id
                USING ERRCODE = '{ERRCODE}';
        END IF;
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER catalog_version_guard BEFORE UPDATE OR DELETE ON catalog_version
    FOR EACH ROW EXECUTE FUNCTION catalog_version_guard();
"""

# The version's row is locked FOR SHARE, so that nothing is added while another transaction is sealing it.
SEALED_PARTS = f"""
CREATE FUNCTION catalog_part_guard() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    owner uuid;
    owner_state text;
BEGIN
    FOREACH owner IN ARRAY CASE TG_OP
        WHEN 'INSERT' THEN ARRAY[(to_jsonb(NEW) ->> TG_ARGV[0])::uuid]
        WHEN 'DELETE' THEN ARRAY[(to_jsonb(OLD) ->> TG_ARGV[0])::uuid]
        ELSE ARRAY[(to_jsonb(OLD) ->> TG_ARGV[0])::uuid, (to_jsonb(NEW) ->> TG_ARGV[0])::uuid]
    END LOOP
        SELECT state INTO owner_state FROM catalog_version WHERE id = owner FOR SHARE;
        IF owner_state <> 'draft' THEN
            RAISE EXCEPTION '% of version %: it is % and cannot be changed', TG_TABLE_NAME, owner, owner_state
                USING ERRCODE = '{ERRCODE}';
        END IF;
    END LOOP;
    RETURN CASE TG_OP WHEN 'DELETE' THEN OLD ELSE NEW END;
END $$;
"""
PARTS = {
    "catalog_versionfile": "version_id",
    "catalog_artifact": "version_id",
    "catalog_strategystep": "version_id",
    "catalog_lineageedge": "child_id",
}
GUARD_PART = """
CREATE TRIGGER catalog_part_guard BEFORE INSERT OR UPDATE OR DELETE ON {table}
    FOR EACH ROW EXECUTE FUNCTION catalog_part_guard('{column}');
"""

HISTORIES = ("catalog_statechange", "catalog_aliasmove")
APPEND_ONLY = f"""
CREATE FUNCTION catalog_history_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is a history: its rows are never changed or deleted', TG_TABLE_NAME
        USING ERRCODE = '{ERRCODE}';
END $$;
"""
GUARD_HISTORY = """
CREATE TRIGGER catalog_history_guard BEFORE UPDATE OR DELETE ON {table}
    FOR EACH ROW EXECUTE FUNCTION catalog_history_guard();
"""

SEARCH = """
CREATE FUNCTION catalog_repository_search() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.search :=
        setweight(to_tsvector('english', translate(NEW.name, '._-', '   ') || ' ' || NEW.title), 'A') ||
        setweight(to_tsvector('english', array_to_string(NEW.tags, ' ')), 'B') ||
        setweight(to_tsvector('english', translate(NEW.architecture || ' ' || NEW.task, '._-', '   ')), 'C') ||
        setweight(to_tsvector('english', left(NEW.card, 262144)), 'D');
    RETURN NEW;
END $$;
CREATE TRIGGER catalog_repository_search BEFORE INSERT OR UPDATE OF name, title, tags, architecture, task, card
    ON catalog_repository FOR EACH ROW EXECUTE FUNCTION catalog_repository_search();
UPDATE catalog_repository SET name = name;
"""


def _drop(function: str) -> str:
    return f"DROP FUNCTION {function}() CASCADE"


class Migration(migrations.Migration):
    dependencies = [("catalog", "0001_initial")]

    operations = [
        migrations.RunSQL(SEALED_VERSION, _drop("catalog_version_guard")),
        migrations.RunSQL(
            SEALED_PARTS + "".join(GUARD_PART.format(table=table, column=column) for table, column in PARTS.items()),
            _drop("catalog_part_guard"),
        ),
        migrations.RunSQL(
            APPEND_ONLY + "".join(GUARD_HISTORY.format(table=table) for table in HISTORIES),
            _drop("catalog_history_guard"),
        ),
        migrations.RunSQL(SEARCH, _drop("catalog_repository_search")),
    ]
