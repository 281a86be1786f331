"""Routes of this app below /api/v1."""

from django.urls import URLPattern, path

from zoo_server.audit.api.views import ChainVerification, EventList, TeamsWithScope


def audit_routes(teams_with_scope: TeamsWithScope) -> list[URLPattern]:
    """The routes, given the function that says in which teams a caller may audit."""
    return [
        path("audit/events", EventList.as_view(teams_with_scope=teams_with_scope), name="audit-events"),
        path(
            "audit/verification",
            ChainVerification.as_view(teams_with_scope=teams_with_scope),
            name="audit-verification",
        ),
    ]
