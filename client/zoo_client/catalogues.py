"""Catalogues of existing zoos: importing them, mirroring their files, and the leaderboard of a task."""

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, cast

from zoo_client.api import Api
from zoo_client.records import Page

IMPORT_PATIENCE_SECONDS = 600
"""An import is one transaction, and a large catalogue takes a while."""
POLL_SECONDS = 1.0
UNFINISHED = frozenset({"queued", "fetching"})

Rows = list[dict[str, Any]]


class Catalogues:
    """``client.catalogues``."""

    def __init__(self, api: Api) -> None:
        self._api = api

    def list(self) -> Page:
        """The catalogues that the registry has."""
        return cast("Page", self._api.get("catalogues"))

    def import_known(self, team: str, name: str, *, prefix: str = "") -> dict[str, Any]:
        """Import the registry's catalogue of that name into a team; answers what became of each row."""
        return self._import({"team": team, "name": name, "prefix": prefix})

    def import_text(self, team: str, text: str, *, file: str, prefix: str = "") -> dict[str, Any]:
        """Import a catalogue of one's own; ``file`` is the name that errors show."""
        return self._import({"team": team, "catalogue": text, "file": file, "prefix": prefix})

    def fetch(self, team: str, models: Sequence[str] = (), *, catalogue: str | None = None) -> dict[str, Any]:
        """Have remote files of a team mirrored; answers at once how many are queued."""
        body: dict[str, Any] = {"team": team, "models": [*models]}
        if catalogue:
            body["catalogue"] = catalogue
        return cast("dict[str, Any]", self._api.post("catalogues/fetch", body, repeatable=True))

    def files(self, **filters: Any) -> Page:
        """One page of remote files; ``filters``: team, model, state, limit, cursor."""
        return cast("Page", self._api.get("catalogues/files", filters))

    def iterate_files(self, **filters: Any) -> Iterator[dict[str, Any]]:
        """All of them, page after page."""
        return self._api.pages("catalogues/files", filters)

    def follow(
        self,
        team: str,
        wanted: Callable[[dict[str, Any]], bool],
        *,
        on_change: Callable[[Rows], None],
        sleep: Callable[[float], None] = time.sleep,
    ) -> Rows:
        """Wait until no wanted file of the team is on its way; tells ``on_change`` the rows at every look."""
        while True:
            rows = [row for row in self.iterate_files(team=team, limit=200) if wanted(row)]
            on_change(rows)
            if not any(row["state"] in UNFINISHED for row in rows):
                return rows
            sleep(POLL_SECONDS)

    def leaderboard(self, task: str, **filters: Any) -> Page:
        """One page of a task's table; ``filters``: metric, dataset, team, catalogue, mirrored, sort, limit, cursor."""
        return cast("Page", self._api.get("leaderboard", {"task": task, **filters}))

    def iterate_leaderboard(self, task: str, **filters: Any) -> Iterator[dict[str, Any]]:
        """The whole table, page after page."""
        return self._api.pages("leaderboard", {"task": task, **filters})

    def _import(self, body: dict[str, Any]) -> dict[str, Any]:
        answer = self._api.post("catalogues/import", body, repeatable=True, patience=IMPORT_PATIENCE_SECONDS)
        return cast("dict[str, Any]", answer)
