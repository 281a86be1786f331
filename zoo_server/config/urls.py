"""The URL map: the API below ``/api/v1``, the admin, the API's documentation, health checks, and pages for people."""

from django.contrib import admin
from django.urls import include, path

from zoo_server.accounts.permissions import teams_with_scope
from zoo_server.audit.api.urls import audit_routes
from zoo_server.config.views import Documentation, Health, OpenApiDocument, Readiness, ServiceRoot

API_APPS = ("accounts", "artifacts", "catalog", "jobs", "pipelines", "provenance", "webhooks")

admin.site.site_header = admin.site.site_title = "Zoo"
admin.site.index_title = "Registry"

urlpatterns = [
    path("healthz", Health.as_view(), name="healthz"),
    path("readyz", Readiness.as_view(), name="readyz"),
    path("api/schema", OpenApiDocument.as_view(), name="schema"),
    path("api/docs", Documentation.as_view(url_name="schema"), name="docs"),
    path("api/v1/", ServiceRoot.as_view(), name="api-root"),
    path("api/v1/", include(audit_routes(teams_with_scope))),
    *(path("api/v1/", include(f"zoo_server.{app}.api.urls")) for app in API_APPS),
    path("admin/", admin.site.urls),
    path("", include("zoo_server.web.urls")),
]
handler404 = "zoo_server.config.views.page_not_found"
handler500 = "zoo_server.config.views.server_error"
