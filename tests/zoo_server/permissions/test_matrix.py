"""Every route, called by everybody, about private, internal and public objects: answers as in ``permissions.md``.

The table is written anew by ``--update-permissions``; look at what changed in it before it is committed.
"""

import re
from pathlib import Path
from typing import Any

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from django.urls import get_resolver

from tests.architecture.test_routes import ROUTES, Route, all_patterns
from tests.zoo_server.permissions.calls import Call, call_of
from tests.zoo_server.permissions.scene import ACTORS, Scene, make_scene
from zoo_sdk.vocabulary import Visibility
from zoo_server.rest.permissions import DeclaredScope

TABLE = Path(__file__).parents[1] / "permissions.md"
HEAD = """\
# Who gets which answer

Written by `pytest tests/zoo_server/permissions --update-permissions`, compared by the same test without the option.
Each route is called with a request that succeeds for those who may. `stranger` is signed in and the admin of another
team; `reader` to `admin` are roles in the team that owns the objects; `superuser` administers the server; `worker` has
a worker's token. One status: the answer is the same whatever the object's visibility. Three: for a private / internal /
public object. Behind a list's status is what it shows: **p**rivate, **i**nternal, p**u**blic objects of the team. 404
is also the answer for what does not exist, to the letter and to the query.
"""
PAGES = ("pipelines", "pipelines/<uuid:pipeline_id>", "compare", "leaderboard")
"""Pages that show objects; they are called in a browser's session."""
NOT_SUCCEEDING = {
    "GET api/v1/uploads/<uuid:upload_id>/parts": "the store is a folder",
    "POST api/v1/uploads/<uuid:upload_id>/parts": "the store is a folder",
    "POST api/v1/uploads/<uuid:upload_id>/complete": "its bytes were not sent",
    "POST api/v1/pipelines/<uuid:pipeline_id>/retry": "it is running",
    "POST api/v1/bundles/import": "no bundle was uploaded",
    "GET api/v1/teams/<str:team>/retention": "the team has no policy",
    "DELETE api/v1/teams/<str:team>/retention": "the team has no policy",
    "POST api/v1/{models,datasets}/<str:team>/<str:name>/delete": "a version of it is approved",
    "POST api/v1/{models,datasets}/<str:team>/<str:name>/restore": "it is not deleted",
    "POST api/v1/conversions": "no worker of the tests converts",
}
"""Routes whose request cannot succeed, for whoever calls, and why."""
DENIALS = {401, 403, 404}
LETTERS = {"private": "p", "internal": "i", "public": "u"}


def page_routes() -> list[Route]:
    known = {pattern for pattern, _ in all_patterns(get_resolver())}
    assert set(PAGES) <= known
    return [Route("GET", pattern, None, None) for pattern in PAGES]  # type: ignore[arg-type]  # no view of the API


@pytest.fixture
def scene(db: None, settings: Any, tmp_path: Path, broker: Any, monkeypatch: pytest.MonkeyPatch) -> Scene:
    settings.ZOO_STORE_DIR = tmp_path / "store"
    settings.ZOO_SIGNING_KEYS_DIR = tmp_path / "keys"
    settings.ZOO_CATALOGUES_DIR = tmp_path  # reading those that come with the server would take a second each time
    monkeypatch.setattr("drf_spectacular.generators.SchemaGenerator.get_schema", lambda *_, **__: {})  # slow, too
    return make_scene()


def send(scene: Scene, actor: str, call: Call, *, page: bool = False) -> tuple[int, str]:
    """Status and body; whatever the request changed is rolled back."""
    client: Any = scene.browsers[actor] if page else scene.clients[actor]
    with transaction.atomic():
        answer = client.generic(
            call.method, call.url, call.content, content_type=call.content_type, headers=dict(call.headers)
        )
        content = b"".join(answer.streaming_content) if answer.streaming else answer.content
        transaction.set_rollback(True)
    return answer.status_code, content.decode(errors="replace")


def cell(scene: Scene, actor: str, route: Route) -> str:
    """What the actor gets from the route, for each visibility if that makes a difference."""
    is_page = route.view is None
    calls = dict.fromkeys(shown(scene, route, visibility) for visibility in Visibility)
    found: list[tuple[int, str]] = []
    for call in calls:
        found.append(send(scene, actor, call, page=is_page))
        if found[0][0] == 401 or DeclaredScope.message in found[0][1]:
            break  # refused before any object was looked at
    texts = [str(status) for status, _ in found]
    if route.method == "GET" and "<" not in route.pattern and len(calls) == 1:
        letters = [LETTERS[name] for name in LETTERS if re.search(rf"\bvision/{name}\b", found[0][1])]
        texts = [f"{texts[0]} {''.join(letters)}".strip()]
    return texts[0] if len(set(texts)) == 1 else " / ".join(texts)


def shown(scene: Scene, route: Route, visibility: str) -> Call:
    if route.view is not None:
        return call_of(scene, route, visibility)
    query = f"?version=vision/{visibility}@1&version=vision/{visibility}@3" if route.pattern == "compare" else ""
    return Call("GET", "/" + route.pattern.replace("<uuid:pipeline_id>", str(scene.pipeline)) + query)


def rows_of(scene: Scene) -> dict[str, tuple[str, ...]]:
    """By route, the cells; routes that are the same below models and datasets are one row."""
    rows: dict[str, tuple[str, ...]] = {}
    for route in [*ROUTES, *page_routes()]:
        cells = tuple(cell(scene, actor, route) for actor in ACTORS)
        twin = route.name.replace("api/v1/datasets", "api/v1/models")
        both = route.name.replace("api/v1/datasets", "api/v1/{models,datasets}")
        if twin != route.name and rows.get(twin) == cells:
            rows = {both if name == twin else name: value for name, value in rows.items()}
        else:
            rows[route.name] = cells
    return rows


def table_of(rows: dict[str, tuple[str, ...]]) -> str:
    lines = [" | ".join(("| route", *ACTORS)) + " |", "|---" * (len(ACTORS) + 1) + "|"]
    for name, cells in rows.items():
        route = name.replace("api/v1/", "").replace("|", "\\|")
        lines.append(" | ".join((f"| `{route}`", *cells)) + " |")
    return HEAD + "\n" + "\n".join(lines) + "\n"


@pytest.mark.timeout(900)  # half a minute, unless much else runs
def test_everybody_gets_the_answers_of_the_table(scene: Scene, request: pytest.FixtureRequest) -> None:
    rows = rows_of(scene)
    if request.config.getoption("update_permissions"):
        TABLE.write_text(table_of(rows))
    expected, found = TABLE.read_text().splitlines(), table_of(rows).splitlines()
    assert found == expected, "permissions.md differs: see whether that is meant, then use --update-permissions"
    fruitless = {
        name
        for name, cells in rows.items()
        if not any(status[0] in "23" for text in cells for status in text.split(" / "))
    }
    assert fruitless == set(NOT_SUCCEEDING), "a request that succeeds for nobody proves little: mend calls.py"
    broken = [name for name, cells in rows.items() if re.search(r"\b50[0-24-9]\b", " ".join(cells))]
    assert broken == []


@pytest.mark.parametrize("actor", ["anonymous", "stranger"])
def test_what_is_hidden_is_answered_like_what_does_not_exist(scene: Scene, actor: str) -> None:
    compared = 0
    for route in [*ROUTES, *page_routes()]:
        call = shown(scene, route, "private")
        absent = call.of_absent(scene)
        if absent == call:
            continue
        answers = []
        for wanted in (call, absent):
            with CaptureQueriesContext(connection) as queries:
                status, body = send(scene, actor, wanted, page=route.view is None)
            answers.append((status, neutral(scene, body), len(queries)))
        if answers[0][0] in DENIALS | {302, 422}:
            assert answers[0] == answers[1], f"{route.name} tells {actor} what exists"
            compared += 1
    assert compared > 60


def neutral(scene: Scene, body: str) -> str:
    """The body without the names that the caller gave, and without what differs from page to page."""
    for hidden, absent in scene.hidden_names.items():
        body = body.replace(hidden, "NAME").replace(absent, "NAME")
    return re.sub(r'name="csrfmiddlewaretoken" value="\w+"', "", body)
