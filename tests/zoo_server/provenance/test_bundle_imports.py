"""Taking in bundles: checked again by the registry, all or nothing, nothing twice, honest about where it is from."""

import base64
from hashlib import sha256
from typing import Any
from uuid import uuid4

import pytest
from django.db import DatabaseError, transaction
from rest_framework.test import APIClient

from tests.zoo_client.bundles.packing import REGISTRY, Model, Packing, Signer, digest_of, family, packed
from tests.zoo_server.conftest import QueryCounter
from tests.zoo_server.factories import client_for, make_member, make_team
from tests.zoo_server.jobs.scenes import make_model
from zoo_sdk.attestations import IMPORT_BUILD, Envelope, Statement, canonical
from zoo_sdk.bundles import layout
from zoo_sdk.bundles.layout import Record
from zoo_sdk.vocabulary import LineageRole, TeamRole, Visibility
from zoo_server.accounts.models import Team
from zoo_server.audit.models import AuditEvent
from zoo_server.catalog import services as catalog
from zoo_server.catalog.models import Repository, Version
from zoo_server.provenance.models import ImportedVersion
from zoo_server.provenance.services import attesting
from zoo_server.provenance.services.trusted_keys import distrust_key, trust_key
from zoo_server.rest.principals import SYSTEM


@pytest.fixture(scope="module")
def signer() -> Signer:
    return Signer()


@pytest.fixture(autouse=True)
def own_store(settings: Any, tmp_path: Any) -> None:
    settings.ZOO_STORE_DIR = tmp_path / "store"


def upload(api: APIClient, team: str, content: bytes) -> str:
    digest = digest_of(content)
    session = api.post("/api/v1/uploads", {"team": team, "size": len(content), "sha256": digest}, format="json").json()
    if session["state"] != "complete":
        check = base64.b64encode(sha256(content).digest()).decode()
        sent = api.patch(
            f"/api/v1/uploads/{session['id']}",
            content,
            content_type="application/offset+octet-stream",
            headers={"Upload-Offset": "0", "Upload-Checksum": f"sha256 {check}"},
        )
        assert sent.status_code == 204, sent.content
    done = api.post(f"/api/v1/uploads/{session['id']}/complete", {"sha256": digest}, format="json")
    assert done.status_code == 200, done.content
    return digest


def bring(api: APIClient, packing: Packing, team: str = "vision", **wishes: Any) -> Any:
    """Upload everything and import it."""
    for content in packing.blobs.values():
        upload(api, team, content)
    body = {"team": team, "index": upload(api, team, packing.index())} | wishes
    return api.post("/api/v1/bundles/import", body, format="json")


def outcomes(answer: Any) -> dict[str, tuple[str, str | None]]:
    assert answer.status_code == 200, answer.content
    return {row["origin"]: (row["outcome"], row["reference"]) for row in answer.json()["versions"]}


def test_a_bundle_is_made_once_with_lineage_metrics_and_its_origin(api: APIClient, team: Team, signer: Signer):
    made = outcomes(bring(api, packed(signer), keys=[signer.pem]))
    assert made == {"lab/base@1": ("created", "vision/base@1"), "lab/student@1": ("created", "vision/student@1")}
    student = Version.objects.get(repository__name="student")
    assert (student.state, student.notes, student.repository.visibility) == ("candidate", "by hand", "internal")
    assert [str(edge.parent) for edge in student.parent_edges.all()] == ["vision/base@1"]
    metric = student.metrics.get()
    assert (metric.source, metric.job_id, metric.details["origin"]["source"]) == ("reported", None, "measured")
    origin = api.get("/api/v1/models/vision/student/versions/1/origin").json()["origin"]
    _, model = family()
    assert (origin["registry"], origin["reference"], origin["id"], origin["digest"]) == (
        REGISTRY, "lab/student@1", str(model.id), model.digest,
    )  # fmt: skip
    assert (origin["key"], origin["vouched_by"], origin["state"]) == (signer.id, "importer", "approved")
    assert AuditEvent.objects.filter(action="version.imported").count() == 2
    again = outcomes(bring(api, packed(signer), keys=[signer.pem]))
    assert again == {
        "lab/base@1": ("unchanged", "vision/base@1"), "lab/student@1": ("unchanged", "vision/student@1"),
    }  # fmt: skip
    assert Version.objects.count() == 2


def test_the_registrys_own_statement_says_that_it_was_imported(api: APIClient, team: Team, key, signer: Signer):
    bring(api, packed(signer), keys=[signer.pem])
    attesting.attest_pending()
    found = api.get("/api/v1/models/vision/student/versions/1/attestations").json()["provenance"]
    statement = Statement.model_validate_json(Envelope.model_validate(found).content)
    definition = statement.predicate["buildDefinition"]
    assert definition["buildType"] == IMPORT_BUILD
    assert definition["externalParameters"]["origin"]["key"] == signer.id
    assert definition["resolvedDependencies"][-1]["uri"] == f"{REGISTRY}/api/v1/models/lab/student/versions/1"
    story = api.get("/api/v1/models/vision/student/versions/1/provenance").json()
    assert {item["origin"]["reference"] for item in story["versions"]} == {"lab/base@1", "lab/student@1"}


def test_the_registry_checks_signatures_itself(api: APIClient, team: Team, signer: Signer):
    base, student = family()
    swapped = Packing(signer)
    swapped.add(student, proof=base)
    for packing, wishes, reason in (
        (packed(signer), {}, "no good signature"),
        (packed(signer), {"keys": [Signer().pem]}, "no good signature"),
        (packed(None), {"keys": [signer.pem]}, "attestation is missing"),
        (swapped, {"keys": [signer.pem]}, "is that of lab/base@1"),
    ):
        refused = bring(api, packing, **wishes)
        assert (refused.status_code, refused.json()["code"]) == (422, "unproven-bundle")
        assert reason in refused.json()["detail"]
    assert Version.objects.count() == 0
    assert bring(api, packed(signer), keys=["no key"]).status_code == 422


def test_a_key_that_the_registry_trusts_needs_no_voucher(api: APIClient, team: Team, signer: Signer):
    trust_key(principal=SYSTEM, public_key=signer.pem, name="the lab")
    assert [row["name"] for row in api.get("/api/v1/keys/trusted").json()["results"]] == ["the lab"]
    outcomes(bring(api, packed(signer)))
    assert set(ImportedVersion.objects.values_list("vouched_by", flat=True)) == {"registry"}
    distrust_key(principal=SYSTEM, key=signer.id)
    assert api.get("/api/v1/keys/trusted").json()["results"] == []


def test_unsigned_versions_are_vouched_for_by_nobody(api: APIClient, team: Team):
    outcomes(bring(api, packed(None), unsigned=True))
    assert set(ImportedVersion.objects.values_list("vouched_by", "key")) == {("nobody", "")}


def test_a_plan_makes_nothing_and_names_the_files_that_are_missing(api: APIClient, team: Team, signer: Signer):
    packing = packed(signer)
    weights = packing.blobs.pop(digest_of(b"student weights"))
    planned = bring(api, packing, keys=[signer.pem], dry_run=True)
    assert planned.json()["missing"] == [digest_of(weights)]
    assert {row["model"] for row in planned.json()["versions"]} == {"vision/base", "vision/student"}
    assert Version.objects.count() == Repository.objects.count() == 0
    refused = bring(api, packing, keys=[signer.pem])
    assert (refused.status_code, Version.objects.count()) == (422, 0)


def test_one_wrong_version_undoes_the_whole_import(api: APIClient, team: Team, signer: Signer):
    base, _ = family()
    packing = Packing(signer)
    packing.add(base)
    strange = Model("strange", {"x": b"x"})
    manifest = strange.manifest() | {"strategy": [{"kind": "alchemy", "method": "gold"}]}
    strange.changes = {"manifest": manifest, "digest": digest_of(canonical(manifest))}
    unsigned = Packing(None)
    unsigned.add(base)
    unsigned.add(strange)
    refused = bring(api, unsigned, unsigned=True)
    assert (refused.status_code, refused.json()["code"]) == (422, "newer-content")
    assert "Update this registry" in refused.json()["hint"]
    assert Version.objects.count() == Repository.objects.count() == 0


def test_metrics_by_unknown_names_stay_in_the_record(api: APIClient, team: Team):
    base, _ = family()
    news = [{"id": str(uuid4()), "name": "elegance", "value": 3.0, "source": "measured"}]
    packing = Packing(None)
    packing.add(Model(base.name, base.files, changes={"metrics": news, "visibility": "odd", "carbon": {"grams": 12}}))
    outcomes(bring(api, packing, unsigned=True))
    row = ImportedVersion.objects.get()
    assert (row.version.metrics.count(), row.record["metrics"], row.record["carbon"]) == (0, news, {"grams": 12})


def test_a_taken_name_is_answered_and_another_one_helps(api: APIClient, team: Team, signer: Signer):
    make_model(team, "student")
    make_model(team, "base")
    packing = packed(signer)
    refused = bring(api, packing, keys=[signer.pem])
    assert (refused.status_code, refused.json()["facts"]["name"]) == (409, "vision/student")
    made = outcomes(bring(api, packing, keys=[signer.pem], name="student-of-lab"))
    assert made["lab/student@1"] == ("created", "vision/student-of-lab@1")
    assert made["lab/base@1"] == ("created", "vision/lab-base@1")  # an ancestor makes room for itself


def test_one_name_for_several_models_is_refused(api: APIClient, team: Team, signer: Signer):
    base, student = family()
    packing = Packing(signer)
    packing.add(base)
    packing.add(student)
    refused = bring(api, packing, keys=[signer.pem], name="one")
    assert (refused.status_code, refused.json()["facts"]) == (422, {"field": "name"})


def test_what_was_imported_with_another_digest_contradicts(api: APIClient, team: Team):
    base, _ = family()
    first, second = Packing(None), Packing(None)
    first.add(base)
    second.add(Model(base.name, {"weights.bin": b"other weights"}))
    outcomes(bring(api, first, unsigned=True))
    refused = bring(api, second, unsigned=True)
    assert refused.status_code == 409
    assert "was imported before as vision/base@1" in refused.json()["detail"]


def test_an_ancestor_of_another_team_is_shared_only_on_the_registrys_own_word(
    api: APIClient, team: Team, signer: Signer
):
    other = make_team("audio")
    theirs = client_for(make_member(other, TeamRole.CURATOR))
    base, _ = family()
    alone = Packing(signer)
    alone.add(base)
    outcomes(bring(theirs, alone, team="audio", keys=[signer.pem]))
    apart = outcomes(bring(api, packed(signer), keys=[signer.pem]))
    assert apart["lab/base@1"] == ("created", "vision/base@1")
    trust_key(principal=SYSTEM, public_key=signer.pem, name="the lab")
    third = make_team("text")
    thirds = client_for(make_member(third, TeamRole.CURATOR))
    believed = Packing(signer)
    grand = Model("grand", {"g": b"g"})
    believed.add(grand)
    outcomes(bring(theirs, believed, team="audio"))
    family_of_grand = Packing(signer)
    family_of_grand.add(Model("child", {"c": b"c"}, [grand]))
    family_of_grand.add(grand, root=False)
    shared = outcomes(bring(thirds, family_of_grand, team="text"))
    assert shared == {"lab/grand@1": ("unchanged", "audio/grand@1"), "lab/child@1": ("created", "text/child@1")}


def test_only_writers_of_the_team_import_and_only_bytes_that_the_team_holds(
    api: APIClient, team: Team, signer: Signer, stranger_api: APIClient
):
    packing = packed(signer)
    bring(api, packing, dry_run=True, keys=[signer.pem])
    body = {"team": "vision", "index": digest_of(packing.index()), "keys": [signer.pem]}
    assert stranger_api.post("/api/v1/bundles/import", body, format="json").status_code == 404
    reader = client_for(make_member(team, TeamRole.READER))
    assert reader.post("/api/v1/bundles/import", body, format="json").status_code == 403
    other = client_for(make_member(make_team("audio"), TeamRole.CURATOR))
    assert other.post("/api/v1/bundles/import", body | {"team": "audio"}, format="json").status_code == 404


def test_where_a_version_came_from_cannot_be_changed(api: APIClient, team: Team):
    outcomes(bring(api, packed(None), unsigned=True))
    with pytest.raises(DatabaseError, match="never changed"), transaction.atomic():
        ImportedVersion.objects.update(key="forged")


def test_the_record_of_a_version_fits_and_hides_what_the_reader_may_not_see(
    api: APIClient, team: Team, stranger_api: APIClient
):
    base = make_model(team, "secret", visibility=Visibility.PRIVATE)
    child = make_model(team, "open", sealed=False)
    catalog.add_parent(principal=SYSTEM, version=child, role=LineageRole.BASE, parent=base)
    child = catalog.seal_version(principal=SYSTEM, version=child)
    route = "/api/v1/models/vision/open/versions/1/record"
    whole = api.get(route).json()["record"]
    assert whole["whole"]
    assert digest_of(canonical(whole["manifest"])) == child.digest == Record.model_validate(whole).digest
    seen = stranger_api.get(route)
    assert "secret" not in seen.content.decode()
    redacted = seen.json()["record"]
    assert (redacted["whole"], redacted["parents"][0]["reference"]) == (False, None)
    assert redacted["parents"][0]["digest"] == base.digest  # as in the signed statement
    draft = make_model(team, "draft", sealed=False)
    answer = api.get(f"/api/v1/models/{draft.repository}/versions/1/record")
    assert (answer.status_code, answer.json()["facts"]["state"]) == (409, "draft")


@pytest.mark.parametrize("parents", [1, 6])
def test_a_record_costs_as_much_with_many_parents(
    api: APIClient, team: Team, count_queries: QueryCounter, parents: int
):
    child = make_model(team, "child", sealed=False)
    for number in range(parents):
        parent = make_model(team, f"base-{number}")
        catalog.add_parent(principal=SYSTEM, version=child, role=LineageRole.BASE, parent=parent)
    catalog.seal_version(principal=SYSTEM, version=child)
    with count_queries("version-record"):
        assert api.get("/api/v1/models/vision/child/versions/1/record").status_code == 200


def test_a_bundle_of_a_later_format_is_refused_with_the_reason(api: APIClient, team: Team, signer: Signer):
    packing = packed(signer)
    packing.format = "2.0"
    refused = bring(api, packing, keys=[signer.pem])
    assert (refused.status_code, refused.json()["code"]) == (422, "newer-format")
    assert refused.json()["facts"] == {"format": "2.0", "known": layout.FORMAT}
