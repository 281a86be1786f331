"""Every sealed version gets its provenance and its signature: at once, or by the chore; once, and only once."""

import json
from base64 import b64decode
from hashlib import sha256
from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction
from django.db.utils import DatabaseError
from rest_framework.test import APIClient

from tests.zoo_server.conftest import QueryCounter
from tests.zoo_server.jobs.scenes import make_model, owner_of
from zoo_sdk.attestations import JOB_BUILD, PROVENANCE_PREDICATE, UPLOAD_BUILD
from zoo_sdk.vocabulary import Visibility
from zoo_server.accounts.models import Team
from zoo_server.audit.models import AuditEvent
from zoo_server.catalog import services as catalog
from zoo_server.catalog.models import Version, VersionFile
from zoo_server.provenance.models import Attestation, PendingAttestation, SigningKey
from zoo_server.provenance.services import attesting
from zoo_server.provenance.services.keys import ensure_key
from zoo_server.rest.principals import SYSTEM

from .conftest import ENVIRONMENT, Family, attested, read


def statement_of(api: APIClient, version: Version, key: SigningKey) -> Any:
    kind = version.repository.kind
    answer = api.get(f"/api/v1/{kind}s/{version.repository}/versions/{version.number}/attestations")
    assert answer.status_code == 200, answer.content
    return read(answer.json()["provenance"], key)


def test_a_jobs_version_is_attested_when_it_is_sealed(key: SigningKey, distilled, api: APIClient):
    family: Family = distilled()
    found = statement_of(api, family.made, key)
    assert found.predicateType == PROVENANCE_PREDICATE
    whole, *files = found.subject
    assert (whole.name, whole.digest) == ("vision/slim@1", {"sha256": family.made.digest.removeprefix("sha256:")})
    assert {file.name: f"sha256:{file.digest['sha256']}" for file in files} == dict(
        VersionFile.objects.filter(version=family.made).values_list("path", "blob_id")
    )
    build, run = found.predicate["buildDefinition"], found.predicate["runDetails"]
    assert build["buildType"] == JOB_BUILD
    assert build["externalParameters"]["operation"] == "toy.distill"
    assert build["externalParameters"]["params"] == family.job.params
    assert build["externalParameters"]["seed"] == 7
    dependencies = {item["annotations"]["role"]: item for item in build["resolvedDependencies"]}
    for role, parent in (("base", family.base), ("teacher", family.teacher), ("trained_on", family.data)):
        assert dependencies[role]["digest"] == {"sha256": parent.digest.removeprefix("sha256:")}
        assert dependencies[role]["uri"] == f"urn:uuid:{parent.pk}"
    assert dependencies["teacher"]["annotations"]["weight"] == 2.0
    assert dependencies["plugin"]["uri"] == "pkg:pypi/zoo-toy@0.3.0"
    assert dependencies["plugin"]["digest"] == {"sha256": "5" * 64}
    attempt = family.job.attempts.get()
    assert run["builder"]["id"] == f"urn:uuid:{attempt.worker_id}"
    assert {"uri": "pkg:pypi/numpy@2.4.6"} in run["builder"]["builderDependencies"]
    assert run["metadata"]["invocationId"].endswith(f"/api/v1/jobs/{family.job.pk}/attempts/1")
    assert run["metadata"]["startedOn"] <= run["metadata"]["finishedOn"]


def test_a_statement_names_no_other_version_and_no_machine(key: SigningKey, distilled, api: APIClient):
    family: Family = distilled(visibility=Visibility.PRIVATE)
    text = json.dumps(statement_of(api, family.made, key).model_dump())
    assert "teacher@" not in text
    assert "vision/base" not in text
    assert ENVIRONMENT["worker"] not in text
    assert "GPU-serial" not in text
    assert "H100" in text


def test_an_uploaded_version_says_who_brought_it(key: SigningKey, team: Team, api: APIClient):
    version = attested(make_model(team, "brought"))
    build = statement_of(api, version, key).predicate["buildDefinition"]
    assert build["buildType"] == UPLOAD_BUILD
    assert build["internalParameters"]["by"] == owner_of(team).name
    assert [step["method"] for step in build["externalParameters"]["strategy"]] == ["supervised"]


def test_the_model_signature_covers_the_files_in_the_format_of_openssf(key, team: Team, api: APIClient):
    attested(make_model(team, "two", "safetensors", "onnx"))
    bundle = api.get("/api/v1/models/vision/two/versions/1/attestations").json()["signature"]
    assert bundle["mediaType"] == "application/vnd.dev.sigstore.bundle.v0.3+json"
    assert bundle["verificationMaterial"]["publicKey"]["hint"] == key.pk
    found = read(bundle["dsseEnvelope"], key)
    resources = found.predicate["resources"]
    assert [item["name"] for item in resources] == ["weights/model.onnx", "weights/model.safetensors"]
    whole = sha256(b"".join(bytes.fromhex(item["digest"]) for item in resources)).hexdigest()
    assert found.subject[0].digest == {"sha256": whole}


def test_an_attestation_is_part_of_the_audit_log(key: SigningKey, team: Team):
    version = attested(make_model(team, "logged"))
    event = AuditEvent.objects.get(action="version.attested", object_id=str(version.pk))
    stored = Attestation.objects.get(version=version, kind="provenance")
    assert event.details["payloads"]["provenance"] == f"sha256:{sha256(bytes(stored.payload)).hexdigest()}"
    assert event.details["key"] == key.pk


def test_sealing_itself_costs_one_statement_more(key: SigningKey, team: Team, count_queries: QueryCounter):
    draft = make_model(team, "quick", sealed=False)
    with count_queries("seal-without-commit"):
        catalog.seal_version(principal=owner_of(team), version=draft)
    assert PendingAttestation.objects.filter(version=draft).exists()


def test_attesting_costs_as_much_for_many_files_and_parents_as_for_few(key, team: Team, count_queries: QueryCounter):
    version = make_model(team, "counted", "safetensors", "onnx", "openvino-ir")
    with count_queries("attest"):
        assert attesting.attest([version.pk]) == 2


def test_without_a_key_sealing_works_and_the_chore_attests_later(keys_folder, team: Team, api: APIClient):
    version = make_model(team, "early")
    assert attesting.attest_pending() == 0
    answer = api.get("/api/v1/models/vision/early/versions/1/attestations").json()
    assert (answer["provenance"], answer["signature"], answer["keys"]) == (None, None, [])
    key = ensure_key(principal=SYSTEM)
    assert attesting.attest_pending() == 2
    assert statement_of(api, version, key).subject[0].name == "vision/early@1"
    assert attesting.attest_pending() == 0


def test_a_lost_key_file_postpones_and_says_why(key: SigningKey, keys_folder, team: Team):
    (keys_folder / f"{key.pk}.pem").unlink()
    version = attested(make_model(team, "unsigned"))
    row = PendingAttestation.objects.get(version=version)
    assert row.tries == 1
    assert key.pk[:16] in row.error
    assert row.due_at > version.sealed_at


def test_whoever_asks_before_the_chore_came_gets_them_all_the_same(key: SigningKey, team: Team, api: APIClient):
    version = make_model(team, "asked")
    assert statement_of(api, version, key).subject[0].name == "vision/asked@1"
    assert not PendingAttestation.objects.filter(version=version).exists()


def test_doing_it_again_makes_nothing_twice(key: SigningKey, team: Team):
    version = attested(make_model(team, "once"))
    assert attesting.queue_missing() == 0
    attesting.attest_now(version)
    assert Attestation.objects.filter(version=version).count() == 2
    assert AuditEvent.objects.filter(action="version.attested", object_id=str(version.pk)).count() == 1


def test_versions_that_nobody_noted_are_found(key: SigningKey, team: Team):
    version = make_model(team, "forgotten")
    PendingAttestation.objects.all().delete()
    assert attesting.queue_missing() == 1
    assert attesting.attest_pending() == 2
    assert Attestation.objects.filter(version=version).count() == 2


def test_one_version_that_cannot_be_attested_holds_up_no_other(key, team: Team, monkeypatch: pytest.MonkeyPatch):
    versions = [make_model(team, f"m{number}") for number in range(3)]
    plain = attesting.provenance_statement

    def failing(facts: Any) -> bytes:
        if facts.version == versions[1]:
            raise ValueError("it holds a NaN")
        return plain(facts)

    monkeypatch.setattr(attesting, "provenance_statement", failing)
    assert attesting.attest([version.pk for version in versions]) == 4
    row = PendingAttestation.objects.get()
    assert (row.version, row.error) == (versions[1], "ValueError: it holds a NaN")


def test_a_version_whose_remote_file_arrives_is_signed_then(key: SigningKey, team: Team, api: APIClient):
    owner = owner_of(team)
    repository = make_model(team, "remote", sealed=False).repository
    version = catalog.create_version(principal=owner, repository=repository)
    VersionFile.objects.create(version=version, path="far.onnx", address="https://example.org/far.onnx")
    attested(catalog.seal_version(principal=owner, version=version))
    assert list(Attestation.objects.values_list("kind", "complete")) == [("provenance", False)]
    blob = make_model(team, "near").files.get().blob
    VersionFile.objects.filter(version=version).update(blob=blob)
    PendingAttestation.objects.all().delete()
    assert attesting.queue_missing() == 2
    assert attesting.attest([version.pk]) == 2
    names = [item.name for item in statement_of(api, version, key).subject]
    assert names == ["vision/remote@2", "far.onnx"]


@pytest.mark.parametrize(
    "statement",
    ["UPDATE provenance_attestation SET payload = 'x'", "DELETE FROM provenance_attestation"],
)
def test_the_database_refuses_to_change_an_attestation(key: SigningKey, team: Team, statement: str):
    attested(make_model(team, "fixed"))
    with pytest.raises((IntegrityError, DatabaseError), match="never changed"), transaction.atomic():
        connection.cursor().execute(statement)


def test_a_signature_does_not_fit_another_payload(key: SigningKey, team: Team, api: APIClient):
    make_model(team, "left")
    attested(make_model(team, "right"))
    left, right = (
        api.get(f"/api/v1/models/vision/{name}/versions/1/attestations").json()["provenance"]
        for name in ("left", "right")
    )
    with pytest.raises(AssertionError):
        read(left | {"signatures": right["signatures"]}, key)
    assert b64decode(left["payload"]) != b64decode(right["payload"])
