"""Counts of wrong passwords and tokens."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("accounts", "0003_services_and_sessions")]

    operations = [
        migrations.CreateModel(
            name="FailureCount",
            fields=[
                ("key", models.CharField(editable=False, max_length=80, primary_key=True, serialize=False)),
                ("failures", models.PositiveIntegerField()),
                ("since", models.DateTimeField(db_index=True)),
            ],
        ),
    ]
