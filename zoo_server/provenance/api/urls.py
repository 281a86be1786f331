"""Routes of this app below /api/v1: the same below ``models`` and below ``datasets``."""

from django.urls import path

from zoo_sdk.vocabulary import RepositoryKind
from zoo_server.accounts.permissions import teams_with_scope
from zoo_server.catalog.api.routes import KindView
from zoo_server.provenance.api import bundle_views, views

VERSION = "<str:team>/<str:name>/versions/<str:ref>"
ROUTES: tuple[tuple[str, type[KindView]], ...] = (
    ("attestations", views.Attestations),
    ("provenance", views.Provenance),
    ("bom", views.BillOfMaterials),
    ("record", bundle_views.VersionRecord),
    ("origin", bundle_views.VersionOrigin),
)

urlpatterns = [
    path(
        "audit/checkpoint",
        views.AuditCheckpoint.as_view(teams_with_scope=teams_with_scope),
        name="audit-checkpoint",
    ),
    path("keys", views.SigningKeys.as_view(), name="signing-keys"),
    path("keys/trusted", bundle_views.TrustedKeyList.as_view(), name="trusted-keys"),
    path("bundles/import", bundle_views.BundleImportView.as_view(), name="bundle-import"),
    *(
        path(f"{kind.value}s/{VERSION}/{tail}", view.as_view(kind=kind), name=f"{kind.value}s-{tail}")
        for kind in RepositoryKind
        for tail, view in ROUTES
    ),
]
