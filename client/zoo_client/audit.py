"""The audit log: its events, and whether its chain is whole."""

from collections.abc import Iterator, Mapping
from typing import Any, cast

from zoo_client.api import Api
from zoo_client.records import Page, Verification

VERIFICATION_PATIENCE_SECONDS = 600
"""The server recomputes every row before it answers."""
MAX_CHECKPOINTS = 20


class Audit:
    """``client.audit``: for auditors."""

    def __init__(self, api: Api) -> None:
        self._api = api

    def list(self, **filters: Any) -> Page:
        """One page; ``filters``: actor, action, object_type, object_id, object_name, team, since, until, cursor."""
        return cast("Page", self._api.get("audit/events", filters))

    def iterate(self, **filters: Any) -> Iterator[dict[str, Any]]:
        """All events, page after page."""
        return self._api.pages("audit/events", filters)

    def verify(self, checkpoints: Mapping[int, str] | None = None) -> Verification:
        """Have the server walk the whole chain; look at ``ok`` and ``first_broken``.

        ``checkpoints``: hashes of links by sequence that were noted earlier; the newest ones are compared, which is
        enough: each hash covers all links before it.
        """
        newest = sorted((checkpoints or {}).items())[-MAX_CHECKPOINTS:]
        query = {"checkpoint": [f"{sequence}:{link}" for sequence, link in newest]}
        return cast("Verification", self._api.get("audit/verification", query, patience=VERIFICATION_PATIENCE_SECONDS))

    def checkpoint(self) -> dict[str, Any]:
        """What the log is now: sequence and hash of its newest link, and a signed envelope that says so."""
        return cast("dict[str, Any]", self._api.get("audit/checkpoint"))
