"""Every route of the API declares the scope of each of its methods, and holds callers to it."""

import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID

import pytest
from django.urls import URLPattern, URLResolver, get_resolver
from django.utils import timezone
from rest_framework.test import APIClient
from rest_framework.views import APIView

import zoo_server
from tests.zoo_server.factories import client_for, make_token, make_user
from zoo_sdk.vocabulary import Scope
from zoo_server.rest.permissions import PUBLIC, DeclaredScope, declared_scope
from zoo_server.rest.principals import Principal

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
PUBLIC_ROUTES = {
    "GET healthz", "GET readyz", "GET api/schema", "GET api/docs", "GET api/v1/", "GET api/v1/keys",
    "POST api/v1/login",
}  # fmt: skip
"""All that may be called without credentials; a new one is added here on purpose."""
NOT_OF_THE_API = ("admin/", "^static/", "compare", "leaderboard", "pipelines", "sign-in", "sign-out")
SAMPLES = {
    "uuid": str(UUID(int=7)),
    "int": "1",
    "str": "sample",
    "slug": "sample",
    "path": "sample",
    "sha256": "sha256:" + "0" * 64,
}


class Route(NamedTuple):
    """One method of one route."""

    method: str
    pattern: str
    view: type[APIView]
    scope: Any

    @property
    def name(self) -> str:
        return f"{self.method} {self.pattern}"

    @property
    def url(self) -> str:
        """The pattern with sample values."""

        def sample(match: re.Match[str]) -> str:
            kind, _, name = match[1].rpartition(":")
            return SAMPLES.get(name, SAMPLES.get(kind, "sample"))

        return "/" + re.sub(r"<([^>]+)>", sample, self.pattern)


def all_patterns(resolver: URLResolver, prefix: str = "") -> Iterator[tuple[str, URLPattern]]:
    for entry in resolver.url_patterns:
        pattern = prefix + str(entry.pattern)
        if isinstance(entry, URLResolver):
            yield from all_patterns(entry, pattern)
        else:
            yield pattern, entry


def api_patterns() -> list[tuple[str, type[Any] | None]]:
    found = [(pattern, getattr(entry.callback, "cls", None)) for pattern, entry in all_patterns(get_resolver())]
    return [(pattern, view) for pattern, view in found if pattern and not pattern.startswith(NOT_OF_THE_API)]


def all_routes() -> list[Route]:
    routes = []
    for pattern, view in api_patterns():
        if view is None:
            continue
        offered = [method for method in METHODS if hasattr(view, method.lower())]
        routes += [Route(method, pattern, view, declared_scope(view, method)) for method in offered]
    return routes


ROUTES = all_routes()
PROTECTED = [route for route in ROUTES if route.scope != PUBLIC]
NAMES = [route.name for route in PROTECTED]


def scopes_of(route: Route) -> tuple[Scope, ...]:
    return route.scope if isinstance(route.scope, tuple) else (route.scope,)


def test_the_walk_finds_the_routes():
    assert len(ROUTES) > 50
    assert {"GET api/v1/whoami", "PATCH api/v1/uploads/<uuid:upload_id>"} <= {route.name for route in ROUTES}


def test_every_route_below_the_api_is_a_view_that_can_declare_scopes():
    strays = [pattern for pattern, view in api_patterns() if view is None or not issubclass(view, APIView)]
    assert strays == [], "these routes are no DRF views, so nothing checks their callers"


@pytest.mark.parametrize("route", ROUTES, ids=[route.name for route in ROUTES])
def test_every_method_declares_a_scope(route: Route):
    assert route.scope is not None, f"{route.view.__name__}.scopes says nothing about {route.method}"
    assert route.scope == PUBLIC or all(isinstance(scope, Scope) for scope in scopes_of(route))
    assert route.view.permission_classes == [DeclaredScope] or route.scope == PUBLIC


def test_public_routes_are_the_known_ones():
    assert {route.name for route in ROUTES if route.scope == PUBLIC} == PUBLIC_ROUTES


def test_a_method_without_a_declaration_is_refused(rf, superuser):
    class Forgotten(APIView):
        scopes = {"GET": Scope.READ}

        def post(self, request: Any) -> None:
            raise AssertionError("it was called")

    _, secret = make_token(superuser)
    request = rf.post("/", headers={"Authorization": f"Bearer {secret}"})
    assert Forgotten.as_view()(request).status_code == 403


@pytest.fixture
def tokens(db: None) -> dict[str, APIClient]:
    """Clients of a superuser whose token has one scope, or none that is still good."""
    user = make_user("root", is_superuser=True)
    clients = {scope.value: client_for(user, [scope]) for scope in Scope}
    for name, state in {
        "expired": {"expires_at": timezone.now() - timedelta(seconds=1)},
        "revoked": {"revoked_at": timezone.now()},
    }.items():
        clients[name] = APIClient()
        clients[name].credentials(HTTP_AUTHORIZATION=f"Bearer {make_token(user, Scope, **state)[1]}")
    return clients


def call(client: APIClient, route: Route) -> int:
    status: int = client.generic(route.method, route.url, "{}", content_type="application/json").status_code
    return status


@pytest.mark.parametrize("route", PROTECTED, ids=NAMES)
def test_a_route_refuses_tokens_that_ended_and_tokens_without_its_scope(tokens, route: Route):
    assert {call(tokens["expired"], route), call(tokens["revoked"], route)} == {401}
    for scope in Scope:
        allowed = any(Principal("caller", scopes=frozenset({scope})).may(needed) for needed in scopes_of(route))
        if not allowed:
            assert call(tokens[scope.value], route) == 403, f"{route.name} let a token with only {scope} in"


@pytest.mark.parametrize("route", [r for r in PROTECTED if Scope.READ not in scopes_of(r)], ids=lambda r: r.name)
def test_a_route_that_changes_something_needs_credentials(db, route: Route):
    assert call(APIClient(), route) == 401


def test_roles_are_read_in_one_place():
    server = Path(zoo_server.__file__).parent
    readers = [
        path.relative_to(server).as_posix()
        for path in server.rglob("*.py")
        if re.search(r"\bMembership\b|\bmemberships__|\bROLE_SCOPES\b", path.read_text())
    ]
    strays = [path for path in readers if not path.startswith("accounts/")]
    assert strays == [], "ask zoo_server.accounts.permissions instead"
