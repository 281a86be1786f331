"""Routes of bundles: what is told of a version that leaves, where one came from, and taking in a bundle."""

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from zoo_sdk.vocabulary import Scope
from zoo_server.accounts.permissions import team_for
from zoo_server.catalog.api.bodies import parsed
from zoo_server.catalog.api.routes import CatalogView, KindView, answer
from zoo_server.provenance.api.bundle_bodies import (
    BundleImport,
    BundleReport,
    BundleRow,
    OriginAnswer,
    OriginReport,
    RecordAnswer,
    TrustedKeyAnswer,
    TrustedKeysAnswer,
)
from zoo_server.provenance.bundles.importing import import_bundle
from zoo_server.provenance.bundles.planning import Plan, Planned
from zoo_server.provenance.bundles.records import origin_of, record_of
from zoo_server.provenance.models import TrustedKey
from zoo_server.provenance.services.trusted_keys import believed_keys
from zoo_server.rest.principals import principal_of


class VersionRecord(KindView):
    """A version for a bundle."""

    scopes = {"GET": Scope.READ}
    operations = {"GET": "record"}

    @extend_schema(responses=RecordAnswer)
    def get(self, request: Request, **_: str) -> Response:
        """Everything that is known of it: manifest, parents, metrics, decisions, and its model's description."""
        version = self.version()
        record = record_of(principal=principal_of(request), version=version)
        return answer(RecordAnswer(record=record, card=version.repository.card))


class VersionOrigin(KindView):
    """Where a version came from."""

    scopes = {"GET": Scope.READ}
    operations = {"GET": "origin"}

    @extend_schema(responses=OriginReport)
    def get(self, request: Request, **_: str) -> Response:
        """The registry that it was imported from, its reference and id there, and who vouched for it."""
        version = self.version()
        found = origin_of(version)
        origin = OriginAnswer.model_validate(found) if found else None
        return answer(OriginReport(reference=str(version), origin=origin))


class TrustedKeyList(CatalogView):
    """Keys that are believed about versions in bundles."""

    scopes = {"GET": Scope.READ}
    operations = {"GET": "trusted_keys"}

    @extend_schema(responses=TrustedKeysAnswer)
    def get(self, request: Request) -> Response:
        """This registry's own keys, and those of other registries that its operators trust."""
        names = dict(TrustedKey.objects.values_list("id", "name"))
        keys = sorted(believed_keys().items())
        results = [TrustedKeyAnswer(id=key, name=names.get(key, "here"), public_key=pem) for key, pem in keys]
        return answer(TrustedKeysAnswer(results=results))


class BundleImportView(CatalogView):
    """Versions from another registry."""

    scopes = {"POST": Scope.WRITE}
    operations = {"POST": "import_bundle"}

    @extend_schema(request=BundleImport, responses=BundleReport)
    def post(self, request: Request) -> Response:
        """Check everything that the bundle says, then make its versions in one transaction; what is here stays."""
        body, principal = parsed(BundleImport, request.data), principal_of(request)
        team = team_for(principal=principal, name=body.team, scope=Scope.WRITE)
        bundle, plan = import_bundle(
            principal=principal,
            team=team,
            index=body.index,
            name=body.name,
            keys=body.keys,
            unsigned=body.unsigned,
            dry_run=body.dry_run,
        )
        return answer(
            BundleReport(
                team=team.name,
                registry=bundle.index.registry,
                format=bundle.format,
                ignored=bundle.ignored,
                missing=plan.missing if body.dry_run else [],
                versions=[_row(plan, row) for row in plan.rows],
            )
        )


def _row(plan: Plan, row: Planned) -> BundleRow:
    return BundleRow(
        id=row.entry.id,
        origin=row.entry.reference,
        reference=str(row.version) if row.version else None,
        model=str(row.version.repository) if row.version else f"{plan.team.name}/{row.name}",
        outcome=row.outcome.value,
        key=row.verdict.key,
    )
