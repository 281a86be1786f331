"""Routes of service accounts and of the sessions of browsers."""

from typing import Any
from uuid import UUID

from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from zoo_sdk.names import NAME_PATTERN
from zoo_sdk.vocabulary import Scope, TeamRole
from zoo_server.accounts import service_accounts, sessions
from zoo_server.accounts.api import serializers as forms
from zoo_server.accounts.api.views import signed_in
from zoo_server.accounts.models import Membership, Token, WebSession
from zoo_server.accounts.permissions import require_superuser, team_for
from zoo_server.rest.choices import choices_of
from zoo_server.rest.pagination import Order, keyset_page
from zoo_server.rest.principals import principal_of
from zoo_server.rest.schema import page_of
from zoo_server.rest.serializers import PageQuery, StrictSerializer, validated

SERVICE_TOKEN_DAYS = 90
"""Life of a service account's token that does not say another: unlike a person's, it always ends."""


class NewServiceSerializer(StrictSerializer):
    """``POST teams/{team}/services``."""

    name = serializers.RegexField(NAME_PATTERN, max_length=50)
    role = serializers.ChoiceField(choices_of(TeamRole))


class ServiceSerializer(serializers.ModelSerializer[Membership]):
    """A service account.  ``name`` is its own, ``username`` what records of its deeds say."""

    name = serializers.SerializerMethodField()
    username = serializers.CharField(source="user.username", read_only=True)

    class Meta:
        model = Membership
        fields = ("name", "username", "role", "created_at")
        read_only_fields = fields

    def get_name(self, service: Membership) -> str:
        return service.user.username.partition("@")[0]


class NewServiceTokenSerializer(StrictSerializer):
    """``POST teams/{team}/services/{name}/tokens``."""

    name = serializers.CharField(max_length=100)
    scopes = forms.ScopeListField(min_length=1, max_length=len(Scope))
    expires_in_days = serializers.IntegerField(
        min_value=1, max_value=forms.LONGEST_LIFE_DAYS, required=False, default=SERVICE_TOKEN_DAYS
    )


class WebSessionSerializer(serializers.ModelSerializer[WebSession]):
    """A signed-in browser; ``last_used_at`` to the minute."""

    username = serializers.CharField(source="user.username", read_only=True)

    class Meta:
        model = WebSession
        fields = ("id", "username", "created_at", "last_used_at", "address", "agent")
        read_only_fields = fields


class ServiceList(APIView):
    """The service accounts of a team."""

    scopes = {"GET": Scope.READ, "POST": Scope.ADMIN}

    @extend_schema(operation_id="list_services", parameters=[PageQuery], responses=page_of(ServiceSerializer))
    def get(self, request: Request, team: str) -> Response:
        found = team_for(principal=principal_of(request), name=team, scope=Scope.READ)
        rows = Membership.objects.filter(team=found, user__home=found).select_related("user")
        page = keyset_page(rows, [Order("user__username")], **validated(PageQuery, request.query_params))
        return Response(page.answer(lambda service: ServiceSerializer(service).data))

    @extend_schema(operation_id="create_service", request=NewServiceSerializer, responses={201: ServiceSerializer})
    def post(self, request: Request, team: str) -> Response:
        principal = principal_of(request)
        found = team_for(principal=principal, name=team, scope=Scope.ADMIN)
        wanted = validated(NewServiceSerializer, request.data)
        made = service_accounts.create_service(
            principal=principal, team=found, name=wanted["name"], role=TeamRole(wanted["role"])
        )
        return Response(ServiceSerializer(made).data, status=status.HTTP_201_CREATED)


class ServiceDetail(APIView):
    """One service account."""

    scopes = {"DELETE": Scope.ADMIN}

    @extend_schema(operation_id="delete_service", responses={204: None})
    def delete(self, request: Request, team: str, name: str) -> Response:
        principal = principal_of(request)
        found = team_for(principal=principal, name=team, scope=Scope.ADMIN)
        service = service_accounts.service_for(team=found, name=name)
        service_accounts.delete_service(principal=principal, service=service)
        return Response(status=status.HTTP_204_NO_CONTENT)


class ServiceTokenList(APIView):
    """The tokens of a service account."""

    scopes = {"GET": Scope.ADMIN, "POST": Scope.ADMIN}

    @extend_schema(operation_id="list_service_tokens", parameters=[PageQuery], responses=forms.TokenPage)
    def get(self, request: Request, team: str, name: str) -> Response:
        found = team_for(principal=principal_of(request), name=team, scope=Scope.ADMIN)
        service = service_accounts.service_for(team=found, name=name)
        rows = Token.objects.filter(user_id=service.user_id, revoked_at=None).select_related("user")
        page = keyset_page(rows, [Order("id")], **validated(PageQuery, request.query_params))
        return Response(page.answer(lambda token: forms.TokenSerializer(token).data))

    @extend_schema(
        operation_id="create_service_token",
        request=NewServiceTokenSerializer,
        responses={201: forms.IssuedTokenSerializer},
    )
    def post(self, request: Request, team: str, name: str) -> Response:
        principal = principal_of(request)
        found = team_for(principal=principal, name=team, scope=Scope.ADMIN)
        service = service_accounts.service_for(team=found, name=name)
        values: dict[str, Any] = validated(NewServiceTokenSerializer, request.data)
        made = service_accounts.create_service_token(principal=principal, service=service, **values)
        return Response(forms.issued_token(*made), status=status.HTTP_201_CREATED)


class WebSessionList(APIView):
    """The browsers in which one is signed in."""

    scopes = {"GET": Scope.READ}

    @extend_schema(
        operation_id="list_sessions", parameters=[forms.UserPageQuery], responses=page_of(WebSessionSerializer)
    )
    def get(self, request: Request) -> Response:
        principal = signed_in(request)
        query = validated(forms.UserPageQuery, request.query_params)
        username = query.pop("user", None)
        if username is not None:
            require_superuser(principal)
        whose = {"user__username": username} if username is not None else {"user_id": principal.user_id}
        page = keyset_page(sessions.live_sessions().filter(**whose), [Order("id")], **query)
        return Response(page.answer(lambda session: WebSessionSerializer(session).data))


class WebSessionDetail(APIView):
    """Sign a browser out."""

    scopes = {"DELETE": Scope.READ}

    @extend_schema(operation_id="end_session", responses={204: None})
    def delete(self, request: Request, session_id: UUID) -> Response:
        principal = signed_in(request)
        sessions.end_session(
            principal=principal, session=sessions.session_for(principal=principal, session_id=session_id)
        )
        return Response(status=status.HTTP_204_NO_CONTENT)
