"""Requests, retries and problem documents, against a stand-in transport."""

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from zoo_client.api import TRIES, Api
from zoo_client.errors import Gone, NoRoom, NotSignedIn, ServerFault, Unreachable
from zoo_sdk.errors import (
    Conflict,
    IntegrityError,
    InvalidInput,
    LeaseLost,
    NotFound,
    PermissionDenied,
    Unavailable,
    ZooError,
)

Handler = Callable[[httpx.Request], httpx.Response]


def api_of(handler: Handler, waits: list[float] | None = None) -> Api:
    sleep = (waits if waits is not None else []).append
    return Api("http://zoo.test", "zoo_secret", transport=httpx.MockTransport(handler), sleep=sleep)


def answering(*responses: httpx.Response | Exception) -> tuple[Handler, list[httpx.Request]]:
    queue = list(responses)
    seen: list[httpx.Request] = []

    def handle(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        found = queue.pop(0) if len(queue) > 1 else queue[0]
        if isinstance(found, Exception):
            raise found
        return found

    return handle, seen


def problem(status: int, code: str, **more: Any) -> httpx.Response:
    return httpx.Response(status, json={"code": code, "detail": "What happened.", "hint": "What to do.", **more})


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (422, "invalid-input", InvalidInput),
        (422, "integrity", IntegrityError),
        (404, "not-found", NotFound),
        (410, "gone", Gone),
        (401, "not-authenticated", NotSignedIn),
        (403, "permission-denied", PermissionDenied),
        (409, "lease-lost", LeaseLost),
        (409, "cycle", Conflict),
        (413, "too-large", NoRoom),
        (507, "insufficient-storage", NoRoom),
        (500, "error", ZooError),
        (500, "unheard-of", ServerFault),
        (503, "unavailable", Unavailable),
    ],
)
def test_a_problem_becomes_the_error_of_its_code_with_detail_hint_and_facts(
    status: int, code: str, kind: type[Exception]
) -> None:
    handle, _ = answering(problem(status, code, facts={"offset": 7}))
    with api_of(handle) as api, pytest.raises(ZooError) as caught:
        api.post("models", {})
    error: Any = caught.value
    assert type(error) is kind
    assert (error.detail, error.hint, error.facts, error.code) == ("What happened.", "What to do.", {"offset": 7}, code)


def test_field_errors_of_a_problem_are_kept() -> None:
    fields = [{"field": "params.temperature", "message": "must be > 0", "value": -1}]
    handle, _ = answering(problem(422, "invalid-input", errors=fields))
    with api_of(handle) as api, pytest.raises(InvalidInput) as caught:
        api.post("jobs", {})
    assert caught.value.facts["errors"] == fields


def test_an_idempotent_request_is_sent_again_after_breaks_with_growing_waits() -> None:
    handle, seen = answering(httpx.ConnectError("refused"), httpx.Response(503), httpx.Response(200, json={"ok": 1}))
    waits: list[float] = []
    with api_of(handle, waits) as api:
        assert api.get("whoami") == {"ok": 1}
    assert len(seen) == 3
    assert waits[1] > waits[0]


def test_retry_after_is_honoured() -> None:
    handle, _ = answering(httpx.Response(503, headers={"Retry-After": "3"}), httpx.Response(200, json={}))
    waits: list[float] = []
    with api_of(handle, waits) as api:
        api.get("whoami")
    assert waits == [3.0]


def test_a_request_that_is_not_idempotent_is_sent_once() -> None:
    handle, seen = answering(httpx.ReadError("broke"))
    with api_of(handle) as api, pytest.raises(Unreachable, match="No answer from"):
        api.post("models", {})
    assert len(seen) == 1


def test_retries_end() -> None:
    handle, seen = answering(httpx.ConnectError("refused"))
    with api_of(handle) as api, pytest.raises(Unreachable, match="zoo up"):
        api.get("whoami")
    assert len(seen) == TRIES


def test_all_pages_are_walked() -> None:
    handle, seen = answering(
        httpx.Response(200, json={"results": [{"n": 1}], "next": "abc"}),
        httpx.Response(200, json={"results": [{"n": 2}], "next": None}),
    )
    with api_of(handle) as api:
        assert [row["n"] for row in api.pages("models", {"task": "x", "team": None})] == [1, 2]
    assert [dict(request.url.params) for request in seen] == [{"task": "x"}, {"task": "x", "cursor": "abc"}]


@pytest.mark.parametrize(
    "response",
    [
        httpx.Response(200, text="<html>welcome</html>"),
        httpx.Response(404, text="<html>no</html>"),
        httpx.Response(500, text="oops"),
        httpx.Response(301, headers={"Location": "https://elsewhere"}),
    ],
)
def test_what_is_no_registry_is_told_apart(response: httpx.Response) -> None:
    handle, _ = answering(response)
    with api_of(handle) as api, pytest.raises(ServerFault):
        api.get("whoami")


def test_an_answer_without_end_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zoo_client.api.MAX_ANSWER_BYTES", 1000)
    handle, _ = answering(httpx.Response(200, content=b"x" * 5000))
    with api_of(handle) as api, pytest.raises(ServerFault, match="longer than 1000"):
        api.get("whoami")


@pytest.mark.parametrize("url", ["zoo.example.org", "ftp://zoo", "http://", "http://zoo/?q=1", "file:///etc"])
def test_an_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(InvalidInput, match="is not the address"):
        Api(url)
