"""Service accounts belong to teams; sessions of browsers are listed."""

import django.db.models.deletion
import django.utils.timezone
from django.conf import settings
from django.db import migrations, models

import zoo_server.rest.identifiers


class Migration(migrations.Migration):
    dependencies = [("accounts", "0002_scope_add")]

    operations = [
        migrations.AddField(
            model_name="user",
            name="home",
            field=models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="services",
                to="accounts.team",
            ),
        ),
        migrations.CreateModel(
            name="WebSession",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=zoo_server.rest.identifiers.new_id, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("session_key", models.CharField(editable=False, max_length=40, unique=True)),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("last_used_at", models.DateTimeField(default=django.utils.timezone.now)),
                ("address", models.GenericIPAddressField(blank=True, null=True)),
                ("agent", models.CharField(blank=True, max_length=200)),
                (
                    "user",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="web_sessions",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
        ),
    ]
