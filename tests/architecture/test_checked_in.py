"""What is written by a command and checked in is up to date: migrations and the OpenAPI document."""

import io
from pathlib import Path

import pytest
from django.core.management import call_command

ROOT = Path(__file__).parents[2]


@pytest.mark.django_db
def test_no_migration_is_missing():
    try:
        call_command("makemigrations", check=True, dry_run=True, verbosity=1)
    except SystemExit as error:
        pytest.fail(
            f"A model changed without a migration (exit status {error.code}): python -m zoo_server makemigrations"
        )


def test_openapi_yaml_says_what_the_views_do():
    written = io.StringIO()
    call_command("spectacular", validate=True, fail_on_warn=True, stdout=written)
    committed = (ROOT / "openapi.yaml").read_text("utf-8")
    assert written.getvalue().strip() == committed.strip(), "openapi.yaml is out of date: run `make openapi`"
