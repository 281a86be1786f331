"""Versions that came from other registries, and the keys of those registries that this one believes."""

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

GUARD = """
CREATE FUNCTION provenance_import_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'where a version came from is never changed'
        USING ERRCODE = 'integrity_constraint_violation';
END $$;
CREATE TRIGGER provenance_import_guard BEFORE UPDATE ON provenance_importedversion
    FOR EACH ROW EXECUTE FUNCTION provenance_import_guard();
"""


class Migration(migrations.Migration):
    dependencies = [
        ("provenance", "0002_guards"),
        ("accounts", "0001_initial"),
        ("catalog", "0005_reports"),
    ]

    operations = [
        migrations.CreateModel(
            name="TrustedKey",
            fields=[
                ("id", models.CharField(max_length=64, primary_key=True, serialize=False)),
                ("name", models.CharField(max_length=200)),
                ("public_key", models.TextField()),
                ("added_at", models.DateTimeField(auto_now_add=True)),
            ],
        ),
        migrations.CreateModel(
            name="ImportedVersion",
            fields=[
                (
                    "version",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE,
                        primary_key=True,
                        related_name="imported",
                        serialize=False,
                        to="catalog.version",
                    ),
                ),
                ("registry", models.CharField(max_length=300)),
                ("foreign_id", models.UUIDField()),
                ("foreign_repository", models.UUIDField()),
                ("foreign_reference", models.CharField(max_length=300)),
                ("foreign_digest", models.CharField(max_length=71)),
                ("key", models.CharField(blank=True, max_length=64)),
                ("public_key", models.TextField(blank=True)),
                (
                    "vouched_by",
                    models.CharField(
                        choices=[("registry", "registry"), ("importer", "importer"), ("nobody", "nobody")],
                        max_length=10,
                    ),
                ),
                ("record", models.JSONField()),
                ("provenance", models.BinaryField(null=True)),
                ("signature", models.BinaryField(null=True)),
                ("imported_at", models.DateTimeField(auto_now_add=True)),
                (
                    "imported_by",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="+", to=settings.AUTH_USER_MODEL
                    ),
                ),
                (
                    "team",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="+", to="accounts.team"
                    ),
                ),
            ],
            options={
                "indexes": [
                    models.Index(fields=["foreign_id"], name="import_by_foreign_id"),
                    models.Index(fields=["team", "foreign_repository"], name="import_by_repository"),
                ],
                "constraints": [models.UniqueConstraint(fields=("team", "foreign_id"), name="one_import_per_team")],
            },
        ),
        migrations.RunSQL(GUARD, "DROP FUNCTION provenance_import_guard() CASCADE"),
    ]
