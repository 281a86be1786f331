"""Accounts in the admin pages: to look at, with the changes as actions that call the services."""

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from zoo_server.accounts.authentication import principal_of_user
from zoo_server.accounts.models import FailureCount, Membership, Team, Token, User, WebSession
from zoo_server.accounts.services import revoke_token
from zoo_server.accounts.sessions import end_session
from zoo_server.audit.admin import ReadOnlyAdmin

admin.site.login_template = "accounts/sign_in.html"


@admin.register(User)
class UserAdmin(ReadOnlyAdmin):
    """People and services."""

    list_display = ("username", "is_service", "home", "is_superuser", "is_active", "last_login")
    list_filter = ("is_service", "is_superuser", "is_active")
    list_select_related = ("home",)
    search_fields = ("username",)
    ordering = ("username",)
    exclude = ("password",)


@admin.register(Team)
class TeamAdmin(ReadOnlyAdmin):
    """Teams."""

    list_display = ("name", "title", "created_at")
    search_fields = ("name", "title")
    ordering = ("name",)


@admin.register(Membership)
class MembershipAdmin(ReadOnlyAdmin):
    """Who has which role where."""

    list_display = ("team", "user", "role")
    list_filter = ("role", "team")
    list_select_related = ("team", "user")
    search_fields = ("user__username", "team__name")


@admin.register(Token)
class TokenAdmin(ReadOnlyAdmin):
    """Tokens, without their secrets."""

    list_display = ("name", "user", "hint", "scopes", "expires_at", "revoked_at", "last_used_at")
    list_select_related = ("user",)
    search_fields = ("name", "user__username")
    ordering = ("-created_at",)
    exclude = ("digest",)
    actions = ("revoke",)

    @admin.action(description="Revoke the selected tokens")
    def revoke(self, request: HttpRequest, queryset: QuerySet[Token]) -> None:
        """End them at once."""
        principal = principal_of_user(request.user)  # type: ignore[arg-type]  # staff are signed in
        for token in queryset.select_related("user"):
            revoke_token(principal=principal, token=token)


@admin.register(WebSession)
class WebSessionAdmin(ReadOnlyAdmin):
    """Browsers in which somebody is signed in."""

    list_display = ("user", "address", "agent", "created_at", "last_used_at")
    list_select_related = ("user",)
    search_fields = ("user__username", "address")
    ordering = ("-last_used_at",)
    exclude = ("session_key",)
    actions = ("end",)

    @admin.action(description="Sign the selected browsers out")
    def end(self, request: HttpRequest, queryset: QuerySet[WebSession]) -> None:
        """End them at once."""
        principal = principal_of_user(request.user)  # type: ignore[arg-type]  # staff are signed in
        for session in queryset.select_related("user"):
            end_session(principal=principal, session=session)


@admin.register(FailureCount)
class FailureCountAdmin(ReadOnlyAdmin):
    """Wrong passwords and tokens of the last while."""

    list_display = ("key", "failures", "since")
    ordering = ("-since",)
