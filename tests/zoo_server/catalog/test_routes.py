"""The routes of the catalogue: one model's life over REST, refusals as problem documents, secrets kept."""

import json
from base64 import b64encode
from hashlib import sha256
from pathlib import Path

import pytest
from rest_framework.test import APIClient

from tests.zoo_server.factories import client_for, make_member, make_team, make_user
from zoo_sdk.measures import MEASURES
from zoo_sdk.vocabulary import Scope, TeamRole
from zoo_server.accounts.models import Team, User
from zoo_server.catalog import services
from zoo_server.catalog.api import answers
from zoo_server.catalog.models import Repository, Version
from zoo_server.rest.principals import SYSTEM

from .conftest import IDX, hold, make_blob, make_draft, make_repository, make_sealed

HEADER = json.dumps({"w": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}).encode()
WEIGHTS = len(HEADER).to_bytes(8, "little") + HEADER + b"\0\0\0\0"
MODEL = "/api/v1/models/vision/resnet50"


@pytest.fixture(autouse=True)
def store(settings: object, tmp_path: Path) -> None:
    settings.ZOO_STORE_DIR = tmp_path / "store"


def upload(api: APIClient, content: bytes, team: str = "vision") -> dict:
    digest = f"sha256:{sha256(content).hexdigest()}"
    session = api.post("/api/v1/uploads", {"team": team, "size": len(content)}, format="json").json()
    sent = api.patch(
        f"/api/v1/uploads/{session['id']}",
        content,
        content_type="application/offset+octet-stream",
        HTTP_UPLOAD_OFFSET="0",
        HTTP_UPLOAD_CHECKSUM=f"sha256 {b64encode(sha256(content).digest()).decode()}",
    )
    assert sent.status_code == 204
    done = api.post(f"/api/v1/uploads/{session['id']}/complete", {"sha256": digest}, format="json")
    assert done.status_code == 200
    return done.json()


def post(api: APIClient, path: str, body: object = None, expected: int = 201) -> dict:
    answer = api.post(path, body if body is not None else {}, format="json")
    assert answer.status_code == expected, answer.content
    return answer.json()


def test_a_model_lives_its_whole_life_over_rest(api: APIClient, team: Team) -> None:
    body = {"team": "vision", "name": "resnet50", "card": "---\nlicense: mit\n---\n# R", "visibility": "public"}
    made = post(api, "/api/v1/models", body)
    assert answers.RepositoryAnswer.model_validate(made)
    assert (made["full_name"], made["licence"], made["latest"]) == ("vision/resnet50", "mit", None)
    version = post(api, f"{MODEL}/versions", {"notes": "first"})
    assert (version["reference"], version["state"], version["created_by"]) == ("vision/resnet50@1", "draft", "curie")
    one = f"{MODEL}/versions/1"
    done = upload(api, WEIGHTS)
    file = post(api, f"{one}/files", {"path": "weights/model.safetensors", "upload": done["id"]})
    assert (file["format"], file["size"]) == ("safetensors", len(WEIGHTS))
    post(api, f"{one}/files", {"path": "copy.safetensors", "sha256": done["sha256"]})
    artifact = {"format": "safetensors", "files": ["weights/model.safetensors"], "precision": "fp32"}
    assert post(api, f"{one}/artifacts", artifact)["runtime"] == "torch"
    parent = {"role": "base", "external_uri": "https://example.org/base"}
    assert post(api, f"{one}/lineage", parent)["reference"] is None
    steps = {"steps": [{"kind": "training", "method": "sgd", "parameters": {"epochs": 3}}]}
    assert post(api, f"{one}/strategy", steps, 200)["steps"][0]["operation"] is None
    sealed = post(api, f"{one}/seal", expected=200)
    assert sealed["state"] == "candidate"
    metric = {"name": "top1", "value": 76.1, "dataset": "ImageNet", "artifact": "weights/model.safetensors"}
    assert post(api, f"{one}/metrics", metric)["source"] == "reported"
    post(api, f"{one}/approve", {"comment": "good"}, 200)
    alias = api.put(f"{MODEL}/aliases/production", {"version": 1}, format="json").json()
    assert alias["reference"] == "vision/resnet50@1"
    shown = api.get(f"{MODEL}/versions/@production").json()
    assert answers.VersionAnswer.model_validate(shown)
    assert shown["aliases"] == ["production"]
    assert [change["after"] for change in shown["state_changes"]] == ["candidate", "approved"]
    assert shown["metrics"][0]["unit"] == "%"
    assert shown["artifacts"][0]["size"] == len(WEIGHTS)
    assert {entry["path"] for entry in shown["files"]} == {"copy.safetensors", "weights/model.safetensors"}
    assert api.get(MODEL).json()["aliases"] == {"production": 1}
    fetched = APIClient().get(f"{one}/files/weights/model.safetensors")
    assert b"".join(fetched.streaming_content) == WEIGHTS
    assert fetched["ETag"] == f'"{done["sha256"]}"'
    assert "model.safetensors" in fetched["Content-Disposition"]
    head = api.head(f"{one}/files/weights/model.safetensors")
    assert (head.status_code, head["Content-Length"]) == (200, str(len(WEIGHTS)))
    again = api.get(f"{one}/files/weights/model.safetensors", HTTP_IF_NONE_MATCH=fetched["ETag"])
    assert again.status_code == 304
    holders = api.get("/api/v1/versions", {"sha256": done["sha256"]}).json()["results"]
    assert holders[0]["paths"] == ["copy.safetensors", "weights/model.safetensors"]
    post(api, f"{one}/deprecate", expected=200)
    assert post(api, f"{one}/withdraw", {"comment": "wrong labels"}, 200)["state"] == "withdrawn"


def test_a_data_set_shares_the_routes(api: APIClient, team: Team) -> None:
    post(api, "/api/v1/datasets", {"team": "vision", "name": "pictures"})
    made = post(api, "/api/v1/datasets/vision/pictures/versions", {"dataset": IDX})
    assert made["dataset"]["splits"] == IDX["splits"]
    assert made["kind"] == "dataset"
    assert api.get("/api/v1/models/vision/pictures").status_code == 404


def test_a_withdrawn_version_answers_410_and_says_where_its_history_is(api: APIClient, sealed: Version) -> None:
    services.withdraw_version(principal=SYSTEM, version=sealed, comment="wrong labels")
    for method in (api.get, api.head):
        gone = method(f"{MODEL}/versions/1/files/model.safetensors")
        assert gone.status_code == 410
    gone = api.get(f"{MODEL}/versions/1/files/model.safetensors").json()
    assert gone["code"] == "gone"
    address = gone["hint"].split()[1]
    assert address == f"{MODEL}/versions/1"
    history = api.get(address).json()["state_changes"]
    assert (history[-1]["after"], history[-1]["comment"]) == ("withdrawn", "wrong labels")
    assert api.get(f"{address}/lineage").status_code == 200


@pytest.mark.parametrize("method", ["patch", "delete"])
def test_a_sealed_version_is_not_changed_over_rest(api: APIClient, sealed: Version, method: str) -> None:
    refused = getattr(api, method)(f"{MODEL}/versions/1", {"notes": "x"}, format="json")
    assert (refused.status_code, refused.json()["facts"]) == (409, {"state": "candidate"})


@pytest.mark.parametrize(
    ("tail", "body"),
    [
        ("files", {"path": "x", "sha256": "HELD"}),
        ("artifacts", {"format": "safetensors", "files": ["model.safetensors"]}),
        ("lineage", {"role": "base", "external_uri": "https://example.org/base"}),
        ("strategy", {"steps": []}),
        ("seal", {}),
    ],
)
def test_nothing_is_added_to_a_sealed_version_over_rest(
    api: APIClient, team: Team, sealed: Version, tail: str, body: dict
) -> None:
    body = {key: hold(team, make_blob()).sha256 if value == "HELD" else value for key, value in body.items()}
    problem = post(api, f"{MODEL}/versions/1/{tail}", body, 409)
    assert problem["facts"] == {"state": "candidate"}
    assert api.delete(f"{MODEL}/versions/1/files/model.safetensors").status_code == 409


@pytest.mark.parametrize(
    ("call", "states"), [("seal", ["candidate"]), ("approve", ["draft", "withdrawn"]), ("withdraw", ["draft"])]
)
def test_a_state_change_that_has_no_arrow_answers_409_with_the_state(
    api: APIClient, model: Repository, call: str, states: list[str]
) -> None:
    for state in states:
        version = make_draft(model) if state == "draft" else make_sealed(model)
        if state == "withdrawn":
            services.withdraw_version(principal=SYSTEM, version=version)
        problem = post(api, f"{MODEL}/versions/{version.number}/{call}", {}, 409)
        assert problem["facts"] == {"state": state}
        assert state in problem["detail"]


def test_doing_a_state_change_twice_answers_409_the_second_time(api: APIClient, sealed: Version) -> None:
    post(api, f"{MODEL}/versions/1/approve", {}, 200)
    assert post(api, f"{MODEL}/versions/1/approve", {}, 409)["facts"] == {"state": "approved"}


def test_a_circle_answers_409_cycle(api: APIClient, model: Repository) -> None:
    make_draft(model)
    make_draft(model)
    post(api, f"{MODEL}/versions/2/lineage", {"role": "base", "parent": "vision/resnet50@1"})
    problem = post(api, f"{MODEL}/versions/1/lineage", {"role": "teacher", "parent": "vision/resnet50@2"}, 409)
    assert problem["code"] == "cycle"
    graph = api.get(f"{MODEL}/versions/1/lineage", {"depth": 5}).json()
    assert answers.LineageAnswer.model_validate(graph)
    assert len(graph["edges"]) == 1


@pytest.mark.parametrize(
    "path", ["../x", "/etc/passwd", "a/../b", "a\0b", "a//b", "a\\b", "C:/x", "x" * 201, "/".join(["y" * 99] * 5), ""]
)
def test_an_unsafe_path_answers_422(api: APIClient, team: Team, draft: Version, path: str) -> None:
    body = {"path": path, "sha256": hold(team, make_blob()).sha256}
    assert post(api, f"{MODEL}/versions/1/files", body, 422)["code"] == "invalid-input"
    assert draft.files.count() == 1


def test_a_pickle_declared_as_safetensors_answers_422(api: APIClient, draft: Version) -> None:
    done = upload(api, b"\x80\x04cos\nsystem\n(S'true'\ntR.")
    assert done["format"] == "pickle"
    post(api, f"{MODEL}/versions/1/files", {"path": "weights.pth", "upload": done["id"]})
    problem = post(api, f"{MODEL}/versions/1/artifacts", {"format": "safetensors", "files": ["weights.pth"]}, 422)
    assert problem["facts"]["identified"] == "pickle"
    post(api, f"{MODEL}/versions/1/artifacts", {"format": "pickle", "files": ["weights.pth"]})
    post(api, f"{MODEL}/versions/1/seal", {}, 200)
    assert "dangerous" in post(api, f"{MODEL}/versions/1/approve", {}, 409)["detail"]


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("/api/v1/models", {"team": "vision", "name": "a", "titles": "x"}, "titles"),
        ("/api/v1/models", {"team": "vision", "name": "Big"}, "name"),
        ("/api/v1/models", {"team": "vision", "name": "a", "visibility": "secret"}, "visibility"),
        ("/api/v1/models", {"name": "a"}, "team"),
        (f"{MODEL}/versions", {"dataset": {"format": "csv"}}, "dataset"),
        (f"{MODEL}/versions/1/files", {"path": "a"}, "upload"),
        (f"{MODEL}/versions/1/files", {"path": "a", "sha256": "abc"}, "sha256"),
        (f"{MODEL}/versions/1/files", {"path": "a", "upload": "7"}, "upload"),
        (f"{MODEL}/versions/1/artifacts", {"format": "safetensor", "files": ["a"]}, "format"),
        (f"{MODEL}/versions/1/artifacts", {"format": "onnx", "files": ["../a"]}, "files"),
        (f"{MODEL}/versions/1/artifacts", {"format": "onnx", "files": []}, "files"),
        (f"{MODEL}/versions/1/lineage", {"role": "mother", "parent": "vision/resnet50@1"}, "role"),
        (f"{MODEL}/versions/1/strategy", {"steps": [{"kind": "magic", "method": "x"}]}, "kind"),
        (f"{MODEL}/versions/1/metrics", {"name": "top1", "value": "high"}, "value"),
        (f"{MODEL}/versions/1/metrics", {"name": "top1", "value": 1, "source": "measured"}, "source"),
        (f"{MODEL}/versions/1/seal", {"remark": "x"}, "remark"),
    ],
)
def test_a_wrong_body_answers_422_with_the_field(
    api: APIClient, draft: Version, path: str, body: dict, field: str
) -> None:
    problem = post(api, path, body, 422)
    assert problem["type"] == "urn:zoo:problem:invalid-input"
    assert field in json.dumps(problem)


@pytest.mark.parametrize("body", [[], "text", 7, None])
def test_a_body_that_is_no_object_answers_422(api: APIClient, draft: Version, body: object) -> None:
    for path in ("/api/v1/models", f"{MODEL}/versions/1/metrics"):
        assert api.post(path, json.dumps(body), content_type="application/json").status_code == 422


@pytest.mark.parametrize("text", ["a\\u0000b", "a\\ud800b"])
def test_text_that_the_database_cannot_hold_answers_422(api: APIClient, draft: Version, text: str) -> None:
    for path, body in (
        (f"{MODEL}/versions", f'{{"notes": "{text}"}}'),
        (f"{MODEL}/versions/1/seal", f'{{"comment": "{text}"}}'),
        (f"{MODEL}/versions/1/metrics", f'{{"name": "top1", "value": 1, "details": {{"{text}": 1}}}}'),
        (f"{MODEL}/versions/1/strategy", f'{{"steps": [{{"kind": "training", "method": "{text}"}}]}}'),
    ):
        assert api.post(path, body, content_type="application/json").status_code == 422
    for path, body in (
        ("metrics", '{"name": "top1", "value": 1e999}'),
        ("metrics", '{"name": "top1", "value": 1, "details": {"a": [-1e999]}}'),
        ("strategy", '{"steps": [{"kind": "training", "method": "x", "parameters": {"a": 1e999}}]}'),
        ("artifacts", '{"format": "safetensors", "files": ["model.safetensors"], "details": {"a": 1e999}}'),
    ):
        answer = api.post(f"{MODEL}/versions/1/{path}", body, content_type="application/json")
        assert answer.status_code == 422
    nested = '{"notes": ' + "[" * 60 + "]" * 60 + "}"
    assert api.post(f"{MODEL}/versions", nested, content_type="application/json").status_code == 422


@pytest.mark.parametrize(
    "address",
    [
        "/api/v1/models/vision/a%00b",
        "/api/v1/models/vision/resnet50/versions/1%00",
        "/api/v1/models/vision/resnet50/versions/1/files/a%00b",
        "/api/v1/models/vision/resnet50/versions/1/files/../../x",
        "/api/v1/models/vision/resnet50/versions/99999999999999999999",
        "/api/v1/models/vision/resnet50/versions/²",
        "/api/v1/models/vision/resnet50/aliases/a%00",
        "/api/v1/models/Vision/resnet50",
    ],
)
def test_an_address_of_nothing_answers_404(api: APIClient, draft: Version, address: str) -> None:
    assert api.get(address).status_code == 404


@pytest.mark.parametrize(
    "query",
    ["limit=0", "limit=x", "cursor=x", "cursor=WyJ4Il0", "sort=size", "sort=metric:x", "colour=red", "state=x",
     "search=%00", "tag=%00", "sort=relevance", "visibility=x"],
)  # fmt: skip
def test_a_wrong_query_of_a_list_answers_422(api: APIClient, model: Repository, query: str) -> None:
    assert api.get(f"/api/v1/models?{query}").status_code == 422


def test_filters_and_order_come_through_the_query(api: APIClient, team: Team) -> None:
    make_repository(team, "a", tags=["int8", "small"])
    make_repository(team, "b", tags=["int8"])
    assert [row["name"] for row in api.get("/api/v1/models?tag=int8&tag=small").json()["results"]] == ["a"]
    assert api.get("/api/v1/models?format=onnx").json()["results"] == []
    page = api.get("/api/v1/models?sort=name&limit=1").json()
    assert [row["name"] for row in page["results"]] == ["a"]
    rest = api.get("/api/v1/models", {"sort": "name", "limit": 1, "cursor": page["next"]}).json()
    assert ([row["name"] for row in rest["results"]], rest["next"]) == (["b"], None)
    assert api.get("/api/v1/models?search=b&team=vision").json()["results"][0]["full_name"] == "vision/b"


def test_a_metrics_data_set_is_a_reference_or_text(api: APIClient, sealed: Version, dataset: Repository) -> None:
    make_draft(dataset, "images")
    metrics = f"{MODEL}/versions/1/metrics"
    for given, shown in (("vision/pictures@1", "vision/pictures@1"), ("ImageNet val", "ImageNet val"), ("", None)):
        assert post(api, metrics, {"name": "top1", "value": 1, "dataset": given})["dataset"] == shown
    post(api, metrics, {"name": "top1", "value": 1, "dataset": "vision/pictures@9"}, 404)
    post(api, metrics, {"name": "top1", "value": 1, "artifact": "nothing"}, 422)
    listed = api.get(metrics, {"limit": 2, "name": "top1"}).json()
    assert len(listed["results"]) == 2
    assert listed["next"]


def test_a_hidden_data_set_of_a_metric_is_not_named(api: APIClient, sealed: Version, dataset: Repository) -> None:
    services.update_repository(principal=SYSTEM, repository=dataset, visibility="private")
    make_draft(dataset, "images")
    post(api, f"{MODEL}/versions/1/metrics", {"name": "top1", "value": 1, "dataset": "vision/pictures@1"})
    outsider = client_for(make_user())
    assert outsider.get(f"{MODEL}/versions/1/metrics").json()["results"][0]["dataset"] == "(hidden)"
    assert outsider.get(f"{MODEL}/versions/1").json()["metrics"][0]["dataset"] == "(hidden)"


def test_aliases_are_listed_removed_and_remembered(api: APIClient, sealed: Version) -> None:
    aliases = f"{MODEL}/aliases"
    for name in ("staging", "production"):
        assert api.put(f"{aliases}/{name}", {"version": 1}, format="json").status_code == 200
    assert [row["name"] for row in api.get(aliases).json()["results"]] == ["production", "staging"]
    assert api.get(f"{aliases}/staging").json()["version"] == 1
    assert api.delete(f"{aliases}/staging").status_code == 204
    assert api.get(f"{aliases}/staging").status_code == 404
    history = api.get(f"{aliases}/staging/history").json()["results"]
    assert [(move["before"], move["after"], move["moved_by"]) for move in history] == [
        (1, None, "curie"),
        (None, 1, "curie"),
    ]
    assert api.get(f"{aliases}/never/history").status_code == 404
    assert api.put(f"{aliases}/latest", {"version": 1}, format="json").status_code == 422
    assert api.put(f"{aliases}/staging", {"version": 9}, format="json").status_code == 404


def test_metric_definitions_are_public_knowledge(db: None) -> None:
    listed = APIClient().get("/api/v1/metric-definitions").json()["results"]
    assert {item["name"]: item["direction"] for item in listed} == {
        name: measure.direction for name, measure in MEASURES.items()
    }


ROUTES = [
    ("get", "", None),
    ("patch", "", {"title": "x"}),
    ("get", "/versions", None),
    ("post", "/versions", {}),
    ("get", "/versions/1", None),
    ("get", "/versions/@production", None),
    ("patch", "/versions/1", {}),
    ("delete", "/versions/1", None),
    ("post", "/versions/1/files", {"path": "a", "sha256": f"sha256:{'0' * 64}"}),
    ("get", "/versions/1/files/model.safetensors", None),
    ("head", "/versions/1/files/model.safetensors", None),
    ("delete", "/versions/1/files/model.safetensors", None),
    ("post", "/versions/1/artifacts", {"format": "safetensors", "files": ["model.safetensors"]}),
    ("get", "/versions/1/lineage", None),
    ("post", "/versions/1/lineage", {"role": "base", "external_uri": "https://a.org/b"}),
    ("post", "/versions/1/strategy", {"steps": []}),
    ("get", "/versions/1/metrics", None),
    ("post", "/versions/1/metrics", {"name": "top1", "value": 1}),
    ("post", "/versions/1/seal", {}),
    ("post", "/versions/1/approve", {}),
    ("post", "/versions/1/deprecate", {}),
    ("post", "/versions/1/withdraw", {}),
    ("get", "/aliases", None),
    ("get", "/aliases/production", None),
    ("put", "/aliases/production", {"version": 1}),
    ("delete", "/aliases/production", None),
    ("get", "/aliases/production/history", None),
]


@pytest.mark.parametrize(("method", "tail", "body"), ROUTES, ids=[f"{method} {tail}" for method, tail, _ in ROUTES])
@pytest.mark.parametrize("kind", ["models", "datasets"])
def test_a_private_repository_of_another_team_is_not_there(
    team: Team, kind: str, method: str, tail: str, body: dict | None
) -> None:
    repository = make_repository(team, "secret", kind=kind.removesuffix("s"), visibility="private")
    version = make_draft(repository)
    if kind == "models":
        services.seal_version(principal=SYSTEM, version=version)
        services.set_alias(principal=SYSTEM, version=version, name="production")
    outsider = client_for(make_member(make_team("other"), TeamRole.ADMIN))
    secret = getattr(outsider, method)(f"/api/v1/{kind}/vision/secret{tail}", body, format="json")
    assert secret.status_code == 404
    absent = getattr(outsider, method)(f"/api/v1/{kind}/vision/nothing{tail}", body, format="json")
    assert absent.status_code == 404
    assert secret.content.replace(b"secret", b"nothing") == absent.content


def test_a_private_repository_is_in_no_list_of_others(private_model: Repository) -> None:
    sealed = make_sealed(private_model)
    digest = sealed.files.get().blob_id
    for client in (client_for(make_member(make_team("other"))), APIClient()):
        assert client.get("/api/v1/models").json()["results"] == []
        assert client.get("/api/v1/models?search=secret").json()["results"] == []
        assert client.get("/api/v1/versions", {"sha256": digest}).json()["results"] == []


@pytest.mark.parametrize(
    ("method", "tail", "body", "role"),
    [
        ("post", "/versions", {}, TeamRole.READER),
        ("patch", "", {"title": "x"}, TeamRole.AUDITOR),
        ("post", "/versions/1/metrics", {"name": "top1", "value": 1}, TeamRole.READER),
        ("post", "/versions/1/approve", {}, TeamRole.ENGINEER),
        ("put", "/aliases/production", {"version": 1}, TeamRole.CONTRIBUTOR),
        ("delete", "/aliases/production", None, TeamRole.ENGINEER),
    ],
)
def test_a_role_without_the_scope_answers_403(
    team: Team, sealed: Version, method: str, tail: str, body: dict | None, role: TeamRole
) -> None:
    services.set_alias(principal=SYSTEM, version=sealed, name="production")
    client = client_for(make_member(team, role))
    assert getattr(client, method)(f"{MODEL}{tail}", body, format="json").status_code == 403


def test_a_token_without_the_scope_answers_403(sealed: Version, member: User) -> None:
    reader = client_for(member, [Scope.READ])
    assert reader.get(f"{MODEL}/versions/1").status_code == 200
    assert reader.post(f"{MODEL}/versions/1/approve", {}, format="json").status_code == 403
    writer = client_for(member, [Scope.WRITE])
    assert writer.get(f"{MODEL}/versions/1").status_code == 403
