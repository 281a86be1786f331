"""Finds events by their action, and by the name of what they are about, without reading the whole log."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("audit", "0002_append_only_chain")]

    operations = [
        migrations.AddIndex(
            model_name="auditevent", index=models.Index(fields=["action", "-id"], name="audit_by_action")
        ),
        migrations.AddIndex(
            model_name="auditevent", index=models.Index(fields=["object_name", "-id"], name="audit_by_object_name")
        ),
    ]
