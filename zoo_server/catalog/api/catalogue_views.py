"""Routes of catalogues: which ones there are, importing them, mirroring their files."""

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from zoo_sdk.vocabulary import Scope
from zoo_server.accounts.permissions import team_for
from zoo_server.catalog import selectors, services
from zoo_server.catalog.api import answers, presentation
from zoo_server.catalog.api.bodies import parsed
from zoo_server.catalog.api.catalogue_bodies import (
    CatalogueImport,
    FetchReport,
    FetchRequest,
    ImportedRowBody,
    ImportReport,
    KnownCatalogue,
    KnownCatalogues,
    RemoteFileBody,
    RemoteFileError,
    RemoteFileQuery,
)
from zoo_server.catalog.api.routes import CatalogView, answer
from zoo_server.catalog.catalogues.reading import known_catalogue, known_catalogues, read_catalogue
from zoo_server.catalog.models import VersionFile
from zoo_server.catalog.services.importing import CHANGED, CREATED, UNCHANGED
from zoo_server.rest.principals import principal_of
from zoo_server.rest.serializers import validated


class CatalogueList(CatalogView):
    """The catalogues that the server has."""

    operations = {"GET": "list_catalogues"}

    @extend_schema(responses=KnownCatalogues)
    def get(self, request: Request) -> Response:
        """List them by name."""
        found = [known_catalogue(name) for name in known_catalogues()]
        results = [
            KnownCatalogue(
                name=item.name,
                title=item.title,
                summary=item.summary,
                models=len(item.models),
                versions=sum(1 for _ in item.rows()),
            )
            for item in found
        ]
        return answer(KnownCatalogues(results=results))


class CatalogueImportView(CatalogView):
    """Versions from a catalogue."""

    scopes = {"POST": Scope.WRITE}
    operations = {"POST": "import_catalogue"}

    @extend_schema(request=CatalogueImport, responses=ImportReport)
    def post(self, request: Request) -> Response:
        """Make every row a version of the team, in one transaction; a row that has not changed is left alone."""
        body, principal = parsed(CatalogueImport, request.data), principal_of(request)
        team = team_for(principal=principal, name=body.team, scope=Scope.WRITE)
        if body.name is not None:
            catalogue = known_catalogue(body.name)
        else:
            catalogue = read_catalogue(body.catalogue or "", file=body.file)
        rows = services.import_catalogue(principal=principal, team=team, catalogue=catalogue, prefix=body.prefix)
        counts = {outcome: sum(row.outcome == outcome for row in rows) for outcome in (CREATED, CHANGED, UNCHANGED)}
        shown = [
            ImportedRowBody.model_validate({"key": row.key, "outcome": row.outcome, "reference": str(row.version)})
            for row in rows
        ]
        return answer(ImportReport(catalogue=catalogue.name, team=team.name, rows=shown, **counts))


class FetchView(CatalogView):
    """Mirroring of remote files."""

    scopes = {"POST": Scope.WRITE}
    operations = {"POST": "fetch_remote_files"}

    @extend_schema(request=FetchRequest, responses={202: FetchReport})
    def post(self, request: Request) -> Response:
        """Have files fetched in the background; ask `GET catalogues/files` how far they are."""
        body, principal = parsed(FetchRequest, request.data), principal_of(request)
        team = team_for(principal=principal, name=body.team, scope=Scope.WRITE)
        files = services.request_mirrors(principal=principal, team=team, models=body.models, catalogue=body.catalogue)
        queued = sum(file.blob_id is None for file in files)
        return answer(FetchReport(queued=queued, mirrored=len(files) - queued), 202)


class RemoteFileList(CatalogView):
    """Remote files."""

    operations = {"GET": "list_remote_files"}

    @extend_schema(parameters=[RemoteFileQuery], responses=answers.page_of(RemoteFileBody))
    def get(self, request: Request) -> Response:
        """List them with their addresses, and how far their fetching is."""
        query = validated(RemoteFileQuery, request.query_params)
        page = selectors.list_remote_files(principal=principal_of(request), **query)
        return Response(presentation.page_answer(page, describe_remote_file))


def describe_remote_file(file: VersionFile) -> RemoteFileBody:
    """A row of :func:`zoo_server.catalog.selectors.list_remote_files`."""
    mirror = getattr(file, "mirror", None)
    told = presentation.describe_file(file)
    error = RemoteFileError(code=mirror.error_code, message=mirror.error) if mirror and mirror.error else None
    return RemoteFileBody(
        reference=str(file.version),
        path=file.path,
        address=file.address,
        mirrored=told.mirrored,
        state=mirror.state if mirror else None,
        done=told.mirror.done if told.mirror else told.size or 0 if told.mirrored else 0,
        total=told.mirror.total if told.mirror else told.size,
        sha256=told.sha256,
        error=error,
    )
