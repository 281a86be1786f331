"""Requests to the registry's REST API: authentication, problem documents as errors, retries, keyset pages."""

import json
import random
import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote, urlsplit

import httpx

import zoo_client
from zoo_client.errors import ServerFault, Unreachable, error_of_problem
from zoo_sdk.errors import InvalidInput

API_PREFIX = "/api/v1/"
USER_AGENT = f"zoo-client/{zoo_client.__version__}"
MAX_ANSWER_BYTES = 64 * 1024 * 1024
TRIES = 5
FIRST_WAIT_SECONDS = 0.2
MAX_WAIT_SECONDS = 5.0
RETRIED_STATUSES = frozenset({502, 503, 504})
IDEMPOTENT_METHODS = frozenset({"GET", "HEAD", "PUT", "DELETE", "OPTIONS"})

Query = Mapping[str, Any]


def checked_url(url: str) -> str:
    """``url`` without a trailing slash; raises :class:`InvalidInput` unless it is ``http(s)://host[:port][/path]``."""
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.query or parts.fragment:
        raise InvalidInput(
            f"{url!r} is not the address of a registry.",
            hint="Write it like https://zoo.example.org or http://host:8080.",
        )
    return url.rstrip("/")


def path_of(*segments: str | int) -> str:
    """Join path segments, each quoted; ``/`` inside the last one (a file's path) stays a slash."""
    *first, last = (str(segment) for segment in segments)
    return "/".join([*(quote(part, safe="@") for part in first), quote(last, safe="@/")])


class Api:
    """One registry and one token.  Safe for several threads.

    Args:
        url: the registry's address, without ``/api/v1``.
        token: a bearer token, or None to see what is public.
        timeout: seconds to wait for the connection and for each piece of an answer.
        transport: where requests go instead of the network (a test's seam).
        sleep: how to wait between two tries.

    """

    def __init__(
        self,
        url: str,
        token: str | None = None,
        *,
        timeout: float = 30,
        transport: httpx.BaseTransport | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.url = checked_url(url)
        self.token = token
        self.timeout = timeout
        self._sleep = sleep
        headers = {"User-Agent": USER_AGENT, "Accept": "application/json"}
        if token:
            headers["Authorization"] = f"Bearer {token}"
        self._http = httpx.Client(
            base_url=self.url + API_PREFIX,
            headers=headers,
            timeout=timeout,
            transport=transport,
            # the machine's own trust store, where organisations put their certificates
            verify=ssl.create_default_context() if self.url.startswith("https") else False,
        )

    def close(self) -> None:
        """Give back the connections."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def get(self, path: str, query: Query | None = None, *, patience: float | None = None) -> Any:
        """The JSON of ``GET path``.  ``patience``: seconds to wait for the answer, for routes that work long."""
        return self.send("GET", path, query=query, patience=patience)

    def post(self, path: str, body: Any = None, *, repeatable: bool = False, patience: float | None = None) -> Any:
        """The JSON of ``POST path``.  ``repeatable``: the route is idempotent, so that it may be sent again."""
        return self.send("POST", path, body={} if body is None else body, repeatable=repeatable, patience=patience)

    def send(
        self,
        method: str,
        path: str,
        *,
        body: Any = None,
        query: Query | None = None,
        headers: Mapping[str, str] | None = None,
        repeatable: bool = False,
        patience: float | None = None,
    ) -> Any:
        """Send a request, again after a break where that is safe; answer its JSON (None for an empty answer).

        Raises:
            Unreachable: nobody answers at that address.
            ZooError: the class that belongs to the problem document.

        """
        request = self._http.build_request(
            method,
            path,
            json=body,
            params={key: value for key, value in (query or {}).items() if value is not None},
            headers=dict(headers or {}),
            timeout=max(self.timeout, patience or 0),
        )
        response, content = self._exchange(request, repeatable=repeatable or method in IDEMPOTENT_METHODS)
        if not content:
            return None
        try:
            return json.loads(content)
        except ValueError as error:
            raise self._no_registry(response) from error

    def _exchange(self, request: httpx.Request, *, repeatable: bool) -> tuple[httpx.Response, bytes]:
        for attempt in range(1, TRIES + 1):
            last = attempt == TRIES or not repeatable
            try:
                response, content = self._once(request)
            except httpx.TransportError as error:
                if last:
                    raise self._unreachable(error) from error
                self._sleep(wait_seconds(attempt))
                continue
            if response.status_code in RETRIED_STATUSES and not last:
                self._sleep(wait_seconds(attempt, response.headers.get("Retry-After")))
                continue
            if not response.is_success:
                raise self._error_of(response, content)
            return response, content
        raise AssertionError("the last try returns or raises")  # pragma: no cover

    def pages(self, path: str, query: Query | None = None) -> Iterator[dict[str, Any]]:
        """All rows of a list route, page after page."""
        query = dict(query or {})
        while True:
            page = self.get(path, query)
            yield from page["results"]
            if not page.get("next"):
                return
            query["cursor"] = page["next"]

    def _once(self, request: httpx.Request) -> tuple[httpx.Response, bytes]:
        response = self._http.send(request, stream=True)
        with closing(response):
            content = bytearray()
            for piece in response.iter_bytes():
                content += piece
                if len(content) > MAX_ANSWER_BYTES:
                    raise ServerFault(
                        f"The answer to {request.method} {request.url} is longer than {MAX_ANSWER_BYTES} bytes."
                    )
            return response, bytes(content)

    def _error_of(self, response: httpx.Response, content: bytes) -> Exception:
        if response.is_redirect:
            return ServerFault(
                f"{self.url} answers with a redirect to {response.headers.get('Location', 'nowhere')}.",
                hint="Use the address that it leads to as the registry's URL.",
            )
        try:
            problem = json.loads(content)
        except ValueError:
            problem = None
        if isinstance(problem, dict):
            return error_of_problem(response.status_code, problem, where=response.request.url.path)
        if response.status_code in RETRIED_STATUSES:
            return error_of_problem(response.status_code, {}, where=response.request.url.path)
        return self._no_registry(response)

    def _no_registry(self, response: httpx.Response) -> ServerFault:
        return ServerFault(
            f"{self.url} answered {response.request.url.path} with {response.status_code} and "
            f"{response.headers.get('Content-Type', 'no content type')}, not with JSON of a registry.",
            hint="Check the URL; the registry's log says more if it is one.",
            facts={"status": response.status_code},
        )

    def _unreachable(self, error: httpx.TransportError) -> Unreachable:
        return Unreachable(
            f"No answer from {self.url} ({error or type(error).__name__}).",
            hint="Is it running (`zoo up`)? Is the address right (--url or ZOO_URL)?",
        )


def wait_seconds(attempt: int, retry_after: str | None = None) -> float:
    """How long to wait after the ``attempt``-th try: doubling, with jitter; ``Retry-After`` comes first."""
    if retry_after and retry_after.isascii() and retry_after.isdigit():
        return min(float(retry_after[:4]), MAX_WAIT_SECONDS)
    return min(FIRST_WAIT_SECONDS * 2.0 ** (attempt - 1), MAX_WAIT_SECONDS) * random.uniform(0.7, 1.3)  # noqa: S311  jitter
