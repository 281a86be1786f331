"""Webhooks: addresses that a team has told what happens."""

from typing import Any, cast

from zoo_client.api import Api, path_of
from zoo_client.records import Page

Answer = dict[str, Any]


class Webhooks:
    """``client.webhooks``: those of a team; for its admins."""

    def __init__(self, api: Api) -> None:
        self._api = api

    def list(self, team: str) -> Any:
        """All of a team, newest first."""
        return self._api.get(path_of("teams", team, "webhooks"))["results"]

    def create(self, team: str, url: str, events: Any, description: str = "") -> Answer:
        """Make one; its secret is in ``secret``, this once."""
        body = {"url": url, "events": [*events], "description": description}
        return cast("Answer", self._api.post(path_of("teams", team, "webhooks"), body))

    def show(self, team: str, webhook: str) -> Answer:
        """One of them."""
        return cast("Answer", self._api.get(self._route(team, webhook)))

    def update(self, team: str, webhook: str, **fields: Any) -> Answer:
        """Change ``url``, ``events``, ``description`` or ``active``."""
        return cast("Answer", self._api.send("PATCH", self._route(team, webhook), body=fields))

    def remove(self, team: str, webhook: str) -> None:
        """Remove it with its log."""
        self._api.send("DELETE", self._route(team, webhook))

    def rotate(self, team: str, webhook: str) -> Answer:
        """A new secret, told this once; the former one signs beside it for a day."""
        return cast("Answer", self._api.post(self._route(team, webhook, "rotate")))

    def test(self, team: str, webhook: str) -> Answer:
        """Have a message sent to try it; answers its row in the log."""
        return cast("Answer", self._api.post(self._route(team, webhook, "test")))

    def deliveries(self, team: str, webhook: str, **filters: Any) -> Page:
        """One page of the log; ``filters``: state, type, limit, cursor."""
        return cast("Page", self._api.get(self._route(team, webhook, "deliveries"), filters))

    def delivery(self, team: str, webhook: str, delivery: str) -> Answer:
        """A message with its body and every try."""
        return cast("Answer", self._api.get(self._route(team, webhook, "deliveries", delivery)))

    def redeliver(self, team: str, webhook: str, delivery: str) -> Answer:
        """Send a message again."""
        return cast("Answer", self._api.post(self._route(team, webhook, "deliveries", delivery, "redeliver")))

    def _route(self, team: str, webhook: str, *more: str) -> str:
        return path_of("teams", team, "webhooks", webhook, *more)
