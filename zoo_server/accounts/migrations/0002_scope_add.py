"""The scope ``add``: tokens that may add but not change."""

import django.contrib.postgres.fields
from django.db import migrations, models

SCOPES = ("read", "add", "write", "submit", "curate", "audit", "worker", "admin")


class Migration(migrations.Migration):
    dependencies = [("accounts", "0001_initial")]

    operations = [
        migrations.AlterField(
            model_name="token",
            name="scopes",
            field=django.contrib.postgres.fields.ArrayField(
                base_field=models.CharField(choices=[(scope, scope) for scope in SCOPES], max_length=20), size=None
            ),
        )
    ]
