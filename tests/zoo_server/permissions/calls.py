"""How each route is called in the matrix: the address and the body with which those who may do it succeed."""

import json
import re
from dataclasses import dataclass
from typing import Any

from tests.architecture.test_routes import Route
from tests.zoo_server.catalog.test_catalogue_import import text_of
from tests.zoo_server.permissions.scene import DIGEST, PASSWORD, PATH, SECOND, Scene
from tests.zoo_server.pipelines.examples import CHAIN

JSON = "application/json"
KIND_ROUTE = re.compile(r"^api/v1/(models|datasets)/<str:team>/<str:name>")
STRATEGY = {"steps": [{"kind": "training", "method": "sgd", "parameters": {}}]}
PARENT = {"role": "base", "external_uri": "https://example.org/base"}
ARTIFACT = {"name": "second", "format": "safetensors", "files": [SECOND]}


@dataclass(frozen=True)
class Call:
    """A request."""

    method: str
    url: str
    content: str = ""
    content_type: str = JSON
    headers: tuple[tuple[str, str], ...] = ()

    def of_absent(self, scene: Scene) -> "Call":
        """The same about objects that do not exist."""
        url, content = self.url, self.content
        for hidden, absent in scene.hidden_names.items():
            url, content = url.replace(hidden, absent), content.replace(hidden, absent)
        return Call(self.method, url, content, self.content_type, self.headers)


def call_of(scene: Scene, route: Route, visibility: str) -> Call:
    """The request to a route about objects of that visibility; raises KeyError for a route that is not described."""
    found = KIND_ROUTE.match(route.pattern)
    if found:
        return _of_kind(scene, route, found[1], visibility)
    if route.pattern.startswith("api/v1/uploads/"):
        return _of_upload(scene, route)
    query, body = BODIES[route.name](scene, visibility) if route.name in BODIES else ("", None)
    if route.method not in {"GET", "DELETE"} and route.name not in BODIES:
        raise KeyError(f"{route.name}: say in tests/zoo_server/permissions/calls.py with which body it is called")
    return Call(route.method, _address(scene, route) + query, "" if body is None else json.dumps(body))


def _address(scene: Scene, route: Route) -> str:
    job = scene.queued if route.pattern.endswith("claim") else scene.running
    values = {
        "team": "vision",
        "username": "user-reader",
        "token_id": scene.token,
        "job_id": scene.failed if route.pattern.endswith("retry") else job,
        "attempt": 1,
        "pipeline_id": scene.pipeline,
        "sha256": DIGEST,
        "name": "ci" if "teams/" in route.pattern else "toy.train",
        "session_id": scene.session,
        "webhook_id": scene.delivery.webhook_id,
        "delivery_id": scene.delivery.pk,
    }
    return "/" + re.sub(r"<\w+:(\w+)>", lambda match: str(values[match[1]]), route.pattern)


def _of_kind(scene: Scene, route: Route, kind: str, visibility: str) -> Call:
    tail = route.pattern.partition("<str:name>")[2]
    key = f"{route.method} {re.sub('<[^>]*>', '*', tail)}"
    state = STATES.get(key, "candidate")
    values = {
        "team": "vision",
        "name": visibility,
        "ref": scene.versions[state],
        "alias": "stable",
        "path": PATH,
        "table": "weights",
        "report": scene.report[kind.removesuffix("s"), visibility],
    }
    url = "/" + re.sub(r"<\w+:(\w+)>", lambda match: str(values[match[1]]), route.pattern)
    if route.method in {"GET", "DELETE"}:
        return Call(route.method, url)
    return Call(route.method, url, json.dumps(KIND_BODIES[key]))


def _of_upload(scene: Scene, route: Route) -> Call:
    url = f"/api/v1/uploads/{scene.upload}" + route.pattern.partition("<uuid:upload_id>")[2]
    if route.method == "PATCH":
        return Call("PATCH", url, "1234", "application/offset+octet-stream", (("Upload-Offset", "0"),))
    body = {"sha256": DIGEST} if url.endswith("complete") else {"parts": [{"number": 1, "checksum": "A" * 43 + "="}]}
    return Call(route.method, url, json.dumps(body) if route.method == "POST" else "")


STATES = {
    "PATCH /versions/*": "draft",
    "DELETE /versions/*": "draft",
    "POST /versions/*/seal": "draft",
    "POST /versions/*/deprecate": "approved",
    "POST /versions/*/withdraw": "approved",
    "POST /versions/*/files": "draft",
    "DELETE /versions/*/files/*": "draft",
    "POST /versions/*/artifacts": "draft",
    "POST /versions/*/lineage": "draft",
    "POST /versions/*/strategy": "draft",
    "POST /versions/*/delete": "plain",
    "POST /versions/*/restore": "deleted",
}
"""In which state the version is that a route is called about; others: a candidate."""

KIND_BODIES: dict[str, dict[str, Any]] = {
    "PATCH ": {"title": "Better"},
    "PUT /aliases/*": {"version": 3},
    "POST /versions": {},
    "PATCH /versions/*": {"notes": "better"},
    "POST /versions/*/seal": {},
    "POST /versions/*/approve": {},
    "POST /versions/*/deprecate": {},
    "POST /versions/*/withdraw": {},
    "POST /versions/*/files": {"path": "other.safetensors", "sha256": DIGEST},
    "POST /versions/*/artifacts": ARTIFACT,
    "POST /versions/*/lineage": PARENT,
    "POST /versions/*/strategy": STRATEGY,
    "POST /versions/*/metrics": {"name": "top5", "value": 91.0},
    "POST /versions/*/attestations": {},
    "POST /delete": {},
    "POST /restore": {},
    "POST /versions/*/delete": {},
    "POST /versions/*/restore": {},
    "POST /versions/*/pin": {},
}

RECIPE = {"recipe": CHAIN, "team": "vision", "inputs": {"data": "vision/private@1"}}
TRAIN = {"operation": "toy.train", "team": "vision", "outputs": {"model": "vision/made"}}


def _conversion(visibility: str) -> dict[str, str]:
    return {"version": f"vision/{visibility}@1", "to": "onnx"}


def _train(visibility: str) -> dict[str, Any]:
    return TRAIN | {"inputs": {"data": f"vision/{visibility}@1"}, "seed": 9}


POLICY = "retention: 1\nrules: [{keep_last: 2}]\n"
_HOOKS = "api/v1/teams/<str:team>/webhooks"
BODIES: dict[str, Any] = {
    "POST api/v1/login": lambda *_: ("", {"username": "ada", "password": PASSWORD}),
    "POST api/v1/teams": lambda *_: ("", {"name": "new"}),
    "PATCH api/v1/teams/<str:team>": lambda *_: ("", {"title": "Eyes"}),
    "PUT api/v1/teams/<str:team>/members/<str:username>": lambda *_: ("", {"role": "curator"}),
    "POST api/v1/teams/<str:team>/services": lambda *_: ("", {"name": "new", "role": "reader"}),
    "POST api/v1/teams/<str:team>/services/<str:name>/tokens": lambda *_: ("", {"name": "new", "scopes": ["read"]}),
    "POST api/v1/tokens": lambda *_: ("", {"name": "new", "scopes": ["read"]}),
    "POST api/v1/users": lambda *_: ("", {"username": "new"}),
    "POST api/v1/uploads": lambda *_: ("", {"team": "vision", "size": 4}),
    "POST api/v1/models": lambda *_: ("", {"team": "vision", "name": "new"}),
    "POST api/v1/datasets": lambda *_: ("", {"team": "vision", "name": "new"}),
    "POST api/v1/catalogues/import": lambda *_: ("", {"team": "vision", "catalogue": text_of()}),
    "PUT api/v1/teams/<str:team>/quota": lambda *_: ("", {"physical": 10**9, "logical": None}),
    "PUT api/v1/teams/<str:team>/retention": lambda *_: ("", {"policy": POLICY}),
    "POST api/v1/teams/<str:team>/retention/preview": lambda *_: ("", {"policy": POLICY}),
    f"POST {_HOOKS}": lambda *_: ("", {"url": "https://93.184.215.14/", "events": ["*"]}),
    f"PATCH {_HOOKS}/<uuid:webhook_id>": lambda *_: ("", {"active": False}),
    f"POST {_HOOKS}/<uuid:webhook_id>/rotate": lambda *_: ("", None),
    f"POST {_HOOKS}/<uuid:webhook_id>/test": lambda *_: ("", None),
    f"POST {_HOOKS}/<uuid:webhook_id>/deliveries/<uuid:delivery_id>/redeliver": lambda *_: ("", None),
    "POST api/v1/bundles/import": lambda *_: ("", {"team": "vision", "index": DIGEST}),
    "POST api/v1/catalogues/fetch": lambda *_: ("", {"team": "vision", "models": []}),
    "GET api/v1/compare": lambda _, seen: (f"?version=vision/{seen}@1&version=vision/{seen}@3", None),
    "GET api/v1/leaderboard": lambda *_: ("?task=image-classification", None),
    "GET api/v1/versions": lambda *_: (f"?sha256={DIGEST}", None),
    "POST api/v1/jobs": lambda _, seen: ("", _train(seen)),
    "POST api/v1/jobs/<uuid:job_id>/cancel": lambda *_: ("", None),
    "POST api/v1/jobs/<uuid:job_id>/retry": lambda *_: ("", None),
    "POST api/v1/recipes/validate": lambda *_: ("", {"recipe": CHAIN}),
    "POST api/v1/recipes/plan": lambda _, seen: ("", RECIPE | {"inputs": {"data": f"vision/{seen}@1"}}),
    "POST api/v1/pipelines": lambda _, seen: ("", RECIPE | {"inputs": {"data": f"vision/{seen}@1"}}),
    "POST api/v1/pipelines/<uuid:pipeline_id>/cancel": lambda *_: ("", None),
    "POST api/v1/pipelines/<uuid:pipeline_id>/retry": lambda *_: ("", None),
    "POST api/v1/conversions": lambda _, seen: ("", _conversion(seen)),
    "POST api/v1/conversions/plan": lambda _, seen: ("", _conversion(seen)),
    "POST api/v1/worker/register": lambda *_: ("", {"name": "box-1", "queues": [], "operations": []}),
    "POST api/v1/worker/pipelines/<uuid:pipeline_id>/mlflow-run": lambda *_: ("", {}),
}
_ATTEMPT = "POST api/v1/worker/jobs/<uuid:job_id>/attempts/<int:attempt>/"
BODIES |= {
    "POST api/v1/worker/jobs/<uuid:job_id>/claim": lambda *_: ("", {"worker": "box-1"}),
    f"{_ATTEMPT}heartbeat": lambda *_: ("", None),
    f"{_ATTEMPT}events": lambda *_: ("", {"events": []}),
    f"{_ATTEMPT}uploads": lambda *_: ("", {"size": 4}),
    f"{_ATTEMPT}finish": lambda *_: ("", {"outputs": {}, "environment": {}}),
    f"{_ATTEMPT}fail": lambda *_: ("", {"cause": "plugin_error", "code": "broken", "message": "It broke."}),
    f"{_ATTEMPT}release": lambda *_: ("", None),
    f"{_ATTEMPT}mlflow-run": lambda *_: ("", {"mlflow_run_id": "1"}),
}
"""Query string and body by the name of the route."""
