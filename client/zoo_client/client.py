"""The client: one registry, one token, and a namespace for each kind of thing."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import httpx

from zoo_client.accounts import Accounts, Services, Teams, Tokens, Users, WebSessions
from zoo_client.api import Api
from zoo_client.audit import Audit
from zoo_client.catalogues import Catalogues
from zoo_client.conversions import Conversions
from zoo_client.credentials import cache_folder, resolve
from zoo_client.errors import Gone
from zoo_client.jobs import Jobs, Operations, Workers
from zoo_client.pipelines import Pipelines, Recipes
from zoo_client.pulling import Pulled, default_folder, pull_version
from zoo_client.records import Kind, SigningKey, Version
from zoo_client.repositories import Repositories, Versions
from zoo_client.team_storage import TeamStorage
from zoo_client.transfer.digests import Progress, ignore_progress
from zoo_client.transfer.downloads import CONNECTIONS
from zoo_client.transfer.journal import UploadJournal
from zoo_client.transfer.uploads import Uploader
from zoo_client.transfer.wire import Wire
from zoo_client.webhooks import Webhooks
from zoo_sdk.errors import NotFound
from zoo_sdk.names import Reference

if TYPE_CHECKING:
    from zoo_client.trust.store import TrustChange


class Client:
    """Everything that a registry offers.  Use it as a context manager, or call :meth:`close`.

    Args:
        url: the registry's address; default: as for the command (``ZOO_URL``, then ``zoo login``'s file).
        token: a token; default: ``ZOO_TOKEN``, then the one kept for this address.
        timeout: seconds without an answer after which a request counts as broken.
        transport: where requests go instead of the network (a test's seam; bodies of files still use the network).

    """

    def __init__(
        self,
        url: str | None = None,
        token: str | None = None,
        *,
        timeout: float = 30,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        settings = resolve(url, token)
        self.api = Api(settings.url, settings.token, timeout=timeout, transport=transport)
        self.wire = Wire(self.api.url, settings.token, timeout=timeout)
        self.models = Repositories(self.api, "models")
        self.datasets = Repositories(self.api, "datasets")
        self.operations = Operations(self.api)
        self.jobs = Jobs(self.api)
        self.workers = Workers(self.api)
        self.recipes = Recipes(self.api)
        self.pipelines = Pipelines(self.api)
        self.conversions = Conversions(self.api)
        self.audit = Audit(self.api)
        self.catalogues = Catalogues(self.api)
        self.accounts = Accounts(self.api)
        self.teams = Teams(self.api)
        self.team_storage = TeamStorage(self.api)
        self.tokens = Tokens(self.api)
        self.services = Services(self.api)
        self.sessions = WebSessions(self.api)
        self.users = Users(self.api)
        self.webhooks = Webhooks(self.api)

    def close(self) -> None:
        """Give back the connections."""
        self.api.close()
        self.wire.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def info(self) -> Mapping[str, Any]:
        """What the registry says about itself: name, version, API version, MLflow's address."""
        answer: Mapping[str, Any] = self.api.get("")
        return answer

    def keys(self) -> list[SigningKey]:
        """The public keys that the registry ever signed with, newest first."""
        answer: list[SigningKey] = self.api.get("keys")["results"]
        return answer

    def repositories(self, kind: Kind) -> Repositories:
        """``models`` or ``datasets`` by name."""
        return self.models if kind == "models" else self.datasets

    def find(self, ref: str, kind: Kind | None = None) -> tuple[Versions, Version]:
        """A version of either kind, and the namespace that it is in; a model before a data set of the same name."""
        kinds: tuple[Kind, ...] = (kind,) if kind else ("models", "datasets")
        text = str(Reference.parse(ref).model_copy(update={"path": None}))
        for candidate in kinds:
            versions = self.repositories(candidate).versions
            try:
                return versions, versions.show(text)
            except Gone:
                raise
            except NotFound as error:
                missing = error
        raise NotFound(
            f"There is no version {text}, or you may not see it.",
            hint="`zoo models list` and `zoo versions list TEAM/NAME` show what there is, `zoo whoami` who you are.",
        ) from missing

    def pull(
        self,
        ref: str,
        folder: str | os.PathLike[str] | None = None,
        *,
        kind: Kind | None = None,
        connections: int = CONNECTIONS,
        progress: Progress = ignore_progress,
        on_found: Callable[[Version], None] | None = None,
        on_trust: "Callable[[TrustChange], None] | None" = None,
    ) -> Pulled:
        """Fetch a version into a folder (default ``<name>-<number>``); with ``team/name@3#path`` one artifact of it.

        What proves the version goes beside it, into ``zoo-provenance``.  The errors are those of
        :func:`zoo_client.pulling.pull_version`.
        """
        versions, version = self.find(ref, kind)
        if on_found:
            on_found(version)
        exact = version["reference"]
        pulled = pull_version(
            self.wire,
            version,
            Path(folder) if folder is not None else default_folder(exact, version),
            address_of=lambda path: self.wire.address_of(versions.route(exact, "files", path)),
            only=Reference.parse(ref).path,
            connections=connections,
            progress=progress,
        )
        self._keep_proof(versions, exact, pulled.folder, on_trust)
        return pulled

    def _keep_proof(
        self, versions: Versions, ref: str, folder: Path, on_trust: "Callable[[TrustChange], None] | None"
    ) -> None:
        """Write what proves the version beside it, and learn the registry's keys."""
        from zoo_client.trust.material import write_material
        from zoo_client.trust.store import TrustStore

        try:
            found = versions.attestations(ref, chain=True)
        except NotFound:  # a registry from before attestations
            return
        write_material(folder, found)
        try:
            change = TrustStore().follow(self.api.url, found["keys"])
        except OSError:  # a home that cannot be written: the files are good all the same, and `zoo verify --key` works
            return
        if on_trust:
            on_trust(change)

    def uploader(self, team: str) -> Uploader:
        """Where uploads for a team go, with the journal of unfinished ones in the user's cache folder."""
        journal = UploadJournal(cache_folder(os.environ) / "uploads")
        return Uploader(self.api, self.wire, journal, {"team": team})
