"""What is kept and what may go: deletions and pins, and triggers that let go of the bytes of tombstones only."""

import importlib

import django.db.models.deletion
import zoo_server.rest.identifiers
from django.conf import settings
from django.db import migrations, models

late_bytes = importlib.import_module("zoo_server.catalog.migrations.0004_late_bytes")
triggers = importlib.import_module("zoo_server.catalog.migrations.0002_triggers")

# A file's bytes go when its version is a tombstone, and never come back.  Their digest is kept.
BURIED = f"""
    IF TG_TABLE_NAME = 'catalog_versionfile' AND TG_OP = 'UPDATE' THEN
        IF (to_jsonb(NEW) ->> 'blob_id') IS DISTINCT FROM (to_jsonb(OLD) ->> 'blob_id') AND EXISTS (
            SELECT 1 FROM catalog_deletion
            WHERE version_id = (to_jsonb(OLD) ->> 'version_id')::uuid AND buried_at IS NOT NULL
        ) THEN
            IF to_jsonb(NEW) ->> 'blob_id' IS NULL
                AND to_jsonb(NEW) - '{{blob_id,declared_sha256,declared_size}}'::text[]
                    = to_jsonb(OLD) - '{{blob_id,declared_sha256,declared_size}}'::text[]
                AND to_jsonb(NEW) ->> 'declared_sha256' = to_jsonb(OLD) ->> 'blob_id' THEN
                RETURN NEW;
            END IF;
            RAISE EXCEPTION 'file % belongs to a tombstone', to_jsonb(OLD) ->> 'id'
                USING ERRCODE = '{triggers.ERRCODE}';
        END IF;
    END IF;
"""
GUARD_WITH_TOMBSTONES = late_bytes.GUARD_WITH_MIRRORS.replace("\nBEGIN\n", f"\nBEGIN{BURIED}", 1)

DELETION_GUARD = f"""
CREATE FUNCTION catalog_deletion_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.buried_at IS NOT NULL THEN
        RAISE EXCEPTION 'deletion % was carried out and cannot be changed', OLD.id
            USING ERRCODE = '{triggers.ERRCODE}';
    END IF;
    RETURN CASE TG_OP WHEN 'DELETE' THEN OLD ELSE NEW END;
END $$;
CREATE TRIGGER catalog_deletion_guard BEFORE UPDATE OR DELETE ON catalog_deletion
    FOR EACH ROW EXECUTE FUNCTION catalog_deletion_guard();
"""


class Migration(migrations.Migration):

    dependencies = [
        ('artifacts', '0004_blob_states'),
        ('catalog', '0005_reports'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name='Deletion',
            fields=[
                ('id', models.UUIDField(default=zoo_server.rest.identifiers.new_id, editable=False, primary_key=True, serialize=False)),
                ('reason', models.TextField(blank=True)),
                ('deleted_at', models.DateTimeField(auto_now_add=True)),
                ('restorable_until', models.DateTimeField()),
                ('buried_at', models.DateTimeField(blank=True, null=True)),
            ],
        ),
        migrations.CreateModel(
            name='Pin',
            fields=[
                ('id', models.UUIDField(default=zoo_server.rest.identifiers.new_id, editable=False, primary_key=True, serialize=False)),
                ('reason', models.TextField(blank=True)),
                ('pinned_at', models.DateTimeField(auto_now_add=True)),
            ],
        ),
        migrations.RemoveConstraint(
            model_name='versionfile',
            name='file_is_here_or_has_an_address',
        ),
        migrations.AddConstraint(
            model_name='versionfile',
            constraint=models.CheckConstraint(condition=models.Q(('blob__isnull', False), models.Q(('address', ''), _negated=True), models.Q(('declared_sha256', ''), _negated=True), _connector='OR'), name='file_is_known'),
        ),
        migrations.AddField(
            model_name='deletion',
            name='deleted_by',
            field=models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL),
        ),
        migrations.AddField(
            model_name='deletion',
            name='repository',
            field=models.OneToOneField(blank=True, null=True, on_delete=django.db.models.deletion.CASCADE, related_name='deletion', to='catalog.repository'),
        ),
        migrations.AddField(
            model_name='deletion',
            name='version',
            field=models.OneToOneField(blank=True, null=True, on_delete=django.db.models.deletion.CASCADE, related_name='deletion', to='catalog.version'),
        ),
        migrations.AddField(
            model_name='deletion',
            name='whole',
            field=models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.CASCADE, related_name='parts', to='catalog.deletion'),
        ),
        migrations.AddField(
            model_name='pin',
            name='pinned_by',
            field=models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL),
        ),
        migrations.AddField(
            model_name='pin',
            name='version',
            field=models.OneToOneField(on_delete=django.db.models.deletion.CASCADE, related_name='pin', to='catalog.version'),
        ),
        migrations.AddIndex(
            model_name='deletion',
            index=models.Index(condition=models.Q(('buried_at__isnull', True)), fields=['restorable_until'], name='deletion_to_bury'),
        ),
        migrations.AddConstraint(
            model_name='deletion',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('repository__isnull', True), ('version__isnull', False)), models.Q(('repository__isnull', False), ('version__isnull', True)), _connector='OR'), name='deletion_of_one_thing'),
        ),
        migrations.RunSQL(GUARD_WITH_TOMBSTONES, late_bytes.GUARD_WITH_MIRRORS),
        migrations.RunSQL(DELETION_GUARD, "DROP FUNCTION catalog_deletion_guard() CASCADE"),
    ]
