"""Catalogues: what is refused, what an import makes, and that it makes nothing twice."""

from collections.abc import Callable
from typing import Any

import pytest
import yaml
from rest_framework.test import APIClient

from tests.zoo_server.factories import client_for, make_member, make_team
from zoo_sdk.errors import Conflict
from zoo_sdk.vocabulary import TeamRole
from zoo_server.accounts.models import Team
from zoo_server.audit.models import AuditEvent
from zoo_server.catalog import services
from zoo_server.catalog.catalogues.document import Catalogue
from zoo_server.catalog.catalogues.reading import InvalidCatalogue, known_catalogue, read_catalogue
from zoo_server.catalog.models import Repository, Version, VersionFile
from zoo_server.rest.principals import SYSTEM, Principal

from .conftest import make_repository

TABLE = """
resnet18 66.834 resnet_18_imagenet_1000.h5
resnet50 76.0 resnet_50_imagenet_1000.h5
resnet101 77.12 resnet_101_imagenet_1001.h5
resnet34 70.346 resnet_34_imagenet_1000.h5
resnet50-distill 77.14 resnet_50_distill.h5
resnet50-slim 76.376 resnet50_slim.h5
resnet50-pruned-0.25 78.79 resnet50_pruned_0.25.h5
resnet50-pruned-0.375 78.07 resnet50_pruned_0.375.h5
mobilenet-v1 70.63 mobilenet_v1_imagenet_1000.h5
mobilenet-v2 72.396 mobilenet_v2_imagenet_1001.h5
vit-sg 86.046 Adlik_ViT_SG.zip
resnet50-81.33 81.33 resnet50_dkd.zip
resnet50-80.754 80.754 resnet50best-base.pth.tar
resnet50-w3a4 77.34 resnet50best_qat_quant_W3A4.jit
resnet50-w3a4 77.34 resnet50best-student.pth.tar
yolov5s 39.3 yolov5s-distill-39.3.pt
yolov5s 39.3 yolov5s-distill-39.3.onnx
yolov5s 36.5 yolov5s-int8-mixed.xml
yolov5s 36.5 yolov5s-int8-mixed.bin
yolov5s 38.6 yolov5s-distill-int8-mixed.xml
yolov5s 38.6 yolov5s-distill-int8-mixed.bin
yolov5m - yolov5m.pt
yolov5m - ultralytics-yolov5.zip
faster-rcnn-deit-small 47.6 best_bbox_mAP_epoch_24.pth
mask-rcnn-deit-small 42.4 best_bbox_mAP_epoch_23.pth
"""
"""Every weight of the README's tables: our name, its figure, the file."""

SMALL: dict[str, Any] = {
    "catalogue": 1,
    "name": "small",
    "title": "A small zoo",
    "sources": {"page": {"title": "Its page", "uri": "https://example.org/"}},
    "datasets": {"digits": {"title": "Digits", "uri": "https://example.org/digits"}},
    "external": {"giant": {"title": "A giant", "uri": "hf:example/giant"}},
    "models": [
        {
            "name": "student",
            "task": "image-classification",
            "versions": [
                {
                    "key": "distilled",
                    "introduction": "Taught by two.",
                    "strategy": [{"kind": "distillation", "method": "KD", "parameters": {"temperature": 4}}],
                    "artifacts": [
                        {
                            "format": "keras-h5",
                            "files": [{"address": "https://example.org/student.h5", "label": "h5"}],
                            "preprocessing": {"crop": [224, 224], "scale": 1.0, "label_offset": 1},
                        }
                    ],
                    "metrics": [
                        {"name": "top1", "value": 71.5, "dataset": "digits", "split": "test", "source": "page"}
                    ],
                    "parents": [
                        {"role": "teacher", "row": "teacher/trained", "weight": 2.0},
                        {"role": "teacher", "external": "giant"},
                        {"role": "trained_on", "dataset": "digits"},
                    ],
                    "uncertain": ["Nobody wrote down the seed."],
                }
            ],
        },
        {
            "name": "teacher",
            "task": "image-classification",
            "versions": [{"key": "trained", "metrics": [{"name": "top1", "value": 80, "source": "page"}]}],
        },
    ],
}


def text_of(**changes: Any) -> str:
    return yaml.safe_dump(SMALL | changes, sort_keys=False)


def changed(change: Callable[[dict[str, Any]], None]) -> str:
    content = yaml.safe_load(text_of())
    change(content)
    return yaml.safe_dump(content, sort_keys=False)


@pytest.fixture
def imported(principal: Principal, team: Team) -> dict[str, Version]:
    rows = services.import_catalogue(principal=principal, team=team, catalogue=read_catalogue(text_of()))
    return {row.key: row.version for row in rows}


def test_every_weight_of_the_readme_is_in_adliks_catalogue_with_its_figure() -> None:
    found = set()
    for model, row in known_catalogue("adlik").rows():
        figures = [item.value for item in row.metrics if item.name in {"top1", "box_ap", "mask_ap"}]
        for artifact in row.artifacts:
            for file in artifact.files:
                found.add((model.name, f"{figures[0]:g}" if figures else "-", file.local_path))
    wanted = {(name, value if value == "-" else f"{float(value):g}", path) for name, value, path in
              (line.split() for line in TABLE.strip().splitlines())}  # fmt: skip
    assert found == wanted


def test_adliks_catalogue_keeps_what_is_easy_to_get_wrong() -> None:
    catalogue = known_catalogue("adlik")
    rows = {f"{model.name}/{row.key}": row for model, row in catalogue.rows()}
    offsets = {
        name: row.artifacts[0].preprocessing.label_offset
        for name, row in rows.items()
        if row.artifacts and row.artifacts[0].preprocessing
    }
    assert {name for name, offset in offsets.items() if offset == 1} == {"resnet101/trained", "mobilenet-v2/trained"}
    assert any("slip" in text for text in rows["mobilenet-v1/trained"].uncertain)
    teachers = {edge.external for edge in rows["resnet50-slim/pruned-distilled"].parents if edge.role == "teacher"}
    assert teachers == {"senet154", "resnet152b"}
    assert rows["resnet50-distill/distilled"].parents[0].row == "resnet101/trained"
    assert not any(edge.role == "teacher" for edge in rows["resnet50-81.33/kd-dkd"].parents)
    latencies = {item.value for row in rows.values() for item in row.metrics if item.name == "latency_ms"}
    assert latencies == {15.72, 12.95, 6.56}
    assert all(item.source in catalogue.sources for row in rows.values() for item in row.metrics)


def test_an_import_makes_sealed_versions_of_remote_files_with_lineage_strategy_and_figures(
    imported: dict[str, Version], api: APIClient
) -> None:
    found = api.get("/api/v1/models/vision/student/versions/1").json()
    assert (found["state"], found["mirrored"]) == ("candidate", False)
    assert found["files"][0]["address"] == "https://example.org/student.h5"
    assert found["artifacts"][0]["preprocessing"]["label_offset"] == 1
    assert found["strategy"][0]["parameters"] == {"temperature": 4}
    parents = {(item["role"], item["reference"] or item["external_uri"], item["weight"]) for item in found["parents"]}
    assert parents == {
        ("teacher", "vision/teacher@1", 2.0),
        ("teacher", "hf:example/giant", None),
        ("trained_on", "https://example.org/digits", None),
    }
    metric = found["metrics"][0]
    assert (metric["value"], metric["source"], metric["dataset"]) == (71.5, "reported", "Digits")
    assert metric["details"]["uri"] == "https://example.org/"
    assert "Uncertain: Nobody wrote down the seed." in found["notes"]
    model = api.get("/api/v1/models/vision/student").json()
    assert "Nobody wrote down the seed." in model["card"]
    assert model["tags"] == ["catalogue:small"]


def test_a_row_of_which_only_figures_are_known_is_a_version_without_files(imported: dict[str, Version]) -> None:
    teacher = imported["teacher/trained"]
    assert (teacher.state, teacher.files.count(), teacher.metrics.count()) == ("candidate", 0, 1)


def test_importing_again_makes_nothing(imported: dict[str, Version], principal: Principal, team: Team) -> None:
    before = (Version.objects.count(), AuditEvent.objects.count())
    rows = services.import_catalogue(principal=principal, team=team, catalogue=read_catalogue(text_of()))
    assert {row.outcome for row in rows} == {"unchanged"}
    assert {row.key: row.version for row in rows} == imported
    assert (Version.objects.count(), AuditEvent.objects.count()) == before


def test_a_changed_row_gets_a_new_version_and_the_others_stay(
    imported: dict[str, Version], principal: Principal, team: Team
) -> None:
    def better(content: dict[str, Any]) -> None:
        content["models"][0]["versions"][0]["metrics"][0]["value"] = 72.5

    rows = services.import_catalogue(principal=principal, team=team, catalogue=read_catalogue(changed(better)))
    assert {row.key: row.outcome for row in rows} == {"teacher/trained": "unchanged", "student/distilled": "changed"}
    assert [row.version.number for row in rows if row.outcome == "changed"] == [2]
    assert imported["student/distilled"].metrics.get().value == 71.5


def test_a_changed_definition_that_a_row_uses_changes_the_row(
    imported: dict[str, Version], principal: Principal, team: Team
) -> None:
    moved = read_catalogue(text_of(external={"giant": {"title": "A giant", "uri": "hf:example/giant-v2"}}))
    rows = services.import_catalogue(principal=principal, team=team, catalogue=moved)
    assert {row.key: row.outcome for row in rows} == {"teacher/trained": "unchanged", "student/distilled": "changed"}


def test_a_name_that_the_team_uses_already_stops_the_whole_import(principal: Principal, team: Team) -> None:
    make_repository(team, "student")
    with pytest.raises(Conflict, match="prefix"):
        services.import_catalogue(principal=principal, team=team, catalogue=read_catalogue(text_of()))
    assert Repository.objects.count() == 1
    rows = services.import_catalogue(
        principal=principal, team=team, catalogue=read_catalogue(text_of()), prefix="small-"
    )
    assert [str(row.version) for row in rows] == ["vision/small-teacher@1", "vision/small-student@1"]


def test_two_teams_import_the_same_catalogue_side_by_side(imported: dict[str, Version]) -> None:
    other = make_team("speech")
    rows = services.import_catalogue(principal=SYSTEM, team=other, catalogue=read_catalogue(text_of()))
    assert {str(row.version) for row in rows} == {"speech/teacher@1", "speech/student@1"}


def test_adliks_catalogue_is_imported_by_name_and_reported(api: APIClient, team: Team) -> None:
    answer = api.post("/api/v1/catalogues/import", {"team": "vision", "name": "adlik"}, format="json")
    assert answer.status_code == 200, answer.content
    report = answer.json()
    assert (report["created"], report["changed"], report["unchanged"]) == (len(report["rows"]), 0, 0)
    assert len(report["rows"]) == 42
    assert VersionFile.objects.filter(blob=None).count() == 25
    again = api.post("/api/v1/catalogues/import", {"team": "vision", "name": "adlik"}, format="json").json()
    assert (again["created"], again["unchanged"]) == (0, 42)


def test_timms_catalogue_is_imported_beside_adliks(api: APIClient, team: Team) -> None:
    for name in ("adlik", "timm"):
        body = {"team": "vision", "name": name}
        assert api.post("/api/v1/catalogues/import", body, format="json").status_code == 200
    found = api.get("/api/v1/models/vision/timm-resnet50d").json()
    assert (found["architecture"], found["tags"]) == ("resnet50d", ["timm", "torch", "catalogue:timm"])


def test_the_known_catalogues_are_listed(api: APIClient) -> None:
    found = {item["name"]: item for item in api.get("/api/v1/catalogues").json()["results"]}
    assert found["timm"]["models"] > 30
    assert found["adlik"]["versions"] == 42


def test_only_those_who_may_write_in_a_team_import_into_it(api: APIClient, stranger_api: APIClient, team: Team) -> None:
    reader = client_for(make_member(team, TeamRole.READER))
    body = {"team": "vision", "catalogue": text_of()}
    assert reader.post("/api/v1/catalogues/import", body, format="json").status_code == 403
    assert stranger_api.post("/api/v1/catalogues/import", body, format="json").status_code == 404
    assert Repository.objects.count() == 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c.update(catalogue=2), "catalogue"),
        (lambda c: c.update(colour="red"), "colour"),
        (lambda c: c["models"][0]["versions"][0].update(figures=[]), "figures"),
        (lambda c: c["models"][0]["versions"][0]["metrics"][0].update(name="top2"), "top2"),
        (lambda c: c["models"][0]["versions"][0]["metrics"][0].update(source="nowhere"), "no source 'nowhere'"),
        (lambda c: c["models"][0]["versions"][0]["metrics"][0].update(dataset="nothing"), "no dataset 'nothing'"),
        (lambda c: c["models"][0]["versions"][0]["parents"][0].update(row="a/b"), "no row 'a/b'"),
        (lambda c: c["models"][0]["versions"][0]["parents"][0].update(external="giant"), "name one of"),
        (lambda c: c["models"][0]["versions"][0]["parents"][2].update(role="base"), "takes a row"),
        (lambda c: c["models"][0]["versions"][0]["parents"][2].update(weight=1.0), "only a teacher"),
        (lambda c: c["models"][1]["versions"][0].update(parents=[{"role": "base", "row": "student/distilled"}]),
         "circle"),
        (lambda c: c["models"].append(dict(c["models"][1], versions=[{"key": "trained"}])), "stands 2 times"),
        (lambda c: c["models"][0]["versions"][0]["artifacts"][0]["files"][0].update(address="file:///etc/passwd"),
         "not the address"),
        (lambda c: c["models"][0]["versions"][0]["artifacts"][0]["files"][0].update(path="../up.h5"), "up.h5"),
        (lambda c: c["models"][0]["versions"][0]["artifacts"][0].update(format="h6"), "h6"),
        (lambda c: c["models"][0].update(name="Not A Name"), "name"),
        (lambda c: c["external"]["giant"].update(uri="javascript:alert(1)"), "not a URI"),
    ],
)  # fmt: skip
def test_a_wrong_catalogue_is_refused_with_the_place(change: Callable[[dict[str, Any]], None], message: str) -> None:
    with pytest.raises(InvalidCatalogue) as refused:
        read_catalogue(changed(change))
    assert message in str(refused.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no catalogue"),
        ("- a\n- b\n", "no catalogue"),
        ("catalogue: 1\ncatalogue: 1\n", "stands twice"),
        ("a: &a [x]\nb: *a\n", "aliases"),
        ("a: [", "line 1"),
        ("!!python/object/apply:os.system [ls]", "line 1"),
        ("a" * (1024 * 1024 + 1), "more than"),
        ("[" * 200, "nested"),
    ],
)
def test_text_that_is_no_plain_yaml_is_refused(text: str, message: str) -> None:
    with pytest.raises(InvalidCatalogue, match=message):
        read_catalogue(text)


def test_the_mistakes_are_answered_as_a_problem_with_all_places(api: APIClient, team: Team) -> None:
    def wrong(content: dict[str, Any]) -> None:
        content["models"][0]["versions"][0]["metrics"][0].update(source="nowhere", dataset="nothing")

    body = {"team": "vision", "catalogue": changed(wrong), "file": "mine.yaml"}
    answer = api.post("/api/v1/catalogues/import", body, format="json")
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid-catalogue")
    assert answer.json()["detail"].startswith("mine.yaml")
    assert len(answer.json()["errors"]) == 2


def test_a_name_that_leads_out_of_the_folder_is_unknown(api: APIClient, team: Team) -> None:
    answer = api.post("/api/v1/catalogues/import", {"team": "vision", "name": "nothing"}, format="json")
    assert (answer.status_code, answer.json()["code"]) == (422, "unknown-name")
    answer = api.post("/api/v1/catalogues/import", {"team": "vision", "name": "../adlik"}, format="json")
    assert answer.status_code == 422


def test_the_text_of_a_catalogue_survives_a_round_trip() -> None:
    catalogue = known_catalogue("adlik")
    assert Catalogue.model_validate(catalogue.model_dump(mode="json")) == catalogue
