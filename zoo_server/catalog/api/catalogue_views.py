"""Routes of catalogues: which ones there are, importing them."""

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from zoo_sdk.vocabulary import Scope
from zoo_server.accounts.selectors import team_for
from zoo_server.catalog import services
from zoo_server.catalog.api.bodies import parsed
from zoo_server.catalog.api.catalogue_bodies import (
    CatalogueImport,
    ImportedRowBody,
    ImportReport,
    KnownCatalogue,
    KnownCatalogues,
)
from zoo_server.catalog.api.routes import CatalogView, answer
from zoo_server.catalog.catalogues.reading import known_catalogue, known_catalogues, read_catalogue
from zoo_server.catalog.services.importing import CHANGED, CREATED, UNCHANGED
from zoo_server.rest.principals import principal_of


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
