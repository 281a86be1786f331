"""A sealed version's remote file gets its bytes once, when it is mirrored; nothing else of it ever changes."""

import importlib

from django.db import migrations

triggers = importlib.import_module("zoo_server.catalog.migrations.0002_triggers")

MIRRORED_ONCE = """
    IF TG_TABLE_NAME = 'catalog_versionfile' AND TG_OP = 'UPDATE' THEN
        IF to_jsonb(OLD) ->> 'blob_id' IS NULL AND to_jsonb(NEW) ->> 'blob_id' IS NOT NULL
            AND to_jsonb(NEW) ->> 'declared_sha256' IN ('', to_jsonb(NEW) ->> 'blob_id')
            AND to_jsonb(NEW) - 'blob_id' = to_jsonb(OLD) - 'blob_id' THEN
            RETURN NEW;
        END IF;
    END IF;
"""
GUARD = triggers.SEALED_PARTS.replace("CREATE FUNCTION", "CREATE OR REPLACE FUNCTION")
GUARD_WITH_MIRRORS = GUARD.replace("\nBEGIN\n", f"\nBEGIN{MIRRORED_ONCE}", 1)


class Migration(migrations.Migration):
    dependencies = [("catalog", "0003_remote_files")]

    operations = [migrations.RunSQL(GUARD_WITH_MIRRORS, GUARD)]
