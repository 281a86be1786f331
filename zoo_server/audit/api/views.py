"""Routes of the audit log."""

from collections.abc import Callable

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from zoo_sdk.errors import PermissionDenied
from zoo_sdk.vocabulary import Scope
from zoo_server.audit.api.serializers import (
    AuditEventSerializer,
    EventQuery,
    VerificationQuery,
    VerificationSerializer,
    event_filter,
    noted_links,
    verification_answer,
)
from zoo_server.audit.selectors import event_page, verify_chain
from zoo_server.rest.principals import Principal, principal_of
from zoo_server.rest.schema import page_of
from zoo_server.rest.serializers import validated

TeamsWithScope = Callable[[Principal, Scope], list[str] | None]
"""The names of the teams in which a caller holds a scope; None means all of them."""


class AuditView(APIView):
    """A route for superusers and for the auditors of teams.

    Who is an auditor where is known to ``accounts``, which lies above this app: the URL map hands the answer in.
    """

    scopes = {"GET": Scope.AUDIT}
    teams_with_scope: TeamsWithScope | None = None

    def audited_teams(self, request: Request) -> list[str] | None:
        """The teams whose events the caller may see; None means all, also the server's own."""
        teams = self.teams_with_scope(principal_of(request), Scope.AUDIT) if self.teams_with_scope else []
        if teams == []:
            raise PermissionDenied(
                "You are not an auditor of any team.", hint="Ask an admin of the team for the role `auditor`."
            )
        return teams


class EventList(AuditView):
    """Who did what, newest first."""

    @extend_schema(operation_id="audit_events", parameters=[EventQuery], responses=page_of(AuditEventSerializer))
    def get(self, request: Request) -> Response:
        query = validated(EventQuery, request.query_params)
        wanted = event_filter(query, self.audited_teams(request))
        page = event_page(wanted=wanted, cursor=query["cursor"], limit=query["limit"])
        return Response(page.answer(lambda event: AuditEventSerializer(event).data))


class ChainVerification(AuditView):
    """Recomputes the whole chain and names the first row that was tampered with."""

    @extend_schema(operation_id="audit_verification", parameters=[VerificationQuery], responses=VerificationSerializer)
    def get(self, request: Request) -> Response:
        self.audited_teams(request)
        query = validated(VerificationQuery, request.query_params)
        return Response(verification_answer(verify_chain(checkpoints=noted_links(query))))
