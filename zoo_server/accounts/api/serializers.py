"""What the account routes take and answer."""

from typing import Any

from django.contrib.auth.validators import UnicodeUsernameValidator
from rest_framework import serializers

from zoo_sdk.names import NAME_PATTERN
from zoo_sdk.vocabulary import Scope, TeamRole
from zoo_server.accounts.models import Membership, Team, Token, User
from zoo_server.accounts.services import LOGIN_LIFETIME_DAYS
from zoo_server.rest.choices import choices_of
from zoo_server.rest.schema import page_of
from zoo_server.rest.serializers import PageQuery, StrictSerializer

LONGEST_LIFE_DAYS = 3650


class ScopeListField(serializers.ListField):
    """Scopes by name; an unknown one is an error that names the known ones."""

    child = serializers.ChoiceField(choices_of(Scope))

    def to_internal_value(self, data: Any) -> list[Scope]:
        return [Scope(value) for value in super().to_internal_value(data)]


class NewTokenSerializer(StrictSerializer):
    """``POST tokens``."""

    name = serializers.CharField(max_length=100)
    scopes = ScopeListField(min_length=1, max_length=len(Scope))
    expires_in_days = serializers.IntegerField(
        min_value=1, max_value=LONGEST_LIFE_DAYS, required=False, allow_null=True, default=None
    )


class LoginSerializer(StrictSerializer):
    """``POST login``."""

    username = serializers.CharField(max_length=150)
    password = serializers.CharField(max_length=1000, trim_whitespace=False)
    name = serializers.CharField(max_length=100, required=False, default="login")
    scopes = ScopeListField(min_length=1, max_length=len(Scope), required=False, allow_null=True, default=None)
    expires_in_days = serializers.IntegerField(
        min_value=1, max_value=LONGEST_LIFE_DAYS, required=False, default=LOGIN_LIFETIME_DAYS
    )


class TokenSerializer(serializers.ModelSerializer[Token]):
    """A token without its secret; ``last_used_at`` to the minute."""

    username = serializers.CharField(source="user.username", read_only=True)

    class Meta:
        model = Token
        fields = ("id", "username", "name", "hint", "scopes", "created_at", "expires_at", "last_used_at")
        read_only_fields = fields


TokenPage = page_of(TokenSerializer)


class IssuedTokenSerializer(serializers.ModelSerializer[Token]):
    """A token with its secret, told this once."""

    username = serializers.CharField(source="user.username", read_only=True)
    token = serializers.CharField(read_only=True)

    class Meta:
        model = Token
        fields = (*TokenSerializer.Meta.fields, "token")
        read_only_fields = fields


def issued_token(token: Token, secret: str) -> dict[str, Any]:
    """The answer to making a token."""
    return {**TokenSerializer(token).data, "token": secret}


class UserPageQuery(PageQuery):
    """A page of what belongs to a user."""

    user = serializers.CharField(
        required=False, max_length=150, help_text="Somebody else's; for superusers. Default: the caller's own."
    )


class NewTeamSerializer(StrictSerializer):
    """``POST teams``."""

    name = serializers.RegexField(NAME_PATTERN, max_length=96)
    title = serializers.CharField(max_length=200, required=False, allow_blank=True, default="")


class TeamChangeSerializer(StrictSerializer):
    """``PATCH teams/{team}``."""

    title = serializers.CharField(max_length=200, allow_blank=True)


class TeamSerializer(serializers.ModelSerializer[Team]):
    """A team."""

    class Meta:
        model = Team
        fields = ("id", "name", "title", "created_at")
        read_only_fields = fields


class RoleSerializer(StrictSerializer):
    """``PUT teams/{team}/members/{username}``."""

    role = serializers.ChoiceField(choices_of(TeamRole))


class MemberSerializer(serializers.ModelSerializer[Membership]):
    """A member and the role."""

    username = serializers.CharField(source="user.username", read_only=True)

    class Meta:
        model = Membership
        fields = ("username", "role", "created_at")
        read_only_fields = fields


class NewUserSerializer(StrictSerializer):
    """``POST users``."""

    username = serializers.CharField(max_length=150, validators=[UnicodeUsernameValidator()])
    password = serializers.CharField(
        max_length=1000, required=False, allow_null=True, default=None, trim_whitespace=False, write_only=True
    )
    is_service = serializers.BooleanField(required=False, default=False)


class UserSerializer(serializers.ModelSerializer[User]):
    """A user."""

    class Meta:
        model = User
        fields = ("id", "username", "is_service", "is_superuser", "is_active", "date_joined", "last_login")
        read_only_fields = fields


class TeamRoleSerializer(serializers.ModelSerializer[Membership]):
    """One of the caller's teams with the role there."""

    name = serializers.CharField(source="team.name", read_only=True)

    class Meta:
        model = Membership
        fields = ("name", "role")
        read_only_fields = fields


class WhoamiSerializer(serializers.Serializer[Any]):
    """The caller; ``token`` is null in a browser session."""

    username = serializers.CharField()
    scopes = serializers.ListField(child=serializers.ChoiceField(choices_of(Scope)))
    is_superuser = serializers.BooleanField()
    teams = TeamRoleSerializer(many=True)
    token = TokenSerializer(allow_null=True)
