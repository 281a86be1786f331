"""What teams take, counted by triggers: a holding adds its blob's size, an open upload reserves its own."""

import django.db.models.deletion
from django.db import migrations, models

COUNT = """
INSERT INTO artifacts_teamstorage (team_id, held, reserved)
SELECT team.id,
    coalesce((SELECT sum(blob.size) FROM artifacts_holding AS holding
        JOIN artifacts_blob AS blob ON blob.sha256 = holding.blob_id WHERE holding.team_id = team.id), 0),
    coalesce((SELECT sum(upload.size) FROM artifacts_upload AS upload
        WHERE upload.team_id = team.id AND upload.state = 'open'), 0)
FROM accounts_team AS team;
"""

# A row that goes only updates: the team itself may be on its way out.
HOLDINGS = """
CREATE FUNCTION artifacts_count_holding() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        INSERT INTO artifacts_teamstorage AS use (team_id, held, reserved)
            SELECT NEW.team_id, size, 0 FROM artifacts_blob WHERE sha256 = NEW.blob_id
            ON CONFLICT (team_id) DO UPDATE SET held = use.held + excluded.held;
    ELSE
        UPDATE artifacts_teamstorage SET held = held - blob.size
            FROM artifacts_blob AS blob WHERE team_id = OLD.team_id AND blob.sha256 = OLD.blob_id;
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER artifacts_count_holding AFTER INSERT OR DELETE ON artifacts_holding
    FOR EACH ROW EXECUTE FUNCTION artifacts_count_holding();
"""

UPLOADS = """
CREATE FUNCTION artifacts_count_upload() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    before bigint := 0;
    after bigint := 0;
BEGIN
    IF TG_OP <> 'INSERT' AND OLD.state = 'open' THEN before := OLD.size; END IF;
    IF TG_OP <> 'DELETE' AND NEW.state = 'open' THEN after := NEW.size; END IF;
    IF after > before THEN
        INSERT INTO artifacts_teamstorage AS use (team_id, held, reserved) VALUES (NEW.team_id, 0, after - before)
            ON CONFLICT (team_id) DO UPDATE SET reserved = use.reserved + excluded.reserved;
    ELSIF after < before THEN
        UPDATE artifacts_teamstorage SET reserved = reserved + after - before WHERE team_id = OLD.team_id;
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER artifacts_count_upload AFTER INSERT OR UPDATE OF state, size OR DELETE ON artifacts_upload
    FOR EACH ROW EXECUTE FUNCTION artifacts_count_upload();
"""


def _drop(function: str) -> str:
    return f"DROP FUNCTION {function}() CASCADE"


class Migration(migrations.Migration):

    dependencies = [
        ('accounts', '0001_initial'),
        ('artifacts', '0004_blob_states'),
    ]

    operations = [
        migrations.CreateModel(
            name='TeamStorage',
            fields=[
                ('team', models.OneToOneField(on_delete=django.db.models.deletion.CASCADE, primary_key=True, related_name='storage', serialize=False, to='accounts.team')),
                ('held', models.BigIntegerField(db_default=0, default=0, editable=False)),
                ('reserved', models.BigIntegerField(db_default=0, default=0, editable=False)),
                ('physical_quota', models.BigIntegerField(blank=True, help_text='Bytes; empty: no limit.', null=True)),
                ('logical_quota', models.BigIntegerField(blank=True, help_text='Bytes; empty: no limit.', null=True)),
            ],
            options={
                'verbose_name': 'storage use of a team',
                'verbose_name_plural': 'storage use of teams',
            },
        ),
        migrations.RunSQL(COUNT, migrations.RunSQL.noop),
        migrations.RunSQL(HOLDINGS, _drop("artifacts_count_holding")),
        migrations.RunSQL(UPLOADS, _drop("artifacts_count_upload")),
    ]
