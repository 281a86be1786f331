"""Models and data sets: their repositories, versions and aliases."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

from pydantic import BaseModel

from zoo_client.api import Api, path_of
from zoo_client.records import (
    Attestations,
    FactTable,
    FileInspection,
    FileRecord,
    Kind,
    Lineage,
    Metric,
    Page,
    Parent,
    Repository,
    Version,
)
from zoo_sdk.errors import InvalidInput, NotFound
from zoo_sdk.names import Reference, checked_path

Metrics = list[Metric]
ATTESTING_SECONDS = 120
"""A version with very many files is attested when somebody asks first."""


def _plain(value: BaseModel | Mapping[str, Any]) -> dict[str, Any]:
    return value.model_dump(mode="json") if isinstance(value, BaseModel) else dict(value)


def _why(reason: str) -> dict[str, str]:
    return {"reason": reason} if reason else {}


def repository_name(reference: str) -> tuple[str, str]:
    """Team and name of ``team/name`` (a selector is not allowed)."""
    parsed = Reference.parse(reference)
    if parsed.selector or parsed.path:
        raise InvalidInput(
            f"{reference!r} names a version where a name is needed.", hint=f"Write {parsed.team}/{parsed.name}."
        )
    return parsed.team, parsed.name


class Repositories:
    """``client.models`` or ``client.datasets``: named lines of versions."""

    def __init__(self, api: Api, kind: Kind) -> None:
        self._api = api
        self.kind = kind
        self.versions = Versions(api, self)
        self.aliases = Aliases(api, self)

    def list(self, **filters: Any) -> Page:
        """One page.  ``filters`` are those of the route: team, task, tag, search, sort, limit, cursor ..."""
        return cast("Page", self._api.get(self.kind, filters))

    def iterate(self, **filters: Any) -> Iterator[Repository]:
        """All of them, page after page."""
        return cast("Iterator[Repository]", self._api.pages(self.kind, filters))

    def show(self, name: str) -> Repository:
        """The repository ``team/name``."""
        return cast("Repository", self._api.get(path_of(self.kind, *repository_name(name))))

    def create(self, name: str, **fields: Any) -> Repository:
        """Make ``team/name``; ``fields``: title, task, architecture, licence, tags, visibility, card."""
        team, own_name = repository_name(name)
        return cast("Repository", self._api.post(self.kind, {"team": team, "name": own_name, **fields}))

    def ensure(self, name: str, **fields: Any) -> Repository:
        """The repository ``team/name``, made with ``fields`` if it does not exist."""
        try:
            return self.show(name)
        except NotFound:
            return self.create(name, **fields)

    def update(self, name: str, **fields: Any) -> Repository:
        """Change fields of ``team/name``."""
        path = path_of(self.kind, *repository_name(name))
        return cast("Repository", self._api.send("PATCH", path, body=fields))

    def discard(self, name: str, reason: str = "") -> Repository:
        """Delete ``team/name`` with all its versions; it can be restored for a while."""
        return cast("Repository", self._api.post(path_of(self.kind, *repository_name(name), "delete"), _why(reason)))

    def restore(self, name: str) -> Repository:
        """Take that back."""
        return cast("Repository", self._api.post(path_of(self.kind, *repository_name(name), "restore")))


class Versions:
    """``client.models.versions``: the versions of a kind.  ``ref`` is ``team/name@3`` or ``team/name@alias``."""

    def __init__(self, api: Api, repositories: Repositories) -> None:
        self._api = api
        self._repositories = repositories
        self.kind = repositories.kind

    def list(self, name: str, **filters: Any) -> Page:
        """One page of the versions of ``team/name``."""
        return cast("Page", self._api.get(path_of(self.kind, *repository_name(name), "versions"), filters))

    def iterate(self, name: str, **filters: Any) -> Iterator[dict[str, Any]]:
        """All versions of ``team/name``."""
        return self._api.pages(path_of(self.kind, *repository_name(name), "versions"), filters)

    def create(self, name: str, *, notes: str = "", dataset: BaseModel | Mapping[str, Any] | None = None) -> Version:
        """A new draft of ``team/name``; ``dataset`` is the ``DatasetDescription`` of a data set's version."""
        body: dict[str, Any] = {"notes": notes} if notes else {}
        if dataset is not None:
            body["dataset"] = _plain(dataset)
        return cast("Version", self._api.post(path_of(self.kind, *repository_name(name), "versions"), body))

    def route(self, ref: str, *more: str) -> str:
        """The path of a version's route.  Without a selector the newest version is meant."""
        parsed = Reference.parse(ref)
        if parsed.selector is None:
            latest = self._repositories.show(f"{parsed.team}/{parsed.name}")["latest"]
            number = latest.get("number") if isinstance(latest, dict) else latest
            if number is None:
                raise NotFound(f"{ref} has no version yet.", hint="Publish one with `zoo push`.")
            return path_of(self.kind, parsed.team, parsed.name, "versions", str(number), *more)
        selector = str(parsed.number) if parsed.number is not None else f"@{parsed.selector}"
        return path_of(self.kind, parsed.team, parsed.name, "versions", selector, *more)

    def show(self, ref: str) -> Version:
        """The version with files, artifacts, lineage, strategy and metrics."""
        return cast("Version", self._api.get(self.route(ref)))

    def update(self, ref: str, **fields: Any) -> Version:
        """Change a draft's ``notes`` or ``dataset``."""
        return cast("Version", self._api.send("PATCH", self.route(ref), body=fields))

    def delete(self, ref: str) -> None:
        """Remove a draft."""
        self._api.send("DELETE", self.route(ref))

    def discard(self, ref: str, reason: str = "") -> Version:
        """Delete a sealed version; it can be restored for a while."""
        return cast("Version", self._api.post(self.route(ref, "delete"), _why(reason)))

    def restore(self, ref: str) -> Version:
        """Take that back."""
        return cast("Version", self._api.post(self.route(ref, "restore")))

    def pin(self, ref: str, reason: str = "") -> Version:
        """Keep the version: it cannot be deleted until it is unpinned."""
        return cast("Version", self._api.post(self.route(ref, "pin"), _why(reason)))

    def unpin(self, ref: str) -> None:
        """Keep it no longer."""
        self._api.send("DELETE", self.route(ref, "pin"))

    def add_file(self, ref: str, path: str, *, upload: str) -> FileRecord:
        """Put the bytes of a finished upload into a draft under ``path``."""
        body = {"path": checked_path(path), "upload": upload}
        return cast("FileRecord", self._api.post(self.route(ref, "files"), body))

    def inspection(self, ref: str, path: str) -> FileInspection:
        """What was found in a file: facts and findings."""
        return cast("FileInspection", self._api.get(self.route(ref, "inspection", checked_path(path))))

    def fact_table(self, ref: str, path: str, table: str, *, limit: int = 50, cursor: str | None = None) -> FactTable:
        """A page of a table of a file's facts: ``layers`` or ``weights``."""
        query = {"limit": limit, "cursor": cursor}
        return cast("FactTable", self._api.get(self.route(ref, "tables", table, checked_path(path)), query))

    def add_artifact(self, ref: str, description: BaseModel | Mapping[str, Any]) -> dict[str, Any]:
        """Declare an artifact (``ArtifactDescription``) whose files are in the draft already."""
        return cast("dict[str, Any]", self._api.post(self.route(ref, "artifacts"), _plain(description)))

    def add_parent(
        self,
        ref: str,
        role: str,
        *,
        parent: str | None = None,
        external_uri: str | None = None,
        weight: float | None = None,
    ) -> Parent:
        """Add a lineage edge from a draft to ``parent`` (``team/name@3``) or to something kept elsewhere."""
        fields = {"role": role, "parent": parent, "external_uri": external_uri, "weight": weight}
        body = {key: value for key, value in fields.items() if value is not None}
        return cast("Parent", self._api.post(self.route(ref, "lineage"), body))

    def add_strategy(self, ref: str, steps: Sequence[Mapping[str, Any]]) -> Any:
        """Add steps ``{kind, method, parameters}`` to a draft's strategy."""
        return self._api.post(self.route(ref, "strategy"), {"steps": [dict(step) for step in steps]})

    def lineage(self, ref: str, *, depth: int | None = None) -> Lineage:
        """Ancestors and descendants."""
        return cast("Lineage", self._api.get(self.route(ref, "lineage"), {"depth": depth}))

    def attestations(self, ref: str, *, chain: bool = False) -> Attestations:
        """The version's signature and provenance; with ``chain`` also the provenance of its ancestors."""
        found = self._api.get(
            self.route(ref, "attestations"), {"chain": "true" if chain else None}, patience=ATTESTING_SECONDS
        )
        return cast("Attestations", found)

    def provenance(self, ref: str) -> dict[str, Any]:
        """The whole story: the version, its ancestors, the jobs between them, and who decided what."""
        return cast("dict[str, Any]", self._api.get(self.route(ref, "provenance")))

    def origin(self, ref: str) -> dict[str, Any] | None:
        """Where an imported version comes from; None for one that was made there, or if the registry cannot say."""
        try:
            return cast("dict[str, Any] | None", self._api.get(self.route(ref, "origin"))["origin"])
        except NotFound:  # a registry from before bundles
            return None

    def bom(self, ref: str, bom_format: str = "cyclonedx") -> dict[str, Any]:
        """The bill of materials: ``cyclonedx`` (1.6 ML-BOM) or ``spdx`` (3.0.1 with the AI profile)."""
        return cast("dict[str, Any]", self._api.get(self.route(ref, "bom"), {"format": bom_format}))

    def attest(self, ref: str) -> Attestations:
        """Have the registry sign what the version lacks now, with its present key."""
        return cast("Attestations", self._api.post(self.route(ref, "attestations"), patience=ATTESTING_SECONDS))

    def metrics(self, ref: str) -> Metrics:
        """All metrics of the version."""
        return cast("Metrics", list(self._api.pages(self.route(ref, "metrics"))))

    def report_metric(self, ref: str, name: str, value: float, **fields: Any) -> Metric:
        """Add a ``reported`` metric; ``fields``: dataset, split, artifact, runtime, device, details."""
        return cast("Metric", self._api.post(self.route(ref, "metrics"), {"name": name, "value": value, **fields}))

    def reports(self, ref: str, **filters: Any) -> Page:
        """One page of what jobs found that is more than a number; ``filters``: kind, limit, cursor."""
        return cast("Page", self._api.get(self.route(ref, "reports"), filters))

    def iterate_reports(self, ref: str, **filters: Any) -> Iterator[dict[str, Any]]:
        """All of them, page after page."""
        return self._api.pages(self.route(ref, "reports"), filters)

    def report(self, ref: str, report: str) -> dict[str, Any]:
        """One report with its content."""
        return cast("dict[str, Any]", self._api.get(self.route(ref, "reports", report)))

    def compare(self, refs: Sequence[str], **filters: Any) -> dict[str, Any]:
        """Several versions side by side; ``filters``: metric, dataset, split, fingerprint, batch, threads."""
        return cast("dict[str, Any]", self._api.get("compare", {"version": [*refs], **filters}))

    def seal(self, ref: str, comment: str = "") -> Version:
        """``draft -> candidate``: from now on immutable."""
        return self._move(ref, "seal", comment)

    def approve(self, ref: str, comment: str = "") -> Version:
        """``candidate -> approved``."""
        return self._move(ref, "approve", comment)

    def deprecate(self, ref: str, comment: str = "") -> Version:
        """``approved -> deprecated``."""
        return self._move(ref, "deprecate", comment)

    def withdraw(self, ref: str, comment: str = "") -> Version:
        """Take it back: its files answer 410, its history stays."""
        return self._move(ref, "withdraw", comment)

    def _move(self, ref: str, action: str, comment: str) -> Version:
        return cast("Version", self._api.post(self.route(ref, action), {"comment": comment} if comment else {}))


class Aliases:
    """``client.models.aliases``: moving pointers to versions."""

    def __init__(self, api: Api, repositories: Repositories) -> None:
        self._api = api
        self.kind = repositories.kind

    def list(self, name: str) -> Any:
        """The aliases of ``team/name``."""
        return self._api.get(path_of(self.kind, *repository_name(name), "aliases"))

    def set(self, name: str, alias: str, version: int) -> Any:
        """Point ``alias`` of ``team/name`` to a version number."""
        path = path_of(self.kind, *repository_name(name), "aliases", alias.removeprefix("@"))
        return self._api.send("PUT", path, body={"version": version})

    def remove(self, name: str, alias: str) -> None:
        """Take an alias away; its history stays."""
        self._api.send("DELETE", path_of(self.kind, *repository_name(name), "aliases", alias.removeprefix("@")))

    def history(self, name: str, alias: str) -> Any:
        """The moves of an alias, newest first."""
        return self._api.get(path_of(self.kind, *repository_name(name), "aliases", alias.removeprefix("@"), "history"))
