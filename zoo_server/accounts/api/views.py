"""Routes of accounts: signing in, oneself, teams and their members, tokens, users."""

from uuid import UUID

from drf_spectacular.utils import extend_schema
from rest_framework import status
from rest_framework.exceptions import NotAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from zoo_sdk.vocabulary import Scope, TeamRole
from zoo_server.accounts import permissions, selectors, services
from zoo_server.accounts.api import serializers as forms
from zoo_server.accounts.models import Membership, Token, User
from zoo_server.rest.pagination import Order, keyset_page
from zoo_server.rest.permissions import PUBLIC
from zoo_server.rest.principals import Principal, principal_of
from zoo_server.rest.schema import page_of
from zoo_server.rest.serializers import PageQuery, validated

TEAM_SCOPES = {"GET": Scope.READ, "POST": Scope.ADMIN, "PATCH": Scope.ADMIN, "PUT": Scope.ADMIN, "DELETE": Scope.ADMIN}


class Login(APIView):
    """Exchange a user name and password for a token."""

    scopes = {"POST": PUBLIC}
    authentication_classes = ()

    @extend_schema(operation_id="login", request=forms.LoginSerializer, responses={201: forms.IssuedTokenSerializer})
    def post(self, request: Request) -> Response:
        values = validated(forms.LoginSerializer, request.data)
        credentials = values.pop("username"), values.pop("password")
        made = services.log_in(principal=principal_of(request), credentials=credentials, **values)
        return Response(forms.issued_token(*made), status=status.HTTP_201_CREATED)


class Whoami(APIView):
    """Who the caller is, and what it may do."""

    scopes = {"GET": (Scope.READ, Scope.WORKER)}

    @extend_schema(operation_id="whoami", responses=forms.WhoamiSerializer)
    def get(self, request: Request) -> Response:
        principal = signed_in(request)
        answer = {
            "username": principal.name,
            "scopes": sorted(principal.scopes),
            "is_superuser": principal.is_superuser,
            "teams": selectors.memberships_of(principal=principal),
            "token": Token.objects.select_related("user").filter(pk=principal.token_id).first()
            if principal.token_id
            else None,
        }
        return Response(forms.WhoamiSerializer(answer).data)


class TeamList(APIView):
    """The caller's teams; superusers see and make all."""

    scopes = TEAM_SCOPES

    @extend_schema(operation_id="list_teams", parameters=[PageQuery], responses=page_of(forms.TeamSerializer))
    def get(self, request: Request) -> Response:
        rows = permissions.visible_teams(principal=principal_of(request))
        page = keyset_page(rows, [Order("name")], **validated(PageQuery, request.query_params))
        return Response(page.answer(lambda team: forms.TeamSerializer(team).data))

    @extend_schema(operation_id="create_team", request=forms.NewTeamSerializer, responses={201: forms.TeamSerializer})
    def post(self, request: Request) -> Response:
        wanted = validated(forms.NewTeamSerializer, request.data)
        team = services.create_team(principal=principal_of(request), **wanted)
        return Response(forms.TeamSerializer(team).data, status=status.HTTP_201_CREATED)


class TeamDetail(APIView):
    """One team."""

    scopes = TEAM_SCOPES

    @extend_schema(operation_id="get_team", responses=forms.TeamSerializer)
    def get(self, request: Request, team: str) -> Response:
        found = permissions.team_for(principal=principal_of(request), name=team, scope=Scope.READ)
        return Response(forms.TeamSerializer(found).data)

    @extend_schema(operation_id="update_team", request=forms.TeamChangeSerializer, responses=forms.TeamSerializer)
    def patch(self, request: Request, team: str) -> Response:
        principal = principal_of(request)
        found = permissions.team_for(principal=principal, name=team, scope=Scope.ADMIN)
        change = validated(forms.TeamChangeSerializer, request.data)
        return Response(forms.TeamSerializer(services.update_team(principal=principal, team=found, **change)).data)


class MemberList(APIView):
    """The members of a team."""

    scopes = TEAM_SCOPES

    @extend_schema(operation_id="list_members", parameters=[PageQuery], responses=page_of(forms.MemberSerializer))
    def get(self, request: Request, team: str) -> Response:
        found = permissions.team_for(principal=principal_of(request), name=team, scope=Scope.READ)
        rows = Membership.objects.filter(team=found).select_related("user")
        page = keyset_page(rows, [Order("user__username")], **validated(PageQuery, request.query_params))
        return Response(page.answer(lambda member: forms.MemberSerializer(member).data))


class MemberDetail(APIView):
    """One member's role."""

    scopes = TEAM_SCOPES

    @extend_schema(operation_id="set_member", request=forms.RoleSerializer, responses=forms.MemberSerializer)
    def put(self, request: Request, team: str, username: str) -> Response:
        principal = principal_of(request)
        found = permissions.team_for(principal=principal, name=team, scope=Scope.ADMIN)
        role = TeamRole(validated(forms.RoleSerializer, request.data)["role"])
        member = services.set_member(principal=principal, team=found, username=username, role=role)
        return Response(forms.MemberSerializer(member).data)

    @extend_schema(operation_id="remove_member", responses={204: None})
    def delete(self, request: Request, team: str, username: str) -> Response:
        principal = principal_of(request)
        found = permissions.team_for(principal=principal, name=team, scope=Scope.ADMIN)
        services.remove_member(principal=principal, team=found, username=username)
        return Response(status=status.HTTP_204_NO_CONTENT)


class TokenList(APIView):
    """One's own tokens; for superusers those of anybody."""

    scopes = {"GET": Scope.READ, "POST": Scope.READ}

    @extend_schema(operation_id="list_tokens", parameters=[forms.UserPageQuery], responses=forms.TokenPage)
    def get(self, request: Request) -> Response:
        query = validated(forms.UserPageQuery, request.query_params)
        rows = selectors.live_tokens(principal=signed_in(request), username=query.pop("user", None))
        page = keyset_page(rows, [Order("id")], **query)
        return Response(page.answer(lambda token: forms.TokenSerializer(token).data))

    @extend_schema(
        operation_id="create_token", request=forms.NewTokenSerializer, responses={201: forms.IssuedTokenSerializer}
    )
    def post(self, request: Request) -> Response:
        principal = signed_in(request)
        made = services.create_token(principal=principal, **validated(forms.NewTokenSerializer, request.data))
        return Response(forms.issued_token(*made), status=status.HTTP_201_CREATED)


class TokenDetail(APIView):
    """End a token."""

    scopes = {"DELETE": Scope.READ}

    @extend_schema(operation_id="revoke_token", responses={204: None})
    def delete(self, request: Request, token_id: UUID) -> Response:
        principal = signed_in(request)
        token = selectors.token_for(principal=principal, token_id=token_id)
        services.revoke_token(principal=principal, token=token)
        return Response(status=status.HTTP_204_NO_CONTENT)


class UserList(APIView):
    """All users, for superusers."""

    scopes = {"GET": Scope.ADMIN, "POST": Scope.ADMIN}

    @extend_schema(operation_id="list_users", parameters=[PageQuery], responses=page_of(forms.UserSerializer))
    def get(self, request: Request) -> Response:
        permissions.require_superuser(principal_of(request))
        query = validated(PageQuery, request.query_params)
        page = keyset_page(User.objects.all(), [Order("username")], **query)
        return Response(page.answer(lambda user: forms.UserSerializer(user).data))

    @extend_schema(operation_id="create_user", request=forms.NewUserSerializer, responses={201: forms.UserSerializer})
    def post(self, request: Request) -> Response:
        wanted = validated(forms.NewUserSerializer, request.data)
        user = services.create_user(principal=principal_of(request), **wanted)
        return Response(forms.UserSerializer(user).data, status=status.HTTP_201_CREATED)


def signed_in(request: Request) -> Principal:
    """The caller, who must be somebody."""
    principal = principal_of(request)
    if principal.is_anonymous:
        raise NotAuthenticated("Sign in first: `zoo login`, or send a token as `Authorization: Bearer zoo_...`.")
    return principal
