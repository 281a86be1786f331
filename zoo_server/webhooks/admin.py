"""Webhooks and their deliveries in the admin pages: to look at, to switch off, and to send again."""

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest

from zoo_sdk.errors import ZooError
from zoo_server.accounts.authentication import principal_of_user
from zoo_server.audit.admin import ReadOnlyAdmin
from zoo_server.catalog.admin import ReadOnlyInline
from zoo_server.webhooks.models import Attempt, Delivery, Webhook
from zoo_server.webhooks.services.managing import redeliver, update_webhook


@admin.register(Webhook)
class WebhookAdmin(ReadOnlyAdmin):
    """Webhooks; they are made with the command or the API, which tell the secret."""

    list_display = ("team", "url", "events", "active", "closed_reason", "created_by", "created_at")
    list_filter = ("active", "team")
    list_select_related = ("team", "created_by")
    search_fields = ("url", "description", "team__name")
    exclude = ("secret", "former_secret")
    ordering = ("-id",)
    actions = ("switch_off", "switch_on")

    @admin.action(description="Switch the chosen webhooks off", permissions=["view"])
    def switch_off(self, request: HttpRequest, rows: QuerySet[Webhook]) -> None:
        """Nothing is sent until they are switched on."""
        self._switch(request, rows, active=False)

    @admin.action(description="Switch the chosen webhooks on", permissions=["view"])
    def switch_on(self, request: HttpRequest, rows: QuerySet[Webhook]) -> None:
        """What waits is sent."""
        self._switch(request, rows, active=True)

    def _switch(self, request: HttpRequest, rows: QuerySet[Webhook], *, active: bool) -> None:
        principal = principal_of_user(request.user)  # type: ignore[arg-type]  # staff are signed in
        for row in rows.select_related("team"):
            try:
                update_webhook(principal=principal, webhook=row, active=active)
            except ZooError as error:
                self.message_user(request, str(error), messages.ERROR)
            else:
                self.message_user(request, f"{row} is {'active' if active else 'inactive'} now.", messages.SUCCESS)


class AttemptInline(ReadOnlyInline):
    """The tries of a delivery."""

    model = Attempt
    ordering = ("id",)


@admin.register(Delivery)
class DeliveryAdmin(ReadOnlyAdmin):
    """The log: what was told to whom, newest first; chosen rows can be sent again."""

    list_display = ("created_at", "type", "webhook", "state", "tries", "due_at", "ended_at")
    list_filter = ("state", "type")
    list_select_related = ("webhook__team",)
    search_fields = ("message", "webhook__url", "webhook__team__name")
    ordering = ("-id",)
    show_full_result_count = False
    inlines = (AttemptInline,)
    actions = ("send_again",)

    @admin.action(description="Send the chosen messages again", permissions=["view"])
    def send_again(self, request: HttpRequest, rows: QuerySet[Delivery]) -> None:
        """Under the same ids."""
        principal = principal_of_user(request.user)  # type: ignore[arg-type]  # staff are signed in
        for row in rows:
            try:
                redeliver(principal=principal, delivery=row)
            except ZooError as error:
                self.message_user(request, str(error), messages.ERROR)
            else:
                self.message_user(request, f"{row} is sent again.", messages.SUCCESS)
