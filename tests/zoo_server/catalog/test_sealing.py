"""A sealed version does not change: not through the services, and not through SQL."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier, Event

import pytest
from django.db import IntegrityError, connection, transaction

from zoo_sdk.artifacts import ArtifactDescription
from zoo_sdk.errors import Conflict, InvalidInput
from zoo_sdk.vocabulary import LineageRole, VersionState
from zoo_server.accounts.models import Team
from zoo_server.audit.models import AuditEvent
from zoo_server.catalog import services
from zoo_server.catalog.descriptions import StepDescription
from zoo_server.catalog.manifest import manifest_digest, manifest_of
from zoo_server.catalog.models import Repository, StateChange, Version, VersionFile
from zoo_server.rest.principals import SYSTEM, Principal

from .conftest import make_blob, make_draft, make_repository, make_sealed

STEP = StepDescription(kind="training", method="sgd")


@pytest.fixture
def full(model: Repository, principal: Principal) -> Version:
    """A candidate with a file, an artifact, a step and a parent."""
    parent = make_sealed(make_repository(model.team))
    version = make_draft(model)
    description = ArtifactDescription(format="safetensors", files=("model.safetensors",))
    services.add_artifact(principal=principal, version=version, description=description)
    services.set_strategy(principal=principal, version=version, steps=[STEP])
    services.add_parent(principal=principal, version=version, role=LineageRole.BASE, parent=parent)
    return services.seal_version(principal=principal, version=version)


def refused(sql: str, *values: object) -> None:
    with pytest.raises(IntegrityError), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(sql, values)


def test_sealing_fixes_digest_size_and_time_and_records_both_histories(full: Version) -> None:
    stored = Version.objects.get(pk=full.pk)
    assert stored.state == VersionState.CANDIDATE
    assert stored.digest == manifest_digest(manifest_of(stored))
    assert stored.size == sum(file.blob.size for file in stored.files.all())
    assert stored.sealed_at is not None
    change = StateChange.objects.get(version=stored)
    assert (change.before, change.after) == ("draft", "candidate")
    event = AuditEvent.objects.get(action="version.sealed", object_id=str(stored.pk))
    assert event.details["digest"] == stored.digest


@pytest.mark.parametrize(
    "change",
    [
        "files__path",
        "artifact__precision",
        "strategy__method",
        "lineage__role",
        "dataset",
    ],
)
def test_the_digest_covers_every_part_of_the_manifest(full: Version, change: str) -> None:
    manifest = manifest_of(full)
    before = manifest_digest(manifest)
    part, _, key = change.partition("__")
    if key:
        manifest[{"artifact": "artifacts"}.get(part, part)][0][key] = "other"
    else:
        manifest[part] = {"other": 1}
    assert manifest_digest(manifest) != before


def test_a_version_without_files_cannot_be_sealed(model: Repository, principal: Principal) -> None:
    version = services.create_version(principal=principal, repository=model)
    with pytest.raises(InvalidInput, match="has no file"):
        services.seal_version(principal=principal, version=version)


def test_a_data_set_without_a_description_cannot_be_sealed(dataset: Repository, principal: Principal) -> None:
    with pytest.raises(InvalidInput, match="without a description"):
        services.seal_version(principal=principal, version=make_draft(dataset, "images"))


@pytest.mark.parametrize(
    "call",
    [
        lambda principal, version: services.update_version(principal=principal, version=version, notes="new"),
        lambda principal, version: services.delete_version(principal=principal, version=version),
        lambda principal, version: services.add_file(
            principal=principal, version=version, path="other", blob=make_blob()
        ),
        lambda principal, version: services.remove_file(principal=principal, version=version, path="model.safetensors"),
        lambda principal, version: services.add_artifact(
            principal=principal,
            version=version,
            description=ArtifactDescription(format="safetensors", files=("model.safetensors",)),
        ),
        lambda principal, version: services.set_strategy(principal=principal, version=version, steps=[STEP]),
        lambda principal, version: services.add_parent(
            principal=principal, version=version, role=LineageRole.BASE, external_uri="https://example.org/base"
        ),
        lambda principal, version: services.seal_version(principal=principal, version=version),
    ],
)
def test_no_service_changes_a_sealed_version(sealed: Version, principal: Principal, call: object) -> None:
    with pytest.raises(Conflict) as caught:
        call(principal, sealed)
    assert caught.value.facts["state"] == "candidate"
    assert Version.objects.get(pk=sealed.pk).digest == sealed.digest


@pytest.mark.parametrize(
    "column", ["notes = 'new'", "digest = 'x'", "size = 1", "number = 77", "sealed_at = now()", "dataset = '{}'"]
)
def test_sql_cannot_change_a_column_of_a_sealed_version(full: Version, column: str) -> None:
    refused(f"UPDATE catalog_version SET {column} WHERE id = %s", full.pk)


def test_sql_cannot_change_state_and_content_together(full: Version) -> None:
    refused("UPDATE catalog_version SET state = 'approved', notes = 'x' WHERE id = %s", full.pk)


@pytest.mark.parametrize("state", ["draft", "deprecated", "nonsense"])
def test_sql_cannot_move_a_candidate_along_no_arrow(full: Version, state: str) -> None:
    refused("UPDATE catalog_version SET state = %s WHERE id = %s", state, full.pk)


def test_sql_cannot_seal_a_draft_without_a_digest(draft: Version) -> None:
    refused("UPDATE catalog_version SET state = 'candidate', sealed_at = now() WHERE id = %s", draft.pk)


def test_sql_cannot_delete_a_sealed_version(full: Version) -> None:
    refused("DELETE FROM catalog_version WHERE id = %s", full.pk)


@pytest.mark.parametrize(
    ("table", "owner"),
    [
        ("catalog_versionfile", "version_id"),
        ("catalog_artifact", "version_id"),
        ("catalog_strategystep", "version_id"),
        ("catalog_lineageedge", "child_id"),
    ],
)
class TestPartsOfASealedVersion:
    def test_sql_cannot_delete_them(self, full: Version, table: str, owner: str) -> None:
        if table == "catalog_artifact":
            refused("UPDATE catalog_versionfile SET artifact_id = NULL WHERE version_id = %s", full.pk)
        refused(f"DELETE FROM {table} WHERE {owner} = %s", full.pk)

    def test_sql_cannot_change_them(self, full: Version, table: str, owner: str) -> None:
        refused(f"UPDATE {table} SET id = gen_random_uuid() WHERE {owner} = %s", full.pk)

    def test_sql_cannot_move_them_to_a_draft(self, full: Version, draft: Version, table: str, owner: str) -> None:
        refused(f"UPDATE {table} SET {owner} = %s WHERE {owner} = %s", draft.pk, full.pk)

    def test_sql_cannot_add_one(self, full: Version, table: str, owner: str) -> None:
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT column_name FROM information_schema.columns WHERE table_name = %s AND column_name <> 'id'",
                [table],
            )
            columns = ", ".join(f'"{row[0]}"' for row in cursor.fetchall())
        copied = columns.replace('"position"', "position + 900").replace('"path"', "path || 'x'")
        copied = copied.replace('"role"', "'teacher'")
        refused(
            f"INSERT INTO {table} (id, {columns}) SELECT gen_random_uuid(), {copied} FROM {table} WHERE {owner} = %s",
            full.pk,
        )


def test_sql_cannot_move_a_part_of_a_draft_into_a_sealed_version(full: Version, draft: Version) -> None:
    refused("UPDATE catalog_versionfile SET version_id = %s, path = 'x' WHERE version_id = %s", full.pk, draft.pk)


def test_the_history_of_states_is_append_only(full: Version) -> None:
    refused("DELETE FROM catalog_statechange WHERE version_id = %s", full.pk)
    refused("UPDATE catalog_statechange SET comment = 'x' WHERE version_id = %s", full.pk)


@pytest.mark.django_db(transaction=True)
def test_what_is_added_while_a_version_is_sealed_is_in_its_digest_or_refused(model: Repository) -> None:
    for round_number in range(4):
        version = make_draft(model)
        start = Barrier(4)

        def add(number: int, version: Version = version, start: Barrier = start) -> bool:
            start.wait()
            try:
                services.add_file(principal=SYSTEM, version=version, path=f"late-{number}", blob=make_blob())
            except Conflict:
                return False
            finally:
                connection.close()
            return True

        def seal(version: Version = version, start: Barrier = start) -> str:
            start.wait()
            try:
                return services.seal_version(principal=SYSTEM, version=version).digest
            finally:
                connection.close()

        with ThreadPoolExecutor(4) as pool:
            added = [pool.submit(add, number) for number in range(3)]
            digest = pool.submit(seal).result()
            count = sum(future.result() for future in added)
        stored = Version.objects.get(pk=version.pk)
        assert stored.files.count() == count + 1, round_number
        assert manifest_digest(manifest_of(stored)) == stored.digest == digest


@pytest.mark.django_db(transaction=True)
def test_sql_that_adds_a_file_waits_for_the_seal_and_is_then_refused(draft: Version) -> None:
    """The trigger locks the version's row, so that no snapshot lets a file slip in behind the digest."""
    sealing, inserted = Event(), Event()

    def insert() -> bool:
        sealing.wait(10)
        try:
            VersionFile.objects.create(version=draft, path="late", blob=make_blob())
        except IntegrityError:
            return False
        finally:
            inserted.set()
            connection.close()
        return True

    with ThreadPoolExecutor(1) as pool:
        late = pool.submit(insert)
        with transaction.atomic():
            services.seal_version(principal=SYSTEM, version=draft)
            sealing.set()
            assert not inserted.wait(0.5)
        assert late.result() is False


def test_a_draft_can_be_changed_and_deleted_with_all_its_parts(draft: Version, principal: Principal) -> None:
    services.set_strategy(principal=principal, version=draft, steps=[STEP])
    services.update_version(principal=principal, version=draft, notes="new")
    services.delete_version(principal=principal, version=draft)
    assert not Version.objects.filter(pk=draft.pk).exists()


def test_a_draft_that_is_a_parent_cannot_be_deleted(team: Team, draft: Version, principal: Principal) -> None:
    child = make_draft(make_repository(team))
    services.add_parent(principal=principal, version=child, role=LineageRole.BASE, parent=draft)
    with pytest.raises(Conflict, match="in use"):
        services.delete_version(principal=principal, version=draft)
