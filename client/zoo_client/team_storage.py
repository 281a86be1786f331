"""What teams take and keep: storage use, quotas, retention policies."""

from collections.abc import Iterator
from typing import Any, cast

from zoo_client.api import Api, path_of

Answer = dict[str, Any]


class TeamStorage:
    """``client.team_storage``: what a team takes, may take and keeps."""

    def __init__(self, api: Api) -> None:
        self._api = api

    def usage(self, team: str) -> Answer:
        """Bytes that the team uses and has reserved, physical and logical, with the quotas, and what takes most."""
        return cast("Answer", self._api.get(path_of("teams", team, "usage")))

    def set_quota(self, team: str, *, physical: int | None, logical: int | None) -> Answer:
        """Limit the team to so many bytes (None: no limit); needs an administrator.  Answers its use."""
        body = {"physical": physical, "logical": logical}
        return cast("Answer", self._api.send("PUT", path_of("teams", team, "quota"), body=body))

    def retention(self, team: str) -> Answer:
        """The team's policy, as text in ``policy``."""
        return cast("Answer", self._api.get(path_of("teams", team, "retention")))

    def set_retention(self, team: str, policy: str, *, file: str = "retention.yaml") -> Answer:
        """Give the team this policy (YAML); ``file`` is the name that errors show."""
        body = {"policy": policy, "file": file}
        return cast("Answer", self._api.send("PUT", path_of("teams", team, "retention"), body=body))

    def remove_retention(self, team: str) -> None:
        """Keep everything from now on."""
        self._api.send("DELETE", path_of("teams", team, "retention"))

    def preview_retention(self, team: str, policy: str | None = None, *, file: str = "retention.yaml") -> Answer:
        """What the team's policy, or another one, would do now: what goes first, then what stays, each with why."""
        body: dict[str, Any] = {"limit": 1000} | ({} if policy is None else {"policy": policy, "file": file})
        pages = list(self._preview_pages(team, body))
        return pages[0] | {"results": [row for page in pages for row in page["results"]], "next": None}

    def _preview_pages(self, team: str, body: dict[str, Any]) -> Iterator[Answer]:
        cursor: int | None = 0
        while cursor is not None:
            path = path_of("teams", team, "retention", "preview")
            page = self._api.post(path, body | {"cursor": cursor}, repeatable=True)
            yield page
            cursor = page["next"]
